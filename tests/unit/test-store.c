/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store on a whole disk, a full one, one that fails (sim-disk.h), and in a process that is
 * killed.
 */

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sim-disk.h"
#include "store-bench.h"

/* ---- helpers ---- */

/* Commit one set of "k<serial>"; with an area on the first. */
static int put(struct bench *bench, uint64_t serial, bool sync)
{
	g_autofree char *key = g_strdup_printf("k%02u", (unsigned int)serial % BENCH_KEYS);
	g_autofree struct outbox_entry *entry = bench_entry(serial, serial, 0, key, "value");
	struct store_tx *tx = store_tx_new();

	if (serial == 1)
		store_tx_add_area(tx, 1, "default");
	store_tx_put_entry(tx, 1, entry);
	if (sync)
		store_tx_require_sync(tx);
	return bench_commit(bench, tx);
}

static int count_entry(void *data, const struct store_entry *entry)
{
	uint64_t *last = data;

	g_assert_cmpuint(entry->serial, ==, *last + 1);
	*last = entry->serial;
	return 0;
}

/* Serials must run from 1 without a hole. Return: the last. */
static uint64_t last_entry(struct bench *bench)
{
	uint64_t last = 0;

	g_assert_cmpint(store_each_entry(bench->store, 1, count_entry, &last), ==, 0);
	return last;
}

static void copy_to(const char *from, const char *to)
{
	g_autofree char *text = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(from, &text, &len, NULL));
	g_assert_true(g_file_set_contents(to, text, (gssize)len, NULL));
}

/* ---- tests ---- */

static void test_new(void)
{
	struct bench bench, other;
	struct store_state state;
	struct stat st;
	char epoch[UTIL_ID_SIZE];

	bench_init(&bench);
	bench_open(&bench);
	g_assert_false(bench.recovery.salvaged);
	g_assert_cmpint(store_load_state(bench.store, &state), ==, 0);
	g_assert_cmpstr(state.client, ==, "");
	g_assert_cmpuint(state.batch_reserved, ==, 1);
	g_assert_cmpuint(state.batch_high, ==, 0);
	g_assert_cmpuint(state.generation, ==, 1);
	g_assert_cmpuint(state.batch_number, ==, 0);
	g_assert_cmpint(store_get_last_epoch(bench.store, epoch), ==, 0);
	g_assert_cmpint(g_stat(bench.path, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 0777, ==, 0600);

	other = bench;
	g_assert_cmpint(bench_try_open(&other), ==, -EBUSY);
	g_assert_cmpint(put(&bench, 1, true), ==, 0);
	bench_deinit(&bench);
}

static void test_bad_places(void)
{
	struct bench bench;

	bench_init(&bench);
	g_assert_cmpint(g_mkdir(bench.path, 0700), ==, 0);
	g_assert_cmpint(bench_try_open(&bench), ==, -EISDIR);
	g_assert_cmpint(g_rmdir(bench.path), ==, 0);
	g_assert_cmpint(mkfifo(bench.path, 0600), ==, 0);
	g_assert_cmpint(bench_try_open(&bench), ==, -EINVAL);
	g_assert_cmpint(g_remove(bench.path), ==, 0);
	g_free(bench.path);
	bench.path = g_build_filename(bench.dir, "nowhere", "store.db", NULL);
	g_assert_cmpint(bench_try_open(&bench), ==, -ENOENT);
	bench_deinit(&bench);
}

static void put_item(struct store_tx *tx, const char *key, const char *value, uint64_t revision,
		     uint64_t generation)
{
	store_tx_put_item(tx, 1, key, value, revision, generation, 5);
}

static char *get_item(struct bench *bench, const char *key)
{
	struct store_item item;
	char *text;
	int r = store_get_item(bench->store, 1, key, &item);

	if (r <= 0)
		return g_strdup_printf("%d", r);
	text = g_strdup_printf("%s r%u g%u", item.value ? item.value : "none",
			       (unsigned int)item.revision, (unsigned int)item.generation);
	g_free(item.value);
	return text;
}

static void assert_items(struct bench *bench, int64_t area, uint64_t want)
{
	uint64_t items, rejected;

	store_count(bench->store, area, &items, &rejected);
	g_assert_cmpuint(items, ==, want);
	g_assert_cmpuint(rejected, ==, 0);
}

#define assert_item(bench, key, want)                                                              \
	do {                                                                                       \
		g_autofree char *got_ = get_item((bench), (key));                                  \
		g_assert_cmpstr(got_, ==, (want));                                                 \
	} while (0)

static void test_items(void)
{
	struct store_tx *tx = store_tx_new();
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	put_item(tx, "a", "one", 10, 1);
	put_item(tx, "b", "", 10, 1);
	put_item(tx, "c", NULL, 10, 1);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	assert_item(&bench, "a", "one r10 g1");
	assert_item(&bench, "b", " r10 g1");
	assert_item(&bench, "c", "none r10 g1");
	assert_item(&bench, "d", "0");
	g_assert_cmpuint(store_item_bytes(bench.store, 1), ==, 6);
	assert_items(&bench, 1, 3);
	assert_items(&bench, 2, 0);
	g_assert_cmpuint(store_item_bytes(bench.store, 2), ==, 0);

	tx = store_tx_new();
	put_item(tx, "a", "older", 9, 1);	/* left out */
	put_item(tx, "b", "same", 10, 1);
	put_item(tx, "c", "copy", 3, 2);	/* a newer generation */
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	assert_item(&bench, "a", "one r10 g1");
	assert_item(&bench, "b", "same r10 g1");
	assert_item(&bench, "c", "copy r3 g2");
	g_assert_cmpuint(store_item_bytes(bench.store, 1), ==, 4 + 5 + 5);

	tx = store_tx_new();
	put_item(tx, "c", "stale", 99, 1); /* an older generation: left out */
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	assert_item(&bench, "c", "copy r3 g2");

	/* "a" is the one written longest ago: what was left out did not count. */
	tx = store_tx_new();
	store_tx_evict_items(tx, 1, 13);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	assert_item(&bench, "a", "0");
	g_assert_cmpuint(store_item_bytes(bench.store, 1), ==, 10);
	assert_items(&bench, 1, 2);
	g_assert_false(bench_reopen(&bench));
	g_assert_cmpuint(store_item_bytes(bench.store, 1), ==, 10);
	assert_items(&bench, 1, 2);
	bench_deinit(&bench);
}

static int collect_key(void *data, const char *key)
{
	g_string_append_printf(data, "%s,", key);
	return ((GString *)data)->len > 40; /* ends a listing early */
}

#define assert_keys(bench, prefix, want)                                                           \
	do {                                                                                       \
		g_autoptr(GString) got_ = g_string_new(NULL);                                      \
		store_each_key((bench)->store, 1, (prefix), collect_key, got_);                    \
		g_assert_cmpstr(got_->str, ==, (want));                                            \
	} while (0)

static void test_keys(void)
{
	static const char *const keys[] = { "a", "a%", "a_b", "ab", "B", "\xc3\xa4", "b", "a\x7f",
					    "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf!" };
	struct store_tx *tx = store_tx_new();
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
		put_item(tx, keys[i], "v", 1, 1);
	put_item(tx, "ac", NULL, 1, 1);
	store_tx_put_item(tx, 2, "az", "v", 1, 1, 1);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	assert_keys(&bench, "", "B,a,a%,a_b,ab,a\x7f,b,\xc3\xa4,\xf4\x8f\xbf\xbf,"
				"\xf4\x8f\xbf\xbf!,");
	assert_keys(&bench, "a", "a,a%,a_b,ab,a\x7f,");
	assert_keys(&bench, "a_", "a_b,");
	assert_keys(&bench, "a%", "a%,");
	assert_keys(&bench, "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf,\xf4\x8f\xbf\xbf!,");
	assert_keys(&bench, "c", "");
	bench_deinit(&bench);
}

static void test_outcomes(void)
{
	struct store_tx *tx = store_tx_new();
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	for (uint64_t serial = 1; serial <= 1500; serial++)
		store_tx_put_outcome(tx, serial % 3 ? 1 : 2, serial, serial,
				     STORE_OUTCOME_REJECTED);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	tx = store_tx_new();
	store_tx_put_outcome(tx, 1, 1501, 1510, STORE_OUTCOME_DROPPED);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 1), ==, STORE_OUTCOME_NONE);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 2), ==, STORE_OUTCOME_REJECTED);
	g_assert_cmpint(store_find_outcome(bench.store, 2, 3), ==, STORE_OUTCOME_REJECTED);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 1500), ==, STORE_OUTCOME_NONE);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 1505), ==, STORE_OUTCOME_DROPPED);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 1511), ==, STORE_OUTCOME_NONE);

	/* None of those that came together is forgotten before others come. */
	tx = store_tx_new();
	for (uint64_t serial = 2001; serial <= 3500; serial++)
		store_tx_put_outcome(tx, serial % 5 ? 1 : 2, serial, serial, STORE_OUTCOME_DROPPED);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 1505), ==, STORE_OUTCOME_NONE);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 2001), ==, STORE_OUTCOME_DROPPED);
	tx = store_tx_new();
	store_tx_put_outcome(tx, 1, 3501, 3501, STORE_OUTCOME_DROPPED);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 2251), ==, STORE_OUTCOME_NONE);
	g_assert_cmpint(store_find_outcome(bench.store, 1, 2252), ==, STORE_OUTCOME_DROPPED);
	bench_deinit(&bench);
}

static void test_epochs(void)
{
	struct store_tx *tx = store_tx_new();
	char epoch[UTIL_ID_SIZE], last[UTIL_ID_SIZE];
	uint64_t acked, revision;
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	store_tx_epoch(tx, bench_epochs[0], bench_client, 7, 70);
	store_tx_epoch(tx, bench_epochs[0], bench_epochs[1], 0, 60);
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	/* A new client of ours: nothing acked, but the store's revision is the store's. */
	g_assert_cmpint(store_get_epoch(bench.store, bench_epochs[0], bench_epochs[2], &acked,
					&revision), ==, 0);
	g_assert_cmpuint(acked, ==, 0);
	g_assert_cmpuint(revision, ==, 60);
	store_get_epoch(bench.store, bench_epochs[0], bench_client, &acked, &revision);
	g_assert_cmpuint(acked, ==, 7);

	/* A parent that is new at each connection does not make us grow. */
	tx = store_tx_new();
	for (int i = 0; i < 200; i++) {
		util_random_id(epoch);
		store_tx_epoch(tx, epoch, bench_client, 1, 2);
	}
	g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
	store_get_epoch(bench.store, bench_epochs[0], bench_client, &acked, &revision);
	g_assert_cmpuint(acked + revision, ==, 0);
	g_assert_cmpint(store_get_last_epoch(bench.store, last), ==, 1);
	g_assert_cmpstr(last, ==, epoch);
	bench_deinit(&bench);
}

/* A change that meets no row, or a rule of the tables, takes the whole transaction with it. */
static void test_refused(void)
{
	g_autofree struct outbox_entry *twice = bench_entry(1, 1, 0, "k01", "again");
	g_autofree char *before = NULL, *after = NULL;
	struct store_tx *tx = store_tx_new();
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	g_assert_cmpint(put(&bench, 1, true), ==, 0);
	before = bench_dump(&bench);
	put_item(tx, "k01", "new", 1, 1);
	store_tx_put_entry(tx, 1, twice);
	g_assert_cmpint(bench_commit(&bench, tx), ==, -EINVAL);
	tx = store_tx_new();
	put_item(tx, "k01", "new", 1, 1);
	store_tx_reserve_serials(tx, 77, 1001);
	g_assert_cmpint(bench_commit(&bench, tx), ==, -ENOENT);
	after = bench_dump(&bench);
	g_assert_cmpstr(before, ==, after);
	g_assert_cmpint(put(&bench, 2, true), ==, 0);
	g_assert_false(bench_reopen(&bench));
	g_assert_cmpuint(last_entry(&bench), ==, 2);
	bench_deinit(&bench);
}

/* Told with a sync only if it was asked for; never told before it. */
static void test_sync(void)
{
	struct sim_disk *disk;
	struct bench bench;

	bench_init(&bench);
	disk = sim_disk_new(bench.dir, 1);
	bench_open(&bench);
	g_assert_cmpint(put(&bench, 1, true), ==, 0);
	for (uint64_t serial = 2; serial <= 40; serial++) {
		uint64_t syncs = sim_disk_syncs(disk);

		g_assert_cmpint(put(&bench, serial, serial % 3 == 0), ==, 0);
		g_assert_cmpuint(sim_disk_syncs(disk) > syncs, ==, serial % 3 == 0);
	}
	bench_close(&bench);
	sim_disk_free(disk);
	bench_deinit(&bench);
}

/* Every write and sync fails in turn: nothing of the transaction may be there, and the store goes on. */
static void test_disk_refuses(void)
{
	static const struct {
		int error, want;
	} kinds[] = { { ENOSPC, -ENOSPC }, { EIO, -EIO }, { EDQUOT, -ENOSPC }, { EFBIG, -ENOSPC } };
	struct sim_disk *disk;
	struct bench bench;
	uint64_t last = 1;

	bench_init(&bench);
	disk = sim_disk_new(bench.dir, 1);
	bench_open(&bench);
	g_assert_cmpint(put(&bench, 1, true), ==, 0);
	for (unsigned int n = 1; n < 40; n++) {
		int r;

		sim_disk_fail(disk, n % 8 + 1, kinds[n % 4].error);
		r = put(&bench, last + 1, n % 2);
		if (r == 0)
			last++;
		else
			g_assert_cmpint(r, ==, kinds[n % 4].want);
		g_assert_true(r == 0 || sim_disk_has_failed(disk));
		sim_disk_fail(disk, 0, 0);
		g_assert_cmpuint(last_entry(&bench), ==, last);
		if (n % 5 == 0)
			g_assert_false(bench_reopen(&bench));
	}
	g_assert_cmpint(put(&bench, last + 1, true), ==, 0);
	bench_close(&bench);
	sim_disk_free(disk);
	bench_deinit(&bench);
}

/*
 * The commit is in the log when its sync fails. It was refused, so a crash right then must not
 * bring it back.
 */
static void test_sync_fails(void)
{
	g_autofree char *wal = NULL, *copy_wal = NULL;
	struct bench bench, crashed;
	struct sim_disk *disk;

	bench_init(&bench);
	disk = sim_disk_new(bench.dir, 1);
	bench_init(&crashed);
	bench_open(&bench);
	g_assert_cmpint(put(&bench, 1, true), ==, 0);
	sim_disk_fail_syncs(disk, 1, EIO);
	g_assert_cmpint(put(&bench, 2, true), ==, -EIO);
	sim_disk_fail_syncs(disk, 0, 0);
	g_assert_cmpuint(last_entry(&bench), ==, 1);

	wal = g_strconcat(bench.path, "-wal", NULL);
	copy_wal = g_strconcat(crashed.path, "-wal", NULL);
	copy_to(bench.path, crashed.path);
	copy_to(wal, copy_wal);
	bench_open(&crashed);
	g_assert_false(crashed.recovery.salvaged);
	g_assert_cmpuint(last_entry(&crashed), ==, 1);
	g_assert_cmpint(put(&bench, 2, true), ==, 0);
	g_assert_cmpuint(last_entry(&bench), ==, 2);
	bench_deinit(&crashed);
	bench_close(&bench);
	sim_disk_free(disk);
	bench_deinit(&bench);
}

/* A file that may not grow is a full disk: a real one, to the kernel. */
static void child_fills_up(struct bench *bench)
{
	struct rlimit limit = { 300000, 300000 };
	g_autofree char *value = g_strnfill(20000, 'x');
	uint64_t serial = 1;
	int r = 0;

	signal(SIGXFSZ, SIG_IGN);
	bench_open(bench);
	g_assert_cmpint(put(bench, 1, true), ==, 0);
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	while (r == 0 && serial < 1000) {
		g_autofree struct outbox_entry *entry = NULL;
		struct store_tx *tx = store_tx_new();

		serial++;
		entry = bench_entry(serial, serial, 0, "k00", value);
		store_tx_put_entry(tx, 1, entry);
		store_tx_require_sync(tx);
		r = bench_commit(bench, tx);
	}
	g_assert_cmpint(r, ==, -ENOSPC);
	g_assert_cmpuint(serial, >, 3);
	g_assert_cmpuint(last_entry(bench), ==, serial - 1);
	_exit(0);
}

static void test_disk_full(void)
{
	struct bench bench;
	int status;
	pid_t pid;

	bench_init(&bench);
	pid = fork();
	g_assert_cmpint(pid, >=, 0);
	if (pid == 0)
		child_fills_up(&bench);
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_cmpint(status, ==, 0);
	bench_open(&bench);
	g_assert_false(bench.recovery.salvaged);
	g_assert_cmpuint(last_entry(&bench), >, 2);
	g_assert_cmpint(put(&bench, last_entry(&bench) + 1, true), ==, 0);
	bench_deinit(&bench);
}

static void child_commits(struct bench *bench, int fd)
{
	uint64_t serial;

	bench_open(bench);
	serial = last_entry(bench);
	for (;;) {
		serial++;
		g_assert_cmpint(put(bench, serial, serial % 4 == 0), ==, 0);
		g_assert_cmpint((int)write(fd, &serial, sizeof(serial)), ==, sizeof(serial));
	}
}

/* What was told before the kill is there after it, and at most one more. */
static void test_killed(void)
{
	struct bench bench;
	uint64_t told = 0;

	bench_init(&bench);
	for (unsigned int round = 1; round <= 25; round++) {
		uint64_t until = told + round * 7;
		int pipes[2], status;
		pid_t pid;

		g_assert_cmpint(pipe(pipes), ==, 0);
		pid = fork();
		g_assert_cmpint(pid, >=, 0);
		if (pid == 0)
			child_commits(&bench, pipes[1]);
		close(pipes[1]);
		while (told < until && read(pipes[0], &told, sizeof(told)) == sizeof(told))
			;
		g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
		g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
		g_assert_true(WIFSIGNALED(status));
		while (read(pipes[0], &told, sizeof(told)) == sizeof(told))
			;
		close(pipes[0]);
		g_assert_false(bench_reopen(&bench));
		g_assert_cmpuint(last_entry(&bench), >=, told);
		g_assert_cmpuint(last_entry(&bench), <=, told + 1);
		told = last_entry(&bench);
		bench_close(&bench);
	}
	bench_deinit(&bench);
}

static void count_told(void *data, int result)
{
	g_assert_cmpint(result, ==, 0);
	++*(unsigned int *)data;
}

/* The thread writes while the main loop reads; closing waits for what was submitted. */
static void test_thread(void)
{
	struct bench bench;
	struct outbox_entry *entries[300];
	unsigned int told = 0;

	bench_init(&bench);
	bench.worker = worker_new("store", NULL);
	g_assert_cmpint(store_open(bench.path, bench.worker, &bench.store, &bench.recovery), ==, 0);
	for (unsigned int i = 0; i < G_N_ELEMENTS(entries); i++) {
		struct store_tx *tx = store_tx_new();

		if (i == 0)
			store_tx_add_area(tx, 1, "default");
		entries[i] = bench_entry(i + 1, i + 1, 0, "k01", "value");
		store_tx_put_entry(tx, 1, entries[i]);
		put_item(tx, "k02", "a value", i, 1);
		if (i % 2)
			store_tx_require_sync(tx);
		store_submit(bench.store, tx, count_told, &told);
		g_main_context_iteration(NULL, FALSE);
		g_assert_cmpuint(last_entry(&bench), >=, told);
	}
	while (told < 100)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpuint(store_item_bytes(bench.store, 1), ==, 10);
	g_assert_cmpuint(store_commit_time(bench.store), >, 0);
	bench.store = store_close(bench.store);
	g_assert_cmpuint(told, ==, G_N_ELEMENTS(entries));
	bench.worker = worker_free(bench.worker);
	for (unsigned int i = 0; i < G_N_ELEMENTS(entries); i++)
		g_free(entries[i]);
	bench_open(&bench);
	g_assert_cmpuint(last_entry(&bench), ==, G_N_ELEMENTS(entries));
	bench_deinit(&bench);
}

/* No read may stay open, or the log could never be moved into the database. */
static void test_log_stays_small(void)
{
	g_autofree char *wal = NULL, *value = g_strnfill(2000, 'x');
	struct bench bench;
	struct stat st;

	bench_init(&bench);
	bench_open(&bench);
	g_assert_cmpint(put(&bench, 1, true), ==, 0);
	wal = g_strconcat(bench.path, "-wal", NULL);
	for (unsigned int i = 0; i < 8000; i++) {
		struct store_tx *tx = store_tx_new();

		put_item(tx, "k01", value, i, 1);
		g_assert_cmpint(bench_commit(&bench, tx), ==, 0);
		g_free(get_item(&bench, "k01"));
		if (i % 100 == 0)
			g_free(bench_dump(&bench));
	}
	g_assert_cmpint(g_stat(wal, &st), ==, 0);
	g_assert_cmpint(st.st_size, <, 6 * 1024 * 1024);
	bench_deinit(&bench);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_disk_register();
	g_test_add_func("/store/new", test_new);
	g_test_add_func("/store/bad-places", test_bad_places);
	g_test_add_func("/store/items", test_items);
	g_test_add_func("/store/keys", test_keys);
	g_test_add_func("/store/outcomes", test_outcomes);
	g_test_add_func("/store/epochs", test_epochs);
	g_test_add_func("/store/refused", test_refused);
	g_test_add_func("/store/sync", test_sync);
	g_test_add_func("/store/disk-refuses", test_disk_refuses);
	g_test_add_func("/store/sync-fails", test_sync_fails);
	g_test_add_func("/store/disk-full", test_disk_full);
	g_test_add_func("/store/killed", test_killed);
	g_test_add_func("/store/thread", test_thread);
	g_test_add_func("/store/log-stays-small", test_log_stays_small);
	return g_test_run();
}
