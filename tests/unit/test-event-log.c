/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How often an area and a disk are in the log: a whole engine on the bench, its standard error looked
 * at from outside, in a process of its own. */

#include <errno.h>
#include <glib.h>

#include "base/log.h"
#include "core/limits.h"
#include "engine-bench.h"
#include "seed.h"

#define WINDOW LIMIT_AREA_EVENTS_USEC

/* A queue that is full; every further write is refused. */
static struct bench *full_bench(void)
{
	struct bench *bench = bench_new("[Queue]\nLimit=1\n[Debounce]\nDelay=1d\nMaxDelay=1d\n");

	bench_start(bench);
	bench_set(bench, "first", "v");
	bench_run(bench, MSEC);
	log_set_max_level(LOG_WARNING);
	return bench;
}

static void refuse(struct bench *bench, unsigned int n)
{
	while (n-- > 0) {
		struct reply *reply = bench_set(bench, "more", "v");

		bench_run(bench, MSEC);
		g_assert_true(reply->done);
		g_assert_cmpint(reply->error, ==, HF_QUOTA_EXCEEDED);
	}
	bench_sweep(bench);
}

static void run_in_subprocess(const char *wanted)
{
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr(wanted);
}

#define REFUSED "warning: area default: a write was refused: The area's queue is full*\n"

static void test_window(void)
{
	g_autoptr(GString) wanted = g_string_new(NULL);
	struct bench *bench;

	if (g_test_subprocess()) {
		bench = full_bench();
		refuse(bench, LIMIT_AREA_EVENTS + 5);
		bench_run(bench, WINDOW - SEC);
		log_warning("not yet");
		bench_run(bench, SEC);
		log_warning("told");
		bench_run(bench, 10 * WINDOW);
		log_warning("and no more");
		refuse(bench, 1);
		bench_run(bench, WINDOW);
		log_set_max_level(LOG_CRIT);
		bench_free(bench);
		return;
	}
	for (int i = 0; i < LIMIT_AREA_EVENTS; i++)
		g_string_append(wanted, REFUSED);
	g_string_append(wanted, "warning: not yet\n"
				"warning: area default: 5 more writes were refused: a quota is reached\n"
				"warning: told\n"
				"warning: and no more\n" REFUSED);
	run_in_subprocess(wanted->str);
}

/* What was counted is told at the end, too. */
static void test_end(void)
{
	g_autoptr(GString) wanted = g_string_new(NULL);
	struct bench *bench;

	if (g_test_subprocess()) {
		bench = full_bench();
		refuse(bench, LIMIT_AREA_EVENTS + 3);
		bench_free(bench);
		return;
	}
	for (int i = 0; i < LIMIT_AREA_EVENTS; i++)
		g_string_append(wanted, REFUSED);
	g_string_append(wanted, "*3 more writes were refused: a quota is reached\n");
	run_in_subprocess(wanted->str);
}

static void write_with(struct bench *bench, int disk_error)
{
	struct reply *reply;

	bench->disk_error = disk_error;
	reply = bench_set(bench, "k", "v");
	bench_run(bench, MSEC);
	g_assert_true(reply->done);
	g_assert_cmpint(reply->error, ==, disk_error);
	bench_sweep(bench);
}

/* Large writes fail and small ones work, in turn: that is one failure until it is over. */
static void test_disk(void)
{
	struct bench *bench;

	if (g_test_subprocess()) {
		bench = bench_new("[Debounce]\nDelay=1d\nMaxDelay=1d\n");
		bench_start(bench);
		log_set_max_level(LOG_NOTICE);
		for (int i = 0; i < 20; i++) {
			write_with(bench, -ENOSPC);
			write_with(bench, 0);
			bench_run(bench, SEC);
		}
		log_notice("not yet");
		bench_run(bench, 9 * SEC);
		bench_run(bench, 60 * SEC);
		write_with(bench, -EIO);
		log_set_max_level(LOG_CRIT);
		bench_free(bench);
		return;
	}
	run_in_subprocess("err: a commit failed: No space left on device; *\n"
			  "notice: not yet\n"
			  "notice: the disk takes commits again; 20 had failed\n"
			  "err: a commit failed: Input/output error; *\n");
}

int main(int argc, char **argv)
{
	g_unsetenv("JOURNAL_STREAM");
	seed_init(&argc, &argv);
	g_test_add_func("/event-log/window", test_window);
	g_test_add_func("/event-log/end", test_end);
	g_test_add_func("/event-log/disk", test_disk);
	return g_test_run();
}
