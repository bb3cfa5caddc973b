/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Damaged databases: the store opens whatever is there, keeps every row that can still be read, and
 * works on. A populated database is made once; each test spoils a copy.
 */

#include "seed.h"
#include "store-bench.h"
#include "store-spoil.h"

#define FLIP_ROUNDS 150	/* with up to 128 flips each; -m slow: ten times as many */

static void test_not_damaged(void)
{
	struct bench bench;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len);
	g_assert_false(bench_reopen(&bench));
	check_all_left(&bench);
	bench_deinit(&bench);
}

/* Nothing can be carried over, but it is not as if it had never been there. */
static void test_emptied(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	g_assert_false(bench.recovery.emptied);
	lay_out(&bench, "", 0);
	g_assert_false(bench_reopen(&bench));
	g_assert_true(bench.recovery.emptied);
	g_assert_cmpuint(areas_left(&bench), ==, 0);
	check_works(&bench);
	g_assert_false(bench.recovery.emptied);
	bench_deinit(&bench);
}

static void test_garbage(void)
{
	g_autofree char *aside = NULL;
	struct bench bench;
	gsize len;

	bench_init(&bench);
	lay_out(&bench, "This is no database, but it is what was there.", 46);
	check_salvaged(&bench);
	g_assert_true(g_file_get_contents(bench.recovery.set_aside, &aside, &len, NULL));
	g_assert_cmpstr(aside, ==, "This is no database, but it is what was there.");
	g_assert_cmpuint(areas_left(&bench), ==, 0);
	check_works(&bench);
	bench_deinit(&bench);
}

/* Header and list of tables are the same in every database of ours: nothing is lost. */
static void test_first_page(void)
{
	static const struct {
		gsize offset, len;
	} spoils[] = { { 0, 16 }, { 16, 8 }, { 0, 100 }, { 100, 500 }, { 0, PAGE }, { 28, 4 } };
	struct store_state state;
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < G_N_ELEMENTS(spoils); i++) {
		lay_out_spoilt(&bench, spoils[i].offset, spoils[i].len);
		check_salvaged(&bench);
		g_assert_cmpuint(bench.recovery.rows_lost, ==, 0);
		check_all_left(&bench);
		g_assert_cmpint(store_load_state(bench.store, &state), ==, 0);
		g_assert_cmpstr(state.client, ==, ""); /* new after any salvage */
		g_assert_cmpuint(state.batch_number, ==, 1500);
		g_assert_cmpuint(state.batch_reserved, ==, 2001);
		check_works(&bench);
	}
	bench_deinit(&bench);
}

/* Of all pages of the file, any one: what was on others is there, as it was. */
static void test_any_page(void)
{
	unsigned int worst = 0, changed;
	struct bench bench;

	bench_init(&bench);
	for (gsize offset = 0; offset < whole_len; offset += PAGE) {
		struct left a, b;
		unsigned int items;

		lay_out_spoilt(&bench, offset, PAGE);
		bench_open(&bench);
		a = entries_left(&bench, 1);
		b = entries_left(&bench, 2);
		items = items_left(&bench, &changed);
		g_assert_cmpuint(a.changed + b.changed + changed, ==, 0);
		g_assert_cmpuint(areas_left(&bench), ==, 2);
		/* Only the top of a tree takes more than its own page along. */
		if (a.rows + b.rows + items + 60 < 2 * ENTRIES + 2 * ITEMS)
			worst++;
		if (a.rows + b.rows + items < 2 * ENTRIES + 2 * ITEMS)
			g_assert_cmpuint(bench.recovery.rows_lost, >, 0);
		if (offset / PAGE % 8 == 0)
			check_works(&bench);
	}
	g_test_message("%u of %u pages took many rows along", worst,
		       (unsigned int)(whole_len / PAGE));
	g_assert_cmpuint(worst, <=, 3);
	bench_deinit(&bench);
}

static void check_tells(struct bench *bench, const char *what)
{
	if (!strstr(bench->recovery.detail, what))
		g_error("\"%s\" is not in: %s", what, bench->recovery.detail);
}

/* Who reads it learns that the queue is gone, also where not even the areas are known. */
static void test_told(void)
{
	static const gsize lengths[] = { PAGE + 900, 3 * PAGE - 300 };
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
		lay_out(&bench, whole, lengths[i]);
		check_salvaged(&bench);
		check_tells(&bench, " 0 queued writes");
		check_tells(&bench, "queued writes (how many is not known)");
		check_tells(&bench, "refused writes (how many is not known)");
		check_tells(&bench, "copies of what the parent holds (how many is not known)");
		g_assert_null(strstr(bench.recovery.detail, "outbox"));
	}
	lay_out_spoilt(&bench, 0, 16);
	check_salvaged(&bench);
	check_tells(&bench, " rows kept, none known to be lost; kept: 2 areas, 800 queued writes, ");
	check_tells(&bench, "; lost: nothing that is known of");
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "UPDATE outbox SET op=7 WHERE area=1 AND serial=20");
	check_salvaged(&bench);
	check_tells(&bench, "at least 1 lost; kept: 2 areas, 799 queued writes, ");
	check_tells(&bench, "lost: queued writes (at least 1); queued writes of area default: in "
			    "serials 20");
	bench_deinit(&bench);
}

static void test_truncated(void)
{
	struct bench bench;

	bench_init(&bench);
	for (gsize len = 1; len < whole_len; len += len < 3 * PAGE ? 1111 : 47 * 1000) {
		lay_out(&bench, whole, len);
		check_salvaged(&bench);
		g_assert_cmpuint(entries_left(&bench, 1).changed, ==, 0);
		g_assert_cmpuint(bench.recovery.rows_lost, >, 0);
		check_works(&bench);
	}
	bench_deinit(&bench);
}

/* Bits that flip in a value cannot be told from a value; whatever they hit, the store opens. */
static void flip_bits(GRand *rand, char *bytes, int n)
{
	for (int i = 0; i < n; i++) {
		gsize at = (gsize)g_rand_int_range(rand, 0, (gint32)whole_len);

		/* The version is believed: a newer one is refused, which has its own test. */
		if (at >= 60 && at < 64)
			continue;
		bytes[at] = (char)(bytes[at] ^ (1 << g_rand_int_range(rand, 0, 8)));
	}
}

static void test_flips(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());
	struct bench bench;

	bench_init(&bench);
	for (int round = 0; round < FLIP_ROUNDS * (g_test_slow() ? 10 : 1); round++) {
		g_autofree char *bytes = g_memdup2(whole, whole_len);
		int n = 1 << g_rand_int_range(rand, 0, 8);
		gsize cut = g_rand_int_range(rand, 0, 10) ? whole_len :
			    (gsize)g_rand_int_range(rand, 0, (gint32)whole_len);
		struct left a, b;
		unsigned int items, changed;

		flip_bits(rand, bytes, n);
		lay_out(&bench, bytes, cut);
		bench_open(&bench);
		a = entries_left(&bench, 1);
		b = entries_left(&bench, 2);
		items = items_left(&bench, &changed);
		g_assert_cmpuint(a.changed + b.changed, <=, n);
		if (cut == whole_len && n == 1)
			g_assert_cmpuint(a.rows + b.rows + items, >, 700);
		if (round % 8 == 0)
			check_works(&bench);
	}
	bench_deinit(&bench);
}

static void test_log(void)
{
	g_autofree char *wal = NULL, *aside_wal = NULL, *garbage = g_strnfill(9000, 'w');
	struct bench bench;

	bench_init(&bench);
	wal = g_strconcat(bench.path, "-wal", NULL);
	lay_out(&bench, whole, whole_len);
	g_assert_true(g_file_set_contents(wal, garbage, 9000, NULL));
	check_salvaged(&bench);
	check_all_left(&bench);
	aside_wal = g_strconcat(bench.recovery.set_aside, "-wal", NULL);
	g_assert_true(g_file_test(aside_wal, G_FILE_TEST_IS_REGULAR));

	/* An empty one, or zeros: nothing had been committed to it. */
	lay_out(&bench, whole, whole_len);
	g_assert_true(g_file_set_contents(wal, "", 0, NULL));
	g_assert_false(bench_reopen(&bench));
	check_all_left(&bench);

	/* Only a log, with everything in it. */
	lay_out(&bench, "", 0);
	g_assert_true(g_file_set_contents(wal, garbage, 9000, NULL));
	check_salvaged(&bench);
	check_works(&bench);
	bench_deinit(&bench);
}

/* Rows that were only in the log when the database was damaged are carried over, too. */
static void test_rows_in_log(void)
{
	g_autofree char *wal = NULL, *log = NULL;
	struct store_tx *tx = store_tx_new();
	struct bench bench;
	gsize len;

	bench_init(&bench);
	wal = g_strconcat(bench.path, "-wal", NULL);
	lay_out(&bench, whole, whole_len);
	bench_open(&bench);
	store_tx_put_item(tx, 1, "only in the log", "value", 1, 1, 1);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	g_assert_true(g_file_get_contents(wal, &log, &len, NULL));
	lay_out_spoilt(&bench, 0, PAGE);
	g_assert_true(g_file_set_contents(wal, log, (gssize)len, NULL));
	check_salvaged(&bench);
	check_all_left(&bench);
	g_assert_cmpuint(bench.recovery.rows_lost, ==, 0);
	bench_deinit(&bench);
}

static void test_tables(void)
{
	struct bench bench;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "DROP TABLE rejected;DROP TABLE meta");
	check_salvaged(&bench);
	g_assert_cmpuint(entries_left(&bench, 2).rows, ==, ENTRIES);
	check_works(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "CREATE TABLE more(a)");
	check_salvaged(&bench);
	check_all_left(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "DELETE FROM meta");
	check_salvaged(&bench);
	check_all_left(&bench);
	bench_deinit(&bench);
}

/* Each of these rows is lost, and nothing else. */
static void test_rows(void)
{
	static const char *const sql[] = {
		"UPDATE outbox SET op=7 WHERE area=1 AND serial=20",
		"UPDATE outbox SET serial=-5,first=-5 WHERE area=1 AND serial=1",
		"UPDATE outbox SET first=21 WHERE area=1 AND serial=20",
		"UPDATE outbox SET key='' WHERE area=1 AND serial=20",
		"UPDATE outbox SET key=CAST(x'6bff' AS TEXT) WHERE area=1 AND serial=20",
		"UPDATE outbox SET value=CAST(x'6b0061' AS TEXT) WHERE area=1 AND serial=20",
		"UPDATE outbox SET value=NULL WHERE area=1 AND serial=20",
		"UPDATE outbox SET queued_at=-1 WHERE area=1 AND serial=20",
	};
	struct store_state state;
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < G_N_ELEMENTS(sql); i++) {
		lay_out(&bench, whole, whole_len);
		spoil_sql(&bench, sql[i]);
		check_salvaged(&bench);
		g_assert_cmpuint(bench.recovery.rows_lost, ==, 1);
		g_assert_cmpuint(entries_left(&bench, 1).rows, ==, ENTRIES - 1);
		g_assert_cmpuint(entries_left(&bench, 2).rows, ==, ENTRIES);
		/* The batch may have held it: its rows wait again. */
		g_assert_cmpint(store_load_state(bench.store, &state), ==, 0);
		g_assert_cmpuint(state.batch_number, ==, 0);
		g_assert_cmpuint(state.batch_high, ==, 1500);
	}
	bench_deinit(&bench);
}

/* A copy with text that is none is found when it is asked for, and is the key's own trouble. */
static void test_item_text(void)
{
	struct store_item item;
	struct bench bench;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "UPDATE items SET value=CAST(x'6b0061' AS TEXT) WHERE area=1 AND "
			  "key='key-1'");
	bench_open(&bench);
	g_assert_false(bench.recovery.salvaged);
	g_assert_cmpint(store_get_item(bench.store, 1, "key-1", &item), ==, -EBADMSG);
	g_assert_cmpint(store_get_item(bench.store, 1, "key-2", &item), ==, 1);
	g_free(item.value);
	bench_deinit(&bench);
}

static void test_groups(void)
{
	static const struct {
		unsigned int serial, lost;
	} cases[] = { { 11, 5 }, { 13, 5 }, { 15, 5 }, { 20, 1 }, { 10, 1 } };
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *sql = g_strdup_printf("UPDATE outbox SET op=9 WHERE area=2 AND "
						       "serial=%u", cases[i].serial);

		lay_out(&bench, whole, whole_len);
		spoil_sql(&bench, sql);
		check_salvaged(&bench);
		g_assert_cmpuint(entries_left(&bench, 2).rows, ==, ENTRIES - cases[i].lost);
		g_assert_cmpuint(bench.recovery.rows_lost, ==, cases[i].lost);
	}
	bench_deinit(&bench);
}

/* Numbers that may have been given out are not given out again. */
static int check_reserved(void *data, int64_t area, const char *name, uint64_t reserved)
{
	(void)data;
	(void)name;
	g_assert_cmpuint(reserved, >=, area == 1 ? 1000000 : 5001);
	return 0;
}

static void test_reservations(void)
{
	struct store_state state;
	struct bench bench;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "UPDATE area SET reserved=-1 WHERE area=1;UPDATE meta SET "
			  "batch_reserved=0");
	check_salvaged(&bench);
	check_all_left(&bench);
	g_assert_cmpint(store_each_area(bench.store, check_reserved, NULL), ==, 0);
	g_assert_cmpint(store_load_state(bench.store, &state), ==, 0);
	g_assert_cmpstr(state.client, ==, "");
	g_assert_cmpuint(state.batch_reserved, >, 1000000);
	g_assert_cmpuint(state.generation, ==, 2);
	bench_deinit(&bench);
}

static void test_newer(void)
{
	g_autofree char *before = NULL, *after = NULL;
	struct bench bench;
	gsize before_len, after_len;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "PRAGMA user_version=2;CREATE TABLE unheard_of(a)");
	g_assert_true(g_file_get_contents(bench.path, &before, &before_len, NULL));
	g_assert_cmpint(bench_try_open(&bench), ==, -ENOTSUP);
	g_assert_true(g_file_get_contents(bench.path, &after, &after_len, NULL));
	g_assert_cmpmem(before, before_len, after, after_len);
	bench_deinit(&bench);
}

/* One bit of the version: the tables tell that it is no later one. */
static void test_version_bit(void)
{
	struct bench bench;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "PRAGMA user_version=3");
	check_salvaged(&bench);
	check_all_left(&bench);
	check_works(&bench);
	lay_out(&bench, whole, whole_len);
	spoil_sql(&bench, "PRAGMA user_version=3;CREATE TABLE unheard_of(a)");
	bench_close(&bench);
	g_assert_cmpint(bench_try_open(&bench), ==, -ENOTSUP);
	bench_deinit(&bench);
}

/* Where in the populated database these bytes are. */
static char *find_bytes(char *bytes, const char *what, gsize len)
{
	char *found = memmem(bytes, whole_len, what, len);

	g_assert_nonnull(found);
	return found;
}

/* The entry of area 1 and "key-250" in the index by key, with its header: the row itself is whole. */
static void test_index(void)
{
	static const char entry[] = "\x05\x09\x1b\x09\x02key-250";
	g_autofree char *bytes = g_memdup2(whole, whole_len);
	struct bench bench;

	bench_init(&bench);
	find_bytes(bytes, entry, strlen(entry))[strlen(entry) - 1] ^= 4;
	lay_out(&bench, bytes, whole_len);
	check_salvaged(&bench);
	g_assert_cmpuint(bench.recovery.rows_lost, ==, 0);
	check_all_left(&bench);
	bench_deinit(&bench);
}

/* The top of the outbox forgets all cells but the first: no error says that there were more. */
static void test_cells_forgotten(void)
{
	g_autofree char *bytes = g_memdup2(whole, whole_len);
	struct bench bench;

	bench_init(&bench);
	g_assert_cmpint(bytes[4 * PAGE], ==, 2);
	bytes[4 * PAGE + 3] = 0;
	bytes[4 * PAGE + 4] = 1;
	lay_out(&bench, bytes, whole_len);
	check_salvaged(&bench);
	/* The rows on the inner page itself are no cells any more. */
	g_assert_cmpuint(entries_left(&bench, 1).rows + entries_left(&bench, 2).rows, >=,
			 2 * ENTRIES - 60);
	check_works(&bench);
	bench_deinit(&bench);
}

/* Rows whose values go on where the file ends do not hide the rows beside them. */
static void test_cut_values(void)
{
	struct bench bench;
	struct left a, b;
	unsigned int changed;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len / 2);
	check_salvaged(&bench);
	a = entries_left(&bench, 1);
	b = entries_left(&bench, 2);
	g_assert_cmpuint(a.changed + b.changed, ==, 0);
	g_assert_cmpuint(a.rows + b.rows + items_left(&bench, &changed), >=, 641);
	bench_deinit(&bench);
}

/* A log stays in force behind a damaged header, also where more than the database is in the file. */
static void test_log_and_rubbish(void)
{
	g_autofree char *wal = NULL, *log = NULL, *bytes = g_malloc0(whole_len + 3 * PAGE);
	struct store_tx *tx = store_tx_new();
	struct store_item item;
	struct bench bench;
	gsize len;

	bench_init(&bench);
	wal = g_strconcat(bench.path, "-wal", NULL);
	lay_out(&bench, whole, whole_len);
	bench_open(&bench);
	store_tx_put_item(tx, 1, "only in the log", "value", 1, 1, 1);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	g_assert_true(g_file_get_contents(wal, &log, &len, NULL));
	memcpy(bytes, whole, whole_len);
	memset(bytes, 0xa5, 100);
	lay_out(&bench, bytes, whole_len + 3 * PAGE);
	g_assert_true(g_file_set_contents(wal, log, (gssize)len, NULL));
	check_salvaged(&bench);
	check_all_left(&bench);
	g_assert_cmpint(store_get_item(bench.store, 1, "only in the log", &item), ==, 1);
	g_free(item.value);
	bench_deinit(&bench);
}

/* A batch of an area without a name, ids that are none: neither may stop a start, now or later. */
static void test_batch_and_ids(void)
{
	static const char *const sql[] = {
		"PRAGMA writable_schema=ON;DELETE FROM area WHERE area=2",
		"UPDATE meta SET client='q'||substr(client,2)",
		"UPDATE meta SET epoch='Q'||substr(epoch,2)",
		"UPDATE batch SET id='-'||substr(id,2)",
		"UPDATE epoch SET epoch='z'||substr(epoch,2)",
	};
	struct store_state state;
	char last[UTIL_ID_SIZE];
	struct bench bench;

	bench_init(&bench);
	for (size_t i = 0; i < G_N_ELEMENTS(sql); i++) {
		lay_out(&bench, whole, whole_len);
		spoil_sql(&bench, sql[i]);
		check_salvaged(&bench);
		g_assert_cmpint(store_load_state(bench.store, &state), ==, 0);
		g_assert_cmpint(store_get_last_epoch(bench.store, last), >=, 0);
		g_assert_cmpuint(entries_left(&bench, 1).rows, ==, ENTRIES);
		check_works(&bench);
	}
	bench_deinit(&bench);
}

/* One bit of an area's number in its own table: the rows say which it has. */
static void test_area_number(void)
{
	static const char row[] = "\x02\x04\x00+\x02org.example.App";
	g_autofree char *bytes = g_memdup2(whole, whole_len);
	struct bench bench;

	bench_init(&bench);
	*find_bytes(bytes, row, sizeof(row) - 1) ^= 64;
	lay_out(&bench, bytes, whole_len);
	check_salvaged(&bench);
	check_all_left(&bench);
	bench_deinit(&bench);
}

/* Neither the index nor a search of the table finds an area; whoever reads from its begin does. */
static void test_area_count(void)
{
	g_autofree char *bytes = g_memdup2(whole, whole_len);
	struct bench bench;

	bench_init(&bench);
	bytes[2 * PAGE + 4] = 127; /* more rows than there are; page 3: the areas */
	memset(bytes + 3 * PAGE, 0xa5, PAGE);
	lay_out(&bench, bytes, whole_len);
	check_salvaged(&bench);
	check_all_left(&bench);
	bench_deinit(&bench);
}

static int check_name(void *data, int64_t area, const char *name, uint64_t reserved)
{
	(void)data;
	(void)reserved;
	g_assert_cmpstr(name, ==, area == 1 ? "default" : "org.example.App");
	return 0;
}

/* A row of one table is not taken for another's because numbers can be read as text. */
static void test_disguise(void)
{
	g_autofree char *bytes = g_memdup2(whole, whole_len);
	struct bench bench;

	bench_init(&bench);
	/* page 7: the parts of the batch; page 3: the areas */
	memcpy(bytes + 2 * PAGE, bytes + 6 * PAGE, PAGE);
	lay_out(&bench, bytes, whole_len);
	check_salvaged(&bench);
	check_all_left(&bench);
	g_assert_cmpint(store_each_area(bench.store, check_name, NULL), ==, 0);
	bench_deinit(&bench);
}

/* A crash between the end of a salvage and the last rename. */
static void test_interrupted(void)
{
	g_autofree char *recovered = NULL;
	struct bench bench;

	bench_init(&bench);
	recovered = g_strconcat(bench.path, ".recovered", NULL);
	lay_out_spoilt(&bench, 0, whole_len / 2);
	g_assert_true(g_file_set_contents(recovered, whole, (gssize)whole_len, NULL));
	check_salvaged(&bench);
	check_all_left(&bench);
	g_assert_false(g_file_test(recovered, G_FILE_TEST_EXISTS));
	g_assert_false(bench_reopen(&bench));
	bench_deinit(&bench);
}

static int ignore_entry(void *data, const struct store_entry *entry)
{
	(void)data;
	(void)entry;
	return 0;
}

/* Damage that comes while the store is open is an error, and the next start repairs. */
static void test_while_running(void)
{
	struct bench bench;
	FILE *file;
	int r;

	bench_init(&bench);
	lay_out(&bench, whole, whole_len);
	bench_open(&bench);
	file = fopen(bench.path, "r+");
	g_assert_nonnull(file);
	for (gsize offset = PAGE; offset < whole_len; offset += PAGE) {
		g_assert_cmpint(fseek(file, (long)offset, SEEK_SET), ==, 0);
		g_assert_cmpuint(fwrite("\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 1, 8, file), ==, 8);
	}
	fclose(file);
	r = store_each_entry(bench.store, 2, ignore_entry, NULL);
	g_assert_cmpint(r, ==, -EUCLEAN);
	bench_close(&bench);
	check_salvaged(&bench);
	check_works(&bench);
	bench_deinit(&bench);
}

int main(int argc, char **argv)
{
	int r;

	seed_init(&argc, &argv);
	make_whole();
	g_test_add_func("/store/damage/none", test_not_damaged);
	g_test_add_func("/store/damage/emptied", test_emptied);
	g_test_add_func("/store/damage/garbage", test_garbage);
	g_test_add_func("/store/damage/first-page", test_first_page);
	g_test_add_func("/store/damage/any-page", test_any_page);
	g_test_add_func("/store/damage/told", test_told);
	g_test_add_func("/store/damage/truncated", test_truncated);
	g_test_add_func("/store/damage/flips", test_flips);
	g_test_add_func("/store/damage/log", test_log);
	g_test_add_func("/store/damage/rows-in-log", test_rows_in_log);
	g_test_add_func("/store/damage/tables", test_tables);
	g_test_add_func("/store/damage/rows", test_rows);
	g_test_add_func("/store/damage/item-text", test_item_text);
	g_test_add_func("/store/damage/groups", test_groups);
	g_test_add_func("/store/damage/reservations", test_reservations);
	g_test_add_func("/store/damage/newer", test_newer);
	g_test_add_func("/store/damage/version-bit", test_version_bit);
	g_test_add_func("/store/damage/index", test_index);
	g_test_add_func("/store/damage/cells-forgotten", test_cells_forgotten);
	g_test_add_func("/store/damage/cut-values", test_cut_values);
	g_test_add_func("/store/damage/log-and-rubbish", test_log_and_rubbish);
	g_test_add_func("/store/damage/batch-and-ids", test_batch_and_ids);
	g_test_add_func("/store/damage/disguise", test_disguise);
	g_test_add_func("/store/damage/area-number", test_area_number);
	g_test_add_func("/store/damage/area-count", test_area_count);
	g_test_add_func("/store/damage/interrupted", test_interrupted);
	g_test_add_func("/store/damage/while-running", test_while_running);
	r = g_test_run();
	g_free(whole);
	return r;
}
