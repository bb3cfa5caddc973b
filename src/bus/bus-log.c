/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The log's face on the bus; see bus-log.h. Setters are open to everyone as far as sd-bus goes: its
 * own check of who may would ask the bus, and wait for the answer as long as that takes.
 */

#include "base/log.h"
#include "bus/bus-error.h"
#include "bus/bus-log.h"
#include "bus/caller.h"
#include "core/error.h"

#define LOG_PATH      "/org/freedesktop/LogControl1"
#define LOG_INTERFACE "org.freedesktop.LogControl1"

/* Who asks is known by the message that sd-bus works on. */
static int reply_text(sd_bus *bus, struct callers *callers, sd_bus_message *reply, const char *text,
		      sd_bus_error *error)
{
	int r = caller_may_look(callers_get(callers, sd_bus_get_current_message(bus)), error);

	return r < 0 ? r : sd_bus_message_append(reply, "s", text);
}

static int get_level(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	(void)path;
	(void)interface;
	(void)property;
	return reply_text(bus, userdata, reply, log_level_to_string(log_get_max_level()),
			  error);
}

static int get_target(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	(void)path;
	(void)interface;
	(void)property;
	return reply_text(bus, userdata, reply, log_target_to_string(log_get_target()), error);
}

static int get_identifier(sd_bus *bus, const char *path, const char *interface,
			  const char *property, sd_bus_message *reply, void *userdata,
			  sd_bus_error *error)
{
	(void)path;
	(void)interface;
	(void)property;
	return reply_text(bus, userdata, reply, log_identifier(), error);
}

/* The text set, from someone who may. Return: 1, or a negative errno. */
static int read_setting(sd_bus_message *value, struct callers *callers, const char **ret_text,
			sd_bus_error *error)
{
	int r = caller_may_manage(callers_get(callers, value), error);

	return r < 0 ? r : bus_error_unread(error, sd_bus_message_read(value, "s", ret_text));
}

static int set_level(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *value, void *userdata, sd_bus_error *error)
{
	const char *name;
	int r;

	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	r = read_setting(value, userdata, &name, error);
	if (r < 0)
		return r;
	r = log_level_from_string(name);
	if (r < 0)
		return bus_error_set(error, HF_INVALID_ARGS,
				     "LogLevel is one of emerg, alert, crit, err, warning, notice, "
				     "info and debug.");
	log_set_max_level(r);
	log_notice("The log's level is %s now", log_level_to_string(r));
	return 1;
}

static int set_target(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *value, void *userdata, sd_bus_error *error)
{
	const char *name;
	int r;

	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	r = read_setting(value, userdata, &name, error);
	if (r < 0)
		return r;
	r = log_target_from_string(name);
	if (r < 0)
		return bus_error_set(error, HF_INVALID_ARGS,
				     "LogTarget is one of auto, console, journal and null.");
	log_set_target((enum log_target)r);
	log_notice("The log goes to %s now", log_target_to_string((enum log_target)r));
	return 1;
}

static const sd_bus_vtable log_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_level, set_level, 0,
				 SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", get_target, set_target, 0,
				 SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_VTABLE_END,
};

int bus_log_add(sd_bus *bus, struct callers *callers, GPtrArray *slots)
{
	sd_bus_slot *slot;
	int r = sd_bus_add_object_vtable(bus, &slot, LOG_PATH, LOG_INTERFACE, log_vtable, callers);

	if (r < 0)
		return r;
	g_ptr_array_add(slots, slot);
	return 0;
}
