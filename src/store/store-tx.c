/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A flat array of tagged changes, and a chunk for the few texts that are copied because their
 * makers have them on the stack. See store-tx.h.
 */

#include "store/store-tx.h"

#define TEXT_CHUNK 512 /* bytes; ids and messages are rare, so made when first needed */

struct store_tx {
	GArray *ops;	/* struct store_tx_op */
	GStringChunk *texts;
	bool sync;
};

struct store_tx *store_tx_new(void)
{
	struct store_tx *tx = g_new0(struct store_tx, 1);

	tx->ops = g_array_new(FALSE, FALSE, sizeof(struct store_tx_op));
	return tx;
}

struct store_tx *store_tx_free(struct store_tx *tx)
{
	if (!tx)
		return NULL;

	g_array_unref(tx->ops);
	if (tx->texts)
		g_string_chunk_free(tx->texts);
	g_free(tx);
	return NULL;
}

bool store_tx_is_empty(const struct store_tx *tx)
{
	return tx->ops->len == 0;
}

void store_tx_require_sync(struct store_tx *tx)
{
	tx->sync = true;
}

bool store_tx_needs_sync(const struct store_tx *tx)
{
	return tx->sync;
}

const struct store_tx_op *store_tx_ops(const struct store_tx *tx, size_t *ret_n)
{
	*ret_n = tx->ops->len;
	return (const struct store_tx_op *)(void *)tx->ops->data;
}

static const char *tx_copy(struct store_tx *tx, const char *text)
{
	if (!tx->texts)
		tx->texts = g_string_chunk_new(TEXT_CHUNK);
	return g_string_chunk_insert(tx->texts, text);
}

static void tx_add(struct store_tx *tx, struct store_tx_op op)
{
	g_array_append_val(tx->ops, op);
}

void store_tx_client(struct store_tx *tx, const char client[static UTIL_ID_SIZE])
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_CLIENT, .text = tx_copy(tx, client) });
}

void store_tx_generation(struct store_tx *tx, uint64_t generation)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_GENERATION, .a = generation });
}

void store_tx_reserve_batches(struct store_tx *tx, uint64_t upto)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_RESERVE_BATCHES, .a = upto });
}

void store_tx_epoch(struct store_tx *tx, const char epoch[static UTIL_ID_SIZE],
		    const char client[static UTIL_ID_SIZE], uint64_t acked, uint64_t revision)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_EPOCH, .text = tx_copy(tx, epoch),
					 .text2 = tx_copy(tx, client), .a = acked, .b = revision });
}

void store_tx_add_area(struct store_tx *tx, int64_t area, const char *name)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_ADD_AREA, .area = area, .text = name });
}

void store_tx_reserve_serials(struct store_tx *tx, int64_t area, uint64_t upto)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_RESERVE_SERIALS, .area = area,
					 .a = upto });
}

void store_tx_put_entry(struct store_tx *tx, int64_t area, const struct outbox_entry *entry)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_PUT_ENTRY, .area = area,
					 .entry = entry });
}

void store_tx_delete_entry(struct store_tx *tx, int64_t area, uint64_t serial)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_DELETE_ENTRY, .area = area,
					 .a = serial });
}

void store_tx_trim(struct store_tx *tx, int64_t area, uint64_t upto)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_TRIM, .area = area, .a = upto });
}

void store_tx_begin_batch(struct store_tx *tx, uint64_t number, const char id[static UTIL_ID_SIZE])
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_BEGIN_BATCH, .a = number,
					 .text = tx_copy(tx, id) });
}

void store_tx_batch_part(struct store_tx *tx, int64_t area, uint64_t upto)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_BATCH_PART, .area = area, .a = upto });
}

void store_tx_end_batch(struct store_tx *tx)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_END_BATCH });
}

void store_tx_put_item(struct store_tx *tx, int64_t area, const char *key, const char *value,
		       uint64_t revision, uint64_t generation, uint64_t stored_at)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_PUT_ITEM, .area = area, .text = key,
					 .text2 = value, .a = revision, .b = generation,
					 .c = stored_at });
}

void store_tx_delete_item(struct store_tx *tx, int64_t area, const char *key)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_DELETE_ITEM, .area = area, .text = key });
}

void store_tx_evict_items(struct store_tx *tx, int64_t area, uint64_t max_bytes)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_EVICT_ITEMS, .area = area,
					 .a = max_bytes });
}

void store_tx_put_rejected(struct store_tx *tx, int64_t area, const struct outbox_entry *entry,
			   const char *error, const char *message, uint64_t rejected_at)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_PUT_REJECTED, .area = area,
					 .entry = entry, .text = tx_copy(tx, error),
					 .text2 = tx_copy(tx, message), .a = rejected_at });
}

void store_tx_delete_rejected(struct store_tx *tx, int64_t area, uint64_t serial)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_DELETE_REJECTED, .area = area,
					 .a = serial });
}

void store_tx_put_outcome(struct store_tx *tx, int64_t area, uint64_t first, uint64_t serial,
			  enum store_outcome outcome)
{
	tx_add(tx, (struct store_tx_op){ .type = STORE_TX_PUT_OUTCOME, .area = area, .a = first,
					 .b = serial, .c = outcome });
}
