/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A populated database, ways to spoil a copy of it, and what can be said of what is left. Its rows
 * say themselves what they must hold.
 */

#include <sqlite3.h>

#include "store-bench.h"

#define ENTRIES 400	/* per area, 2 areas */
#define ITEMS 300
#define PAGE 4096

static char *whole;	/* the populated database */
static gsize whole_len;

/* ---- making and spoiling ---- */

static char *value_of(const char *what, unsigned int i)
{
	/* Every 50th has overflow pages. */
	return g_strdup_printf("%s %u %0*u", what, i, i % 50 == 0 ? 9000 : 150, i);
}

static void add_entry(struct store_tx *tx, GPtrArray *borrowed, int64_t area, unsigned int serial)
{
	/* serials 11–15, 31–35 … are groups of five */
	uint32_t group_index = serial % 20 >= 11 && serial % 20 <= 15 ? serial % 20 - 10 : 0;
	g_autofree char *key = g_strdup_printf("key-%u", serial);
	g_autofree char *value = value_of("entry", serial);
	struct outbox_entry *entry = bench_entry(serial, serial, group_index, key,
						 serial % 7 ? value : NULL);

	g_ptr_array_add(borrowed, entry);
	store_tx_put_entry(tx, area, entry);
}

static void fill_area(struct store_tx *tx, GPtrArray *borrowed, int64_t area, char *name)
{
	g_ptr_array_add(borrowed, name);
	store_tx_add_area(tx, area, name);
	store_tx_reserve_serials(tx, area, 5001);
	for (unsigned int i = 1; i <= ENTRIES; i++)
		add_entry(tx, borrowed, area, i);
	for (unsigned int i = 0; i < ITEMS; i++) {
		char *key = g_strdup_printf("key-%u", i), *value = value_of("item", i);

		g_ptr_array_add(borrowed, key);
		g_ptr_array_add(borrowed, value);
		store_tx_put_item(tx, area, key, i % 9 ? value : NULL, i, 1, i);
	}
	for (unsigned int i = 2000; i < 2020; i++) {
		struct outbox_entry *entry = bench_entry(i, i, 0, "key", "a refused value");

		g_ptr_array_add(borrowed, entry);
		store_tx_put_rejected(tx, area, entry, "rejected", "no", 1);
		store_tx_put_outcome(tx, area, i, i, STORE_OUTCOME_REJECTED);
	}
}

static void make_whole(void)
{
	g_autoptr(GPtrArray) borrowed = g_ptr_array_new_with_free_func(g_free);
	struct store_tx *tx = store_tx_new();
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	store_tx_client(tx, bench_epochs[0]);
	store_tx_generation(tx, 3);
	store_tx_reserve_batches(tx, 2001);
	store_tx_epoch(tx, bench_epochs[1], bench_epochs[0], 5, 6);
	fill_area(tx, borrowed, 1, g_strdup("default"));
	fill_area(tx, borrowed, 2, g_strdup("org.example.App"));
	store_tx_begin_batch(tx, 1500, bench_epochs[2]);
	store_tx_batch_part(tx, 1, 100);
	store_tx_batch_part(tx, 2, 100);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	bench_close(&bench);
	g_assert_true(g_file_get_contents(bench.path, &whole, &whole_len, NULL));
	bench_deinit(&bench);
}

/* Begin with a fresh copy, the mark of the last end as it comes. */
static void lay_out(struct bench *bench, const char *bytes, gsize len)
{
	if (bench->store)
		bench_close(bench);
	bench_remove_files(bench);
	g_assert_true(g_file_set_contents(bench->path, bytes, (gssize)len, NULL));
}

static void lay_out_spoilt(struct bench *bench, gsize offset, gsize len)
{
	g_autofree char *bytes = g_memdup2(whole, whole_len);

	memset(bytes + offset, 0xa5, len);
	lay_out(bench, bytes, whole_len);
}

/* Change the laid out database by SQL that minds no rule. */
static void spoil_sql(struct bench *bench, const char *sql)
{
	sqlite3 *db;
	char *error = NULL;

	g_assert_cmpint(sqlite3_open(bench->path, &db), ==, SQLITE_OK);
	sqlite3_exec(db, "PRAGMA ignore_check_constraints=1", NULL, NULL, NULL);
	sqlite3_exec(db, sql, NULL, NULL, &error);
	g_assert_cmpstr(error, ==, NULL);
	sqlite3_close(db);
}

/* ---- what is left ---- */

struct left {
	unsigned int rows, changed;
	uint64_t last;
};

static int left_entry(void *data, const struct store_entry *entry)
{
	struct left *left = data;
	g_autofree char *key = g_strdup_printf("key-%u", (unsigned int)entry->serial);
	g_autofree char *value = value_of("entry", (unsigned int)entry->serial);

	g_assert_cmpuint(entry->serial, >, left->last);
	g_assert_false(entry->unclean);
	left->last = entry->serial;
	left->rows++;
	if (strcmp(key, entry->key) != 0 ||
	    g_strcmp0(entry->serial % 7 ? value : NULL, entry->value) != 0)
		left->changed++;
	return 0;
}

static struct left entries_left(struct bench *bench, int64_t area)
{
	struct left left = { 0 };

	g_assert_cmpint(store_each_entry(bench->store, area, left_entry, &left), ==, 0);
	return left;
}

static int count_name(void *data, int64_t area, const char *name, uint64_t reserved)
{
	(void)area;
	(void)name;
	g_assert_cmpuint(reserved, >, ENTRIES);
	++*(unsigned int *)data;
	return 0;
}

static unsigned int areas_left(struct bench *bench)
{
	unsigned int n = 0;

	g_assert_cmpint(store_each_area(bench->store, count_name, &n), ==, 0);
	return n;
}

static unsigned int items_left(struct bench *bench, unsigned int *ret_changed)
{
	unsigned int n = 0;

	*ret_changed = 0;
	for (int64_t area = 1; area <= 2; area++) {
		for (unsigned int i = 0; i < ITEMS; i++) {
			g_autofree char *key = g_strdup_printf("key-%u", i);
			g_autofree char *value = value_of("item", i);
			struct store_item item;

			if (store_get_item(bench->store, area, key, &item) != 1)
				continue;
			n++;
			*ret_changed += g_strcmp0(item.value, i % 9 ? value : NULL) != 0;
			g_free(item.value);
		}
	}
	return n;
}

/* It must take writes again, and be whole for the next start. */
static void check_works(struct bench *bench)
{
	struct store_tx *tx = store_tx_new();

	store_tx_client(tx, bench_epochs[1]);
	store_tx_add_area(tx, 77, "afterwards");
	store_tx_put_item(tx, 77, "key", "value", 1, 1, 1);
	store_tx_require_sync(tx);
	g_assert_cmpint(bench_commit(bench, tx), ==, 0);
	g_assert_false(bench_reopen(bench));
	g_assert_cmpuint(store_item_bytes(bench->store, 77), ==, 8);
}

static void check_salvaged(struct bench *bench)
{
	bench_open(bench);
	g_assert_true(bench->recovery.salvaged);
	g_assert_nonnull(bench->recovery.detail);
	g_assert_nonnull(bench->recovery.set_aside);
	g_assert_true(g_file_test(bench->recovery.set_aside, G_FILE_TEST_IS_REGULAR));
	g_assert_true(g_str_has_prefix(bench->recovery.set_aside, bench->path));
	g_test_message("%u kept, %u lost; %s", (unsigned int)bench->recovery.rows_kept,
		       (unsigned int)bench->recovery.rows_lost, bench->recovery.detail);
}

static void check_all_left(struct bench *bench)
{
	unsigned int changed;

	for (int64_t area = 1; area <= 2; area++) {
		struct left left = entries_left(bench, area);

		g_assert_cmpuint(left.rows, ==, ENTRIES);
		g_assert_cmpuint(left.changed, ==, 0);
	}
	g_assert_cmpuint(items_left(bench, &changed), ==, 2 * ITEMS);
	g_assert_cmpuint(changed, ==, 0);
	g_assert_cmpuint(areas_left(bench), ==, 2);
}
