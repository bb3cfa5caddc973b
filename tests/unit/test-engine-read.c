/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* GetItem in detail and fills (design §3), sentence by sentence, on a bench. */

#include <errno.h>
#include <string.h>

#include "core/limits.h"
#include "engine-bench.h"
#include "engine/monitor.h"
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

static uint64_t arrival(struct bench *bench, unsigned int i)
{
	g_assert_cmpuint(i, <, bench->world->arrivals->len);
	return g_array_index(bench->world->arrivals, uint64_t, i);
}

/* ---- the stair ---- */

static void test_cache(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply;

	fake_put(bench->world, "default", "k", "v");
	reply = get_now(bench, "k");
	bench_is(reply, "v", "parent");
	g_assert_false(reply->stale || reply->pending);
	g_assert_cmpuint(reply->revision, ==, fake_revision(bench->world));
	bench_run(bench, 4900 * MSEC);
	reply = bench_get(bench, "k");
	bench_is(reply, "v", "cache");
	g_assert_cmpuint(reply->age, >, 4 * SEC);
	g_assert_cmpuint(bench->world->gets, ==, 1);
	bench_run(bench, 200 * MSEC);
	bench_is(get_now(bench, "k"), "v", "parent");

	/* A suspend counts. */
	bench->suspended += 5 * SEC;
	bench_is(get_now(bench, "k"), "v", "parent");

	/* An authoritative "absent" is cached too. */
	g_assert_cmpint(get_now(bench, "none")->error, ==, HF_NO_SUCH_ITEM);
	g_assert_cmpint(bench_get(bench, "none")->error, ==, HF_NO_SUCH_ITEM);
	g_assert_cmpuint(bench->world->gets, ==, 4);
	bench_free(bench);
}

static void test_three_attempts(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply;

	fake_put(bench->world, "default", "k", "v");
	get_now(bench, "k");
	bench_run(bench, 10 * SEC);
	bench->world->mute_gets = true;
	reply = bench_get(bench, "k");
	bench_wait(bench, reply, 5 * SEC);
	bench_is(reply, "v", "local");
	g_assert_true(reply->stale);
	g_assert_cmpuint(bench->world->gets, ==, 4);
	g_assert_cmpuint((arrival(bench, 2) - arrival(bench, 1)) / MSEC, ==, 1100);
	g_assert_cmpuint((arrival(bench, 3) - arrival(bench, 2)) / MSEC, ==, 1200);
	g_assert_cmpuint((reply->done_at - reply->asked_at) / MSEC, ==, 3300);
	reply = bench_get(bench, "never known");
	bench_wait(bench, reply, 5 * SEC);
	g_assert_cmpint(reply->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

/* A line that answers nothing, pings included: what is known here is not kept from who asks. */
static void test_silent(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *known, *gone, *unknown, *only, *many, *late;

	send(bench, "k", "v");
	bench_remove(bench, "gone");
	bench_drain(bench, 5 * SEC);
	bench_run(bench, 6 * SEC);
	bench->world->frozen = true;
	known = bench_get(bench, "k");
	gone = bench_get(bench, "gone");
	unknown = bench_get(bench, "unknown");
	only = bench_get_full(bench, "k", READER_PARENT, USEC_INFINITY);
	many = bench_get_many(bench, "k gone");
	bench_run(bench, 700 * MSEC);
	g_assert_false(known->done);
	late = bench_get(bench, "k");
	bench_run(bench, 200 * MSEC);
	bench_is(known, "v", "local");
	g_assert_true(known->stale);
	g_assert_cmpint(gone->error, ==, HF_NO_SUCH_ITEM);
	g_assert_cmpstr(many->values[1], ==, "v");
	g_assert_cmpuint(bench_wait(bench, late, SEC) / MSEC, ==, 500);
	bench_is(late, "v", "local");
	for (int i = 0; i < 20; i++, bench_run(bench, 100 * MSEC)) {
		late = bench_get(bench, "k");
		bench_wait(bench, late, SEC);
		bench_is(late, "v", "local");
	}
	/* Who has nothing but the parent to hope for goes on hoping. */
	g_assert_true(unknown->done);
	g_assert_cmpuint((unknown->done_at - unknown->asked_at) / MSEC, >=, 3300);
	g_assert_cmpint(only->error, ==, HF_UNAVAILABLE);
	g_assert_cmpuint((only->done_at - only->asked_at) / MSEC, >=, 3300);
	bench_free(bench);
}

/* A line that was only slow for a moment: the doubt is over, and the parent's word counts. */
static void test_silent_for_a_moment(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply;

	send(bench, "k", "v");
	bench_run(bench, 6 * SEC);
	fake_put(bench->world, "default", "k", "theirs");
	bench->world->frozen = true;
	reply = bench_get(bench, "k");
	bench_run(bench, 800 * MSEC);
	g_assert_false(reply->done);
	fake_thaw(bench->world);
	bench_wait(bench, reply, 10 * MSEC);
	bench_is(reply, "theirs", "parent");
	bench_free(bench);
}

static unsigned int turns;

static bool count_turn(struct bench *bench)
{
	(void)bench;
	turns++;
	return false;
}

/* However many wait for a slow parent, each begun at another moment: the loop turns for all of them
 * as often as for one, and for nobody when they have their answers. */
static void test_many_wait(void)
{
	struct bench *bench = bench_online("[Parent]\nRequestTimeout=4s\n");

	bench->turn = count_turn;
	bench->world->mute_gets = true;
	for (int i = 0; i < 200; i++, bench_run(bench, MSEC)) {
		g_autofree char *key = g_strdup_printf("k%d", i);

		bench_get(bench, key);
	}
	bench_run(bench, 600 * MSEC);
	turns = 0;
	bench_run(bench, SEC);
	g_assert_cmpuint(turns, <=, 100);
	bench_run(bench, 5 * SEC);
	turns = 0;
	bench_run(bench, 10 * SEC);
	g_assert_cmpuint(turns, <=, 20);
	bench_free(bench);
}

static void test_never_over_five_seconds(void)
{
	struct bench *bench = bench_online("[Retry]\nMaxAttempts=50\nInitialDelay=10s\n"
					   "MaxDelay=20s\n[Parent]\nRequestTimeout=30s\n");

	bench->world->mute_gets = true;
	g_assert_cmpuint(bench_wait(bench, bench_get(bench, "k"), 6 * SEC), <=, 5 * SEC);
	bench->world->mute_gets = false;
	bench->world->refuse_gets = 100;
	bench->world->refuse_class = WIRE_TRANSIENT;
	g_assert_cmpuint(bench_wait(bench, bench_get(bench, "k"), 6 * SEC), <=, 5 * SEC);
	g_assert_cmpuint(bench_wait(bench, bench_get_many(bench, "k l m"), 6 * SEC), <=, 5 * SEC);
	g_assert_cmpuint(bench_wait(bench, bench_get_full(bench, "k", READER_PARENT, 100 * SEC),
				    6 * SEC), <=, 5 * SEC);
	bench_free(bench);
}

static void test_probe(void)
{
	struct bench *bench = bench_online("[Heartbeat]\nInterval=60s\n");
	unsigned int pings;

	bench_run(bench, SEC);
	pings = bench->world->pings;
	bench->world->mute_gets = true;
	bench_get(bench, "k");
	bench_run(bench, 490 * MSEC);
	g_assert_cmpuint(bench->world->pings, ==, pings);
	bench_run(bench, 20 * MSEC);
	g_assert_cmpuint(bench->world->pings, ==, pings + 1);
	bench_free(bench);
}

static void test_errors(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply;

	fake_put(bench->world, "default", "k", "v");
	bench->world->refuse_class = WIRE_TRANSIENT;
	bench->world->refuse_gets = 2;
	reply = get_now(bench, "k");
	bench_is(reply, "v", "parent");
	g_assert_cmpuint((reply->done_at - reply->asked_at) / MSEC, ==, 303);

	bench_run(bench, 6 * SEC);
	bench->world->refuse_class = WIRE_PERMANENT;
	bench->world->refuse_gets = 1;
	reply = get_now(bench, "k");
	bench_is(reply, "v", "local");
	g_assert_cmpuint(bench->world->gets, ==, 4);
	bench->world->unclean = true;
	g_assert_cmpint(get_now(bench, "k")->error, ==, HF_INVALID_VALUE);
	bench->world->unclean = false;
	bench->world->refuse_requests = -EBUSY;
	reply = bench_get(bench, "k");
	bench_wait(bench, reply, 5 * SEC);
	bench_is(reply, "v", "local");
	bench_free(bench);
}

static void test_offline(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply;

	send(bench, "k", "v");
	fake_put(bench->world, "default", "gone", "x");
	get_now(bench, "gone");
	bench_run(bench, 6 * SEC);
	fake_put(bench->world, "default", "gone", NULL);
	g_assert_cmpint(get_now(bench, "gone")->error, ==, HF_NO_SUCH_ITEM);
	bench_run(bench, 6 * SEC);
	reply = bench_get(bench, "k");		/* under way when the line is lost */
	go_offline(bench);
	bench_is(reply, "v", "local");
	reply = bench_get(bench, "k");
	bench_is(reply, "v", "local");
	g_assert_true(reply->stale);
	g_assert_cmpint(bench_get(bench, "gone")->error, ==, HF_NO_SUCH_ITEM);
	g_assert_cmpint(bench_get(bench, "other")->error, ==, HF_UNAVAILABLE);

	/* Removed offline means gone at once, and after a restart. */
	bench_remove(bench, "k");
	bench_disk(bench);
	g_assert_cmpint(bench_get(bench, "k")->error, ==, HF_NO_SUCH_ITEM);
	bench_restart(bench);
	g_assert_cmpint(bench_get(bench, "k")->error, ==, HF_NO_SUCH_ITEM);
	g_assert_cmpint(bench_get(bench, "gone")->error, ==, HF_NO_SUCH_ITEM);
	bench_free(bench);
}

static void test_first_attempt(void)
{
	struct bench *bench = bench_new(NULL);
	struct reply *late, *early;

	/* Nobody answers the dial: at most RequestTimeout. */
	bench->world->silent = true;
	bench_open(bench);
	storage_start(bench->storage);
	late = bench_get(bench, "k");
	g_assert_false(late->done);
	g_assert_cmpuint(bench_wait(bench, late, 5 * SEC), ==, SEC);
	g_assert_cmpint(late->error, ==, HF_UNAVAILABLE);
	late = bench_get(bench, "k");
	bench_run(bench, 900 * MSEC);
	g_assert_false(late->done);
	bench_run(bench, 200 * MSEC);	/* DialTimeout: that was the first attempt */
	g_assert_true(late->done);
	g_assert_cmpint(bench_get(bench, "k")->error, ==, HF_UNAVAILABLE);
	bench->world->silent = false;

	/* What is known is told within a second, with all that it takes to ask and to be told. */
	bench_crash(bench);
	bench_start(bench);
	send(bench, "known", "v");
	bench_crash(bench);
	bench->world->silent = true;
	bench_open(bench);
	storage_start(bench->storage);
	late = bench_get(bench, "known");
	g_assert_cmpuint(bench_wait(bench, late, SEC), ==, 800 * MSEC);
	bench_is(late, "v", "local");
	bench->world->silent = false;

	/* Connected in time: the parent is asked. */
	bench_crash(bench);
	fake_put(bench->world, "default", "k", "v");
	bench_open(bench);
	storage_start(bench->storage);
	early = bench_get(bench, "k");
	g_assert_cmpuint(bench_wait(bench, early, SEC), <, 10 * MSEC);
	bench_is(early, "v", "parent");
	bench_free(bench);
}

static void test_full(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *reply;

	send(bench, "k", "old");
	bench_set(bench, "k", "new");
	bench_disk(bench);
	reply = bench_get_full(bench, "k", READER_ANY, USEC_INFINITY);
	bench_is(reply, "new", "queue");
	g_assert_true(reply->pending);
	reply = bench_get_full(bench, "k", READER_LOCAL, USEC_INFINITY);
	bench_is(reply, "new", "queue");
	reply = bench_get_full(bench, "k", READER_PARENT, USEC_INFINITY);
	bench_wait(bench, reply, SEC);
	bench_is(reply, "old", "parent");
	g_assert_true(reply->pending);
	bench_drain(bench, SEC);
	bench_is(bench_get_full(bench, "k", READER_LOCAL, 0), "new", "local");

	/* No fallback from the parent; a time limit of one's own. */
	bench->world->mute_gets = true;
	reply = bench_get_full(bench, "k", READER_PARENT, 1500 * MSEC);
	g_assert_cmpuint(bench_wait(bench, reply, 5 * SEC), ==, 1500 * MSEC);
	g_assert_cmpint(reply->error, ==, HF_UNAVAILABLE);
	bench_run(bench, 10 * SEC);
	reply = bench_get_full(bench, "k", READER_ANY, 700 * MSEC);
	g_assert_cmpuint(bench_wait(bench, reply, 5 * SEC), ==, 700 * MSEC);
	bench_is(reply, "new", "local");
	bench_is(bench_get_full(bench, "k", READER_ANY, 0), "new", "local");
	go_offline(bench);
	g_assert_cmpint(bench_get_full(bench, "k", READER_PARENT, SEC)->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

static void test_many(void)
{
	struct bench *bench = bench_online(NULL);
	GString *keys = g_string_new("k");
	struct reply *reply;

	fake_put(bench->world, "default", "a", "1");
	bench_set(bench, "b", "2");
	reply = bench_get_many(bench, "a b none a");
	bench_wait(bench, reply, SEC);
	g_assert_cmpint(reply->error, ==, HF_OK);
	g_assert_cmpuint(g_strv_length(reply->values), ==, 4);
	g_assert_cmpstr(reply->values[1], ==, "1");
	g_assert_cmpstr(reply->values[3], ==, "2");
	go_offline(bench);
	reply = bench_get_many(bench, "a b");
	g_assert_cmpint(reply->error, ==, HF_OK);
	g_assert_cmpint(bench_get_many(bench, "a b unknown")->error, ==, HF_UNAVAILABLE);
	g_assert_cmpint(bench_get_many(bench, "a \x01")->error, ==, HF_INVALID_KEY);
	for (int i = 0; i < LIMIT_BULK_KEYS; i++)
		g_string_append(keys, " k");
	g_assert_cmpint(bench_get_many(bench, keys->str)->error, ==, HF_TOO_LARGE);
	g_string_free(keys, TRUE);
	bench_free(bench);
}

/* ---- fills ---- */

static void test_joins(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *one, *two, *three;

	fake_put(bench->world, "default", "k", "v");
	one = bench_get_full(bench, "k", READER_PARENT, USEC_INFINITY);
	two = bench_get(bench, "k");
	bench_run(bench, 10 * MSEC);
	g_assert_cmpuint(bench->world->gets, ==, 1);
	bench_is(one, "v", "parent");
	bench_is(two, "v", "parent");

	/* Not once the key was written. */
	bench->world->latency = 100 * MSEC;
	one = bench_get_full(bench, "k", READER_PARENT, USEC_INFINITY);
	bench_set(bench, "k", "w");
	bench_disk(bench);
	three = bench_get_full(bench, "k", READER_PARENT, USEC_INFINITY);
	bench_wait(bench, three, SEC);
	g_assert_cmpuint(bench->world->gets, ==, 3);
	bench_free(bench);
}

/* What a get brings that was out while the key was acked is old. */
static void test_fill_and_ack(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *old;

	send(bench, "k", "1");
	bench->world->latency = 100 * MSEC;
	old = bench_get_full(bench, "k", READER_PARENT, USEC_INFINITY);
	bench_set(bench, "k", "2");
	bench_flush(bench, USEC_INFINITY);
	bench_wait(bench, old, SEC);
	bench_is(old, "1", "parent");
	bench_drain(bench, SEC);
	bench_is(bench_get(bench, "k"), "2", "cache");

	/* The answer overtaken by the ack. */
	bench_run(bench, 6 * SEC);
	bench->world->late_gets = 700 * MSEC;
	old = bench_get(bench, "k");
	bench_run(bench, 150 * MSEC);
	send(bench, "k", "1");
	g_assert_false(old->done);
	bench_wait(bench, old, SEC);
	bench_is(old, "1", "cache");
	bench_is(bench_get(bench, "k"), "1", "cache");
	bench->world->late_gets = 0;
	send(bench, "k", "2");
	go_offline(bench);
	bench_run(bench, 10 * SEC);
	bench_is(bench_get(bench, "k"), "2", "local");
	bench_restart(bench);
	bench_is(bench_get(bench, "k"), "2", "local");
	bench_free(bench);
}

/* An ack that comes late is older than what a get brought since. */
static void test_late_ack(void)
{
	struct bench *bench = bench_online(NULL);

	bench->world->lose_acks = 1;
	bench_set(bench, "k", "1");
	bench_flush(bench, USEC_INFINITY);
	bench_run(bench, 50 * MSEC);
	fake_put(bench->world, "default", "k", "theirs");
	bench_wait(bench, bench_get_full(bench, "k", READER_PARENT, SEC), SEC);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_drain(bench, SEC);
	g_assert_cmpuint(bench->world->duplicates, ==, 1);
	bench_is(bench_get(bench, "k"), "theirs", "cache");
	go_offline(bench);
	bench_run(bench, 10 * SEC);
	bench_is(bench_get(bench, "k"), "theirs", "local");
	bench_free(bench);
}

/* A duplicate's ack says what the parent held when it was applied, not what it holds. */
static void test_duplicate_ack(void)
{
	struct bench *bench = bench_online(NULL);

	bench->world->lose_acks = 1;
	bench_set(bench, "k", "1");
	bench_flush(bench, USEC_INFINITY);
	bench_run(bench, 50 * MSEC);
	go_offline(bench);
	fake_put(bench->world, "default", "k", "theirs");
	bench_run(bench, 60 * SEC);
	bench->world->away = false;
	bench_drain(bench, 10 * SEC);
	g_assert_cmpuint(bench->world->duplicates, ==, 1);
	bench_is(get_now(bench, "k"), "theirs", "parent");
	bench_free(bench);
}

/* Nor is an ack news that the disk kept waiting. */
static void test_ack_kept_waiting(void)
{
	struct bench *bench = bench_online(NULL);

	bench_set(bench, "k", "1");
	bench_flush(bench, USEC_INFINITY);
	bench_disk(bench);
	bench->held = true;
	bench_run(bench, 60 * SEC);
	fake_put(bench->world, "default", "k", "theirs");
	bench->held = false;
	bench_drain(bench, SEC);
	bench_is(get_now(bench, "k"), "theirs", "parent");
	bench_free(bench);
}

static void test_changed_at_the_parent(void)
{
	struct bench *bench = bench_online(NULL);
	g_autofree char *events = NULL;

	send(bench, "k", "1");
	bench_run(bench, 6 * SEC);
	g_free(bench_take_events(bench));
	get_now(bench, "k");
	bench_run(bench, 6 * SEC);
	fake_put(bench->world, "default", "k", "theirs");
	bench_is(get_now(bench, "k"), "theirs", "parent");
	get_now(bench, "never known");
	events = bench_take_events(bench);
	g_assert_cmpstr(events, ==, "changed k parent;");
	bench_free(bench);
}

/* What one user reads, however much, does not drive out what another has read. */
static void test_cache_is_each_owners(void)
{
	struct bench *bench = bench_new("[Cache]\nMaxBytes=4K\nTTL=1h\n");
	struct area *mine, *too, *theirs;
	struct reply *reply;

	bench_start(bench);
	mine = bench_open_area(bench, "1000/a");
	too = bench_open_area(bench, "1000/b");
	theirs = bench_open_area(bench, "1001/a");
	reply = bench_get_from(bench, mine, "absent", READER_ANY, USEC_INFINITY);
	bench_wait(bench, reply, SEC);
	g_assert_cmpint(reply->error, ==, HF_NO_SUCH_ITEM);
	for (unsigned int i = 0; i < 3000; i++) {
		g_autofree char *key = g_strdup_printf("k%u", i);

		bench_wait(bench, bench_get_from(bench, theirs, key, READER_ANY, USEC_INFINITY), SEC);
	}
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	reply = bench_get_from(bench, mine, "absent", READER_ANY, USEC_INFINITY);
	bench_wait(bench, reply, SEC);
	g_assert_cmpint(reply->error, ==, HF_NO_SUCH_ITEM);

	/* One's own areas share. */
	bench->world->away = false;
	bench_run(bench, 10 * SEC);
	for (unsigned int i = 0; i < 100; i++) {
		g_autofree char *key = g_strdup_printf("k%u", i);

		bench_wait(bench, bench_get_from(bench, too, key, READER_ANY, USEC_INFINITY), SEC);
	}
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	reply = bench_get_from(bench, mine, "absent", READER_ANY, USEC_INFINITY);
	bench_wait(bench, reply, SEC);
	g_assert_cmpint(reply->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	g_test_add_func("/engine/read/cache", test_cache);
	g_test_add_func("/engine/read/cache-is-each-owners", test_cache_is_each_owners);
	g_test_add_func("/engine/read/three-attempts", test_three_attempts);
	g_test_add_func("/engine/read/silent", test_silent);
	g_test_add_func("/engine/read/silent-for-a-moment", test_silent_for_a_moment);
	g_test_add_func("/engine/read/many-wait", test_many_wait);
	g_test_add_func("/engine/read/never-over-five-seconds", test_never_over_five_seconds);
	g_test_add_func("/engine/read/probe", test_probe);
	g_test_add_func("/engine/read/errors", test_errors);
	g_test_add_func("/engine/read/offline", test_offline);
	g_test_add_func("/engine/read/first-attempt", test_first_attempt);
	g_test_add_func("/engine/read/full", test_full);
	g_test_add_func("/engine/read/many", test_many);
	g_test_add_func("/engine/read/joins", test_joins);
	g_test_add_func("/engine/read/fill-and-ack", test_fill_and_ack);
	g_test_add_func("/engine/read/late-ack", test_late_ack);
	g_test_add_func("/engine/read/duplicate-ack", test_duplicate_ack);
	g_test_add_func("/engine/read/ack-kept-waiting", test_ack_kept_waiting);
	g_test_add_func("/engine/read/changed-at-the-parent", test_changed_at_the_parent);
	return g_test_run();
}
