/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection to the daemon; see client.h. */

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "holdfastctl/client.h"
#include "holdfastctl/format.h"

struct client {
	sd_bus *bus;
	char *area;	/* as given; NULL: the default area */
	char *path;	/* of the area's object */
	char *error;	/* the last failure's sentence */
	char *name;	/* its D-Bus name; NULL: it has none */
	enum client_exit status;
};

struct client *client_new(void)
{
	struct client *client = g_new0(struct client, 1);

	client->path = g_strdup(CLIENT_ROOT);
	client->status = CLIENT_EXIT_ERROR;
	return client;
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	sd_bus_flush_close_unref(client->bus);
	g_free(client->area);
	g_free(client->path);
	g_free(client->error);
	g_free(client->name);
	g_free(client);
	return NULL;
}

sd_bus *client_bus(struct client *client)
{
	return client->bus;
}

const char *client_path(const struct client *client)
{
	return client->path;
}

/* ---- failures ---- */

static void client_set_error(struct client *client, enum client_exit status, char *sentence)
{
	g_free(client->error);
	g_clear_pointer(&client->name, g_free);
	client->error = sentence;
	client->status = status;
}

int client_fail(struct client *client, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	client_set_error(client, CLIENT_EXIT_ERROR, g_strdup_vprintf(format, args));
	va_end(args);
	return -EINVAL;
}

int client_fail_absent(struct client *client, const char *sentence)
{
	client_set_error(client, CLIENT_EXIT_ABSENT, g_strdup(sentence));
	return -ENOTCONN;
}

int client_fail_reply(struct client *client, const char *member, int r)
{
	client_set_error(client, CLIENT_EXIT_ERROR,
			 g_strdup_printf("the daemon's answer to %s cannot be read: %s", member,
					 r < 0 ? g_strerror(-r) : "something is missing in it"));
	return -EBADMSG;
}

/* The bus's own words for "nobody there": never owned, not startable, died during the call, or too
 * deaf to answer in time. */
static enum client_exit exit_of_error(const sd_bus_error *error)
{
	static const struct {
		const char *name;
		enum client_exit status;
	} table[] = {
		{ CLIENT_ERROR "NoSuchItem", CLIENT_EXIT_NO_SUCH_ITEM },
		{ CLIENT_ERROR "Unavailable", CLIENT_EXIT_UNAVAILABLE },
		{ SD_BUS_ERROR_SERVICE_UNKNOWN, CLIENT_EXIT_ABSENT },
		{ SD_BUS_ERROR_NAME_HAS_NO_OWNER, CLIENT_EXIT_ABSENT },
		{ SD_BUS_ERROR_NO_REPLY, CLIENT_EXIT_ABSENT },
		{ SD_BUS_ERROR_TIMEOUT, CLIENT_EXIT_ABSENT },
		{ SD_BUS_ERROR_DISCONNECTED, CLIENT_EXIT_ABSENT },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (sd_bus_error_has_name(error, table[i].name))
			return table[i].status;
	if (g_str_has_prefix(error->name, "org.freedesktop.DBus.Error.Spawn."))
		return CLIENT_EXIT_ABSENT;
	return CLIENT_EXIT_ERROR;
}

static bool is_not_running(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
	       sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

/* The daemon advises methods of D-Bus; here the same things are commands. */
static char *as_commands(const char *sentence)
{
	static const char *const words[][2] = {
		{ "ListRejected", "'holdfastctl queue --rejected'" },
		{ "RetryRejected", "'queue --retry=SERIAL'" },
		{ "DropRejected", "'queue --drop=SERIAL'" },
		{ "SetItem ", "'holdfastctl set' " },
		{ "(Flush)", "('holdfastctl flush')" },
	};
	GString *text = g_string_new(sentence);

	for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
		g_string_replace(text, words[i][0], words[i][1], 0);
	return g_string_free(text, FALSE);
}

int client_fail_bus(struct client *client, const sd_bus_error *error)
{
	enum client_exit status = exit_of_error(error);
	g_autofree char *sentence = format_clean(error->message ?: error->name);
	char *text;

	if (is_not_running(error))
		text = g_strdup("holdfastd is not running on this bus; start it");
	else if (status == CLIENT_EXIT_ABSENT)
		text = g_strdup_printf("holdfastd does not answer: %s", sentence);
	else
		text = as_commands(sentence);
	client_set_error(client, status, text);
	client->name = g_strdup(error->name);
	return -EIO;
}

const char *client_error(const struct client *client)
{
	return client->error ?: "something went wrong";
}

bool client_error_is(const struct client *client, const char *name)
{
	return client->name && strcmp(client->name, name) == 0;
}

enum client_exit client_exit_status(const struct client *client)
{
	return client->status;
}

/* ---- calls ---- */

/* A failed call has an error with a name; what fails before it is sent has only an errno. */
static int client_finish(struct client *client, int r, const sd_bus_error *error)
{
	if (r >= 0)
		return 0;
	if (sd_bus_error_is_set(error))
		return client_fail_bus(client, error);
	if (r == -ENOTCONN || r == -ECONNRESET || r == -ECONNREFUSED)
		return client_fail_absent(client, "the connection to the bus was lost");
	client_fail(client, "the call could not be made: %s", g_strerror(-r));
	return r;
}

int client_call(struct client *client, const char *interface, const char *member,
		uint64_t timeout, sd_bus_message **ret_reply, const char *types, ...)
{
	g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
	const char *path = strcmp(interface, CLIENT_STORAGE) == 0 ? client->path : CLIENT_ROOT;
	g_autoptr(sd_bus_message) call = NULL;
	va_list args;
	int r;

	r = sd_bus_message_new_method_call(client->bus, &call, CLIENT_NAME, path, interface,
					   member);
	if (r >= 0) {
		va_start(args, types);
		r = sd_bus_message_appendv(call, types, args);
		va_end(args);
	}
	if (r >= 0)
		r = sd_bus_call(client->bus, call, timeout, &error, ret_reply);
	return client_finish(client, r, &error);
}

int client_get_all(struct client *client, const char *interface, sd_bus_message **ret_reply)
{
	g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
	const char *path = strcmp(interface, CLIENT_STORAGE) == 0 ? client->path : CLIENT_ROOT;
	int r;

	r = sd_bus_call_method(client->bus, CLIENT_NAME, path, "org.freedesktop.DBus.Properties",
			       "GetAll", &error, ret_reply, "s", interface);
	return client_finish(client, r, &error);
}

int client_reopen(struct client *client)
{
	g_autoptr(sd_bus_message) reply = NULL;
	const char *path;
	int r;

	if (!client->area)
		return 0;
	r = client_call(client, CLIENT_MANAGER, "OpenArea", 0, &reply, "s", client->area);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "o", &path);
	if (r <= 0)
		return client_fail_reply(client, "OpenArea", r);
	g_free(client->path);
	client->path = g_strdup(path);
	return 0;
}

/* Without any of the variables the error would be "No medium found": no word of it helps. */
static int fail_without_bus(struct client *client, bool system, int r)
{
	g_autofree char *why = r == -ENOMEDIUM ? g_strdup("") :
						 g_strdup_printf(" (%s)", g_strerror(-r));
	g_autofree char *sentence = g_strdup_printf(
		system ? "there is no system bus%s; start it, or set DBUS_SYSTEM_BUS_ADDRESS" :
			 "there is no user bus%s; set DBUS_SESSION_BUS_ADDRESS to its address, or "
			 "XDG_RUNTIME_DIR to the directory in which its socket is",
		why);

	return client_fail_absent(client, sentence);
}

int client_connect(struct client *client, bool system, const char *area)
{
	int r;

	r = system ? sd_bus_open_system_with_description(&client->bus, "holdfastctl") :
		     sd_bus_open_user_with_description(&client->bus, "holdfastctl");
	if (r < 0)
		return fail_without_bus(client, system, r);
	client->area = g_strdup(area);
	return client_reopen(client);
}
