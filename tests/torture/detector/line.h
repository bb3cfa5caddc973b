/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A line to a parent, and the time it runs in, both simulated: what is asked is answered one round
 * trip later, in order, unless the loss or a silence has it. One detector of failures stands at its
 * near end and says in a struct verdict what it believes; what is true is the line's to say.
 *
 * Units: usec of the line's own clock, which starts at LINE_START.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/util.h"

#define SEC	   USEC_PER_SEC
#define MSEC	   USEC_PER_MSEC
#define HOUR	   (3600 * SEC)
#define LINE_START (1000 * SEC)

/* What a line is like. */
struct line_nature {
	uint64_t rtt;		/* usec, on average */
	uint64_t jitter;	/* the round trip is rtt ± this, evenly */
	double loss;		/* of a ping or its pong: the chance that no answer comes */
	double stalls;		/* of a stream: the chance that a segment is lost, and sent again */
	uint64_t silent_at;	/* from then on nothing arrives; 0: never */
	uint64_t period, up;	/* up for the first @up of each @period; 0: always */
	uint64_t phase;		/* how much of the first period is over at the start */
};

/* What a detector has said so far. */
struct verdict {
	bool connected;
	uint64_t changed_at;	/* when that last changed; 0: it never did */
	uint64_t losses;	/* times it ceased to be connected */
	uint64_t pings;
};

struct line {
	struct line_nature nature;
	struct clock *clock;
	uint64_t now;
	GRand *rand;
	GQueue trips;		/* struct trip, on their way back */
	uint64_t last_arrival;	/* a stream keeps its order */
	struct verdict verdict;
};

/* A rule by which failures are detected. */
struct detector {
	const char *name;
	void *(*start)(struct line *line);	/* its struct, which it keeps line->verdict with */
	void (*stop)(void *self);
};

extern const struct detector detector_origin, detector_ours;

typedef void (*line_answer_t)(void *data, int64_t id);

void line_init(struct line *line, const struct line_nature *nature, uint32_t seed);
void line_deinit(struct line *line);

/** line_is_up() - whether messages pass at @when: what is true. */
bool line_is_up(const struct line *line, uint64_t when);

/** line_ping() - ask; @answer is called with @id when the answer comes, if ever. */
void line_ping(struct line *line, line_answer_t answer, void *data, int64_t id);

/** line_forget() - no answer to what @data asked is wanted any more. */
void line_forget(struct line *line, void *data);

/** line_run() - let time pass up to @until, or until @stop (NULL: none) becomes true. */
void line_run(struct line *line, uint64_t until, bool (*stop)(const struct line *line));

/** line_say() - a detector's word. */
void line_say(struct line *line, bool connected);
