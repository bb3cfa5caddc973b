/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Spoiled databases by the hundred thousand: the store must open each, keep every row that can
 * still be read, invent none, and work on. Each is a number: with the seed it says which shape is
 * spoiled how, so that one alone can be had again:
 *
 *	HOLDFAST_TEST_SEED=S test-databases NUMBER [DIRECTORY, to have the spoiled files]
 *
 * Two processes share the numbers. One that dies over a database, or hangs, is a finding, and
 * another goes on behind that number.
 */

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../torture.h"
#include "judge.h"
#include "shapes.h"
#include "spoil.h"

#define SHORT 400
#define LONG 100000
#define WORKERS 2
#define HANG_SEC 60	/* a salvage takes milliseconds; a sanitizer on a busy machine more */
#define SHOWN 30	/* findings told in full */

/* Of one worker, in memory that outlives it. */
struct tally {
	unsigned int number;	/* being judged */
	unsigned int databases, damaged, salvaged, refused, findings;
	uint64_t readable, kept, with_others, altered;
	uint64_t slowest;	/* usec */
	unsigned int slowest_number;
};

static GPtrArray *shapes;
static uint32_t seed;
static const char *leave_in;	/* the directory given */

static const struct shape *any_shape(GRand *rand)
{
	return shapes->pdata[g_rand_int_range(rand, 0, (gint32)shapes->len)];
}

static void set_lock(struct image *image, const char *text)
{
	g_clear_pointer(&image->lock, g_byte_array_unref);
	if (text)
		image->lock = image_bytes(text, strlen(text));
}

/* How the last process left it is hearsay, too. */
static void choose_lock(struct image *image, GRand *rand)
{
	static const char *const texts[] = { NULL, "", "clean\n", "damaged\n" };

	if (g_rand_int_range(rand, 0, 2) == 0)
		set_lock(image, texts[g_rand_int_range(rand, 0, G_N_ELEMENTS(texts))]);
}

/* Return: what was done to what; to be freed. */
static char *judge_number(struct ruling *ruling, unsigned int number, const char *dir)
{
	const guint32 key[] = { seed, number };
	g_autoptr(GRand) rand = g_rand_new_with_seed_array(key, G_N_ELEMENTS(key));
	const struct shape *shape = any_shape(rand), *other = any_shape(rand);
	g_autofree char *how = NULL;
	struct image image;

	image_copy(&image, &shape->image);
	choose_lock(&image, rand);
	how = spoil(&image, &other->image, rand);
	if (leave_in) {
		g_autofree char *path = g_build_filename(leave_in, "store.db", NULL);

		image_write(&image, path);
	}
	judge(ruling, &image, shape, strstr(how, "another") ? other : NULL, dir);
	image_deinit(&image);
	return g_strdup_printf("\"%s\" (log of \"%s\"), %s", shape->name, other->name, how);
}

static void count(struct tally *tally, const struct ruling *ruling, const char *how)
{
	tally->databases++;
	tally->damaged += ruling->damaged;
	tally->salvaged += ruling->salvaged;
	tally->refused += ruling->refused;
	tally->readable += ruling->readable;
	tally->kept += ruling->kept;
	tally->with_others += ruling->with_others;
	tally->altered += ruling->altered;
	if (ruling->open_usec > tally->slowest) {
		tally->slowest = ruling->open_usec;
		tally->slowest_number = tally->number;
	}
	if (!ruling->finding)
		return;
	if (tally->findings++ < SHOWN)
		printf("# seed %u number %u: %s: %s\n", seed, tally->number, how, ruling->finding);
	fflush(stdout);
}

static char *worker_dir(const char *top, pid_t pid)
{
	return g_strdup_printf("%s/%d", top, (int)pid);
}

/* Every WORKERS'th number from the tally's on; does not return. */
static void work(struct tally *tally, unsigned int end, const char *top)
{
	g_autofree char *dir = worker_dir(top, getpid());

	g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
	for (; tally->number < end; tally->number += WORKERS) {
		g_autofree char *how = NULL;
		struct ruling ruling;

		alarm(HANG_SEC);
		how = judge_number(&ruling, tally->number, dir);
		count(tally, &ruling, how);
		g_free(ruling.finding);
		g_free(ruling.told);
	}
	g_rmdir(dir);
	fflush(stdout);
	_exit(0);
}

static pid_t start_worker(struct tally *tally, unsigned int end, const char *top)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	g_assert_cmpint(pid, >=, 0);
	if (pid == 0)
		work(tally, end, top);
	return pid;
}

/* A worker has died over a database: it is counted, and another goes on behind it. */
static pid_t replace_worker(struct tally *tally, pid_t pid, int status, unsigned int end,
			    const char *top)
{
	g_autofree char *dir = worker_dir(top, pid);

	printf("# seed %u number %u: %s\n", seed, tally->number,
	       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ended");
	image_empty_dir(dir);
	g_rmdir(dir);
	tally->findings++;
	tally->number += WORKERS;
	return start_worker(tally, end, top);
}

static void judge_all(struct tally *tallies, unsigned int end, const char *top)
{
	pid_t pids[WORKERS];
	unsigned int running = WORKERS;

	for (unsigned int i = 0; i < WORKERS; i++) {
		tallies[i].number = i;
		pids[i] = start_worker(&tallies[i], end, top);
	}
	while (running > 0) {
		int status = 0;
		pid_t pid = waitpid(-1, &status, 0);

		for (unsigned int i = 0; i < WORKERS; i++) {
			if (pids[i] != pid)
				continue;
			if (status == 0)
				running--;
			else
				pids[i] = replace_worker(&tallies[i], pid, status, end, top);
		}
	}
}

static void add_tally(struct tally *sum, const struct tally *t)
{
	sum->databases += t->databases;
	sum->damaged += t->damaged;
	sum->salvaged += t->salvaged;
	sum->refused += t->refused;
	sum->findings += t->findings;
	sum->readable += t->readable;
	sum->kept += t->kept;
	sum->with_others += t->with_others;
	sum->altered += t->altered;
	if (t->slowest > sum->slowest) {
		sum->slowest = t->slowest;
		sum->slowest_number = t->slowest_number;
	}
}

static void tell(const struct tally *sum)
{
	torture_figure("spoiled databases", "%u", sum->databases);
	torture_figure("spoiled databases with damaged pages", "%u", sum->damaged);
	torture_figure("spoiled databases salvaged", "%u", sum->salvaged);
	torture_figure("spoiled databases refused as newer", "%u", sum->refused);
	torture_figure("rows still readable", "%" G_GUINT64_FORMAT, sum->readable);
	torture_figure("readable rows kept", "%" G_GUINT64_FORMAT, sum->kept);
	torture_figure("readable rows gone with their group or area", "%" G_GUINT64_FORMAT,
		       sum->with_others);
	torture_figure("rows whose damage reads well", "%" G_GUINT64_FORMAT, sum->altered);
	torture_figure("slowest open", "%.1f ms (number %u)", (double)sum->slowest / 1000,
		       sum->slowest_number);
	torture_figure("findings in spoiled databases", "%u", sum->findings);
}

static int run_all(const char *top)
{
	struct tally *tallies = mmap(NULL, WORKERS * sizeof(*tallies), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tally sum = { 0 };
	unsigned int end = torture_long() ? LONG : SHORT;
	bool bad;

	g_assert_true(tallies != MAP_FAILED);
	judge_all(tallies, end, top);
	for (unsigned int i = 0; i < WORKERS; i++)
		add_tally(&sum, &tallies[i]);
	tell(&sum);
	/* If none was damaged or had a row left, nothing was found out. */
	bad = sum.findings || !sum.damaged || !sum.salvaged || !sum.kept;
	printf("%sok 2 - %u spoiled databases\n", bad ? "not " : "", end);
	return bad;
}

static int run_one(const char *top, unsigned int number)
{
	struct ruling ruling;
	g_autofree char *how = judge_number(&ruling, number, top);
	g_autofree char *finding = ruling.finding, *told = ruling.told;

	printf("# number %u: %s\n", number, how);
	printf("# told: %s\n", told ? told : "nothing");
	printf("# salvaged %d, refused %d, readable %u, kept %u, with others %u, altered %u\n",
	       ruling.salvaged, ruling.refused, ruling.readable, ruling.kept, ruling.with_others,
	       ruling.altered);
	printf("%sok 2 - %s\n", finding ? "not " : "", finding ? finding : "");
	return finding != NULL;
}

int main(int argc, char **argv)
{
	g_autofree char *top = g_strdup("/dev/shm/holdfast-databases-XXXXXX");
	int r;

	seed = torture_seed();
	g_assert_nonnull(g_mkdtemp(top));
	printf("1..2\n");
	shapes = shapes_make(top);
	for (guint i = 0; i < shapes->len; i++)
		judge_shape(shapes->pdata[i], top);
	printf("ok 1 - %u shapes, not spoiled\n", shapes->len);
	leave_in = argc > 2 ? argv[2] : NULL;
	r = argc > 1 ? run_one(top, (unsigned int)g_ascii_strtoull(argv[1], NULL, 10)) :
		       run_all(top);
	g_ptr_array_unref(shapes);
	g_rmdir(top);
	return r;
}
