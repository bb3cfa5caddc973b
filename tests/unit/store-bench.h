/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A store in a directory of its own, its worker stepped by hand, and a text of all that can be read
 * of it, so that two states are compared as one string. Included by each store test once.
 */

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/worker.h"
#include "core/outbox.h"
#include "store/store.h"

#define BENCH_KEYS 24	 /* "k00" … that a dump asks for, as tombstones are not listed */
#define BENCH_SERIALS 24 /* serials whose outcome a dump asks for */

struct bench {
	char *dir, *path;
	struct worker *worker;
	struct store *store;
	struct store_recovery recovery;
};

static const char bench_client[] = "0123456789abcdef0123456789abcdef";
static const char bench_epochs[3][UTIL_ID_SIZE] = {
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	"cccccccccccccccccccccccccccccccc",
};

G_GNUC_UNUSED static void bench_init(struct bench *bench)
{
	char *dir = g_strdup("/dev/shm/holdfast-XXXXXX");

	*bench = (struct bench){ 0 };
	if (!g_mkdtemp(dir)) {
		g_free(dir);
		dir = g_dir_make_tmp("holdfast-XXXXXX", NULL);
	}
	g_assert_nonnull(dir);
	bench->dir = dir;
	bench->path = g_build_filename(dir, "store.db", NULL);
}

G_GNUC_UNUSED static int bench_try_open(struct bench *bench)
{
	int r;

	bench->worker = worker_new_manual();
	r = store_open(bench->path, bench->worker, &bench->store, &bench->recovery);
	if (r < 0)
		bench->worker = worker_free(bench->worker);
	return r;
}

G_GNUC_UNUSED static void bench_open(struct bench *bench)
{
	g_assert_cmpint(bench_try_open(bench), ==, 0);
}

G_GNUC_UNUSED static void bench_close(struct bench *bench)
{
	bench->store = store_close(bench->store);
	bench->worker = worker_free(bench->worker);
	store_recovery_deinit(&bench->recovery);
}

/* Whether it went through a salvage when it was last opened. */
G_GNUC_UNUSED static bool bench_reopen(struct bench *bench)
{
	if (bench->store)
		bench_close(bench);
	bench_open(bench);
	return bench->recovery.salvaged;
}

G_GNUC_UNUSED static void bench_remove_files(struct bench *bench)
{
	GDir *dir = g_dir_open(bench->dir, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(bench->dir, name, NULL);

		g_remove(path);
	}
	g_dir_close(dir);
}

G_GNUC_UNUSED static void bench_deinit(struct bench *bench)
{
	if (bench->store)
		bench_close(bench);
	bench_remove_files(bench);
	g_rmdir(bench->dir);
	g_free(bench->dir);
	g_free(bench->path);
}

static void bench_told(void *data, int result)
{
	*(int *)data = result;
}

/* @inject: as worker_step() has it */
G_GNUC_UNUSED static int bench_commit_with(struct bench *bench, struct store_tx *tx, int inject)
{
	int result = 1;

	store_submit(bench->store, tx, bench_told, &result);
	g_assert_cmpint(result, ==, 1);
	g_assert_true(worker_step(bench->worker, inject));
	g_assert_cmpint(result, <=, 0);
	return result;
}

G_GNUC_UNUSED static int bench_commit(struct bench *bench, struct store_tx *tx)
{
	return bench_commit_with(bench, tx, 0);
}

/* @value NULL: a remove */
G_GNUC_UNUSED static struct outbox_entry *bench_entry(uint64_t serial, uint64_t first,
						      uint32_t group_index, const char *key,
						      const char *value)
{
	size_t key_len = strlen(key), value_len = value ? strlen(value) : 0;
	struct outbox_entry *entry = g_malloc0(sizeof(*entry) + key_len + value_len + 2);

	entry->serial = serial;
	entry->back = (uint32_t)(serial - first);
	entry->group_index = group_index;
	entry->op = value ? OUTBOX_SET : OUTBOX_REMOVE;
	entry->queued_at = 1000 + serial;
	entry->key_len = (uint16_t)key_len;
	entry->value_len = (uint32_t)value_len;
	memcpy(entry->data, key, key_len + 1);
	memcpy(entry->data + key_len + 1, value ? value : "", value_len + 1);
	return entry;
}

/* ---- everything that can be read, as text ---- */

/* Long values by their beginning and length. */
G_GNUC_UNUSED static const char *bench_show(const char *value)
{
	static char text[64];

	if (value)
		g_snprintf(text, sizeof(text), "\"%.30s\" (%zu)", value, strlen(value));
	return value ? text : "none";
}

/* Assert that two dumps are the same, else show the first line that differs. */
G_GNUC_UNUSED static void bench_compare(const char *got, const char *want)
{
	size_t begin = 0, i = 0;

	for (; got[i] && got[i] == want[i]; i++)
		if (got[i] == '\n')
			begin = i + 1;
	if (got[i] == want[i])
		return;
	g_test_message("got  %.*s", (int)strcspn(got + begin, "\n"), got + begin);
	g_test_message("want %.*s", (int)strcspn(want + begin, "\n"), want + begin);
	g_assert_not_reached();
}

struct dump {
	GString *text;
	struct store *store;
	int64_t area;
};

static int dump_entry(void *data, const struct store_entry *e)
{
	struct dump *dump = data;

	g_assert_false(e->unclean);
	g_assert_true(e->remove == !e->value);
	g_string_append_printf(dump->text, " entry %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
			       " group %u at %" G_GUINT64_FORMAT " %s=%s\n", e->serial, e->first,
			       e->group_index, e->queued_at, e->key, bench_show(e->value));
	return 0;
}

static int dump_rejected_value(void *data, const struct store_rejected *row)
{
	g_string_append_printf(((struct dump *)data)->text, "=%s\n", bench_show(row->value));
	return 0;
}

static int dump_rejected(void *data, const struct store_rejected *row)
{
	struct dump *dump = data;

	g_assert_null(row->value);
	g_string_append_printf(dump->text, " rejected %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
			       " %s %s at %" G_GUINT64_FORMAT " %s", row->serial, row->first,
			       row->error, row->message, row->rejected_at, row->key);
	g_assert_cmpint(store_get_rejected(dump->store, dump->area, row->serial,
					   dump_rejected_value, dump), ==, 1);
	return 0;
}

static int dump_key(void *data, const char *key)
{
	g_string_append_printf(((struct dump *)data)->text, " key %s\n", key);
	return 0;
}

static void dump_items(struct dump *dump)
{
	uint64_t items, rejected;
	unsigned int rows;
	uint64_t bytes;

	store_count(dump->store, dump->area, &items, &rejected);
	g_assert_cmpint(store_rejected_total(dump->store, dump->area, &rows, &bytes), ==, 0);
	g_assert_cmpuint(rejected, ==, rows);
	g_string_append_printf(dump->text, " items %" G_GUINT64_FORMAT " bytes %" G_GUINT64_FORMAT "\n",
			       items, store_item_bytes(dump->store, dump->area));
	for (int i = 0; i < BENCH_KEYS; i++) {
		g_autofree char *key = g_strdup_printf("k%02d", i);
		struct store_item item;
		int r = store_get_item(dump->store, dump->area, key, &item);

		g_assert_cmpint(r, >=, 0);
		if (r == 0)
			continue;
		g_string_append_printf(dump->text, " item %s=%s r%" G_GUINT64_FORMAT " g%"
				       G_GUINT64_FORMAT " at %" G_GUINT64_FORMAT "\n", key,
				       bench_show(item.value), item.revision,
				       item.generation, item.stored_at);
		g_free(item.value);
	}
	g_assert_cmpint(store_each_key(dump->store, dump->area, "", dump_key, dump), ==, 0);
}

static int dump_area(void *data, int64_t area, const char *name, uint64_t reserved)
{
	struct dump *dump = data;
	unsigned int rows;
	uint64_t bytes;

	dump->area = area;
	g_string_append_printf(dump->text, "area %" G_GINT64_FORMAT " %s %" G_GUINT64_FORMAT "\n",
			       area, name, reserved);
	g_assert_cmpint(store_each_entry(dump->store, area, dump_entry, dump), ==, 0);
	dump_items(dump);
	g_assert_cmpint(store_rejected_total(dump->store, area, &rows, &bytes), ==, 0);
	g_string_append_printf(dump->text, " rejected %u, %" G_GUINT64_FORMAT "\n", rows, bytes);
	g_assert_cmpint(store_each_rejected(dump->store, area, dump_rejected, dump), ==, 0);
	for (uint64_t serial = 1; serial <= BENCH_SERIALS; serial++) {
		int outcome = store_find_outcome(dump->store, area, serial);

		g_assert_cmpint(outcome, >=, 0);
		if (outcome != STORE_OUTCOME_NONE)
			g_string_append_printf(dump->text, " outcome %" G_GUINT64_FORMAT " %d\n",
					       serial, outcome);
	}
	return 0;
}

static int dump_part(void *data, int64_t area, uint64_t upto)
{
	g_string_append_printf(((struct dump *)data)->text, "part %" G_GINT64_FORMAT " %"
			       G_GUINT64_FORMAT "\n", area, upto);
	return 0;
}

static void dump_epochs(struct dump *dump)
{
	char last[UTIL_ID_SIZE] = "";

	g_assert_cmpint(store_get_last_epoch(dump->store, last), >=, 0);
	g_string_append_printf(dump->text, "last epoch %s\n", last);
	for (int i = 0; i < 3; i++) {
		uint64_t acked, revision;

		g_assert_cmpint(store_get_epoch(dump->store, bench_epochs[i], bench_client, &acked,
						&revision), ==, 0);
		g_string_append_printf(dump->text, "epoch %d %" G_GUINT64_FORMAT " %"
				       G_GUINT64_FORMAT "\n", i, acked, revision);
	}
}

G_GNUC_UNUSED static char *bench_dump(struct bench *bench)
{
	struct dump dump = { .text = g_string_new(NULL), .store = bench->store };
	struct store_state state;

	g_assert_cmpint(store_load_state(bench->store, &state), ==, 0);
	g_string_append_printf(dump.text, "client %s reserved %" G_GUINT64_FORMAT " high %"
			       G_GUINT64_FORMAT " generation %" G_GUINT64_FORMAT " batch %"
			       G_GUINT64_FORMAT " %s\n", state.client, state.batch_reserved,
			       state.batch_high, state.generation, state.batch_number,
			       state.batch_id);
	g_assert_cmpint(store_each_part(bench->store, dump_part, &dump), ==, 0);
	g_assert_cmpint(store_each_area(bench->store, dump_area, &dump), ==, 0);
	dump_epochs(&dump);
	return g_string_free(dump.text, FALSE);
}
