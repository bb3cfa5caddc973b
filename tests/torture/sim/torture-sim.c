/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deterministic simulation of two daemons and their parent under faults; see sim.h.
 *
 * An episode is one world from one seed. A run is as many of them as its time allows, the seeds one
 * after the other, so that each failure is repeated by its own seed alone.
 *
 * usage: torture-sim [--seed N] [--seconds N] [--hours N] [--verbose]
 */

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "sim-client.h"
#include "sim-daemon.h"
#include "sim-disk.h"
#include "sim-fault.h"
#include "sim-parent.h"
#include "sim-random.h"
#include "sim.h"
#include "torture.h"

struct options {
	uint32_t seed;
	double seconds;		/* real ones; 0: no bound */
	double hours;		/* simulated ones, of an episode */
	unsigned int episodes;
};

/* ---- time passes ---- */

enum phase {
	PHASE_BUSY,
	PHASE_NORMAL,
	PHASE_QUIET,
	_PHASE_MAX,
};

static void pass_busy(struct sim *sim)
{
	unsigned int dice = sim_pick(sim, 1000);

	if (dice < 350)
		sim_run(sim, 0); /* several calls at once */
	else if (dice < 700)
		sim_run(sim, sim_pick(sim, 5000));
	else if (dice < 965)
		sim_run(sim, sim_pick(sim, 300) * MSEC);
	else if (dice < 997)
		sim_run(sim, sim_pick(sim, 2000) * MSEC);
	else
		sim_run(sim, sim_pick(sim, 12) * SEC);
}

static void pass(struct sim *sim, enum phase phase)
{
	switch (phase) {
	case PHASE_BUSY:
		pass_busy(sim);
		break;
	case PHASE_NORMAL:
		sim_run(sim, sim_pick(sim, 5000) * MSEC);
		break;
	case PHASE_QUIET:
		sim_run(sim, sim_pick(sim, 300) * SEC);
		break;
	case _PHASE_MAX:
		break;
	}
}

static void step(struct sim *sim, enum phase phase)
{
	struct sim_daemon *daemon = sim->daemons[sim_pick(sim, SIM_DAEMONS)];

	sim->step++;
	if (sim_chance(sim, 5))
		fault_act(sim);
	else if (daemon_runs(daemon))
		client_act(daemon);
	fault_pass(sim, phase == PHASE_BUSY ? 3 : 10);
	pass(sim, phase);
	sim_check(sim);
}

static void run_phase(struct sim *sim)
{
	static const unsigned int steps[_PHASE_MAX] = { 1000, 400, 30 };
	enum phase phase = (enum phase)sim_pick(sim, _PHASE_MAX);
	unsigned int n = 1 + sim_pick(sim, steps[phase]);

	for (unsigned int i = 0; i < n; i++)
		step(sim, phase);
	sim_heal(sim);
}

/* ---- episodes ---- */

static void add_counts(struct sim_count *to, const struct sim_count *from)
{
	uint64_t *sums = (uint64_t *)to;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		sums[i] += ((const uint64_t *)from)[i];
}

static void count_paths(struct sim *sim)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		const struct sim_path *path = &sim->daemons[i]->path;

		sim->count.dials += path->dials;
		sim->count.lines += path->lines;
		sim->count.line_losses += path->losses;
		sim->count.bytes += path->bytes;
	}
}

/* Return: the hash of its course. */
static uint64_t run_episode(uint32_t seed, double hours, struct sim_count *count, double *ret_hours)
{
	struct sim *sim;
	uint64_t began, until, hash;

	sim_random_seed(seed);
	sim = sim_new(seed);
	began = sim->now;
	until = began + (uint64_t)(hours * 3600e6);
	while (sim->now < until)
		run_phase(sim);
	hash = sim->hash;
	count_paths(sim);
	add_counts(count, &sim->count);
	*ret_hours += (double)(sim->now - began) / 3600e6;
	sim_free(sim);
	return hash;
}

static void on_abort(int number)
{
	static const char text[] = "\n# failed: ";
	const char *where = sim_where();
	ssize_t n;

	(void)number;
	n = write(STDOUT_FILENO, text, strlen(text));
	n += write(STDOUT_FILENO, where, strlen(where));
	n += write(STDOUT_FILENO, "\n", 1);
	(void)n;
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void print_counts(const struct sim_count *count, double hours, double seconds)
{
	torture_figure("simulated hours", "%.1f", hours);
	torture_figure("simulated hours per real hour", "%.0f", hours / seconds * 3600);
	torture_figure("calls", "%" G_GUINT64_FORMAT, count->calls);
	torture_figure("answers", "%" G_GUINT64_FORMAT, count->answers);
	torture_figure("faults", "%" G_GUINT64_FORMAT, count->faults);
	torture_figure("crashes", "%" G_GUINT64_FORMAT, count->crashes);
	torture_figure("power losses", "%" G_GUINT64_FORMAT, count->power_losses);
	torture_figure("stops", "%" G_GUINT64_FORMAT, count->stops);
	torture_figure("parent restarts", "%" G_GUINT64_FORMAT, count->parent_restarts);
	torture_figure("parent losses", "%" G_GUINT64_FORMAT, count->parent_losses);
	torture_figure("dials", "%" G_GUINT64_FORMAT, count->dials);
	torture_figure("lines lost", "%" G_GUINT64_FORMAT, count->line_losses);
	torture_figure("batches", "%" G_GUINT64_FORMAT, count->batches);
	torture_figure("duplicates", "%" G_GUINT64_FORMAT, count->duplicates);
	torture_figure("operations applied", "%" G_GUINT64_FORMAT, count->applied);
	torture_figure("client ids", "%" G_GUINT64_FORMAT, count->clients);
	torture_figure("commits", "%" G_GUINT64_FORMAT, count->commits);
	torture_figure("heals", "%" G_GUINT64_FORMAT, count->heals);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--verbose") == 0)
			sim_verbose = true;
		else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
			options->seed = (uint32_t)strtoul(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0)
			options->seconds = strtod(argv[++i], NULL);
		else if (i + 1 < argc && strcmp(argv[i], "--hours") == 0)
			options->hours = strtod(argv[++i], NULL);
		else if (i + 1 < argc && strcmp(argv[i], "--episodes") == 0)
			options->episodes = (unsigned int)strtoul(argv[++i], NULL, 10);
		else
			g_error("what is %s?", argv[i]);
	}
}

int main(int argc, char **argv)
{
	struct options options = { .seed = torture_seed(), .hours = 0.5, .episodes = 10 };
	struct sim_count count = { 0 };
	double hours = 0, seconds;
	int64_t began = g_get_monotonic_time();
	uint64_t hash;
	unsigned int n = 0;

	parse_options(argc, argv, &options);
	if (sim_verbose)
		setlinebuf(stdout);
	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	signal(SIGTRAP, on_abort);
	log_set_max_level(LOG_CRIT);
	sim_disk_register();
	printf("1..1\n");
	do {
		hash = run_episode(options.seed + n++, options.hours, &count, &hours);
		printf("# seed %u: %016" PRIx64 "\n", options.seed + n - 1, hash);
		fflush(stdout);
		seconds = (double)(g_get_monotonic_time() - began) / 1e6;
	} while (options.seconds > 0 ? seconds < options.seconds : n < options.episodes);
	print_counts(&count, hours, seconds);
	printf("ok 1 - nothing lost, nothing twice, never stuck\n");
	return 0;
}
