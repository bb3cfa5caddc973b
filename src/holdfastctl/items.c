/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * get, set, remove, list, areas; see items.h. What an argument or standard input may hold is mostly the
 * daemon's to say. Only what could not even be sent over the bus is refused here: text that is not
 * UTF-8 or has noncharacters, NUL bytes, and more than the longest value, so that a wrong file does
 * not fill memory.
 */

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "core/limits.h"
#include "holdfastctl/items.h"

/* What GetItemFull says beside the value. */
struct item_info {
	const char *source;
	int stale, pending;	/* as sd_bus_message_read() writes booleans */
	uint64_t revision, age;
};

static int check_text(struct client *client, const char *what, const char *text)
{
	if (util_text_valid(text))
		return 0;
	if (g_utf8_validate(text, -1, NULL))
		return client_fail(client, "the %s has characters that no message can carry, such as "
					   "U+FFFF", what);
	return client_fail(client, "the %s is not valid UTF-8", what);
}

static int read_info_member(sd_bus_message *m, const char *name, struct item_info *info)
{
	if (strcmp(name, "source") == 0)
		return sd_bus_message_read(m, "v", "s", &info->source);
	if (strcmp(name, "stale") == 0)
		return sd_bus_message_read(m, "v", "b", &info->stale);
	if (strcmp(name, "pending") == 0)
		return sd_bus_message_read(m, "v", "b", &info->pending);
	if (strcmp(name, "revision") == 0)
		return sd_bus_message_read(m, "v", "t", &info->revision);
	if (strcmp(name, "age") == 0)
		return sd_bus_message_read(m, "v", "t", &info->age);
	return sd_bus_message_skip(m, "v");
}

static int read_info(sd_bus_message *m, struct item_info *info)
{
	const char *name;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &name);
		if (r > 0)
			r = read_info_member(m, name, info);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int get_full(struct client *client, const char *key, enum output_mode mode)
{
	g_autoptr(sd_bus_message) reply = NULL;
	struct item_info info = { 0 };
	const char *value;
	int r;

	r = client_call(client, CLIENT_STORAGE, "GetItemFull", 0, &reply, "sa{sv}", key, 0);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "s", &value);
	if (r > 0)
		r = read_info(reply, &info);
	if (r <= 0)
		return client_fail_reply(client, "GetItemFull", r);

	const struct field fields[] = {
		{ "key", FIELD_TEXT, key },
		{ "value", FIELD_TEXT, value },
		{ "source", FIELD_TEXT, info.source },
		{ "stale", FIELD_BOOL, .number = info.stale != 0 },
		{ "pending", FIELD_BOOL, .number = info.pending != 0 },
		{ "revision", FIELD_NUMBER, .number = info.revision },
		{ "age", FIELD_NUMBER, .number = info.age },
	};
	output_record(mode, fields, G_N_ELEMENTS(fields));
	return 0;
}

int items_get(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	const char *key = options->args[1];
	const char *value;
	int r;

	r = check_text(client, "key", key);
	if (r < 0)
		return r;
	if (options->mode != OUTPUT_TEXT)
		return get_full(client, key, options->mode);

	r = client_call(client, CLIENT_STORAGE, "GetItem", 0, &reply, "s", key);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "s", &value);
	if (r <= 0)
		return client_fail_reply(client, "GetItem", r);
	output_value(value, options->raw);
	return 0;
}

/* All of standard input, and not one byte more than a value may have. */
static int read_stdin(struct client *client, char **ret_value)
{
	g_autofree char *value = g_malloc(LIMIT_VALUE_BYTES + 2);
	size_t len = 0;
	ssize_t n;

	do {
		n = read(STDIN_FILENO, value + len, LIMIT_VALUE_BYTES + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return client_fail(client, "standard input cannot be read: %s",
					   g_strerror(errno));
		len += (size_t)n;
	} while (n != 0 && len <= LIMIT_VALUE_BYTES);

	if (len > LIMIT_VALUE_BYTES)
		return client_fail(client, "the value is longer than %d bytes", LIMIT_VALUE_BYTES);
	value[len] = '\0';
	if (memchr(value, '\0', len))
		return client_fail(client, "the value has a NUL byte, which no value may have");
	*ret_value = g_steal_pointer(&value);
	return 0;
}

static int print_serial(struct client *client, const char *member, sd_bus_message *reply,
			enum output_mode mode)
{
	uint64_t serial;
	int r;

	r = sd_bus_message_read(reply, "t", &serial);
	if (r <= 0)
		return client_fail_reply(client, member, r);
	output_serial(mode, serial);
	return 0;
}

int items_set(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	g_autofree char *input = NULL;
	const char *key = options->args[1];
	const char *value = options->args[2];
	int r;

	r = check_text(client, "key", key);
	if (r < 0)
		return r;
	if (strcmp(value, "-") == 0) {
		r = read_stdin(client, &input);
		if (r < 0)
			return r;
		value = input;
	}
	r = check_text(client, "value", value);
	if (r < 0)
		return r;

	r = client_call(client, CLIENT_STORAGE, "SetItem", 0, &reply, "ss", key, value);
	if (r < 0)
		return r;
	return print_serial(client, "SetItem", reply, options->mode);
}

int items_remove(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	const char *key = options->args[1];
	int r;

	r = check_text(client, "key", key);
	if (r < 0)
		return r;
	r = client_call(client, CLIENT_STORAGE, "RemoveItem", 0, &reply, "s", key);
	if (r < 0)
		return r;
	return print_serial(client, "RemoveItem", reply, options->mode);
}

/* Prints the one array of strings that @reply is. */
static int print_strings(struct client *client, const char *member, sd_bus_message *reply,
			 enum output_mode mode)
{
	g_autoptr(GPtrArray) strings = g_ptr_array_new();
	const char *string;
	int r;

	r = sd_bus_message_enter_container(reply, 'a', "s");
	while (r > 0 && (r = sd_bus_message_read(reply, "s", &string)) > 0)
		g_ptr_array_add(strings, (char *)string);
	if (r < 0)
		return client_fail_reply(client, member, r);
	output_strings(mode, (const char *const *)strings->pdata, strings->len);
	return 0;
}

int items_list(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	const char *prefix = options->n_args > 1 ? options->args[1] : "";
	int r;

	r = check_text(client, "prefix", prefix);
	if (r >= 0)
		r = client_call(client, CLIENT_STORAGE, "ListKeys", 0, &reply, "s", prefix);
	return r < 0 ? r : print_strings(client, "ListKeys", reply, options->mode);
}

int items_areas(struct client *client, const struct options *options)
{
	g_autoptr(sd_bus_message) reply = NULL;
	int r;

	r = client_call(client, CLIENT_MANAGER, "ListAreas", 0, &reply, "");
	return r < 0 ? r : print_strings(client, "ListAreas", reply, options->mode);
}
