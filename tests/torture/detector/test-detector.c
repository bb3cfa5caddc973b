/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The monitor beside the origin's rule, on the same simulated lines: how soon a silent parent is
 * found out, how often a living one is taken for dead, what a line says that comes and goes, and
 * how many pings that takes. First the rule itself must give the figures once measured from the
 * origin.
 */

#include <string.h>

#include "../torture.h"
#include "base/log.h"
#include "line.h"

/* By now a line is up and its round trip known. */
#define SETTLED (30 * SEC)

/* How fine two answers are compared. */
#define GRAIN (10 * MSEC)

static uint32_t seed;

static unsigned int short_or_long(unsigned int brief, unsigned int full)
{
	return torture_long() ? full : brief;
}

/* ---- a silent parent ---- */

struct times {
	double min, median, mean, max;	/* seconds */
};

static bool has_lost(const struct line *line)
{
	return line->verdict.losses > 0;
}

/* Return: seconds from the silence to the word. */
static double silence_trial(const struct detector *detector, const struct line_nature *nature,
			    uint32_t trial_seed)
{
	struct line_nature silent = *nature;
	g_autoptr(GRand) rand = g_rand_new_with_seed(trial_seed);
	struct line line;
	double seconds;
	void *self;

	silent.silent_at = LINE_START + SETTLED + (uint64_t)(g_rand_double(rand) * 60e6);
	line_init(&line, &silent, trial_seed);
	self = detector->start(&line);
	line_run(&line, silent.silent_at, has_lost);
	g_assert_true(line.verdict.connected);
	line_run(&line, silent.silent_at + 60 * SEC, has_lost);
	g_assert_false(line.verdict.connected);
	seconds = (double)(line.verdict.changed_at - silent.silent_at) / 1e6;
	detector->stop(self);
	line_deinit(&line);
	return seconds;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct times silence(const struct detector *detector, const struct line_nature *nature,
			    unsigned int trials)
{
	g_autofree double *seconds = g_new(double, trials);
	struct times times = { 0 };

	for (unsigned int i = 0; i < trials; i++) {
		seconds[i] = silence_trial(detector, nature, seed * 1000003 + i);
		times.mean += seconds[i] / trials;
	}
	qsort(seconds, trials, sizeof(double), compare_doubles);
	times.min = seconds[0];
	times.median = seconds[trials / 2];
	times.max = seconds[trials - 1];
	return times;
}

/* ---- a living one ---- */

struct life {
	double hours;
	double alarms;	/* an hour */
	double pings;	/* an hour */
};

static struct life life(const struct detector *detector, const struct line_nature *nature,
			unsigned int hours, uint32_t which)
{
	struct line line;
	struct life life;
	void *self;

	line_init(&line, nature, seed * 1000003 + which);
	self = detector->start(&line);
	line_run(&line, LINE_START + hours * HOUR - 1, NULL);
	life.hours = hours;
	life.alarms = (double)line.verdict.losses / hours;
	life.pings = (double)line.verdict.pings / hours;
	detector->stop(self);
	line_deinit(&line);
	return life;
}

/* ---- one that comes and goes ---- */

struct flaps {
	unsigned int ups, downs;	/* phases seen */
	unsigned int ups_told, downs_told;
	uint64_t told_up, agreed, total;	/* usec */
};

struct phase {
	bool up, told;
};

static void phase_end(struct flaps *flaps, const struct phase *phase)
{
	flaps->ups += phase->up;
	flaps->downs += !phase->up;
	flaps->ups_told += phase->up && phase->told;
	flaps->downs_told += !phase->up && phase->told;
}

static void flap(struct flaps *flaps, const struct detector *detector,
		 const struct line_nature *nature, uint32_t trial_seed, unsigned int periods)
{
	struct phase phase = { .up = true };
	struct line line;
	void *self;

	line_init(&line, nature, trial_seed);
	self = detector->start(&line);
	while (line.now < LINE_START + periods * nature->period) {
		line_run(&line, line.now + GRAIN, NULL);
		if (line_is_up(&line, line.now) != phase.up) {
			phase_end(flaps, &phase);
			phase = (struct phase){ .up = !phase.up };
		}
		phase.told |= line.verdict.connected == phase.up;
		flaps->total += GRAIN;
		flaps->told_up += line.verdict.connected ? GRAIN : 0;
		flaps->agreed += line.verdict.connected == phase.up ? GRAIN : 0;
	}
	detector->stop(self);
	line_deinit(&line);
}

/* Up 4 s of every 15 s, begun at any moment of an up phase but its last. */
static struct flaps flapping(const struct detector *detector, unsigned int trials,
			     unsigned int periods)
{
	struct line_nature nature = { .rtt = 20 * MSEC, .period = 15 * SEC, .up = 4 * SEC };
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
	struct flaps flaps = { 0 };

	for (unsigned int i = 0; i < trials; i++) {
		nature.phase = (uint64_t)(g_rand_double(rand) * 3.9e6);
		flap(&flaps, detector, &nature, seed + i, periods);
	}
	return flaps;
}

/* ---- the tests ---- */

static const struct line_nature near = { .rtt = 100 };

/* What was measured from the origin, with another clock and other code. */
static void test_origin_is_the_origin(void)
{
	struct line_nature lossy = near;
	struct times times = silence(&detector_origin, &near, short_or_long(2000, 20000));
	struct flaps flaps = flapping(&detector_origin, 20, 20);
	double alarms;

	g_assert_cmpfloat(times.min, >=, 11.99);
	g_assert_cmpfloat(times.min, <=, 12.1);
	g_assert_cmpfloat(times.max, >=, 16.9);
	g_assert_cmpfloat(times.max, <=, 17.0);
	g_assert_cmpfloat_with_epsilon(times.mean, 14.5, 0.15);
	lossy.loss = 0.2;
	alarms = life(&detector_origin, &lossy, short_or_long(1000, 10000), 0).alarms;
	g_assert_cmpfloat_with_epsilon(alarms, 4.6, 0.4);
	lossy.loss = 0.3;
	alarms = life(&detector_origin, &lossy, short_or_long(1000, 10000), 0).alarms;
	g_assert_cmpfloat_with_epsilon(alarms, 14, 1);
	g_assert_cmpuint(flaps.downs, >, 300);
	g_assert_cmpuint(flaps.downs_told, ==, 0);
}

static void test_silent_parent(void)
{
	static const struct {
		const char *name;
		struct line_nature nature;
		double window;	/* seconds */
	} lines[] = {
		{ "0.1 ms", { .rtt = 100 }, 1 },
		{ "20 ms ± 5", { .rtt = 20 * MSEC, .jitter = 5 * MSEC }, 1 },
		{ "200 ms ± 50", { .rtt = 200 * MSEC, .jitter = 50 * MSEC }, 1 },
		/* Here 4 round trips are more than 1 s, and silence takes longer to be believed. */
		{ "400 ms ± 40", { .rtt = 400 * MSEC, .jitter = 40 * MSEC }, 1.76 },
	};
	unsigned int trials = short_or_long(1000, 20000);

	printf("# silent, idle line    round trip   origin median   ours min  median    max  s\n");
	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
		struct times old = silence(&detector_origin, &lines[i].nature, trials);
		struct times new = silence(&detector_ours, &lines[i].nature, trials);

		printf("# %32s %15.1f %10.1f %7.1f %6.1f\n", lines[i].name, old.median, new.min,
		       new.median, new.max);
		g_assert_cmpfloat(new.max, <=, 5 + 3 * lines[i].window + 0.001);
		if (lines[i].window > 1)
			continue;
		g_assert_cmpfloat(new.median, <=, 6);
		g_assert_cmpfloat(new.max, <=, 8.001);
		torture_figure("silent parent, idle", "round trip %s: median %.1f s, at most %.1f s"
			       " (origin: %.1f s, %.1f s)", lines[i].name, new.median, new.max,
			       old.median, old.max);
	}
}

static void test_false_alarms(void)
{
	static const uint64_t rtts[] = { 100, 20 * MSEC, 200 * MSEC };
	unsigned int hours = short_or_long(300, 20000), which = 0;

	printf("# loss  round trip   origin alarms/h  pings/h   ours alarms/h  pings/h\n");
	for (unsigned int loss = 0; loss <= 30; loss += 10) {
		for (size_t i = 0; i < G_N_ELEMENTS(rtts); i++, which++) {
			struct line_nature nature = { .rtt = rtts[i], .jitter = rtts[i] / 4,
						      .loss = loss / 100.0 };
			struct life old = life(&detector_origin, &nature, hours, which);
			struct life new = life(&detector_ours, &nature, hours, which);

			printf("# %3u %% %8.1f ms %16.2f %8.0f %15.4f %8.0f\n", loss,
			       (double)rtts[i] / 1000, old.alarms, old.pings, new.alarms,
			       new.pings);
			g_assert_cmpfloat(new.alarms, <=, old.alarms / 10);
			g_assert_cmpfloat(new.pings, <=, old.pings * (loss ? 2 : 1));
			if (loss)
				g_assert_cmpfloat(old.alarms, >, 0);
			if (rtts[i] == 20 * MSEC)
				torture_figure("false alarms", "%u %% loss: %.4f an hour, %.0f pings"
					       " (origin: %.2f, %.0f); %u hours", loss, new.alarms,
					       new.pings, old.alarms, old.pings, hours);
		}
	}
}

static void flaps_print(const char *who, const struct flaps *flaps)
{
	printf("# %14s %21.1f %% %12.1f %% %9.1f %% %7.1f %%\n", who,
	       100.0 * flaps->downs_told / flaps->downs, 100.0 * flaps->ups_told / flaps->ups,
	       100.0 * (double)flaps->told_up / (double)flaps->total,
	       100.0 * (double)flaps->agreed / (double)flaps->total);
}

static void test_flapping_line(void)
{
	unsigned int trials = 20, periods = short_or_long(50, 1000);
	struct flaps old = flapping(&detector_origin, trials, periods);
	struct flaps new = flapping(&detector_ours, trials, periods);

	printf("# up 4 s of 15 s   told in down phases   in up phases   available   rightly\n");
	flaps_print("what is true", &(struct flaps){ 1, 1, 1, 1, 4, 15, 15 });
	flaps_print("origin", &old);
	flaps_print("ours", &new);
	torture_figure("line up 4 s of 15 s", "told down in %.1f %% of its down phases, connected in"
		       " %.1f %% of its up phases (origin: %.1f %%, %.1f %%)",
		       100.0 * new.downs_told / new.downs, 100.0 * new.ups_told / new.ups,
		       100.0 * old.downs_told / old.downs, 100.0 * old.ups_told / old.ups);
	/* Each silence is found out; a wait before a dial may last longer than the line is up. */
	g_assert_cmpuint(new.downs_told, ==, new.downs);
	g_assert_cmpfloat(new.ups_told, >=, 0.85 * new.ups);
	g_assert_cmpuint(new.agreed, >, old.agreed);
}

/*
 * No demand, but what "loss" comes to on a stream: nothing is lost, all of it waits. Who finds a
 * silence out within seconds takes a stall of as many seconds for one.
 */
static void test_stalling_stream(void)
{
	unsigned int hours = short_or_long(100, 5000);

	printf("# segments lost   origin alarms/h   ours alarms/h   ours pings/h\n");
	for (unsigned int stalls = 0; stalls <= 30; stalls += 10) {
		struct line_nature nature = { .rtt = 20 * MSEC, .stalls = stalls / 100.0 };
		struct life old = life(&detector_origin, &nature, hours, stalls);
		struct life new = life(&detector_ours, &nature, hours, stalls);

		printf("# %11u %% %17.3f %15.3f %14.0f\n", stalls, old.alarms, new.alarms,
		       new.pings);
		torture_figure("stalling stream", "%u %% of segments sent again: %.3f false alarms an"
			       " hour (origin: %.3f)", stalls, new.alarms, old.alarms);
		if (!stalls)
			g_assert_cmpfloat(new.alarms, ==, 0);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	log_set_max_level(LOG_ERR);
	seed = torture_seed();
	g_test_add_func("/detector/origin-is-the-origin", test_origin_is_the_origin);
	g_test_add_func("/detector/silent-parent", test_silent_parent);
	g_test_add_func("/detector/false-alarms", test_false_alarms);
	g_test_add_func("/detector/flapping-line", test_flapping_line);
	g_test_add_func("/detector/stalling-stream", test_stalling_stream);
	return g_test_run();
}
