/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deterministic simulation of two daemons and their parent under faults; see sim.h.
 *
 * An episode is one world from one seed. A run is many of them, the seeds one after the other, so that
 * each failure is repeated by its own seed alone.
 *
 * usage: torture-sim [OPTION…], see --help
 */

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
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

#define FULL_TURN 1000000 /* seeds between those of one process and the next */

struct options {
	uint32_t seed;
	double hours, total;	/* simulated ones */
	double seconds;		/* real ones; 0: no bound */
	unsigned int processes;
	bool once;		/* one episode, here */
};

/* What a process brings home. */
struct outcome {
	struct sim_count count;
	double hours;
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
	static const unsigned int steps[_PHASE_MAX] = { 5000, 600, 30 };
	unsigned int dice = sim_pick(sim, 10);
	enum phase phase = dice < 5 ? PHASE_BUSY : dice < 8 ? PHASE_NORMAL : PHASE_QUIET;
	unsigned int n = 1 + sim_pick(sim, steps[phase]);

	for (unsigned int i = 0; i < n; i++)
		step(sim, phase);
	sim_heal(sim);
}

/* ---- episodes ---- */

static void add_counts(struct sim_count *to, const struct sim_count *from)
{
	uint64_t *sums = (uint64_t *)to, growth = to->heap_growth;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		sums[i] += ((const uint64_t *)from)[i];
	to->heap_growth = MAX(growth, from->heap_growth);
}

static void count_daemons(struct sim *sim)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		const struct sim_path *path = &sim->daemons[i]->path;
		const struct model_checks *checks = &sim->daemons[i]->model->checks;

		sim->count.dials += path->dials;
		sim->count.lines += path->lines;
		sim->count.line_losses += path->losses;
		sim->count.bytes += path->bytes;
		sim->count.reads_queued += checks->queued;
		sim->count.reads_fresh += checks->fresh;
		sim->count.reads_waiting += checks->waiting;
		sim->count.reads_held += checks->held;
		sim->count.reads_unavailable += checks->unavailable;
	}
}

/* Return: the hash of its course. */
static uint64_t run_episode(uint32_t seed, double hours, struct outcome *outcome)
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
	count_daemons(sim);
	add_counts(&outcome->count, &sim->count);
	outcome->hours += (double)(sim->now - began) / 3600e6;
	outcome->episodes++;
	sim_free(sim);
	return hash;
}

/* ---- scratch ---- */

static char *scratch;

static void make_scratch(void)
{
	g_free(scratch);
	scratch = g_strdup("/dev/shm/holdfast-sim-XXXXXX");
	if (!g_mkdtemp(scratch))
		g_error("%s: %m", scratch);
}

const char *sim_scratch(void)
{
	return scratch;
}

/* Also called by a handler of signals: nothing here takes a lock. */
static void remove_scratch(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", scratch, NULL);
		_exit(EXIT_FAILURE);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* ---- runs ---- */

static double real_seconds(void)
{
	return (double)g_get_monotonic_time() / 1e6;
}

static void run_episodes(const struct options *options, uint32_t seed, double total,
			 struct outcome *outcome)
{
	double began = real_seconds();

	do {
		run_episode(seed++, options->hours, outcome);
	} while (outcome->hours < total &&
		 (options->seconds <= 0 || real_seconds() - began < options->seconds));
}

/* Return: whether it ended well. */
static bool run_process(const struct options *options, unsigned int index, int to)
{
	struct outcome outcome = { 0 };
	ssize_t n;

	make_scratch();
	run_episodes(options, options->seed + index * FULL_TURN,
		     options->total / options->processes, &outcome);
	remove_scratch();
	n = write(to, &outcome, sizeof(outcome));
	return n == sizeof(outcome);
}

static pid_t start_process(const struct options *options, unsigned int index, int *ret_from)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		g_error("pipe: %m");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		g_error("fork: %m");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (pid == 0)
		_exit(run_process(options, index, fds[1]) ? EXIT_SUCCESS : EXIT_FAILURE);
	close(fds[1]);
	*ret_from = fds[0];
	return pid;
}

/* Return: whether it ended well. */
static bool end_process(pid_t pid, int from, struct outcome *sum)
{
	struct outcome outcome;
	ssize_t n = read(from, &outcome, sizeof(outcome));
	int status = 0;

	close(from);
	waitpid(pid, &status, 0);
	if (n != sizeof(outcome) || !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
		return false;
	add_counts(&sum->count, &outcome.count);
	sum->hours += outcome.hours;
	sum->episodes += outcome.episodes;
	return true;
}

/* One process needs no other, which is kinder to a debugger. */
static bool run_processes(const struct options *options, struct outcome *sum)
{
	g_autofree pid_t *pids = g_new0(pid_t, options->processes);
	g_autofree int *from = g_new0(int, options->processes);
	bool well = true;

	if (options->processes == 1) {
		run_episodes(options, options->seed, options->total, sum);
		return true;
	}
	for (unsigned int i = 0; i < options->processes; i++)
		pids[i] = start_process(options, i, &from[i]);
	for (unsigned int i = 0; i < options->processes; i++)
		well &= end_process(pids[i], from[i], sum);
	return well;
}

/* The same seed must give the same course, or no failure could be looked at again. */
static bool check_replay(const struct options *options)
{
	struct outcome outcome = { 0 };
	uint64_t first = run_episode(options->seed, 0.2, &outcome);
	uint64_t second = run_episode(options->seed, 0.2, &outcome);

	printf("# course %016" PRIx64 ", again %016" PRIx64 "\n", first, second);
	return first == second;
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
	remove_scratch();
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void on_end(int number)
{
	remove_scratch();
	signal(number, SIG_DFL);
	raise(number);
}

#define SHOW(title, field) torture_figure(title, "%" PRIu64, sum->count.field)

static void print_judged(const struct outcome *sum)
{
	SHOW("reads judged that came from the queue", reads_queued);
	SHOW("reads judged while an own write waits", reads_waiting);
	SHOW("reads judged that were fresh", reads_fresh);
	SHOW("reads judged by all that may be seen", reads_held);
	SHOW("reads judged that found nobody", reads_unavailable);
	SHOW("awaits judged that were acked", awaits_acked);
	SHOW("awaits judged that were refused", awaits_refused);
	SHOW("awaits judged that were dropped", awaits_dropped);
	SHOW("flushes judged", flushes);
	SHOW("quota errors judged", quotas);
	SHOW("refused rows judged", refused_rows);
	SHOW("batches sent again and compared", resends);
	SHOW("areas whose copies were excused after two losses", missed_losses);
	SHOW("times all was well and checked", heals);
	SHOW("of these the heap was compared", heaps);
	SHOW("bytes the heap grew by, at most", heap_growth);
}

static void print_figures(const struct outcome *sum, double seconds)
{
	torture_figure("simulated hours", "%.1f", sum->hours);
	torture_figure("simulated hours per real hour", "%.0f", sum->hours / seconds * 3600);
	torture_figure("episodes", "%u", sum->episodes);
	SHOW("calls", calls);
	SHOW("answers", answers);
	SHOW("faults", faults);
	SHOW("crashes of a daemon", crashes);
	SHOW("power losses of a daemon", power_losses);
	SHOW("clean stops of a daemon", stops);
	SHOW("disk faults", disk_faults);
	SHOW("suspends and stalls", sleeps);
	SHOW("reloads", reloads);
	SHOW("restarts of the parent", parent_restarts);
	SHOW("losses of the parent", parent_losses);
	SHOW("dials", dials);
	SHOW("lines cut or forsaken", line_losses);
	SHOW("bytes delivered", bytes);
	SHOW("commits", commits);
	SHOW("batches at the parent", batches);
	SHOW("of these duplicates", duplicates);
	SHOW("operations applied", applied);
	SHOW("client ids", clients);
	print_judged(sum);
}

/* HOLDFAST_TEST_SEED says the same as --seed, which goes before it. */
static void parse_options(int argc, char **argv, struct options *options)
{
	gint processes = (gint)options->processes;
	gboolean once = FALSE, verbose = FALSE;
	g_autofree char *seed = NULL;
	const GOptionEntry entries[] = {
		{ "seed", 0, 0, G_OPTION_ARG_STRING, &seed, "of the first episode", "N" },
		{ "hours", 0, 0, G_OPTION_ARG_DOUBLE, &options->hours,
		  "simulated hours of an episode", "N" },
		{ "total", 0, 0, G_OPTION_ARG_DOUBLE, &options->total,
		  "simulated hours of the run, of all its processes", "N" },
		{ "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options->seconds,
		  "real ones after which no episode begins", "N" },
		{ "processes", 0, 0, G_OPTION_ARG_INT, &processes, "that share the run", "N" },
		{ "verbose", 0, 0, G_OPTION_ARG_NONE, &verbose, "tell the course", NULL },
		{ "once", 0, 0, G_OPTION_ARG_NONE, &once, "one episode, in this process", NULL },
		{ 0 },
	};
	g_autoptr(GOptionContext) context = g_option_context_new("- two daemons under faults");
	g_autoptr(GError) error = NULL;
	guint64 number;

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1 || processes < 1 ||
	    (seed && !g_ascii_string_to_unsigned(seed, 10, 0, UINT32_MAX, &number, &error))) {
		fprintf(stderr, "torture-sim: %s\n", error ? error->message : "bad arguments");
		exit(EXIT_FAILURE);
	}
	if (seed)
		g_setenv("HOLDFAST_TEST_SEED", seed, TRUE);
	options->seed = torture_seed();
	options->processes = (unsigned int)processes;
	options->once = once;
	sim_verbose = verbose;
	if (verbose)
		setlinebuf(stdout);
}

static void tell(unsigned int test, bool well, const char *what)
{
	printf("%s %u - %s\n", well ? "ok" : "not ok", test, what);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	bool at_length = torture_long(), replays, well;
	struct options options = {
		.hours = at_length ? 5 : 2,
		.total = at_length ? 1000 : 8,
		.processes = at_length ? 2 : 1,
	};
	struct outcome sum = { 0 };
	double began;

	parse_options(argc, argv, &options);
	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	signal(SIGTRAP, on_abort);
	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	log_set_max_level(LOG_CRIT);
	sim_disk_register();
	make_scratch();
	if (options.once) {
		run_episode(options.seed, options.hours, &sum);
		remove_scratch();
		return EXIT_SUCCESS;
	}
	printf("1..2\n");
	began = real_seconds();
	well = run_processes(&options, &sum);
	print_figures(&sum, real_seconds() - began);
	tell(1, well, "nothing lost, nothing twice, never stuck");
	replays = check_replay(&options);
	tell(2, replays, "the same seed gives the same course");
	remove_scratch();
	return well && replays ? EXIT_SUCCESS : EXIT_FAILURE;
}
