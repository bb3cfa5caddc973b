/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The areas there are, sorted by name. An area, once added, stays until the set goes. */

#include <stdbool.h>
#include <stdint.h>

struct area;
struct engine;

/* Embedded in its owner; all zero is an empty set. */
struct area_set {
	struct area **areas;
	unsigned int count;
};

/** area_set_deinit() - free the areas too. */
void area_set_deinit(struct area_set *set);

/** area_set_add() - take over @area, whose name is new. */
void area_set_add(struct area_set *set, struct area *area);

struct area *area_set_find(const struct area_set *set, const char *name);
struct area *area_set_find_id(const struct area_set *set, int64_t id);

/** area_set_each() - in the order of their names; @func must not add any. */
void area_set_each(const struct area_set *set, void (*func)(void *data, struct area *area),
		   void *data);

/** area_set_count() - how many belong to @owner. */
unsigned int area_set_count(const struct area_set *set, int64_t owner);

/** area_set_room() - bytes that the queued writes of @owner may still grow by: BytesPerUser, less
 * what is queued or about to be. Copies make way for writes; but where the store is the parent, the
 * items are no copies. */
uint64_t area_set_room(const struct area_set *set, const struct engine *engine, int64_t owner);

/** area_set_items_limit() - bytes that the items of @area, an id, may take: MaxBytes, or what
 * BytesPerUser leaves. */
uint64_t area_set_items_limit(const struct area_set *set, const struct engine *engine,
			      int64_t area);

/** area_set_queued() - entries queued in all of them. */
uint64_t area_set_queued(const struct area_set *set);
