/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who the parent is and how far it had come: its epoch, the last batch it acked to us, the highest
 * revision we saw, and the generation of our copies. From this follows whether a welcome shows the
 * parent we know, another one, one that lost what it had acked, or that it is we who lost.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct lineage;
struct store;
struct store_tx;

enum lineage_verdict {
	LINEAGE_SAME,		/* the store we know, or our first */
	LINEAGE_OTHER,		/* another epoch: copies are distrusted */
	LINEAGE_LOST_DATA,	/* it lost acked batches: copies are distrusted */
	LINEAGE_ROLLED_BACK,	/* it has batches of ours that we do not know: our store was rolled
				 * back, or our client id is shared */
};

/** lineage_new() - @generation, @batch_high: from struct store_state. */
struct lineage *lineage_new(struct store *store, uint64_t generation, uint64_t batch_high);
struct lineage *lineage_free(struct lineage *lineage);

/**
 * lineage_welcome() - a session begins.
 * @ret_verdict: what it shows; except for LINEAGE_ROLLED_BACK, lineage now follows this parent
 *
 * Return: 0, or a negative errno of the store.
 */
int lineage_welcome(struct lineage *lineage, const char *client, const char *epoch,
		    uint64_t last_batch, enum lineage_verdict *ret_verdict);

/**
 * lineage_revision() - the parent told a revision of now.
 *
 * Return: false where it is the first of this connection and below the highest ever seen: the
 * parent lost acked data; copies are distrusted from here on.
 */
bool lineage_revision(struct lineage *lineage, uint64_t revision);

/** lineage_persisted(), lineage_acked() - a batch of this number was persisted; was acked. */
void lineage_persisted(struct lineage *lineage, uint64_t number);
void lineage_acked(struct lineage *lineage, uint64_t number);

/** lineage_reset_client() - a new client id: no batch of it is known. */
void lineage_reset_client(struct lineage *lineage);

/** lineage_plan() - put what changed since the last call into a transaction that happens anyway;
 * what a failed one held is offered again after lineage_unsaved(). */
void lineage_plan(struct lineage *lineage, struct store_tx *tx);
void lineage_unsaved(struct lineage *lineage);

/** lineage_last_batch() - what this connection's welcome said. */
uint64_t lineage_last_batch(const struct lineage *lineage);
/** lineage_generation() - of copies made now; those of an older one are distrusted. */
uint64_t lineage_generation(const struct lineage *lineage);
