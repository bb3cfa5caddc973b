/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the engine counts of itself, from 0 at each start: one struct in struct engine, incremented
 * in place by the parts, read by engine/exposition. All of it lives on the main loop. Labels are
 * the enums here and nothing else, so there is never more of it.
 *
 * What a part counts for its own ends anyway (the monitor, the cache) stays there.
 */

#include <stdint.h>

#include "core/error.h"
#include "core/histogram.h"

/* Where a read was answered from. */
enum metrics_source {
	METRICS_SOURCE_QUEUE,
	METRICS_SOURCE_CACHE,
	METRICS_SOURCE_PARENT,
	METRICS_SOURCE_LOCAL,
	METRICS_SOURCE_NONE,	/* nothing was known, or it was no text */
	_METRICS_SOURCE_MAX,
};

/* Why something is sent to the parent again. */
enum metrics_retry {
	METRICS_RETRY_TRANSIENT, /* it said so … */
	METRICS_RETRY_CAPACITY,
	METRICS_RETRY_TIMEOUT,	/* no answer in time */
	METRICS_RETRY_CLOSED,	/* the connection ended otherwise */
	_METRICS_RETRY_MAX,
};

/* Why a write was not taken. */
enum metrics_refusal {
	METRICS_REFUSAL_INVALID,	/* the key or the value is none */
	METRICS_REFUSAL_TOO_LARGE,
	METRICS_REFUSAL_QUOTA,
	METRICS_REFUSAL_STOPPING,
	METRICS_REFUSAL_DISK,
	_METRICS_REFUSAL_MAX,
};

enum metrics_operation {
	METRICS_OPERATION_GET,
	METRICS_OPERATION_SET,
	METRICS_OPERATION_REMOVE,
	_METRICS_OPERATION_MAX,
};

struct metrics {
	uint64_t started_at;		/* realtime usec */
	/* calls */
	uint64_t writes;		/* taken */
	uint64_t refusals[_METRICS_REFUSAL_MAX];
	uint64_t reads[_METRICS_SOURCE_MAX];
	uint64_t stale_reads;		/* of those from local */
	uint64_t direct[_METRICS_OPERATION_MAX];
	/* what became of writes */
	uint64_t drops;			/* by overflow */
	uint64_t rejections;
	uint64_t evictions;		/* of rejected ones, for want of room */
	/* the parent */
	uint64_t batches;		/* sent, again too */
	uint64_t batch_retries[_METRICS_RETRY_MAX];
	uint64_t sent_bytes;		/* keys + values in batches */
	uint64_t acks;
	uint64_t duplicate_acks;	/* of those */
	uint64_t acked_operations;
	uint64_t fetches;		/* gets sent, again too */
	uint64_t fetch_retries[_METRICS_RETRY_MAX];
	uint64_t client_renewals;
	/* the disk */
	uint64_t commits;
	uint64_t failed_commits;	/* of those */
	struct histogram commit_time;
};

static inline enum metrics_refusal metrics_refusal_of(int error)
{
	switch (error) {
	case HF_TOO_LARGE:
		return METRICS_REFUSAL_TOO_LARGE;
	case HF_QUOTA_EXCEEDED:
		return METRICS_REFUSAL_QUOTA;
	case HF_UNAVAILABLE:
		return METRICS_REFUSAL_STOPPING;
	default:
		return error < 0 ? METRICS_REFUSAL_DISK : METRICS_REFUSAL_INVALID;
	}
}

/** metrics_count_write() - a call that writes was answered with @error, as area_wrote_t has it. */
static inline void metrics_count_write(struct metrics *metrics, int error)
{
	if (error)
		metrics->refusals[metrics_refusal_of(error)]++;
	else
		metrics->writes++;
}

/** metrics_count_commit() - a transaction took @usec and ended with @result, 0 or -errno. */
static inline void metrics_count_commit(struct metrics *metrics, int result, uint64_t usec)
{
	metrics->commits++;
	metrics->failed_commits += result < 0;
	histogram_observe(&metrics->commit_time, usec);
}
