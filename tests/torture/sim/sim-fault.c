/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes wrong; see sim-fault.h. */

#include <errno.h>

#include "engine/monitor.h"
#include "sim-daemon.h"
#include "sim-fault.h"
#include "sim-parent.h"

#define ROOM 212992 /* bytes, of a socket as Linux makes it */

static struct sim_daemon *pick_daemon(struct sim *sim)
{
	return sim->daemons[sim_pick(sim, SIM_DAEMONS)];
}

/* ---- settings ---- */

static const char areas[] = "[Area a1]\nLimit=8\nOverflow=drop-oldest\n"
			    "[Area a2]\nLimit=10\nMaxBytes=4K\n";

void fault_configure(struct sim *sim, unsigned int daemon)
{
	static const char *const durabilities[] = { "full", "full", "full", "normal", "normal",
						    "memory" };
	static const char *const others[] = {
		"",
		"[Debounce]\nDelay=0\n[Cache]\nTTL=500ms\n",
		"[Cache]\nTTL=1min\nMaxBytes=2K\n[Heartbeat]\nInterval=1s\nTimeout=300ms\n",
		"[Queue]\nLimit=30\n[Reconnect]\nMaxDelay=30s\n[Retry]\nMaxAttempts=1\n",
		"[Parent]\nRequestTimeout=300ms\nBatchTimeout=2s\nDialTimeout=500ms\n",
	};
	g_autofree char *durability = g_strdup_printf("[Storage]\nDurability=%s\n",
						      durabilities[sim_pick(sim, 6)]);

	daemon_configure(sim->daemons[daemon], areas);
	daemon_configure(sim->daemons[daemon], durability);
	daemon_configure(sim->daemons[daemon], others[sim_pick(sim, G_N_ELEMENTS(others))]);
	sim->daemons[daemon]->ttl_was = 60 * SEC;
}

static void fault_reload(struct sim *sim, struct sim_daemon *daemon)
{
	static const char *const changes[] = {
		"[Debounce]\nDelay=0\n",
		"[Debounce]\nDelay=300ms\nMaxDelay=2s\n",
		"[Debounce]\nDelay=2s\nMaxDelay=20s\n",
		"[Cache]\nTTL=0\n",
		"[Cache]\nTTL=5s\nMaxBytes=8M\n",
		"[Cache]\nTTL=20s\nMaxBytes=1K\n",
		"[Area a1]\nLimit=4\n",
		"[Area a1]\nLimit=12\nOverflow=reject\n",
		"[Area a1]\nOverflow=drop-oldest\n",
		"[Heartbeat]\nInterval=30s\nTimeout=5s\n",
		"[Heartbeat]\nInterval=5s\nTimeout=2s\nMaxFailedPings=3\n",
		"[Heartbeat]\nMaxFailedPings=1\n",
		"[Parent]\nAddress=unix:/other\n",
		"[Parent]\nAddress=unix:/sim\n",
		"[Parent]\nRequestTimeout=1s\nBatchTimeout=10s\nDialTimeout=2s\n",
		"[Retry]\nMaxAttempts=9\nInitialDelay=1s\nMaxDelay=10s\n",
		"[Retry]\nMaxAttempts=3\nInitialDelay=100ms\nMaxDelay=2s\n",
	};
	unsigned int which = sim_pick(sim, G_N_ELEMENTS(changes));

	if (!daemon_runs(daemon))
		return;
	sim_trace(sim, "d%u reload %u", daemon->index, which);
	sim->count.reloads++;
	daemon_configure(daemon, changes[which]);
}

/* ---- the line ---- */

static void fault_cut(struct sim *sim, struct sim_path *path)
{
	enum sim_way way = sim_chance(sim, 50) ? SIM_UP : SIM_DOWN;
	bool reset = sim_chance(sim, 40);
	size_t after = sim_chance(sim, 40) ? 0 : 1 + sim_pick(sim, sim_chance(sim, 70) ? 300 : 9000);

	if (!path->line)
		return;
	sim_trace(sim, "cut way %d after %zu", (int)way, after);
	sim_line_cut(path->line, way, after, reset);
}

static void fault_line(struct sim *sim)
{
	struct sim_path *path = &pick_daemon(sim)->path;
	unsigned int dice = sim_pick(sim, 13);

	sim_trace(sim, "line fault %u", dice);
	if (dice < 4) {
		fault_cut(sim, path);
	} else if (dice < 5) {
		if (path->line)
			sim_line_forsake(path->line);
	} else if (dice < 6) {
		path->hole[SIM_UP] = sim_chance(sim, 70);
		path->hole[SIM_DOWN] = sim_chance(sim, 70);
	} else if (dice < 8) {
		path->latency = sim_pick(sim, 400) * MSEC / (1 + sim_pick(sim, 400));
	} else if (dice < 9) {
		path->jitter = (1 + sim_pick(sim, 300)) * MSEC / (1 + sim_pick(sim, 30));
	} else if (dice < 10) {
		path->dribble = 1 + sim_pick(sim, 40);
		path->gap = sim_pick(sim, 5000);
	} else if (dice < 11) {
		path->room = 64 + sim_pick(sim, 4000);
	} else if (dice < 12) {
		path->refuses = true;
	} else {
		path->mute = true;
	}
}

/* ---- the parent ---- */

static void fault_refusals(struct sim *sim, struct sim_mood *mood)
{
	unsigned int n = 1 + sim_pick(sim, 3);

	mood->refuse_class = sim_chance(sim, 50) ? WIRE_TRANSIENT : WIRE_CAPACITY;
	mood->refuse_after = sim_chance(sim, 50) ? sim_pick(sim, 500) : 0;
	if (sim_chance(sim, 50))
		mood->refuse_batches = n;
	else if (sim_chance(sim, 50))
		mood->refuse_gets = n;
	else
		mood->refuse_writes = n;
	/* One client in a hundred is told that it may not be here, for whatever it asked. */
	if (sim_chance(sim, 2))
		mood->refuse_class = sim_chance(sim, 50) ? WIRE_AUTH : WIRE_PERMANENT;
}

/* What only a broken parent says. Each of them ends the connection. */
static void fault_broken(struct sim *sim, struct sim_mood *mood)
{
	switch (sim_pick(sim, 6)) {
	case 0:
		mood->double_replies = 1;
		break;
	case 1:
		mood->replay_replies = 1;
		break;
	case 2:
		mood->garbage = 1;
		break;
	case 3:
		mood->strangers = 1 + sim_pick(sim, 5);
		break;
	case 4:
		mood->no_results = 1;
		break;
	default:
		mood->other_ids = sim_chance(sim, 20);
		break;
	}
}

static void fault_hellos(struct sim *sim, struct sim_mood *mood)
{
	static const enum wire_class classes[] = { WIRE_TRANSIENT, WIRE_TRANSIENT, WIRE_CAPACITY,
						   WIRE_CAPACITY, WIRE_AUTH, WIRE_PERMANENT };

	mood->hello_class = classes[sim_pick(sim, G_N_ELEMENTS(classes))];
	mood->refuse_after = sim_pick(sim, 3000);
	if (sim_chance(sim, 90))
		mood->refuse_hellos = 1 + sim_pick(sim, 2);
	else
		mood->other_protocol = 1;
}

static void fault_parent(struct sim *sim)
{
	struct sim_mood *mood = &sim->parent->mood;
	unsigned int dice = sim_pick(sim, 12), n = 1 + sim_pick(sim, 3);

	sim_trace(sim, "parent fault %u", dice);
	if (dice < 3)
		fault_refusals(sim, mood);
	else if (dice < 4)
		mood->lose_replies = n;
	else if (dice < 5)
		mood->swallow = n;
	else if (dice < 6)
		mood->mute_gets = true;
	else if (dice < 7)
		mood->late_gets = sim_pick(sim, 1200) * MSEC;
	else if (dice < 8)
		mood->delay = (1 + sim_pick(sim, 2500)) * MSEC;
	else if (dice < 9)
		mood->frozen = true;
	else if (dice < 10)
		fault_broken(sim, mood);
	else if (dice < 11)
		fault_hellos(sim, mood);
	else
		mood->stale_pongs = true;
	/* Then it is dialled anew, and what was not answered comes there. */
	if (mood->stale_pongs && sim_chance(sim, 50))
		mood->late_pongs = n;
}

static void fault_restart(struct sim *sim, bool lose)
{
	struct sim_parent *parent = sim->parent;
	uint64_t down = sim_chance(sim, 30) ? 0 : sim_pick(sim, 5000) * MSEC;

	sim_trace(sim, "parent restarts, lost %d", lose);
	sim_parent_restart(parent, down, sim_chance(sim, 20));
	if (lose)
		sim_parent_lose(parent, sim_chance(sim, 50));
	/* What it is now, it may be again. */
	if (!parent->snapshot || sim_chance(sim, 20)) {
		sim_store_free(parent->snapshot);
		parent->snapshot = sim_store_copy(parent->store);
	}
}

/* Somebody else uses a client's id, or writes. */
static void fault_foreign(struct sim *sim)
{
	struct sim_daemon *daemon = pick_daemon(sim);
	g_autofree char *value = g_strdup_printf("f%" G_GUINT64_FORMAT "-", ++sim->values);
	struct store_client *kept;

	sim_trace(sim, "foreign");
	if (!sim_chance(sim, 3)) {
		sim_store_put(sim, sim->parent->store, sim_pick(sim, SIM_AREAS),
			      sim_pick(sim, SIM_KEYS), sim_chance(sim, 70) ? value : NULL);
		return;
	}
	kept = sim_store_client(sim->parent->store, daemon->client);
	daemon->clashed = true;
	kept->last += sim_chance(sim, 50) ? 1 : sim_pick(sim, 3000);
	util_random_id(kept->id);
}

/* ---- machines ---- */

static void fault_disk(struct sim *sim, struct sim_daemon *daemon)
{
	unsigned int dice = sim_pick(sim, 10);

	sim->count.disk_faults++;
	if (daemon->disk_error)
		daemon_disk_fails(daemon, 0, 0);
	else if (dice < 5)
		daemon_disk_fails(daemon, sim_chance(sim, 30) ? 0 : 1 + sim_pick(sim, 20),
				  sim_chance(sim, 50) ? ENOSPC : EIO);
	else if (dice < 8)
		daemon_hold_disk(daemon, !daemon->held);
	else
		daemon->disk_lag = sim_pick(sim, 400) * MSEC / (1 + sim_pick(sim, 400));
}

static void fault_end_of(struct sim *sim, struct sim_daemon *daemon)
{
	enum daemon_end end = sim_chance(sim, 60) ? DAEMON_CRASH : DAEMON_POWER_LOSS;

	if (!daemon->storage || daemon->stopping)
		return;
	if (sim_chance(sim, 60))
		daemon_disk_dies(daemon, 1 + sim_pick(sim, 12), end);
	else
		daemon_kill(daemon, end);
}

static void fault_clock(struct sim *sim, struct sim_daemon *daemon)
{
	static const uint64_t jumps[] = { SEC, 60 * SEC, 3600 * SEC, 86400 * SEC };
	uint64_t jump = jumps[sim_pick(sim, G_N_ELEMENTS(jumps))];
	unsigned int dice = sim_pick(sim, 10);

	if (dice < 5) {
		sim_trace(sim, "d%u wall clock", daemon->index);
		daemon->wall += sim_chance(sim, 50) ? jump : -jump;
	} else {
		daemon_sleep(daemon, sim_pick(sim, dice < 9 ? 20000 : 600000) * MSEC, dice < 7);
	}
}

static void fault_hint(struct sim *sim, struct sim_daemon *daemon)
{
	struct monitor *monitor;
	unsigned int dice = sim_pick(sim, 3);

	if (!daemon_runs(daemon))
		return;
	sim_trace(sim, "d%u hint %u", daemon->index, dice);
	monitor = storage_monitor(daemon->storage);
	if (dice == 0)
		monitor_check(monitor);
	else if (dice == 1)
		monitor_hint(monitor);
	else
		monitor_socket_appeared(monitor);
}

void fault_act(struct sim *sim)
{
	struct sim_daemon *daemon = pick_daemon(sim);
	unsigned int dice = sim_pick(sim, 1000);

	sim->count.faults++;
	if (dice < 100)
		fault_disk(sim, daemon);
	else if (dice < 380)
		fault_line(sim);
	else if (dice < 560)
		fault_parent(sim);
	else if (dice < 610)
		fault_restart(sim, false);
	else if (dice < 625)
		fault_restart(sim, true);
	else if (dice < 740)
		fault_foreign(sim);
	else if (dice < 800)
		fault_clock(sim, daemon);
	else if (dice < 850)
		fault_hint(sim, daemon);
	else if (dice < 900)
		fault_reload(sim, daemon);
	else if (dice < 970)
		fault_end_of(sim, daemon);
	else if (daemon_runs(daemon))
		daemon_stop(daemon, true);
}

/* ---- the end of faults ---- */

static void heal_path(struct sim_path *path)
{
	path->refuses = path->mute = false;
	path->latency = 200;
	path->jitter = path->dribble = 0;
	path->room = ROOM;
	sim_path_heal(path);
}

static void heal_parent(struct sim_parent *parent)
{
	bool frozen = parent->mood.frozen;
	uint64_t down_until = parent->mood.down_until;

	parent->mood = (struct sim_mood){ .frozen = frozen, .down_until = down_until };
	sim_parent_wake(parent);
}

void fault_pass(struct sim *sim, unsigned int percent)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		if (sim_chance(sim, percent))
			heal_path(&sim->daemons[i]->path);
		if (sim_chance(sim, percent))
			daemon_hold_disk(sim->daemons[i], false);
		if (sim->daemons[i]->disk_error && sim_chance(sim, percent))
			daemon_disk_fails(sim->daemons[i], 0, 0);
	}
	if (sim_chance(sim, percent))
		heal_parent(sim->parent);
}

void fault_end(struct sim *sim)
{
	sim->parent->mood.down_until = 0;
	heal_parent(sim->parent);
	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		struct sim_daemon *daemon = sim->daemons[i];

		heal_path(&daemon->path);
		daemon_hold_disk(daemon, false);
		daemon->disk_lag = 0;
		if (!sim_disk_is_dead(daemon->disk))
			sim_disk_die(daemon->disk, G_MAXUINT); /* not now */
		if (daemon->disk_error)
			daemon_disk_fails(daemon, 0, 0);
	}
}
