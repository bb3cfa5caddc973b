/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Direct (design §4) and what it does to the copies, on a bench. */

#include <errno.h>

#include "engine-bench.h"
#include "seed.h"

static struct bench *bench_online(const char *config)
{
	struct bench *bench = bench_new(config);

	bench_start(bench);
	g_assert_true(fake_is_linked(bench->world));
	return bench;
}

static struct reply *get_now(struct bench *bench, const char *key)
{
	struct reply *reply = bench_get(bench, key);

	bench_wait(bench, reply, 5 * SEC);
	return reply;
}

static void send(struct bench *bench, const char *key, const char *value)
{
	bench_set(bench, key, value);
	bench_flush(bench, USEC_INFINITY);
	bench_drain(bench, 5 * SEC);
}

static void go_offline(struct bench *bench)
{
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
}

static struct reply *direct_set_now(struct bench *bench, const char *key, const char *value)
{
	struct reply *reply = bench_direct_set(bench, key, value);

	bench_wait(bench, reply, 2 * SEC);
	return reply;
}

static void test_direct(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply;

	send(bench, "k", "1");
	g_assert_cmpint(direct_set_now(bench, "k", "2")->error, ==, HF_OK);
	g_assert_cmpstr(fake_get(bench->world, "default", "k"), ==, "2");
	bench_is(get_now(bench, "k"), "2", "parent");
	reply = bench_direct_get(bench, "k");
	bench_wait(bench, reply, SEC);
	g_assert_cmpstr(reply->value, ==, "2");
	g_assert_cmpint(direct_set_now(bench, "k", NULL)->error, ==, HF_OK);
	reply = bench_direct_get(bench, "k");
	bench_wait(bench, reply, SEC);
	g_assert_cmpint(reply->error, ==, HF_NO_SUCH_ITEM);

	/* Not past the outbox, nor what is on its way there. */
	bench_set(bench, "k", "3");
	g_assert_cmpint(bench_direct_set(bench, "k", "4")->error, ==, HF_UNAVAILABLE);
	bench_disk(bench);
	reply = bench_direct_set(bench, "k", "4");
	g_assert_cmpint(reply->error, ==, HF_UNAVAILABLE);
	g_assert_nonnull(strstr(reply->detail, "flush first"));
	bench_drain(bench, SEC);

	bench->world->refuse_writes = 1;
	bench->world->refuse_class = WIRE_PERMANENT;
	g_assert_cmpint(direct_set_now(bench, "k", "5")->error, ==, HF_REJECTED);
	bench->world->refuse_requests = -EDQUOT;
	g_assert_cmpint(direct_set_now(bench, "k", "5")->error, ==, HF_LIMITS_EXCEEDED);
	reply = bench_direct_get(bench, "k");
	bench_wait(bench, reply, SEC);
	g_assert_cmpint(reply->error, ==, HF_LIMITS_EXCEEDED);
	bench->world->refuse_requests = 0;
	bench->world->swallow = 1;
	reply = bench_direct_set(bench, "k", "6");
	g_assert_cmpuint(bench_wait(bench, reply, 2 * SEC), ==, SEC);
	g_assert_cmpint(reply->error, ==, HF_TIMEOUT);
	reply = bench_direct_set(bench, "k", "7");
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	g_assert_cmpint(reply->error, ==, HF_TIMEOUT);
	bench->world->away = true;
	g_assert_cmpint(bench_direct_set(bench, "k", "8")->error, ==, HF_UNAVAILABLE);
	g_assert_cmpint(bench_direct_get(bench, "k")->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

/* What a get brings that was out while a direct write passed is dropped. */
static void test_direct_and_fills(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *get, *direct;

	send(bench, "k", "1");
	bench_run(bench, 6 * SEC);
	bench->world->latency = 100 * MSEC;
	get = bench_get(bench, "k");
	direct = bench_direct_set(bench, "k", "2");
	bench_wait(bench, direct, SEC);
	g_assert_true(get->done);
	g_assert_cmpint(direct->error, ==, HF_OK);
	bench_is(get_now(bench, "k"), "2", "parent");

	/* Also where the answer falls between the write and its ack, which never comes. */
	bench_run(bench, 6 * SEC);
	get = bench_get(bench, "k");
	bench_run(bench, 50 * MSEC);
	direct = bench_direct_set(bench, "k", "3");
	bench_wait(bench, get, 160 * MSEC);
	g_assert_false(direct->done);
	go_offline(bench);
	g_assert_cmpint(bench_get(bench, "k")->error, ==, HF_UNAVAILABLE);
	g_assert_cmpint(direct->error, ==, HF_TIMEOUT);
	bench_run(bench, SEC);
	bench_restart(bench);
	bench_run(bench, SEC);
	get = bench_get(bench, "k");
	g_assert_true(get->done);
	g_assert_cmpint(get->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

/* What a direct write made old goes from the items, also where an answer that came since could not
 * be kept. */
static void test_direct_and_disk(void)
{
	struct bench *bench = bench_online(NULL);

	send(bench, "k", "1");
	bench->disk_error = -ENOSPC;
	g_assert_cmpint(direct_set_now(bench, "k", "2")->error, ==, HF_OK);
	bench_is(get_now(bench, "k"), "2", "parent");
	bench_run(bench, SEC);
	bench->disk_error = 0;
	bench_run(bench, 3 * SEC);
	bench->world->away = true;
	bench_restart(bench);
	bench_run(bench, SEC);
	g_assert_cmpint(get_now(bench, "k")->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

/* Also by a stop that comes before it is tried again. */
static void test_direct_and_stop(void)
{
	struct bench *bench = bench_online(NULL);

	send(bench, "k", "1");
	bench->disk_error = -ENOSPC;
	g_assert_cmpint(direct_set_now(bench, "k", "2")->error, ==, HF_OK);
	bench_run(bench, 100 * MSEC);
	bench->disk_error = 0;
	g_assert_cmpuint(bench_stop(bench), <, SEC);
	bench->world->away = true;
	bench_start(bench);
	g_assert_cmpint(get_now(bench, "k")->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	g_test_add_func("/engine/direct/calls", test_direct);
	g_test_add_func("/engine/direct/and-fills", test_direct_and_fills);
	g_test_add_func("/engine/direct/and-disk", test_direct_and_disk);
	g_test_add_func("/engine/direct/and-stop", test_direct_and_stop);
	return g_test_run();
}
