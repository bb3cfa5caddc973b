/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How long things took, counted in fixed buckets from 50 us to 10 s: a unix socket's round trip at
 * the one end, a parent at the edge of its time limits at the other. The bounds are the same for
 * every histogram, so that they can be laid side by side. Embedded in its owner; all zero is empty.
 */

#include <stdint.h>

#define HISTOGRAM_BUCKETS 18 /* the last one has no bound */

struct histogram {
	uint64_t observed[HISTOGRAM_BUCKETS]; /* in this bucket alone */
	uint64_t sum;			      /* usec */
};

/* A histogram as it is told: each bucket with all below it. */
struct histogram_snapshot {
	uint64_t cumulative[HISTOGRAM_BUCKETS];
	uint64_t count;	/* that of the last bucket */
	uint64_t sum;	/* usec */
};

/** histogram_observe() - one more took @usec; a bound belongs to the bucket it ends. */
void histogram_observe(struct histogram *histogram, uint64_t usec);

void histogram_snapshot(const struct histogram *histogram,
			struct histogram_snapshot *ret_snapshot);

/** histogram_bound() - the upper bound of @bucket in usec; UINT64_MAX for the last. */
uint64_t histogram_bound(unsigned int bucket);

/** histogram_label() - the same in seconds, as the canonical number that OpenMetrics asks for in
 * "le": "5e-05", "1.0", "+Inf". */
const char *histogram_label(unsigned int bucket);
