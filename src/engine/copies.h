/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the parent is known to hold: the cache in front, the items on disk behind. Fed by answers
 * to gets and by acked batches, never by writes that the parent has not acked.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/cache.h"
#include "engine/engine.h"
#include "store/store.h"

struct copies;

struct copies *copies_new(struct engine *engine);
struct copies *copies_free(struct copies *copies);

/** copies_stop() - begin no commit any more. */
void copies_stop(struct copies *copies);

/** copies_add_area() - @owner's (area_owner()) new area; before anything else is asked of it. */
void copies_add_area(struct copies *copies, int64_t area, int64_t owner);

struct copies_counts {
	uint64_t entries, bytes;	/* held */
	uint64_t hits, misses;		/* of copies_fresh() */
};
/** copies_count() - the cache in numbers, that of all owners. */
void copies_count(const struct copies *copies, struct copies_counts *ret_counts);

/** copies_reconfigured() - a new [Cache] MaxBytes, which each owner has. */
void copies_reconfigured(struct copies *copies);

/** copies_fresh() - an answer younger than @ttl usec; borrowed until the next call. NULL: none. */
const struct cache_entry *copies_fresh(struct copies *copies, int64_t area, const char *key,
				       uint64_t ttl);

/**
 * copies_local() - what was last known, however old.
 * @ret_item: ->value is to be freed; NULL: the parent does not have it
 *
 * Return: 1; 0 never known; -EBADMSG not text; another negative errno of the store.
 */
int copies_local(struct copies *copies, int64_t area, const char *key,
		 struct store_item *ret_item);

enum copies_fill {
	COPIES_FILLED,	/* held now; nothing else was known */
	COPIES_CHANGED,	/* held now, in place of something else that was known */
	COPIES_OLDER,	/* something newer is held: not taken */
	COPIES_OWN,	/* the parent has nothing, but we have what no parent ever held: kept */
};

/**
 * copies_fill() - the parent answered a get.
 * @value: NULL: absent. Copied.
 *
 * Goes to the cache and, in the next commit, to the items; an absent key that was never known stays
 * in the cache alone.
 */
enum copies_fill copies_fill(struct copies *copies, int64_t area, const char *key,
			     const char *value, uint64_t revision);

/** copies_acked() - the parent holds @value (NULL: nothing) since @revision; the caller's
 * transaction took it into the items.
 * @acked_at: boottime usec when it said so; 0: it had applied it before, and may have something
 *            newer by now, so nothing is answered from the cache */
void copies_acked(struct copies *copies, int64_t area, const char *key, const char *value,
		  uint64_t revision, uint64_t acked_at);

/** copies_forget() - nothing is known of @key any more; its row goes in the next commit that works.
 * Return: false where too many rows wait to go already, and nothing was changed. */
bool copies_forget(struct copies *copies, int64_t area, const char *key);

/** copies_distrust() - the generation changed: nothing is fresh any more. */
void copies_distrust(struct copies *copies);

/** copies_each_unwritten() - the answers of @area that are not in the items yet. */
void copies_each_unwritten(struct copies *copies, int64_t area,
			   void (*func)(void *data, const char *key, bool absent), void *data);
