/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the parent said lately: answers that may be given again while they are fresh. A bounded map
 * from (area, key) to a value or an authoritative "absent", least recently used out first. Time is
 * CLOCK_BOOTTIME, so that a suspend ages what is held.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

struct cache_entry {
	const char *value;	/* NULL: the parent said "absent" */
	size_t value_len;
	uint64_t revision;
	uint64_t filled_at;	/* boottime usec */
};

/**
 * cache_new() - an empty cache.
 * @max_bytes: the most that keys, values and a fixed cost per entry may take together
 */
struct cache *cache_new(size_t max_bytes);
struct cache *cache_free(struct cache *cache);

/** cache_set_max_bytes() - a new bound; what is over it goes at once. */
void cache_set_max_bytes(struct cache *cache, size_t max_bytes);

/**
 * cache_find() - what is held for @key, fresh or not, without counting as a use.
 *
 * Return: borrowed until the next call that changes the cache, or NULL.
 */
const struct cache_entry *cache_find(struct cache *cache, int64_t area, const char *key);

/**
 * cache_get() - a fresh answer for @key: one younger than @ttl. Counts as a use, and as a hit or a
 * miss. Takes no memory.
 * @ttl: usec; 0 = nothing is ever fresh
 *
 * Return: borrowed until the next call that changes the cache, or NULL.
 */
const struct cache_entry *cache_get(struct cache *cache, int64_t area, const char *key,
				    uint64_t ttl, uint64_t now);

/**
 * cache_put() - hold @value for @key, in place of what was there. An entry larger than the whole
 * cache is not held, and what was there goes.
 * @value: NULL for "absent"
 */
void cache_put(struct cache *cache, int64_t area, const char *key, const char *value,
	       uint64_t revision, uint64_t now);

/** cache_drop() - forget @key. Return: whether it was held. */
bool cache_drop(struct cache *cache, int64_t area, const char *key);

/** cache_clear() - forget everything: another parent, or one that lost data. */
void cache_clear(struct cache *cache);

size_t cache_bytes(const struct cache *cache);
size_t cache_count(const struct cache *cache);
uint64_t cache_hits(const struct cache *cache);
uint64_t cache_misses(const struct cache *cache);
