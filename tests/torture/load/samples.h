/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How long calls took, and what of it is worth telling.
 */

#include <glib.h>
#include <stdint.h>

struct samples {
	GArray *usec; /* uint64_t */
};

/** samples_init() - none yet. samples_deinit() frees them. */
void samples_init(struct samples *samples);
void samples_deinit(struct samples *samples);

/** samples_add() - one call took @usec. */
void samples_add(struct samples *samples, uint64_t usec);

/** samples_clear() - none again. */
void samples_clear(struct samples *samples);

/**
 * samples_at() - the value that @permille of a thousand do not exceed, in usec.
 * Return: 0 without samples
 */
uint64_t samples_at(struct samples *samples, unsigned int permille);

/** now_usec() - CLOCK_MONOTONIC in usec. */
uint64_t now_usec(void);
