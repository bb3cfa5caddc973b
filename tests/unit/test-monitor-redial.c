/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The monitor beyond its table: when it dials again, the bounds users were promised, listeners that
 * turn round and call back, and a random walk that checks what must always hold.
 */

#include "monitor-world.h"
#include "seed.h"

/* ---- redialling ---- */

static void test_backoff_bounds(void)
{
	struct world *world = world_new();
	uint64_t longest = 0;

	monitor_start(world->monitor);
	for (unsigned int i = 1; i < 2000; i++) {
		uint64_t bound = MIN(5 * SEC, (100 * MSEC) << MIN(i - 1, 20));
		uint64_t took;

		say_down(world, PARENT_REASON_REFUSED, "no", 0);
		took = world_run_to_dial(world, i + 1, 6 * SEC);
		g_assert_cmpuint(took, <=, bound + 1);
		longest = MAX(longest, took);
	}
	g_assert_cmpuint(longest, >, 4 * SEC); /* jitter uses its whole range */
	world_free(world);
}

/* How long the dial took after a connection that had stood for @stood. */
static uint64_t redial_after(struct world *world, uint64_t stood)
{
	world_connect(world);
	world_run_answering(world, stood);
	say_down(world, PARENT_REASON_CLOSED, "closed", 0);
	return world_run_to_dial(world, world->fake.dials + 1, 6 * SEC);
}

static void test_backoff_reset(void)
{
	struct world *world = world_new();
	uint64_t took, longest = 0;

	monitor_start(world->monitor);
	/* A line that stands not quite 10 s goes on backing off: it may wait seconds. */
	for (int i = 0; i < 60; i++) {
		took = redial_after(world, 10 * SEC - 1);
		longest = MAX(longest, took);
	}
	g_assert_cmpuint(longest, >, 2 * SEC);
	/* One that stood 10 s is dialled at once, and the backoff begins anew. */
	for (int i = 0; i < 60; i++) {
		g_assert_cmpuint(redial_after(world, 10 * SEC), <=, 100 * MSEC + 1);
		g_assert_cmpuint(redial_after(world, 0), <=, 100 * MSEC + 1);
		g_assert_cmpuint(redial_after(world, 1), <=, 200 * MSEC + 1);
	}
	world_free(world);
}

static void test_check(void)
{
	struct world *world = world_new_connected();
	unsigned int pings = world->fake.pings, dials;

	monitor_check(world->monitor);
	g_assert_cmpuint(world->fake.pings, ==, pings + 1);
	say_pong(world, world->fake.last_ping);
	for (int i = 0; i < 9; i++) {
		world_run(world, 100 * MSEC);
		monitor_check(world->monitor);
	}
	g_assert_cmpuint(world->fake.pings, ==, pings + 1);
	world_run(world, 100 * MSEC);
	monitor_check(world->monitor);
	g_assert_cmpuint(world->fake.pings, ==, pings + 2);

	/* Disconnected: a dial, but never a second one beside one under way. */
	world_run(world, 1 * SEC);
	say_down(world, PARENT_REASON_AUTH, "no", 0);
	dials = world->fake.dials;
	monitor_check(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, dials + 1);
	world_run(world, 1 * SEC);
	monitor_check(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, dials + 1);
	world_free(world);
}

static void test_hint_and_probe(void)
{
	struct world *world = world_new_connected();
	unsigned int pings = world->fake.pings;

	monitor_hint(world->monitor);
	say_pong(world, world->fake.last_ping);
	monitor_hint(world->monitor);
	say_pong(world, world->fake.last_ping);
	monitor_probe(world->monitor);
	g_assert_cmpuint(world->fake.pings, ==, pings + 3);
	monitor_probe(world->monitor); /* one is awaited already */
	g_assert_cmpuint(world->fake.pings, ==, pings + 3);
	say_down(world, PARENT_REASON_AUTH, "no", 0);
	monitor_probe(world->monitor); /* asks nothing of a line that is not there */
	g_assert_cmpuint(world->fake.dials, ==, 1);
	monitor_hint(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, 2);
	world_free(world);
}

static void test_socket_appeared(void)
{
	struct world *world = world_new_connected();
	uint64_t from;

	monitor_socket_appeared(world->monitor); /* connected: nothing */
	g_assert_cmpuint(world->fake.dials, ==, 1);
	say_down(world, PARENT_REASON_AUTH, "no", 0);
	from = world->now;
	monitor_socket_appeared(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, 2);
	say_down(world, PARENT_REASON_AUTH, "no", 0);
	world_run_to_dial(world, 3, 1 * SEC);
	g_assert_cmpuint(world->now - from, ==, 50 * MSEC);
	say_down(world, PARENT_REASON_AUTH, "no", 0);
	world_run_to_dial(world, 4, 1 * SEC);
	g_assert_cmpuint(world->now - from, ==, 200 * MSEC);
	say_down(world, PARENT_REASON_AUTH, "no", 0);
	world_run(world, 10 * SEC);
	g_assert_cmpuint(world->fake.dials, ==, 4);

	/* The second and third are not for a line that is there. */
	monitor_socket_appeared(world->monitor);
	world_connect(world);
	world_run(world, 1 * SEC);
	g_assert_cmpuint(world->fake.dials, ==, 5);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_CONNECTED);
	world_free(world);
}

static void test_auto_recover_no(void)
{
	struct world *world = world_new();
	unsigned int dials;

	world->config.heartbeat_auto_recover = false;
	monitor_start(world->monitor);
	world_connect(world);
	world_run_answering(world, 20 * SEC);
	say_down(world, PARENT_REASON_CLOSED, "closed", 0);
	g_assert_cmpuint(clock_next(world->clock), ==, USEC_INFINITY);
	world_run(world, 600 * SEC);
	monitor_hint(world->monitor);
	monitor_socket_appeared(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, 1);
	monitor_check(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, 2);
	say_down(world, PARENT_REASON_REFUSED, "no", 0);
	world_run(world, 600 * SEC);
	g_assert_cmpuint(world->fake.dials, ==, 2);

	/* Switched on again it does not wait for anything. */
	world->config.heartbeat_auto_recover = true;
	monitor_reconfigured(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, 3);
	say_down(world, PARENT_REASON_REFUSED, "no", 0);
	monitor_socket_appeared(world->monitor);
	say_down(world, PARENT_REASON_REFUSED, "no", 0);
	dials = world->fake.dials;
	world->config.heartbeat_auto_recover = false;
	monitor_reconfigured(world->monitor);
	world_run(world, 600 * SEC);
	g_assert_cmpuint(world->fake.dials, ==, dials);
	world_free(world);
}

/* ---- bounds that were promised ---- */

/* A parent that falls silent at any instant is lost within 8 s; probed, within 3.5 s. */
static void test_silence_bounds(void)
{
	for (int i = 0; i < 300; i++) {
		struct world *world = world_new_connected();
		uint64_t silent_at, rtt = (uint64_t)g_test_rand_int_range(0, 200) * MSEC;
		bool probed = i % 2;

		world_run_answering(world, 15 * SEC);
		monitor_hint(world->monitor);
		world_run(world, rtt);
		say_pong(world, world->fake.last_ping);
		silent_at = world->now;
		if (probed) {
			world_run(world, (uint64_t)g_test_rand_int_range(0, 6000) * MSEC);
			silent_at = world->now; /* a request goes out and is not answered */
			world_run(world, 500 * MSEC);
			monitor_probe(world->monitor);
		}
		while (monitor_state(world->monitor) == MONITOR_CONNECTED)
			world_run(world, 1 * MSEC);
		g_assert_cmpuint(world->now - silent_at, <=, (probed ? 4 : 8) * SEC);
		g_assert_true(g_str_has_prefix(monitor_reason(world->monitor), "timeout: "));
		world_free(world);
	}
}

/* A slow line that carries a batch lives as long as bytes move, and no longer. */
static void test_busy(void)
{
	struct world *world = world_new_connected();
	uint64_t stuck;

	world->fake.busy = true;
	for (int i = 0; i < 60; i++) {
		world->fake.progress = world->now;
		world_run(world, 1 * SEC);
	}
	assert_state(world, MONITOR_CONNECTED, "ok");
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 0);
	stuck = world->fake.progress;
	while (monitor_state(world->monitor) == MONITOR_CONNECTED)
		world_run(world, 1 * MSEC);
	g_assert_cmpuint(world->now - stuck, >=, 5 * SEC - 1);
	g_assert_cmpuint(world->now - stuck, <=, 6 * SEC);
	world_free(world);
}

/* In doubt is a line that leaves a ping unanswered, until anything comes. */
static void test_doubt(void)
{
	struct world *world = world_new_connected();

	g_assert_cmpuint(monitor_doubt_at(world->monitor), ==, USEC_INFINITY);
	monitor_probe(world->monitor);
	g_assert_cmpuint(monitor_doubt_at(world->monitor) - world->now, ==, SEC / 3);
	world_run(world, 900 * MSEC);
	g_assert_cmpuint(monitor_doubt_at(world->monitor), <=, world->now);
	/* A large line that moves is an answer, one that stands is none. */
	world->fake.busy = true;
	world->fake.progress = world->now - 100 * MSEC;
	g_assert_cmpuint(monitor_doubt_at(world->monitor) - world->now, ==, 400 * MSEC);
	world->fake.progress = world->now - 600 * MSEC;
	g_assert_cmpuint(monitor_doubt_at(world->monitor), <=, world->now);
	world->fake.busy = false;
	/* So it stays from window to window. */
	world_run(world, 200 * MSEC);
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 1);
	g_assert_cmpuint(monitor_doubt_at(world->monitor), <=, world->now);
	say_pong(world, world->fake.last_ping);
	g_assert_cmpuint(monitor_doubt_at(world->monitor), ==, USEC_INFINITY);
	world_free(world);
}

static void test_reconfigured(void)
{
	struct world *world = world_new_connected();
	unsigned int pings = world->fake.pings;

	world->config.heartbeat_interval = 50 * MSEC;
	world->config.heartbeat_timeout = 20 * MSEC;
	world->config.heartbeat_max_failed = 1;
	monitor_reconfigured(world->monitor);
	world_run(world, 50 * MSEC);
	g_assert_cmpuint(world->fake.pings, ==, pings + 1);
	world_run(world, 20 * MSEC);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_DISCONNECTED);
	world_run_to_dial(world, 2, 5 * SEC);
	world->config.parent_dial_timeout = 10 * MSEC;
	monitor_reconfigured(world->monitor);
	world_run(world, 10 * MSEC);
	g_assert_true(g_str_has_prefix(monitor_reason(world->monitor), "timeout: "));
	world_free(world);
}

/* The sentence can be the parent's: whatever it says, one line of clean text within bounds. */
static void test_reason_text(void)
{
	struct world *world = world_new_connected();
	g_autofree char *long_why = g_strnfill(LIMIT_LINE_BYTES, 'x');

	monitor_drop(world->monitor, PARENT_REASON_PROTOCOL, "a\nb\033[31m\xff" "c");
	assert_state(world, MONITOR_DISCONNECTED, "protocol: a b [31m\xef\xbf\xbd" "c");
	world_run_to_dial(world, 2, 5 * SEC);
	memcpy(long_why + LIMIT_REASON_BYTES - 1, "\xc3\xa4", 2);
	say_down(world, PARENT_REASON_REFUSED, long_why, 0);
	g_assert_cmpuint(strlen(monitor_reason(world->monitor)), <, LIMIT_REASON_BYTES + 20);
	g_assert_true(g_utf8_validate(monitor_reason(world->monitor), -1, NULL));
	world_free(world);
}

/* ---- calling back ---- */

static bool drop_in_welcome(struct world *world)
{
	monitor_drop(world->monitor, PARENT_REASON_PROTOCOL, "we were rolled back");
	return false;
}

static bool refuse_in_welcome(struct world *world)
{
	(void)world;
	return false;
}

static bool stop_and_start_in_welcome(struct world *world)
{
	monitor_stop(world->monitor);
	monitor_start(world->monitor);
	return true;
}

static bool lost_data_in_welcome(struct world *world)
{
	monitor_note_lost_data(world->monitor, "batch 9 is gone");
	return true;
}

static void test_welcome_ends_it(void)
{
	struct world *world = world_new();

	world->on_welcome = drop_in_welcome;
	monitor_start(world->monitor);
	say_up(world);
	say_welcome(world);
	assert_state(world, MONITOR_DISCONNECTED, "protocol: we were rolled back");
	g_assert_cmpuint(world->fake.pings, ==, 0);

	world->on_welcome = refuse_in_welcome;
	world_run_to_dial(world, 2, 5 * SEC);
	say_up(world);
	say_welcome(world);
	assert_state(world, MONITOR_DISCONNECTED, "protocol: the session cannot be used");

	/* Another link stands when the call returns: it is not the one that was welcomed. */
	world->on_welcome = stop_and_start_in_welcome;
	world_run_to_dial(world, 3, 5 * SEC);
	say_up(world);
	say_welcome(world);
	g_assert_cmpuint(world->fake.dials, ==, 4);
	g_assert_cmpuint(world->fake.pings, ==, 0);
	assert_state(world, MONITOR_CONNECTING, "start");
	world->on_welcome = NULL;
	world_connect(world);
	world_free(world);
}

static void test_lost_data(void)
{
	struct world *world = world_new();

	monitor_start(world->monitor);
	monitor_note_lost_data(world->monitor, "nobody is there"); /* no session: no news */
	world->on_welcome = lost_data_in_welcome;
	world_connect(world);
	assert_state(world, MONITOR_CONNECTED, "parent-lost-data: batch 9 is gone");
	assert_events(world, "connecting connected");

	world->on_welcome = NULL;
	say_down(world, PARENT_REASON_CLOSED, "closed", 0);
	world_run_to_dial(world, 2, 5 * SEC);
	world_connect(world);
	assert_state(world, MONITOR_CONNECTED, "ok");
	g_string_truncate(world->events, 0);
	monitor_note_lost_data(world->monitor, "revision went back");
	assert_state(world, MONITOR_CONNECTED, "parent-lost-data: revision went back");
	monitor_note_lost_data(world->monitor, "revision went back");
	assert_events(world, "reason");
	world_free(world);
}

static void drop_when_connected(struct world *world, const struct monitor_event *event)
{
	if (event->state == MONITOR_CONNECTED)
		monitor_drop(world->monitor, PARENT_REASON_PROTOCOL, "not this one");
}

static void note_event(void *data, const struct monitor_event *event)
{
	g_string_append_printf(data, " %s", monitor_state_to_string(event->state));
}

/* All listeners hear the same story in the same order, whatever one of them does to it. */
static void test_listener_drops(void)
{
	struct world *world = world_new();
	g_autoptr(GString) heard = g_string_new(NULL);

	world->on_event = drop_when_connected;
	monitor_add_watch(world->monitor, note_event, heard);
	monitor_start(world->monitor);
	say_up(world);
	say_welcome(world);
	say_pong(world, world->fake.last_ping);
	assert_state(world, MONITOR_DISCONNECTED, "protocol: not this one");
	g_assert_cmpstr(heard->str, ==, " connecting connected disconnected");
	assert_events(world, "connecting connected disconnected");
	world_free(world);
}

static void free_when_told(void *data, const struct monitor_event *event)
{
	struct world *world = data;

	if (event->state == MONITOR_CONNECTED)
		world->monitor = monitor_free(world->monitor);
}

static void test_listener_frees(void)
{
	struct world *world = world_new();
	g_autoptr(GString) heard = g_string_new(NULL);

	monitor_add_watch(world->monitor, free_when_told, world);
	monitor_add_watch(world->monitor, note_event, heard);
	monitor_start(world->monitor);
	say_up(world);
	say_welcome(world);
	say_pong(world, world->fake.last_ping);
	g_assert_null(world->monitor);
	g_assert_cmpstr(heard->str, ==, " connecting");
	world_free(world);
}

static void restart_when_lost(struct world *world, const struct monitor_event *event)
{
	world->on_event = NULL;
	g_assert_cmpint(event->state, ==, MONITOR_DISCONNECTED);
	monitor_stop(world->monitor);
	monitor_start(world->monitor);
	monitor_check(world->monitor);
}

static void test_listener_restarts(void)
{
	struct world *world = world_new_connected();

	world->on_event = restart_when_lost;
	say_down(world, PARENT_REASON_CLOSED, "closed", 0);
	assert_state(world, MONITOR_CONNECTING, "start");
	assert_events(world, "disconnected reason connecting");
	world_connect(world);
	world_free(world);
}

/* ---- a random walk ---- */

static void walk_driver(struct world *world, GRand *rand)
{
	struct fake *fake = &world->fake;
	enum parent_reason reason = (enum parent_reason)g_rand_int_range(
		rand, PARENT_REASON_REFUSED, PARENT_REASON_VERSION + 1);

	if (!fake->linked)
		return;
	if (g_rand_int_range(rand, 0, 6) == 0)
		say_down(world, reason, "down", (uint64_t)g_rand_int_range(rand, 0, 2) * SEC);
	else if (!fake->up)
		say_up(world);
	else if (!fake->welcomed)
		say_welcome(world);
	else if (g_rand_int_range(rand, 0, 3) == 0)
		say_message(world);
	else
		say_pong(world, fake->last_ping - g_rand_int_range(rand, 0, 30) / 10);
}

static void walk_user(struct world *world, GRand *rand)
{
	switch (g_rand_int_range(rand, 0, 12)) {
	case 0:
		monitor_stop(world->monitor);
		break;
	case 1:
	case 2:
	case 3:
		monitor_start(world->monitor);
		break;
	case 4:
		monitor_check(world->monitor);
		break;
	case 5:
		monitor_hint(world->monitor);
		break;
	case 6:
		monitor_socket_appeared(world->monitor);
		break;
	case 7:
		monitor_probe(world->monitor);
		break;
	case 8:
		monitor_drop(world->monitor, PARENT_REASON_PROTOCOL, "dropped");
		break;
	case 9:
		monitor_note_lost_data(world->monitor, "lost");
		break;
	case 10:
		monitor_set_parent(world->monitor, &world->fake.parent);
		break;
	case 11:
		world->config.heartbeat_auto_recover = g_rand_int_range(rand, 0, 4) > 0;
		monitor_reconfigured(world->monitor);
		break;
	}
}

static void walk_check(struct world *world)
{
	enum monitor_state state = monitor_state(world->monitor);
	struct fake *fake = &world->fake;
	bool stopped = strcmp(monitor_reason(world->monitor), "stopped") == 0;

	g_assert_cmpint(world->told, ==, state);
	g_assert_cmpint(monitor_ready(world->monitor), ==, state == MONITOR_CONNECTED);
	/* A state says what is there; a link always has a deadline that ends it. */
	if (state == MONITOR_CONNECTED)
		g_assert_true(fake->welcomed);
	if (state == MONITOR_CONNECTING)
		g_assert_true(fake->up || (fake->linked && monitor_first_attempt(world->monitor)));
	if (state == MONITOR_DISCONNECTED)
		g_assert_false(fake->up);
	if (fake->linked)
		g_assert_cmpuint(clock_next(world->clock), !=, USEC_INFINITY);
	/* Never at rest: without a link, a dial is due within the longest wait there is. */
	if (!fake->linked && !stopped && world->config.heartbeat_auto_recover)
		g_assert_cmpuint(clock_next(world->clock), <=, world->now + 60 * SEC);
	if (stopped && state == MONITOR_DISCONNECTED)
		g_assert_cmpuint(clock_next(world->clock), ==, USEC_INFINITY);
}

static void test_random_walk(void)
{
	struct world *world = world_new();
	GRand *rand = g_rand_new_with_seed((guint32)g_test_rand_int());

	for (int i = 0; i < 200000; i++) {
		int what = g_rand_int_range(rand, 0, 10);

		if (what < 5)
			walk_driver(world, rand);
		else if (what < 6)
			walk_user(world, rand);
		else
			world_run(world, (uint64_t)g_rand_int_range(rand, 0, 1500) * MSEC);
		walk_check(world);
		g_string_truncate(world->events, 0);
	}
	g_assert_cmpuint(world_stats(world).connects, >, 1000);

	/* A parent that behaves at last is had, wherever the walk ended. */
	world->config.heartbeat_auto_recover = true;
	monitor_reconfigured(world->monitor);
	monitor_stop(world->monitor);
	monitor_start(world->monitor);
	while (monitor_state(world->monitor) == MONITOR_CONNECTING)
		world_run(world, 100 * MSEC);
	world_run_to_dial(world, world->fake.dials + 1, 60 * SEC);
	world_connect(world);
	g_rand_free(rand);
	world_free(world);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	log_set_max_level(LOG_ERR);
	g_test_add_func("/monitor-redial/backoff-bounds", test_backoff_bounds);
	g_test_add_func("/monitor-redial/backoff-reset", test_backoff_reset);
	g_test_add_func("/monitor-redial/check", test_check);
	g_test_add_func("/monitor-redial/hint-and-probe", test_hint_and_probe);
	g_test_add_func("/monitor-redial/socket-appeared", test_socket_appeared);
	g_test_add_func("/monitor-redial/auto-recover-no", test_auto_recover_no);
	g_test_add_func("/monitor-redial/silence-bounds", test_silence_bounds);
	g_test_add_func("/monitor-redial/busy", test_busy);
	g_test_add_func("/monitor-redial/doubt", test_doubt);
	g_test_add_func("/monitor-redial/reconfigured", test_reconfigured);
	g_test_add_func("/monitor-redial/reason-text", test_reason_text);
	g_test_add_func("/monitor-redial/welcome-ends-it", test_welcome_ends_it);
	g_test_add_func("/monitor-redial/lost-data", test_lost_data);
	g_test_add_func("/monitor-redial/listener-drops", test_listener_drops);
	g_test_add_func("/monitor-redial/listener-frees", test_listener_frees);
	g_test_add_func("/monitor-redial/listener-restarts", test_listener_restarts);
	g_test_add_func("/monitor-redial/random-walk", test_random_walk);
	return g_test_run();
}
