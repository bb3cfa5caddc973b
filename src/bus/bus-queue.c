/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists of what is known and what waits. What a damaged store gives back is checked to be text
 * before it is sent: a bus ends the connection of whoever sends anything else.
 */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"
#include "bus/bulk.h"
#include "bus/bus-area.h"
#include "bus/bus-queue.h"
#include "bus/call.h"
#include "core/error.h"
#include "engine/area.h"

/* Take on the call and run @func with it when what was written before is settled. */
static int when_settled(sd_bus_message *m, struct bus_area *self, void (*func)(void *call),
			sd_bus_error *error)
{
	struct call *call;
	int r;

	r = call_new(self->callers, m, self->area, &call, error);
	if (r < 0)
		return r;
	area_when_settled(self->area, func, call);
	return 1;
}

static void send_keys(void *data)
{
	struct call *call = data;
	g_autoptr(GPtrArray) keys = NULL;
	const char *prefix = "";
	struct bulk bulk;
	int r;

	bulk_start(&bulk, call, "s");
	r = sd_bus_message_rewind(call_message(call), true);
	if (r >= 0)
		r = sd_bus_message_read(call_message(call), "s", &prefix);
	if (r >= 0)
		r = area_list_keys(call_data(call), prefix, &keys);
	for (guint i = 0; r >= 0 && i < keys->len; i++) {
		const char *key = g_ptr_array_index(keys, i);

		/* A damaged one that nobody can name must not cost the others. */
		if (util_text_valid(key))
			bulk_add(&bulk, strlen(key), "s", key);
	}
	bulk_end(&bulk, r == -EBADMSG ? HF_INVALID_ARGS : MIN(r, 0),
		 "These are more keys than one answer may carry; ask with a longer prefix.");
}

int bus_queue_list_keys(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return when_settled(m, userdata, send_keys, error);
}

static void add_queued(void *data, const struct area_queue_row *row)
{
	g_autofree char *key = util_make_valid(row->key, SIZE_MAX);

	bulk_add(data, strlen(key), "(tssstu)", row->serial, row->remove ? "remove" : "set", key,
		 row->state, row->queued_at, row->attempts);
}

static void send_queue(void *data)
{
	struct call *call = data;
	struct bulk bulk;

	bulk_start(&bulk, call, "(tssstu)");
	area_each_queued(call_data(call), add_queued, &bulk);
	bulk_end(&bulk, 0,
		 "The queue is longer than one answer may carry; Flush, or ask QueueSize.");
}

int bus_queue_list_queue(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return when_settled(m, userdata, send_queue, error);
}

static int add_rejected(void *data, const struct store_rejected *row)
{
	g_autofree char *key = util_make_valid(row->key, SIZE_MAX);
	g_autofree char *message = util_make_valid(row->message ? row->message : "",
						   SIZE_MAX);

	bulk_add(data, strlen(key) + strlen(message), "(tssst)", row->serial,
		 row->remove ? "remove" : "set", key, message, row->rejected_at);
	return 0;
}

static void send_rejected(void *data)
{
	struct call *call = data;
	struct bulk bulk;
	int r;

	bulk_start(&bulk, call, "(tssst)");
	r = area_each_rejected(call_data(call), add_rejected, &bulk);
	bulk_end(&bulk, r < 0 ? r : 0,
		 "These are more entries than one answer may carry; DropRejected some.");
}

int bus_queue_list_rejected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return when_settled(m, userdata, send_rejected, error);
}

static int copy_value(void *data, const struct store_rejected *row)
{
	*(char **)data = g_strdup(row->value ? row->value : "");
	return 0;
}

static void send_rejected_value(void *data)
{
	struct call *call = data;
	g_autofree char *value = NULL;
	uint64_t serial = 0;
	int r;

	r = sd_bus_message_rewind(call_message(call), true);
	if (r >= 0)
		r = sd_bus_message_read(call_message(call), "t", &serial);
	if (r >= 0)
		r = area_get_rejected(call_data(call), serial, copy_value, &value);
	if (r < 0 && r != -EBADMSG)
		call_fail(call, r, NULL);
	else if (r == 0 || (r > 0 && !value))
		call_fail(call, HF_INVALID_VALUE,
			  "No refused entry has this serial; see ListRejected.");
	else if (r < 0 || !g_utf8_validate(value, -1, NULL))
		call_fail(call, HF_INVALID_VALUE,
			  "The refused value is not text any more; use DropRejected.");
	else
		call_reply(call, strlen(value), "s", value);
}

int bus_queue_get_rejected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return when_settled(m, userdata, send_rejected_value, error);
}
