/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The outbox, rule by rule (core/outbox.h); test-outbox-model.c holds it against a model. */

#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/outbox.h"

#define DELAY	  300000
#define MAX_DELAY 2000000

struct bench {
	struct outbox *outbox;
	struct outbox_params params;
	uint64_t now;
	GPtrArray *taken;
};

static void bench_init(struct bench *bench)
{
	*bench = (struct bench){
		.params = { 100, 10000, false, DELAY, MAX_DELAY },
		.now = 5000000,
		.taken = g_ptr_array_new(),
	};
	bench->outbox = outbox_new(&bench->params, 1);
}

static void bench_deinit(struct bench *bench)
{
	outbox_free(bench->outbox);
	g_ptr_array_unref(bench->taken);
}

static void bench_limit(struct bench *bench, unsigned int limit, uint64_t bytes, bool drop)
{
	bench->params.limit = limit;
	bench->params.max_bytes = bytes;
	bench->params.drop_oldest = drop;
	outbox_set_params(bench->outbox, &bench->params);
}

/* "k=v" sets, "k" removes; several of them, parted by spaces, are a group. */
static int stage(struct bench *bench, const char *text, bool group)
{
	g_auto(GStrv) items = g_strsplit(text, " ", -1);
	unsigned int n = g_strv_length(items);
	g_autofree struct outbox_write *writes = g_new0(struct outbox_write, n);
	uint64_t serial = 0;
	int r;

	for (unsigned int i = 0; i < n; i++) {
		char *equal = strchr(items[i], '=');

		writes[i].op = equal ? OUTBOX_SET : OUTBOX_REMOVE;
		writes[i].key = items[i];
		writes[i].value = equal ? equal + 1 : NULL;
		if (equal)
			*equal = '\0';
	}
	r = outbox_stage(bench->outbox, writes, n, group, bench->now, 77, &serial);
	if (r == HF_OK)
		g_assert_cmpuint(serial, ==, outbox_last_serial(bench->outbox));
	return r;
}

static void put(struct bench *bench, const char *text)
{
	g_assert_cmpint(stage(bench, text, false), ==, HF_OK);
	outbox_commit(bench->outbox);
}

static void put_group(struct bench *bench, const char *text)
{
	g_assert_cmpint(stage(bench, text, true), ==, HF_OK);
	outbox_commit(bench->outbox);
}

/* "serial/first key=value", those in flight with "*", those of a group with their place. */
static char *show(struct bench *bench)
{
	GString *text = g_string_new(NULL);
	const struct outbox_entry *entry;

	for (entry = outbox_first(bench->outbox); entry; entry = outbox_next(entry)) {
		g_string_append_printf(text, "%s%" G_GUINT64_FORMAT, text->len ? " " : "",
				       entry->serial);
		if (entry->back)
			g_string_append_printf(text, "/%" G_GUINT64_FORMAT,
					       outbox_entry_first(entry));
		if (entry->group_index)
			g_string_append_printf(text, "#%u", entry->group_index);
		g_string_append_printf(text, "%s:%s", entry->state == OUTBOX_IN_FLIGHT ? "*" : "",
				       outbox_entry_key(entry));
		if (outbox_entry_value(entry))
			g_string_append_printf(text, "=%s", outbox_entry_value(entry));
	}
	return g_string_free(text, FALSE);
}

static void holds(struct bench *bench, const char *expected)
{
	g_autofree char *text = show(bench);

	g_assert_cmpstr(text, ==, expected);
}

/* Plan to take with room for @ops and @bytes. Return: whether room was wanting. */
static bool take(struct bench *bench, size_t ops, size_t bytes)
{
	struct outbox_room room = { ops, bytes, .empty = true };

	g_ptr_array_set_size(bench->taken, 0);
	return outbox_take(bench->outbox, bench->now, &room, bench->taken);
}

static struct outbox_entry *taken(struct bench *bench, unsigned int i)
{
	return bench->taken->pdata[i];
}

/* Everything goes into a batch, whatever its time. */
static void send_all(struct bench *bench)
{
	outbox_force(bench->outbox);
	take(bench, 1000, 1000000);
	outbox_commit(bench->outbox);
}

/* ---- tests ---- */

static void test_empty(void)
{
	struct bench bench;

	bench_init(&bench);
	holds(&bench, "");
	g_assert_null(outbox_find(bench.outbox, "k"));
	g_assert_null(outbox_first_waiting(bench.outbox));
	g_assert_null(outbox_first_held(bench.outbox, bench.now));
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), ==, USEC_INFINITY);
	g_assert_false(outbox_covers(bench.outbox, 1));
	g_assert_false(outbox_holds_upto(bench.outbox, 100));
	g_assert_cmpuint(outbox_last_serial(bench.outbox), ==, 0);
	g_assert_false(take(&bench, 10, 10));
	g_assert_cmpuint(bench.taken->len, ==, 0);
	outbox_commit(bench.outbox);
	outbox_rollback(bench.outbox);
	g_assert_null(outbox_free(NULL));
	bench_deinit(&bench);
}

static void test_staged_is_not_found(void)
{
	struct bench bench;

	bench_init(&bench);
	put(&bench, "a=1");
	g_assert_cmpint(stage(&bench, "a=2", false), ==, HF_OK);
	g_assert_cmpint(stage(&bench, "b=3", false), ==, HF_OK);
	holds(&bench, "1:a=1");
	g_assert_cmpstr(outbox_entry_value(outbox_find(bench.outbox, "a")), ==, "1");
	g_assert_null(outbox_find(bench.outbox, "b"));
	g_assert_cmpuint(outbox_count(bench.outbox), ==, 1);
	g_assert_cmpuint(outbox_bytes(bench.outbox), ==, 2);
	g_assert_false(outbox_covers(bench.outbox, 2));
	g_assert_cmpuint(outbox_plan_staged(bench.outbox)->len, ==, 2);
	g_assert_cmpuint(outbox_plan_doomed(bench.outbox)->len, ==, 1);
	outbox_commit(bench.outbox);
	holds(&bench, "2/1:a=2 3:b=3");
	g_assert_cmpuint(outbox_plan_staged(bench.outbox)->len, ==, 0);
	g_assert_cmpuint(outbox_find(bench.outbox, "a")->queued_at, ==, 77);
	bench_deinit(&bench);
}

static void test_coalescing(void)
{
	struct bench bench;

	bench_init(&bench);
	put(&bench, "a=1");
	put(&bench, "b=2");
	put(&bench, "a=3");
	put(&bench, "a");
	holds(&bench, "2:b=2 4/1:a");
	g_assert_true(outbox_covers(bench.outbox, 1));
	g_assert_true(outbox_covers(bench.outbox, 3));
	g_assert_true(outbox_covers(bench.outbox, 4));
	g_assert_false(outbox_covers(bench.outbox, 5));
	g_assert_true(outbox_holds_upto(bench.outbox, 1));
	g_assert_null(outbox_entry_value(outbox_find(bench.outbox, "a")));

	/* What is in flight is not touched: the newer write stands behind it. */
	send_all(&bench);
	put(&bench, "a=5");
	put(&bench, "a=6");
	holds(&bench, "2*:b=2 4/1*:a 6/5:a=6");
	g_assert_cmpstr(outbox_entry_value(outbox_find(bench.outbox, "a")), ==, "6");
	bench_deinit(&bench);
}

static void test_groups(void)
{
	struct bench bench;

	bench_init(&bench);
	put(&bench, "a=1");
	put_group(&bench, "a=2 b=3");
	holds(&bench, "2/1#1:a=2 3#2:b=3");

	/* A later single write of a member stands behind it; so does a later group. */
	put(&bench, "a=4");
	put(&bench, "a=5");
	put_group(&bench, "b=6 a=7");
	holds(&bench, "2/1#1:a=2 3#2:b=3 6#1:b=6 7/4#2:a=7");
	put_group(&bench, "c=8");
	holds(&bench, "2/1#1:a=2 3#2:b=3 6#1:b=6 7/4#2:a=7 8#1:c=8");

	/* Two groups side by side are two: each is taken or left whole. */
	g_assert_true(take(&bench, 3, 1000));
	g_assert_cmpuint(bench.taken->len, ==, 2);
	outbox_rollback(bench.outbox);
	g_assert_true(take(&bench, 4, 1000));
	g_assert_cmpuint(bench.taken->len, ==, 4);
	outbox_rollback(bench.outbox);
	g_assert_false(take(&bench, 5, 1000));
	g_assert_cmpuint(bench.taken->len, ==, 5);
	bench_deinit(&bench);
}

static void test_same_key_twice_in_a_plan(void)
{
	struct bench bench;

	bench_init(&bench);
	for (int i = 0; i < 5; i++)
		g_assert_cmpint(stage(&bench, "a=1", false), ==, HF_OK);
	g_assert_cmpint(stage(&bench, "a", false), ==, HF_OK);
	g_assert_cmpuint(outbox_plan_doomed(bench.outbox)->len, ==, 5);
	outbox_commit(bench.outbox);
	holds(&bench, "6/1:a");
	bench_deinit(&bench);
}

static void test_reject(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_limit(&bench, 2, 10000, false);
	put(&bench, "a=1");
	put(&bench, "b=2");
	g_assert_cmpint(stage(&bench, "c=3", false), ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpint(stage(&bench, "c=3 d=4", true), ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpuint(outbox_plan_staged(bench.outbox)->len, ==, 0);
	g_assert_cmpuint(outbox_last_serial(bench.outbox), ==, 2);
	outbox_commit(bench.outbox);
	holds(&bench, "1:a=1 2:b=2");

	/* What takes another's place always fits, alone or in a group. */
	put(&bench, "a=5");
	put_group(&bench, "b=6 a=7");
	holds(&bench, "4/2#1:b=6 5/1#2:a=7");

	/* What is in flight counts. */
	send_all(&bench);
	g_assert_cmpint(stage(&bench, "c=3", false), ==, HF_QUOTA_EXCEEDED);
	outbox_commit(bench.outbox);

	bench_limit(&bench, 100, 10, false);
	g_assert_cmpint(stage(&bench, "c=12345678", false), ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpint(stage(&bench, "c=12345", false), ==, HF_OK);
	g_assert_cmpint(stage(&bench, "d", false), ==, HF_QUOTA_EXCEEDED);
	outbox_commit(bench.outbox);
	g_assert_cmpuint(outbox_bytes(bench.outbox), ==, 10);
	bench_deinit(&bench);
}

static unsigned int count_dropped(struct bench *bench)
{
	const GPtrArray *doomed = outbox_plan_doomed(bench->outbox);
	unsigned int n = 0;

	for (unsigned int i = 0; i < doomed->len; i++)
		n += ((const struct outbox_entry *)doomed->pdata[i])->dropped;
	return n;
}

static void test_drop_oldest(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_limit(&bench, 3, 10000, true);
	put(&bench, "a=1");
	put(&bench, "b=2");
	put(&bench, "c=3");
	g_assert_cmpint(stage(&bench, "d=4", false), ==, HF_OK);
	g_assert_cmpuint(count_dropped(&bench), ==, 1);
	outbox_commit(bench.outbox);
	holds(&bench, "2:b=2 3:c=3 4:d=4");

	/* The one to be replaced is not dropped as well. */
	g_assert_cmpint(stage(&bench, "b=5 e=6", true), ==, HF_OK);
	g_assert_cmpuint(count_dropped(&bench), ==, 1);
	outbox_commit(bench.outbox);
	holds(&bench, "4:d=4 5/2#1:b=5 6#2:e=6");

	/* A group goes whole. */
	put(&bench, "f=7");
	put(&bench, "g=8");
	holds(&bench, "7:f=7 8:g=8");

	/* Nothing in flight is dropped; where that leaves no room nothing changes. */
	send_all(&bench);
	put(&bench, "h=9");
	g_assert_cmpint(stage(&bench, "i=10 j=11", true), ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpuint(outbox_plan_doomed(bench.outbox)->len, ==, 0);
	put(&bench, "i=12");
	holds(&bench, "7*:f=7 8*:g=8 10:i=12");
	bench_deinit(&bench);
}

static void test_drop_within_a_plan(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_limit(&bench, 2, 10000, true);
	g_assert_cmpint(stage(&bench, "a=1", false), ==, HF_OK);
	g_assert_cmpint(stage(&bench, "b=2", false), ==, HF_OK);
	g_assert_cmpint(stage(&bench, "c=3", false), ==, HF_OK);
	g_assert_cmpint(stage(&bench, "a=4", false), ==, HF_OK);
	g_assert_cmpuint(count_dropped(&bench), ==, 2);
	outbox_commit(bench.outbox);
	holds(&bench, "3:c=3 4:a=4");
	bench_deinit(&bench);
}

static void test_debounce(void)
{
	struct bench bench;
	uint64_t from;

	bench_init(&bench);
	from = bench.now;
	put(&bench, "a=1");
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), ==, from + DELAY);
	g_assert_cmpuint(outbox_first_held(bench.outbox, bench.now)->serial, ==, 1);
	g_assert_false(take(&bench, 10, 100));
	g_assert_cmpuint(bench.taken->len, ==, 0);

	/* The delay is from the last write; a remove is not held, but waits for its turn. */
	bench.now = from + DELAY - 1;
	put(&bench, "a=2");
	from = bench.now;
	put(&bench, "b");
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), ==, from + DELAY);
	take(&bench, 10, 100);
	g_assert_cmpuint(bench.taken->len, ==, 0);

	bench.now = from + DELAY;
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), <=, bench.now);
	g_assert_null(outbox_first_held(bench.outbox, bench.now));
	take(&bench, 10, 100);
	g_assert_cmpuint(bench.taken->len, ==, 2);
	outbox_commit(bench.outbox);
	holds(&bench, "2/1*:a=2 3*:b");
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), ==, USEC_INFINITY);

	/* A group and a remove alone are due at once. */
	put_group(&bench, "c=1 d=2");
	put(&bench, "e");
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), <=, bench.now);
	bench_deinit(&bench);
}

/* Kept being written, it goes after MaxDelay, and all ahead of it with it. */
static void test_max_delay(void)
{
	struct bench bench;
	uint64_t from;

	bench_init(&bench);
	from = bench.now;
	for (; bench.now < from + MAX_DELAY; bench.now += DELAY / 3)
		put(&bench, "a=1");
	g_assert_null(outbox_first_held(bench.outbox, bench.now));

	send_all(&bench);
	from = bench.now;
	put(&bench, "b=1");
	while (bench.now + DELAY / 3 < from + MAX_DELAY) {
		bench.now += DELAY / 3;
		put(&bench, "b=1");
	}
	bench.now = from + MAX_DELAY - 10;
	put(&bench, "c=2");
	put(&bench, "b=3");
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), ==, from + MAX_DELAY);
	take(&bench, 10, 100);
	g_assert_cmpuint(bench.taken->len, ==, 0);
	bench.now = from + MAX_DELAY;
	put(&bench, "d=4");
	take(&bench, 10, 100);
	g_assert_cmpuint(bench.taken->len, ==, 2);
	g_assert_cmpstr(outbox_entry_key(taken(&bench, 0)), ==, "c");
	g_assert_cmpstr(outbox_entry_key(taken(&bench, 1)), ==, "b");
	bench_deinit(&bench);
}

static void test_force(void)
{
	struct bench bench;

	bench_init(&bench);
	put(&bench, "a=1");
	put(&bench, "b=2");
	outbox_force(bench.outbox);
	put(&bench, "c=3");
	take(&bench, 10, 100);
	g_assert_cmpuint(bench.taken->len, ==, 2);
	outbox_commit(bench.outbox);
	g_assert_cmpuint(outbox_first_held(bench.outbox, bench.now)->serial, ==, 3);
	bench_deinit(&bench);
}

static void test_rollback(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_limit(&bench, 4, 10000, true);
	put(&bench, "a=1");
	put_group(&bench, "b=2 c=3");
	outbox_force(bench.outbox);
	g_assert_cmpint(stage(&bench, "a=4", false), ==, HF_OK);
	g_assert_cmpint(stage(&bench, "d=5 e=6", true), ==, HF_OK);
	take(&bench, 10, 1000);
	g_assert_cmpuint(count_dropped(&bench), ==, 2);
	outbox_rollback(bench.outbox);
	holds(&bench, "1:a=1 2#1:b=2 3#2:c=3");
	g_assert_cmpuint(outbox_count(bench.outbox), ==, 3);
	g_assert_cmpuint(outbox_bytes(bench.outbox), ==, 6);
	g_assert_cmpuint(outbox_plan_staged(bench.outbox)->len, ==, 0);
	g_assert_cmpuint(outbox_plan_doomed(bench.outbox)->len, ==, 0);

	/* But the serials are used. */
	g_assert_cmpuint(outbox_last_serial(bench.outbox), ==, 6);
	put(&bench, "a=7");
	holds(&bench, "2#1:b=2 3#2:c=3 7/1:a=7");
	bench_deinit(&bench);
}

static void test_reservations(void)
{
	struct bench bench;
	uint64_t upto = 0;

	bench_init(&bench);
	g_assert_false(outbox_plan_reserve(bench.outbox, &upto));
	g_assert_cmpint(stage(&bench, "a=1", false), ==, HF_OK);
	g_assert_true(outbox_plan_reserve(bench.outbox, &upto));
	g_assert_cmpuint(upto, >, outbox_last_serial(bench.outbox));
	g_assert_cmpuint(upto, <=, 2 + LIMIT_NUMBER_BLOCK);
	outbox_commit(bench.outbox);
	while (outbox_last_serial(bench.outbox) + 1 < upto) {
		g_assert_cmpint(stage(&bench, "a=1", false), ==, HF_OK);
		g_assert_false(outbox_plan_reserve(bench.outbox, &upto));
		outbox_commit(bench.outbox);
	}
	g_assert_cmpint(stage(&bench, "a=1", false), ==, HF_OK);
	g_assert_true(outbox_plan_reserve(bench.outbox, &upto));

	/* A batch taken after a failed plan reserves nothing for it. */
	outbox_rollback(bench.outbox);
	send_all(&bench);
	g_assert_cmpint(stage(&bench, "b=1", false), ==, HF_OK);
	g_assert_true(outbox_plan_reserve(bench.outbox, &upto));
	bench_deinit(&bench);
}

static void test_take_room(void)
{
	struct bench bench;
	struct outbox_room room = { 1, 100, .empty = false };

	bench_init(&bench);
	put(&bench, "a=12345678");
	put_group(&bench, "b=1 c=2 d=3");
	put(&bench, "e=5");
	bench.now += DELAY;

	/* What alone is larger than the room goes alone. */
	g_assert_true(take(&bench, 10, 5));
	g_assert_cmpuint(bench.taken->len, ==, 1);
	outbox_commit(bench.outbox);
	g_assert_true(take(&bench, 2, 100));
	g_assert_cmpuint(bench.taken->len, ==, 3);
	outbox_rollback(bench.outbox);

	/* … but not into a batch that has something. */
	g_assert_true(outbox_take(bench.outbox, bench.now, &room, bench.taken));
	g_assert_cmpuint(room.ops, ==, 1);
	room = (struct outbox_room){ 4, 8, .empty = false };
	g_ptr_array_set_size(bench.taken, 0);
	g_assert_false(outbox_take(bench.outbox, bench.now, &room, bench.taken));
	g_assert_cmpuint(bench.taken->len, ==, 4);
	g_assert_cmpuint(room.ops, ==, 0);
	g_assert_cmpuint(room.bytes, ==, 0);
	bench_deinit(&bench);
}

static void test_take_staged(void)
{
	struct bench bench;

	bench_init(&bench);
	g_assert_cmpint(stage(&bench, "a", false), ==, HF_OK);
	take(&bench, 10, 100);
	g_assert_cmpuint(bench.taken->len, ==, 1);

	/* What a plan takes, the rest of it neither replaces nor drops. */
	bench_limit(&bench, 1, 100, true);
	g_assert_cmpint(stage(&bench, "a=2", false), ==, HF_QUOTA_EXCEEDED);
	bench_limit(&bench, 2, 100, true);
	g_assert_cmpint(stage(&bench, "a=2", false), ==, HF_OK);
	outbox_commit(bench.outbox);
	holds(&bench, "1*:a 2:a=2");
	bench_deinit(&bench);
}

static void test_trim_and_release(void)
{
	struct bench bench;

	bench_init(&bench);
	put(&bench, "a=1");
	put(&bench, "b=2");
	put(&bench, "c=3");
	send_all(&bench);
	put(&bench, "b=4");
	outbox_trim(bench.outbox, taken(&bench, 0));
	holds(&bench, "2*:b=2 3*:c=3 4:b=4");
	g_assert_cmpuint(outbox_count(bench.outbox), ==, 3);
	outbox_release(bench.outbox, taken(&bench, 1));
	outbox_release(bench.outbox, taken(&bench, 2));
	holds(&bench, "2:b=2 3:c=3 4:b=4");
	g_assert_cmpuint(outbox_first_waiting(bench.outbox)->serial, ==, 2);
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), <=, bench.now);
	put(&bench, "b=5");
	holds(&bench, "2:b=2 3:c=3 5/4:b=5");
	bench_deinit(&bench);
}

static void test_load(void)
{
	struct bench bench;
	const struct outbox_write set = { OUTBOX_SET, "a", "1" };
	const struct outbox_write remove = { OUTBOX_REMOVE, "b", NULL };

	bench_init(&bench);
	outbox_free(bench.outbox);
	bench.outbox = outbox_new(&bench.params, 1000);
	outbox_load(bench.outbox, 5, 2, 0, &set, 9, true);
	outbox_load(bench.outbox, 7, 7, 1, &remove, 9, false);
	outbox_load(bench.outbox, 8, 8, 2, &set, 9, false);
	holds(&bench, "5/2*:a=1 7#1:b 8#2:a=1");
	g_assert_cmpuint(outbox_next_due(bench.outbox, bench.now), <=, bench.now);
	put(&bench, "a=2");
	g_assert_cmpuint(outbox_last_serial(bench.outbox), ==, 1000);
	take(&bench, 100, 1000);
	g_assert_cmpuint(bench.taken->len, ==, 2);
	bench_deinit(&bench);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/outbox/empty", test_empty);
	g_test_add_func("/outbox/staged-is-not-found", test_staged_is_not_found);
	g_test_add_func("/outbox/coalescing", test_coalescing);
	g_test_add_func("/outbox/groups", test_groups);
	g_test_add_func("/outbox/same-key-twice-in-a-plan", test_same_key_twice_in_a_plan);
	g_test_add_func("/outbox/reject", test_reject);
	g_test_add_func("/outbox/drop-oldest", test_drop_oldest);
	g_test_add_func("/outbox/drop-within-a-plan", test_drop_within_a_plan);
	g_test_add_func("/outbox/debounce", test_debounce);
	g_test_add_func("/outbox/max-delay", test_max_delay);
	g_test_add_func("/outbox/force", test_force);
	g_test_add_func("/outbox/rollback", test_rollback);
	g_test_add_func("/outbox/reservations", test_reservations);
	g_test_add_func("/outbox/take-room", test_take_room);
	g_test_add_func("/outbox/take-staged", test_take_staged);
	g_test_add_func("/outbox/trim-and-release", test_trim_and_release);
	g_test_add_func("/outbox/load", test_load);
	return g_test_run();
}
