/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one sender and its parent (design §3, §5), sentence by sentence, on a bench. */

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

/* A write that goes out at once. */
static struct reply *send(struct bench *bench, const char *key, const char *value)
{
	struct reply *reply = bench_set(bench, key, value);

	bench_flush(bench, USEC_INFINITY);
	bench_disk(bench);
	g_assert_true(reply->done);
	return reply;
}

static void is_reason(struct bench *bench, const char *word)
{
	const char *reason = monitor_last_error(storage_monitor(bench->storage));

	if (!g_str_has_prefix(reason, word))
		g_error("the reason is %s, not %s", reason, word);
}

static uint64_t arrival(struct bench *bench, unsigned int i)
{
	g_assert_cmpuint(i, <, bench->world->arrivals->len);
	return g_array_index(bench->world->arrivals, uint64_t, i);
}

static struct store_state state_of(struct bench *bench)
{
	struct store_state state;

	g_assert_cmpint(store_load_state(bench->store, &state), ==, 0);
	return state;
}

/* ---- persisted, sent, sent again ---- */

static void test_persisted_before_sent(void)
{
	struct bench *bench = bench_online(NULL);

	bench_set(bench, "k", "v");
	bench_disk(bench);
	bench->held = true;
	bench_run(bench, 2 * SEC);
	g_assert_cmpuint(bench->world->batches, ==, 0);
	g_assert_cmpuint(state_of(bench).batch_number, ==, 0);
	bench_step(bench, 0);
	g_assert_cmpuint(state_of(bench).batch_number, !=, 0);
	bench_run(bench, 10 * MSEC);
	g_assert_cmpuint(bench->world->last_number, ==, state_of(bench).batch_number);
	g_assert_cmpstr(bench->world->last_id, ==, state_of(bench).batch_id);
	bench_free(bench);
}

static void test_sent_again_unchanged(void)
{
	struct bench *bench = bench_online(NULL);
	char id[UTIL_ID_SIZE];
	uint64_t number;

	bench->world->swallow = 1;
	send(bench, "a", "1");
	bench_run(bench, 5 * SEC);
	g_assert_cmpuint(bench->world->batches, ==, 0);	/* once per connection */
	send(bench, "a", "2");
	send(bench, "b", "3");
	g_assert_cmpstr(bench_queue(bench), ==, "1:a=1 2:a=2 3:b=3");
	number = state_of(bench).batch_number;
	g_strlcpy(id, state_of(bench).batch_id, sizeof(id));

	bench->world->lose_acks = 1;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	while (bench->world->batches == 0)
		bench_run(bench, 10 * MSEC);
	g_assert_cmpstr(bench->world->log->str, ==, "default/a=1;");
	g_assert_cmpuint(bench->world->last_number, ==, number);
	g_assert_cmpstr(bench->world->last_id, ==, id);

	/* The ack was lost: a duplicate with our id trims. */
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_drain(bench, 20 * SEC);
	g_assert_cmpuint(bench->world->duplicates, ==, 1);
	g_assert_cmpuint(bench->world->applied_ops, ==, 3);
	g_assert_cmpstr(bench->world->log->str, ==,
			"default/a=1;default/a=1;default/a=2;default/b=3;");
	bench_is(bench_get(bench, "a"), "2", "cache");
	bench_free(bench);
}

static void test_over_a_crash(void)
{
	struct bench *bench = bench_online(NULL);
	char id[UTIL_ID_SIZE], client[UTIL_ID_SIZE];
	uint64_t number;

	bench->world->lose_acks = 1;
	send(bench, "a", "1");
	bench_run(bench, 10 * MSEC);
	number = state_of(bench).batch_number;
	g_assert_cmpuint(bench->world->last_number, ==, number);
	g_strlcpy(id, bench->world->last_id, sizeof(id));
	g_strlcpy(client, bench->world->last_client, sizeof(client));
	bench_restart(bench);
	bench_drain(bench, 5 * SEC);
	g_assert_cmpuint(bench->world->last_number, ==, number);
	g_assert_cmpstr(bench->world->last_id, ==, id);
	g_assert_cmpstr(bench->world->last_client, ==, client);
	g_assert_cmpuint(bench->world->applied_ops, ==, 1);

	bench_restart(bench);
	send(bench, "a", "2");
	bench_drain(bench, 5 * SEC);
	g_assert_cmpuint(bench->world->last_number, >, number);
	bench_free(bench);
}

static void test_batch_timeout(void)
{
	struct bench *bench = bench_online("[Parent]\nBatchTimeout=3s\n");
	uint64_t from;

	bench->world->lose_acks = 1;
	send(bench, "k", "v");
	from = bench->now;
	while (bench->world->duplicates == 0)
		bench_run(bench, 10 * MSEC);
	g_assert_cmpuint(bench->now - from, >=, 3 * SEC);
	g_assert_cmpuint(bench->now - from, <, 4 * SEC);
	is_reason(bench, "timeout");

	/* It begins with the last byte taken. */
	bench_drain(bench, SEC);
	bench->world->untaken = true;
	bench->world->swallow = 1;
	send(bench, "k", "w");
	bench_run(bench, 20 * SEC);
	g_assert_cmpuint(bench->world->hellos, ==, 2);
	bench_free(bench);
}

static void test_probe(void)
{
	struct bench *bench = bench_online("[Heartbeat]\nInterval=60s\n");
	unsigned int pings;

	bench_run(bench, SEC);
	pings = bench->world->pings;
	bench->world->swallow = 1;
	send(bench, "k", "v");
	bench_run(bench, 490 * MSEC);
	g_assert_cmpuint(bench->world->pings, ==, pings);
	bench_run(bench, 20 * MSEC);
	g_assert_cmpuint(bench->world->pings, ==, pings + 1);
	bench_free(bench);
}

static void test_batches_are_bounded(void)
{
	struct bench *bench = bench_new(NULL);
	g_autofree char *large = g_strnfill(600 * 1024, 'x');

	bench->world->away = true;
	bench_start(bench);
	for (int i = 0; i < LIMIT_BATCH_OPS + 500; i++) {
		g_autofree char *key = g_strdup_printf("k%d", i);

		bench_set(bench, key, "v");
	}
	bench_disk(bench);
	bench->world->away = false;
	bench_drain(bench, 30 * SEC);
	g_assert_cmpuint(bench->world->batches, ==, 2);
	g_assert_cmpuint(fake_count(bench->world), ==, LIMIT_BATCH_OPS + 500);

	send(bench, "large1", large);
	bench_run(bench, SEC);
	g_assert_cmpuint(bench->world->batches, ==, 3);
	bench_set(bench, "large2", large);
	bench_set(bench, "large3", large);
	bench_drain(bench, 5 * SEC);
	g_assert_cmpuint(bench->world->batches, ==, 5);
	bench_free(bench);
}

static void test_areas_share_a_batch(void)
{
	struct bench *bench = bench_online(NULL);
	struct area *other = bench_open_area(bench, "other");

	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_set(bench, "k", "bad");
	bench_write_to(bench, other, "k", "1");
	bench_group_to(bench, other, "a=1 b=2");
	bench_group(bench, "a=3 b=4");
	bench_run(bench, SEC);
	bench->world->away = false;
	bench_drain(bench, 10 * SEC);
	bench_run(bench, SEC);
	g_assert_cmpuint(bench->world->batches, ==, 1);
	g_assert_cmpstr(fake_get(bench->world, "other", "k"), ==, "1");
	g_assert_cmpstr(fake_get(bench->world, "other", "b"), ==, "2");
	g_assert_cmpstr(fake_get(bench->world, "default", "b"), ==, "4");
	g_assert_cmpstr(bench_rejected(bench), ==, "1");
	bench_free(bench);
}

/* ---- who lost what ---- */

/* A batch is applied, its ack lost; the client id that was used is noted. */
static struct bench *bench_with_lost_ack(char client[static UTIL_ID_SIZE])
{
	struct bench *bench = bench_online(NULL);

	bench->world->lose_acks = 1;
	send(bench, "k", "v");
	bench_run(bench, 10 * MSEC);
	g_assert_cmpuint(bench->world->applied_ops, ==, 1);
	g_strlcpy(client, bench->world->last_client, UTIL_ID_SIZE);
	return bench;
}

static void test_duplicate_with_another_id(void)
{
	char client[UTIL_ID_SIZE];
	struct bench *bench = bench_with_lost_ack(client);
	uint64_t number = bench->world->last_number;

	bench->world->other_id = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	while (bench->world->duplicates == 0)
		bench_run(bench, MSEC);
	bench_run(bench, MSEC);
	g_assert_cmpstr(bench_queue(bench), ==, "1:k=v");	/* nothing is trimmed */
	bench_drain(bench, 30 * SEC);
	g_assert_cmpstr(bench->world->last_client, !=, client);
	g_assert_cmpstr(state_of(bench).client, ==, bench->world->last_client);
	g_assert_cmpuint(bench->world->last_number, >, number);
	g_assert_cmpuint(bench->world->applied_ops, ==, 2);
	bench_free(bench);
}

static void test_last_batch_above_ours(void)
{
	struct bench *bench = bench_online(NULL);
	char client[UTIL_ID_SIZE];

	send(bench, "k", "1");
	bench_drain(bench, SEC);
	g_strlcpy(client, bench->world->last_client, sizeof(client));
	bench->world->swallow = 1;
	send(bench, "k", "2");
	bench_run(bench, 10 * MSEC);
	fake_set_last_batch(bench->world, client, 5000);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_drain(bench, 30 * SEC);
	g_assert_cmpstr(bench->world->last_client, !=, client);
	g_assert_cmpuint(bench->world->duplicates, ==, 0);	/* it was not sent under the old id */
	g_assert_cmpstr(fake_get(bench->world, "default", "k"), ==, "2");

	/* The new id is there after a restart. */
	g_strlcpy(client, bench->world->last_client, sizeof(client));
	bench_restart(bench);
	g_assert_cmpstr(bench->world->last_client, ==, client);
	bench_free(bench);
}

/* Our own store goes back in time: what it sent since is not known to it any more. */
static void test_store_rolled_back(void)
{
	struct bench *bench = bench_online(NULL);
	g_autofree char *content = NULL;
	size_t len;
	char client[UTIL_ID_SIZE];

	send(bench, "k", "1");
	bench_drain(bench, SEC);
	bench_stop(bench);
	g_assert_true(g_file_get_contents(bench->path, &content, &len, NULL));
	bench_start(bench);
	send(bench, "k", "2");
	bench_drain(bench, SEC);
	g_strlcpy(client, bench->world->last_client, sizeof(client));
	bench_stop(bench);
	g_assert_true(g_file_set_contents(bench->path, content, (gssize)len, NULL));
	bench_start(bench);
	send(bench, "k", "3");
	bench_drain(bench, 30 * SEC);
	g_assert_cmpstr(bench->world->last_client, !=, client);
	g_assert_cmpstr(fake_get(bench->world, "default", "k"), ==, "3");
	bench_free(bench);
}

static void test_acks_that_make_no_sense(void)
{
	char client[UTIL_ID_SIZE];
	struct bench *bench = bench_with_lost_ack(client);

	bench->world->without_results = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	while (bench->world->duplicates == 0)
		bench_run(bench, MSEC);
	bench_run(bench, MSEC);
	is_reason(bench, "protocol");
	g_assert_cmpstr(bench_queue(bench), ==, "1:k=v");
	bench->world->without_results = false;
	bench->world->short_results = true;
	while (bench->world->duplicates == 1)
		bench_run(bench, MSEC);
	bench_run(bench, MSEC);
	is_reason(bench, "protocol");
	bench->world->short_results = false;
	bench_drain(bench, 30 * SEC);
	g_assert_cmpstr(bench->world->last_client, ==, client);
	g_assert_cmpuint(bench->world->applied_ops, ==, 1);
	bench_free(bench);
}

static bool reason_is_lost_data(struct bench *bench)
{
	return g_str_has_prefix(monitor_reason(storage_monitor(bench->storage)),
				"parent-lost-data");
}

/* The parent comes back without what it had acked. */
static struct bench *bench_with_rewound_parent(bool batches_too)
{
	struct bench *bench = bench_online("[Cache]\nTTL=1h\n");
	struct fake_store *old;

	send(bench, "k", "1");
	bench_drain(bench, SEC);
	old = fake_store_copy(bench->world->store);
	if (batches_too)
		send(bench, "k", "2");
	else
		fake_put(bench->world, "default", "k", "2");
	bench_run(bench, SEC);
	bench_wait(bench, bench_get_full(bench, "k", READER_PARENT, SEC), SEC);
	bench_is(bench_get(bench, "k"), "2", "cache");
	bench_drain(bench, SEC);
	fake_store_restore(bench->world, old);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 10 * SEC);
	return bench;
}

static void test_lower_last_batch(void)
{
	struct bench *bench = bench_with_rewound_parent(true);
	struct reply *get;

	g_assert_true(reason_is_lost_data(bench));
	get = bench_get(bench, "k");
	g_assert_false(get->done); /* the copy is not trusted: the parent is asked */
	bench_wait(bench, get, SEC);
	bench_is(get, "1", "parent");
	bench_is(bench_get(bench, "k"), "1", "cache");
	send(bench, "k", "3");
	bench_drain(bench, SEC);
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 2 * 3600 * SEC);
	bench_is(bench_get(bench, "k"), "3", "local");
	bench_free(bench);
}

static void test_lower_revision(void)
{
	struct bench *bench = bench_with_rewound_parent(false);

	g_assert_false(reason_is_lost_data(bench));
	bench_wait(bench, bench_get(bench, "other"), SEC);	/* the first revision */
	g_assert_true(reason_is_lost_data(bench));
	bench_wait(bench, bench_get(bench, "k"), SEC);
	bench_is(bench_get(bench, "k"), "1", "cache");
	bench_free(bench);
}

static void test_another_epoch(void)
{
	struct bench *bench = bench_online("[Cache]\nTTL=1h\n");
	struct reply *get;

	send(bench, "k", "1");
	bench_drain(bench, SEC);
	fake_wipe(bench->world);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 5 * SEC);
	g_assert_false(reason_is_lost_data(bench));	/* another store lost nothing */
	get = bench_get(bench, "k");
	bench_wait(bench, get, SEC);
	g_assert_cmpint(get->error, ==, HF_NO_SUCH_ITEM);
	send(bench, "k", "2");
	bench_drain(bench, SEC);
	bench_restart(bench);
	g_assert_false(reason_is_lost_data(bench));
	bench_is(bench_get_full(bench, "k", READER_LOCAL, 0), "2", "local");
	bench_free(bench);
}

/*
 * The ack came, the disk refused to note it, and when it takes it the parent is another: neither is
 * the other one's store credited with that ack, nor its revisions with the old one's.
 */
static void test_ack_of_another_epoch(void)
{
	struct bench *bench = bench_online(NULL);

	for (int i = 0; i < 50; i++)
		fake_put(bench->world, "default", "filler", "f");
	send(bench, "k", "1");
	bench->disk_error = -EIO;
	bench_run(bench, SEC);
	g_assert_cmpuint(bench->world->applied_ops, ==, 1);
	g_assert_cmpuint(bench_queue_size(bench), ==, 1);
	fake_wipe(bench->world);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 5 * SEC);
	bench->disk_error = 0;
	bench_drain(bench, 10 * SEC);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 5 * SEC);
	g_assert_false(reason_is_lost_data(bench));
	send(bench, "k", "2");
	bench_drain(bench, SEC);
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 10 * SEC);
	bench_is(bench_get(bench, "k"), "2", "local");
	bench_free(bench);
}

/* ---- refusals of a batch ---- */

static void test_transient(void)
{
	struct bench *bench = bench_online("[Retry]\nMaxDelay=500ms\n");
	uint64_t number;

	bench->world->refuse_batches = 5;
	bench->world->refuse_class = WIRE_TRANSIENT;
	send(bench, "k", "v");
	bench_run(bench, 50 * MSEC);
	number = bench->world->last_number;
	send(bench, "l", "w");
	while (bench->world->batches < 6)
		bench_run(bench, 100);
	g_assert_cmpuint(bench->world->last_number, ==, number);
	g_assert_cmpuint(bench->world->hellos, ==, 1);
	for (unsigned int i = 0; i < 5; i++)
		g_assert_cmpuint((arrival(bench, i + 1) - arrival(bench, i)) / MSEC, ==,
				 MIN(100u << i, 500) + 1);
	bench_drain(bench, SEC);

	bench->world->refuse_batches = 1;
	bench->world->refuse_class = WIRE_CAPACITY;
	bench->world->refuse_after = 3 * SEC;
	send(bench, "k", "x");
	bench_drain(bench, 5 * SEC);
	g_assert_cmpuint((arrival(bench, 8) - arrival(bench, 7)) / MSEC, ==, 3001);
	g_assert_cmpuint(bench->world->applied_ops, ==, 3);
	bench_free(bench);
}

static void test_permanent(void)
{
	struct bench *bench = bench_new(NULL);
	g_autofree char *events = NULL;

	bench->world->away = true;
	bench_start(bench);
	bench_set(bench, "a", "1");
	bench_group(bench, "b=2 c=poison d=4");
	bench_set(bench, "e", "5");
	bench_group(bench, "f=6 g=7");
	bench_set(bench, "h", "poison");
	bench_set(bench, "i", "9");
	bench_disk(bench);
	g_free(bench_take_events(bench));
	bench->world->away = false;
	bench_drain(bench, 60 * SEC);
	events = bench_take_events(bench);
	g_assert_cmpstr(events, ==, "rejected 2 b rejected;rejected 3 c rejected;"
				    "rejected 4 d rejected;rejected 8 h rejected;");
	g_assert_cmpstr(bench_rejected(bench), ==, "2 3 4 8");
	g_assert_cmpuint(fake_count(bench->world), ==, 5);
	g_assert_cmpuint(bench->world->applied_ops, ==, 5);
	g_assert_cmpuint(bench->world->hellos, ==, 1);	/* on one connection */
	bench_free(bench);
}

/* What it says it has applied it cannot refuse. */
static void test_permanent_to_a_known_number(void)
{
	char client[UTIL_ID_SIZE];
	struct bench *bench = bench_with_lost_ack(client);
	unsigned int batches = bench->world->batches;

	bench->world->refuse_known = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	while (bench->world->batches == batches)
		bench_run(bench, MSEC);
	bench_run(bench, MSEC);
	is_reason(bench, "protocol");
	g_assert_cmpstr(bench_queue(bench), ==, "1:k=v");
	g_assert_cmpstr(bench_rejected(bench), ==, "");
	bench->world->refuse_known = false;
	bench_drain(bench, 60 * SEC);
	bench_free(bench);
}

/* ---- the disk refuses ---- */

static void test_trim_fails(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *set;

	send(bench, "k", "v");
	bench->disk_error = -ENOSPC;
	bench_run(bench, 20 * SEC);
	g_assert_cmpuint(bench->world->batches, ==, 1);	/* the ack is kept */
	g_assert_cmpstr(bench_queue(bench), ==, "1:k=v");
	g_assert_cmpuint(bench->commits, <, 30);	/* it rests between its attempts */
	g_assert_true(storage_is_sound(bench->storage));

	/* Also over a connection; and its failure is not that of others. */
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 5 * SEC);
	g_assert_cmpuint(bench->world->batches, ==, 1);
	bench->disk_error = 0;
	set = bench_set(bench, "l", "w");
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, HF_OK);
	bench_drain(bench, 5 * SEC);
	g_assert_cmpuint(bench->world->applied_ops, ==, 2);
	bench_free(bench);
}

static void test_forming_fails(void)
{
	struct bench *bench = bench_online(NULL);

	bench_set(bench, "k", "v");
	bench_disk(bench);
	bench->disk_error = -EIO;
	bench_run(bench, 20 * SEC);
	g_assert_cmpuint(bench->world->batches, ==, 0);
	g_assert_cmpstr(bench_queue(bench), ==, "1:k=v");
	g_assert_true(storage_is_sound(bench->storage));
	bench->disk_error = 0;
	g_assert_cmpuint(bench_drain(bench, 3 * SEC), <=, 2 * SEC + 100 * MSEC);
	bench_free(bench);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	g_test_add_func("/engine/sender/persisted-before-sent", test_persisted_before_sent);
	g_test_add_func("/engine/sender/sent-again-unchanged", test_sent_again_unchanged);
	g_test_add_func("/engine/sender/over-a-crash", test_over_a_crash);
	g_test_add_func("/engine/sender/batch-timeout", test_batch_timeout);
	g_test_add_func("/engine/sender/probe", test_probe);
	g_test_add_func("/engine/sender/batches-are-bounded", test_batches_are_bounded);
	g_test_add_func("/engine/sender/areas-share-a-batch", test_areas_share_a_batch);
	g_test_add_func("/engine/sender/duplicate-with-another-id", test_duplicate_with_another_id);
	g_test_add_func("/engine/sender/last-batch-above-ours", test_last_batch_above_ours);
	g_test_add_func("/engine/sender/store-rolled-back", test_store_rolled_back);
	g_test_add_func("/engine/sender/acks-that-make-no-sense", test_acks_that_make_no_sense);
	g_test_add_func("/engine/sender/lower-last-batch", test_lower_last_batch);
	g_test_add_func("/engine/sender/lower-revision", test_lower_revision);
	g_test_add_func("/engine/sender/another-epoch", test_another_epoch);
	g_test_add_func("/engine/sender/ack-of-another-epoch", test_ack_of_another_epoch);
	g_test_add_func("/engine/sender/transient", test_transient);
	g_test_add_func("/engine/sender/permanent", test_permanent);
	g_test_add_func("/engine/sender/permanent-to-a-known", test_permanent_to_a_known_number);
	g_test_add_func("/engine/sender/trim-fails", test_trim_fails);
	g_test_add_func("/engine/sender/forming-fails", test_forming_fails);
	return g_test_run();
}
