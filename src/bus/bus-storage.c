/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The face of the queued storage: reads arguments, calls down, answers. Keys, sizes and quotas are
 * the engine's to check; only the options of GetItemFull are understood here. The methods that
 * list are bus-queue.c's.
 */

#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "bus/bulk.h"
#include "bus/bus-area.h"
#include "bus/bus-error.h"
#include "bus/bus-queue.h"
#include "bus/bus-storage.h"
#include "bus/call.h"
#include "bus/caller.h"
#include "bus/subscription.h"
#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "engine/area.h"
#include "engine/reader.h"

#define OPTIONS 2 /* that GetItemFull knows */

/* ---- reading ---- */

static void got_item(void *data, int error, const char *detail, const struct reader_item *item)
{
	struct call *call = data;

	if (error)
		call_fail(call, error, detail);
	else
		call_reply(call, strlen(item->value), "s", item->value);
}

static int method_get_item(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	struct call *call;
	const char *key;
	int r;

	r = sd_bus_message_read(m, "s", &key);
	if (r < 0)
		return bus_error_unread(error, r);
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	reader_get(self->area, key, NULL, got_item, call);
	return 1;
}

static int read_source(sd_bus_message *m, struct reader_options *options, sd_bus_error *error)
{
	static const char *const words[] = {
		[READER_ANY] = "any",
		[READER_PARENT] = "parent",
		[READER_LOCAL] = "local",
	};
	const char *word;

	if (sd_bus_message_read(m, "v", "s", &word) < 0)
		return bus_error_set(error, HF_INVALID_ARGS,
				     "Option \"source\" must be a string (s).");
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		if (strcmp(word, words[i]) != 0)
			continue;
		options->source = (enum reader_source)i;
		return 0;
	}
	return bus_error_set(error, HF_INVALID_ARGS,
			     "Option \"source\" must be \"any\", \"parent\" or \"local\".");
}

static int read_option(sd_bus_message *m, struct reader_options *options, sd_bus_error *error)
{
	const char *name;
	int r;

	r = sd_bus_message_read(m, "s", &name);
	if (r < 0)
		return bus_error_unread(error, r);
	if (strcmp(name, "source") == 0)
		return read_source(m, options, error);
	if (strcmp(name, "timeout") != 0)
		return bus_error_set(error, HF_INVALID_ARGS,
				     "An option is not known; GetItemFull takes \"source\" and "
				     "\"timeout\".");
	if (sd_bus_message_read(m, "v", "t", &options->timeout) < 0)
		return bus_error_set(error, HF_INVALID_ARGS,
				     "Option \"timeout\" must be a number of microseconds (t).");
	return 0;
}

/* No more than there are: a message has room for a million, which would hold everybody up. */
static int read_options(sd_bus_message *m, struct reader_options *options, sd_bus_error *error)
{
	int r, n = 0;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		if (n++ == OPTIONS)
			return bus_error_set(error, HF_INVALID_ARGS,
					     "GetItemFull takes \"source\" and \"timeout\", each "
					     "once.");
		r = read_option(m, options, error);
		if (r < 0)
			return r;
		r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void got_item_full(void *data, int error, const char *detail, const struct reader_item *item)
{
	struct call *call = data;
	/* The parent numbers the writes of all users: one could count what the others wrote. */
	bool many = GPOINTER_TO_INT(call_data(call));

	if (error)
		call_fail(call, error, detail);
	else
		call_reply(call, strlen(item->value), "sa{sv}", item->value, 5, "source", "s",
			   item->source, "stale", "b", (int)item->stale, "pending", "b",
			   (int)item->pending, "revision", "t",
			   many ? UINT64_C(0) : item->revision, "age", "t", item->age);
}

static int method_get_item_full(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct reader_options options = { .source = READER_ANY, .timeout = USEC_INFINITY };
	struct bus_area *self = userdata;
	struct call *call;
	const char *key;
	void *many; /* the area's object may be gone by the answer */
	int r;

	r = bus_error_unread(error, sd_bus_message_read(m, "s", &key));
	if (r >= 0)
		r = read_options(m, &options, error);
	if (r < 0)
		return r;
	many = GINT_TO_POINTER(callers_are_many(self->callers));
	r = call_new(self->callers, m, many, &call, error);
	if (r < 0)
		return r;
	reader_get(self->area, key, &options, got_item_full, call);
	return 1;
}

static void got_items(void *data, int error, const char *detail, GPtrArray *keys, GPtrArray *values)
{
	struct call *call = data;
	struct bulk bulk;

	if (error) {
		call_fail(call, error, detail);
		return;
	}
	bulk_start(&bulk, call, "{ss}");
	for (guint i = 0; i < keys->len; i++) {
		const char *key = g_ptr_array_index(keys, i);
		const char *value = g_ptr_array_index(values, i);

		bulk_add(&bulk, strlen(key) + strlen(value), "{ss}", key, value);
	}
	bulk_end(&bulk, 0, "These items are more than one answer may carry; ask for fewer.");
}

static int method_get_items(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	g_autofree const char **keys = g_new(const char *, LIMIT_BULK_KEYS + 2);
	struct bus_area *self = userdata;
	struct call *call;
	size_t n = 0;
	int r;

	/* One more than may be is enough to be refused for. */
	r = sd_bus_message_enter_container(m, 'a', "s");
	while (r >= 0 && n <= LIMIT_BULK_KEYS && (r = sd_bus_message_read(m, "s", &keys[n])) > 0)
		n++;
	if (r < 0)
		return bus_error_unread(error, r);
	keys[n] = NULL;
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	reader_get_many(self->area, keys, got_items, call);
	return 1;
}

/* ---- writing ---- */

static void wrote(void *data, int error, const char *detail, uint64_t serial)
{
	struct call *call = data;

	if (error)
		call_fail(call, error, detail);
	else
		call_reply(call, 0, "t", serial);
}

static int method_set_item(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct outbox_write write = { .op = OUTBOX_SET };
	struct bus_area *self = userdata;
	struct call *call;
	int r;

	r = sd_bus_message_read(m, "ss", &write.key, &write.value);
	if (r < 0)
		return bus_error_unread(error, r);
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	area_write(self->area, &write, 1, false, wrote, call);
	return 1;
}

static int method_remove_item(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct outbox_write write = { .op = OUTBOX_REMOVE };
	struct bus_area *self = userdata;
	struct call *call;
	int r;

	r = sd_bus_message_read(m, "s", &write.key);
	if (r < 0)
		return bus_error_unread(error, r);
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	area_write(self->area, &write, 1, false, wrote, call);
	return 1;
}

/* Return: how many, one more than may be at most; or a negative errno. */
static int read_writes(sd_bus_message *m, struct outbox_write *writes)
{
	struct outbox_write *write;
	int r, n = 0;

	r = sd_bus_message_enter_container(m, 'a', "{ss}");
	while (r >= 0 && n <= LIMIT_GROUP_ITEMS) {
		write = &writes[n];
		write->op = OUTBOX_SET;
		r = sd_bus_message_read(m, "{ss}", &write->key, &write->value);
		if (r <= 0)
			break;
		n++;
	}
	return r < 0 ? r : n;
}

static int method_set_items(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	g_autofree struct outbox_write *writes = g_new(struct outbox_write, LIMIT_GROUP_ITEMS + 1);
	struct bus_area *self = userdata;
	struct call *call;
	int r, n;

	n = read_writes(m, writes);
	if (n < 0)
		return bus_error_unread(error, n);
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	area_write(self->area, writes, (size_t)n, true, wrote, call);
	return 1;
}

/* ---- waiting ---- */

static int method_await(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	uint64_t serial, timeout;
	struct area_wait *wait;
	struct call *call;
	int r;

	r = sd_bus_message_read(m, "tt", &serial, &timeout);
	if (r < 0)
		return r;
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	wait = area_await(self->area, serial, timeout, call_done, call);
	call_set_wait(call, wait);
	return 1;
}

static int method_flush(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	struct area_wait *wait;
	struct call *call;
	uint64_t timeout;
	int r;

	r = sd_bus_message_read(m, "t", &timeout);
	if (r < 0)
		return r;
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	wait = area_flush(self->area, timeout, call_done, call);
	call_set_wait(call, wait);
	return 1;
}

/* ---- what was refused ---- */

static int method_retry_rejected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	struct call *call;
	uint64_t serial;
	int r;

	r = sd_bus_message_read(m, "t", &serial);
	if (r < 0)
		return r;
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	area_retry_rejected(self->area, serial, wrote, call);
	return 1;
}

static int method_drop_rejected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	struct call *call;
	uint64_t serial;
	int r;

	r = sd_bus_message_read(m, "t", &serial);
	if (r < 0)
		return r;
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	area_drop_rejected(self->area, serial, call_done, call);
	return 1;
}

/* ---- signals and properties ---- */

static int method_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;

	(void)error;
	subscription_add(self->subscriptions, callers_get(self->callers, m), self->area,
			 sd_bus_message_get_path(m));
	return sd_bus_reply_method_return(m, NULL);
}

static int method_unsubscribe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;

	(void)error;
	subscription_remove(self->subscriptions, callers_get(self->callers, m), self->area);
	return sd_bus_reply_method_return(m, NULL);
}

/* sd-bus gives every getter the same seven arguments; ours need two of them. */
#define GETTER(name)                                                                               \
	static int name(sd_bus *bus G_GNUC_UNUSED, const char *path G_GNUC_UNUSED,                 \
			const char *interface G_GNUC_UNUSED, const char *property G_GNUC_UNUSED,   \
			sd_bus_message *reply, void *userdata, sd_bus_error *error G_GNUC_UNUSED)

GETTER(get_area)
{
	struct bus_area *self = userdata;

	return sd_bus_message_append(reply, "s", area_full_name_own(area_name(self->area)));
}

GETTER(get_queue_size)
{
	struct bus_area *self = userdata;

	return sd_bus_message_append(reply, "u", area_queue_size(self->area));
}

GETTER(get_queue_bytes)
{
	struct bus_area *self = userdata;

	return sd_bus_message_append(reply, "t", area_queue_bytes(self->area));
}

#define PUBLIC SD_BUS_VTABLE_UNPRIVILEGED
#define SECRET (SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE) /* carries values */

const sd_bus_vtable bus_storage_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("GetItem", SD_BUS_ARGS("s", key), SD_BUS_RESULT("s", value),
				method_get_item, SECRET),
	SD_BUS_METHOD_WITH_ARGS("GetItemFull", SD_BUS_ARGS("s", key, "a{sv}", options),
				SD_BUS_RESULT("s", value, "a{sv}", info), method_get_item_full,
				SECRET),
	SD_BUS_METHOD_WITH_ARGS("GetItems", SD_BUS_ARGS("as", keys), SD_BUS_RESULT("a{ss}", items),
				method_get_items, SECRET),
	SD_BUS_METHOD_WITH_ARGS("ListKeys", SD_BUS_ARGS("s", prefix), SD_BUS_RESULT("as", keys),
				bus_queue_list_keys, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("SetItem", SD_BUS_ARGS("s", key, "s", value),
				SD_BUS_RESULT("t", serial), method_set_item, SECRET),
	SD_BUS_METHOD_WITH_ARGS("SetItems", SD_BUS_ARGS("a{ss}", items), SD_BUS_RESULT("t", serial),
				method_set_items, SECRET),
	SD_BUS_METHOD_WITH_ARGS("RemoveItem", SD_BUS_ARGS("s", key), SD_BUS_RESULT("t", serial),
				method_remove_item, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("Await", SD_BUS_ARGS("t", serial, "t", timeout_usec),
				SD_BUS_NO_RESULT, method_await, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("Flush", SD_BUS_ARGS("t", timeout_usec), SD_BUS_NO_RESULT,
				method_flush, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("ListQueue", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(tssstu)", entries),
				bus_queue_list_queue, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("ListRejected", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(tssst)", entries),
				bus_queue_list_rejected, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("GetRejected", SD_BUS_ARGS("t", serial), SD_BUS_RESULT("s", value),
				bus_queue_get_rejected, SECRET),
	SD_BUS_METHOD_WITH_ARGS("RetryRejected", SD_BUS_ARGS("t", serial),
				SD_BUS_RESULT("t", serial), method_retry_rejected, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("DropRejected", SD_BUS_ARGS("t", serial), SD_BUS_NO_RESULT,
				method_drop_rejected, PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_subscribe,
				PUBLIC),
	SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_unsubscribe,
				PUBLIC),
	SD_BUS_PROPERTY("Area", "s", get_area, 0, 0),
	SD_BUS_PROPERTY("QueueSize", "u", get_queue_size, 0, 0),
	SD_BUS_PROPERTY("QueueBytes", "t", get_queue_bytes, 0, 0),
	SD_BUS_SIGNAL_WITH_ARGS("ItemChanged", SD_BUS_ARGS("s", key, "s", origin), 0),
	SD_BUS_SIGNAL_WITH_ARGS("ItemRejected",
				SD_BUS_ARGS("t", serial, "s", key, "s", error, "s", message), 0),
	SD_BUS_SIGNAL_WITH_ARGS("ItemDropped", SD_BUS_ARGS("t", serial, "s", key), 0),
	SD_BUS_SIGNAL_WITH_ARGS("QueueChanged", SD_BUS_ARGS("u", size, "t", bytes), 0),
	SD_BUS_VTABLE_END,
};
