/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading items: the overlay of design §3, and GetItem's policy of asking, trying again and falling
 * back to the local copy. Every call is answered once, within 5 s but for a commit that the disk
 * holds up; callbacks as in area.h.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct area;
struct engine;
struct reader;

/** reader_new() - what the reads of all areas share: those that wait for the first attempt. */
struct reader *reader_new(struct engine *engine);
/** reader_free() - no read may be under way. Return: NULL. */
struct reader *reader_free(struct reader *reader);

/** reader_state_changed() - the monitor's state did: look again at those who wait. */
void reader_state_changed(struct reader *reader);

enum reader_source {
	READER_ANY,	/* overlay, fresh cache, parent, local copy */
	READER_PARENT,	/* ask the parent whatever is held here; no fallback */
	READER_LOCAL,	/* what is held here; the parent is not asked */
};

struct reader_options {
	enum reader_source source;
	uint64_t timeout;	/* usec for asking the parent, then the fallback; USEC_INFINITY: the
				 * usual 5 s at most */
};

struct reader_item {
	const char *value;
	const char *source;	/* queue, cache, parent, local */
	bool stale;		/* a local copy the parent was not asked about */
	bool pending;		/* an own write of the key waits for the parent */
	uint64_t revision;	/* the store's when it was read; 0 = not known */
	uint64_t age;		/* usec since it was queued, answered or stored */
};

/** reader_got_t - @item: only with @error 0. HF_NO_SUCH_ITEM, HF_UNAVAILABLE, HF_INVALID_KEY,
 * HF_INVALID_VALUE (not text), HF_TIMEOUT never: a get falls back instead. */
typedef void (*reader_got_t)(void *data, int error, const char *detail,
			     const struct reader_item *item);

/** reader_get() - GetItem and GetItemFull. @options NULL: any source, usual timeout. */
void reader_get(struct area *area, const char *key, const struct reader_options *options,
		reader_got_t done, void *data);

/** reader_got_many_t - @keys, @values: as many of each, in the order asked, absent ones left out. */
typedef void (*reader_got_many_t)(void *data, int error, const char *detail, GPtrArray *keys,
				  GPtrArray *values);

/** reader_get_many() - GetItems. HF_TOO_LARGE over LIMIT_BULK_KEYS or LIMIT_BULK_REPLY_BYTES;
 * HF_UNAVAILABLE where any key has no answer. @keys: NULL-terminated. */
void reader_get_many(struct area *area, const char *const *keys, reader_got_many_t done,
		     void *data);
