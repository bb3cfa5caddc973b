/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The state table of design §6, row by row.
 */

#include "monitor-world.h"
#include "seed.h"

/* ---- the table: getting there ---- */

static void test_first_attempt(void)
{
	struct world *world = world_new();

	assert_state(world, MONITOR_DISCONNECTED, "stopped");
	monitor_start(world->monitor);
	assert_state(world, MONITOR_CONNECTING, "start");
	g_assert_true(monitor_first_attempt(world->monitor));
	g_assert_cmpuint(world->fake.dials, ==, 1);
	say_up(world);
	world_run(world, 1 * SEC);
	g_assert_cmpuint(world->fake.pings, ==, 0);
	say_welcome(world);
	g_assert_cmpuint(world->fake.pings, ==, 1);
	assert_state(world, MONITOR_CONNECTING, "start");
	g_assert_false(monitor_ready(world->monitor));
	world_run(world, 30 * MSEC);
	say_pong(world, world->fake.last_ping);
	assert_state(world, MONITOR_CONNECTED, "ok");
	g_assert_true(monitor_ready(world->monitor));
	g_assert_false(monitor_first_attempt(world->monitor));
	g_assert_cmpuint(world_stats(world).average_latency, ==, 30 * MSEC);
	g_assert_cmpuint(world_stats(world).last_pong_time, ==,
			 world_now(world, CLOCK_REALTIME));
	g_assert_cmpuint(world_stats(world).connects, ==, 1);
	g_assert_cmpstr(monitor_last_error(world->monitor), ==, "");
	assert_events(world, "connecting connected");
	world_free(world);
}

static void test_refused_does_not_flap(void)
{
	struct world *world = world_new();
	unsigned int dials = 1;

	monitor_start(world->monitor);
	say_down(world, PARENT_REASON_REFUSED, "no such file", 0);
	assert_state(world, MONITOR_DISCONNECTED, "refused: no such file");
	g_assert_false(monitor_first_attempt(world->monitor));
	assert_events(world, "connecting disconnected");

	/* A hundred refusals later nothing was told but a reason that changed. */
	for (; dials < 100; dials++) {
		world_run_to_dial(world, dials + 1, 5 * SEC);
		say_down(world, PARENT_REASON_REFUSED, "no such file", 0);
	}
	assert_events(world, "");
	world_run_to_dial(world, ++dials, 5 * SEC);
	say_down(world, PARENT_REASON_REFUSED, "connection refused", 0);
	assert_events(world, "reason");
	assert_state(world, MONITOR_DISCONNECTED, "refused: connection refused");
	g_assert_cmpuint(world_stats(world).disconnects, ==, 1);

	/* A transport that is up does show. */
	world_run_to_dial(world, ++dials, 5 * SEC);
	say_up(world);
	assert_state(world, MONITOR_CONNECTING, "refused: connection refused");
	say_welcome(world);
	say_pong(world, world->fake.last_ping);
	assert_events(world, "connecting connected");
	world_free(world);
}

static void test_dial_timeout(void)
{
	struct world *world = world_new();

	monitor_start(world->monitor);
	world_run(world, 2 * SEC - 1);
	assert_state(world, MONITOR_CONNECTING, "start");
	world_run(world, 1);
	assert_state(world, MONITOR_DISCONNECTED,
		     "timeout: the parent could not be reached within DialTimeout");
	g_assert_false(world->fake.linked);

	/* The time for the welcome counts from the dial, not from the transport. */
	world_run_to_dial(world, 2, 5 * SEC);
	world_run(world, 1500 * MSEC);
	say_up(world);
	world_run(world, 499 * MSEC);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_CONNECTING);
	world_run(world, 1 * MSEC);
	assert_state(world, MONITOR_DISCONNECTED,
		     "timeout: the parent said no welcome within DialTimeout");
	assert_events(world, "connecting disconnected connecting disconnected");
	world_free(world);
}

static void test_connecting_silence(void)
{
	struct world *world = world_new();

	monitor_start(world->monitor);
	say_up(world);
	say_welcome(world);
	world_run(world, 3 * SEC - 1);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_CONNECTING);
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 2);
	g_assert_cmpuint(world->fake.pings, ==, 9);
	world_run(world, 1);
	assert_state(world, MONITOR_DISCONNECTED,
		     "timeout: the parent left 3 pings in a row unanswered");
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 3);
	world_run_to_dial(world, 2, 5 * SEC);
	say_up(world);
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 0);
	world_free(world);
}

/* Any other message proves nothing before the first pong. */
static void test_connecting_message(void)
{
	struct world *world = world_new();

	monitor_start(world->monitor);
	say_up(world);
	say_welcome(world);
	for (int i = 0; i < 29; i++) {
		world_run(world, 100 * MSEC);
		say_message(world);
		g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_CONNECTING);
	}
	world_run(world, 100 * MSEC);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_DISCONNECTED);
	world_free(world);
}

/* Many windows may pass; a pong to a ping too old to be remembered still is a pong of this line. */
static void test_connecting_late_pong(void)
{
	struct world *world = world_new();
	int64_t first;

	world->config.heartbeat_max_failed = 100;
	monitor_start(world->monitor);
	say_up(world);
	say_welcome(world);
	first = world->fake.last_ping;
	world_run(world, 50 * SEC);
	say_pong(world, first);
	assert_state(world, MONITOR_CONNECTED, "ok");
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 0);
	world_free(world);
}

static void test_wrong_pongs(void)
{
	struct world *world = world_new();
	int64_t old;

	monitor_start(world->monitor);
	say_up(world);
	say_pong(world, 5);
	assert_state(world, MONITOR_DISCONNECTED,
		     "protocol: the parent answered a ping that was not sent");
	world_run_to_dial(world, 2, 5 * SEC);
	say_up(world);
	say_welcome(world);
	say_pong(world, world->fake.last_ping + 1);
	g_assert_cmpint(monitor_state(world->monitor), ==, MONITOR_DISCONNECTED);

	world_run_to_dial(world, 3, 5 * SEC);
	world_connect(world);
	old = world->fake.last_ping;
	/* Twice the same is an echo, not an invention. */
	say_pong(world, old);
	say_pong(world, old);
	assert_state(world, MONITOR_CONNECTED, "ok");
	say_down(world, PARENT_REASON_CLOSED, "closed", 0);

	/* A late pong of an old connection must not bring up the new one. */
	world_run_to_dial(world, 4, 5 * SEC);
	say_up(world);
	say_welcome(world);
	say_pong(world, old);
	assert_state(world, MONITOR_DISCONNECTED,
		     "protocol: the parent answered a ping that was not sent");
	world_free(world);
}

/* ---- the table: being there ---- */

static void test_interval(void)
{
	struct world *world = world_new_connected();
	unsigned int pings = world->fake.pings;

	world_run(world, 5 * SEC - 1);
	g_assert_cmpuint(world->fake.pings, ==, pings);
	world_run(world, 1);
	g_assert_cmpuint(world->fake.pings, ==, pings + 1);
	world_run(world, 20 * MSEC);
	say_pong(world, world->fake.last_ping);
	world_run_answering(world, 50 * SEC);
	g_assert_cmpuint(world->fake.pings, ==, pings + 11);
	assert_events(world, "");
	g_assert_cmpuint(world_stats(world).total_pings, ==, world->fake.pings);
	g_assert_cmpuint(world_stats(world).total_pongs, ==, world->fake.pings);
	g_assert_cmpuint(world_stats(world).average_latency, ==, 1); /* the floor, ten times */
	world_free(world);
}

static void test_failed_pings_and_recovery(void)
{
	struct world *world = world_new_connected();

	world_run(world, 5 * SEC + 1 * SEC);
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 1);
	world_run(world, 1 * SEC);
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 2);
	say_message(world);
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 0);
	world_run(world, 5 * SEC + 1 * SEC);
	g_assert_cmpuint(world_stats(world).failed_pings, >=, 1);
	say_pong(world, world->fake.last_ping - 4); /* of an earlier window */
	g_assert_cmpuint(world_stats(world).failed_pings, ==, 0);
	assert_events(world, "");
	world_free(world);
}

static void test_closed(void)
{
	struct world *world = world_new_connected();

	say_down(world, PARENT_REASON_CLOSED, "the peer closed the connection", 0);
	assert_state(world, MONITOR_DISCONNECTED, "closed: the peer closed the connection");
	g_assert_cmpstr(monitor_last_error(world->monitor), ==,
			"closed: the peer closed the connection");
	assert_events(world, "disconnected");
	world_run_to_dial(world, 2, 5 * SEC);
	world_connect(world);
	assert_state(world, MONITOR_CONNECTED, "ok");
	g_assert_cmpstr(monitor_last_error(world->monitor), ==,
			"closed: the peer closed the connection");
	g_assert_cmpuint(world_stats(world).connects, ==, 2);
	world_free(world);
}

static void test_hold(void)
{
	static const enum parent_reason reasons[] = { PARENT_REASON_AUTH, PARENT_REASON_VERSION };
	struct world *world = world_new();
	unsigned int dials = 1;

	monitor_start(world->monitor);
	for (unsigned int i = 0; i < G_N_ELEMENTS(reasons); i++) {
		say_up(world);
		say_down(world, reasons[i], "go away", 0);
		g_assert_true(g_str_has_prefix(monitor_reason(world->monitor),
					       parent_reason_to_string(reasons[i])));
		world_run(world, 60 * SEC - 1);
		g_assert_cmpuint(world->fake.dials, ==, dials);
		world_run(world, 1);
		g_assert_cmpuint(world->fake.dials, ==, ++dials);
	}
	/* After the welcome too, and CheckConnection, a hint, a new socket end it. */
	world_connect(world);
	say_down(world, PARENT_REASON_AUTH, "token revoked", 0);
	monitor_check(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, ++dials);
	say_down(world, PARENT_REASON_AUTH, "token revoked", 0);
	monitor_hint(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, ++dials);
	say_down(world, PARENT_REASON_AUTH, "token revoked", 0);
	monitor_socket_appeared(world->monitor);
	g_assert_cmpuint(world->fake.dials, ==, ++dials);

	/* Another failure than a refusal of ours goes back to the backoff. */
	say_down(world, PARENT_REASON_REFUSED, "no such file", 0);
	world_run_to_dial(world, ++dials, 5 * SEC);
	world_free(world);
}

static void test_retry_after(void)
{
	struct world *world = world_new();

	monitor_start(world->monitor);
	say_up(world);
	say_down(world, PARENT_REASON_REFUSED, "full", 20 * SEC);
	assert_state(world, MONITOR_DISCONNECTED, "refused: full");
	world_run(world, 20 * SEC - 1);
	g_assert_cmpuint(world->fake.dials, ==, 1);
	world_run_to_dial(world, 2, 5 * SEC);
	say_down(world, PARENT_REASON_REFUSED, "full", 1);
	world_run_to_dial(world, 3, 5 * SEC);
	world_free(world);
}

static void test_set_parent(void)
{
	struct world *world = world_new_connected();
	struct fake other;

	fake_init(&other, world);
	monitor_set_parent(world->monitor, &other.parent);
	assert_state(world, MONITOR_DISCONNECTED, "closed: another parent is to be used");
	g_assert_false(world->fake.linked);
	g_assert_cmpuint(other.dials, ==, 1);
	assert_events(world, "disconnected");

	/* From disconnected, in hold even: dialled at once, and nothing to tell. */
	other.linked = false;
	other.parent.link->down(other.parent.link_data, PARENT_REASON_AUTH, "no", 0);
	g_string_truncate(world->events, 0);
	monitor_set_parent(world->monitor, &world->fake.parent);
	g_assert_cmpuint(world->fake.dials, ==, 2);
	assert_state(world, MONITOR_DISCONNECTED, "auth: no");
	assert_events(world, "");
	say_up(world);
	monitor_set_parent(world->monitor, NULL);
	assert_events(world, "connecting disconnected");
	g_assert_cmpuint(clock_next(world->clock), ==, USEC_INFINITY);
	monitor_check(world->monitor);
	monitor_hint(world->monitor);
	monitor_stop(world->monitor);
	monitor_start(world->monitor);
	assert_state(world, MONITOR_DISCONNECTED, "start");
	g_assert_false(monitor_first_attempt(world->monitor));
	monitor_set_parent(world->monitor, &world->fake.parent);
	world_connect(world);
	world_free(world);
}

static void test_stop_and_start(void)
{
	struct world *world = world_new_connected();

	monitor_stop(world->monitor);
	assert_state(world, MONITOR_DISCONNECTED, "stopped");
	g_assert_false(world->fake.linked);
	g_assert_cmpuint(clock_next(world->clock), ==, USEC_INFINITY);
	monitor_check(world->monitor);
	monitor_hint(world->monitor);
	monitor_socket_appeared(world->monitor);
	monitor_reconfigured(world->monitor);
	monitor_drop(world->monitor, PARENT_REASON_PROTOCOL, "late");
	world_run(world, 600 * SEC);
	g_assert_cmpuint(world->fake.dials, ==, 1);
	assert_events(world, "disconnected");
	g_assert_cmpstr(monitor_last_error(world->monitor), ==, "");
	monitor_start(world->monitor);
	g_assert_true(monitor_first_attempt(world->monitor));
	world_connect(world);
	assert_events(world, "connecting connected");
	world_free(world);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	log_set_max_level(LOG_ERR);
	g_test_add_func("/monitor/first-attempt", test_first_attempt);
	g_test_add_func("/monitor/refused-does-not-flap", test_refused_does_not_flap);
	g_test_add_func("/monitor/dial-timeout", test_dial_timeout);
	g_test_add_func("/monitor/connecting-silence", test_connecting_silence);
	g_test_add_func("/monitor/connecting-message", test_connecting_message);
	g_test_add_func("/monitor/connecting-late-pong", test_connecting_late_pong);
	g_test_add_func("/monitor/wrong-pongs", test_wrong_pongs);
	g_test_add_func("/monitor/interval", test_interval);
	g_test_add_func("/monitor/failed-pings", test_failed_pings_and_recovery);
	g_test_add_func("/monitor/closed", test_closed);
	g_test_add_func("/monitor/hold", test_hold);
	g_test_add_func("/monitor/retry-after", test_retry_after);
	g_test_add_func("/monitor/set-parent", test_set_parent);
	g_test_add_func("/monitor/stop-and-start", test_stop_and_start);
	return g_test_run();
}
