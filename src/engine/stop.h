/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A clean stop: while the parent is there what is queued may still go out, for a while; then the
 * connection ends, every pending call is settled, what is being committed is committed, and the
 * numbers are left on disk as they stand.
 */

#include <stdbool.h>

#include "base/clock.h"
#include "engine/area-set.h"
#include "engine/engine.h"

struct sender;

/* Embedded in storage; every field is stop.c's. */
struct stop {
	struct engine *engine;
	const struct area_set *areas;
	struct sender *sender;
	struct timer deadline, check;
	bool flushing;
	void (*done)(void *data);
	void *data;
};

void stop_init(struct stop *stop, struct engine *engine, const struct area_set *areas);
void stop_deinit(struct stop *stop);

/** stop_begin() - no write is taken from here on. @done: called once, never from within. */
void stop_begin(struct stop *stop, struct sender *sender, void (*done)(void *data), void *data);

/** stop_area_due() - the queue of @area changed: while stopping all of it is due at once. */
void stop_area_due(struct stop *stop, struct area *area);

/** stop_check() - something changed that the stop may wait for; it looks soon. */
void stop_check(struct stop *stop);
