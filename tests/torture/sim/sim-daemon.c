/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The life of a daemon; see sim-daemon.h. */

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <time.h>

#include "engine/area-inner.h"
#include "engine/copies.h"
#include "engine/engine.h"
#include "engine/monitor.h"
#include "sim-batch.h"
#include "sim-client.h"
#include "sim-daemon.h"
#include "sim-dial.h"
#include "sim-parent.h"

#define WALL_BEGIN  UINT64_C(1700000000000000)
#define UPTIME	    (20 * SEC)	/* of a machine when the daemon starts */
#define GET_USEC    (10 * SEC)	/* what a get asked is answered, or given up, by then */
#define GHOST_STEPS 10000	/* of one that was killed, until it has given its memory back */

/* ---- clocks ---- */

uint64_t daemon_monotonic(const struct sim_daemon *daemon)
{
	return daemon->sim->now - daemon->born - daemon->slept + daemon->ghost_time;
}

static uint64_t machine_now(void *data, int clock_id)
{
	const struct sim_daemon *daemon = data;

	if (clock_id == CLOCK_REALTIME)
		return WALL_BEGIN + daemon->sim->now + daemon->ghost_time + daemon->wall;
	if (clock_id == CLOCK_BOOTTIME)
		return daemon->sim->now - daemon->born + daemon->ghost_time;
	return daemon_monotonic(daemon);
}

static void machine_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

/* ---- the disk ---- */

static bool disk_turn(struct sim_daemon *daemon)
{
	struct sim *sim = daemon->sim;

	if (daemon->disk_error || daemon->refusal || daemon->held)
		daemon->disk_bad_until = sim->now;
	if (daemon->held || (daemon->disk_busy && sim->now < daemon->disk_due))
		return false;
	daemon->disk_busy = worker_step(daemon->worker, daemon->refusal);
	if (sim_disk_is_dead(daemon->disk)) {
		daemon_kill(daemon, daemon->dies_of);
		return true;
	}
	if (!daemon->disk_busy)
		return false;
	sim->count.commits++;
	daemon->disk_due = sim->now;
	if (daemon->disk_lag)
		daemon->disk_due += sim_pick(sim, (unsigned int)daemon->disk_lag);
	return true;
}

void daemon_hold_disk(struct sim_daemon *daemon, bool held)
{
	if (held == daemon->held)
		return;
	sim_trace(daemon->sim, "d%u disk %s", daemon->index, held ? "held" : "goes on");
	if (held)
		daemon->held_since = daemon->sim->now;
	else
		daemon->disk_stalled += daemon->sim->now - daemon->held_since;
	daemon->held = held;
}

uint64_t daemon_disk_stalled(const struct sim_daemon *daemon)
{
	return daemon->disk_stalled + (daemon->held ? daemon->sim->now - daemon->held_since : 0);
}

void daemon_disk_fails(struct sim_daemon *daemon, unsigned int after, int error)
{
	sim_trace(daemon->sim, "d%u disk error %d", daemon->index, error);
	model_forget_shown(daemon->model);
	daemon->disk_error = error;
	daemon->refusal = after ? 0 : -error;
	sim_disk_fail(daemon->disk, after ? after : 1, after ? error : 0);
}

void daemon_disk_dies(struct sim_daemon *daemon, unsigned int after, enum daemon_end end)
{
	sim_trace(daemon->sim, "d%u disk dies in %u", daemon->index, after);
	daemon->dies_of = end;
	sim_disk_die(daemon->disk, after);
}

bool daemon_is_dead(const struct sim_daemon *daemon)
{
	return daemon->ghost || sim_disk_is_dead(daemon->disk);
}

/* ---- the end ---- */

static void daemon_close(struct sim_daemon *daemon)
{
	daemon->storage = storage_free(daemon->storage);
	daemon->store = store_close(daemon->store);
	daemon->worker = worker_free(daemon->worker);
	store_recovery_deinit(&daemon->recovery);
	while (g_main_context_iteration(daemon->context, FALSE))
		;
	g_main_context_unref(daemon->context);
	g_assert_cmpuint(clock_next(daemon->clock), ==, USEC_INFINITY);
	sim_dial_register(daemon->index, NULL, NULL);
	daemon->clock = clock_free(daemon->clock);
	g_assert_cmpuint(daemon->open, ==, 0);
	client_sweep(daemon);
}

static void storage_ended(void *data)
{
	((struct sim_daemon *)data)->stopped = true;
}

void daemon_stop(struct sim_daemon *daemon, bool again)
{
	daemon->starts_again = again;
	if (!again)
		daemon->starts_at = 0;
	if (!daemon->storage || daemon->stopping)
		return;
	sim_trace(daemon->sim, "d%u stop", daemon->index);
	daemon->sim->count.stops++;
	daemon->stopping = true;
	daemon_hold_disk(daemon, false);
	storage_stop(daemon->storage, storage_ended, daemon);
}

static void daemon_stopped(struct sim_daemon *daemon)
{
	sim_trace(daemon->sim, "d%u stopped", daemon->index);
	/* What left the queue on the way out is looked at while the queue is still there. */
	daemon_check(daemon);
	daemon_close(daemon);
	/* What Direct wrote could not be taken out of the items. */
	daemon->was_killed |= daemon->disk_error != 0;
	if (daemon->starts_again)
		daemon->starts_at = daemon->sim->now + sim_pick(daemon->sim, 3000) * MSEC;
}

/* It runs on, to give its memory back, as a ghost: its line is closed, its disk refuses everything,
 * and what it still says is not heard. */
static void ghost_run(struct sim_daemon *daemon)
{
	uint64_t next;

	if (!daemon->stopping)
		storage_stop(daemon->storage, storage_ended, daemon);
	daemon->stopping = true;
	for (unsigned int i = 0; !daemon->stopped && i < GHOST_STEPS; i++) {
		while (worker_step(daemon->worker, -EIO))
			;
		while (g_main_context_iteration(daemon->context, FALSE))
			;
		next = clock_next(daemon->clock);
		if (next != USEC_INFINITY && next > daemon_monotonic(daemon))
			daemon->ghost_time += next - daemon_monotonic(daemon);
		clock_dispatch(daemon->clock);
	}
	g_assert_true(daemon->stopped);
}

void daemon_kill(struct sim_daemon *daemon, enum daemon_end end)
{
	struct sim *sim = daemon->sim;

	if (!daemon->storage)
		return;
	sim_trace(sim, "d%u %s", daemon->index, end == DAEMON_CRASH ? "crash" : "power loss");
	if (end == DAEMON_CRASH)
		sim->count.crashes++;
	else
		sim->count.power_losses++;
	daemon->ghost = true;
	/* It will not sleep to the end. */
	if (daemon->wakes_at && !daemon->stalls)
		daemon->slept -= daemon->wakes_at - sim->now;
	daemon->wakes_at = 0;
	if (!sim_disk_is_dead(daemon->disk))
		sim_disk_die(daemon->disk, 0);
	sim_path_leave(&daemon->path, end == DAEMON_POWER_LOSS);
	ghost_run(daemon);
	daemon_close(daemon);
	sim_disk_revive(daemon->disk,
			end == DAEMON_CRASH ? SIM_DISK_CRASH : SIM_DISK_POWER_LOSS);
	daemon->lost_power |= end == DAEMON_POWER_LOSS;
	daemon->was_killed = true;
	daemon->ghost_time = 0;
	daemon->starts_at = sim->now + sim_pick(sim, sim_chance(sim, 80) ? 2000 : 60000) * MSEC;
	if (end == DAEMON_POWER_LOSS) {
		daemon->born = daemon->starts_at - UPTIME;
		daemon->slept = 0;
	}
}

/* ---- the start ---- */

struct dropped_in {
	struct store *store;
	int64_t area;
};

static bool was_dropped(void *data, uint64_t serial)
{
	const struct dropped_in *in = data;

	return store_find_outcome(in->store, in->area, serial) == STORE_OUTCOME_DROPPED;
}

/* All that was queued is gone, as Durability=memory says; what is known of the rest may be, too. */
static void forget_all(struct sim_daemon *daemon, struct model_area *area)
{
	for (unsigned int i = 0; i < area->writes->len; i++)
		((struct model_write *)area->writes->pdata[i])->sent = false;
	model_rewind(area, area_outbox(daemon->areas[area->index]));
}

/*
 * Of two losses at once the daemon may see one alone: revisions of before and after the parent's
 * cannot be told apart, once its own notes of it are gone, or were never written. They are written
 * along with what the parent acked: until then a batch that was sent hides the loss from the next
 * start, for the parent's last number is what it should be again.
 */
static bool may_miss_loss(const struct sim_daemon *daemon)
{
	uint64_t lost_at = daemon->sim->parent->lost_at;

	return daemon->was_killed && lost_at &&
	       (daemon->lost_power || daemon->disk_bad_until >= lost_at ||
		daemon->settled_at <= lost_at);
}

/* The queue as it is now, and what the clients know, must fit. */
static void daemon_adopt(struct sim_daemon *daemon, struct model_area *area)
{
	const struct outbox *outbox = area_outbox(daemon->areas[area->index]);
	struct dropped_in in = { daemon->store, area_id(daemon->areas[area->index]) };

	model_adopt(area, outbox);
	if (daemon->config.storage_durability == CONFIG_DURABILITY_MEMORY)
		forget_all(daemon, area);
	else if (daemon->config.storage_durability == CONFIG_DURABILITY_NORMAL &&
		 daemon->lost_power)
		model_rewind(area, outbox);
	else if (daemon->lost_power)
		model_untrim(area, outbox);
	if (may_miss_loss(daemon)) {
		daemon->sim->count.missed_losses++;
		model_forget_copies(area);
	}
	if (daemon->was_killed && daemon->config.storage_durability == CONFIG_DURABILITY_FULL)
		model_forget_seen(area);
	else if (daemon->was_killed &&
		 daemon->config.storage_durability == CONFIG_DURABILITY_NORMAL && !daemon->lost_power)
		model_forget_seen(area);
	model_check_queue(area, outbox, was_dropped, &in);
	model_forget_acks(area);
}

/* It is known to the parent by what the store has: else all in flight would come a second time. */
static void check_client(const struct sim_daemon *daemon, const struct store_state *state)
{
	if (daemon->config.storage_durability != CONFIG_DURABILITY_MEMORY && state->client[0])
		g_assert_cmpstr(storage_engine(daemon->storage)->parent->client, ==,
				state->client);
}

/* Return: false where the disk does not let it start; then it is tried again. */
static bool open_store(struct sim_daemon *daemon, struct store_state *ret_state)
{
	static const struct clock_ops ops = { .now = machine_now, .set_alarm = machine_alarm };
	struct storage_params params = {
		.config = &daemon->config,
		.rand = daemon->jitter,
		.make_parent = batch_make_parent,
		.default_address = "unix:/sim",
		.default_area = "default",
	};
	int r;

	daemon->clock = params.clock = clock_new(&ops, daemon);
	daemon->context = params.context = g_main_context_new();
	sim_dial_register(daemon->index, daemon->clock, &daemon->path);
	daemon->worker = worker_new_manual();
	r = store_open(daemon->database, daemon->worker, &daemon->store, &daemon->recovery);
	if (daemon->recovery.salvaged)
		g_error("the store was damaged: %s", daemon->recovery.detail);
	params.store = daemon->store;
	if (r == 0)
		r = store_load_state(daemon->store, ret_state);
	if (r == 0)
		r = storage_new(&params, &daemon->storage);
	if (r < 0 && !daemon->disk_error && !sim_disk_is_dead(daemon->disk))
		g_error("the daemon does not start: %s", g_strerror(-r));
	return r == 0;
}

static void take_area(struct sim_daemon *daemon, unsigned int a)
{
	const char *detail;

	g_assert_cmpint(storage_take_area(daemon->storage, truth_area_name(a), &daemon->areas[a],
					  &detail), ==, 0);
	daemon_adopt(daemon, &daemon->model->areas[a]);
}

static void start_failed(struct sim_daemon *daemon)
{
	bool died = sim_disk_is_dead(daemon->disk);

	sim_trace(daemon->sim, "d%u does not start", daemon->index);
	daemon->ghost = true;
	daemon_close(daemon);
	if (died)
		sim_disk_revive(daemon->disk, (int)daemon->dies_of == DAEMON_CRASH ?
				SIM_DISK_CRASH : SIM_DISK_POWER_LOSS);
	daemon->lost_power |= died && daemon->dies_of == DAEMON_POWER_LOSS;
	daemon->starts_at = daemon->sim->now + 5 * SEC;
}

void daemon_start(struct sim_daemon *daemon)
{
	struct store_state state;

	sim_trace(daemon->sim, "d%u start", daemon->index);
	daemon->starts_at = 0;
	daemon->ghost = daemon->stopping = daemon->stopped = daemon->disk_busy = false;
	daemon->path.dead = false;
	if (!open_store(daemon, &state)) {
		start_failed(daemon);
		return;
	}
	daemon->life++;
	memset(daemon->writing, 0, sizeof(daemon->writing));
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		take_area(daemon, a);
	check_client(daemon, &state);
	if (daemon->was_killed)
		model_forget_shown(daemon->model);
	daemon->lost_power = daemon->was_killed = false;
	storage_add_watch(daemon->storage, client_event, daemon);
	storage_start(daemon->storage);
}

/* ---- turns ---- */

/* An answer may come while it sleeps, and is taken for new when it wakes. */
static bool is_busy(const struct sim_daemon *daemon)
{
	bool busy = daemon->sim->now < daemon->asked_at + GET_USEC;

	for (unsigned int a = 0; a < SIM_AREAS; a++)
		busy |= outbox_count(area_outbox(daemon->areas[a])) > 0;
	return busy;
}

void daemon_sleep(struct sim_daemon *daemon, uint64_t usec, bool stall)
{
	struct sim *sim = daemon->sim;

	if (!daemon->storage || daemon->wakes_at)
		return;
	sim_trace(sim, "d%u %s %.3f s", daemon->index, stall ? "stalls" : "sleeps",
		  (double)usec / 1e6);
	sim->count.sleeps++;
	daemon->wakes_at = sim->now + usec;
	if (is_busy(daemon))
		daemon->woken_at = daemon->wakes_at;
	daemon->stalls = stall;
	/* The clock that does not count a suspend stands still at once. */
	if (stall)
		daemon->stalled += usec;
	else
		daemon->slept += usec;
}

/* What it has to note of its parent it has noted. */
static bool is_settled(const struct sim_daemon *daemon)
{
	if (!sim_parent_has(daemon->sim->parent, daemon))
		return false;
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		if (outbox_count(area_outbox(daemon->areas[a])) > 0)
			return false;
	return true;
}

static void daemon_wake(struct sim_daemon *daemon)
{
	daemon->wakes_at = 0;
	if (sim_chance(daemon->sim, 60))
		monitor_hint(storage_monitor(daemon->storage));
}

static bool loop_turn(struct sim_daemon *daemon)
{
	bool did = false;

	for (unsigned int i = 0; g_main_context_iteration(daemon->context, FALSE); i++) {
		did = true;
		if (i > 100000)
			g_error("the loop of daemon %u turns without end", daemon->index);
	}
	if (clock_next(daemon->clock) > daemon_monotonic(daemon))
		return did;
	clock_dispatch(daemon->clock);
	return true;
}

bool daemon_turn(struct sim_daemon *daemon)
{
	struct sim *sim = daemon->sim;
	bool did;

	if (!daemon->storage) {
		if (!daemon->starts_at || sim->now < daemon->starts_at)
			return false;
		daemon_start(daemon);
		return true;
	}
	if (sim->now < daemon->wakes_at)
		return false;
	if (daemon->wakes_at)
		daemon_wake(daemon);
	if (sim_disk_is_dead(daemon->disk)) {
		daemon_kill(daemon, daemon->dies_of);
		return true;
	}
	did = disk_turn(daemon);
	if (!daemon->storage)
		return true;
	did |= loop_turn(daemon);
	if (daemon->stopped)
		daemon_stopped(daemon);
	return did;
}

uint64_t daemon_next(const struct sim_daemon *daemon)
{
	uint64_t next;

	if (!daemon->storage)
		return daemon->starts_at ? daemon->starts_at : USEC_INFINITY;
	if (daemon->wakes_at)
		return daemon->wakes_at;
	next = usec_add(clock_next(daemon->clock), daemon->born + daemon->slept);
	if (daemon->disk_busy && !daemon->held)
		next = MIN(next, daemon->disk_due);
	return next;
}

bool daemon_runs(const struct sim_daemon *daemon)
{
	return daemon->storage && !daemon->stopping && !daemon->wakes_at;
}

void daemon_configure(struct sim_daemon *daemon, const char *text)
{
	config_load_text(&daemon->config, "sim", text, strlen(text), NULL, NULL);
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		daemon->reloaded[a] = true;
	if (daemon->storage)
		g_assert_cmpint(storage_reconfigured(daemon->storage), ==, 0);
}

/* ---- what must hold ---- */

uint64_t daemon_cache_bytes(const struct sim_daemon *daemon)
{
	struct copies_counts counts;

	copies_count(storage_engine(daemon->storage)->copies, &counts);
	return counts.bytes;
}

/* A bound that was lowered holds from when the queue was next within it. */
static void check_bounds(struct sim_daemon *daemon, unsigned int a)
{
	const struct outbox *outbox = area_outbox(daemon->areas[a]);
	struct config_area settings;

	config_area(&daemon->config, truth_area_name(a), &settings);
	if (outbox_count(outbox) <= settings.queue_limit)
		daemon->limit[a] = settings.queue_limit;
	if (outbox_bytes(outbox) <= settings.queue_max_bytes)
		daemon->max_bytes[a] = settings.queue_max_bytes;
	if (daemon->writing[a] == 0) {
		daemon->reloaded[a] = false;
		daemon->may_count[a] = outbox_count(outbox);
		daemon->may_bytes[a] = outbox_bytes(outbox);
	}
	g_assert_cmpuint(outbox_count(outbox), <=, daemon->limit[a]);
	g_assert_cmpuint(outbox_bytes(outbox), <=, daemon->max_bytes[a]);
}

void daemon_check(struct sim_daemon *daemon)
{
	struct monitor_stats stats;

	if (!daemon->storage || daemon->wakes_at)
		return;
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		model_check_queue(&daemon->model->areas[a], area_outbox(daemon->areas[a]), NULL,
				  NULL);
		check_bounds(daemon, a);
	}
	client_check(daemon);
	if (is_settled(daemon))
		daemon->settled_at = daemon->sim->now;
	if (!daemon->stopping && !storage_is_sound(daemon->storage))
		g_error("daemon %u: something waits, and nothing is under way", daemon->index);
	if (monitor_ready(storage_monitor(daemon->storage)) &&
	    !sim_parent_may_be_connected(daemon->sim->parent, daemon))
		g_error("daemon %u is connected, but no ping was answered", daemon->index);
	g_assert_cmpuint(daemon_cache_bytes(daemon), <=, daemon->config.cache_max_bytes);
	/* No parent is said to have lost data that did not. */
	monitor_get_stats(storage_monitor(daemon->storage), &stats);
	g_assert_cmpuint(stats.lost_data, <=, daemon->sim->count.parent_losses);
}

/* ---- life ---- */

struct sim_daemon *daemon_new(struct sim *sim, unsigned int index)
{
	struct sim_daemon *daemon = g_new0(struct sim_daemon, 1);

	daemon->sim = sim;
	daemon->index = index;
	daemon->dir = g_strdup_printf("%s/%u", sim_scratch(), index);
	g_assert_cmpint(g_mkdir(daemon->dir, 0700), ==, 0);
	daemon->database = g_build_filename(daemon->dir, "store.db", NULL);
	daemon->disk = sim_disk_new(daemon->dir, sim->seed * SIM_DAEMONS + index);
	daemon->born = sim->now - UPTIME;
	daemon->jitter = g_rand_new_with_seed(sim->seed * SIM_DAEMONS + index);
	daemon->model = model_new();
	daemon->waits = g_ptr_array_new();
	daemon->waiting = g_ptr_array_new();
	config_init(&daemon->config);
	batch_register(daemon);
	daemon->path = (struct sim_path){
		.clock = sim->clock,
		.rand = sim->rand,
		.latency = 200,
		.room = 212992,
		.accept = sim_parent_accept,
		.data = sim->parent,
	};
	return daemon;
}

static void remove_files(const char *dir)
{
	GDir *open = g_dir_open(dir, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(open))) {
		g_autofree char *path = g_build_filename(dir, name, NULL);

		g_remove(path);
	}
	g_dir_close(open);
	g_rmdir(dir);
}

struct sim_daemon *daemon_free(struct sim_daemon *daemon)
{
	g_assert_null(daemon->storage);
	daemon->disk = sim_disk_free(daemon->disk);
	remove_files(daemon->dir);
	batch_forget_all(daemon);
	config_deinit(&daemon->config);
	g_rand_free(daemon->jitter);
	model_free(daemon->model);
	g_ptr_array_unref(daemon->waits);
	g_ptr_array_unref(daemon->waiting);
	g_free(daemon->dir);
	g_free(daemon->database);
	g_free(daemon);
	return NULL;
}
