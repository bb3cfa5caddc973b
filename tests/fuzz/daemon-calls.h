/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The clients of a daemon on a bench (engine-bench.h) whose parent is the fuzzer: they call what
 * the input says, and of each answer they demand what no parent can take from them. What a queue
 * may hold the model of the simulation tells (sim-model.h); what a parent says it has, this one may
 * lie about, so that a read is held to nothing but writes that still wait.
 */

#include "engine-bench.h"
#include "input.h"
#include "sim-model.h"

struct daemon_calls {
	struct bench *bench;
	struct model *model;
	struct input *input;
	struct area *areas[SIM_AREAS];
	GPtrArray *open;	/* struct call without an answer */
	GPtrArray *waits;	/* struct call: Await and Flush that ended since the last check */
	bool ghost;		/* the daemon was killed: what it still says is not heard */
	bool stopping;
	uint64_t stalled;	/* usec that the disk did nothing */
	unsigned int values, crashes;
};

/** daemon_calls_new() - a daemon that does not run, with @config. */
struct daemon_calls *daemon_calls_new(const char *config, struct input *input);
/** daemon_calls_free() - stops it. Return: NULL. */
struct daemon_calls *daemon_calls_free(struct daemon_calls *calls);

/** daemon_calls_open() - start it, again after a crash or a stop. */
void daemon_calls_open(struct daemon_calls *calls);
/** daemon_calls_stop() - a clean stop. */
void daemon_calls_stop(struct daemon_calls *calls);

/** daemon_calls_act() - one call of some client. */
void daemon_calls_act(struct daemon_calls *calls);

/** daemon_calls_check() - all that must hold between any two steps. */
void daemon_calls_check(struct daemon_calls *calls);

/** daemon_calls_well() - nothing waits, neither calls nor writes. */
bool daemon_calls_well(const struct daemon_calls *calls);

/** daemon_calls_check_refused() - what was refused is listed, and nothing else. */
void daemon_calls_check_refused(const struct daemon_calls *calls);
