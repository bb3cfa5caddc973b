/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The calls of a bench's clients, and their answers; see engine-bench.h. */

#include <string.h>

#include "engine-bench.h"
#include "engine/direct.h"
#include "engine/reader.h"

static struct reply *reply_new(struct bench *bench, const char *key, const char *given)
{
	struct reply *reply = g_new0(struct reply, 1);

	reply->bench = bench;
	reply->asked_at = bench->now;
	reply->key = g_strdup(key);
	reply->given = g_strdup(given);
	g_ptr_array_add(bench->replies, reply);
	return reply;
}

static void reply_end(struct reply *reply, int error, const char *detail)
{
	g_assert_false(reply->done);
	reply->done = true;
	reply->done_at = reply->bench->now;
	reply->error = error;
	reply->detail = g_strdup(detail);
}

static void reply_wrote(void *data, int error, const char *detail, uint64_t serial)
{
	struct reply *reply = data;

	reply->serial = serial;
	reply_end(reply, error, detail);
}

static void reply_done(void *data, int error, const char *detail)
{
	reply_end(data, error, detail);
}

static void reply_take_item(struct reply *reply, const struct reader_item *item)
{
	reply->value = g_strdup(item->value);
	reply->source = g_strdup(item->source);
	reply->stale = item->stale;
	reply->pending = item->pending;
	reply->revision = item->revision;
	reply->age = item->age;
}

static void reply_got(void *data, int error, const char *detail, const struct reader_item *item)
{
	struct reply *reply = data;

	g_assert_true(!error == !!item);
	if (item)
		reply_take_item(reply, item);
	reply_end(reply, error, detail);
}

static void reply_got_many(void *data, int error, const char *detail, GPtrArray *keys,
			   GPtrArray *values)
{
	struct reply *reply = data;

	if (!error) {
		g_assert_cmpuint(keys->len, ==, values->len);
		reply->values = g_new0(char *, 2 * keys->len + 1);
	}
	for (unsigned int i = 0; !error && i < keys->len; i++) {
		reply->values[2 * i] = g_strdup(keys->pdata[i]);
		reply->values[2 * i + 1] = g_strdup(values->pdata[i]);
	}
	reply_end(reply, error, detail);
}

static void reply_direct_got(void *data, int error, const char *detail, const char *value)
{
	struct reply *reply = data;

	reply->value = g_strdup(value);
	reply_end(reply, error, detail);
}

/* ---- writes ---- */

struct reply *bench_write_to(struct bench *bench, struct area *area, const char *key,
			     const char *value)
{
	struct reply *reply = reply_new(bench, key, value);
	const struct outbox_write write = {
		.op = value ? OUTBOX_SET : OUTBOX_REMOVE,
		.key = reply->key,
		.value = reply->given,
	};

	area_write(area, &write, 1, false, reply_wrote, reply);
	return reply;
}

struct reply *bench_set(struct bench *bench, const char *key, const char *value)
{
	return bench_write_to(bench, bench->area, key, value);
}

struct reply *bench_remove(struct bench *bench, const char *key)
{
	return bench_write_to(bench, bench->area, key, NULL);
}

struct reply *bench_group_to(struct bench *bench, struct area *area, const char *items)
{
	struct reply *reply = reply_new(bench, NULL, items);
	g_autofree struct outbox_write *writes = NULL;
	unsigned int n;

	reply->keys = g_strsplit(items, " ", -1);
	n = g_strv_length(reply->keys);
	writes = g_new0(struct outbox_write, n + 1);
	for (unsigned int i = 0; i < n; i++) {
		char *equal = strchr(reply->keys[i], '=');

		*equal = '\0';
		writes[i].op = OUTBOX_SET;
		writes[i].key = reply->keys[i];
		writes[i].value = equal + 1;
	}
	area_write(area, writes, n, true, reply_wrote, reply);
	return reply;
}

struct reply *bench_group(struct bench *bench, const char *items)
{
	return bench_group_to(bench, bench->area, items);
}

struct reply *bench_retry(struct bench *bench, uint64_t serial)
{
	struct reply *reply = reply_new(bench, NULL, NULL);

	area_retry_rejected(bench->area, serial, reply_wrote, reply);
	return reply;
}

struct reply *bench_forget(struct bench *bench, uint64_t serial)
{
	struct reply *reply = reply_new(bench, NULL, NULL);

	area_drop_rejected(bench->area, serial, reply_done, reply);
	return reply;
}

/* ---- reads ---- */

struct reply *bench_get_from(struct bench *bench, struct area *area, const char *key,
			     enum reader_source source, uint64_t timeout)
{
	struct reply *reply = reply_new(bench, key, NULL);
	const struct reader_options options = { .source = source, .timeout = timeout };

	reader_get(area, reply->key, &options, reply_got, reply);
	return reply;
}

struct reply *bench_get_full(struct bench *bench, const char *key, enum reader_source source,
			     uint64_t timeout)
{
	return bench_get_from(bench, bench->area, key, source, timeout);
}

struct reply *bench_get(struct bench *bench, const char *key)
{
	struct reply *reply = reply_new(bench, key, NULL);

	reader_get(bench->area, reply->key, NULL, reply_got, reply);
	return reply;
}

struct reply *bench_get_many(struct bench *bench, const char *keys)
{
	struct reply *reply = reply_new(bench, NULL, NULL);

	reply->keys = g_strsplit(keys, " ", -1);
	reader_get_many(bench->area, (const char *const *)reply->keys, reply_got_many, reply);
	return reply;
}

void bench_is(const struct reply *reply, const char *value, const char *source)
{
	g_assert_true(reply->done);
	g_assert_cmpint(reply->error, ==, HF_OK);
	g_assert_cmpstr(reply->value, ==, value);
	g_assert_cmpstr(reply->source, ==, source);
}

/* ---- waits ---- */

struct reply *bench_await_in(struct bench *bench, struct area *area, uint64_t serial,
			     uint64_t timeout)
{
	struct reply *reply = reply_new(bench, NULL, NULL);

	reply->wait = area_await(area, serial, timeout, reply_done, reply);
	g_assert_true(!reply->wait == reply->done);
	return reply;
}

struct reply *bench_await(struct bench *bench, uint64_t serial, uint64_t timeout)
{
	return bench_await_in(bench, bench->area, serial, timeout);
}

struct reply *bench_flush(struct bench *bench, uint64_t timeout)
{
	struct reply *reply = reply_new(bench, NULL, NULL);

	reply->wait = area_flush(bench->area, timeout, reply_done, reply);
	g_assert_true(!reply->wait == reply->done);
	return reply;
}

/* ---- direct ---- */

struct reply *bench_direct_get(struct bench *bench, const char *key)
{
	struct reply *reply = reply_new(bench, key, NULL);

	direct_get(bench->area, reply->key, reply_direct_got, reply);
	return reply;
}

struct reply *bench_direct_set(struct bench *bench, const char *key, const char *value)
{
	struct reply *reply = reply_new(bench, key, value);

	direct_write(bench->area, reply->key, reply->given, reply_done, reply);
	return reply;
}

/* ---- areas ---- */

struct opened {
	bool done;
	struct area *area;
};

static void area_opened(void *data, int error, const char *detail, struct area *area)
{
	struct opened *opened = data;

	(void)detail;
	g_assert_cmpint(error, ==, HF_OK);
	opened->done = true;
	opened->area = area;
}

struct area *bench_open_area(struct bench *bench, const char *name)
{
	struct opened opened = { 0 };

	storage_open_area(bench->storage, name, area_opened, &opened);
	bench_disk(bench);
	g_assert_true(opened.done);
	return opened.area;
}
