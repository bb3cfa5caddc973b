/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The objects of a connection. One table says what is where, for the bus and for introspection.
 * What is at BUS_PATH depends on who calls, which only a fallback's find function can tell; as
 * sd-bus has it, all tables of a path are then fallbacks, and each finds itself there only.
 *
 * Introspection without a bus: two ends of a socket pair talk to each other in this thread, one
 * being the server with the objects, the other asking it as any client would.
 */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/bus-area.h"
#include "bus/bus-direct.h"
#include "bus/bus-error.h"
#include "bus/bus-log.h"
#include "bus/bus-manager.h"
#include "bus/bus-monitor.h"
#include "bus/bus-storage.h"
#include "bus/bus.h"
#include "bus/caller.h"
#include "bus/names.h"
#include "bus/subscription.h"
#include "core/error.h"
#include "core/limits.h"

/* Whose userdata a table's handlers are given. */
enum owner {
	OWNER_MANAGER,
	OWNER_MONITOR,
	OWNER_AREAS,
	_OWNER_MAX,
};

static int find_root(sd_bus *bus, const char *path, const char *interface, void *userdata,
		     void **ret_found, sd_bus_error *error)
{
	(void)bus;
	(void)interface;
	(void)error;
	*ret_found = userdata;
	return strcmp(path, BUS_PATH) == 0;
}

static const struct {
	const char *interface;
	const sd_bus_vtable *vtable;
	sd_bus_object_find_t find;
	enum owner owner;
} root_tables[] = {
	{ BUS_STORAGE, bus_storage_vtable, bus_areas_find_default, OWNER_AREAS },
	{ BUS_DIRECT, bus_direct_vtable, bus_areas_find_default, OWNER_AREAS },
	{ BUS_MANAGER, bus_manager_vtable, find_root, OWNER_MANAGER },
	{ BUS_MONITOR, bus_monitor_vtable, find_root, OWNER_MONITOR },
};

struct bus {
	sd_bus *bus;
	struct callers *callers;
	struct subscriptions *subscriptions;
	struct bus_areas *areas;
	struct bus_monitor *monitor;
	struct bus_manager manager;
	GPtrArray *slots; /* sd_bus_slot */
};

static void slot_free(void *slot)
{
	sd_bus_slot_unref(slot);
}

/* sd-bus refuses a property that is not there by quoting what was asked for, however long that is.
 * The bus ends the connection of whoever sends a message over its limit, so that an answer longer than
 * the longest call would be our end. What is too long for a name is refused here, without a quote. */
static int on_call(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *name;

	(void)data;
	if (sd_bus_message_is_method_call(message, BUS_PROPERTIES, NULL) <= 0)
		return 0;
	/* An interface, and a property where one is named; what else it may be, sd-bus knows. */
	for (int i = 0; i < 2 && sd_bus_message_read(message, "s", &name) > 0; i++)
		if (strlen(name) > LIMIT_BUS_NAME_BYTES)
			return bus_error_set(error, HF_INVALID_ARGS,
					     "A name of an interface or a property has 255 bytes "
					     "at most.");
	return 0;
}

static int add_root(sd_bus *bus, GPtrArray *slots, void *const userdata[static _OWNER_MAX])
{
	sd_bus_slot *slot;
	int r;

	for (size_t i = 0; i < G_N_ELEMENTS(root_tables); i++) {
		r = sd_bus_add_fallback_vtable(bus, &slot, BUS_PATH, root_tables[i].interface,
					       root_tables[i].vtable, root_tables[i].find,
					       userdata[root_tables[i].owner]);
		if (r < 0)
			return r;
		g_ptr_array_add(slots, slot);
	}
	return 0;
}

static int add_areas(struct bus *self)
{
	sd_bus_slot *slot;
	int r;

	r = sd_bus_add_fallback_vtable(self->bus, &slot, BUS_AREA_PREFIX, BUS_STORAGE,
				       bus_storage_vtable, bus_areas_find, self->areas);
	if (r < 0)
		return r;
	g_ptr_array_add(self->slots, slot);
	r = sd_bus_add_fallback_vtable(self->bus, &slot, BUS_AREA_PREFIX, BUS_DIRECT,
				       bus_direct_vtable, bus_areas_find, self->areas);
	if (r < 0)
		return r;
	g_ptr_array_add(self->slots, slot);
	r = sd_bus_add_node_enumerator(self->bus, &slot, BUS_AREA_PREFIX, bus_areas_enumerate,
				       self->areas);
	if (r < 0)
		return r;
	g_ptr_array_add(self->slots, slot);
	return 0;
}

static int add_filter(struct bus *self)
{
	sd_bus_slot *slot;
	int r = sd_bus_add_filter(self->bus, &slot, on_call, NULL);

	if (r >= 0)
		g_ptr_array_add(self->slots, slot);
	return r;
}

int bus_new(const struct bus_params *params, struct bus **ret_bus)
{
	struct bus *self = g_new0(struct bus, 1);
	void *userdata[_OWNER_MAX];
	int r;

	self->bus = sd_bus_ref(params->bus);
	self->slots = g_ptr_array_new_with_free_func(slot_free);
	r = callers_new(self->bus, params->clock, params->system, &self->callers);
	if (r >= 0)
		r = subscriptions_new(self->bus, params->storage, &self->subscriptions);
	if (r >= 0)
		r = add_filter(self);
	if (r < 0)
		goto fail;
	self->areas = bus_areas_new(params->storage, self->callers, self->subscriptions);
	self->monitor = bus_monitor_new(self->bus, params->clock, params->storage, params->config);
	self->manager = (struct bus_manager){
		.storage = params->storage,
		.callers = self->callers,
		.ops = params->ops,
		.data = params->data,
	};

	userdata[OWNER_MANAGER] = &self->manager;
	userdata[OWNER_MONITOR] = self->monitor;
	userdata[OWNER_AREAS] = self->areas;
	r = add_root(self->bus, self->slots, userdata);
	if (r >= 0)
		r = add_areas(self);
	if (r >= 0)
		r = bus_log_add(self->bus, self->callers, self->slots);
	if (r < 0)
		goto fail;
	*ret_bus = self;
	return 0;

fail:
	bus_free(self);
	return r;
}

struct bus *bus_free(struct bus *self)
{
	if (!self)
		return NULL;

	g_ptr_array_unref(self->slots);
	bus_monitor_free(self->monitor);
	bus_areas_free(self->areas);
	/* Callers know their subscriptions and so go first. */
	callers_free(self->callers);
	subscriptions_free(self->subscriptions);
	sd_bus_unref(self->bus);
	g_free(self);
	return NULL;
}

void bus_reconfigured(struct bus *self)
{
	bus_monitor_reconfigured(self->monitor);
}

/* ---- introspection ---- */

/* Takes over @fd. */
static int open_end(int fd, bool server, sd_bus **ret_bus)
{
	sd_id128_t id = SD_ID128_NULL;
	sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_fd(bus, fd, fd);
	if (r < 0) {
		close(fd);
		sd_bus_unref(bus);
		return r;
	}
	if (server)
		r = sd_id128_randomize(&id);
	if (r >= 0 && server)
		r = sd_bus_set_server(bus, 1, id);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		bus = sd_bus_close_unref(bus);
	*ret_bus = bus;
	return r;
}

static int on_introspected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *xml;
	int r;

	(void)error;
	r = sd_bus_message_is_method_error(m, NULL) ? -EIO : sd_bus_message_read(m, "s", &xml);
	if (r >= 0)
		*(char **)userdata = g_strdup(xml);
	return r;
}

static int ask(sd_bus *server, sd_bus *client, char **ret_xml)
{
	int r, s;

	r = sd_bus_call_method_async(client, NULL, NULL, BUS_PATH,
				     BUS_INTROSPECTABLE, "Introspect", on_introspected, ret_xml,
				     NULL);
	while (r >= 0 && !*ret_xml) {
		s = sd_bus_process(server, NULL);
		r = sd_bus_process(client, NULL);
		if (s < 0)
			return s;
		/* Both ends are ours: with nothing left to do on either, no answer will come. */
		if (s == 0 && r == 0 && sd_bus_wait(client, 0) == 0 && sd_bus_wait(server, 0) == 0)
			return -EIO;
	}
	return r < 0 ? r : 0;
}

int bus_introspect(char **ret_xml)
{
	g_autoptr(GPtrArray) slots = g_ptr_array_new_with_free_func(slot_free);
	void *const userdata[_OWNER_MAX] = { NULL };
	sd_bus *server = NULL, *client = NULL;
	g_autofree char *xml = NULL;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	r = open_end(fds[0], true, &server);
	if (r < 0) {
		close(fds[1]);
		return r;
	}
	r = open_end(fds[1], false, &client);
	if (r >= 0)
		r = add_root(server, slots, userdata);
	if (r >= 0)
		r = ask(server, client, &xml);
	g_ptr_array_set_size(slots, 0);
	sd_bus_close_unref(client);
	sd_bus_close_unref(server);
	if (r < 0)
		return r;
	*ret_xml = g_steal_pointer(&xml);
	return 0;
}
