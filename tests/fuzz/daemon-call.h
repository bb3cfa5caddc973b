/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One call of a client, and its answers; see daemon-calls.h. */

#include "daemon-calls.h"
#include "engine/area.h"
#include "engine/reader.h"

enum call_kind {
	CALL_WRITE,
	CALL_GET,
	CALL_GET_MANY,
	CALL_AWAIT,
	CALL_FLUSH,
	CALL_DIRECT_GET,
	CALL_DIRECT_WRITE,
	CALL_DROP_REJECTED,
};

struct call {
	enum call_kind kind;
	struct daemon_calls *calls;
	struct model_area *area;
	struct model_key *key;	/* of a read */
	uint64_t arrival;	/* over all calls */
	uint64_t asked_at;	/* monotonic usec */
	uint64_t stalled;	/* calls->stalled then */
	uint64_t timeout;	/* Await, Flush: usec */
	uint64_t serial;	/* Await */
	enum reader_source source;
	GPtrArray *writes;	/* struct model_write */
	struct model_write *again;	/* the refused one that a retry or a drop is about */
	char *value;		/* what Direct writes */
	bool must_fail;		/* Direct: a queued write stands before it */
	int error;		/* as it ended */
};

void call_free(struct call *call);

/** call_check_time() - it has not waited too long. */
void call_check_time(const struct call *call);

/** call_check_wait() - an Await or a Flush may have ended so, now that the queue was looked at. */
void call_check_wait(const struct call *call);

/** answer_*() - the callbacks of calls; @data: the call. */
void answer_write(void *data, int error, const char *detail, uint64_t serial);
void answer_get(void *data, int error, const char *detail, const struct reader_item *item);
void answer_get_many(void *data, int error, const char *detail, GPtrArray *keys,
		     GPtrArray *values);
void answer_wait(void *data, int error, const char *detail);
void answer_direct_get(void *data, int error, const char *detail, const char *value);
void answer_direct_write(void *data, int error, const char *detail);
void answer_drop(void *data, int error, const char *detail);
