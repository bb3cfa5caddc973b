/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The line to the parent while there is one or one is being had: dial, welcome, pings, and the end.
 * It knows deadlines, not policy: whether and when to dial again is the monitor's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "core/config.h"
#include "core/histogram.h"
#include "parent/parent.h"

struct link;

/*
 * What the owner hears; each may call anything here, link_free() included.
 * up, welcome, ready - in this order, once per dial
 */
struct link_ops {
	void (*up)(void *data);
	/** welcome - Return: whether to go on; where the owner ended the link, false or true */
	bool (*welcome)(void *data, const struct parent_welcome *welcome);
	/** ready - the first pong came */
	void (*ready)(void *data);
	/** down - there is no link any more; not told by link_end() */
	void (*down)(void *data, enum parent_reason reason, const char *why,
		     uint64_t retry_after);
};

struct link_stats {
	uint64_t last_ping_time;	/* realtime usec; 0 = never */
	uint64_t last_pong_time;	/* realtime usec; 0 = never */
	uint64_t total_pings;
	uint64_t total_pongs;
	uint64_t total_failed;		/* windows without an answer */
	uint64_t average_latency;	/* usec; 0 = none measured */
	uint32_t failed_pings;		/* in a row; of the last link until the next is up */
};

/**
 * link_new() - a link that is down, and without a parent.
 * @config: read whenever needed
 * @first_id: ping ids rise from here; not negative, at most 2^32
 */
struct link *link_new(struct clock *clock, const struct config *config, int64_t first_id,
		      const struct link_ops *ops, void *data);
struct link *link_free(struct link *link);

/** link_set_parent() - whom to dial, borrowed; NULL: no one. Ends the link to the one before. */
void link_set_parent(struct link *link, struct parent *parent);

/** link_dial() - nothing where there is no parent, or a link or a dial already: as good as a new
 * one. Tells nothing before it returns. */
void link_dial(struct link *link);

/** link_end() - end the link or the dial; nothing is told. Fine where there is none. */
void link_end(struct link *link);

/** link_is_down() - neither a link nor a dial. */
bool link_is_down(const struct link *link);

/** link_has_session() - the parent said welcome. */
bool link_has_session(const struct link *link);

/** link_suspect() - ping now, where there is a session and no ping is awaited. */
void link_suspect(struct link *link);

/** link_doubt_at() - monotonic usec from when on, if nothing comes until then, it is doubtful that
 * the parent still answers; in the past where it is. USEC_INFINITY: no ping is unanswered. */
uint64_t link_doubt_at(const struct link *link);

/** link_reconfigured() - take new intervals and bounds. */
void link_reconfigured(struct link *link);

void link_get_stats(const struct link *link, struct link_stats *ret_stats);

/** link_round_trips() - of all pings, whatever the parent. */
const struct histogram *link_round_trips(const struct link *link);
