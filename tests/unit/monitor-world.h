/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A world for the monitor: a clock the test moves, a driver whose every event is the test's, and a
 * record of what listeners heard.
 */

#include <glib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "core/config.h"
#include "core/limits.h"
#include "engine/monitor.h"

#define SEC  USEC_PER_SEC
#define MSEC USEC_PER_MSEC

#define EPOCH "0123456789abcdef0123456789abcdef"

/* ---- a driver in the test's hand ---- */

struct fake {
	struct parent parent;
	bool linked;		/* between connect and disconnect or down */
	bool up, welcomed;
	unsigned int dials;
	uint64_t dialled_at;
	struct clock *clock;
	unsigned int pings;
	int64_t last_ping;	/* its id */
	bool busy;
	uint64_t progress;
};

static struct fake *to_fake(struct parent *parent)
{
	return (struct fake *)parent;
}

static void fake_connect(struct parent *parent)
{
	struct fake *fake = to_fake(parent);

	g_assert_false(fake->linked);
	fake->linked = true;
	fake->dials++;
	fake->dialled_at = clock_monotonic(fake->clock);
}

static void fake_disconnect(struct parent *parent)
{
	struct fake *fake = to_fake(parent);

	fake->linked = fake->up = fake->welcomed = false;
}

static void fake_ping(struct parent *parent, int64_t id)
{
	g_assert_true(to_fake(parent)->welcomed);
	g_assert_cmpint(id, !=, 0);
	g_assert_cmpint(id, !=, to_fake(parent)->last_ping);
	g_assert_cmpint(id, <=, LIMIT_WIRE_INTEGER);
	to_fake(parent)->pings++;
	to_fake(parent)->last_ping = id;
}

static bool fake_busy(struct parent *parent, uint64_t *ret_progress)
{
	*ret_progress = to_fake(parent)->progress;
	return to_fake(parent)->busy;
}

static const struct parent_ops fake_ops = {
	.connect = fake_connect,
	.disconnect = fake_disconnect,
	.ping = fake_ping,
	.busy = fake_busy,
};

/* ---- the world ---- */

struct world {
	uint64_t now;
	struct clock *clock;
	struct config config;
	GRand *rand;
	struct fake fake;
	struct monitor *monitor;
	GString *events;	/* "connecting disconnected:…" */
	enum monitor_state told;	/* the state last told */
	unsigned int n_events;
	bool (*on_welcome)(struct world *world);
	void (*on_event)(struct world *world, const struct monitor_event *event);
};

static uint64_t world_now(void *data, int clock_id)
{
	uint64_t now = ((struct world *)data)->now;

	return clock_id == CLOCK_REALTIME ? UINT64_C(1700000000000000) + now : now;
}

static void world_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

static bool world_welcome(void *data, const struct parent_welcome *welcome)
{
	struct world *world = data;

	g_assert_cmpstr(welcome->epoch, ==, EPOCH);
	g_assert_cmpuint(welcome->last_batch, ==, 7);
	return world->on_welcome ? world->on_welcome(world) : true;
}

static void world_event(void *data, const struct monitor_event *event)
{
	struct world *world = data;

	g_assert_cmpint(event->old_state, ==, world->told);
	world->told = event->state;
	world->n_events++;
	g_string_append_printf(world->events, "%s%s", world->events->len ? " " : "",
			       event->old_state == event->state
				       ? "reason" : monitor_state_to_string(event->state));
	if (world->on_event)
		world->on_event(world, event);
}

static void fake_init(struct fake *fake, struct world *world)
{
	*fake = (struct fake){ .parent.ops = &fake_ops, .clock = world->clock };
}

static struct world *world_new(void)
{
	static const struct clock_ops clock_ops = { .now = world_now, .set_alarm = world_alarm };
	static const struct monitor_ops monitor_ops = { .welcome = world_welcome };
	struct world *world = g_new0(struct world, 1);

	world->now = 1000 * SEC;
	world->clock = clock_new(&clock_ops, world);
	world->rand = g_rand_new_with_seed(g_test_rand_int());
	world->events = g_string_new(NULL);
	world->told = MONITOR_DISCONNECTED;
	config_init(&world->config);
	fake_init(&world->fake, world);
	world->monitor = monitor_new(world->clock, &world->config, world->rand, &monitor_ops, world);
	monitor_add_watch(world->monitor, world_event, world);
	monitor_set_parent(world->monitor, &world->fake.parent);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_DISCONNECTED);
	g_assert_cmpuint(world->n_events, ==, 0);
	return world;
}

static void world_free(struct world *world)
{
	monitor_free(world->monitor);
	g_assert_false(world->fake.linked);
	g_assert_cmpuint(clock_next(world->clock), ==, USEC_INFINITY);
	clock_free(world->clock);
	config_deinit(&world->config);
	g_rand_free(world->rand);
	g_string_free(world->events, TRUE);
	g_free(world);
}

/* Let time pass, stopping at every deadline. */
static void world_run(struct world *world, uint64_t usec)
{
	uint64_t until = world->now + usec;

	while (clock_next(world->clock) <= until) {
		world->now = MAX(world->now, clock_next(world->clock));
		clock_dispatch(world->clock);
	}
	world->now = until;
}

/* Run until @count dials were made. Return: how long it took. */
static uint64_t world_run_to_dial(struct world *world, unsigned int dials, uint64_t at_most)
{
	uint64_t from = world->now;

	while (world->fake.dials < dials && clock_next(world->clock) <= from + at_most) {
		world->now = MAX(world->now, clock_next(world->clock));
		clock_dispatch(world->clock);
	}
	g_assert_cmpuint(world->fake.dials, ==, dials);
	return world->now - from;
}

static void say_up(struct world *world)
{
	g_assert_true(world->fake.linked);
	world->fake.up = true;
	world->fake.parent.link->up(world->fake.parent.link_data);
}

static void say_welcome(struct world *world)
{
	const struct parent_welcome welcome = { .epoch = EPOCH, .last_batch = 7 };

	g_assert_true(world->fake.up);
	world->fake.welcomed = true;
	world->fake.parent.link->welcome(world->fake.parent.link_data, &welcome);
}

static void say_pong(struct world *world, int64_t id)
{
	world->fake.parent.link->pong(world->fake.parent.link_data, id);
}

static void say_message(struct world *world)
{
	world->fake.parent.link->message(world->fake.parent.link_data);
}

static void say_down(struct world *world, enum parent_reason reason, const char *why,
		     uint64_t retry_after)
{
	g_assert_true(world->fake.linked);
	fake_disconnect(&world->fake.parent);
	world->fake.parent.link->down(world->fake.parent.link_data, reason, why, retry_after);
}

/* From a dial under way to connected. */
static void world_connect(struct world *world)
{
	say_up(world);
	say_welcome(world);
	say_pong(world, world->fake.last_ping);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_CONNECTED);
}

static struct world *world_new_connected(void)
{
	struct world *world = world_new();

	monitor_start(world->monitor);
	world_connect(world);
	g_string_truncate(world->events, 0);
	return world;
}

/* Time passes, every ping is answered at once. */
static void world_run_answering(struct world *world, uint64_t usec)
{
	uint64_t until = world->now + usec;
	int64_t answered = world->fake.last_ping;

	while (clock_next(world->clock) <= until) {
		world->now = MAX(world->now, clock_next(world->clock));
		clock_dispatch(world->clock);
		if (world->fake.last_ping != answered)
			say_pong(world, answered = world->fake.last_ping);
	}
	world->now = until;
}

#define assert_state(world, expected, text)                                                        \
	do {                                                                                       \
		g_assert_cmpint(monitor_state((world)->monitor), ==, (expected));                  \
		g_assert_cmpstr(monitor_reason((world)->monitor), ==, (text));                     \
	} while (0)

static void assert_events(struct world *world, const char *expected)
{
	g_assert_cmpstr(world->events->str, ==, expected);
	g_string_truncate(world->events, 0);
}

static struct monitor_stats world_stats(struct world *world)
{
	struct monitor_stats stats;

	monitor_get_stats(world->monitor, &stats);
	return stats;
}
