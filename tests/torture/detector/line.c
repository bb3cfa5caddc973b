/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See line.h. Silences are planned, so what becomes of a message is known when it is sent: it
 * passes where the line is up as it leaves, at the parent, and as its answer arrives.
 */

#include <time.h>

#include "line.h"

/* Linux's shortest time before a lost segment is sent again; it doubles each time. */
#define RETRANSMIT_USEC (200 * MSEC)

struct trip {
	struct timer timer;
	struct line *line;
	line_answer_t answer;
	void *data;
	int64_t id;
	GList link;
};

static uint64_t line_now(void *data, int clock_id)
{
	uint64_t now = ((struct line *)data)->now;

	return clock_id == CLOCK_REALTIME ? UINT64_C(1700000000000000) + now : now;
}

static void line_alarm(void *data, uint64_t deadline)
{
	(void)data;	/* line_run() looks for itself */
	(void)deadline;
}

void line_init(struct line *line, const struct line_nature *nature, uint32_t seed)
{
	static const struct clock_ops ops = { .now = line_now, .set_alarm = line_alarm };

	*line = (struct line){ .nature = *nature, .now = LINE_START };
	line->clock = clock_new(&ops, line);
	line->rand = g_rand_new_with_seed(seed);
	g_queue_init(&line->trips);
}

static void trip_free(struct trip *trip)
{
	timer_deinit(&trip->timer);
	g_queue_unlink(&trip->line->trips, &trip->link);
	g_free(trip);
}

void line_forget(struct line *line, void *data)
{
	for (GList *i = line->trips.head, *next; i; i = next) {
		struct trip *trip = i->data;

		next = i->next;
		if (trip->data == data)
			trip_free(trip);
	}
}

void line_deinit(struct line *line)
{
	g_assert_cmpuint(line->trips.length, ==, 0);
	g_assert_cmpuint(clock_next(line->clock), ==, USEC_INFINITY);
	clock_free(line->clock);
	g_rand_free(line->rand);
}

bool line_is_up(const struct line *line, uint64_t when)
{
	const struct line_nature *nature = &line->nature;

	if (nature->silent_at && when >= nature->silent_at)
		return false;
	return !nature->period ||
	       (when - LINE_START + nature->phase) % nature->period < nature->up;
}

/* Of one segment: each loss of it costs a wait, twice as long as the one before. */
static uint64_t line_stall(struct line *line)
{
	uint64_t stall = 0;

	for (uint64_t wait = RETRANSMIT_USEC; g_rand_double(line->rand) < line->nature.stalls;
	     wait *= 2)
		stall += wait;
	return stall;
}

static void trip_end(void *data)
{
	struct trip *trip = data;
	line_answer_t answer = trip->answer;
	void *owner = trip->data;
	int64_t id = trip->id;

	trip_free(trip);
	answer(owner, id);
}

void line_ping(struct line *line, line_answer_t answer, void *data, int64_t id)
{
	const struct line_nature *nature = &line->nature;
	double swing = (double)nature->jitter * (2 * g_rand_double(line->rand) - 1);
	uint64_t rtt = nature->rtt + (uint64_t)(int64_t)swing, arrival;
	struct trip *trip;

	arrival = line->now + rtt + line_stall(line) + line_stall(line);
	arrival = MAX(arrival, line->last_arrival);
	if (g_rand_double(line->rand) < nature->loss || !line_is_up(line, line->now) ||
	    !line_is_up(line, line->now + rtt / 2) || !line_is_up(line, arrival))
		return;
	line->last_arrival = arrival;
	trip = g_new0(struct trip, 1);
	*trip = (struct trip){ .line = line, .answer = answer, .data = data, .id = id };
	trip->link.data = trip;
	g_queue_push_tail_link(&line->trips, &trip->link);
	timer_init(&trip->timer, line->clock, trip_end, trip);
	timer_arm(&trip->timer, arrival);
}

void line_run(struct line *line, uint64_t until, bool (*stop)(const struct line *line))
{
	while (clock_next(line->clock) <= until) {
		line->now = MAX(line->now, clock_next(line->clock));
		clock_dispatch(line->clock);
		if (stop && stop(line))
			return;
	}
	line->now = until;
}

void line_say(struct line *line, bool connected)
{
	struct verdict *verdict = &line->verdict;

	if (verdict->connected == connected)
		return;
	verdict->connected = connected;
	verdict->changed_at = line->now;
	if (!connected)
		verdict->losses++;
}
