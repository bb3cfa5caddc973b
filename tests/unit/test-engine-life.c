/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stopping, the store as its own parent (local:), areas, and the date, on a bench. */

#include <errno.h>
#include <string.h>

#include "engine-bench.h"
#include "engine/copies.h"
#include "engine/engine.h"
#include "engine/monitor.h"
#include "seed.h"

static struct bench *bench_online(const char *config)
{
	struct bench *bench = bench_new(config);

	bench_start(bench);
	g_assert_true(fake_is_linked(bench->world));
	return bench;
}

/* ---- stop ---- */

static void test_stop_flushes(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *set, *await;

	set = bench_set(bench, "k", "v");
	bench_disk(bench);
	await = bench_await(bench, set->serial, USEC_INFINITY);
	g_assert_cmpuint(bench_stop(bench), <=, 200 * MSEC);
	g_assert_cmpint(await->error, ==, HF_OK);
	g_assert_cmpstr(fake_get(bench->world, "default", "k"), ==, "v");
	bench_start(bench);
	g_assert_cmpuint(bench_queue_size(bench), ==, 0);
	bench_free(bench);
}

static void test_stop_is_bounded(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *set, *await, *get;
	uint64_t took;

	bench->world->frozen = true;
	set = bench_set(bench, "k", "v");
	bench_disk(bench);
	await = bench_await(bench, set->serial, USEC_INFINITY);
	get = bench_get(bench, "other");
	took = bench_stop(bench);
	g_assert_cmpuint(took, >=, 1900 * MSEC);
	g_assert_cmpuint(took, <=, 2200 * MSEC);
	g_assert_cmpint(await->error, ==, HF_UNAVAILABLE);
	g_assert_cmpint(get->error, ==, HF_UNAVAILABLE);
	fake_thaw(bench->world);
	bench_start(bench);
	bench_drain(bench, 5 * SEC);
	g_assert_cmpuint(bench->world->applied_ops, ==, 1);
	bench_free(bench);
}

static void test_stop_offline(void)
{
	struct bench *bench = bench_new(NULL);
	struct reply *reply;

	bench->world->silent = true;
	bench_open(bench);
	storage_start(bench->storage);
	bench_set(bench, "k", "v");
	reply = bench_get(bench, "other");	/* it waits for the first attempt */
	g_assert_cmpuint(bench_stop(bench), <=, 200 * MSEC);
	g_assert_cmpint(reply->error, ==, HF_UNAVAILABLE);
	bench->world->silent = false;
	bench_start(bench);
	bench_drain(bench, 5 * SEC);
	bench_free(bench);
}

static void note_end(void *data)
{
	*(bool *)data = true;
}

/* What waits behind a write that the disk still holds is answered before the end is told. */
static void test_stop_with_a_slow_disk(void)
{
	struct bench *bench = bench_online(NULL);
	struct reply *set, *await, *flush, *get, *late, *direct;
	bool ended = false;

	bench->held = true;
	set = bench_set(bench, "k", "v");
	await = bench_await(bench, 1, USEC_INFINITY);
	flush = bench_flush(bench, USEC_INFINITY);
	get = bench_get(bench, "k");
	direct = bench_direct_set(bench, "other", "x");
	storage_stop(bench->storage, note_end, &ended);
	late = bench_set(bench, "late", "v");
	g_assert_cmpint(late->error, ==, HF_UNAVAILABLE);
	bench_run(bench, 10 * SEC);
	g_assert_false(ended);
	bench->held = false;
	bench_run(bench, SEC);
	g_assert_true(ended);
	g_assert_cmpint(set->error, ==, HF_OK);
	bench_is(get, "v", "queue");
	g_assert_true(await->done);
	g_assert_cmpint(await->error, ==, HF_UNAVAILABLE);
	g_assert_true(flush->done);
	g_assert_true(direct->done);
	bench_crash(bench);	/* it is as good as stopped */
	bench_start(bench);
	bench_drain(bench, 5 * SEC);
	g_assert_cmpstr(fake_get(bench->world, "default", "k"), ==, "v");
	bench_free(bench);
}

/* Nothing is begun again once the last transaction was, however long that takes. */
static void test_stop_with_a_failing_disk(void)
{
	struct bench *bench = bench_online(NULL);
	bool ended = false;

	bench->held = true;
	bench_direct_set(bench, "k", "v");	/* its row is to go … */
	storage_stop(bench->storage, note_end, &ended);
	bench_run(bench, 3 * SEC);
	g_assert_true(bench_step(bench, -EIO));	/* … and cannot, nor when the line is down … */
	g_assert_true(bench_step(bench, -EIO));
	bench_run(bench, 5 * SEC);		/* … and the disk hangs. */
	g_assert_true(bench_step(bench, 0));
	g_assert_true(ended);
	g_assert_false(bench_step(bench, 0));
	bench->held = false;
	bench_crash(bench);	/* it is as good as stopped */
	bench_free(bench);
}

/* ---- local: ---- */

static struct bench *bench_local(const char *config)
{
	struct bench *bench = bench_new(config);

	bench->world->local = true;
	bench_start(bench);
	g_assert_cmpint(monitor_state(storage_monitor(bench->storage)), ==, MONITOR_CONNECTED);
	return bench;
}

static void test_local(void)
{
	struct bench *bench = bench_local(NULL);
	struct reply *set, *get;

	set = bench_set(bench, "k", "1");
	get = bench_get(bench, "k");
	g_assert_false(set->done || get->done);
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, HF_OK);
	bench_is(get, "1", "local");
	g_assert_false(get->stale || get->pending);
	g_assert_cmpuint(bench_queue_size(bench), ==, 0);
	g_assert_cmpint(bench_await(bench, set->serial, 0)->error, ==, HF_OK);
	g_assert_cmpint(bench_flush(bench, 0)->error, ==, HF_OK);
	g_assert_cmpint(bench_get(bench, "none")->error, ==, HF_NO_SUCH_ITEM);
	bench_group(bench, "a=1 b=2");
	bench_remove(bench, "k");
	bench_disk(bench);
	g_assert_cmpint(bench_get(bench, "k")->error, ==, HF_NO_SUCH_ITEM);
	g_assert_cmpint(bench_get_full(bench, "k", READER_PARENT, SEC)->error, ==,
			HF_NO_SUCH_ITEM);
	bench_restart(bench);
	bench_is(bench_get(bench, "b"), "2", "local");
	g_assert_cmpint(bench_get(bench, "k")->error, ==, HF_NO_SUCH_ITEM);
	set = bench_direct_set(bench, "b", "3");
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, HF_OK);
	get = bench_direct_get(bench, "b");
	g_assert_cmpstr(get->value, ==, "3");

	bench->disk_error = -ENOSPC;
	set = bench_set(bench, "b", "4");
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, -ENOSPC);
	bench_is(bench_get(bench, "b"), "3", "local");
	bench_free(bench);
}

static void test_local_quota(void)
{
	struct bench *bench = bench_local("[Storage]\nMaxBytes=10\n");
	struct reply *reply;

	bench_set(bench, "a", "1234");
	bench_set(bench, "b", "1234");
	bench_disk(bench);
	reply = bench_set(bench, "c", "");
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_QUOTA_EXCEEDED);
	reply = bench_set(bench, "a", "12");
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_OK);
	bench_set(bench, "c", "1");
	reply = bench_set(bench, "d", "1");	/* both at once: only one fits */
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_QUOTA_EXCEEDED);
	bench_is(bench_get(bench, "b"), "1234", "local");
	bench_is(bench_get(bench, "c"), "1", "local");
	bench_free(bench);
}

/* What was queued for a parent that is no more goes to the items at the next start. */
static void test_local_drains(void)
{
	struct bench *bench = bench_online(NULL);

	bench_set(bench, "k", "0");
	bench_drain(bench, SEC);
	bench->world->swallow = 1;
	bench_set(bench, "k", "1");
	bench_flush(bench, 0);
	bench_run(bench, 10 * MSEC);
	bench_set(bench, "k", "2");
	bench_set(bench, "l", "3");
	bench_remove(bench, "m");
	bench_disk(bench);
	g_assert_cmpuint(bench_queue_size(bench), ==, 4);
	bench_crash(bench);
	bench->world->local = true;
	bench_start(bench);
	g_assert_cmpuint(bench_queue_size(bench), ==, 0);
	g_assert_cmpuint(bench_disk_rows(bench), ==, 0);
	bench_is(bench_get(bench, "k"), "2", "local");
	bench_is(bench_get(bench, "l"), "3", "local");
	g_assert_cmpint(bench_get(bench, "m")->error, ==, HF_NO_SUCH_ITEM);

	/* And back: nothing of it is sent again. */
	bench_stop(bench);
	bench->world->local = false;
	bench_start(bench);
	bench_set(bench, "n", "4");
	bench_drain(bench, 30 * SEC);
	g_assert_cmpstr(fake_get(bench->world, "default", "n"), ==, "4");
	bench_free(bench);
}

/* ---- areas ---- */

struct opened {
	unsigned int done;
	int error;
	struct area *area;
};

static void area_opened(void *data, int error, const char *detail, struct area *area)
{
	struct opened *opened = data;

	(void)detail;
	opened->done++;
	opened->error = error;
	opened->area = area;
}

static void test_areas(void)
{
	struct bench *bench = bench_online("[Limits]\nAreasPerUser=3\n");
	struct opened one = { 0 }, same = { 0 }, two = { 0 }, three = { 0 }, bad = { 0 };
	struct reply *get;

	storage_open_area(bench->storage, ".hidden", area_opened, &bad);
	g_assert_cmpint(bad.error, ==, HF_INVALID_ARGS);
	bench->held = true;
	storage_open_area(bench->storage, "one", area_opened, &one);
	storage_open_area(bench->storage, "one", area_opened, &same);
	storage_open_area(bench->storage, "two", area_opened, &two);
	storage_open_area(bench->storage, "three", area_opened, &three);
	g_assert_cmpuint(one.done + same.done + two.done, ==, 0);
	bench->held = false;
	bench_disk(bench);
	g_assert_true(one.area && two.area && one.area == same.area && one.area != two.area);
	g_assert_cmpint(three.error, ==, HF_QUOTA_EXCEEDED);

	bench_write_to(bench, one.area, "k", "1");
	bench_write_to(bench, two.area, "k", "2");
	bench_run(bench, SEC);
	g_assert_cmpstr(fake_get(bench->world, "one", "k"), ==, "1");
	g_assert_cmpstr(fake_get(bench->world, "two", "k"), ==, "2");
	g_assert_null(fake_get(bench->world, "default", "k"));
	bench_restart(bench);
	get = bench_get_from(bench, storage_find_area(bench->storage, "two"), "k", READER_LOCAL, 0);
	bench_is(get, "2", "local");
	bench_free(bench);
}

static void test_open_fails(void)
{
	struct bench *bench = bench_online(NULL);
	struct opened opened = { 0 };

	bench->disk_error = -ENOSPC;
	storage_open_area(bench->storage, "one", area_opened, &opened);
	bench_disk(bench);
	g_assert_cmpint(opened.error, ==, -ENOSPC);
	g_assert_null(storage_find_area(bench->storage, "one"));
	bench->disk_error = 0;
	g_assert_nonnull(bench_open_area(bench, "one"));
	bench_free(bench);
}

static struct area *take(struct bench *bench, const char *name)
{
	const char *detail = NULL;
	struct area *area = NULL;

	g_assert_cmpint(storage_take_area(bench->storage, name, &area, &detail), ==, HF_OK);
	return area;
}

/* An area that was taken is used at once; the disk gets it together with what it holds. */
static void test_take(void)
{
	struct bench *bench = bench_online(NULL);
	unsigned int commits = bench->commits;
	struct area *area;
	struct reply *set;

	bench->held = true;
	area = take(bench, "1000/app");
	g_assert_true(area == take(bench, "1000/app"));
	g_assert_true(area == storage_find_area(bench->storage, "1000/app"));
	set = bench_write_to(bench, area, "k", "v");
	g_assert_false(set->done);
	bench->held = false;
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, HF_OK);
	g_assert_cmpuint(bench->commits - commits, <=, 2);
	bench_restart(bench);
	area = storage_find_area(bench->storage, "1000/app");
	g_assert_nonnull(area);
	bench_run(bench, SEC);
	g_assert_cmpstr(fake_get(bench->world, "1000/app", "k"), ==, "v");
	bench_free(bench);
}

/* A disk that refuses: nothing of it is believed, and the area comes with the next transaction. */
static void test_take_fails(void)
{
	struct bench *bench = bench_online(NULL);
	struct opened opened = { 0 };
	struct area *area;
	struct reply *set;

	bench->disk_error = -ENOSPC;
	area = take(bench, "1000/app");
	storage_open_area(bench->storage, "1000/app", area_opened, &opened);
	set = bench_write_to(bench, area, "k", "v");
	bench_disk(bench);
	g_assert_cmpint(opened.error, ==, -ENOSPC);
	g_assert_cmpint(set->error, ==, -ENOSPC);
	bench->disk_error = 0;

	/* Another's commit brings it. */
	bench_set(bench, "other", "1");
	bench_disk(bench);
	bench_restart(bench);
	area = storage_find_area(bench->storage, "1000/app");
	g_assert_nonnull(area);
	bench_write_to(bench, area, "k", "v2");
	bench_run(bench, SEC);
	g_assert_cmpstr(fake_get(bench->world, "1000/app", "k"), ==, "v2");
	bench_free(bench);
}

/* A clean stop while the disk refuses has no area to reserve serials for. */
static void test_take_then_stop(void)
{
	struct bench *bench = bench_online(NULL);

	bench->disk_error = -EIO;
	take(bench, "1000/app");
	bench_disk(bench);
	bench->disk_error = 0;
	bench_stop(bench);
	bench_open(bench);
	g_assert_null(storage_find_area(bench->storage, "1000/app"));
	g_assert_nonnull(storage_find_area(bench->storage, "default"));
	bench_free(bench);
}

/* What one user fills is not the other's room. */
static void test_owners(void)
{
	struct bench *bench = bench_online("[Limits]\nAreasPerUser=2\nBytesPerUser=20\n");
	struct area *mine, *others, *none = NULL;
	const char *detail = NULL;
	struct reply *set;

	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	mine = take(bench, "1000/a");
	take(bench, "1000/b");
	g_assert_cmpint(storage_take_area(bench->storage, "1000/c", &none, &detail), ==,
			HF_QUOTA_EXCEEDED);
	g_assert_null(none);
	g_assert_nonnull(detail);
	others = take(bench, "1001/a");
	g_assert_cmpint(storage_take_area(bench->storage, "01/a", &none, &detail), ==,
			HF_INVALID_ARGS);

	set = bench_write_to(bench, mine, "k", "1234567890123456789");
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, HF_OK);
	set = bench_write_to(bench, mine, "l", "1");
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, HF_QUOTA_EXCEEDED);
	set = bench_write_to(bench, others, "l", "1");
	bench_disk(bench);
	g_assert_cmpint(set->error, ==, HF_OK);
	bench_free(bench);
}

/* Copies make way, oldest first; what is queued is nobody's to evict. */
static void test_growth(void)
{
	struct bench *bench = bench_online("[Storage]\nMaxBytes=20\n[Limits]\nBytesPerUser=40\n");
	struct reply *reply;

	for (int i = 0; i < 5; i++) {
		g_autofree char *key = g_strdup_printf("k%d", i);

		bench_set(bench, key, "12345678");
		bench_drain(bench, SEC);
	}
	g_assert_cmpuint(store_item_bytes(bench->store, 1), ==, 20);
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_restart(bench);	/* what the cache held is gone */
	g_assert_cmpint(bench_get(bench, "k2")->error, ==, HF_UNAVAILABLE);
	bench_is(bench_get(bench, "k3"), "12345678", "local");
	bench_is(bench_get(bench, "k4"), "12345678", "local");

	bench_set(bench, "a", "123456789");
	bench_set(bench, "b", "123456789");
	bench_set(bench, "c", "123456789");
	bench_set(bench, "d", "123456789");
	reply = bench_set(bench, "e", "1");
	bench_disk(bench);
	g_assert_cmpint(reply->error, ==, HF_QUOTA_EXCEEDED);
	g_assert_cmpuint(bench_queue_size(bench), ==, 4);
	bench_free(bench);
}

static void test_never_known_absent_is_not_stored(void)
{
	struct bench *bench = bench_online(NULL);

	for (int i = 0; i < 100; i++) {
		g_autofree char *key = g_strdup_printf("none%d", i);

		bench_wait(bench, bench_get(bench, key), SEC);
	}
	bench_restart(bench);
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	g_assert_cmpint(bench_get(bench, "none5")->error, ==, HF_UNAVAILABLE);
	bench_free(bench);
}

/* ---- the date ---- */

static void take_queued_at(void *data, const struct area_queue_row *row)
{
	*(uint64_t *)data = row->queued_at;
}

static uint64_t shown(struct bench *bench)
{
	uint64_t queued_at = 0;

	area_each_queued(bench->area, take_queued_at, &queued_at);
	return queued_at;
}

/* ListQueue shows the date as it is set now, and the same each time. */
static void test_queued_at_is_shown(void)
{
	struct bench *bench = bench_new(NULL);
	uint64_t before;

	bench->world->away = true;
	bench_start(bench);
	before = clock_realtime(bench->clock);
	bench_set(bench, "a", "1");
	bench_disk(bench);
	g_assert_cmpuint(shown(bench), ==, before);
	bench->stepped += 1;	/* two clocks are not read at one instant */
	g_assert_cmpuint(shown(bench), ==, before);
	bench->stepped -= 3;
	g_assert_cmpuint(shown(bench), ==, before);
	bench->stepped = 3600 * SEC;
	g_assert_cmpuint(shown(bench), ==, before + 3600 * SEC);
	bench->stepped -= 7200 * SEC;
	g_assert_cmpuint(shown(bench), ==, before - 3600 * SEC);
	bench->suspended += 100 * SEC;
	g_assert_cmpuint(shown(bench), ==, before - 3600 * SEC);
	bench_free(bench);
}

/* ---- many users ---- */

static int read_absent(struct bench *bench, struct area *area, const char *key)
{
	struct reply *reply = bench_get_from(bench, area, key, READER_ANY, USEC_INFINITY);

	bench_wait(bench, reply, SEC);
	return reply->error;
}

static void fill_cache(struct bench *bench, struct area *area)
{
	for (int i = 0; i < 100; i++) {
		g_autofree char *key = g_strdup_printf("k%d", i);

		g_assert_cmpint(read_absent(bench, area, key), ==, HF_NO_SUCH_ITEM);
	}
}

/* What is cached for one who went away makes room for those who are here. */
static void test_caches_together(void)
{
	struct bench *bench = bench_online("[Cache]\nMaxBytes=4K\nTTL=1h\n");
	struct area *away = bench_open_area(bench, "1000/a");
	struct area *busy = bench_open_area(bench, "1001/a");
	struct area *last = NULL;
	struct copies_counts counts;
	unsigned int gets;

	read_absent(bench, away, "absent");
	read_absent(bench, busy, "absent");
	for (int uid = 2000; uid < 2040; uid++) {
		g_autofree char *name = g_strdup_printf("%d/a", uid);

		last = bench_open_area(bench, name);
		fill_cache(bench, last);
		gets = bench->world->gets;
		read_absent(bench, busy, "absent");
		g_assert_cmpuint(bench->world->gets, ==, gets);
		copies_count(storage_engine(bench->storage)->copies, &counts);
		g_assert_cmpuint(counts.bytes, <=, 16 * 4096);
	}
	g_assert_cmpuint(counts.bytes, >, 14 * 4096);
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	g_assert_cmpint(read_absent(bench, away, "absent"), ==, HF_UNAVAILABLE);
	g_assert_cmpint(read_absent(bench, busy, "absent"), ==, HF_NO_SUCH_ITEM);
	g_assert_cmpint(read_absent(bench, last, "k99"), ==, HF_NO_SUCH_ITEM);
	bench_free(bench);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	g_test_add_func("/engine/stop/flushes", test_stop_flushes);
	g_test_add_func("/engine/stop/is-bounded", test_stop_is_bounded);
	g_test_add_func("/engine/stop/offline", test_stop_offline);
	g_test_add_func("/engine/stop/with-a-slow-disk", test_stop_with_a_slow_disk);
	g_test_add_func("/engine/stop/failing-disk", test_stop_with_a_failing_disk);
	g_test_add_func("/engine/local/all", test_local);
	g_test_add_func("/engine/local/quota", test_local_quota);
	g_test_add_func("/engine/local/drains", test_local_drains);
	g_test_add_func("/engine/areas/all", test_areas);
	g_test_add_func("/engine/areas/open-fails", test_open_fails);
	g_test_add_func("/engine/areas/take", test_take);
	g_test_add_func("/engine/areas/take-fails", test_take_fails);
	g_test_add_func("/engine/areas/take-then-stop", test_take_then_stop);
	g_test_add_func("/engine/areas/owners", test_owners);
	g_test_add_func("/engine/areas/growth", test_growth);
	g_test_add_func("/engine/areas/caches-together", test_caches_together);
	g_test_add_func("/engine/areas/absent", test_never_known_absent_is_not_stored);
	g_test_add_func("/engine/date", test_queued_at_is_shown);
	return g_test_run();
}
