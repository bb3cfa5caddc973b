/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the parts of the engine share. storage.c makes and owns it all; the parts only look. Within
 * this floor the order is: monitor, committer, lineage, copies, fetcher, waitlist, parking,
 * local, area, reader, direct, rejects, batch, sender, storage, exposition, each using only those
 * before it.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/util.h"
#include "core/config-value.h"
#include "engine/metrics.h"

struct area;
struct area_event;
struct committer;
struct config;
struct copies;
struct direct;
struct fetcher;
struct lineage;
struct monitor;
struct parent;
struct reader;
struct store;

/* What an area tells those above it, without knowing them. */
struct engine_ops {
	/** area_due - writes of @area may have become sendable, or will at another time */
	void (*area_due)(void *data, struct area *area);
	/** area_event - to be told to listeners */
	void (*area_event)(void *data, struct area *area, const struct area_event *event);
	/** room - bytes that queued writes of @owner may still grow by (BytesPerUser) */
	uint64_t (*room)(void *data, int64_t owner);
	/** items_limit - bytes that the items of @area may take now (MaxBytes, BytesPerUser) */
	uint64_t (*items_limit)(void *data, int64_t area);
	/** lost_data - the parent's revision fell back: it lost what it had acked */
	void (*lost_data)(void *data);
};

struct engine {
	struct clock *clock;
	const struct config *config;
	struct store *store;
	struct committer *committer;
	struct lineage *lineage;
	struct copies *copies;
	struct fetcher *fetcher;
	struct reader *reader;
	struct direct *direct;
	struct monitor *monitor;
	struct parent *parent;		/* may change while the monitor is not connected */
	const struct engine_ops *ops;
	void *ops_data;
	/* As it was at start: what one Durability left undone another could not rely on. */
	enum config_durability durability;
	bool parent_full;		/* it refused the batch under way for want of room, last */
	bool stopping;			/* no write is taken any more */
	uint64_t last_tag;		/* of requests to the parent: unique over all askers */
	uint64_t wall_offset;		/* CLOCK_REALTIME - CLOCK_BOOTTIME at start, usec, modulo 2^64 */
	int64_t wall_step;		/* what the wall clock was set forward by since, usec */
	struct metrics metrics;
};

/**
 * engine_queue_time() - "now" as queued writes are stamped with: realtime usec as it was at start,
 * going on by CLOCK_BOOTTIME. So an age counts a suspend, and nobody who sets the date changes it.
 */
static inline uint64_t engine_queue_time(const struct engine *engine)
{
	return clock_boottime(engine->clock) + engine->wall_offset;
}

/**
 * engine_wall_step() - what is to be added to such a stamp to show it: the date as it is set now.
 * Steps under a second are none, so that what is shown does not waver.
 */
static inline int64_t engine_wall_step(struct engine *engine)
{
	int64_t step = (int64_t)(clock_realtime(engine->clock) - engine_queue_time(engine));

	if (ABS(step - engine->wall_step) >= (int64_t)USEC_PER_SEC)
		engine->wall_step = step;
	return engine->wall_step;
}
