/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Gets on their way to the parent: joined where they ask the same, tried again with growing waits,
 * given up in time. The answer goes to the copies, unless the key was touched since it was asked
 * for, and then to everybody who waits.
 */

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "parent/parent.h"

struct fetcher;
struct fetch_waiter;

enum fetch_end {
	FETCH_ANSWERED,	 /* value (NULL: absent) and revision are the parent's */
	FETCH_OVERTAKEN, /* answered, but the key was written or something newer is held: look again;
			  * value and revision as above */
	FETCH_OWN,	 /* the parent has nothing, but a value that it never held is kept here */
	FETCH_UNCLEAN,	 /* answered with something that is not text */
	FETCH_FAILED,	 /* no answer: not connected, late, or refused; message may say why */
};

struct fetch_result {
	enum fetch_end end;
	const char *value;
	uint64_t revision;
	const char *message;
};

/** fetch_done_t - told once unless cancelled; strings live for the call. */
typedef void (*fetch_done_t)(void *data, const struct fetch_result *result);

/** fetch_changed_t - an answer showed that a known item changed at the parent. */
typedef void (*fetch_changed_t)(void *data, int64_t area, const char *key);

struct fetcher *fetcher_new(struct engine *engine, fetch_changed_t changed, void *data);
/** fetcher_free() - nobody may wait any more. Return: NULL. */
struct fetcher *fetcher_free(struct fetcher *fetcher);

/**
 * fetcher_get() - ask the parent for a key; the monitor must be ready.
 * @area, @area_name: the store's and the wire's name of the area
 * @attempts: at least 1
 * @done: never called from within
 *
 * Return: what fetcher_cancel() takes, until @done.
 */
struct fetch_waiter *fetcher_get(struct fetcher *fetcher, int64_t area, const char *area_name,
				 const char *key, unsigned int attempts, fetch_done_t done,
				 void *data);

/** fetcher_cancel() - @done is not called; what was asked goes on and fills the copies. */
void fetcher_cancel(struct fetch_waiter *waiter);

/** fetcher_touch() - the key was written, acked or forgotten: an answer under way is no news, and
 * nobody joins it any more. */
void fetcher_touch(struct fetcher *fetcher, int64_t area, const char *key);

/** fetcher_got() - an answer of the parent, as parent_data_ops. Return: whether it was ours. */
bool fetcher_got(struct fetcher *fetcher, uint64_t tag, const struct parent_error *error,
		 const char *value, bool unclean, uint64_t revision);

/** fetcher_room() - the parent answered something: one of those it had no room for may be asked. */
void fetcher_room(struct fetcher *fetcher);

/** fetcher_link_down() - the connection is gone: everything under way has failed. */
void fetcher_link_down(struct fetcher *fetcher);
