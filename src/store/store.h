/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What must survive: one SQLite database (WAL), written by transactions on a worker thread, read
 * through a read-only connection on the main loop.
 *
 * A caller fills a struct store_tx with changes and submits it; it is applied whole or not at all,
 * and told once. Transactions are applied in the order submitted. The strings and entries a
 * transaction names are borrowed: they must live unchanged until it was told.
 *
 * Tables (schema.h): meta, area, outbox, batch and batch_part (the batch under way: of each area
 * it names, all outbox rows up to a serial, in serial order), items, rejected, outcome, epoch.
 *
 * Errors are negative errnos: -ENOSPC disk full, -EIO the disk failed, -EUCLEAN the database is
 * damaged (found while running; the next start sets it aside), -ENOTSUP a newer version,
 * -EBUSY another process has it. A transaction that breaks a rule of the tables (a serial put
 * twice, an area unknown to store_tx_reserve_serials()) ends with -EINVAL or -ENOENT.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "base/worker.h"
#include "store/recovery.h"
#include "store/store-tx.h"

struct store;

/**
 * store_open() - open or make the database; lock it for this process.
 * @path: of the database; "<path>-wal" and "<path>.lock" lie beside it. Mode 0600.
 * @worker: runs the transactions; must outlive the store
 * @ret_recovery: to be released with store_recovery_deinit()
 *
 * A damaged database is renamed to "<path>.corrupt-<time>" (UTC, 20261122T203700Z) with its -wal,
 * and what can be read of it is carried over into a new one.
 *
 * Return: 0, or a negative errno as above; -ENOTSUP and -EBUSY leave the files untouched.
 */
int store_open(const char *path, struct worker *worker, struct store **ret_store,
	       struct store_recovery *ret_recovery);

/** store_close() - wait for what was submitted, checkpoint, unlock. Return: NULL. */
struct store *store_close(struct store *store);

/* ---- reading, at start or on the main loop; the last committed state ---- */

struct store_state {
	char client[UTIL_ID_SIZE];	/* "" in a new database */
	uint64_t batch_reserved;	/* batch numbers below it may have been used; 1 when new */
	uint64_t batch_high;		/* the highest number ever persisted with a batch; 0 = none */
	uint64_t generation;		/* copies of an older one are distrusted; 1 when new */
	uint64_t batch_number;		/* of the batch under way; 0 = none */
	char batch_id[UTIL_ID_SIZE];
};
int store_load_state(struct store *store, struct store_state *ret_state);

/** store_area_func_t - @serial_reserved: serials below it may have been used. Return: 0 to go on. */
typedef int (*store_area_func_t)(void *data, int64_t area, const char *name,
				 uint64_t serial_reserved);
int store_each_area(struct store *store, store_area_func_t func, void *data);

struct store_entry {
	uint64_t serial, first;
	uint32_t group_index;
	const char *key;
	const char *value;	/* NULL: remove, or unreadable text */
	bool remove;
	bool unclean;		/* key ("" then) or value is not valid UTF-8 or has a NUL; damage
				 * that came after the start, which would have set it aside */
	uint64_t queued_at;	/* realtime usec */
};
typedef int (*store_entry_func_t)(void *data, const struct store_entry *entry);
/** store_each_entry() - the outbox of @area in serial order. */
int store_each_entry(struct store *store, int64_t area, store_entry_func_t func, void *data);

/** store_part_func_t - of the batch under way, in order: the entries of @area up to @upto. */
typedef int (*store_part_func_t)(void *data, int64_t area, uint64_t upto);
int store_each_part(struct store *store, store_part_func_t func, void *data);

struct store_item {
	char *value;		/* NULL: a tombstone */
	uint64_t revision;
	uint64_t generation;
	uint64_t stored_at;	/* realtime usec */
};
/**
 * store_get_item() - what the parent was last known to hold.
 * @ret_item: ->value is to be freed
 *
 * Return: 1 found, 0 not known, -EBADMSG where the value is not valid UTF-8 or has a NUL, another
 * negative errno on failure.
 */
int store_get_item(struct store *store, int64_t area, const char *key,
		   struct store_item *ret_item);

typedef int (*store_key_func_t)(void *data, const char *key);
/** store_each_key() - keys of @area with @prefix that have a value, in byte order. */
int store_each_key(struct store *store, int64_t area, const char *prefix, store_key_func_t func,
		   void *data);

/** store_item_bytes() - keys + values of the items of @area, as of the last transaction told. */
uint64_t store_item_bytes(struct store *store, int64_t area);

/** store_count() - the items of @area, tombstones included, and its rejected entries, likewise. */
void store_count(struct store *store, int64_t area, uint64_t *ret_items, uint64_t *ret_rejected);

struct store_rejected {
	uint64_t serial, first;
	bool remove;
	const char *key;
	const char *value;	/* NULL for a remove */
	uint64_t bytes;		/* key + value, also where the value is not read */
	const char *error;	/* the wire's word: rejected, quota */
	const char *message;
	uint64_t rejected_at;	/* realtime usec */
};
typedef int (*store_rejected_func_t)(void *data, const struct store_rejected *row);
/** store_each_rejected() - in serial order; values are not read (NULL). */
int store_each_rejected(struct store *store, int64_t area, store_rejected_func_t func, void *data);
/** store_get_rejected() - call @func with the one row, value and all. Return: 1, 0 not there, or a
 * negative errno. */
int store_get_rejected(struct store *store, int64_t area, uint64_t serial,
		       store_rejected_func_t func, void *data);
/** store_rejected_total() - rows and their keys + values. */
int store_rejected_total(struct store *store, int64_t area, unsigned int *ret_rows,
			 uint64_t *ret_bytes);

/** store_find_outcome() - of the newest remembered entry with first ≤ @serial ≤ its own. Return: an
 * enum store_outcome or a negative errno. */
int store_find_outcome(struct store *store, int64_t area, uint64_t serial);

/** store_get_epoch() - @ret_acked: the last batch acked in @epoch to @client, @ret_revision: the
 * highest revision seen of @epoch; both 0 where unknown. */
int store_get_epoch(struct store *store, const char *epoch, const char *client,
		    uint64_t *ret_acked, uint64_t *ret_revision);
/** store_get_last_epoch() - the epoch last recorded with store_tx_epoch(). Return: 1, 0 none yet,
 * or a negative errno. */
int store_get_last_epoch(struct store *store, char ret_epoch[static UTIL_ID_SIZE]);

/* ---- transactions (made with store-tx.h) ---- */

/** store_done_t - @result: 0, or a negative errno and nothing of it was applied. */
typedef void (*store_done_t)(void *data, int result);

/** store_submit() - apply @tx, which is taken over; @done is called once, from the main loop. */
void store_submit(struct store *store, struct store_tx *tx, store_done_t done, void *data);

/** store_drain() - block until everything submitted was told. For start and stop only. */
void store_drain(struct store *store);

/** store_watch_damage() - @found_damaged is called once, when damage is met first. */
void store_watch_damage(struct store *store, void (*found_damaged)(void));

/** store_is_damaged() - damage was met since it was opened. */
bool store_is_damaged(const struct store *store);

/** store_commit_time() - how long the last transaction told took on the worker, usec. */
uint64_t store_commit_time(const struct store *store);
