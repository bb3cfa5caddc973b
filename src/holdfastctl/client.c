/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection to the daemon; see client.h. */

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "holdfastctl/client.h"
#include "holdfastctl/format.h"

struct client {
	sd_bus *bus;
	bool system;	/* on the system bus, else the user's */
	char *area;	/* as given; NULL: the default area */
	char *path;	/* of the area's object */
	bool no_start;	/* calls do not make the bus start the daemon */
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

int client_fail_output(struct client *client, int r)
{
	return client_fail(client, "standard output cannot be written: %s", g_strerror(-r));
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

char *client_command(const struct client *client, const char *command)
{
	/* Neither needs quotes: a name of an area has no character that a shell would take. */
	return g_strdup_printf("holdfastctl%s%s%s %s", client->system ? " --system" : "",
			       client->area ? " --area=" : "", client->area ?: "", command);
}

/* The daemon advises methods of D-Bus; here the same things are commands. */
static const struct advice {
	const char *words;
	const char *before, *command, *after;
} advices[] = {
	{ "ListRejected", "'", "queue --rejected", "'" },
	{ "RetryRejected", "'", "queue --retry=SERIAL", "'" },
	{ "DropRejected", "'", "queue --drop=SERIAL", "'" },
	{ "SetItem ", "'", "set", "' " },
	{ "(Flush)", "('", "flush", "')" },
};

static const struct advice *find_advice(const char *text)
{
	for (size_t i = 0; i < G_N_ELEMENTS(advices); i++)
		if (g_str_has_prefix(text, advices[i].words))
			return &advices[i];
	return NULL;
}

/* In one pass: an area may be named like a method. */
static char *as_commands(const struct client *client, const char *sentence)
{
	GString *text = g_string_new(NULL);

	while (*sentence) {
		const struct advice *advice = find_advice(sentence);
		g_autofree char *command = NULL;

		if (!advice) {
			g_string_append_c(text, *sentence++);
			continue;
		}
		command = client_command(client, advice->command);
		g_string_append_printf(text, "%s%s%s", advice->before, command, advice->after);
		sentence += strlen(advice->words);
	}
	return g_string_free(text, FALSE);
}

/* The bus speaks of rules and messages where its policy is in the way; the daemon has a sentence. */
static char *describe_denial(const char *sentence)
{
	if (g_str_has_prefix(sentence, "Rejected send message") ||
	    g_str_has_prefix(sentence, "Sender is not authorized"))
		return g_strdup("access denied: the policy of this bus does not let you call "
				"holdfastd; its administrator can");
	return g_strdup_printf("access denied: %s", sentence);
}

int client_fail_bus(struct client *client, const sd_bus_error *error)
{
	enum client_exit status = exit_of_error(error);
	g_autofree char *sentence = format_clean(error->message ?: error->name);
	char *text;

	if (sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED))
		text = describe_denial(sentence);
	else if (is_not_running(error))
		text = g_strdup_printf("holdfastd is not running on this bus; start it with "
				       "'systemctl %sstart holdfastd'",
				       client->system ? "" : "--user ");
	else if (status == CLIENT_EXIT_ABSENT)
		text = g_strdup_printf("holdfastd does not answer: %s", sentence);
	else
		text = as_commands(client, sentence);
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

/* @destination: NULL: the daemon, by its name */
static int new_call(struct client *client, sd_bus_message **ret_call, const char *destination,
		    const char *path_of, const char *interface, const char *member)
{
	const char *path = strcmp(path_of, CLIENT_STORAGE) == 0 ? client->path : CLIENT_ROOT;
	int r;

	r = sd_bus_message_new_method_call(client->bus, ret_call, destination ?: CLIENT_NAME, path,
					   interface, member);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(*ret_call, !client->no_start);
	return r;
}

int client_call(struct client *client, const char *interface, const char *member,
		uint64_t timeout, sd_bus_message **ret_reply, const char *types, ...)
{
	g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
	g_autoptr(sd_bus_message) call = NULL;
	va_list args;
	int r;

	r = new_call(client, &call, NULL, interface, interface, member);
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
	g_autoptr(sd_bus_message) call = NULL;
	int r;

	r = new_call(client, &call, NULL, interface, CLIENT_PROPERTIES, "GetAll");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", interface);
	if (r >= 0)
		r = sd_bus_call(client->bus, call, 0, &error, ret_reply);
	return client_finish(client, r, &error);
}

int client_ask(struct client *client, sd_bus_slot **ret_slot, const struct client_question *question,
	       sd_bus_message_handler_t handler, void *data)
{
	bool all = strcmp(question->member, "GetAll") == 0;
	g_autoptr(sd_bus_message) call = NULL;
	int r;

	r = new_call(client, &call, question->owner, question->interface,
		     all ? CLIENT_PROPERTIES : question->interface, question->member);
	if (r >= 0 && (all || question->argument))
		r = sd_bus_message_append(call, "s", all ? question->interface : question->argument);
	if (r >= 0)
		r = sd_bus_call_async(client->bus, ret_slot, call, handler, data, question->timeout);
	return client_finish(client, r, &SD_BUS_ERROR_NULL);
}

static void set_path(struct client *client, const char *path)
{
	g_free(client->path);
	client->path = g_strdup(path);
}

const char *client_area(const struct client *client)
{
	return client->area;
}

int client_take_area(struct client *client, sd_bus_message *reply)
{
	const char *path;
	int r;

	r = sd_bus_message_read(reply, "o", &path);
	if (r <= 0)
		return client_fail_reply(client, "OpenArea", r);
	set_path(client, path);
	return 0;
}

/* Return: as sd_bus_message_read(); *@ret_found only where it is read to the end. */
static int read_areas(sd_bus_message *m, const char *area, bool *ret_found)
{
	bool found = false;
	const char *name;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "s");
	while (r > 0 && (r = sd_bus_message_read(m, "s", &name)) > 0)
		found = found || strcmp(name, area) == 0;
	if (r >= 0)
		*ret_found = found;
	return r;
}

/* Who may not list, as a sandboxed application, has few areas to mistype: OpenArea decides. */
static int look_for_area(struct client *client)
{
	g_autoptr(sd_bus_message) reply = NULL;
	bool found = false;
	int r;

	r = client_call(client, CLIENT_MANAGER, "ListAreas", 0, &reply, "");
	if (r < 0)
		return client_error_is(client, SD_BUS_ERROR_ACCESS_DENIED) ? 0 : r;
	r = read_areas(reply, client->area, &found);
	if (r < 0)
		return client_fail_reply(client, "ListAreas", r);
	if (!found)
		return client_fail(client, "There is no area %s here; see 'holdfastctl%s areas'.",
				   client->area, client->system ? " --system" : "");
	return 0;
}

static int open_area(struct client *client, enum client_area_use use)
{
	g_autoptr(sd_bus_message) reply = NULL;
	int r = 0;

	if (!client->area || use == CLIENT_AREA_UNUSED)
		return 0;
	if (use == CLIENT_AREA_LOOK)
		r = look_for_area(client);
	if (r < 0)
		return r;
	r = client_call(client, CLIENT_MANAGER, "OpenArea", 0, &reply, "s", client->area);
	return r < 0 ? r : client_take_area(client, reply);
}

/* The environment, unlike the bus, may say what is not UTF-8. */
static char *clean_variable(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	return format_clean(valid);
}

/* Where the bus library looks. Return: to be freed; NULL where no variable says it. */
static char *bus_address(bool system)
{
	const char *address = g_getenv(system ? "DBUS_SYSTEM_BUS_ADDRESS" :
						"DBUS_SESSION_BUS_ADDRESS");
	const char *directory = g_getenv("XDG_RUNTIME_DIR");
	g_autofree char *path = NULL;

	if (address)
		return clean_variable(address);
	if (system)
		return g_strdup("unix:path=/run/dbus/system_bus_socket");
	if (!directory)
		return NULL;
	/* Where users meet it: as the path of a socket, without the quoting of an address. */
	path = g_build_filename(directory, "bus", NULL);
	return clean_variable(path);
}

/* Without any of the variables the error would be "No medium found": no word of it helps. */
static char *describe_no_bus(bool system, int r)
{
	g_autofree char *address = bus_address(system);

	if (!address)
		return g_strdup("there is no user bus: neither DBUS_SESSION_BUS_ADDRESS nor "
				"XDG_RUNTIME_DIR is set");
	return g_strdup_printf("there is no %s bus at %s (%s)", system ? "system" : "user", address,
			       g_strerror(-r));
}

/* Root mostly has no bus of its own, and the daemon that it means is the system's. */
static int fail_without_bus(struct client *client, int r)
{
	g_autofree char *what = describe_no_bus(client->system, r);
	g_autofree char *sentence = g_strdup_printf(
		client->system ? "%s; start it, or set DBUS_SYSTEM_BUS_ADDRESS" :
				 "%s; set DBUS_SESSION_BUS_ADDRESS to its address, or "
				 "XDG_RUNTIME_DIR to the directory in which its socket 'bus' is%s",
		what, geteuid() == 0 ? ", or use --system for the system's daemon" : "");

	return client_fail_absent(client, sentence);
}

int client_connect(struct client *client, bool system, const char *area, enum client_area_use use,
		   bool start)
{
	int r;

	client->system = system;
	client->area = g_strdup(area);
	client->no_start = !start;
	r = system ? sd_bus_open_system_with_description(&client->bus, "holdfastctl") :
		     sd_bus_open_user_with_description(&client->bus, "holdfastctl");
	if (r < 0)
		return fail_without_bus(client, r);
	return open_area(client, use);
}
