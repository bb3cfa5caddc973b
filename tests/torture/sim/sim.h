/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A world of one parent and two daemons in one process, on a simulated clock, network and disk. The
 * daemons are the real engine, store and wire driver. Everything that happens is drawn from one
 * seed: the same seed gives the same course, which sim_trace() sums up.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/util.h"
#include "sim-truth.h"

#define SEC  USEC_PER_SEC
#define MSEC USEC_PER_MSEC

#define SIM_HEAPS 5

struct sim_daemon;
struct sim_parent;

/* For people. */
struct sim_count {
	uint64_t calls, answers, cancelled;
	uint64_t faults, crashes, power_losses, stops, disk_faults, sleeps;
	uint64_t parent_restarts, parent_losses;
	uint64_t dials, lines, line_losses, bytes, batches, duplicates, applied, clients;
	uint64_t heals, reloads, commits;
	/* What was judged, and how it came out. */
	uint64_t awaits_acked, awaits_refused, awaits_dropped, flushes, quotas, refused_rows;
	uint64_t resends, missed_losses;
	uint64_t reads_queued, reads_fresh, reads_waiting, reads_held, reads_unavailable;
	uint64_t heaps;		/* compared */
	uint64_t heap_growth;	/* bytes, the most of any episode */
};

struct sim {
	uint32_t seed;
	GRand *rand;
	uint64_t now;		/* usec since the world began, as an outside watch shows it */
	uint64_t step;
	struct clock *clock;	/* of the network and the parent */
	struct truth *truth;
	struct sim_parent *parent;
	struct sim_daemon *daemons[SIM_DAEMONS];
	uint64_t values;	/* each value written has a number of its own */
	uint64_t hash;		/* of the course */
	struct sim_count count;
	uint64_t heaps[SIM_HEAPS];	/* bytes, of the last few times all was well */
	uint64_t heap_base;	/* the least of the first ones */
};

/** sim_new() - a world where everything is well and both daemons run. */
struct sim *sim_new(uint32_t seed);
struct sim *sim_free(struct sim *sim);

/** sim_run() - let @usec pass. */
void sim_run(struct sim *sim, uint64_t usec);

/** sim_check() - all that must hold between any two steps. */
void sim_check(struct sim *sim);

/** sim_heal() - end all faults, wait for all to be well, and check that it is. */
void sim_heal(struct sim *sim);

unsigned int sim_pick(struct sim *sim, unsigned int n);
bool sim_chance(struct sim *sim, unsigned int percent);

/** sim_trace() - one more event of the course; printed where sim_verbose is set. */
void sim_trace(struct sim *sim, const char *format, ...) G_GNUC_PRINTF(2, 3);
extern bool sim_verbose;

/** sim_scratch() - a directory of this process, for all that its worlds put on disks. */
const char *sim_scratch(void);

/** sim_where() - seed, step and time of the world under way, for a report of failure. */
const char *sim_where(void);
