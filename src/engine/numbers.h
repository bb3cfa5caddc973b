/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Batch numbers, never given out twice: they come from blocks reserved on disk by a synced commit,
 * so that even a store that lost its newest transactions knows what may have been used.
 */

#include <stdint.h>

struct store_tx;

/* Embedded in the sender. */
struct numbers {
	uint64_t next;
	uint64_t reserved;	/* numbers below it are reserved on disk */
	uint64_t planned;	/* … and will be below this, once the commit under way is settled */
};

/** numbers_init() - @first: above every number that may have been used. */
void numbers_init(struct numbers *numbers, uint64_t first);

/** numbers_begin() - a new plan begins; what the one before reserved came to be, or did not. */
void numbers_begin(struct numbers *numbers);

/** numbers_take() - the next number, for use once @tx is settled. */
uint64_t numbers_take(struct numbers *numbers, struct store_tx *tx);

/** numbers_settled() - the commit numbers were taken for came to be. */
void numbers_settled(struct numbers *numbers);
