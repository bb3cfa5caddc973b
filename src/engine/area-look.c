/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Looking into an area (area.h): its queue, its keys, what was refused. Changes nothing. */

#include <string.h>

#include "base/clock.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/copies.h"
#include "store/store.h"

void area_each_queued(struct area *area, void (*func)(void *data, const struct area_queue_row *row),
		      void *data)
{
	struct outbox *outbox = area_outbox(area);
	uint64_t now = clock_monotonic(area_engine(area)->clock);
	const struct outbox_entry *held = outbox_first_held(outbox, now);
	const struct outbox_entry *entry;
	bool is_held = false;
	int64_t step = engine_wall_step(area_engine(area));

	for (entry = outbox_first(outbox); entry; entry = outbox_next(entry)) {
		struct area_queue_row row = {
			.serial = entry->serial,
			.key = outbox_entry_key(entry),
			.queued_at = entry->queued_at + (uint64_t)step,
			.attempts = entry->attempts,
			.remove = entry->op == OUTBOX_REMOVE,
		};

		is_held |= entry == held;
		row.state = entry->state == OUTBOX_IN_FLIGHT ? "in-flight" :
			    is_held			     ? "held" :
							       "pending";
		func(data, &row);
	}
}

/* Later sources overrule earlier ones: the items, answers on their way there, the outbox. */
struct key_set {
	const char *prefix;
	GHashTable *keys;
};

static void key_set_change(void *data, const char *key, bool absent)
{
	struct key_set *set = data;

	if (!g_str_has_prefix(key, set->prefix))
		return;
	if (absent)
		g_hash_table_remove(set->keys, key);
	else if (!g_hash_table_contains(set->keys, key))
		g_hash_table_add(set->keys, g_strdup(key));
}

static int key_set_add(void *data, const char *key)
{
	key_set_change(data, key, false);
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The keys pass from the set to the array. */
static GPtrArray *key_set_sorted(struct key_set *set)
{
	GPtrArray *keys = g_ptr_array_new_full(g_hash_table_size(set->keys), g_free);
	GHashTableIter iter;
	void *key;

	g_hash_table_iter_init(&iter, set->keys);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		g_hash_table_iter_steal(&iter);
		g_ptr_array_add(keys, key);
	}
	g_ptr_array_sort(keys, compare_keys);
	return keys;
}

int area_list_keys(struct area *area, const char *prefix, GPtrArray **ret_keys)
{
	struct engine *engine = area_engine(area);
	g_autoptr(GHashTable) keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct key_set set = { .prefix = prefix, .keys = keys };
	const struct outbox_entry *entry;
	int r;

	r = store_each_key(engine->store, area_id(area), prefix, key_set_add, &set);
	if (r < 0)
		return r;
	copies_each_unwritten(engine->copies, area_id(area), key_set_change, &set);
	for (entry = outbox_first(area_outbox(area)); entry; entry = outbox_next(entry))
		key_set_change(&set, outbox_entry_key(entry), entry->op == OUTBOX_REMOVE);
	*ret_keys = key_set_sorted(&set);
	return 0;
}

int area_each_rejected(struct area *area, store_rejected_func_t func, void *data)
{
	return store_each_rejected(area_engine(area)->store, area_id(area), func, data);
}

int area_get_rejected(struct area *area, uint64_t serial, store_rejected_func_t func, void *data)
{
	return store_get_rejected(area_engine(area)->store, area_id(area), serial, func, data);
}
