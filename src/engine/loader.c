/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Loading; see loader.h. Of the batch under way the store keeps, in order, up to which serial each
 * area is part of it; so the areas are loaded first, and then the batch is read off them.
 */

#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/batch.h"
#include "engine/loader.h"

struct part {
	int64_t area;
	uint64_t upto;
};

struct load {
	struct loader *loader;
	GArray *parts;		/* struct part */
	GHashTable *areas;	/* &id → struct area */
	struct area *area;	/* being loaded */
	uint64_t upto;		/* its entries up to this are in flight */
	int error;
};

static int load_part(void *data, int64_t area, uint64_t upto)
{
	struct load *load = data;
	const struct part part = { .area = area, .upto = upto };

	g_array_append_val(load->parts, part);
	return 0;
}

static uint64_t part_upto(const struct load *load, int64_t area)
{
	for (unsigned int i = 0; i < load->parts->len; i++)
		if (g_array_index(load->parts, struct part, i).area == area)
			return g_array_index(load->parts, struct part, i).upto;
	return 0;
}

static int load_entry(void *data, const struct store_entry *row)
{
	struct load *load = data;
	const struct outbox_write write = {
		.op = row->remove ? OUTBOX_REMOVE : OUTBOX_SET,
		.key = row->key,
		.value = row->value,
	};
	struct outbox_entry *entry;

	if (row->unclean)
		return -EUCLEAN; /* the store lets no such row in: it was damaged since it opened */
	entry = outbox_load(area_outbox(load->area), row->serial, row->first, row->group_index,
			    &write, row->queued_at, row->serial <= load->upto);
	entry->stored = true;
	return 0;
}

static int load_area(void *data, int64_t id, const char *name, uint64_t serial_reserved)
{
	struct load *load = data;
	struct loader *loader = load->loader;
	struct area *area = area_new(loader->engine, id, name, MAX(serial_reserved, 1));

	area_note_stored(area);
	load->area = area;
	load->upto = part_upto(load, id);
	loader->ret_next_id = MAX(loader->ret_next_id, id + 1);
	g_hash_table_insert(load->areas, g_memdup2(&id, sizeof(id)), area);
	loader->add(loader->data, area);
	load->error = store_each_entry(loader->engine->store, id, load_entry, load);
	return load->error < 0;
}

/*
 * Sent again, a batch must be what it was. Should the newest row of a part be missing, it is not:
 * then its entries wait anew.
 */
static void load_batch(struct load *load)
{
	const struct store_state *state = load->loader->state;
	struct batch *batch = batch_new(state->batch_number, state->batch_id);
	bool whole = true;

	for (unsigned int i = 0; i < load->parts->len; i++) {
		const struct part *part = &g_array_index(load->parts, struct part, i);
		struct area *area = g_hash_table_lookup(load->areas, &part->area);
		const struct outbox_entry *entry;
		uint64_t last = 0;

		for (entry = area ? outbox_first(area_outbox(area)) : NULL;
		     entry && entry->state == OUTBOX_IN_FLIGHT; entry = outbox_next(entry)) {
			batch_add(batch, area, (struct outbox_entry *)entry);
			last = entry->serial;
		}
		whole &= last == part->upto;
	}
	if (whole && batch_length(batch) > 0) {
		load->loader->ret_batch = batch;
		return;
	}
	batch_release(batch, 0);
	batch_free(batch);
}

int loader_run(struct loader *loader)
{
	struct load load = { .loader = loader };
	struct store *store = loader->engine->store;
	bool resume = loader->state->batch_number && !loader->dissolve;
	int r = 0;

	loader->ret_next_id = 1;
	loader->ret_batch = NULL;
	load.parts = g_array_new(FALSE, FALSE, sizeof(struct part));
	load.areas = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	if (resume)
		r = store_each_part(store, load_part, &load);
	if (r >= 0)
		r = store_each_area(store, load_area, &load);
	if (r >= 0)
		r = load.error;
	if (r >= 0 && resume)
		load_batch(&load);
	g_array_unref(load.parts);
	g_hash_table_unref(load.areas);
	return r < 0 ? r : 0;
}

static void init_done(void *data, int result)
{
	*(int *)data = result;
}

static void add_new_area(struct loader *loader, const char *name)
{
	struct area *area = area_new(loader->engine, loader->ret_next_id++, name, 1);

	area_note_stored(area);
	loader->add(loader->data, area);
}

int loader_init_store(struct loader *loader, const char *client, const char *area)
{
	struct store *store = loader->engine->store;
	struct store_tx *tx = store_tx_new();
	int result = 0;

	if (client)
		store_tx_client(tx, client);
	if (loader->state->batch_number && !loader->ret_batch)
		store_tx_end_batch(tx);
	if (area)
		store_tx_add_area(tx, loader->ret_next_id, area);
	if (store_tx_is_empty(tx)) {
		store_tx_free(tx);
		return 0;
	}
	store_tx_require_sync(tx);
	store_submit(store, tx, init_done, &result);
	store_drain(store);
	if (result == 0 && area)
		add_new_area(loader, area);
	return result;
}
