/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One transaction of the store: a list of changes in the order given, filled by its maker on the
 * main loop, applied by the writer (writer.h) on the worker thread. Included by store.h.
 *
 * It copies nothing but short texts that it says it copies, and takes no memory per change but the
 * growth of its list.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct outbox_entry;
struct store_tx;

enum store_outcome {
	STORE_OUTCOME_NONE,	/* nothing remembered */
	STORE_OUTCOME_REJECTED,
	STORE_OUTCOME_DROPPED,
};

struct store_tx *store_tx_new(void);
struct store_tx *store_tx_free(struct store_tx *tx);
/** store_tx_is_empty() - whether nothing was added. */
bool store_tx_is_empty(const struct store_tx *tx);
/** store_tx_require_sync() - the transaction is on the platter before it is told. Without it, it
 * survives a crash of the process but perhaps not of the machine; order is kept either way. */
void store_tx_require_sync(struct store_tx *tx);

void store_tx_client(struct store_tx *tx, const char client[static UTIL_ID_SIZE]);
void store_tx_generation(struct store_tx *tx, uint64_t generation);
void store_tx_reserve_batches(struct store_tx *tx, uint64_t upto);
/** store_tx_epoch() - note @epoch as the last one met; acked and revision only ever as given. */
void store_tx_epoch(struct store_tx *tx, const char epoch[static UTIL_ID_SIZE],
		    const char client[static UTIL_ID_SIZE], uint64_t acked, uint64_t revision);

/** store_tx_add_area() - @area is the caller's choice, never reused. */
void store_tx_add_area(struct store_tx *tx, int64_t area, const char *name);
void store_tx_reserve_serials(struct store_tx *tx, int64_t area, uint64_t upto);

void store_tx_put_entry(struct store_tx *tx, int64_t area, const struct outbox_entry *entry);
void store_tx_delete_entry(struct store_tx *tx, int64_t area, uint64_t serial);
/** store_tx_trim() - delete the outbox rows of @area up to and with @upto. */
void store_tx_trim(struct store_tx *tx, int64_t area, uint64_t upto);

/** store_tx_begin_batch() - replaces whatever batch was under way; raises batch_high. */
void store_tx_begin_batch(struct store_tx *tx, uint64_t number,
			  const char id[static UTIL_ID_SIZE]);
void store_tx_batch_part(struct store_tx *tx, int64_t area, uint64_t upto);
void store_tx_end_batch(struct store_tx *tx);

/* The generation of an item no parent ever held (local:): it is no copy, and is never evicted. */
#define STORE_GENERATION_OWN 0

/**
 * store_tx_put_item() - hold @value (NULL: a tombstone) as what the parent has.
 * @stored_at: realtime usec, to show
 *
 * Leaves a row of a newer generation, or of the same with a higher revision, as it is.
 */
void store_tx_put_item(struct store_tx *tx, int64_t area, const char *key, const char *value,
		       uint64_t revision, uint64_t generation, uint64_t stored_at);
void store_tx_delete_item(struct store_tx *tx, int64_t area, const char *key);
/** store_tx_evict_items() - delete the copies of @area written longest ago until keys + values are at
 * most @max_bytes. */
void store_tx_evict_items(struct store_tx *tx, int64_t area, uint64_t max_bytes);

/** store_tx_put_rejected() - @error, @message are copied. */
void store_tx_put_rejected(struct store_tx *tx, int64_t area, const struct outbox_entry *entry,
			   const char *error, const char *message, uint64_t rejected_at);
void store_tx_delete_rejected(struct store_tx *tx, int64_t area, uint64_t serial);
/** store_tx_put_outcome() - remember; of earlier transactions' all but the newest LIMIT_OUTCOMES of
 * @area are forgotten. */
void store_tx_put_outcome(struct store_tx *tx, int64_t area, uint64_t first, uint64_t serial,
			  enum store_outcome outcome);

/* ---- for the writer ---- */

enum store_tx_type {
	STORE_TX_CLIENT,	  /* text */
	STORE_TX_GENERATION,	  /* a */
	STORE_TX_RESERVE_BATCHES, /* a: upto */
	STORE_TX_EPOCH,		  /* text: epoch, text2: client, a: acked, b: revision */
	STORE_TX_ADD_AREA,	  /* area, text */
	STORE_TX_RESERVE_SERIALS, /* area, a: upto */
	STORE_TX_PUT_ENTRY,	  /* area, entry */
	STORE_TX_DELETE_ENTRY,	  /* area, a: serial */
	STORE_TX_TRIM,		  /* area, a: upto */
	STORE_TX_BEGIN_BATCH,	  /* a: number, text: id */
	STORE_TX_BATCH_PART,	  /* area, a: upto */
	STORE_TX_END_BATCH,
	STORE_TX_PUT_ITEM,	  /* area, text: key, text2: value, a: revision, b: generation,
				   * c: stored_at */
	STORE_TX_DELETE_ITEM,	  /* area, text: key */
	STORE_TX_EVICT_ITEMS,	  /* area, a: max_bytes */
	STORE_TX_PUT_REJECTED,	  /* area, entry, text: error, text2: message, a: rejected_at */
	STORE_TX_DELETE_REJECTED, /* area, a: serial */
	STORE_TX_PUT_OUTCOME,	  /* area, a: first, b: serial, c: enum store_outcome */
};

struct store_tx_op {
	enum store_tx_type type;
	int64_t area;
	uint64_t a, b, c;
	const char *text, *text2;
	const struct outbox_entry *entry;
};

/** store_tx_ops() - the changes, in order; borrowed. */
const struct store_tx_op *store_tx_ops(const struct store_tx *tx, size_t *ret_n);
bool store_tx_needs_sync(const struct store_tx *tx);
