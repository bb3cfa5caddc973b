/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one write path (design §3), sentence by sentence, on a bench (engine-bench.h). */

#include <errno.h>
#include <string.h>

#include "core/limits.h"
#include "engine-bench.h"
#include "seed.h"

static void is_event(struct bench *bench, const char *expected)
{
	g_autofree char *events = bench_take_events(bench);

	g_assert_cmpstr(events, ==, expected);
}

/* A bench that runs, its parent away: what is written stays queued. */
static struct bench *bench_offline(const char *config)
{
	struct bench *bench = bench_new(config);

	bench->world->away = true;
	bench_start(bench);
	return bench;
}

static struct bench *bench_online(const char *config)
{
	struct bench *bench = bench_new(config);

	bench_start(bench);
	g_assert_true(fake_is_linked(bench->world));
	return bench;
}

/* ---- commit ---- */

static void test_reply_after_commit(void)
{
	struct bench *bench = bench_offline(NULL);
	struct reply *reply;

	bench->held = true;
	reply = bench_set(bench, "k", "v");
	bench_run(bench, 60 * SEC);
	g_assert_false(reply->done);
	g_assert_cmpuint(bench_queue_size(bench), ==, 0);
	g_assert_true(bench_step(bench, 0));
	g_assert_true(reply->done);
	g_assert_cmpint(reply->error, ==, HF_OK);
	g_assert_cmpuint(reply->serial, ==, 1);
	g_assert_cmpuint(bench_disk_rows(bench), ==, 1);
	is_event(bench, "changed k local;");
	bench_free(bench);
}

static void test_failed_commit(void)
{
	struct bench *bench = bench_offline(NULL);
	struct reply *set, *remove, *get;

	bench_set(bench, "k", "old");
	bench_disk(bench);
	is_event(bench, "changed k local;");
	set = bench_set(bench, "k", "new");
	remove = bench_remove(bench, "other");
	get = bench_get(bench, "k");
	g_assert_false(get->done);
	while (bench_step(bench, -ENOSPC))
		;
	g_assert_cmpint(set->error, ==, -ENOSPC);
	g_assert_cmpint(remove->error, ==, -ENOSPC);
	bench_is(get, "old", "queue");
	g_assert_cmpstr(bench_queue(bench), ==, "1:k=old");
	is_event(bench, "");

	/* The serials are gone for good, also over a restart. */
	bench_restart(bench);
	set = bench_set(bench, "k", "newer");
	bench_disk(bench);
	g_assert_cmpuint(set->serial, >, 2);
	bench_free(bench);
}

/* A failed plan used serials; a batch that follows must not count them as reserved. */
static void test_serials_are_never_reused(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *set;
	uint64_t highest;

	bench->disk_error = -EIO;
	bench_set(bench, "k", "v");
	bench_disk(bench);
	bench->disk_error = 0;
	bench_set(bench, "k", "v");
	bench_drain(bench, 5 * SEC);
	for (int i = 0; i < 1100; i++) {
		if (i == 1000)
			bench->disk_error = -EIO;
		bench_set(bench, "k", "v");
		bench_disk(bench);
		bench->disk_error = 0;
		if (i == 1000)
			bench_run(bench, SEC);
	}
	set = bench_set(bench, "k", "w");
	bench_disk(bench);
	highest = set->serial;
	bench_restart(bench);
	set = bench_set(bench, "k", "x");
	bench_disk(bench);
	g_assert_cmpuint(set->serial, >, highest);
	bench_free(bench);
}

static void test_reads_wait_for_the_commit(void)
{
	struct bench *bench = bench_offline(NULL);
	struct reply *get, *other, *many;

	bench->held = true;
	bench_set(bench, "k", "1");
	get = bench_get(bench, "k");
	many = bench_get_many(bench, "k");
	other = bench_get(bench, "other");
	g_assert_false(get->done || many->done);
	g_assert_cmpint(other->error, ==, HF_UNAVAILABLE);
	bench_set(bench, "k", "2");
	bench_step(bench, 0);
	bench_is(get, "1", "queue");
	g_assert_true(get->pending);
	g_assert_false(get->stale);
	g_assert_true(many->done);
	get = bench_get(bench, "k");
	g_assert_false(get->done);
	bench_step(bench, 0);
	bench_is(get, "2", "queue");
	bench_free(bench);
}

/* A call that is refused is answered in its turn: those before it are not settled yet. */
static void test_refused_in_turn(void)
{
	struct bench *bench = bench_offline("[Queue]\nMaxBytes=10\n");
	struct reply *set, *refused, *get;

	bench->held = true;
	set = bench_set(bench, "k", "1");
	bench_step(bench, 0);
	set = bench_set(bench, "k", "2");
	refused = bench_set(bench, "k", "much too long");
	get = bench_get(bench, "k");
	g_assert_false(set->done || refused->done || get->done);
	bench_step(bench, 0);
	g_assert_cmpint(set->error, ==, HF_OK);
	g_assert_cmpint(refused->error, ==, HF_QUOTA_EXCEEDED);
	bench_is(get, "2", "queue");
	refused = bench_set(bench, "k", "much too long");
	g_assert_cmpint(refused->error, ==, HF_QUOTA_EXCEEDED);
	bench_free(bench);
}

static void test_group_commit(void)
{
	struct bench *bench = bench_offline(NULL);
	struct reply *last = NULL;
	unsigned int before = bench->commits;

	bench->held = true;
	for (int i = 0; i < 50; i++) {
		g_autofree char *key = g_strdup_printf("k%d", i);

		last = bench_set(bench, key, "v");
	}
	bench_disk(bench);
	g_assert_true(last->done);
	g_assert_cmpuint(bench->commits - before, ==, 2);
	g_assert_cmpuint(bench_disk_rows(bench), ==, 50);
	bench_free(bench);
}

static void test_checks(void)
{
	struct bench *bench = bench_offline("[Storage]\nMaxValueSize=8\n");
	g_autofree char *key = g_strnfill(LIMIT_KEY_BYTES + 1, 'k');
	GString *group = g_string_new("a=1");

	for (int i = 0; i < LIMIT_GROUP_ITEMS; i++)
		g_string_append_printf(group, " k%d=v", i);
	g_assert_cmpint(bench_set(bench, "", "v")->error, ==, HF_INVALID_KEY);
	g_assert_cmpint(bench_set(bench, "a\nb", "v")->error, ==, HF_INVALID_KEY);
	g_assert_cmpint(bench_remove(bench, key)->error, ==, HF_INVALID_KEY);
	g_assert_cmpint(bench_set(bench, "k", "123456789")->error, ==, HF_TOO_LARGE);
	g_assert_cmpint(bench_group(bench, group->str)->error, ==, HF_TOO_LARGE);
	g_assert_cmpint(bench_group(bench, "a=1 =2")->error, ==, HF_INVALID_KEY);
	g_assert_cmpint(bench_group(bench, "")->error, ==, HF_INVALID_ARGS);
	g_assert_cmpint(bench_get(bench, "")->error, ==, HF_INVALID_KEY);
	bench_run(bench, SEC);
	g_assert_cmpuint(bench_disk_rows(bench), ==, 0);
	g_string_free(group, TRUE);
	bench_free(bench);
}

/* ---- coalescing, groups, debounce ---- */

static void test_coalescing(void)
{
	struct bench *bench = bench_offline(NULL);
	struct reply *first;

	first = bench_set(bench, "k", "1");
	bench_disk(bench);
	for (int i = 0; i < 5; i++)
		bench_set(bench, "k", "again");
	bench_set(bench, "other", "v");
	bench_remove(bench, "k");
	bench_disk(bench);
	g_assert_cmpstr(bench_queue(bench), ==, "7:other=v 8:k");
	g_assert_cmpint(bench_get(bench, "k")->error, ==, HF_NO_SUCH_ITEM);
	g_assert_cmpint(bench_await(bench, first->serial, 0)->error, ==, HF_TIMEOUT);
	bench->world->away = false;
	bench_drain(bench, 30 * SEC);
	g_assert_cmpstr(bench->world->log->str, ==, "default/other=v;default/k=(gone);");
	g_assert_cmpint(bench_await(bench, first->serial, 0)->error, ==, HF_OK);
	g_assert_null(fake_get(bench->world, "default", "k"));
	bench_free(bench);
}

static void test_group(void)
{
	struct bench *bench = bench_offline(NULL);
	struct reply *group, *again;

	group = bench_group(bench, "a=1 b=2 c=3");
	bench_set(bench, "b", "4");
	bench_disk(bench);
	g_assert_cmpuint(group->serial, ==, 3);
	g_assert_cmpstr(bench_queue(bench), ==, "1:a=1 2:b=2 3:c=3 4:b=4");
	bench_is(bench_get(bench, "b"), "4", "queue");
	again = bench_group(bench, "x=1 y=bad z=3");
	bench_set(bench, "z", "4");
	bench->world->away = false;
	bench_drain(bench, 30 * SEC);
	/* Of a group all or none: and a refused one is told member by member. */
	g_assert_null(fake_get(bench->world, "default", "x"));
	g_assert_cmpstr(fake_get(bench->world, "default", "z"), ==, "4");
	g_assert_cmpstr(fake_get(bench->world, "default", "b"), ==, "4");
	g_assert_cmpstr(bench_rejected(bench), ==, "5 6 7");
	g_assert_cmpint(bench_await(bench, again->serial, 0)->error, ==, HF_REJECTED);

	bench->world->terse = true;
	bench_group(bench, "x=1 y=big");
	bench_drain(bench, SEC);
	g_assert_cmpstr(bench_rejected(bench), ==, "5 6 7 9 10");
	bench_free(bench);
}

static void test_debounce(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *set;

	set = bench_set(bench, "k", "1");
	bench_run(bench, 290 * MSEC);
	g_assert_true(set->done);
	g_assert_cmpuint(bench->world->batches, ==, 0);
	bench_run(bench, 20 * MSEC);
	g_assert_cmpuint(bench->world->batches, ==, 1);

	/* Kept being written it goes at least every MaxDelay. */
	for (int i = 0; i < 30; i++) {
		bench_set(bench, "k", "again");
		bench_run(bench, 100 * MSEC);
	}
	g_assert_cmpuint(bench->world->batches, ==, 2);
	bench_drain(bench, SEC);

	/* What is not held waits for its turn all the same. */
	bench_set(bench, "first", "1");
	bench_remove(bench, "second");
	bench_group(bench, "third=3");
	bench_run(bench, 200 * MSEC);
	g_string_truncate(bench->world->log, 0);
	bench_drain(bench, 150 * MSEC);
	g_assert_cmpstr(bench->world->log->str, ==,
			"default/first=1;default/second=(gone);default/third=3;");
	bench_remove(bench, "k");
	g_assert_cmpuint(bench_drain(bench, SEC), <, 10 * MSEC);
	bench_free(bench);
}

static void test_flush(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *flush, *late;

	bench_set(bench, "a", "1");
	bench_set(bench, "b", "2");
	flush = bench_flush(bench, USEC_INFINITY);
	bench_disk(bench);
	late = bench_set(bench, "c", "3");
	bench_run(bench, 20 * MSEC);
	g_assert_true(flush->done);
	g_assert_cmpint(flush->error, ==, HF_OK);
	g_assert_true(late->done);
	g_assert_cmpstr(bench_queue(bench), ==, "3:c=3");
	g_assert_cmpint(bench_flush(bench, 0)->error, ==, HF_TIMEOUT);

	bench_drain(bench, SEC);
	g_assert_cmpint(bench_flush(bench, 0)->error, ==, HF_OK);
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_set(bench, "d", "4");
	flush = bench_flush(bench, 2 * SEC);
	g_assert_cmpuint(bench_wait(bench, flush, 3 * SEC), ==, 2 * SEC);
	g_assert_cmpint(flush->error, ==, HF_TIMEOUT);
	bench_free(bench);
}

/* ---- overflow ---- */

static void test_overflow_reject(void)
{
	struct bench *bench = bench_offline("[Queue]\nLimit=2\n");
	struct reply *reply;

	bench_set(bench, "a", "1");
	bench_set(bench, "b", "2");
	bench_disk(bench);
	reply = bench_set(bench, "c", "3");
	g_assert_cmpint(reply->error, ==, HF_QUOTA_EXCEEDED);
	g_assert_nonnull(reply->detail);
	reply = bench_set(bench, "a", "4");
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_OK);
	g_assert_cmpstr(bench_queue(bench), ==, "2:b=2 3:a=4");
	bench_free(bench);
}

static void test_overflow_drop(void)
{
	struct bench *bench = bench_offline("[Queue]\nLimit=3\nOverflow=drop-oldest\n");
	struct reply *reply;

	bench_group(bench, "a=1 b=2");
	bench_set(bench, "c", "3");
	bench_disk(bench);
	is_event(bench, "changed a local;changed b local;changed c local;");
	reply = bench_await(bench, 1, USEC_INFINITY);
	bench_set(bench, "d", "4");
	bench_disk(bench);
	is_event(bench, "dropped 1 a;dropped 2 b;changed d local;");
	g_assert_cmpstr(bench_queue(bench), ==, "3:c=3 4:d=4");
	g_assert_cmpint(reply->error, ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpint(bench_await(bench, 2, 0)->error, ==, HF_QUOTA_EXCEEDED);
	bench_restart(bench);
	g_assert_cmpint(bench_await(bench, 2, 0)->error, ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpint(bench_await(bench, 3, 0)->error, ==, HF_TIMEOUT);
	g_assert_cmpint(bench_get(bench, "a")->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

static void set_many(struct bench *bench, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < from + n; i++) {
		g_autofree char *key = g_strdup_printf("k%u", i);

		bench_set(bench, key, "v");
	}
}

/* One commit drops more than are remembered: who waits for one of them is told all the same. */
static void test_overflow_many(void)
{
	struct bench *bench = bench_offline("[Queue]\nLimit=1200\nOverflow=drop-oldest\n");
	struct reply *first, *newest;

	set_many(bench, 0, 1200);
	bench_disk(bench);
	first = bench_await(bench, 1, USEC_INFINITY);
	newest = bench_await(bench, 1200, USEC_INFINITY);
	bench_set(bench, "k1199", "w"); /* it is committed while the others gather */
	set_many(bench, 1200, 1200);
	bench_disk(bench);
	g_assert_cmpuint(bench_queue_size(bench), ==, 1200);
	g_assert_cmpint(first->error, ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpint(newest->error, ==, HF_QUOTA_EXCEEDED);
	bench_free(bench);
}

/* ---- await ---- */

static void test_await(void)
{
	struct bench *bench = bench_offline(NULL);
	struct reply *set, *reply, *cancelled, *behind;

	g_assert_cmpint(bench_await(bench, 0, USEC_INFINITY)->error, ==, HF_INVALID_VALUE);
	g_assert_cmpint(bench_await(bench, 1, USEC_INFINITY)->error, ==, HF_INVALID_VALUE);
	bench->held = true;
	set = bench_set(bench, "k", "v");
	behind = bench_await(bench, 1, USEC_INFINITY); /* it sees the write before it */
	cancelled = bench_await(bench, 1, USEC_INFINITY);
	area_wait_cancel(cancelled->wait);
	cancelled->done = true;
	bench->held = false;
	bench_disk(bench);
	g_assert_cmpuint(set->serial, ==, 1);
	g_assert_false(behind->done);
	reply = bench_await(bench, 1, 700 * MSEC);
	g_assert_cmpuint(bench_wait(bench, reply, SEC), ==, 700 * MSEC);
	g_assert_cmpint(reply->error, ==, HF_TIMEOUT);
	cancelled = bench_await(bench, 1, 100 * SEC);
	area_wait_cancel(cancelled->wait);
	cancelled->done = true;
	bench->world->away = false;
	bench_wait(bench, behind, 30 * SEC);
	g_assert_cmpint(behind->error, ==, HF_OK);

	bench_set(bench, "k", "bad");
	reply = bench_await(bench, 2, USEC_INFINITY);
	bench_wait(bench, reply, 5 * SEC);
	g_assert_cmpint(reply->error, ==, HF_REJECTED);
	bench_free(bench);
}

/* ---- refused ones ---- */

static void test_rejected(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply, *get;

	bench_set(bench, "k", "good");
	bench_drain(bench, SEC);
	bench_set(bench, "k", "bad1");
	bench_set(bench, "l", "big2");
	bench_drain(bench, SEC);
	g_assert_cmpstr(bench_rejected(bench), ==, "2 3");
	bench_is(bench_get(bench, "k"), "good", "cache");
	g_free(bench_take_events(bench));

	/* Again: a read behind it sees it; it is a new write; its row is gone. */
	bench->held = true;
	reply = bench_retry(bench, 2);
	get = bench_get(bench, "k");
	g_assert_false(get->done);
	g_assert_cmpint(bench_retry(bench, 2)->error, ==, 0);
	bench->held = false;
	bench_disk(bench);
	g_assert_cmpuint(reply->serial, ==, 4);
	bench_is(get, "bad1", "queue");
	g_assert_cmpstr(bench_rejected(bench), ==, "3");
	bench_drain(bench, SEC);
	is_event(bench, "changed k local;rejected 4 k rejected;");

	reply = bench_forget(bench, 3);
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_OK);
	reply = bench_forget(bench, 3);
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_INVALID_VALUE);
	reply = bench_retry(bench, 3);
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_INVALID_VALUE);
	g_assert_cmpstr(bench_rejected(bench), ==, "4");
	bench_restart(bench);
	g_assert_cmpstr(bench_rejected(bench), ==, "4");
	bench_free(bench);
}

static void test_rejected_rows_are_limited(void)
{
	struct bench *bench = bench_online(NULL);
	GString *group = g_string_new("k=bad");
	g_autofree char *events = NULL;

	for (int i = 1; i < LIMIT_REJECTED_ROWS; i++)
		g_string_append_printf(group, " k%d=bad", i);
	bench_group(bench, group->str);
	bench_drain(bench, 5 * SEC);
	g_free(bench_take_events(bench));
	bench_group(bench, "a=bad b=bad");
	bench_drain(bench, 5 * SEC);
	events = bench_take_events(bench);
	g_assert_cmpstr(events, ==, "changed a local;changed b local;rejected 1001 a rejected;"
				    "rejected 1002 b rejected;dropped 1 k;dropped 2 k1;");
	g_assert_true(g_str_has_prefix(bench_rejected(bench), "3 4 "));
	g_assert_true(g_str_has_suffix(bench_rejected(bench), " 1000 1001 1002"));
	g_string_free(group, TRUE);
	bench_free(bench);
}

/* ---- durability ---- */

static void test_crash(void)
{
	struct bench *bench = bench_offline(NULL);

	bench_set(bench, "a", "1");
	bench_group(bench, "b=2 c=3");
	bench_disk(bench);
	bench_set(bench, "d", "4");	/* not on disk yet */
	bench->held = true;
	bench_restart(bench);
	bench->held = false;
	g_assert_cmpstr(bench_queue(bench), ==, "1:a=1 2:b=2 3:c=3");
	bench_is(bench_get(bench, "c"), "3", "queue");
	bench->world->away = false;
	bench_drain(bench, 30 * SEC);
	g_assert_cmpstr(bench->world->log->str, ==, "default/a=1;default/b=2;default/c=3;");
	bench_free(bench);
}

static void test_memory(void)
{
	struct bench *bench = bench_online("[Storage]\nDurability=memory\n");
	char client[UTIL_ID_SIZE];
	struct reply *set;

	g_strlcpy(client, bench->world->last_client, sizeof(client));
	set = bench_set(bench, "k", "1");
	bench_drain(bench, SEC);
	g_assert_cmpint(set->error, ==, HF_OK);
	g_assert_cmpstr(fake_get(bench->world, "default", "k"), ==, "1");
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_set(bench, "l", "2");
	bench_disk(bench);
	g_assert_cmpstr(bench_queue(bench), ==, "2:l=2");
	g_assert_cmpuint(bench_disk_rows(bench), ==, 0);
	bench->world->away = false;
	bench_restart(bench);
	g_assert_cmpstr(bench_queue(bench), ==, "");
	g_assert_cmpstr(bench->world->last_client, !=, client);
	set = bench_set(bench, "k", "3");
	bench_drain(bench, SEC);
	g_assert_cmpuint(set->serial, >, 2);
	g_assert_cmpstr(fake_get(bench->world, "default", "k"), ==, "3");
	bench_free(bench);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	g_test_add_func("/engine/write/reply-after-commit", test_reply_after_commit);
	g_test_add_func("/engine/write/failed-commit", test_failed_commit);
	g_test_add_func("/engine/write/serials-are-never-reused", test_serials_are_never_reused);
	g_test_add_func("/engine/write/reads-wait-for-the-commit", test_reads_wait_for_the_commit);
	g_test_add_func("/engine/write/refused-in-turn", test_refused_in_turn);
	g_test_add_func("/engine/write/group-commit", test_group_commit);
	g_test_add_func("/engine/write/checks", test_checks);
	g_test_add_func("/engine/write/coalescing", test_coalescing);
	g_test_add_func("/engine/write/group", test_group);
	g_test_add_func("/engine/write/debounce", test_debounce);
	g_test_add_func("/engine/write/flush", test_flush);
	g_test_add_func("/engine/write/overflow-reject", test_overflow_reject);
	g_test_add_func("/engine/write/overflow-drop", test_overflow_drop);
	g_test_add_func("/engine/write/overflow-many", test_overflow_many);
	g_test_add_func("/engine/write/await", test_await);
	g_test_add_func("/engine/write/rejected", test_rejected);
	g_test_add_func("/engine/write/rejected-rows-are-limited", test_rejected_rows_are_limited);
	g_test_add_func("/engine/write/crash", test_crash);
	g_test_add_func("/engine/write/memory", test_memory);
	return g_test_run();
}
