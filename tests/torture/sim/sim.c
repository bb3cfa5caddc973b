/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Time and its order: who runs next; see sim.h. */

#include <stdarg.h>
#include <stdio.h>

#include "sim-daemon.h"
#include "sim-fault.h"
#include "sim-parent.h"
#include "sim.h"

#define TURNS_MAX 100000 /* of the world at one instant: more is a loop without end */
#define BEGIN	  (1000 * SEC)

bool sim_verbose;
static const struct sim *under_way;

unsigned int sim_pick(struct sim *sim, unsigned int n)
{
	return (unsigned int)g_rand_int_range(sim->rand, 0, (gint32)n);
}

bool sim_chance(struct sim *sim, unsigned int percent)
{
	return sim_pick(sim, 100) < percent;
}

void sim_trace(struct sim *sim, const char *format, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, format);
	n = g_vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (int i = 0; i < MIN(n, (int)sizeof(text) - 1); i++)
		sim->hash = (sim->hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
	sim->hash = (sim->hash ^ sim->now) * UINT64_C(1099511628211);
	if (sim_verbose)
		printf("# %10.6f %s\n", (double)(sim->now - BEGIN) / 1e6, text);
}

/* Called by a handler of signals, too. */
const char *sim_where(void)
{
	static char text[128];

	if (!under_way)
		return "";
	g_snprintf(text, sizeof(text), "seed %u, step %" G_GUINT64_FORMAT ", %.6f s", under_way->seed,
		   under_way->step, (double)(under_way->now - BEGIN) / 1e6);
	return text;
}

/* ---- time ---- */

static uint64_t world_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((const struct sim *)data)->now;
}

static void world_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

/* Return: whether something happened at this instant. */
static bool sim_turn_now(struct sim *sim)
{
	bool did = false;

	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		did |= daemon_turn(sim->daemons[i]);
	if (clock_next(sim->clock) <= sim->now) {
		clock_dispatch(sim->clock);
		did = true;
	}
	return did;
}

static uint64_t sim_next(const struct sim *sim)
{
	uint64_t next = clock_next(sim->clock);

	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		next = MIN(next, daemon_next(sim->daemons[i]));
	return next;
}

void sim_run(struct sim *sim, uint64_t usec)
{
	uint64_t until = sim->now + usec, next;
	unsigned int turns = 0;

	for (;;) {
		while (sim_turn_now(sim)) {
			if (++turns > TURNS_MAX)
				g_error("the world turns without end at one instant");
		}
		sim_check(sim);
		next = sim_next(sim);
		if (next > until)
			break;
		if (next > sim->now)
			turns = 0;
		sim->now = MAX(sim->now, next);
	}
	sim->now = until;
}

/* ---- life ---- */

struct sim *sim_new(uint32_t seed)
{
	static const struct clock_ops ops = { .now = world_now, .set_alarm = world_alarm };
	struct sim *sim = g_new0(struct sim, 1);

	under_way = sim;
	sim->seed = seed;
	sim->rand = g_rand_new_with_seed(seed);
	sim->now = BEGIN;
	sim->hash = UINT64_C(14695981039346656037);
	sim->clock = clock_new(&ops, sim);
	sim->truth = truth_new();
	sim->parent = sim_parent_new(sim);
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		sim->daemons[i] = daemon_new(sim, i);
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		fault_configure(sim, i);
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		daemon_start(sim->daemons[i]);
	return sim;
}

struct sim *sim_free(struct sim *sim)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		daemon_stop(sim->daemons[i], false);
	sim_run(sim, 10 * SEC);
	sim_parent_free(sim->parent); /* its lines are on the paths of the daemons */
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		sim->daemons[i] = daemon_free(sim->daemons[i]);
	clock_free(sim->clock);
	truth_free(sim->truth);
	g_rand_free(sim->rand);
	under_way = NULL;
	g_free(sim);
	return NULL;
}
