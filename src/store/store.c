/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store joins two connections to one database: the writer's, used by the worker thread, and a
 * read-only one of the main loop. The reader never keeps a statement running between two calls, as
 * an open read would keep the log from being moved into the database.
 *
 * A job carries a transaction to the worker and back. What it changed of the sums that the main
 * loop reads comes back with it, so that the two threads share nothing but the job.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/db.h"
#include "store/place.h"
#include "store/recovery.h"
#include "store/store.h"
#include "store/writer.h"

enum read {
	READ_ITEM,
	READ_OUTCOME,
	READ_REJECTED_TOTAL,
	_READ_MAX,
};

/* The ones of every day; the others are compiled when they are asked. */
static const char *const read_sql[_READ_MAX] = {
	[READ_ITEM] = "SELECT revision,generation,stored_at,value FROM items WHERE area=? AND "
		      "key=?",
	[READ_OUTCOME] = "SELECT outcome FROM outcome WHERE area=?1 AND first<=?2 AND serial>=?2 "
			 "ORDER BY id DESC LIMIT 1",
	[READ_REJECTED_TOTAL] = "SELECT count(*),coalesce(sum(bytes),0) FROM rejected WHERE area=?",
};

struct store {
	struct worker *worker;
	struct writer *writer;
	struct clock *clock;
	sqlite3 *reader;
	sqlite3_stmt *reads[_READ_MAX];
	GHashTable *totals;	/* &total->area: struct writer_total, as of the last one told */
	uint64_t commit_time;
	int lock_fd;
	bool open, damaged;	/* damage is noted in the lock file */
	void (*found_damaged)(void);
};

struct job {
	struct store *store;
	struct store_tx *tx;
	GArray *totals;		/* struct writer_total */
	store_done_t done;
	void *data;
	uint64_t took;
};

/* ---- opening and closing ---- */

static void store_set_totals(struct store *store, const GArray *totals)
{
	for (guint i = 0; i < totals->len; i++) {
		struct writer_total *total =
			g_memdup2(&g_array_index(totals, struct writer_total, i), sizeof(*total));

		g_hash_table_replace(store->totals, &total->area, total);
	}
}

static int store_open_reader(struct store *store, const char *path)
{
	int r;

	r = db_open(path, SQLITE_OPEN_READONLY, &store->reader);
	if (r == 0)
		r = db_exec(store->reader, "PRAGMA cache_size=-512;PRAGMA temp_store=MEMORY");
	for (int i = 0; r == 0 && i < _READ_MAX; i++)
		r = db_prepare(store->reader, read_sql[i], &store->reads[i]);
	return r;
}

static int store_open_in(struct store *store, const char *path, struct store_recovery *recovery)
{
	g_autoptr(GArray) totals = NULL;
	sqlite3 *db = NULL;
	int r;

	r = place_lock(path, &store->lock_fd);
	if (r == 0)
		r = store_recover(path, place_get_mark(store->lock_fd),
				  clock_realtime(store->clock), &db, recovery);
	if (r < 0)
		return r;
	place_set_mark(store->lock_fd, PLACE_FINE);
	r = writer_new(db, &store->writer, &totals);
	if (r < 0)
		return r;
	store_set_totals(store, totals);
	r = store_open_reader(store, path);
	store->open = r == 0;
	return r;
}

int store_open(const char *path, struct worker *worker, struct store **ret_store,
	       struct store_recovery *ret_recovery)
{
	struct store_recovery recovery = { 0 };
	struct store *store = g_new0(struct store, 1);
	int r;

	store->worker = worker;
	store->lock_fd = -1;
	store->clock = clock_new_glib(NULL);
	store->totals = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	r = store_open_in(store, path, &recovery);
	if (r < 0) {
		store_close(store);
		store_recovery_deinit(&recovery);
		return r;
	}
	*ret_store = store;
	*ret_recovery = recovery;
	return 0;
}

struct store *store_close(struct store *store)
{
	if (!store)
		return NULL;

	if (store->open)
		worker_drain(store->worker);
	for (int i = 0; i < _READ_MAX; i++)
		sqlite3_finalize(store->reads[i]);
	/* The writer's connection must be the last: only that can move the log into the file. */
	db_close(store->reader);
	writer_free(store->writer);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	g_hash_table_unref(store->totals);
	clock_free(store->clock);
	g_free(store);
	return NULL;
}

/* The next start must not trust a check that finds nothing. */
static int store_note(struct store *store, int error)
{
	if (error == -EUCLEAN && !store->damaged) {
		store->damaged = true;
		place_set_mark(store->lock_fd, PLACE_DAMAGED);
		if (store->found_damaged)
			store->found_damaged();
	}
	return error;
}

void store_watch_damage(struct store *store, void (*found_damaged)(void))
{
	store->found_damaged = found_damaged;
}

bool store_is_damaged(const struct store *store)
{
	return store->damaged;
}

/* ---- writing ---- */

static int job_run(void *data)
{
	struct job *job = data;
	uint64_t begin = clock_monotonic(job->store->clock);
	int r;

	r = writer_apply(job->store->writer, job->tx, job->totals);
	job->took = usec_sub(clock_monotonic(job->store->clock), begin);
	return r;
}

static void job_done(void *data, int result)
{
	struct job *job = data;
	struct store *store = job->store;

	store_set_totals(store, job->totals);
	store->commit_time = job->took;
	store_note(store, result);
	job->done(job->data, result);
	store_tx_free(job->tx);
	g_array_unref(job->totals);
	g_free(job);
}

void store_drain(struct store *store)
{
	worker_drain(store->worker);
}

void store_submit(struct store *store, struct store_tx *tx, store_done_t done, void *data)
{
	struct job *job = g_new0(struct job, 1);

	job->store = store;
	job->tx = tx;
	job->totals = g_array_new(FALSE, FALSE, sizeof(struct writer_total));
	job->done = done;
	job->data = data;
	worker_submit(store->worker, job_run, job_done, job);
}

uint64_t store_commit_time(const struct store *store)
{
	return store->commit_time;
}

/* ---- reading ---- */

/*
 * A query with rows for a callback: its own statement each time, as the callback may ask again.
 * row_t - Return: 0 to go on.
 */
typedef int (*row_t)(sqlite3_stmt *row, void *closure);

static int store_each(struct store *store, sqlite3_stmt *stmt, row_t func, void *closure)
{
	int r;

	while ((r = db_step(stmt)) > 0) {
		r = func(stmt, closure);
		if (r != 0)
			break;
	}
	sqlite3_finalize(stmt);
	return store_note(store, r);
}

static int store_query(struct store *store, const char *sql, sqlite3_stmt **ret_stmt)
{
	return store_note(store, db_error(store->reader, sqlite3_prepare_v2(store->reader, sql, -1,
									    ret_stmt, NULL)));
}

/* An id of the file into the caller's array. */
static int read_id(sqlite3_stmt *row, int column, bool maybe_empty,
		   char ret_id[static UTIL_ID_SIZE])
{
	const char *id;

	if (db_text(row, column, &id) < 0 || !(util_id_valid(id) || (maybe_empty && !*id)))
		return -EUCLEAN;
	g_strlcpy(ret_id, id, UTIL_ID_SIZE);
	return 0;
}

static int row_state(sqlite3_stmt *row, void *closure)
{
	struct store_state *state = closure;
	int r;

	r = read_id(row, 0, true, state->client);
	if (r == 0)
		r = db_uint(row, 1, &state->batch_reserved);
	if (r == 0)
		r = db_uint(row, 2, &state->batch_high);
	if (r == 0)
		r = db_uint(row, 3, &state->generation);
	return r;
}

static int row_batch(sqlite3_stmt *row, void *closure)
{
	struct store_state *state = closure;
	int r;

	r = read_id(row, 1, false, state->batch_id);
	return r < 0 ? r : db_uint(row, 0, &state->batch_number);
}

int store_load_state(struct store *store, struct store_state *ret_state)
{
	struct store_state state = { 0 };
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT client,batch_reserved,batch_high,generation FROM meta",
			&stmt);
	if (r == 0)
		r = store_each(store, stmt, row_state, &state);
	if (r == 0)
		r = store_query(store, "SELECT number,id FROM batch", &stmt);
	if (r == 0)
		r = store_each(store, stmt, row_batch, &state);
	if (r < 0)
		return r;
	*ret_state = state;
	return 0;
}

struct area_closure {
	store_area_func_t func;
	void *data;
};

static int row_area(sqlite3_stmt *row, void *closure)
{
	struct area_closure *c = closure;
	const char *name;
	uint64_t reserved;

	if (db_text(row, 1, &name) < 0 || db_uint(row, 2, &reserved) < 0)
		return -EUCLEAN;
	return c->func(c->data, sqlite3_column_int64(row, 0), name, reserved);
}

int store_each_area(struct store *store, store_area_func_t func, void *data)
{
	struct area_closure closure = { func, data };
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT area,name,reserved FROM area ORDER BY area", &stmt);
	return r < 0 ? r : store_each(store, stmt, row_area, &closure);
}

struct entry_closure {
	store_entry_func_t func;
	void *data;
};

static int row_entry(sqlite3_stmt *row, void *closure)
{
	struct entry_closure *c = closure;
	struct store_entry entry = { .key = "" };
	uint64_t group_index;
	int r = 0;

	if (db_uint(row, 0, &entry.serial) < 0 || db_uint(row, 1, &entry.first) < 0 ||
	    db_uint(row, 2, &group_index) < 0 || db_uint(row, 4, &entry.queued_at) < 0)
		return -EUCLEAN;
	entry.group_index = (uint32_t)group_index;
	entry.remove = sqlite3_column_int64(row, 3) != 0;
	if (db_text(row, 5, &entry.key) < 0)
		entry.unclean = true;
	if (!entry.remove)
		r = db_text(row, 6, &entry.value);
	entry.unclean |= r < 0;
	return c->func(c->data, &entry);
}

int store_each_entry(struct store *store, int64_t area, store_entry_func_t func, void *data)
{
	struct entry_closure closure = { func, data };
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT serial,first,group_index,op,queued_at,key,value FROM outbox "
			"WHERE area=? ORDER BY serial", &stmt);
	if (r < 0)
		return r;
	db_bind(stmt, "i", area);
	return store_each(store, stmt, row_entry, &closure);
}

struct part_closure {
	store_part_func_t func;
	void *data;
};

static int row_part(sqlite3_stmt *row, void *closure)
{
	struct part_closure *c = closure;
	uint64_t upto;
	int r;

	r = db_uint(row, 1, &upto);
	return r < 0 ? r : c->func(c->data, sqlite3_column_int64(row, 0), upto);
}

int store_each_part(struct store *store, store_part_func_t func, void *data)
{
	struct part_closure closure = { func, data };
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT area,upto FROM batch_part ORDER BY pos", &stmt);
	return r < 0 ? r : store_each(store, stmt, row_part, &closure);
}

static int read_item(sqlite3_stmt *row, struct store_item *item)
{
	const char *value = NULL;
	int r;

	if (db_uint(row, 0, &item->revision) < 0 || db_uint(row, 1, &item->generation) < 0 ||
	    db_uint(row, 2, &item->stored_at) < 0)
		return -EUCLEAN;
	if (sqlite3_column_type(row, 3) != SQLITE_NULL) {
		r = db_text(row, 3, &value);
		if (r < 0)
			return r;
	}
	item->value = value ? g_strndup(value, (gsize)sqlite3_column_bytes(row, 3)) : NULL;
	return 1;
}

int store_get_item(struct store *store, int64_t area, const char *key, struct store_item *ret_item)
{
	sqlite3_stmt *stmt = store->reads[READ_ITEM];
	struct store_item item;
	int r;

	db_bind(stmt, "it", area, key);
	r = db_step(stmt);
	if (r > 0)
		r = read_item(stmt, &item);
	db_reset(stmt);
	if (r > 0)
		*ret_item = item;
	return store_note(store, r);
}

struct key_closure {
	store_key_func_t func;
	void *data;
};

/* An unreadable key is no key anyone can ask for. */
static int row_key(sqlite3_stmt *row, void *closure)
{
	struct key_closure *c = closure;
	const char *key;

	return db_text(row, 0, &key) < 0 ? 0 : c->func(c->data, key);
}

/*
 * All keys with a prefix, or all, sort before it with its last byte one up, or before 0xff: no UTF-8
 * has that byte. LIKE would take % and _ for wildcards and fold case.
 */
int store_each_key(struct store *store, int64_t area, const char *prefix, store_key_func_t func,
		   void *data)
{
	g_autofree char *end = g_strdup(*prefix ? prefix : "\xfe");
	struct key_closure closure = { func, data };
	sqlite3_stmt *stmt;
	int r;

	end[strlen(end) - 1]++;
	r = store_query(store, "SELECT key FROM items WHERE area=?1 AND key>=?2 AND key<?3 AND "
			"live=1 ORDER BY key", &stmt);
	if (r < 0)
		return r;
	db_bind(stmt, "itt", area, prefix, end);
	return store_each(store, stmt, row_key, &closure);
}

uint64_t store_item_bytes(struct store *store, int64_t area)
{
	const struct writer_total *total = g_hash_table_lookup(store->totals, &area);

	return total ? total->bytes : 0;
}

void store_count(struct store *store, int64_t area, uint64_t *ret_items, uint64_t *ret_rejected)
{
	const struct writer_total *total = g_hash_table_lookup(store->totals, &area);

	*ret_items = total ? total->items : 0;
	*ret_rejected = total ? total->rejected : 0;
}

struct rejected_closure {
	store_rejected_func_t func;
	void *data;
};

static int row_rejected(sqlite3_stmt *row, void *closure)
{
	struct rejected_closure *c = closure;
	struct store_rejected rejected = { 0 };

	rejected.remove = sqlite3_column_int64(row, 2) != 0;
	if (db_uint(row, 0, &rejected.serial) < 0 || db_uint(row, 1, &rejected.first) < 0 ||
	    db_uint(row, 3, &rejected.rejected_at) < 0 || db_uint(row, 4, &rejected.bytes) < 0 ||
	    db_text(row, 5, &rejected.key) < 0 || db_text(row, 6, &rejected.error) < 0 ||
	    db_text(row, 7, &rejected.message) < 0)
		return -EUCLEAN;
	if (sqlite3_column_count(row) > 8 && !rejected.remove &&
	    db_text(row, 8, &rejected.value) < 0)
		return -EUCLEAN;
	return c->func(c->data, &rejected);
}

int store_each_rejected(struct store *store, int64_t area, store_rejected_func_t func, void *data)
{
	struct rejected_closure closure = { func, data };
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT serial,first,op,rejected_at,bytes,key,error,message FROM "
			"rejected WHERE area=? ORDER BY serial", &stmt);
	if (r < 0)
		return r;
	db_bind(stmt, "i", area);
	return store_each(store, stmt, row_rejected, &closure);
}

int store_get_rejected(struct store *store, int64_t area, uint64_t serial,
		       store_rejected_func_t func, void *data)
{
	struct rejected_closure closure = { func, data };
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT serial,first,op,rejected_at,bytes,key,error,message,value FROM "
			"rejected WHERE area=? AND serial=?", &stmt);
	if (r < 0)
		return r;
	db_bind(stmt, "ii", area, (int64_t)serial);
	r = db_step(stmt);
	if (r > 0) {
		r = row_rejected(stmt, &closure);
		r = r < 0 ? r : 1;
	}
	sqlite3_finalize(stmt);
	return store_note(store, r);
}

int store_rejected_total(struct store *store, int64_t area, unsigned int *ret_rows,
			 uint64_t *ret_bytes)
{
	sqlite3_stmt *stmt = store->reads[READ_REJECTED_TOTAL];
	int r;

	db_bind(stmt, "i", area);
	r = db_step(stmt);
	if (r > 0) {
		*ret_rows = (unsigned int)sqlite3_column_int64(stmt, 0);
		*ret_bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
	}
	db_reset(stmt);
	return store_note(store, MIN(r, 0));
}

int store_find_outcome(struct store *store, int64_t area, uint64_t serial)
{
	sqlite3_stmt *stmt = store->reads[READ_OUTCOME];
	int r;

	db_bind(stmt, "ii", area, (int64_t)serial);
	r = db_step(stmt);
	if (r > 0)
		r = sqlite3_column_int(stmt, 0);
	db_reset(stmt);
	return store_note(store, r);
}

int store_get_epoch(struct store *store, const char *epoch, const char *client, uint64_t *ret_acked,
		    uint64_t *ret_revision)
{
	uint64_t acked = 0, revision = 0;
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT coalesce(sum(acked)FILTER(WHERE client=?2),0),"
			"coalesce(max(revision),0)FROM epoch WHERE epoch=?1", &stmt);
	if (r < 0)
		return r;
	db_bind(stmt, "tt", epoch, client);
	r = db_step(stmt);
	if (r > 0)
		r = db_uint(stmt, 0, &acked);
	if (r == 0)
		r = db_uint(stmt, 1, &revision);
	sqlite3_finalize(stmt);
	if (r < 0)
		return store_note(store, r);
	*ret_acked = acked;
	*ret_revision = revision;
	return 0;
}

int store_get_last_epoch(struct store *store, char ret_epoch[static UTIL_ID_SIZE])
{
	sqlite3_stmt *stmt;
	int r;

	r = store_query(store, "SELECT epoch FROM meta WHERE epoch<>''", &stmt);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r > 0)
		r = read_id(stmt, 0, false, ret_epoch) < 0 ? -EUCLEAN : 1;
	sqlite3_finalize(stmt);
	return store_note(store, r);
}
