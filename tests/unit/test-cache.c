/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cache: freshness, bounds, order of eviction; and a random run against a plain model. */

#include <glib.h>
#include <string.h>

#include "core/cache.h"
#include "seed.h"

#define SEC UINT64_C(1000000)
#define TTL (5 * SEC)

static void test_ttl(void)
{
	struct cache *cache = cache_new(100000);
	const struct cache_entry *entry;

	cache_put(cache, 1, "k", "value", 7, 100 * SEC);
	entry = cache_get(cache, 1, "k", TTL, 100 * SEC);
	g_assert_nonnull(entry);
	g_assert_cmpstr(entry->value, ==, "value");
	g_assert_cmpuint(entry->value_len, ==, 5);
	g_assert_cmpuint(entry->revision, ==, 7);
	g_assert_cmpuint(entry->filled_at, ==, 100 * SEC);
	g_assert_nonnull(cache_get(cache, 1, "k", TTL, 105 * SEC - 1));
	g_assert_null(cache_get(cache, 1, "k", TTL, 105 * SEC));
	g_assert_null(cache_get(cache, 1, "k", 0, 100 * SEC));
	g_assert_nonnull(cache_get(cache, 1, "k", UINT64_MAX, 1000000 * SEC));
	g_assert_cmpuint(cache_hits(cache), ==, 3);
	g_assert_cmpuint(cache_misses(cache), ==, 2);
	/* Stale, but still known: its revision matters to a fill. */
	g_assert_nonnull(cache_find(cache, 1, "k"));
	g_assert_cmpuint(cache_hits(cache) + cache_misses(cache), ==, 5);
	cache_free(cache);
}

/* A clock set back leaves an entry from the future: not fresh, until it is filled again. */
static void test_clock_backwards(void)
{
	struct cache *cache = cache_new(100000);

	cache_put(cache, 1, "k", "v", 1, 1000 * SEC);
	for (uint64_t now = 1; now < 1000 * SEC; now += 10 * SEC)
		g_assert_null(cache_get(cache, 1, "k", TTL, now));
	g_assert_null(cache_get(cache, 1, "k", UINT64_MAX, 999 * SEC));
	cache_put(cache, 1, "k", "v", 1, 10 * SEC);
	g_assert_nonnull(cache_get(cache, 1, "k", TTL, 14 * SEC));
	g_assert_null(cache_get(cache, 1, "k", TTL, 15 * SEC));
	cache_free(cache);
}

static void test_absent_and_areas(void)
{
	struct cache *cache = cache_new(100000);
	const struct cache_entry *entry;

	cache_put(cache, 1, "k", NULL, 3, 0);
	cache_put(cache, 2, "k", "", 4, 0);
	cache_put(cache, -1, "k", "minus", 5, 0);
	entry = cache_get(cache, 1, "k", TTL, 0);
	g_assert_nonnull(entry);
	g_assert_null(entry->value);
	g_assert_cmpuint(entry->revision, ==, 3);
	g_assert_cmpstr(cache_get(cache, 2, "k", TTL, 0)->value, ==, "");
	g_assert_cmpstr(cache_get(cache, -1, "k", TTL, 0)->value, ==, "minus");
	g_assert_null(cache_get(cache, 3, "k", TTL, 0));
	g_assert_cmpuint(cache_count(cache), ==, 3);

	g_assert_true(cache_drop(cache, 1, "k"));
	g_assert_false(cache_drop(cache, 1, "k"));
	g_assert_nonnull(cache_find(cache, 2, "k"));
	cache_clear(cache);
	g_assert_cmpuint(cache_count(cache), ==, 0);
	g_assert_cmpuint(cache_bytes(cache), ==, 0);
	g_assert_null(cache_find(cache, 2, "k"));
	cache_free(cache);
	g_assert_null(cache_free(NULL));
}

static void test_replace(void)
{
	struct cache *cache = cache_new(100000);
	size_t bytes;

	cache_put(cache, 1, "k", "short", 1, 0);
	bytes = cache_bytes(cache);
	cache_put(cache, 1, "k", "longer", 2, 0);
	g_assert_cmpuint(cache_bytes(cache), ==, bytes + 1);
	g_assert_cmpuint(cache_count(cache), ==, 1);
	/* Its own value, with a new time. */
	cache_put(cache, 1, "k", cache_find(cache, 1, "k")->value, 3, 9);
	g_assert_cmpstr(cache_find(cache, 1, "k")->value, ==, "longer");
	g_assert_cmpuint(cache_find(cache, 1, "k")->filled_at, ==, 9);
	cache_put(cache, 1, "k", NULL, 4, 9);
	g_assert_cmpuint(cache_bytes(cache), ==, bytes - strlen("short") - 1);
	cache_free(cache);
}

static void test_lru(void)
{
	struct cache *cache = cache_new(SIZE_MAX);
	size_t cost;

	cache_put(cache, 1, "a", "1", 0, 0);
	cost = cache_bytes(cache);
	g_assert_cmpuint(cost, >, 4); /* the fixed part counts */
	cache_put(cache, 1, "b", "2", 0, 0);
	cache_put(cache, 1, "c", "3", 0, 0);
	g_assert_cmpuint(cache_bytes(cache), ==, 3 * cost);
	cache_set_max_bytes(cache, 3 * cost);

	g_assert_nonnull(cache_get(cache, 1, "a", TTL, 0)); /* a use */
	g_assert_nonnull(cache_find(cache, 1, "b"));	    /* no use */
	cache_put(cache, 1, "d", "4", 0, 0);
	g_assert_null(cache_find(cache, 1, "b"));
	g_assert_nonnull(cache_find(cache, 1, "a"));
	cache_set_max_bytes(cache, 2 * cost - 1);
	g_assert_cmpuint(cache_count(cache), ==, 1);
	g_assert_nonnull(cache_find(cache, 1, "d"));
	cache_set_max_bytes(cache, 0);
	g_assert_cmpuint(cache_count(cache), ==, 0);
	cache_put(cache, 1, "e", "5", 0, 0);
	g_assert_cmpuint(cache_count(cache), ==, 0);
	cache_free(cache);
}

/* What does not fit is not held, throws nothing else out, and must not leave the old value. */
static void test_too_large(void)
{
	g_autofree char *large = g_strnfill(2000, 'x');
	struct cache *cache = cache_new(1500);

	cache_put(cache, 1, "other", "v", 1, 0);
	cache_put(cache, 1, "k", "old", 1, 0);
	cache_put(cache, 1, "k", large, 2, 0);
	g_assert_null(cache_find(cache, 1, "k"));
	g_assert_nonnull(cache_find(cache, 1, "other"));
	g_assert_cmpuint(cache_count(cache), ==, 1);
	cache_free(cache);
}

struct model_entry {
	char *value;
	uint64_t revision, filled_at;
};

static void model_entry_free(void *data)
{
	struct model_entry *entry = data;

	g_free(entry->value);
	g_free(entry);
}

static char *random_value(GRand *rand)
{
	if (g_rand_int_range(rand, 0, 5) == 0)
		return NULL;
	return g_strnfill((gsize)g_rand_int_range(rand, 0, 300), 'v');
}

static void check_entry(const struct cache_entry *entry, const struct model_entry *model)
{
	g_assert_nonnull(model);
	g_assert_cmpstr(entry->value, ==, model->value);
	g_assert_cmpuint(entry->value_len, ==, model->value ? strlen(model->value) : 0);
	g_assert_cmpuint(entry->revision, ==, model->revision);
	g_assert_cmpuint(entry->filled_at, ==, model->filled_at);
}

static void random_step(struct cache *cache, GHashTable *model, GRand *rand, uint64_t now)
{
	int64_t area = g_rand_int_range(rand, 0, 3);
	g_autofree char *key = g_strdup_printf("key-%d", g_rand_int_range(rand, 0, 200));
	g_autofree char *id = g_strdup_printf("%d/%s", (int)area, key);
	struct model_entry *known = g_hash_table_lookup(model, id);
	const struct cache_entry *entry;

	switch (g_rand_int_range(rand, 0, 4)) {
	case 0:
	case 1:
		known = g_new0(struct model_entry, 1);
		known->value = random_value(rand);
		known->revision = g_rand_int(rand);
		known->filled_at = now;
		cache_put(cache, area, key, known->value, known->revision, now);
		g_hash_table_replace(model, g_steal_pointer(&id), known);
		check_entry(cache_find(cache, area, key), known);
		break;
	case 2:
		entry = cache_get(cache, area, key, TTL, now);
		if (entry) {
			check_entry(entry, known);
			g_assert_cmpuint(now - entry->filled_at, <, TTL);
		}
		break;
	case 3:
		if (g_rand_int_range(rand, 0, 10) == 0) {
			cache_drop(cache, area, key);
			g_hash_table_remove(model, id);
		}
		entry = cache_find(cache, area, key);
		if (entry)
			check_entry(entry, known);
		break;
	}
}

/* It may know less than the model (bounded), but never anything else. */
static void test_random(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());
	g_autoptr(GHashTable) model =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, model_entry_free);
	struct cache *cache = cache_new(20000);

	for (uint64_t step = 0; step < 100000; step++) {
		random_step(cache, model, rand, step * (SEC / 50));
		g_assert_cmpuint(cache_bytes(cache), <=, 20000);
	}
	g_assert_cmpuint(cache_count(cache), >, 20);
	g_assert_cmpuint(cache_hits(cache), >, 100);
	cache_free(cache);
}

int main(int argc, char *argv[])
{
	seed_init(&argc, &argv);
	g_test_add_func("/cache/ttl", test_ttl);
	g_test_add_func("/cache/clock-backwards", test_clock_backwards);
	g_test_add_func("/cache/absent-and-areas", test_absent_and_areas);
	g_test_add_func("/cache/replace", test_replace);
	g_test_add_func("/cache/lru", test_lru);
	g_test_add_func("/cache/too-large", test_too_large);
	g_test_add_func("/cache/random", test_random);
	return g_test_run();
}
