/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Refused entries; see rejects.h. Keys are copied, for the entries are freed before it is told. */

#include <string.h>

#include "base/clock.h"
#include "core/limits.h"
#include "core/outbox.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/rejects.h"
#include "store/store.h"

struct reject {
	struct area *area;
	uint64_t serial;
	uint64_t bytes;
	char *key;
	char *error;	/* NULL: an older one that went for want of room */
	char *message;
};

struct rejects {
	struct engine *engine;
	GPtrArray *list;	/* struct reject */
};

static void reject_free(void *data)
{
	struct reject *reject = data;

	g_free(reject->key);
	g_free(reject->error);
	g_free(reject->message);
	g_free(reject);
}

struct rejects *rejects_new(struct engine *engine)
{
	struct rejects *rejects = g_new0(struct rejects, 1);

	rejects->engine = engine;
	rejects->list = g_ptr_array_new_with_free_func(reject_free);
	return rejects;
}

struct rejects *rejects_free(struct rejects *rejects)
{
	if (!rejects)
		return NULL;

	g_ptr_array_unref(rejects->list);
	g_free(rejects);
	return NULL;
}

static struct reject *reject_add(struct rejects *rejects, struct area *area, uint64_t serial,
				 const char *key)
{
	struct reject *reject = g_new0(struct reject, 1);

	reject->area = area;
	reject->serial = serial;
	reject->key = g_strdup(key);
	g_ptr_array_add(rejects->list, reject);
	return reject;
}

void rejects_plan(struct rejects *rejects, struct store_tx *tx, struct area *area,
		  const struct outbox_entry *entry, const char *error, const char *message)
{
	struct reject *reject = reject_add(rejects, area, entry->serial, outbox_entry_key(entry));

	reject->bytes = outbox_entry_bytes(entry);
	reject->error = g_strdup(error);
	/* Cut, perhaps within a character: a thousand of them must fit one answer. */
	reject->message = util_make_valid(message, LIMIT_REASON_BYTES);
	store_tx_put_rejected(tx, area_id(area), entry, error, reject->message,
			      clock_realtime(rejects->engine->clock));
	store_tx_put_outcome(tx, area_id(area), outbox_entry_first(entry), entry->serial,
			     STORE_OUTCOME_REJECTED);
}

struct room {
	struct rejects *rejects;
	struct store_tx *tx;
	struct area *area;
	unsigned int rows;
	uint64_t bytes;
};

static int room_drop_oldest(void *data, const struct store_rejected *row)
{
	struct room *room = data;

	if (room->rows <= LIMIT_REJECTED_ROWS && room->bytes <= LIMIT_REJECTED_BYTES)
		return 1;
	room->rows--;
	room->bytes -= row->bytes;
	/* One that is retried or dropped by the very transaction goes without us. */
	if (area_takes_rejected(room->area, row->serial))
		return 0;
	store_tx_delete_rejected(room->tx, area_id(room->area), row->serial);
	reject_add(room->rejects, room->area, row->serial, row->key);
	return 0;
}

static int area_make_room(struct rejects *rejects, struct store_tx *tx, struct area *area,
			  unsigned int planned)
{
	struct room room = { .rejects = rejects, .tx = tx, .area = area };
	int r = store_rejected_total(rejects->engine->store, area_id(area), &room.rows,
				     &room.bytes);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < planned; i++) {
		const struct reject *reject = rejects->list->pdata[i];

		if (reject->area != area)
			continue;
		room.rows++;
		room.bytes += reject->bytes;
	}
	r = area_each_rejected(area, room_drop_oldest, &room);
	return r < 0 ? r : 0;
}

int rejects_plan_room(struct rejects *rejects, struct store_tx *tx)
{
	unsigned int planned = rejects->list->len;
	const struct area *last = NULL;
	int r = 0;

	/* The entries of an area stand together in a batch. */
	for (unsigned int i = 0; r == 0 && i < planned; i++) {
		struct reject *reject = rejects->list->pdata[i];

		if (reject->area != last)
			r = area_make_room(rejects, tx, reject->area, planned);
		last = reject->area;
	}
	return r;
}

void rejects_tell(struct rejects *rejects)
{
	struct metrics *metrics = &rejects->engine->metrics;

	for (unsigned int i = 0; i < rejects->list->len; i++) {
		const struct reject *reject = rejects->list->pdata[i];
		const struct area_event event = {
			.type = reject->error ? AREA_ITEM_REJECTED : AREA_ITEM_DROPPED,
			.key = reject->key,
			.serial = reject->serial,
			.error = reject->error,
			.message = reject->message,
		};

		metrics->rejections += reject->error != NULL;
		metrics->evictions += reject->error == NULL;
		area_emit(reject->area, &event);
	}
}
