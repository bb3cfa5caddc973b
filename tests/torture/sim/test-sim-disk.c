/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store on a disk that dies and loses power at any operation. A session is a row of random
 * transactions with clean stops between some; what a store reads after each is known from a run
 * that nothing disturbs. After a death it must read as after one of these: all that was told and
 * survives this kind of death, and at most the one more that was under way. Nothing may look
 * damaged, ever.
 */

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>

#include "sim-disk.h"
#include "store-bench.h"
#include "torture.h"

#define OPS_PER_TX 4	/* at most */
#define STOP_EVERY 7	/* transactions */

struct session {
	uint32_t seed;
	unsigned int n;
	bool large;	/* so much that the log is moved into the file on the way */
	char **dumps;	/* n + 1: after so many transactions */
	uint64_t operations;
};

/*
 * What can be found after a death lies between two bounds. The upper one is not always the last
 * transaction told and the one under way. A log's frames are chained by checksums. Where the power
 * took one out of the middle, those behind it lie dead in the file; should the next process begin
 * a transaction with the very frame that is missing (the same page with the same bytes), and die
 * before it goes on, then they are valid again: a state that was is back, whole, and nobody was
 * told anything since. The first transaction that is told ends this, for it differs somewhere.
 */
struct run {
	const struct session *session;
	struct bench bench;
	struct sim_disk *disk;
	unsigned int done;	/* transactions told */
	unsigned int floor;	/* of which so many were synced */
	unsigned int peak;	/* the furthest state that can be found */
};

static uint32_t base_seed;

/* Where we are, for a failure. */
static char place[128];

static void tell_place(int signal)
{
	(void)signal;
	(void)!write(STDOUT_FILENO, place, strlen(place));
}

/* ---- transactions ---- */

struct maker {
	struct store_tx *tx;
	GPtrArray *borrowed;
	GRand *rand;
	uint64_t serial;	/* the next free one */
	bool large;
};

static int roll(struct maker *m, int n)
{
	return g_rand_int_range(m->rand, 0, n);
}

static char *make_value(struct maker *m)
{
	int len = roll(m, 5) ? roll(m, 60) : roll(m, m->large ? 250000 : 9000);
	char *value = g_strnfill((gsize)len, (char)('a' + roll(m, 26)));

	g_ptr_array_add(m->borrowed, value);
	return value;
}

static char *make_key(struct maker *m)
{
	char *key = g_strdup_printf("k%02d", roll(m, BENCH_KEYS));

	g_ptr_array_add(m->borrowed, key);
	return key;
}

static struct outbox_entry *make_entry(struct maker *m)
{
	struct outbox_entry *entry = bench_entry(m->serial, m->serial, 0, make_key(m),
						 roll(m, 4) ? make_value(m) : NULL);

	m->serial++;
	g_ptr_array_add(m->borrowed, entry);
	return entry;
}

static void make_batch(struct maker *m)
{
	if (roll(m, 3) == 0) {
		store_tx_end_batch(m->tx);
		return;
	}
	store_tx_begin_batch(m->tx, m->serial, bench_epochs[roll(m, 3)]);
	store_tx_batch_part(m->tx, 1, m->serial);
}

static void make_op(struct maker *m)
{
	switch (roll(m, 8)) {
	case 0:
		store_tx_trim(m->tx, 1, m->serial / 2);
		break;
	case 1:
		store_tx_put_rejected(m->tx, 1, make_entry(m), "quota", "no room", 99);
		store_tx_put_outcome(m->tx, 1, 1, m->serial, STORE_OUTCOME_REJECTED);
		break;
	case 2:
		make_batch(m);
		break;
	case 3:
		store_tx_epoch(m->tx, bench_epochs[roll(m, 3)], bench_client, m->serial, m->serial);
		break;
	case 4:
		store_tx_evict_items(m->tx, 1, (uint64_t)roll(m, 9000));
		break;
	case 5:
	case 6:
		store_tx_put_item(m->tx, 1, make_key(m), roll(m, 4) ? make_value(m) : NULL,
				  m->serial, 1, 7);
		break;
	default:
		store_tx_put_entry(m->tx, 1, make_entry(m));
	}
}

/*
 * No two attempts write the same bytes, as a time or an id sees to in life; see struct run. A dump
 * does not show an outcome of so high a serial.
 */
static void make_unlike(struct maker *m)
{
	static uint64_t attempts = 1000000;

	attempts++;
	store_tx_put_outcome(m->tx, 1, attempts, attempts, STORE_OUTCOME_DROPPED);
}

/* The @i-th of the session, always the same to who reads it. Return: as bench_commit() */
static int commit(struct bench *bench, const struct session *s, unsigned int i, bool *ret_synced)
{
	struct maker m = {
		.tx = store_tx_new(),
		.borrowed = g_ptr_array_new_with_free_func(g_free),
		.rand = g_rand_new_with_seed(s->seed * 1009 + i),
		.serial = 1 + i * OPS_PER_TX,
		.large = s->large,
	};
	int n = 1 + roll(&m, OPS_PER_TX), r;

	*ret_synced = roll(&m, 3) > 0;
	if (*ret_synced)
		store_tx_require_sync(m.tx);
	if (i == 0)
		store_tx_add_area(m.tx, 1, "default");
	store_tx_reserve_serials(m.tx, 1, m.serial);
	for (int op = 0; op < n; op++)
		make_op(&m);
	make_unlike(&m);
	r = bench_commit(bench, m.tx);
	g_ptr_array_unref(m.borrowed);
	g_rand_free(m.rand);
	return r;
}

/* ---- a run of a session ---- */

static void run_init(struct run *run, const struct session *session, uint32_t seed)
{
	*run = (struct run){ .session = session };
	bench_init(&run->bench);
	run->disk = sim_disk_new(run->bench.dir, seed);
}

static void run_deinit(struct run *run)
{
	if (run->bench.store)
		bench_close(&run->bench);
	sim_disk_free(run->disk);
	bench_deinit(&run->bench);
}

static bool run_open(struct run *run)
{
	int r = bench_try_open(&run->bench);

	g_assert_true(r == 0 || sim_disk_is_dead(run->disk));
	if (r == 0)
		g_assert_false(run->bench.recovery.salvaged);
	return r == 0;
}

/* A clean stop brings everything to the platter. */
static void run_close(struct run *run)
{
	bench_close(&run->bench);
	if (!sim_disk_is_dead(run->disk))
		run->floor = run->done;
}

static bool run_commit(struct run *run)
{
	bool synced;
	int r = commit(&run->bench, run->session, run->done, &synced);

	run->peak = MAX(run->peak, run->done + 1);
	if (r < 0)
		return false;
	run->peak = ++run->done;
	if (synced)
		run->floor = run->done;
	return true;
}

/* Up to the end or the disk's. Every dump is added to @dumps, where that is given. */
static void run_play(struct run *run, char **dumps)
{
	const struct session *s = run->session;

	if (!run->bench.store && !run_open(run))
		return;
	if (dumps)
		dumps[0] = bench_dump(&run->bench);
	while (run->done < s->n && run_commit(run)) {
		if (dumps)
			dumps[run->done] = bench_dump(&run->bench);
		if (run->done % STOP_EVERY)
			continue;
		run_close(run);
		if (sim_disk_is_dead(run->disk) || !run_open(run))
			return;
	}
	g_assert_true(run->done == s->n || sim_disk_is_dead(run->disk));
	run_close(run);
}

/* Whether one of the states that may be is what can be read; run->done is which. */
static void run_recover(struct run *run, int how)
{
	const struct session *s = run->session;
	unsigned int low = how == SIM_DISK_CRASH ? run->done : run->floor;
	g_autofree char *got = NULL;

	sim_disk_revive(run->disk, how);
	g_assert_true(run_open(run));
	got = bench_dump(&run->bench);
	for (unsigned int i = low; i <= run->peak; i++) {
		if (strcmp(got, s->dumps[i]) != 0)
			continue;
		/* The start syncs what it goes on from. */
		run->done = run->floor = i;
		return;
	}
	g_test_message("told %u, synced %u, at most %u", run->done, run->floor, run->peak);
	bench_compare(got, s->dumps[low]);
}

static void session_init(struct session *s, uint32_t seed, unsigned int n, bool large)
{
	struct run run;

	*s = (struct session){ .seed = seed, .n = n, .large = large };
	s->dumps = g_new0(char *, n + 2);
	run_init(&run, s, seed);
	run_play(&run, s->dumps);
	g_assert_cmpuint(run.done, ==, n);
	s->operations = sim_disk_operations(run.disk);
	run_deinit(&run);
}

/* ---- tests ---- */

/* Die at operation @k, come back, and be of use again. */
static void die_at(const struct session *s, unsigned int k, int how)
{
	struct run run;

	g_snprintf(place, sizeof(place), "# seed %u: died at operation %u of %u, %s\n", s->seed, k,
		   (unsigned int)s->operations, how == SIM_DISK_CRASH ? "killed" : "power lost");
	run_init(&run, s, s->seed ^ k);
	sim_disk_die(run.disk, k);
	run_play(&run, NULL);
	g_assert_true(sim_disk_is_dead(run.disk));
	run_recover(&run, how);
	run_play(&run, NULL);
	g_assert_cmpuint(run.done, ==, s->n);
	run_deinit(&run);
}

static unsigned int die_everywhere(uint32_t seed, unsigned int n)
{
	struct session s;
	unsigned int points = 0;

	session_init(&s, seed, n, false);
	for (unsigned int k = 1; k <= s.operations; k++) {
		die_at(&s, k, SIM_DISK_CRASH);
		die_at(&s, k, SIM_DISK_POWER_LOSS);
		points += 2;
	}
	g_strfreev(s.dumps);
	return points;
}

static void test_everywhere(void)
{
	unsigned int seeds = torture_long() ? 60 : 1, points = 0;

	for (unsigned int i = 0; i < seeds; i++)
		points += die_everywhere(base_seed + i, 9);
	if (torture_long())
		torture_figure("store killed and without power at each operation",
			       "%u points, 0 lost, 0 damaged", points);
}

/* The log grows until it is moved into the file while the session runs. */
static void test_large(void)
{
	unsigned int deaths = torture_long() ? 1500 : 12;
	g_autoptr(GRand) rand = g_rand_new_with_seed(base_seed);
	struct session s;

	session_init(&s, base_seed, 80, true);
	for (unsigned int i = 0; i < deaths; i++)
		die_at(&s, (unsigned int)g_rand_int_range(rand, 1, (gint32)s.operations + 1),
		       i % 2 ? SIM_DISK_CRASH : SIM_DISK_POWER_LOSS);
	g_strfreev(s.dumps);
}

/* Deaths in a row: what an earlier process wrote and did not sync is lost before a start, or not
 * at all. */
static void die_often(uint32_t seed)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
	struct session s;
	struct run run;

	session_init(&s, seed, 40, false);
	run_init(&run, &s, seed);
	for (unsigned int i = 0; run.done < s.n; i++) {
		unsigned int k = (unsigned int)g_rand_int_range(rand, 1, 60);
		int how = g_rand_boolean(rand) ? SIM_DISK_CRASH : SIM_DISK_POWER_LOSS;

		g_snprintf(place, sizeof(place), "# seed %u: death %u, after %u more, told %u\n",
			   seed, i, k, run.done);
		sim_disk_die(run.disk, k);
		run_play(&run, NULL);
		if (run.bench.store)
			run_close(&run);
		run_recover(&run, how);
	}
	run_deinit(&run);
	g_strfreev(s.dumps);
}

static void test_often(void)
{
	for (unsigned int i = 0; i < (torture_long() ? 400 : 8); i++)
		die_often(base_seed + i);
}

/* What was not synced is lost now and then, or the disk is not one that can. */
static void test_loses(void)
{
	unsigned int lost = 0, kept = 0, told;
	struct session s;

	session_init(&s, base_seed, 40, false);
	for (uint32_t seed = 0; seed < 30; seed++) {
		struct run run;

		run_init(&run, &s, base_seed + seed);
		g_assert_true(run_open(&run));
		while (run.floor == run.done)
			g_assert_true(run_commit(&run));
		told = run.done;
		sim_disk_die(run.disk, 0);
		bench_close(&run.bench);
		run_recover(&run, SIM_DISK_POWER_LOSS);
		lost += run.done < told;
		kept += run.done == told;
		run_deinit(&run);
	}
	g_assert_cmpuint(lost, >, 0);
	g_assert_cmpuint(kept, >, 0);
	g_strfreev(s.dumps);
}

/* SQLite told to trust the disk's order must come to harm on one that has none. */
static bool survives_without_sync(uint32_t seed)
{
	struct bench bench;
	struct sim_disk *disk;
	sqlite3_stmt *check;
	sqlite3 *db;
	bool good;

	bench_init(&bench);
	disk = sim_disk_new(bench.dir, seed);
	g_assert_cmpint(sqlite3_open(bench.path, &db), ==, SQLITE_OK);
	g_assert_cmpint(sqlite3_exec(db, "PRAGMA synchronous=OFF;PRAGMA journal_mode=DELETE;"
				     "CREATE TABLE t(a PRIMARY KEY,b);"
				     "WITH RECURSIVE n(i) AS(VALUES(1) UNION ALL SELECT i+1 FROM n "
				     "LIMIT 200) INSERT INTO t SELECT i,randomblob(100) FROM n",
				     NULL, NULL, NULL), ==, SQLITE_OK);
	sim_disk_die(disk, 0);
	sqlite3_close(db);
	sim_disk_revive(disk, SIM_DISK_POWER_LOSS);
	g_assert_cmpint(sqlite3_open(bench.path, &db), ==, SQLITE_OK);
	good = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL) == SQLITE_OK &&
	       sqlite3_step(check) == SQLITE_ROW &&
	       g_strcmp0((const char *)sqlite3_column_text(check, 0), "ok") == 0;
	sqlite3_finalize(check);
	sqlite3_close(db);
	sim_disk_free(disk);
	bench_deinit(&bench);
	return good;
}

static void test_harms(void)
{
	unsigned int survived = 0;

	for (uint32_t seed = 0; seed < 30; seed++)
		survived += survives_without_sync(base_seed + seed);
	g_assert_cmpuint(survived, >, 0);
	g_assert_cmpuint(survived, <, 30);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	base_seed = torture_seed();
	signal(SIGABRT, tell_place);
	sim_disk_register();
	g_test_add_func("/sim-disk/harms", test_harms);
	g_test_add_func("/sim-disk/loses", test_loses);
	g_test_add_func("/sim-disk/everywhere", test_everywhere);
	g_test_add_func("/sim-disk/large", test_large);
	g_test_add_func("/sim-disk/often", test_often);
	return g_test_run();
}
