/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A whole engine on a bench; see engine-bench.h. The calls are in engine-call.c. */

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "engine-bench.h"
#include "engine/area-inner.h"

#define TURNS_MAX 200000 /* of the loop at one instant: more is a loop without end */

static uint64_t bench_now(void *data, int clock_id)
{
	const struct bench *bench = data;

	if (clock_id == CLOCK_REALTIME)
		return UINT64_C(1700000000000000) + bench->now + bench->suspended +
		       bench->stepped;
	return clock_id == CLOCK_BOOTTIME ? bench->now + bench->suspended : bench->now;
}

static void bench_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

struct bench *bench_new(const char *config)
{
	static const struct clock_ops ops = { .now = bench_now, .set_alarm = bench_alarm };
	struct bench *bench = g_new0(struct bench, 1);
	char *dir = g_strdup("/dev/shm/holdfast-XXXXXX");

	if (!g_mkdtemp(dir)) {
		g_free(dir);
		dir = g_dir_make_tmp("holdfast-XXXXXX", NULL);
	}
	g_assert_nonnull(dir);
	log_set_max_level(LOG_CRIT);
	bench->dir = dir;
	bench->path = g_build_filename(dir, "store.db", NULL);
	bench->now = 1000 * SEC;
	bench->clock = clock_new(&ops, bench);
	bench->rand = g_rand_new_with_seed(g_test_initialized() ? (guint32)g_test_rand_int() : 1);
	bench->world = fake_world_new(bench->clock);
	bench->make_parent = fake_make;
	bench->events = g_string_new(NULL);
	bench->replies = g_ptr_array_new();
	config_init(&bench->config);
	if (config)
		config_load_text(&bench->config, "test", config, strlen(config), NULL, NULL);
	return bench;
}

static void reply_free(struct reply *reply)
{
	g_free(reply->detail);
	g_free(reply->value);
	g_free(reply->source);
	g_strfreev(reply->keys);
	g_strfreev(reply->values);
	g_free(reply->key);
	g_free(reply->given);
	g_free(reply);
}

void bench_sweep(struct bench *bench)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < bench->replies->len; i++) {
		struct reply *reply = bench->replies->pdata[i];

		if (reply->done)
			reply_free(reply);
		else
			bench->replies->pdata[kept++] = reply;
	}
	g_ptr_array_set_size(bench->replies, (int)kept);
}

static void bench_remove_files(struct bench *bench)
{
	GDir *dir = g_dir_open(bench->dir, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(bench->dir, name, NULL);

		g_remove(path);
	}
	g_dir_close(dir);
	g_rmdir(bench->dir);
}

struct bench *bench_free(struct bench *bench)
{
	bench->disk_error = 0;
	bench->held = false;
	if (bench->storage)
		bench_stop(bench);
	for (unsigned int i = 0; i < bench->replies->len; i++)
		reply_free(bench->replies->pdata[i]);
	g_ptr_array_unref(bench->replies);
	fake_world_free(bench->world);
	g_assert_cmpuint(clock_next(bench->clock), ==, USEC_INFINITY);
	clock_free(bench->clock);
	config_deinit(&bench->config);
	g_rand_free(bench->rand);
	g_string_free(bench->events, TRUE);
	bench_remove_files(bench);
	g_free(bench->dir);
	g_free(bench->path);
	g_free(bench);
	return NULL;
}

/* ---- events ---- */

static void bench_event(void *data, struct area *area, const struct area_event *event)
{
	struct bench *bench = data;

	if (area != bench->area)
		return;
	switch (event->type) {
	case AREA_ITEM_CHANGED:
		g_string_append_printf(bench->events, "changed %s %s;", event->key,
				       event->local ? "local" : "parent");
		break;
	case AREA_ITEM_REJECTED:
		g_string_append_printf(bench->events, "rejected %" G_GUINT64_FORMAT " %s %s;",
				       event->serial, event->key, event->error);
		break;
	case AREA_ITEM_DROPPED:
		g_string_append_printf(bench->events, "dropped %" G_GUINT64_FORMAT " %s;",
				       event->serial, event->key);
		break;
	case AREA_QUEUE_CHANGED:
		bench->queue_events++;
		break;
	case AREA_QUOTA_REACHED:
		break;
	}
}

char *bench_take_events(struct bench *bench)
{
	char *events = g_strdup(bench->events->str);

	g_string_truncate(bench->events, 0);
	return events;
}

/* ---- life ---- */

void bench_open(struct bench *bench)
{
	struct storage_params params = {
		.clock = bench->clock,
		.config = &bench->config,
		.rand = bench->rand,
		.make_parent = bench->make_parent,
		.default_address = "unix:/nowhere",
		.default_area = "default",
	};

	bench->worker = worker_new_manual();
	g_assert_cmpint(store_open(bench->path, bench->worker, &bench->store, &bench->recovery),
			==, 0);
	params.store = bench->store;
	params.salvaged = bench->recovery.salvaged;
	g_assert_cmpint(storage_new(&params, &bench->storage), ==, 0);
	bench->area = storage_find_area(bench->storage, "default");
	g_assert_nonnull(bench->area);
	storage_add_watch(bench->storage, bench_event, bench);
	bench->stopped = false;
}

void bench_start(struct bench *bench)
{
	bench_open(bench);
	storage_start(bench->storage);
	bench_run(bench, 100 * MSEC);
}

static void bench_stopped(void *data)
{
	((struct bench *)data)->stopped = true;
}

static void bench_close(struct bench *bench)
{
	bench->storage = storage_free(bench->storage);
	bench->area = NULL;
	bench->store = store_close(bench->store);
	bench->worker = worker_free(bench->worker);
	store_recovery_deinit(&bench->recovery);
}

uint64_t bench_stop(struct bench *bench)
{
	uint64_t from = bench->now;

	storage_stop(bench->storage, bench_stopped, bench);
	for (unsigned int i = 0; !bench->stopped && i < 100; i++)
		bench_run(bench, 100 * MSEC);
	g_assert_true(bench->stopped);
	for (unsigned int i = 0; i < bench->replies->len; i++)
		g_assert_true(((struct reply *)bench->replies->pdata[i])->done);
	bench_close(bench);
	return bench->now - from;
}

static void copy_file(const char *path, const char *suffix, const char *to)
{
	g_autofree char *from = g_strconcat(path, suffix, NULL);
	g_autofree char *copy = g_strconcat(to, suffix, NULL);
	g_autofree char *content = NULL;
	size_t len;

	g_remove(copy);
	if (g_file_get_contents(from, &content, &len, NULL))
		g_assert_true(g_file_set_contents_full(copy, content, (gssize)len,
						       G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

/*
 * The files are copied as they are; what then runs on, to give its memory back, is a ghost: the
 * line is cut, the parent deaf, and the disk, which is not the one that is looked at again, refuses
 * everything.
 */
void bench_crash(struct bench *bench)
{
	g_autofree char *saved = g_strconcat(bench->path, "-saved", NULL);
	uint64_t now = bench->now;

	copy_file(bench->path, "", saved);
	copy_file(bench->path, "-wal", saved);
	bench->world->dead = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	storage_stop(bench->storage, bench_stopped, bench);
	for (unsigned int i = 0; !bench->stopped && i < 1000; i++) {
		while (worker_step(bench->worker, -EIO))
			;
		bench->now = MAX(bench->now, MIN(clock_next(bench->clock), bench->now + SEC));
		clock_dispatch(bench->clock);
	}
	g_assert_true(bench->stopped);
	bench_close(bench);
	copy_file(saved, "", bench->path);
	copy_file(saved, "-wal", bench->path);
	bench->world->dead = false;
	g_assert_cmpuint(bench->now, <=, now + SEC);
}

void bench_restart(struct bench *bench)
{
	bench_crash(bench);
	bench_start(bench);
}

void bench_set_config(struct bench *bench, const char *text)
{
	config_load_text(&bench->config, "test", text, strlen(text), NULL, NULL);
	g_assert_cmpint(storage_reconfigured(bench->storage), ==, 0);
}

/* ---- time ---- */

bool bench_step(struct bench *bench, int error)
{
	bool did = bench->worker && worker_step(bench->worker, error);

	bench->commits += did;
	return did;
}

void bench_disk(struct bench *bench)
{
	unsigned int turns = 0;

	while (bench_step(bench, bench->disk_error))
		g_assert_cmpuint(++turns, <, TURNS_MAX);
}

/* One turn of the loop: to the next deadline, but not past @until. */
static bool bench_turn(struct bench *bench, uint64_t until)
{
	uint64_t next;

	if (!bench->held)
		bench_disk(bench);
	if (bench->turn && bench->turn(bench))
		return true;
	next = clock_next(bench->clock);
	if (next > until)
		return false;
	bench->now = MAX(bench->now, next);
	clock_dispatch(bench->clock);
	return true;
}

void bench_run(struct bench *bench, uint64_t usec)
{
	uint64_t until = bench->now + usec, was = bench->now;
	unsigned int turns = 0;

	while (bench_turn(bench, until)) {
		turns = bench->now == was ? turns + 1 : 0;
		was = bench->now;
		g_assert_cmpuint(turns, <, TURNS_MAX);
	}
	bench->now = until;
}

uint64_t bench_wait(struct bench *bench, struct reply *reply, uint64_t at_most)
{
	uint64_t until = bench->now + at_most;

	while (!reply->done && bench_turn(bench, until))
		;
	if (!reply->done)
		bench->now = until;
	g_assert_true(reply->done);
	return reply->done_at - reply->asked_at;
}

uint64_t bench_drain(struct bench *bench, uint64_t at_most)
{
	uint64_t from = bench->now, until = from + at_most;

	bench_disk(bench); /* what was just written is to be queued first */
	while (area_queue_size(bench->area) > 0 && bench_turn(bench, until))
		;
	g_assert_cmpuint(area_queue_size(bench->area), ==, 0);
	return bench->now - from;
}

/* ---- looking ---- */

const char *bench_queue(struct bench *bench)
{
	static GString *text;
	const struct outbox_entry *entry;

	if (!text)
		text = g_string_new(NULL);
	g_string_truncate(text, 0);
	for (entry = outbox_first(area_outbox(bench->area)); entry; entry = outbox_next(entry))
		g_string_append_printf(text, "%s%" G_GUINT64_FORMAT ":%s%s%s", text->len ? " " : "",
				       entry->serial, outbox_entry_key(entry),
				       entry->op == OUTBOX_SET ? "=" : "",
				       entry->op == OUTBOX_SET ? outbox_entry_value(entry) : "");
	return text->str;
}

static int add_rejected(void *data, const struct store_rejected *row)
{
	GString *text = data;

	g_string_append_printf(text, "%s%" G_GUINT64_FORMAT, text->len ? " " : "", row->serial);
	return 0;
}

const char *bench_rejected(struct bench *bench)
{
	static GString *text;

	if (!text)
		text = g_string_new(NULL);
	g_string_truncate(text, 0);
	g_assert_cmpint(area_each_rejected(bench->area, add_rejected, text), ==, 0);
	return text->str;
}

unsigned int bench_queue_size(struct bench *bench)
{
	return area_queue_size(bench->area);
}

static int count_row(void *data, const struct store_entry *entry)
{
	(void)entry;
	++*(unsigned int *)data;
	return 0;
}

unsigned int bench_disk_rows(struct bench *bench)
{
	unsigned int rows = 0;

	g_assert_cmpint(store_each_entry(bench->store, area_id(bench->area), count_row, &rows),
			==, 0);
	return rows;
}
