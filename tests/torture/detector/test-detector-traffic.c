/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A parent that falls silent while it is being used: a whole engine, whose gets and batches are
 * what makes its monitor suspicious. The parent freezes at a random moment; the clients go on.
 */

#include "../torture.h"
#include "base/log.h"
#include "engine-bench.h"

#define HOUR (3600 * SEC)

/* What the clients do. A request leaves at least this often, where nothing is held back longer. */
enum traffic { TRAFFIC_READS, TRAFFIC_WRITES, TRAFFIC_TYPING };
#define GAP_MAX (300 * MSEC)

static uint32_t seed;

struct user {
	struct bench *bench;
	GRand *rand;
	enum traffic traffic;
	unsigned int calls;
	uint64_t next;		/* when it calls again */
	uint64_t lost_at;	/* when the state last ceased to be connected; 0: not since armed */
};

static struct monitor *monitor_of(const struct user *user)
{
	return storage_monitor(user->bench->storage);
}

static void user_told(void *data, const struct monitor_event *event)
{
	struct user *user = data;

	if (event->old_state == MONITOR_CONNECTED && event->state != MONITOR_CONNECTED)
		user->lost_at = user->bench->now;
}

static void user_call(struct user *user)
{
	g_autofree char *key = g_strdup_printf("k%u", user->calls++ % 1000);

	switch (user->traffic) {
	case TRAFFIC_READS:
		bench_get_full(user->bench, key, READER_PARENT, USEC_INFINITY);
		break;
	case TRAFFIC_WRITES:
		bench_set(user->bench, key, "v");
		break;
	case TRAFFIC_TYPING:
		bench_set(user->bench, "draft", key);
		break;
	}
	user->next = user->bench->now + (uint64_t)(g_rand_double(user->rand) * (double)GAP_MAX);
}

/* Let time pass with traffic, up to @until or until the parent is lost. */
static void user_run(struct user *user, uint64_t until)
{
	struct bench *bench = user->bench;

	user->next = MAX(user->next, bench->now);
	while (bench->now < until && !user->lost_at) {
		bench_run(bench, MIN(MIN(user->next, until) - bench->now, 10 * MSEC));
		if (bench->now >= user->next)
			user_call(user);
	}
	bench_sweep(bench);
}

static void user_open(struct user *user, enum traffic traffic, uint64_t latency)
{
	user->bench = bench_new(NULL);
	user->rand = g_rand_new_with_seed(seed);
	user->traffic = traffic;
	user->bench->world->latency = latency;
	bench_start(user->bench);
	bench_run(user->bench, 2 * SEC);
	monitor_add_watch(monitor_of(user), user_told, user);
}

/* A call whose parent has gone is answered within 5 s; what is queued goes out when it is back. */
static void user_settle(struct user *user)
{
	uint64_t until = user->bench->now + 60 * SEC;

	fake_thaw(user->bench->world);
	bench_run(user->bench, 6 * SEC);
	while (!monitor_ready(monitor_of(user))) {
		g_assert_cmpuint(user->bench->now, <, until);
		bench_run(user->bench, SEC);
	}
	bench_drain(user->bench, 10 * SEC);
	bench_sweep(user->bench);
	user->lost_at = 0;
}

static void user_close(struct user *user)
{
	bench_stop(user->bench);
	bench_free(user->bench);
	g_rand_free(user->rand);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Return: seconds, sorted. */
static double *silences(enum traffic traffic, uint64_t latency, unsigned int trials)
{
	double *seconds = g_new(double, trials);
	struct user user = { 0 };

	user_open(&user, traffic, latency);
	for (unsigned int i = 0; i < trials; i++) {
		uint64_t frozen_at = user.bench->now + 5 * SEC +
				     (uint64_t)(g_rand_double(user.rand) * 5e6);

		user_run(&user, frozen_at);
		g_assert_true(monitor_ready(monitor_of(&user)));
		user.bench->world->frozen = true;
		user_run(&user, frozen_at + 20 * SEC);
		g_assert_cmpuint(user.lost_at, >, 0);
		seconds[i] = (double)(user.lost_at - frozen_at) / 1e6;
		user_settle(&user);
	}
	user_close(&user);
	qsort(seconds, trials, sizeof(double), compare_doubles);
	return seconds;
}

static const struct {
	const char *name;
	double demand;	/* seconds */
} traffics[] = {
	[TRAFFIC_READS] = { "reads", 4 },
	[TRAFFIC_WRITES] = { "writes", 4 },
	/* One key, written again and again, is held back for 2 s: what leaves is a batch each 2 s. */
	[TRAFFIC_TYPING] = { "typing", 6 },
};

static void test_silent_under_traffic(void)
{
	static const uint64_t latencies[] = { 50, 10 * MSEC, 100 * MSEC };
	unsigned int trials = torture_long() ? 300 : 25;

	printf("# silent, in use   round trip    min  median    max  s\n");
	for (size_t i = 0; i < G_N_ELEMENTS(traffics); i++) {
		for (size_t j = 0; j < G_N_ELEMENTS(latencies); j++) {
			g_autofree double *seconds = silences((enum traffic)i, latencies[j], trials);
			double rtt = 2 * (double)latencies[j] / 1000;
			double median = seconds[trials / 2], max = seconds[trials - 1];

			printf("# %14s %9.1f ms %6.1f %7.1f %6.1f\n", traffics[i].name, rtt,
			       seconds[0], median, max);
			torture_figure("silent parent, under traffic", "%s, round trip %.1f ms:"
				       " median %.1f s, at most %.1f s", traffics[i].name, rtt,
				       median, max);
			g_assert_cmpfloat(max, <=, traffics[i].demand);
		}
	}
}

/* Traffic makes no pings of its own, and nobody suspicious, while it is answered. */
static void test_pings_under_traffic(void)
{
	unsigned int hours = torture_long() ? 20 : 1;

	for (size_t i = 0; i < G_N_ELEMENTS(traffics); i++) {
		struct user user = { 0 };
		unsigned int before;

		user_open(&user, (enum traffic)i, 10 * MSEC);
		before = user.bench->world->pings;
		for (unsigned int hour = 1; hour <= hours; hour++)
			user_run(&user, user.bench->now + HOUR);
		g_assert_cmpuint(user.lost_at, ==, 0);
		g_assert_cmpuint(user.bench->world->pings - before, <=, hours * 720);
		torture_figure("pings under traffic", "%s: %u an hour", traffics[i].name,
			       (user.bench->world->pings - before) / hours);
		user_settle(&user);
		user_close(&user);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	log_set_max_level(LOG_ERR);
	seed = torture_seed();
	g_test_add_func("/detector/silent-under-traffic", test_silent_under_traffic);
	g_test_add_func("/detector/pings-under-traffic", test_pings_under_traffic);
	return g_test_run();
}
