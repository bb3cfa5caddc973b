/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One area: an app's key space. It owns the area's outbox and carries every write down the one
 * write path (design §3): checked, committed with whatever else waits for the disk, answered.
 *
 * Every call is answered exactly once, through its callback, perhaps before the function returns.
 * `error` is an enum hf_error, 0, or a negative errno of the disk; `detail` is a sentence that
 * replaces the error's usual one, or NULL. Strings given to a call must live until its callback;
 * strings given to a callback live until it returns.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"
#include "store/store.h"

struct area;
struct area_wait;

/** area_name() - as it is on the wire. */
const char *area_name(const struct area *area);

/* ---- writing ---- */

/** area_wrote_t - @serial: of the last write of the call; only with @error 0 */
typedef void (*area_wrote_t)(void *data, int error, const char *detail, uint64_t serial);

/**
 * area_write() - SetItem, RemoveItem, SetItems.
 * @writes, @n: copied; their strings are not
 * @group: SetItems: applied together or not at all
 */
void area_write(struct area *area, const struct outbox_write *writes, size_t n, bool group,
		area_wrote_t done, void *data);

/** area_retry_rejected() - queue a refused entry again, as a new single write; its row goes.
 * HF_INVALID_VALUE where there is none of that serial. */
void area_retry_rejected(struct area *area, uint64_t serial, area_wrote_t done, void *data);

/** area_done_t - the end of a call that gives nothing back */
typedef void (*area_done_t)(void *data, int error, const char *detail);

/** area_drop_rejected() - forget a refused entry. */
void area_drop_rejected(struct area *area, uint64_t serial, area_done_t done, void *data);

/* ---- waiting ---- */

/**
 * area_await() - until the parent has acked @serial.
 * @timeout: usec; 0 answers now, USEC_INFINITY never times out
 *
 * Ends with 0, HF_TIMEOUT, HF_REJECTED, HF_QUOTA_EXCEEDED (dropped) or HF_INVALID_VALUE (never
 * issued).
 *
 * Return: what area_wait_cancel() takes, until @done; NULL where @done was already called.
 */
struct area_wait *area_await(struct area *area, uint64_t serial, uint64_t timeout,
			     area_done_t done, void *data);

/** area_flush() - all that is queued now becomes due; ends when none of it is left. As above. */
struct area_wait *area_flush(struct area *area, uint64_t timeout, area_done_t done, void *data);

/** area_wait_cancel() - the caller is gone: @done is not called. */
void area_wait_cancel(struct area_wait *wait);

/**
 * area_when_settled() - run @func once every write received before this call is settled (at once
 * where none is under way): then the functions below show its effect.
 */
void area_when_settled(struct area *area, void (*func)(void *data), void *data);

/* ---- looking ---- */

struct area_queue_row {
	uint64_t serial;
	const char *key;
	const char *state;	/* held, pending, in-flight */
	uint64_t queued_at;	/* realtime usec */
	uint32_t attempts;
	bool remove;
};
/** area_each_queued() - the outbox in serial order. */
void area_each_queued(struct area *area, void (*func)(void *data, const struct area_queue_row *row),
		      void *data);

/** area_list_keys() - keys known here with @prefix, pending writes included, sorted by bytes.
 * @ret_keys: char *, freed with the array. Return: 0 or a negative errno. */
int area_list_keys(struct area *area, const char *prefix, GPtrArray **ret_keys);

/** area_each_rejected(), area_get_rejected() - as store_each_rejected(), store_get_rejected(). */
int area_each_rejected(struct area *area, store_rejected_func_t func, void *data);
int area_get_rejected(struct area *area, uint64_t serial, store_rejected_func_t func, void *data);

/** area_queue_size(), area_queue_bytes() - entries, and keys + values, waiting for the parent. */
unsigned int area_queue_size(const struct area *area);
uint64_t area_queue_bytes(const struct area *area);

/* ---- events ---- */

enum area_event_type {
	AREA_ITEM_CHANGED,  /* key, local */
	AREA_ITEM_REJECTED, /* serial, key, error, message */
	AREA_ITEM_DROPPED,  /* serial, key */
	AREA_QUOTA_REACHED, /* message: a write was refused with HF_QUOTA_EXCEEDED, and why */
	AREA_QUEUE_CHANGED, /* area_queue_size() or _bytes() differ; not coalesced */
};

struct area_event {
	enum area_event_type type;
	const char *key;
	uint64_t serial;
	bool local;		/* changed by a write here; else at the parent */
	const char *error;	/* the wire's word: rejected, quota */
	const char *message;
};
