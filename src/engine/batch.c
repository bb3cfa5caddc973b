/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The batch under way; see batch.h. */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/limits.h"
#include "core/outbox.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/batch.h"
#include "engine/copies.h"
#include "engine/fetcher.h"
#include "engine/lineage.h"
#include "engine/monitor.h"
#include "engine/rejects.h"
#include "store/store.h"

struct item {
	struct area *area;
	struct outbox_entry *entry;
	enum wire_op_error error;
	uint64_t revision;
	char *message;
};

struct batch {
	uint64_t number;
	char id[UTIL_ID_SIZE];
	uint64_t generation;	/* of copies, when it was acked */
	uint64_t acked_at;	/* boottime usec; 0 = of a duplicate, which says what was, not what is */
	bool duplicate;
	bool sent;		/* since the start */
	enum metrics_retry refusal;	/* what the parent last said to it; MAX: nothing */
	GArray *items;		/* struct item */
};

static struct item *batch_item(const struct batch *batch, unsigned int i)
{
	return &g_array_index(batch->items, struct item, i);
}

static void item_clear(void *item)
{
	g_free(((struct item *)item)->message);
}

struct batch *batch_new(uint64_t number, const char *id)
{
	struct batch *batch = g_new0(struct batch, 1);

	batch->number = number;
	batch->refusal = _METRICS_RETRY_MAX;
	if (id)
		g_strlcpy(batch->id, id, sizeof(batch->id));
	else
		util_random_id(batch->id);
	batch->items = g_array_new(FALSE, TRUE, sizeof(struct item));
	g_array_set_clear_func(batch->items, item_clear);
	return batch;
}

struct batch *batch_free(struct batch *batch)
{
	if (!batch)
		return NULL;

	g_array_unref(batch->items);
	g_free(batch);
	return NULL;
}

void batch_add(struct batch *batch, struct area *area, struct outbox_entry *entry)
{
	const struct item item = { .area = area, .entry = entry };

	g_array_append_val(batch->items, item);
}

struct batch *batch_form(const GPtrArray *areas, unsigned int first, uint64_t now)
{
	struct outbox_room room = { LIMIT_BATCH_OPS, LIMIT_BATCH_BYTES, .empty = true };
	g_autoptr(GPtrArray) taken = g_ptr_array_new();
	struct batch *batch = NULL;
	bool full = false;

	for (unsigned int i = 0; i < areas->len && !full; i++) {
		struct area *area = areas->pdata[(first + i) % areas->len];

		g_ptr_array_set_size(taken, 0);
		full = outbox_take(area_outbox(area), now, &room, taken);
		if (taken->len > 0 && !batch)
			batch = batch_new(0, NULL);
		for (unsigned int j = 0; j < taken->len; j++)
			batch_add(batch, area, taken->pdata[j]);
	}
	return batch;
}

void batch_set_number(struct batch *batch, uint64_t number)
{
	batch->number = number;
}

uint64_t batch_number(const struct batch *batch)
{
	return batch->number;
}

const char *batch_id(const struct batch *batch)
{
	return batch->id;
}

unsigned int batch_length(const struct batch *batch)
{
	return batch->items->len;
}

/* Whether the item at @i is the last of its area. */
static bool ends_area(const struct batch *batch, unsigned int i)
{
	return i + 1 == batch->items->len ||
	       batch_item(batch, i + 1)->area != batch_item(batch, i)->area;
}

/* Whether a new unit begins at @i: a single entry, or the first of a group. */
static bool begins_unit(const struct batch *batch, unsigned int i)
{
	return batch_item(batch, i)->entry->group_index <= 1;
}

void batch_plan_persist(const struct batch *batch, struct store_tx *tx)
{
	store_tx_begin_batch(tx, batch->number, batch->id);
	for (unsigned int i = 0; i < batch->items->len; i++)
		if (ends_area(batch, i))
			store_tx_batch_part(tx, area_id(batch_item(batch, i)->area),
					    batch_item(batch, i)->entry->serial);
	store_tx_require_sync(tx);
}

/* Why it has to go out again: it was refused, or the connection it went out on was lost. */
static enum metrics_retry batch_retry(const struct batch *batch, const struct engine *engine)
{
	if (batch->refusal != _METRICS_RETRY_MAX)
		return batch->refusal;
	return monitor_last_loss(engine->monitor) == PARENT_REASON_TIMEOUT ? METRICS_RETRY_TIMEOUT
									  : METRICS_RETRY_CLOSED;
}

/* One that is sent, or was, is not empty. */
static struct engine *batch_engine(const struct batch *batch)
{
	return area_engine(batch_item(batch, 0)->area);
}

/* A parent may go on refusing for days, and what it says of it stays out of the log. */
void batch_note_refusal(struct batch *batch, enum wire_class class, bool first)
{
	struct engine *engine = batch_engine(batch);
	bool full = class == WIRE_CAPACITY;

	if (full && !engine->parent_full)
		log_warning("the parent has no room: batch %" G_GUINT64_FORMAT " refused for now "
			    "(capacity), and sent again until it has", batch->number);
	else
		log_full(first ? LOG_INFO : LOG_DEBUG, "batch %" G_GUINT64_FORMAT
			 " refused for now (%s)", batch->number, wire_class_to_string(class));
	engine->parent_full = full;
	batch->refusal = full ? METRICS_RETRY_CAPACITY : METRICS_RETRY_TRANSIENT;
}

static void batch_count_sent(struct batch *batch)
{
	struct engine *engine = batch_engine(batch);

	engine->metrics.batches++;
	if (batch->sent)
		engine->metrics.batch_retries[batch_retry(batch, engine)]++;
	for (unsigned int i = 0; i < batch->items->len; i++)
		engine->metrics.sent_bytes += outbox_entry_bytes(batch_item(batch, i)->entry);
	batch->sent = true;
	batch->refusal = _METRICS_RETRY_MAX;
}

void batch_send(struct batch *batch, struct parent *parent)
{
	g_autofree struct wire_op *ops = g_new0(struct wire_op, batch->items->len);
	const struct parent_batch sent = {
		.number = batch->number,
		.id = batch->id,
		.ops = ops,
		.n_ops = batch->items->len,
	};
	uint64_t groups = 0;

	for (unsigned int i = 0; i < batch->items->len; i++) {
		const struct item *item = batch_item(batch, i);

		if (item->entry->group_index == 1)
			groups++;
		ops[i].area = area_name(item->area);
		ops[i].key = outbox_entry_key(item->entry);
		ops[i].value = outbox_entry_value(item->entry);
		ops[i].grouped = item->entry->group_index != 0;
		ops[i].group = ops[i].grouped ? groups : 0;
		item->entry->attempts++;
	}
	batch_count_sent(batch);
	parent->ops->apply(parent, &sent);
}

/* ---- results ---- */

/* The unit that begins at @first was refused as a whole if any of it was. */
static unsigned int spread_error(struct batch *batch, unsigned int first)
{
	const struct item *refused = NULL;
	unsigned int end = first;

	do {
		if (batch_item(batch, end)->error && !refused)
			refused = batch_item(batch, end);
		end++;
	} while (end < batch->items->len && !begins_unit(batch, end));

	for (unsigned int i = first; refused && i < end; i++) {
		struct item *item = batch_item(batch, i);

		if (item->error)
			continue;
		item->error = refused->error;
		item->message = g_strdup(refused->message);
	}
	return end;
}

static bool batch_take_results(struct batch *batch, const struct wire_result *results, size_t n)
{
	if (n != batch->items->len)
		return false;

	for (unsigned int i = 0; i < n; i++) {
		struct item *item = batch_item(batch, i);

		item->error = results[i].error;
		item->revision = results[i].revision;
		g_free(item->message);
		item->message = g_strdup(results[i].message);
	}
	for (unsigned int i = 0; i < n;)
		i = spread_error(batch, i);
	return true;
}

static void batch_count_ack(const struct batch *batch, bool duplicate)
{
	struct metrics *metrics = &batch_engine(batch)->metrics;

	metrics->acks++;
	metrics->duplicate_acks += duplicate;
	for (unsigned int i = 0; i < batch->items->len; i++)
		metrics->acked_operations += !batch_item(batch, i)->error;
}

const char *batch_take_ack(struct batch *batch, const struct message *ack)
{
	if (strcmp(ack->batch_ack.id, batch->id) != 0)
		return "the parent acked another batch than ours";
	if (!ack->batch_ack.has_results)
		return "the parent acked a batch without results";
	if (!batch_take_results(batch, ack->batch_ack.results, ack->batch_ack.n_results))
		return "the parent acked a batch with the wrong number of results";
	batch->duplicate = ack->batch_ack.duplicate;
	batch_count_ack(batch, batch->duplicate);
	return NULL;
}

void batch_refuse(struct batch *batch, const char *message)
{
	for (unsigned int i = 0; i < batch->items->len; i++) {
		struct item *item = batch_item(batch, i);

		item->error = WIRE_OP_REJECTED;
		g_free(item->message);
		item->message = g_strdup(message);
	}
}

uint64_t batch_first_revision(const struct batch *batch)
{
	for (unsigned int i = 0; i < batch->items->len; i++)
		if (!batch_item(batch, i)->error)
			return batch_item(batch, i)->revision;
	return 0;
}

uint64_t batch_last_revision(const struct batch *batch)
{
	uint64_t revision = 0;

	for (unsigned int i = 0; i < batch->items->len; i++)
		if (!batch_item(batch, i)->error)
			revision = MAX(revision, batch_item(batch, i)->revision);
	return revision;
}

/* ---- parting ---- */

unsigned int batch_units(const struct batch *batch)
{
	unsigned int units = 0;

	for (unsigned int i = 0; i < batch->items->len; i++)
		units += begins_unit(batch, i);
	return units;
}

struct batch *batch_first_half(const struct batch *batch, uint64_t number)
{
	struct batch *half = batch_new(number, NULL);
	unsigned int units = batch_units(batch) / 2;

	for (unsigned int i = 0; i < batch->items->len; i++) {
		if (begins_unit(batch, i) && units-- == 0)
			break;
		batch_add(half, batch_item(batch, i)->area, batch_item(batch, i)->entry);
	}
	return half;
}

void batch_release(struct batch *batch, unsigned int keep)
{
	for (unsigned int i = keep; i < batch->items->len; i++)
		outbox_release(area_outbox(batch_item(batch, i)->area), batch_item(batch, i)->entry);
}

/* ---- settling ---- */

static const char *error_word(enum wire_op_error error)
{
	return error == WIRE_OP_QUOTA ? "quota" : "rejected";
}

/* An ack of a parent that is another now, or lost data, says nothing about that one's revisions. */
static bool is_distrusted(const struct batch *batch, const struct engine *engine)
{
	return batch->generation != lineage_generation(engine->lineage);
}

static void plan_trim_item(const struct batch *batch, const struct item *item,
			   struct engine *engine, struct store_tx *tx, struct rejects *rejects)
{
	uint64_t revision = is_distrusted(batch, engine) ? 0 : item->revision;

	if (item->error)
		rejects_plan(rejects, tx, item->area, item->entry, error_word(item->error),
			     item->message ? item->message : "");
	else
		store_tx_put_item(tx, area_id(item->area), outbox_entry_key(item->entry),
				  outbox_entry_value(item->entry), revision,
				  lineage_generation(engine->lineage),
				  clock_realtime(engine->clock));
}

int batch_plan_trim(const struct batch *batch, struct engine *engine, struct store_tx *tx,
		    struct rejects *rejects)
{
	for (unsigned int i = 0; i < batch->items->len; i++) {
		const struct item *item = batch_item(batch, i);
		int64_t area = area_id(item->area);

		plan_trim_item(batch, item, engine, tx, rejects);
		if (!ends_area(batch, i))
			continue;
		store_tx_trim(tx, area, item->entry->serial);
		store_tx_evict_items(tx, area, engine->ops->items_limit(engine->ops_data, area));
	}
	store_tx_end_batch(tx);
	return rejects_plan_room(rejects, tx);
}

void batch_settle(struct batch *batch, struct engine *engine)
{
	engine->parent_full = false;
	batch->generation = lineage_generation(engine->lineage);
	batch->acked_at = batch->duplicate ? 0 : clock_boottime(engine->clock);
	for (unsigned int i = 0; i < batch->items->len; i++) {
		const struct item *item = batch_item(batch, i);

		fetcher_touch(engine->fetcher, area_id(item->area), outbox_entry_key(item->entry));
	}
}

void batch_trim(struct batch *batch, struct engine *engine)
{
	for (unsigned int i = 0; i < batch->items->len; i++) {
		struct item *item = batch_item(batch, i);
		int64_t area = area_id(item->area);
		const char *key = outbox_entry_key(item->entry);

		fetcher_touch(engine->fetcher, area, key);
		if (!item->error && !is_distrusted(batch, engine))
			copies_acked(engine->copies, area, key, outbox_entry_value(item->entry),
				     item->revision, batch->acked_at);
		outbox_trim(area_outbox(item->area), item->entry);
		item->entry = NULL;
	}
}

void batch_each_area(const struct batch *batch, void (*func)(void *data, struct area *area),
		     void *data)
{
	g_autoptr(GPtrArray) areas = g_ptr_array_new();

	for (unsigned int i = 0; i < batch->items->len; i++)
		if (ends_area(batch, i))
			g_ptr_array_add(areas, batch_item(batch, i)->area);
	for (unsigned int i = 0; i < areas->len; i++)
		func(data, areas->pdata[i]);
}
