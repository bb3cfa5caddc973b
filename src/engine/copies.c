/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The cache and the items as one; see copies.h.
 *
 * Each owner of areas has a share of its own, so that what one user reads does not drive out what
 * another has read, who could tell: by the source of an answer, or by there being none offline.
 * Only where there are very many users does the cache of who was away for longest go, as a whole.
 *
 * An answer goes to the cache at once and waits in `fills`, a map by (area, key), for a commit that
 * takes it to the items. While one is being committed it lives in `writing`, for the store borrows
 * its strings. A row is only rewritten where it would change or has become old, so that reading
 * does not wear the disk.
 */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "core/config.h"
#include "core/limits.h"
#include "engine/committer.h"
#include "engine/copies.h"
#include "engine/lineage.h"

#define FILLS_MAX	 1000			/* a share's answers waiting for the disk; more stay in RAM */
#define RETRY_AFTER	 (1 * USEC_PER_SEC)	/* what must go is tried again this often */
#define REWRITE_AFTER	 (60 * USEC_PER_SEC)	/* an unchanged row's age is refreshed this often */

struct fill {
	int64_t area;
	char *key;
	char *value;		/* NULL: absent */
	uint64_t revision;
	uint64_t generation;
	uint64_t stored_at;	/* realtime usec */
	bool forget;		/* not an answer: the row is to go */
	bool replaces;		/* an answer; the row from before it is to go in any case */
};

/* What is one owner's. */
struct share {
	int64_t owner;
	struct cache *cache;
	size_t counted;		/* bytes of it that are in copies->bytes */
	uint64_t used;		/* what copies->uses was then */
	GHashTable *fills;	/* set of struct fill, by area and key */
};

struct copies {
	struct engine *engine;
	GPtrArray *shares;	/* struct share */
	size_t bytes;		/* of all caches; what was dropped since may still be counted */
	uint64_t uses;		/* of any cache */
	GHashTable *by_area;	/* int64_t of an area → its owner's share */
	GPtrArray *writing;	/* struct fill, in the transaction under way */
	struct commit_member member;
	struct timer retry;
	bool stopped;		/* no commit is begun any more */
};

static unsigned int fill_hash(const void *data)
{
	const struct fill *fill = data;

	return g_str_hash(fill->key) ^ (unsigned int)fill->area * 0x9e3779b1u;
}

static int fill_equal(const void *a, const void *b)
{
	const struct fill *x = a, *y = b;

	return x->area == y->area && strcmp(x->key, y->key) == 0;
}

static void fill_free(void *data)
{
	struct fill *fill = data;

	g_free(fill->key);
	g_free(fill->value);
	g_free(fill);
}

static void share_free(void *data)
{
	struct share *share = data;

	g_hash_table_unref(share->fills);
	cache_free(share->cache);
	g_free(share);
}

static struct share *share_get(struct copies *copies, int64_t owner)
{
	struct share *share;

	for (unsigned int i = 0; i < copies->shares->len; i++) {
		share = copies->shares->pdata[i];
		if (share->owner == owner)
			return share;
	}
	share = g_new0(struct share, 1);
	share->owner = owner;
	share->cache = cache_new(copies->engine->config->cache_max_bytes);
	share->fills = g_hash_table_new_full(fill_hash, fill_equal, fill_free, NULL);
	g_ptr_array_add(copies->shares, share);
	return share;
}

static struct share *share_of(const struct copies *copies, int64_t area)
{
	return g_hash_table_lookup(copies->by_area, &area);
}

static void share_count(struct copies *copies, struct share *share)
{
	copies->bytes -= share->counted;
	share->counted = cache_bytes(share->cache);
	copies->bytes += share->counted;
}

/* Counts all of them anew. Return: who was away for longest and holds something; NULL: nobody. */
static struct share *share_idlest(struct copies *copies)
{
	struct share *idlest = NULL;

	for (unsigned int i = 0; i < copies->shares->len; i++) {
		struct share *share = copies->shares->pdata[i];

		share_count(copies, share);
		if (share->counted > 0 && (!idlest || share->used < idlest->used))
			idlest = share;
	}
	return idlest;
}

/* Ends: who put something last is the last to be cleared, and alone it is within the bound. */
static void copies_shrink(struct copies *copies)
{
	uint64_t one = copies->engine->config->cache_max_bytes;
	uint64_t most = one > UINT64_MAX / LIMIT_CACHES ? UINT64_MAX : one * LIMIT_CACHES;
	struct share *idlest;

	while (copies->bytes > most && (idlest = share_idlest(copies)) && copies->bytes > most) {
		cache_clear(idlest->cache);
		share_count(copies, idlest);
	}
}

static void share_put(struct copies *copies, struct share *share, int64_t area, const char *key,
		      const char *value, uint64_t revision, uint64_t now)
{
	cache_put(share->cache, area, key, value, revision, now);
	share->used = ++copies->uses;
	share_count(copies, share);
	copies_shrink(copies);
}

void copies_add_area(struct copies *copies, int64_t area, int64_t owner)
{
	g_hash_table_insert(copies->by_area, g_memdup2(&area, sizeof(area)),
			    share_get(copies, owner));
}

static void fill_plan(struct copies *copies, struct store_tx *tx, struct fill *fill)
{
	if (fill->forget) {
		store_tx_delete_item(tx, fill->area, fill->key);
		return;
	}
	store_tx_put_item(tx, fill->area, fill->key, fill->value, fill->revision, fill->generation,
			  fill->stored_at);
	store_tx_evict_items(tx, fill->area,
			     copies->engine->ops->items_limit(copies->engine->ops_data, fill->area));
}

static void share_plan(struct copies *copies, struct share *share, struct store_tx *tx)
{
	GHashTableIter iter;
	void *fill;

	g_hash_table_iter_init(&iter, share->fills);
	while (g_hash_table_iter_next(&iter, &fill, NULL)) {
		g_hash_table_iter_steal(&iter);
		g_ptr_array_add(copies->writing, fill);
		fill_plan(copies, tx, fill);
	}
}

static bool copies_plan(void *data, struct store_tx *tx)
{
	struct copies *copies = data;

	for (unsigned int i = 0; i < copies->shares->len; i++)
		share_plan(copies, copies->shares->pdata[i], tx);
	if (copies->writing->len == 0)
		return false;
	lineage_plan(copies->engine->lineage, tx);
	return true;
}

/* What is left of @fill, which did not reach the disk; NULL: nothing. A forgotten row must go,
 * whatever it takes: unlike an answer it cannot be had again. */
static struct fill *fill_left(struct copies *copies, struct fill *fill)
{
	struct fill *next = g_hash_table_lookup(share_of(copies, fill->area)->fills, fill);

	if (!fill->forget && !fill->replaces)
		return NULL;
	if (next) {
		next->replaces |= !next->forget;
		return NULL;
	}
	g_clear_pointer(&fill->value, g_free);
	fill->forget = true;
	return fill;
}

static void copies_settled(void *data, int result)
{
	struct copies *copies = data;
	struct fill *fill;

	if (result < 0) {
		lineage_unsaved(copies->engine->lineage);
		if (!copies->stopped)
			timer_arm_in(&copies->retry, RETRY_AFTER);
	}
	for (unsigned int i = 0; result < 0 && i < copies->writing->len; i++) {
		fill = fill_left(copies, copies->writing->pdata[i]);
		if (!fill)
			continue;
		copies->writing->pdata[i] = NULL;
		g_hash_table_add(share_of(copies, fill->area)->fills, fill);
	}
	g_ptr_array_set_size(copies->writing, 0);
}

static void copies_retry(void *data)
{
	struct copies *copies = data;

	for (unsigned int i = 0; i < copies->shares->len; i++) {
		const struct share *share = copies->shares->pdata[i];

		if (g_hash_table_size(share->fills) > 0)
			committer_want(copies->engine->committer, &copies->member);
	}
}

void copies_stop(struct copies *copies)
{
	/* What is to go and could not yet is noted nowhere else. */
	copies_retry(copies);
	copies->stopped = true;
	timer_disarm(&copies->retry);
}

static void writing_free(void *fill)
{
	if (fill)
		fill_free(fill);
}

struct copies *copies_new(struct engine *engine)
{
	struct copies *copies = g_new0(struct copies, 1);

	copies->engine = engine;
	copies->shares = g_ptr_array_new_with_free_func(share_free);
	copies->by_area = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	copies->writing = g_ptr_array_new_with_free_func(writing_free);
	commit_member_init(&copies->member, copies_plan, copies_settled, copies);
	timer_init(&copies->retry, engine->clock, copies_retry, copies);
	return copies;
}

struct copies *copies_free(struct copies *copies)
{
	if (!copies)
		return NULL;

	committer_forget(copies->engine->committer, &copies->member);
	timer_deinit(&copies->retry);
	g_ptr_array_unref(copies->writing);
	g_hash_table_unref(copies->by_area);
	g_ptr_array_unref(copies->shares);
	g_free(copies);
	return NULL;
}

void copies_count(const struct copies *copies, struct copies_counts *ret_counts)
{
	*ret_counts = (struct copies_counts){ 0 };
	for (unsigned int i = 0; i < copies->shares->len; i++) {
		const struct cache *cache = ((struct share *)copies->shares->pdata[i])->cache;

		ret_counts->entries += cache_count(cache);
		ret_counts->bytes += cache_bytes(cache);
		ret_counts->hits += cache_hits(cache);
		ret_counts->misses += cache_misses(cache);
	}
}

void copies_reconfigured(struct copies *copies)
{
	for (unsigned int i = 0; i < copies->shares->len; i++) {
		struct share *share = copies->shares->pdata[i];

		cache_set_max_bytes(share->cache, copies->engine->config->cache_max_bytes);
		share_count(copies, share);
	}
	copies_shrink(copies);
}

const struct cache_entry *copies_fresh(struct copies *copies, int64_t area, const char *key,
				       uint64_t ttl)
{
	struct share *share = share_of(copies, area);

	share->used = ++copies->uses;
	return cache_get(share->cache, area, key, ttl, clock_boottime(copies->engine->clock));
}

static struct fill *fills_find(struct copies *copies, int64_t area, const char *key)
{
	struct fill probe = { .area = area, .key = (char *)key };

	return g_hash_table_lookup(share_of(copies, area)->fills, &probe);
}

/* What is on disk or on its way there. As copies_local(). */
static int items_find(struct copies *copies, int64_t area, const char *key,
		      struct store_item *ret_item)
{
	struct fill *fill = fills_find(copies, area, key);

	for (unsigned int i = 0; !fill && i < copies->writing->len; i++) {
		struct fill *other = copies->writing->pdata[i];

		if (other->area == area && strcmp(other->key, key) == 0)
			fill = other;
	}
	if (!fill)
		return store_get_item(copies->engine->store, area, key, ret_item);
	if (fill->forget)
		return 0;
	*ret_item = (struct store_item){
		.value = g_strdup(fill->value),
		.revision = fill->revision,
		.generation = fill->generation,
		.stored_at = fill->stored_at,
	};
	return 1;
}

int copies_local(struct copies *copies, int64_t area, const char *key,
		 struct store_item *ret_item)
{
	const struct cache_entry *entry = cache_find(share_of(copies, area)->cache, area, key);
	struct clock *clock = copies->engine->clock;
	uint64_t age;

	if (!entry)
		return items_find(copies, area, key, ret_item);

	age = usec_sub(clock_boottime(clock), entry->filled_at);
	*ret_item = (struct store_item){
		.value = g_strdup(entry->value),
		.revision = entry->revision,
		.generation = lineage_generation(copies->engine->lineage),
		.stored_at = usec_sub(clock_realtime(clock), age),
	};
	return 1;
}

static void copies_write(struct copies *copies, struct fill *fill)
{
	g_hash_table_replace(share_of(copies, fill->area)->fills, fill, fill);
	committer_want(copies->engine->committer, &copies->member);
}

static bool fills_are_many(struct copies *copies, int64_t area, const char *key)
{
	return g_hash_table_size(share_of(copies, area)->fills) >= FILLS_MAX &&
	       !fills_find(copies, area, key);
}

static void fill_store(struct copies *copies, int64_t area, const char *key, const char *value,
		       uint64_t revision)
{
	const struct fill *waits;
	struct fill *fill;

	if (fills_are_many(copies, area, key))
		return;
	waits = fills_find(copies, area, key);
	fill = g_new0(struct fill, 1);
	fill->replaces = waits && (waits->forget || waits->replaces);
	fill->area = area;
	fill->key = g_strdup(key);
	fill->value = g_strdup(value);
	fill->revision = revision;
	fill->generation = lineage_generation(copies->engine->lineage);
	fill->stored_at = clock_realtime(copies->engine->clock);
	copies_write(copies, fill);
}

enum copies_fill copies_fill(struct copies *copies, int64_t area, const char *key,
			     const char *value, uint64_t revision)
{
	const struct cache_entry *cached = cache_find(share_of(copies, area)->cache, area, key);
	uint64_t now = clock_realtime(copies->engine->clock);
	struct store_item item = { 0 };
	bool known, trusted, same, own;

	if (cached && revision < cached->revision)
		return COPIES_OLDER;
	known = items_find(copies, area, key, &item) == 1;
	trusted = known && item.generation == lineage_generation(copies->engine->lineage);
	same = known && g_strcmp0(item.value, value) == 0;
	own = known && item.value && item.generation == STORE_GENERATION_OWN;
	g_free(item.value);
	if (trusted && revision < item.revision)
		return COPIES_OLDER;
	if (own && !value)
		return COPIES_OWN;

	share_put(copies, share_of(copies, area), area, key, value, revision,
		  clock_boottime(copies->engine->clock));
	if (!known && !value)
		return COPIES_FILLED; /* growing by every key somebody asks for in vain: no */
	if (!same || !trusted || usec_sub(now, item.stored_at) > REWRITE_AFTER)
		fill_store(copies, area, key, value, revision);
	return known && !same ? COPIES_CHANGED : COPIES_FILLED;
}

void copies_acked(struct copies *copies, int64_t area, const char *key, const char *value,
		  uint64_t revision, uint64_t acked_at)
{
	const struct cache_entry *cached = cache_find(share_of(copies, area)->cache, area, key);
	struct fill *fill = fills_find(copies, area, key);

	/* An answer told while the ack was being committed may be of a later write of others. */
	if (cached && cached->revision > revision)
		return;
	if (fill && !fill->forget && fill->revision > revision)
		return;
	if (fill)
		g_hash_table_remove(share_of(copies, area)->fills, fill);
	if (acked_at)
		share_put(copies, share_of(copies, area), area, key, value, revision, acked_at);
	else
		cache_drop(share_of(copies, area)->cache, area, key);
}

bool copies_forget(struct copies *copies, int64_t area, const char *key)
{
	struct fill *fill;

	if (fills_are_many(copies, area, key))
		return false;
	fill = g_new0(struct fill, 1);
	cache_drop(share_of(copies, area)->cache, area, key);
	fill->area = area;
	fill->key = g_strdup(key);
	fill->forget = true;
	copies_write(copies, fill);
	return true;
}

void copies_distrust(struct copies *copies)
{
	for (unsigned int i = 0; i < copies->shares->len; i++)
		cache_clear(((struct share *)copies->shares->pdata[i])->cache);
}

void copies_each_unwritten(struct copies *copies, int64_t area,
			   void (*func)(void *data, const char *key, bool absent), void *data)
{
	GHashTableIter iter;
	struct fill *fill;

	for (unsigned int i = 0; i < copies->writing->len; i++) {
		fill = copies->writing->pdata[i];
		if (fill->area == area)
			func(data, fill->key, !fill->value);
	}
	g_hash_table_iter_init(&iter, share_of(copies, area)->fills);
	while (g_hash_table_iter_next(&iter, (void **)&fill, NULL))
		if (fill->area == area)
			func(data, fill->key, !fill->value);
}
