/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The same for holdfast-parentd's database. Its promise is another one: nothing of a damaged one is
 * carried over, but it is set aside whole, and the new one is known to all as another store. So a
 * start ends in one of these ways: the store as SQLite reads it; a new store, and every byte of the
 * old one beside it; or a refusal, of a file that says it is a later version's or another
 * program's.
 *
 *	HOLDFAST_TEST_SEED=S test-parent-databases NUMBER
 */

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../torture.h"
#include "holdfast-parentd/database.h"
#include "holdfast-parentd/ledger.h"
#include "holdfast-parentd/reader.h"
#include "image.h"
#include "spoil.h"

#define SHORT 200
#define LONG 10000
#define HANG_SEC 60
#define SHOWN 20
#define KEYS 120
#define CLIENT "0123456789abcdef0123456789abcdef"
#define PRINCIPAL "uid:1000"
#define NOW UINT64_C(1700000000000000)

static const struct plan_usage room = { .keys = 100000, .bytes = 1 << 30 };

/* What a run has counted; in memory that its children share. */
struct tally {
	unsigned int opened, set_aside, refused, findings, died;
	unsigned int altered;	/* values read that nobody wrote */
};

static uint32_t seed;
static struct image shapes[2];	/* closed; killed, with a log */
static char first_epoch[2][UTIL_ID_SIZE];

/* ---- the store ---- */

struct store {
	struct database *db;
	struct ledger *ledger;
	struct reader *reader;
	char *set_aside;
};

static int store_try(struct store *store, const char *path)
{
	int r;

	*store = (struct store){ 0 };
	r = database_open(path, NOW, &store->db, &store->set_aside);
	if (r == 0)
		r = ledger_new(store->db, &room, &store->ledger);
	if (r == 0)
		r = reader_new(store->db, &store->reader);
	return r;
}

static void store_end(struct store *store)
{
	reader_free(store->reader);
	ledger_free(store->ledger);
	database_close(store->db);
	g_free(store->set_aside);
	*store = (struct store){ 0 };
}

static char *value_of(unsigned int i)
{
	return g_strdup_printf("value %u %0*u", i, i % 20 == 7 ? 9000 : 60, i);
}

/* A batch of ten items from @from on. */
static int store_apply(struct store *store, uint64_t number, unsigned int from)
{
	g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func(g_free);
	struct wire_op ops[10] = { 0 };
	struct request request = { .kind = REQUEST_BATCH, .principal = PRINCIPAL,
				   .client = CLIENT, .number = number, .id = CLIENT, .ops = ops,
				   .n_ops = G_N_ELEMENTS(ops) };
	int r;

	for (unsigned int i = 0; i < G_N_ELEMENTS(ops); i++) {
		ops[i].area = "default";
		ops[i].key = g_strdup_printf("key %u", from + i);
		ops[i].value = value_of(from + i);
		g_ptr_array_add(kept, (char *)ops[i].key);
		g_ptr_array_add(kept, (char *)ops[i].value);
	}
	r = database_begin(store->db);
	if (r == 0)
		r = ledger_apply(store->ledger, &request);
	outcome_deinit(&request.outcome);
	return r < 0 ? r : database_end(store->db, true);
}

static void make_shapes(const char *path)
{
	for (int i = 0; i < 2; i++) {
		struct image nothing = { 0 };
		struct store store;

		g_assert_cmpint(store_try(&store, path), ==, 0);
		for (unsigned int n = 0; n < KEYS / 10; n++)
			g_assert_cmpint(store_apply(&store, n + 1, n * 10), ==, 0);
		g_strlcpy(first_epoch[i], database_epoch(store.db), UTIL_ID_SIZE);
		if (i == 1)
			image_read(&shapes[i], path);
		store_end(&store);
		if (i == 0)
			image_read(&shapes[i], path);
		image_write(&nothing, path);
	}
}

/* ---- what SQLite reads ---- */

static char *sqlite_value(sqlite3 *db, const char *key)
{
	sqlite3_stmt *stmt = NULL;
	char *value = NULL;

	if (sqlite3_prepare_v2(db, "SELECT value FROM item WHERE principal=(SELECT id FROM principal "
				   "WHERE name='" PRINCIPAL "') AND area='default' AND key=?", -1,
			       &stmt, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		value = g_strdup((const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return value;
}

/* Return: key → value, of all that can be read at @path. */
static GHashTable *sqlite_values(const char *path)
{
	GHashTable *values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		for (unsigned int i = 0; i < KEYS; i++) {
			char *key = g_strdup_printf("key %u", i);

			g_hash_table_insert(values, key, sqlite_value(db, key));
		}
	}
	sqlite3_close(db);
	return values;
}

/* ---- the trial ---- */

static char *check_values(struct store *store, GHashTable *readable, struct tally *tally)
{
	for (unsigned int i = 0; i < KEYS; i++) {
		g_autofree char *key = g_strdup_printf("key %u", i), *want = value_of(i);
		g_autofree char *value = NULL;
		const char *there = g_hash_table_lookup(readable, key);
		uint64_t revision;
		int r = reader_get(store->reader, PRINCIPAL, "default", key, &value, &revision);

		if (r < 0)
			return g_strdup_printf("reading %s: %s", key, strerror(-r));
		if (g_strcmp0(value, there) != 0)
			return g_strdup_printf("%s is %.40s, SQLite reads %.40s", key,
					       value ? value : "gone", there ? there : "nothing");
		tally->altered += value && strcmp(value, want) != 0;
	}
	return NULL;
}

static bool same_file(const char *path, const char *suffix, const GByteArray *was)
{
	g_autofree char *name = g_strconcat(path, suffix, NULL), *bytes = NULL;
	gsize len = 0;

	g_file_get_contents(name, &bytes, &len, NULL);
	return len == (was ? was->len : 0) && (len == 0 || !memcmp(bytes, was->data, len));
}

static char *check_aside(struct store *store, const struct image *image, int shape)
{
	g_autofree char *value = NULL;
	uint64_t revision;

	if (!same_file(store->set_aside, "", image->main))
		return g_strdup("what was set aside is not what was there");
	if (!same_file(store->set_aside, "-wal", image->wal) && image->wal)
		return g_strdup("the log set aside is not what was there");
	if (!strcmp(database_epoch(store->db), first_epoch[shape]))
		return g_strdup("another store under the same epoch");
	if (reader_get(store->reader, PRINCIPAL, "default", "key 1", &value, &revision) < 0 || value)
		return g_strdup("the new store is not an empty one");
	return NULL;
}

/* It takes a batch, and has it at the next start. */
static char *check_works(struct store *store, const char *path)
{
	g_autofree char *value = NULL;
	uint64_t revision;
	int r;

	r = store_apply(store, UINT32_MAX, 5000);
	store_end(store);
	if (r < 0)
		return g_strdup_printf("no batch is taken: %s", strerror(-r));
	r = store_try(store, path);
	if (r < 0 || store->set_aside)
		return g_strdup_printf("the next start: %s", r < 0 ? strerror(-r) : "set aside");
	r = reader_get(store->reader, PRINCIPAL, "default", "key 5003", &value, &revision);
	return r < 0 || !value ? g_strdup("a batch is gone at the next start") : NULL;
}

static uint32_t be32_at(const struct image *image, guint at)
{
	uint32_t value = 0;

	if (image->main && image->main->len >= at + 4)
		memcpy(&value, image->main->data + at, 4);
	return GUINT32_FROM_BE(value);
}

static bool may_be_refused(int error, const struct image *image)
{
	switch (error) {
	case -ENOTSUP:
		return (int32_t)be32_at(image, 60) > 1;
	case -EMEDIUMTYPE:
		return be32_at(image, 68) != 0x68667064;
	case -ENOEXEC:
		return !image->lock && memcmp(image->main->data, "SQLite format 3", 16) != 0;
	default:
		return false;
	}
}

static char *judge(const struct image *image, int shape, const char *path, struct tally *tally)
{
	g_autoptr(GHashTable) readable = NULL;
	struct store store;
	char *finding;
	int r;

	image_write(image, path);
	readable = sqlite_values(path);
	image_write(image, path);
	r = store_try(&store, path);
	if (r < 0) {
		store_end(&store);
		tally->refused++;
		return may_be_refused(r, image) ? NULL : g_strdup_printf("refused: %s", strerror(-r));
	}
	tally->opened += !store.set_aside;
	tally->set_aside += store.set_aside != NULL;
	/* An empty file, or none, is where a store is made. */
	finding = store.set_aside	   ? check_aside(&store, image, shape) :
		  image->main && image->main->len ? check_values(&store, readable, tally) :
						    NULL;
	if (!finding)
		finding = check_works(&store, path);
	store_end(&store);
	return finding;
}

static char *judge_number(unsigned int number, const char *dir, struct tally *tally, char **ret_how)
{
	const guint32 key[] = { seed, number };
	g_autoptr(GRand) rand = g_rand_new_with_seed_array(key, G_N_ELEMENTS(key));
	g_autofree char *path = g_build_filename(dir, "parent.db", NULL);
	int shape = g_rand_int_range(rand, 0, 2);
	struct image image;
	char *finding;

	image_copy(&image, &shapes[shape]);
	if (g_rand_int_range(rand, 0, 8) == 0)
		g_clear_pointer(&image.lock, g_byte_array_unref);
	*ret_how = spoil(&image, &shapes[1], rand);
	finding = judge(&image, shape, path, tally);
	image_deinit(&image);
	return finding;
}

/* In a child, so that a crash is one finding. Return: whether it came to its end. */
static bool run_some(unsigned int *number, unsigned int end, const char *dir, struct tally *tally)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (; *number < end; ++*number) {
			g_autofree char *how = NULL, *finding = NULL;

			alarm(HANG_SEC);
			finding = judge_number(*number, dir, tally, &how);
			image_empty_dir(dir);
			if (finding && tally->findings++ < SHOWN)
				printf("# seed %u number %u: %s: %s\n", seed, *number, how, finding);
		}
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status == 0)
		return true;
	printf("# seed %u number %u: died with status %d\n", seed, *number, status);
	tally->died++;
	++*number;
	image_empty_dir(dir);
	return false;
}

static int run_all(const char *dir, unsigned int end)
{
	struct shared {
		struct tally tally;
		unsigned int number;
	} *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	const struct tally *tally = &shared->tally;
	bool bad;

	g_assert_true(shared != MAP_FAILED);
	while (!run_some(&shared->number, end, dir, &shared->tally))
		;
	torture_figure("spoiled parent databases", "%u: %u opened, %u set aside, %u refused", end,
		       tally->opened, tally->set_aside, tally->refused);
	torture_figure("parent's values whose damage reads well", "%u", tally->altered);
	torture_figure("findings in spoiled parent databases", "%u", tally->findings + tally->died);
	bad = tally->findings + tally->died > 0;
	printf("%sok 1 - %u spoiled databases of the parent\n", bad ? "not " : "", end);
	return bad;
}

static int run_one(const char *dir, unsigned int number)
{
	struct tally tally = { 0 };
	g_autofree char *how = NULL, *finding = judge_number(number, dir, &tally, &how);

	printf("# number %u: %s: opened %u, set aside %u, refused %u, altered %u\n", number, how,
	       tally.opened, tally.set_aside, tally.refused, tally.altered);
	printf("%sok 1 - %s\n", finding ? "not " : "", finding ? finding : "");
	image_empty_dir(dir);
	return finding != NULL;
}

int main(int argc, char **argv)
{
	g_autofree char *dir = g_strdup("/dev/shm/holdfast-parent-XXXXXX");
	g_autofree char *path = NULL;
	int r;

	seed = torture_seed();
	g_assert_nonnull(g_mkdtemp(dir));
	path = g_build_filename(dir, "parent.db", NULL);
	printf("1..1\n");
	make_shapes(path);
	image_empty_dir(dir);
	r = argc > 1 ? run_one(dir, (unsigned int)g_ascii_strtoull(argv[1], NULL, 10)) :
		       run_all(dir, torture_long() ? LONG : SHORT);
	for (int i = 0; i < 2; i++)
		image_deinit(&shapes[i]);
	g_rmdir(dir);
	return r;
}
