/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A client in a process of its own that writes as fast as it is let, new keys all the time, many
 * calls under way. It does so when told, into a new area each time.
 */

#include <stdatomic.h>
#include <stdint.h>

struct flood;

/** What became of its calls, as they are answered. */
struct flood_counts {
	_Atomic uint64_t accepted;
	_Atomic uint64_t quota;  /* QuotaExceeded */
	_Atomic uint64_t limits; /* LimitsExceeded */
};

/** flood_start() - its process, at rest. @window: calls under way; over 128 some are refused. */
struct flood *flood_start(uint64_t window);

/** flood_counts() - for as long as the flood is there. */
const struct flood_counts *flood_counts(const struct flood *flood);

/** flood_run() - write into area number @area from now on. Returns when the calls are under way. */
void flood_run(struct flood *flood, uint32_t area);

/** flood_rest() - no more. Returns when all its calls are answered. */
void flood_rest(struct flood *flood);

/** flood_end() - end the process, and free @flood. */
void flood_end(struct flood *flood);
