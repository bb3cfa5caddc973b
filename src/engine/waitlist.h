/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Those who wait for an outbox to lose its entries: Await and Flush of one area. Whoever changes
 * the outbox calls waitlist_check() afterwards.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct outbox;
struct waitlist;
struct wait;

/** wait_done_t - the end of a wait: an enum hf_error, or a negative errno. */
typedef void (*wait_done_t)(void *data, int error);

/** wait_outcome_t - what became of @serial, which is queued no more: HF_OK, HF_REJECTED,
 * HF_QUOTA_EXCEEDED, or a negative errno. */
typedef int (*wait_outcome_t)(void *data, uint64_t serial);

struct waitlist *waitlist_new(struct clock *clock, struct outbox *outbox, wait_outcome_t outcome,
			      void *data);
/** waitlist_free() - nobody may wait any more. Return: NULL. */
struct waitlist *waitlist_free(struct waitlist *list);

/**
 * waitlist_serial() - until no entry stands for @serial.
 * @timeout: usec; 0 answers now, USEC_INFINITY never times out
 *
 * Return: what wait_cancel() takes, until @done; NULL where @done was already called.
 */
struct wait *waitlist_serial(struct waitlist *list, uint64_t serial, uint64_t timeout,
			     wait_done_t done, void *data);

/** waitlist_upto() - until no entry stands for any serial up to @limit. As above. */
struct wait *waitlist_upto(struct waitlist *list, uint64_t limit, uint64_t timeout,
			   wait_done_t done, void *data);

void wait_cancel(struct wait *wait);

/** waitlist_check() - end the waits that have come true. */
void waitlist_check(struct waitlist *list);

/** waitlist_end() - end all of them with @error. */
void waitlist_end(struct waitlist *list, int error);
