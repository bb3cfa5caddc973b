/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sorted array of areas; see area-set.h. There are few, and they are looked up far more often
 * than added. */

#include <string.h>

#include "base/util.h"
#include "core/config.h"
#include "engine/area-inner.h"
#include "engine/area-set.h"
#include "engine/area.h"
#include "engine/engine.h"
#include "parent/parent.h"
#include "store/store.h"

void area_set_deinit(struct area_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		area_free(set->areas[i]);
	g_free(set->areas);
	*set = (struct area_set){ 0 };
}

/* The place of @name, or where it would go. */
static unsigned int area_set_place(const struct area_set *set, const char *name)
{
	unsigned int low = 0, high = set->count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (strcmp(area_name(set->areas[middle]), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void area_set_add(struct area_set *set, struct area *area)
{
	unsigned int place = area_set_place(set, area_name(area));

	set->areas = g_renew(struct area *, set->areas, set->count + 1);
	memmove(&set->areas[place + 1], &set->areas[place],
		(set->count - place) * sizeof(struct area *));
	set->areas[place] = area;
	set->count++;
}

struct area *area_set_find(const struct area_set *set, const char *name)
{
	unsigned int place = area_set_place(set, name);

	if (place < set->count && strcmp(area_name(set->areas[place]), name) == 0)
		return set->areas[place];
	return NULL;
}

struct area *area_set_find_id(const struct area_set *set, int64_t id)
{
	for (unsigned int i = 0; i < set->count; i++)
		if (area_id(set->areas[i]) == id)
			return set->areas[i];
	return NULL;
}

void area_set_each(const struct area_set *set, void (*func)(void *data, struct area *area),
		   void *data)
{
	for (unsigned int i = 0; i < set->count; i++)
		func(data, set->areas[i]);
}

unsigned int area_set_count(const struct area_set *set, int64_t owner)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < set->count; i++)
		count += area_owner(set->areas[i]) == owner;
	return count;
}

/* Keys + values that @owner has queued or is about to, and with @items those held as well. */
static uint64_t bytes_of(const struct area_set *set, struct store *store, int64_t owner, bool items)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < set->count; i++) {
		if (area_owner(set->areas[i]) != owner)
			continue;
		bytes += area_planned_bytes(set->areas[i]);
		if (items)
			bytes += store_item_bytes(store, area_id(set->areas[i]));
	}
	return bytes;
}

uint64_t area_set_room(const struct area_set *set, const struct engine *engine, int64_t owner)
{
	return usec_sub(engine->config->limits_bytes_per_user,
			bytes_of(set, engine->store, owner, engine->parent->local));
}

uint64_t area_set_items_limit(const struct area_set *set, const struct engine *engine, int64_t id)
{
	const struct config *config = engine->config;
	uint64_t own = store_item_bytes(engine->store, id);
	const struct area *area = area_set_find_id(set, id);
	uint64_t others = bytes_of(set, engine->store, area ? area_owner(area) : -1, true) - own;

	return MIN(config->storage_max_bytes, usec_sub(config->limits_bytes_per_user, others));
}

uint64_t area_set_queued(const struct area_set *set)
{
	uint64_t entries = 0;

	for (unsigned int i = 0; i < set->count; i++)
		entries += area_queue_size(set->areas[i]);
	return entries;
}
