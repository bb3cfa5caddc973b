/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Durability is per transaction: PRAGMA synchronous=FULL syncs the log at the commit, NORMAL only
 * before a checkpoint. Both append to one log, so order is kept whatever is mixed.
 *
 * Sums that must not be computed per transaction (bytes of an area's items) are held here for what
 * is committed, and in `totals` for the transaction under way; only a commit joins them.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "core/limits.h"
#include "core/outbox.h"
#include "store/db.h"
#include "store/store-tx.h"
#include "store/writer.h"

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	CLIENT,
	GENERATION,
	RESERVE_BATCHES,
	LAST_EPOCH,
	EPOCH_REVISION,
	EPOCH_ACKED,
	EPOCH_INSERT,
	EPOCH_PRUNE,
	ADD_AREA,
	RESERVE_SERIALS,
	PUT_ENTRY,
	DELETE_ENTRY,
	TRIM,
	BATCH_CLEAR,
	PART_CLEAR,
	BATCH_INSERT,
	BATCH_HIGH,
	PART_INSERT,
	ITEM_FIND,
	ITEM_INSERT,
	ITEM_UPDATE,
	ITEM_REVIVE,
	ITEM_DELETE,
	ITEM_OLDEST,
	PUT_REJECTED,
	DELETE_REJECTED,
	PUT_OUTCOME,
	PRUNE_OUTCOMES,
	_STATEMENT_MAX,
};

static const char *const sql[_STATEMENT_MAX] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[CLIENT] = "UPDATE meta SET client=?",
	[GENERATION] = "UPDATE meta SET generation=?",
	[RESERVE_BATCHES] = "UPDATE meta SET batch_reserved=?",
	/* The row is written on a change only: acks note the epoch they know each time. */
	[LAST_EPOCH] = "UPDATE meta SET epoch=?1 WHERE epoch<>?1",
	[EPOCH_REVISION] = "UPDATE epoch SET revision=?2 WHERE epoch=?1",
	[EPOCH_ACKED] = "UPDATE epoch SET acked=?3 WHERE epoch=?1 AND client=?2",
	[EPOCH_INSERT] = "INSERT INTO epoch(epoch,client,acked,revision) VALUES(?,?,?,?)",
	[EPOCH_PRUNE] = "DELETE FROM epoch WHERE id<=(SELECT max(id) FROM epoch)-?",
	[ADD_AREA] = "INSERT INTO area VALUES(?,?,1)",
	[RESERVE_SERIALS] = "UPDATE area SET reserved=?2 WHERE area=?1",
	[PUT_ENTRY] = "INSERT INTO outbox VALUES(?,?,?,?,?,?,?,?)",
	[DELETE_ENTRY] = "DELETE FROM outbox WHERE area=? AND serial=?",
	[TRIM] = "DELETE FROM outbox WHERE area=? AND serial<=?",
	[BATCH_CLEAR] = "DELETE FROM batch",
	[PART_CLEAR] = "DELETE FROM batch_part",
	[BATCH_INSERT] = "INSERT INTO batch VALUES(?,?)",
	[BATCH_HIGH] = "UPDATE meta SET batch_high=?1 WHERE batch_high<?1",
	[PART_INSERT] = "INSERT INTO batch_part(area,upto) VALUES(?,?)",
	[ITEM_FIND] = "SELECT id,bytes,revision,generation,live FROM items WHERE area=? AND key=?",
	[ITEM_INSERT] = "INSERT INTO items(area,key,live,seq,bytes,revision,generation,stored_at,"
			"value) VALUES(?,?,?,?,?,?,?,?,?)",
	/* SQLite rewrites each index that a column named here is part of: `live` only if needed. */
	[ITEM_UPDATE] = "UPDATE items SET seq=?2,bytes=?3,revision=?4,generation=?5,stored_at=?6,"
			"value=?7 WHERE id=?1",
	[ITEM_REVIVE] = "UPDATE items SET live=1-live,seq=?2,bytes=?3,revision=?4,generation=?5,"
			"stored_at=?6,value=?7 WHERE id=?1",
	[ITEM_DELETE] = "DELETE FROM items WHERE id=?",
	[ITEM_OLDEST] = "SELECT id,bytes FROM items WHERE area=? AND generation>0 ORDER BY seq",
	[PUT_REJECTED] = "INSERT INTO rejected VALUES(?,?,?,?,?,?,?,?,?,?)",
	[DELETE_REJECTED] = "DELETE FROM rejected WHERE area=? AND serial=?",
	[PUT_OUTCOME] = "INSERT INTO outcome(area,serial,first,outcome) VALUES(?,?,?,?)",
	[PRUNE_OUTCOMES] = "DELETE FROM outcome WHERE area=?1 AND id<?3 AND id<=(SELECT id FROM "
			   "outcome WHERE area=?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
};

struct writer {
	sqlite3 *db;
	sqlite3_stmt *statements[_STATEMENT_MAX];
	GHashTable *totals;	/* &total->area: struct writer_total; what is committed */
	int64_t seq;		/* of the last item written; may run ahead of the commits */
	int64_t first_outcome;	/* row of the transaction under way; 0: it has none yet */
	bool full;		/* how `synchronous` stands */
};

static const char load_totals[] =
	"SELECT area,sum(items),sum(bytes),sum(rejected)FROM("
	"SELECT area,count(*)AS items,sum(bytes)AS bytes,0 AS rejected FROM items GROUP BY area "
	"UNION ALL SELECT area,0,0,count(*)FROM rejected GROUP BY area)GROUP BY area";

static int writer_load_totals(struct writer *writer, GArray *totals)
{
	sqlite3_stmt *stmt;
	int r;

	r = db_query_int(writer->db, "SELECT coalesce(max(seq),0) FROM items", &writer->seq);
	if (r < 0)
		return r;
	r = db_prepare(writer->db, load_totals, &stmt);
	if (r < 0)
		return r;
	while ((r = db_step(stmt)) > 0) {
		struct writer_total total = {
			.area = sqlite3_column_int64(stmt, 0),
			.items = (uint64_t)sqlite3_column_int64(stmt, 1),
			.bytes = (uint64_t)sqlite3_column_int64(stmt, 2),
			.rejected = (uint64_t)sqlite3_column_int64(stmt, 3),
		};

		g_array_append_val(totals, total);
	}
	sqlite3_finalize(stmt);
	return r;
}

/* Copy what a transaction, or the load, has found into what is committed. */
static void writer_settle(struct writer *writer, const GArray *totals)
{
	for (guint i = 0; i < totals->len; i++) {
		struct writer_total *total =
			g_memdup2(&g_array_index(totals, struct writer_total, i), sizeof(*total));

		g_hash_table_replace(writer->totals, &total->area, total);
	}
}

/*
 * cache_spill: a transaction's pages stay in memory until its commit, which our bounds on a batch
 * allow; the cache shrinks back afterwards. secure_delete: no page keeps what was deleted, which
 * the salvage relies on (scan.h). The log is moved into the file after 4 MiB, and cut to 8.
 */
static const char setup[] = "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
			    "PRAGMA wal_autocheckpoint=1000;PRAGMA journal_size_limit=8388608;"
			    "PRAGMA cache_size=-1024;PRAGMA cache_spill=OFF;"
			    "PRAGMA temp_store=MEMORY;PRAGMA secure_delete=ON";

int writer_new(sqlite3 *db, struct writer **ret_writer, GArray **ret_totals)
{
	g_autoptr(GArray) totals = g_array_new(FALSE, FALSE, sizeof(struct writer_total));
	struct writer *writer = g_new0(struct writer, 1);
	int r;

	writer->db = db;
	writer->totals = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	r = db_exec(db, setup);
	for (int i = 0; r == 0 && i < _STATEMENT_MAX; i++)
		r = db_prepare(db, sql[i], &writer->statements[i]);
	if (r == 0)
		r = writer_load_totals(writer, totals);
	if (r < 0) {
		writer_free(writer);
		return r;
	}
	writer_settle(writer, totals);
	*ret_totals = g_steal_pointer(&totals);
	*ret_writer = writer;
	return 0;
}

struct writer *writer_free(struct writer *writer)
{
	if (!writer)
		return NULL;

	for (int i = 0; i < _STATEMENT_MAX; i++)
		sqlite3_finalize(writer->statements[i]);
	db_close(writer->db);
	g_hash_table_unref(writer->totals);
	g_free(writer);
	return NULL;
}

/* Run a bound statement that returns nothing. */
static int writer_run(struct writer *writer, enum statement which)
{
	sqlite3_stmt *stmt = writer->statements[which];
	int r = db_step(stmt);

	db_reset(stmt);
	return r;
}

/* The change must have met a row: what it names was never made, or is gone. */
static int writer_run_on_row(struct writer *writer, enum statement which)
{
	int r = writer_run(writer, which);

	return r == 0 && sqlite3_changes(writer->db) == 0 ? -ENOENT : r;
}

static int writer_run_on(struct writer *writer, enum statement which, int64_t a, int64_t b)
{
	sqlite3_stmt *stmt = writer->statements[which];

	sqlite3_bind_int64(stmt, 1, a);
	if (sqlite3_bind_parameter_count(stmt) > 1)
		sqlite3_bind_int64(stmt, 2, b);
	return writer_run(writer, which);
}

static int writer_run_text(struct writer *writer, enum statement which, const char *text)
{
	db_bind(writer->statements[which], "t", text);
	return writer_run(writer, which);
}

/* The entry of @area in the transaction's totals, begun from what is committed. */
static struct writer_total *total_of(struct writer *writer, GArray *totals, int64_t area)
{
	struct writer_total total = { .area = area };
	const struct writer_total *committed;

	for (guint i = totals->len; i > 0; i--) {
		struct writer_total *t = &g_array_index(totals, struct writer_total, i - 1);

		if (t->area == area)
			return t;
	}
	committed = g_hash_table_lookup(writer->totals, &area);
	if (committed)
		total = *committed;
	g_array_append_val(totals, total);
	return &g_array_index(totals, struct writer_total, totals->len - 1);
}

static int apply_epoch(struct writer *writer, const struct store_tx_op *op)
{
	int r;

	r = writer_run_text(writer, LAST_EPOCH, op->text);
	if (r < 0)
		return r;
	db_bind(writer->statements[EPOCH_REVISION], "ti", op->text, (int64_t)op->b);
	r = writer_run(writer, EPOCH_REVISION);
	if (r < 0)
		return r;
	db_bind(writer->statements[EPOCH_ACKED], "tti", op->text, op->text2, (int64_t)op->a);
	r = writer_run_on_row(writer, EPOCH_ACKED);
	if (r != -ENOENT)
		return r;
	db_bind(writer->statements[EPOCH_INSERT], "ttii", op->text, op->text2, (int64_t)op->a,
		(int64_t)op->b);
	r = writer_run(writer, EPOCH_INSERT);
	return r < 0 ? r : writer_run_on(writer, EPOCH_PRUNE, LIMIT_EPOCHS, 0);
}

static int apply_add_area(struct writer *writer, const struct store_tx_op *op)
{
	db_bind(writer->statements[ADD_AREA], "it", op->area, op->text);
	return writer_run(writer, ADD_AREA);
}

static int apply_reserve_serials(struct writer *writer, const struct store_tx_op *op)
{
	db_bind(writer->statements[RESERVE_SERIALS], "ii", op->area, (int64_t)op->a);
	return writer_run_on_row(writer, RESERVE_SERIALS);
}

static int apply_put_entry(struct writer *writer, const struct store_tx_op *op)
{
	const struct outbox_entry *entry = op->entry;

	db_bind(writer->statements[PUT_ENTRY], "iiiiiiss", op->area, (int64_t)entry->serial,
		(int64_t)outbox_entry_first(entry), (int64_t)entry->group_index, (int64_t)entry->op,
		(int64_t)entry->queued_at, outbox_entry_key(entry), (size_t)entry->key_len,
		outbox_entry_value(entry), (size_t)entry->value_len);
	return writer_run(writer, PUT_ENTRY);
}

static int apply_clear_batch(struct writer *writer)
{
	int r = writer_run(writer, BATCH_CLEAR);

	return r < 0 ? r : writer_run(writer, PART_CLEAR);
}

static int apply_begin_batch(struct writer *writer, const struct store_tx_op *op)
{
	int r;

	r = apply_clear_batch(writer);
	if (r < 0)
		return r;
	db_bind(writer->statements[BATCH_INSERT], "it", (int64_t)op->a, op->text);
	r = writer_run(writer, BATCH_INSERT);
	return r < 0 ? r : writer_run_on(writer, BATCH_HIGH, (int64_t)op->a, 0);
}

struct item_row {
	int64_t id;
	uint64_t bytes;
	uint64_t revision;
	uint64_t generation;
	int64_t live;
};

/* Return: 1 found, 0 not there, or a negative errno. */
static int find_item(struct writer *writer, int64_t area, const char *key, struct item_row *row)
{
	sqlite3_stmt *stmt = writer->statements[ITEM_FIND];
	int r;

	db_bind(stmt, "it", area, key);
	r = db_step(stmt);
	if (r > 0) {
		row->id = sqlite3_column_int64(stmt, 0);
		row->bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
		row->revision = (uint64_t)sqlite3_column_int64(stmt, 2);
		row->generation = (uint64_t)sqlite3_column_int64(stmt, 3);
		row->live = sqlite3_column_int64(stmt, 4);
	}
	db_reset(stmt);
	return r;
}

static int insert_item(struct writer *writer, const struct store_tx_op *op, int64_t bytes)
{
	db_bind(writer->statements[ITEM_INSERT], "itiiiiiit", op->area, op->text,
		(int64_t)(op->text2 != NULL), writer->seq, bytes, (int64_t)op->a, (int64_t)op->b,
		(int64_t)op->c, op->text2);
	return writer_run(writer, ITEM_INSERT);
}

static int update_item(struct writer *writer, const struct store_tx_op *op, int64_t bytes,
		       const struct item_row *row)
{
	enum statement which = row->live == (op->text2 != NULL) ? ITEM_UPDATE : ITEM_REVIVE;

	db_bind(writer->statements[which], "iiiiiit", row->id, writer->seq, bytes, (int64_t)op->a,
		(int64_t)op->b, (int64_t)op->c, op->text2);
	return writer_run(writer, which);
}

static int apply_put_item(struct writer *writer, const struct store_tx_op *op, GArray *totals)
{
	size_t bytes = strlen(op->text) + (op->text2 ? strlen(op->text2) : 0);
	struct writer_total *total;
	struct item_row row = { 0 };
	int r, found;

	found = find_item(writer, op->area, op->text, &row);
	if (found < 0)
		return found;
	if (found && (row.generation > op->b ||
		      (row.generation == op->b && row.revision > op->a)))
		return 0;
	writer->seq++;
	r = found ? update_item(writer, op, (int64_t)bytes, &row)
		  : insert_item(writer, op, (int64_t)bytes);
	if (r < 0)
		return r;
	total = total_of(writer, totals, op->area);
	total->bytes += bytes - row.bytes;
	total->items += !found;
	return 0;
}

static int apply_delete_item(struct writer *writer, const struct store_tx_op *op, GArray *totals)
{
	struct writer_total *total;
	struct item_row row;
	int r;

	r = find_item(writer, op->area, op->text, &row);
	if (r <= 0)
		return r;
	r = writer_run_on(writer, ITEM_DELETE, row.id, 0);
	if (r < 0)
		return r;
	total = total_of(writer, totals, op->area);
	total->bytes -= row.bytes;
	total->items--;
	return 0;
}

/* The ids are gathered first: a query must not run over rows that are being deleted. */
static int apply_evict_items(struct writer *writer, const struct store_tx_op *op, GArray *totals)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
	struct writer_total *total = total_of(writer, totals, op->area);
	sqlite3_stmt *stmt = writer->statements[ITEM_OLDEST];
	uint64_t left = total->bytes;
	int r = 0;

	db_bind(stmt, "i", op->area);
	while (left > op->a && (r = db_step(stmt)) > 0) {
		int64_t id = sqlite3_column_int64(stmt, 0);
		uint64_t row_bytes = (uint64_t)sqlite3_column_int64(stmt, 1);

		g_array_append_val(ids, id);
		left -= MIN(left, row_bytes);
	}
	db_reset(stmt);
	for (guint i = 0; r >= 0 && i < ids->len; i++)
		r = writer_run_on(writer, ITEM_DELETE, g_array_index(ids, int64_t, i), 0);
	total->bytes = left;
	total->items -= ids->len;
	return MIN(r, 0);
}

static int apply_put_rejected(struct writer *writer, const struct store_tx_op *op, GArray *totals)
{
	const struct outbox_entry *entry = op->entry;
	int r;

	db_bind(writer->statements[PUT_REJECTED], "iiiiiistts", op->area, (int64_t)entry->serial,
		(int64_t)outbox_entry_first(entry), (int64_t)entry->op, (int64_t)op->a,
		(int64_t)outbox_entry_bytes(entry), outbox_entry_key(entry),
		(size_t)entry->key_len, op->text, op->text2, outbox_entry_value(entry),
		(size_t)entry->value_len);
	r = writer_run(writer, PUT_REJECTED);
	if (r == 0)
		total_of(writer, totals, op->area)->rejected++;
	return r;
}

static int apply_delete_rejected(struct writer *writer, const struct store_tx_op *op,
				 GArray *totals)
{
	int r = writer_run_on(writer, DELETE_REJECTED, op->area, (int64_t)op->a);

	if (r == 0 && sqlite3_changes(writer->db) > 0)
		total_of(writer, totals, op->area)->rejected--;
	return r;
}

/*
 * @last: no other outcome of the same area follows at once; then the oldest are forgotten. But who
 * waits for a write is told what became of it after the commit: none of its own goes.
 */
static int apply_put_outcome(struct writer *writer, const struct store_tx_op *op, bool last)
{
	int r;

	db_bind(writer->statements[PUT_OUTCOME], "iiii", op->area, (int64_t)op->b, (int64_t)op->a,
		(int64_t)op->c);
	r = writer_run(writer, PUT_OUTCOME);
	if (r < 0)
		return r;
	if (!writer->first_outcome)
		writer->first_outcome = sqlite3_last_insert_rowid(writer->db);
	if (!last)
		return 0;
	db_bind(writer->statements[PRUNE_OUTCOMES], "iii", op->area, (int64_t)LIMIT_OUTCOMES,
		writer->first_outcome);
	return writer_run(writer, PRUNE_OUTCOMES);
}

static bool ends_outcomes(const struct store_tx_op *op, size_t left)
{
	return left == 1 || op[1].type != STORE_TX_PUT_OUTCOME || op[1].area != op->area;
}

/* @left: changes from @op on */
static int apply_op(struct writer *writer, const struct store_tx_op *op, size_t left,
		    GArray *totals)
{
	int64_t a = (int64_t)op->a;

	switch (op->type) {
	case STORE_TX_CLIENT:
		return writer_run_text(writer, CLIENT, op->text);
	case STORE_TX_GENERATION:
		return writer_run_on(writer, GENERATION, a, 0);
	case STORE_TX_RESERVE_BATCHES:
		return writer_run_on(writer, RESERVE_BATCHES, a, 0);
	case STORE_TX_EPOCH:
		return apply_epoch(writer, op);
	case STORE_TX_ADD_AREA:
		return apply_add_area(writer, op);
	case STORE_TX_RESERVE_SERIALS:
		return apply_reserve_serials(writer, op);
	case STORE_TX_PUT_ENTRY:
		return apply_put_entry(writer, op);
	case STORE_TX_DELETE_ENTRY:
		return writer_run_on(writer, DELETE_ENTRY, op->area, a);
	case STORE_TX_TRIM:
		return writer_run_on(writer, TRIM, op->area, a);
	case STORE_TX_BEGIN_BATCH:
		return apply_begin_batch(writer, op);
	case STORE_TX_BATCH_PART:
		return writer_run_on(writer, PART_INSERT, op->area, a);
	case STORE_TX_END_BATCH:
		return apply_clear_batch(writer);
	case STORE_TX_PUT_ITEM:
		return apply_put_item(writer, op, totals);
	case STORE_TX_DELETE_ITEM:
		return apply_delete_item(writer, op, totals);
	case STORE_TX_EVICT_ITEMS:
		return apply_evict_items(writer, op, totals);
	case STORE_TX_PUT_REJECTED:
		return apply_put_rejected(writer, op, totals);
	case STORE_TX_DELETE_REJECTED:
		return apply_delete_rejected(writer, op, totals);
	case STORE_TX_PUT_OUTCOME:
		return apply_put_outcome(writer, op, ends_outcomes(op, left));
	}
	return -EINVAL;
}

/* `synchronous` cannot change inside a transaction and costs a compilation: only on a change. */
static int writer_set_full(struct writer *writer, bool full)
{
	int r;

	if (writer->full == full)
		return 0;
	r = db_exec(writer->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
	if (r == 0)
		writer->full = full;
	return r;
}

static void writer_roll_back(struct writer *writer)
{
	/* Some errors have already ended the transaction. */
	if (!sqlite3_get_autocommit(writer->db))
		writer_run(writer, ROLLBACK);
}

/*
 * A commit whose sync failed is refused, but its pages lie complete in the log: a crash now would
 * bring it to life at the next start. Any other transaction is written over it.
 */
static void writer_bury_commit(struct writer *writer)
{
	if (writer_set_full(writer, false) == 0)
		db_exec(writer->db, "BEGIN IMMEDIATE;UPDATE meta SET id=id;COMMIT");
	writer_roll_back(writer);
}

static int writer_commit(struct writer *writer)
{
	int r = writer_run(writer, COMMIT);

	if (r < 0) {
		writer_roll_back(writer);
		writer_bury_commit(writer);
	}
	return r;
}

int writer_apply(struct writer *writer, const struct store_tx *tx, GArray *totals)
{
	const struct store_tx_op *ops;
	size_t n;
	int r;

	ops = store_tx_ops(tx, &n);
	r = writer_set_full(writer, store_tx_needs_sync(tx));
	if (r == 0)
		r = writer_run(writer, BEGIN);
	if (r < 0)
		return r;
	writer->first_outcome = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = apply_op(writer, &ops[i], n - i, totals);
	if (r < 0)
		writer_roll_back(writer);
	else
		r = writer_commit(writer);
	if (r < 0)
		g_array_set_size(totals, 0);
	else
		writer_settle(writer, totals);
	return r;
}
