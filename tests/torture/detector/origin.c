/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The origin's rule: a ping every 5 s, each with 2 s for its pong; 3 in a row without one and the
 * parent is disconnected, until a pong comes. Pings go on in every state. The rule is read in its
 * favour: a pong counts whenever it comes.
 */

#include "line.h"

#define ORIGIN_INTERVAL	  (5 * SEC)
#define ORIGIN_TIMEOUT	  (2 * SEC)
#define ORIGIN_MAX_FAILED 3

struct origin {
	struct line *line;
	struct timer interval, timeout;
	int64_t pinged;
	unsigned int failed;
};

static void origin_pong(void *data, int64_t id)
{
	struct origin *origin = data;

	if (id == origin->pinged)
		timer_disarm(&origin->timeout);
	origin->failed = 0;
	line_say(origin->line, true);
}

static void origin_timeout(void *data)
{
	struct origin *origin = data;

	if (++origin->failed >= ORIGIN_MAX_FAILED)
		line_say(origin->line, false);
}

static void origin_ping(void *data)
{
	struct origin *origin = data;

	origin->line->verdict.pings++;
	timer_arm_in(&origin->timeout, ORIGIN_TIMEOUT);
	timer_arm_in(&origin->interval, ORIGIN_INTERVAL);
	line_ping(origin->line, origin_pong, origin, ++origin->pinged);
}

static void *origin_start(struct line *line)
{
	struct origin *origin = g_new0(struct origin, 1);

	origin->line = line;
	timer_init(&origin->interval, line->clock, origin_ping, origin);
	timer_init(&origin->timeout, line->clock, origin_timeout, origin);
	origin_ping(origin);
	return origin;
}

static void origin_stop(void *self)
{
	struct origin *origin = self;

	line_forget(origin->line, origin);
	timer_deinit(&origin->interval);
	timer_deinit(&origin->timeout);
	g_free(origin);
}

const struct detector detector_origin = {
	.name = "origin",
	.start = origin_start,
	.stop = origin_stop,
};
