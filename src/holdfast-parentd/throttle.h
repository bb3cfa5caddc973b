/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What strangers can bring about as often as they like gets a few lines in the log, then for a
 * while none: they are counted instead. Embedded; all zero is ready. Pure: takes `now`.
 */

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_LINES 10				/* in … */
#define THROTTLE_USEC  (UINT64_C(60) * 1000 * 1000)	/* … this long */

struct throttle {
	uint64_t began;		/* monotonic usec; 0: never */
	unsigned int lines;	/* since then */
	unsigned int untold;	/* what got no line since the last that did */
};

/**
 * throttle_allows() - whether an event at @now gets its line.
 * @ret_untold: where it does: how many before it did not
 */
bool throttle_allows(struct throttle *throttle, uint64_t now, unsigned int *ret_untold);
