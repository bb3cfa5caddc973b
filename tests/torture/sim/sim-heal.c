/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What must hold at every step, and when all has been well for a while; see sim.h. */

#include <malloc.h>
#include <sqlite3.h>

#include "engine/area-inner.h"
#include "engine/monitor.h"
#include "sim-batch.h"
#include "sim-client.h"
#include "sim-daemon.h"
#include "sim-fault.h"
#include "sim-parent.h"

#define HEAL_USEC (100 * SEC) /* by then all is well: a hold (auth, version) lasts a minute */
#define REST_USEC (10 * SEC)
#define READ_USEC (5 * SEC)
#define HEAP_ROOM (1024 * 1024)	/* bytes: the first flood leaves its arrays */
#define SQLITE_BYTES (16 * 1024 * 1024)

void sim_check(struct sim *sim)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		daemon_check(sim->daemons[i]);
}

/* Return: what it still waits for; NULL: nothing. */
static const char *not_well(const struct sim_daemon *daemon)
{
	if (!daemon_runs(daemon))
		return "a daemon that does not run";
	if (monitor_state(storage_monitor(daemon->storage)) != MONITOR_CONNECTED)
		return monitor_reason(storage_monitor(daemon->storage));
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		if (area_queue_size(daemon->areas[a]) > 0)
			return "a queue that is not empty";
	return NULL;
}

static const char *sim_not_well(const struct sim *sim)
{
	const char *why = NULL;

	for (unsigned int i = 0; !why && i < SIM_DAEMONS; i++)
		why = not_well(sim->daemons[i]);
	return why;
}

/* Who sleeps, or comes back later, has until then. */
static uint64_t all_up_at(const struct sim *sim)
{
	uint64_t at = sim->now;

	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		at = MAX(at, MAX(sim->daemons[i]->wakes_at, sim->daemons[i]->starts_at));
	return at;
}

struct refused {
	const struct sim_daemon *daemon;
	struct model_area *area;
	unsigned int rows;
};

static int check_refused(void *data, const struct store_rejected *row)
{
	struct refused *refused = data;

	refused->rows++;
	refused->daemon->sim->count.refused_rows++;
	for (unsigned int i = refused->area->writes->len; i-- > 0;) {
		const struct model_write *write = refused->area->writes->pdata[i];

		if (write->serial != row->serial)
			continue;
		g_assert_cmpint(write->fate, ==, FATE_REFUSED);
		g_assert_cmpstr(row->key, ==, write->key->name);
		return 0;
	}
	/* Of one that was dealt with long ago a power loss may have brought the row back. */
	if (refused->daemon->life == 1)
		g_error("a refused write that nobody wrote");
	return 0;
}

/* What was refused and not dealt with is listed. Whether a call that a crash swallowed took one off
 * the list is not known, nor whether a power loss put one back. */
static void check_rejected(const struct sim_daemon *daemon, struct model_area *area)
{
	struct refused refused = { daemon, area, 0 };
	unsigned int expected = 0;

	g_assert_cmpint(area_each_rejected(daemon->areas[area->index], check_refused, &refused), ==,
			0);
	for (unsigned int i = 0; i < area->writes->len; i++) {
		const struct model_write *write = area->writes->pdata[i];

		expected += write->fate == FATE_REFUSED && !write->retried;
	}
	if (daemon->life == 1)
		g_assert_cmpuint(refused.rows, ==, expected);
}

/* Nobody may see anything but the newest version any more. */
static void demand_newest(struct sim *sim)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		for (unsigned int a = 0; a < SIM_AREAS; a++)
			for (unsigned int k = 0; k < SIM_KEYS; k++)
				sim->daemons[i]->model->areas[a].keys[k].floor =
					truth_last(sim->truth, a, k);
}

/* All was read anew. */
static void be_sure(struct model *model)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		for (unsigned int k = 0; k < SIM_KEYS; k++)
			model->areas[a].keys[k].unsure = false;
}

static void check_items(const struct sim *sim)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		for (unsigned int k = 0; k < SIM_KEYS; k++)
			g_assert_cmpuint(truth_id(sim->parent->store->items[a][k]), ==,
					 truth_now(sim->truth, a, k));
}

static void check_daemon(struct sim_daemon *daemon)
{
	g_assert_cmpuint(daemon->open, ==, 0);
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		g_assert_cmpuint(daemon->model->areas[a].queued->len, ==, 0);
		check_rejected(daemon, &daemon->model->areas[a]);
	}
}

static uint64_t longest_ttl(const struct sim *sim)
{
	uint64_t ttl = 0;

	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		ttl = MAX(ttl, sim->daemons[i]->config.area.cache_ttl);
	return ttl;
}

/* By then each of them knows whether its line is one. */
static uint64_t longest_silence(const struct sim *sim)
{
	uint64_t silence = 0;

	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		const struct config *config = &sim->daemons[i]->config;

		silence = MAX(silence, config->heartbeat_interval +
					       config->heartbeat_timeout * config->heartbeat_max_failed);
	}
	return silence;
}

static void wait_until_well(struct sim *sim)
{
	uint64_t until = all_up_at(sim) + HEAL_USEC;

	while (sim_not_well(sim) && sim->now < until) {
		sim_run(sim, 100 * MSEC);
		sim_check(sim);
	}
	if (sim_not_well(sim))
		g_error("all has been well for %d s, but for %s", (int)(HEAL_USEC / SEC),
			sim_not_well(sim));
}

/* What is in use, but for what others keep, and what has a bound of its own: SQLite's pages, the
 * cache. */
static uint64_t heap_in_use(const struct sim *sim)
{
	struct mallinfo2 info = mallinfo2();
	uint64_t bounded = (uint64_t)sqlite3_memory_used();

	g_assert_cmpuint(bounded, <=, SQLITE_BYTES);
	bounded += truth_memory(sim->truth);
	bounded += sim_store_memory(sim->parent->store) + sim_store_memory(sim->parent->snapshot);
	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		const struct sim_daemon *daemon = sim->daemons[i];

		bounded += model_bytes(daemon->model) + sim_disk_memory(daemon->disk) +
			   batch_memory(daemon) + daemon_cache_bytes(daemon);
	}
	return usec_sub(info.uordblks + info.hblkhd, bounded);
}

static uint64_t least_heap(const struct sim *sim)
{
	uint64_t least = sim->heaps[0];

	for (unsigned int i = 1; i < SIM_HEAPS; i++)
		least = MIN(least, sim->heaps[i]);
	return least;
}

/*
 * Buffers of lines grow with what they carry, and go with the line. So it is the least of several
 * times that must not grow over the least of the first ones.
 */
static void check_heap(struct sim *sim)
{
	uint64_t least;

	sim->heaps[sim->count.heals % SIM_HEAPS] = heap_in_use(sim);
	if (sim->count.heals + 1 == SIM_HEAPS)
		sim->heap_base = least_heap(sim);
	if (sim->count.heals + 1 < SIM_HEAPS * 2)
		return;
	least = least_heap(sim);
	sim->count.heaps++;
	sim->count.heap_growth =
		MAX(sim->count.heap_growth, usec_sub(least, sim->heap_base));
	if (least > sim->heap_base + HEAP_ROOM)
		g_error("the heap has grown from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
			" bytes while nothing is held", sim->heap_base, least);
}

void sim_heal(struct sim *sim)
{
	sim_trace(sim, "heal");
	fault_end(sim);
	sim_check(sim);
	wait_until_well(sim);
	sim_run(sim, longest_silence(sim));
	wait_until_well(sim);
	sim_run(sim, REST_USEC + longest_ttl(sim));
	sim_check(sim);
	check_items(sim);
	demand_newest(sim);
	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		check_daemon(sim->daemons[i]);
		client_read_all(sim->daemons[i]);
		client_drop_rejected(sim->daemons[i]);
	}
	sim_run(sim, READ_USEC);
	sim_check(sim);
	for (unsigned int i = 0; i < SIM_DAEMONS; i++) {
		g_assert_cmpuint(sim->daemons[i]->open, ==, 0);
		be_sure(sim->daemons[i]->model);
		model_prune(sim->daemons[i]->model);
		sim->daemons[i]->ttl_was = sim->daemons[i]->config.area.cache_ttl;
	}
	truth_prune(sim->truth);
	sim->parent->lost_at = 0;
	check_heap(sim);
	sim->count.heals++;
}
