/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The store itself as parent; see local.h. Revisions are the area's serials. The items are marked
 * as our own, so that no parent configured later can make us forget them by not knowing them. */

#include <string.h>

#include "base/clock.h"
#include "core/config.h"
#include "engine/copies.h"
#include "engine/local.h"
#include "store/store.h"

static int64_t item_bytes(const char *key, const char *value)
{
	return (int64_t)(strlen(key) + (value ? strlen(value) : 0));
}

static int64_t write_growth(struct engine *engine, int64_t area, const struct outbox_write *write)
{
	struct store_item item = { 0 };
	int64_t bytes = write->op == OUTBOX_SET ? item_bytes(write->key, write->value) : 0;

	if (copies_local(engine->copies, area, write->key, &item) == 1)
		bytes -= item_bytes(write->key, item.value);
	g_free(item.value);
	return bytes;
}

int64_t local_growth(struct engine *engine, int64_t area, const struct outbox_write *writes,
		     size_t n)
{
	int64_t growth = 0;

	for (size_t i = 0; i < n; i++)
		growth += write_growth(engine, area, &writes[i]);
	return growth;
}

bool local_admit(struct engine *engine, int64_t area, int64_t growth, int64_t planned)
{
	int64_t bytes = (int64_t)store_item_bytes(engine->store, area);

	return growth <= 0 ||
	       bytes + planned + growth <= (int64_t)engine->config->storage_max_bytes;
}

void local_plan(struct engine *engine, int64_t area, struct outbox *outbox, struct store_tx *tx)
{
	struct outbox_room room = { .ops = SIZE_MAX, .bytes = SIZE_MAX };
	g_autoptr(GPtrArray) taken = g_ptr_array_new();
	const struct outbox_entry *entry;

	outbox_force(outbox);
	outbox_take(outbox, clock_monotonic(engine->clock), &room, taken);
	for (unsigned int i = 0; i < taken->len; i++) {
		entry = taken->pdata[i];
		/* First the old row, whose revision may be that of a real parent, far ahead. */
		store_tx_delete_item(tx, area, entry->data);
		if (entry->op == OUTBOX_SET)
			store_tx_put_item(tx, area, entry->data, outbox_entry_value(entry),
					  entry->serial, STORE_GENERATION_OWN,
					  clock_realtime(engine->clock));
		if (entry->stored)
			store_tx_delete_entry(tx, area, entry->serial);
	}
}

void local_settle(struct engine *engine, int64_t area, struct outbox *outbox)
{
	const struct outbox_entry *entry;

	while ((entry = outbox_first(outbox)) && entry->state == OUTBOX_IN_FLIGHT) {
		copies_acked(engine->copies, area, entry->data, outbox_entry_value(entry),
			     entry->serial, clock_boottime(engine->clock));
		outbox_trim(outbox, (struct outbox_entry *)entry);
	}
}
