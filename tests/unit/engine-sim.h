/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The clients of the simulation (test-engine-sim.c) and what they demand of each answer: three areas,
 * a few keys, a model (engine-model.h) that says what may be.
 */

#include "engine-bench.h"
#include "engine-model.h"

#define SIM_AREAS 3
#define SIM_KEYS  5

struct sim {
	struct bench *bench;
	struct model *model;
	GRand *rand;
	struct area *areas[SIM_AREAS];
	bool ghost;		/* the daemon was killed: what it still says is not heard */
	bool stopping;		/* a clean stop is under way */
	uint64_t stalled;	/* usec that the disk did nothing */
	unsigned int open;	/* calls without an answer */
	unsigned int values;	/* each is written once */
	GPtrArray *waits;	/* struct reply of Await and Flush that ended in this step */
	struct fake_store *snapshot;
	struct fake_batch last;	/* the last batch sent, without its ops … */
	GString *last_content;	/* … which are here */
	char client[UTIL_ID_SIZE];	/* under which the parent last took a batch */
	unsigned int clients;
	unsigned int crashes, stops, heals, answers, lost_parents;
};

struct sim *sim_new(uint32_t seed, const char *config);
struct sim *sim_free(struct sim *sim);

/** sim_open() - the engine, new or again; what a crash left unanswered is settled. */
void sim_open(struct sim *sim);

/** sim_act() - one call of some client. */
void sim_act(struct sim *sim);

/* What the simulation demands of the parent's side of the line, and of the events of areas. */
extern const struct fake_hooks sim_hooks;
void sim_event(void *data, struct area *area, const struct area_event *event);

/** sim_note_client() - see whether the engine has taken a new client id. */
void sim_note_client(struct sim *sim);

/** sim_check() - all that must hold between any two steps. */
void sim_check(struct sim *sim);

unsigned int sim_pick(struct sim *sim, unsigned int n);
bool sim_chance(struct sim *sim, unsigned int percent);
