/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The failure detector, driven as its owner drives it: open, send, tick at each deadline. Time is
 * a number; minutes of silence take microseconds.
 */

#include <glib.h>
#include <string.h>

#include "core/heartbeat.h"
#include "seed.h"

#define MSEC UINT64_C(1000)
#define SEC  (1000 * MSEC)
#define T0   (1000 * SEC)

static const struct heartbeat_params defaults = {
	.interval = 5 * SEC,
	.timeout = 2 * SEC,
	.max_failed = 3,
};

/* The owner: it sends where told and remembers when it did. */
struct driver {
	struct heartbeat hb;
	uint64_t now;
	int64_t id;
	uint64_t sent[64];
	unsigned int n_sent;
};

static void driver_init(struct driver *d, const struct heartbeat_params *params)
{
	memset(d, 0, sizeof(*d));
	heartbeat_init(&d->hb, params);
	d->now = T0;
}

static enum heartbeat_verdict driver_obey(struct driver *d, enum heartbeat_verdict verdict)
{
	if (verdict == HEARTBEAT_PING || verdict == HEARTBEAT_FAILED) {
		heartbeat_sent(&d->hb, ++d->id, d->now);
		d->sent[d->n_sent++ % G_N_ELEMENTS(d->sent)] = d->now;
	}
	return verdict;
}

static enum heartbeat_verdict driver_open(struct driver *d)
{
	return driver_obey(d, heartbeat_open(&d->hb, d->now));
}

/* Goes to the next deadline. */
static enum heartbeat_verdict driver_step(struct driver *d, bool busy)
{
	uint64_t deadline = heartbeat_deadline(&d->hb);

	g_assert_cmpuint(deadline, !=, UINT64_MAX);
	d->now = MAX(d->now, deadline);
	return driver_obey(d, heartbeat_tick(&d->hb, d->now, busy));
}

static void driver_pong(struct driver *d, uint64_t rtt)
{
	uint64_t measured = 0;

	d->now += rtt;
	g_assert_true(heartbeat_pong(&d->hb, d->id, d->now, &measured));
	g_assert_cmpuint(measured, ==, rtt);
}

/* Steps until the verdict is not a mere PING. */
static enum heartbeat_verdict driver_window(struct driver *d)
{
	enum heartbeat_verdict verdict;

	do
		verdict = driver_step(d, false);
	while (verdict == HEARTBEAT_PING);
	return verdict;
}

static void test_idle(void)
{
	struct driver d;

	driver_init(&d, &defaults);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, UINT64_MAX);
	g_assert_cmpint(heartbeat_tick(&d.hb, T0 + 3600 * SEC, false), ==, HEARTBEAT_WAIT);

	/* A healthy peer: one ping each interval, from opening to opening. */
	g_assert_cmpint(driver_open(&d), ==, HEARTBEAT_PING);
	for (unsigned int i = 0; i < 10; i++) {
		g_assert_cmpuint(d.sent[i], ==, T0 + i * 5 * SEC);
		driver_pong(&d, 3 * MSEC);
		g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, T0 + (i + 1) * 5 * SEC);
		g_assert_cmpint(heartbeat_tick(&d.hb, d.now, false), ==, HEARTBEAT_WAIT);
		g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_PING);
	}
	g_assert_cmpuint(d.n_sent, ==, 11);
}

/* The design's figure: with defaults a parent that falls silent is lost within 8 s. */
static void test_silent_idle(void)
{
	struct driver d;
	uint64_t silent;

	driver_init(&d, &defaults);
	driver_open(&d);
	driver_pong(&d, 2 * MSEC);
	silent = d.now;
	g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_PING);
	for (unsigned int failed = 1; failed < 3; failed++) {
		g_assert_cmpint(driver_window(&d), ==, HEARTBEAT_FAILED);
		g_assert_cmpuint(d.hb.failed, ==, failed);
		g_assert_cmpuint(d.now, ==, T0 + (5 + failed) * SEC);
	}
	g_assert_cmpint(driver_window(&d), ==, HEARTBEAT_LOST);
	g_assert_cmpuint(d.hb.failed, ==, 3);
	g_assert_cmpuint(d.now - silent, <=, 8 * SEC);
	g_assert_cmpuint(d.now, ==, T0 + 8 * SEC);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, UINT64_MAX);
	g_assert_cmpint(heartbeat_tick(&d.hb, d.now + SEC, false), ==, HEARTBEAT_WAIT);
}

/* Under traffic a request left alone for 500 ms opens a window: at most 4 s. */
static void test_silent_traffic(void)
{
	struct driver d;
	uint64_t silent;

	driver_init(&d, &defaults);
	driver_open(&d);
	driver_pong(&d, 2 * MSEC);
	silent = d.now;
	d.now += 500 * MSEC;
	g_assert_cmpint(driver_open(&d), ==, HEARTBEAT_PING);
	g_assert_cmpint(driver_open(&d), ==, HEARTBEAT_WAIT);
	while (driver_window(&d) != HEARTBEAT_LOST)
		;
	g_assert_cmpuint(d.now - silent, ==, 3500 * MSEC);
}

static void test_probes_spacing(void)
{
	struct driver d;

	driver_init(&d, &defaults);
	driver_open(&d);
	g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_PING);
	g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_PING);
	g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_FAILED);
	g_assert_cmpuint(d.n_sent, ==, 4);
	for (unsigned int i = 0; i < 3; i++)
		g_assert_cmpuint(d.sent[i], ==, T0 + i * (SEC / 3));
	g_assert_cmpuint(d.sent[3], ==, T0 + SEC);

	/* A loop that stood still for most of the window does not send in a burst. */
	driver_init(&d, &defaults);
	driver_open(&d);
	d.now = T0 + 900 * MSEC;
	g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_PING);
	g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_FAILED);
	g_assert_cmpuint(d.now, ==, T0 + SEC);
	/* And one that stood still for minutes has one failed window, not many. */
	d.now += 600 * SEC;
	g_assert_cmpint(driver_step(&d, false), ==, HEARTBEAT_FAILED);
	g_assert_cmpuint(d.hb.failed, ==, 2);
	g_assert_cmpuint(d.hb.window_opened, ==, d.now);
}

static void test_window_length(void)
{
	static const struct {
		uint64_t rtt, timeout, length;
	} cases[] = {
		{ 1, 2 * SEC, 1 * SEC },
		{ 250 * MSEC, 2 * SEC, 1 * SEC },
		{ 300 * MSEC, 2 * SEC, 1200 * MSEC },
		{ 500 * MSEC, 2 * SEC, 2 * SEC },
		{ 900 * MSEC, 2 * SEC, 2 * SEC },
		{ 900 * MSEC, 10 * SEC, 3600 * MSEC },
		{ 1, 200 * MSEC, 200 * MSEC },
		{ 900 * MSEC, UINT64_MAX, 3600 * MSEC },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct heartbeat_params params = defaults;
		struct driver d;

		params.timeout = MAX(cases[i].timeout, cases[i].rtt);
		driver_init(&d, &params);
		driver_open(&d);
		driver_pong(&d, cases[i].rtt);
		params.timeout = cases[i].timeout;
		heartbeat_set_params(&d.hb, &params);
		driver_step(&d, false);
		g_assert_cmpuint(d.hb.window_length, ==, cases[i].length);
	}
}

static void test_srtt(void)
{
	struct driver d;

	driver_init(&d, &defaults);
	driver_open(&d);
	driver_pong(&d, 80 * MSEC);
	g_assert_cmpuint(d.hb.srtt, ==, 80 * MSEC);
	driver_step(&d, false);
	driver_pong(&d, 160 * MSEC);
	g_assert_cmpuint(d.hb.srtt, ==, 90 * MSEC);
	driver_step(&d, false);
	driver_pong(&d, 10 * MSEC);
	g_assert_cmpuint(d.hb.srtt, ==, 80 * MSEC);
}

static void test_late_pong(void)
{
	struct driver d;
	uint64_t rtt = 12345;

	driver_init(&d, &defaults);
	driver_open(&d);
	g_assert_cmpint(driver_window(&d), ==, HEARTBEAT_FAILED);
	g_assert_cmpuint(d.hb.failed, ==, 1);
	d.now += 100 * MSEC;
	/* The answer to the first probe, in the second window. */
	g_assert_true(heartbeat_pong(&d.hb, 1, d.now, &rtt));
	g_assert_cmpuint(rtt, ==, 1100 * MSEC);
	g_assert_cmpuint(d.hb.failed, ==, 0);
	g_assert_cmpuint(d.hb.window_opened, ==, 0);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, T0 + 6 * SEC);

	/* Each once; what was never sent, and 0, not at all: and nothing changes. */
	driver_step(&d, false);
	rtt = 12345;
	for (int i = 0; i < 3; i++) {
		static const int64_t bad[] = { 1, 0, 999 };
		struct heartbeat before = d.hb;

		g_assert_false(heartbeat_pong(&d.hb, bad[i], d.now, &rtt));
		g_assert_cmpmem(&before, sizeof(before), &d.hb, sizeof(d.hb));
	}
	g_assert_cmpuint(rtt, ==, 12345);
	g_assert_true(heartbeat_pong(&d.hb, 2, d.now, &rtt));
	/* A round trip is at least 1 usec, even if the clock says 0. */
	d.now += SEC;
	driver_open(&d);
	g_assert_true(heartbeat_pong(&d.hb, d.id, d.now, &rtt));
	g_assert_cmpuint(rtt, ==, 1);
}

/* The 16 latest pings are remembered, the one before them is not. */
static void test_ring(void)
{
	struct heartbeat_params params = defaults;
	struct driver d;
	uint64_t rtt;

	params.max_failed = 100;
	driver_init(&d, &params);
	driver_open(&d);
	while (d.id < HEARTBEAT_PINGS + 1)
		driver_step(&d, false);
	g_assert_false(heartbeat_pong(&d.hb, 1, d.now, &rtt));
	g_assert_true(heartbeat_pong(&d.hb, 2, d.now, &rtt));
	/* A new connection knows nothing of the old one's pings. */
	heartbeat_init(&d.hb, &params);
	g_assert_false(heartbeat_pong(&d.hb, d.id, d.now, &rtt));
}

static void test_message(void)
{
	struct driver d;

	driver_init(&d, &defaults);
	driver_open(&d);
	driver_window(&d);
	driver_window(&d);
	g_assert_cmpuint(d.hb.failed, ==, 2);
	d.now += 10 * MSEC;
	heartbeat_message(&d.hb, d.now);
	g_assert_cmpuint(d.hb.failed, ==, 0);
	g_assert_cmpuint(d.hb.window_opened, ==, 0);
	g_assert_cmpuint(d.hb.srtt, ==, 0);
	/* The second failure opened the last window at 2 s. */
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, T0 + 7 * SEC);
	heartbeat_message(&d.hb, d.now);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, T0 + 7 * SEC);

	heartbeat_init(&d.hb, &defaults);
	heartbeat_message(&d.hb, d.now);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, UINT64_MAX);
}

static void test_busy(void)
{
	struct driver d;

	driver_init(&d, &defaults);
	driver_open(&d);
	driver_window(&d);
	g_assert_cmpuint(d.hb.failed, ==, 1);
	for (int i = 0; i < 300; i++)
		g_assert_cmpint(driver_step(&d, true), ==, HEARTBEAT_PING);
	g_assert_cmpuint(d.hb.failed, ==, 1);
	g_assert_cmpuint(d.now, >, T0 + 60 * SEC);
	/* The line is through and still nothing comes: the count goes on. */
	g_assert_cmpint(driver_window(&d), ==, HEARTBEAT_FAILED);
	g_assert_cmpint(driver_window(&d), ==, HEARTBEAT_LOST);
}

static void test_boundaries(void)
{
	struct heartbeat_params params = { .interval = SEC, .timeout = SEC, .max_failed = 1 };
	struct driver d;
	uint64_t rtt;

	driver_init(&d, &params);
	driver_open(&d);
	driver_step(&d, false);
	driver_step(&d, false);
	/* One usec before the end the window is open; at its end it has failed. */
	g_assert_cmpint(heartbeat_tick(&d.hb, T0 + SEC - 1, false), ==, HEARTBEAT_WAIT);
	g_assert_true(heartbeat_pong(&d.hb, 1, T0 + SEC - 1, &rtt));
	driver_step(&d, false);
	g_assert_cmpuint(d.now, ==, T0 + SEC);
	g_assert_cmpint(driver_window(&d), ==, HEARTBEAT_LOST);
	g_assert_cmpuint(d.hb.failed, ==, 1);

	/* A clock that starts at 0 opens a window all the same. */
	heartbeat_init(&d.hb, &params);
	g_assert_cmpint(heartbeat_open(&d.hb, 0), ==, HEARTBEAT_PING);
	heartbeat_sent(&d.hb, 1, 0);
	g_assert_cmpint(heartbeat_open(&d.hb, 0), ==, HEARTBEAT_WAIT);
}

static void test_set_params(void)
{
	struct heartbeat_params params = {
		.interval = SEC,
		.timeout = 100 * MSEC,
		.max_failed = 2,
	};
	struct driver d;

	driver_init(&d, &defaults);
	driver_open(&d);
	driver_window(&d);
	driver_window(&d);
	heartbeat_set_params(&d.hb, &params);
	g_assert_cmpuint(d.hb.window_length, ==, SEC); /* the open one stays */
	g_assert_cmpuint(d.hb.failed, ==, 2);
	driver_pong(&d, 50 * MSEC);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, T0 + 3 * SEC);
	driver_step(&d, false);
	g_assert_cmpuint(d.hb.window_length, ==, 100 * MSEC);
	driver_window(&d);
	params.max_failed = 1;
	heartbeat_set_params(&d.hb, &params);
	g_assert_cmpuint(d.hb.failed, ==, 1);
	g_assert_cmpint(driver_window(&d), ==, HEARTBEAT_LOST);
	g_assert_cmpuint(d.hb.failed, ==, 1);

	/* From "never" and back. */
	params.interval = UINT64_MAX;
	driver_init(&d, &params);
	driver_open(&d);
	driver_pong(&d, MSEC);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, UINT64_MAX);
	params.interval = SEC;
	heartbeat_set_params(&d.hb, &params);
	g_assert_cmpuint(heartbeat_deadline(&d.hb), ==, T0 + SEC);
}

static void test_latency(void)
{
	struct latency latency = { 0 };

	g_assert_cmpuint(latency_mean(&latency), ==, 0);
	latency_add(&latency, 10);
	g_assert_cmpuint(latency_mean(&latency), ==, 10);
	latency_add(&latency, 11);
	g_assert_cmpuint(latency_mean(&latency), ==, 11); /* 10.5, rounded */
	for (uint64_t i = 1; i <= 10; i++)
		latency_add(&latency, 100 * i);
	g_assert_cmpuint(latency_mean(&latency), ==, 550);
	latency_add(&latency, 1100); /* the 100 goes */
	g_assert_cmpuint(latency_mean(&latency), ==, 650);
}

static void random_params(GRand *rand, struct heartbeat_params *params)
{
	params->interval = (uint64_t)g_rand_int_range(rand, 10, 10000) * MSEC;
	params->timeout = (uint64_t)g_rand_int_range(rand, 10, 5000) * MSEC;
	params->max_failed = (unsigned int)g_rand_int_range(rand, 1, 6);
}

/* Any event at any time, ticks late by any amount. Return: false when the peer is lost. */
static bool random_event(struct driver *d, struct heartbeat_params *params, GRand *rand)
{
	uint64_t rtt, deadline = heartbeat_deadline(&d->hb);
	enum heartbeat_verdict verdict;
	int64_t id;

	switch (g_rand_int_range(rand, 0, 12)) {
	case 0:
		driver_open(d);
		return true;
	case 1:
		id = g_rand_int_range(rand, 0, (int)d->id + 3);
		if (heartbeat_pong(&d->hb, id, d->now, &rtt)) {
			g_assert_cmpuint(rtt, >=, 1);
			g_assert_cmpuint(d->hb.failed, ==, 0);
		}
		return true;
	case 2:
		heartbeat_message(&d->hb, d->now);
		g_assert_cmpuint(d->hb.failed, ==, 0);
		return true;
	case 3:
		random_params(rand, params);
		params->timeout = MAX(params->timeout, d->hb.window_length);
		heartbeat_set_params(&d->hb, params);
		return true;
	case 4:
		d->now += (uint64_t)g_rand_int_range(rand, 0, 3000) * MSEC;
		break;
	default:
		if (deadline != UINT64_MAX)
			d->now = MAX(d->now, deadline);
		break;
	}
	verdict = heartbeat_tick(&d->hb, d->now, g_rand_int_range(rand, 0, 8) == 0);
	driver_obey(d, verdict);
	if (verdict == HEARTBEAT_LOST) {
		g_assert_cmpuint(d->hb.failed, ==, params->max_failed);
		return false;
	}
	/* After a tick there is something to wait for, and it lies ahead. */
	g_assert_cmpuint(heartbeat_deadline(&d->hb), >, d->now);
	return true;
}

static void test_random(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());
	unsigned int lost = 0;

	for (int run = 0; run < 1000; run++) {
		struct heartbeat_params params;
		struct driver d;

		random_params(rand, &params);
		driver_init(&d, &params);
		driver_open(&d);
		for (int step = 0; step < 300; step++) {
			if (!random_event(&d, &params, rand)) {
				lost++;
				break;
			}
			g_assert_cmpuint(d.hb.failed, <=, params.max_failed);
			g_assert_cmpuint(d.hb.probes, <=, HEARTBEAT_PROBES);
			if (d.hb.window_opened)
				g_assert_cmpuint(d.hb.window_length, <=, params.timeout);
			else
				g_assert_cmpuint(d.hb.failed, ==, 0);
		}
	}
	g_assert_cmpuint(lost, >, 10);
}

int main(int argc, char *argv[])
{
	seed_init(&argc, &argv);
	g_test_add_func("/heartbeat/idle", test_idle);
	g_test_add_func("/heartbeat/silent-idle", test_silent_idle);
	g_test_add_func("/heartbeat/silent-traffic", test_silent_traffic);
	g_test_add_func("/heartbeat/probes-spacing", test_probes_spacing);
	g_test_add_func("/heartbeat/window-length", test_window_length);
	g_test_add_func("/heartbeat/srtt", test_srtt);
	g_test_add_func("/heartbeat/late-pong", test_late_pong);
	g_test_add_func("/heartbeat/ring", test_ring);
	g_test_add_func("/heartbeat/message", test_message);
	g_test_add_func("/heartbeat/busy", test_busy);
	g_test_add_func("/heartbeat/boundaries", test_boundaries);
	g_test_add_func("/heartbeat/set-params", test_set_params);
	g_test_add_func("/heartbeat/latency", test_latency);
	g_test_add_func("/heartbeat/random", test_random);
	return g_test_run();
}
