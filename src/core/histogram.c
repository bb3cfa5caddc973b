/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Durations in buckets; see histogram.h. */

#include "base/util.h"
#include "core/histogram.h"

/* 1, 2.5, 5 in each decade: a quantile read off them is wrong by a factor of 2.5 at most. */
static const struct {
	uint64_t bound;		/* usec */
	const char *label;	/* written out: what printf makes of a double is not canonical */
} buckets[HISTOGRAM_BUCKETS] = {
	{ 50, "5e-05" },
	{ 100, "0.0001" },
	{ 250, "0.00025" },
	{ 500, "0.0005" },
	{ 1 * USEC_PER_MSEC, "0.001" },
	{ 2500, "0.0025" },
	{ 5 * USEC_PER_MSEC, "0.005" },
	{ 10 * USEC_PER_MSEC, "0.01" },
	{ 25 * USEC_PER_MSEC, "0.025" },
	{ 50 * USEC_PER_MSEC, "0.05" },
	{ 100 * USEC_PER_MSEC, "0.1" },
	{ 250 * USEC_PER_MSEC, "0.25" },
	{ 500 * USEC_PER_MSEC, "0.5" },
	{ 1 * USEC_PER_SEC, "1.0" },
	{ 2500 * USEC_PER_MSEC, "2.5" },
	{ 5 * USEC_PER_SEC, "5.0" },
	{ 10 * USEC_PER_SEC, "10.0" },
	{ UINT64_MAX, "+Inf" },
};

void histogram_observe(struct histogram *histogram, uint64_t usec)
{
	unsigned int bucket = 0;

	while (usec > buckets[bucket].bound)
		bucket++;
	histogram->observed[bucket]++;
	histogram->sum = usec_add(histogram->sum, usec);
}

void histogram_snapshot(const struct histogram *histogram, struct histogram_snapshot *ret_snapshot)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		count += histogram->observed[i];
		ret_snapshot->cumulative[i] = count;
	}
	ret_snapshot->count = count;
	ret_snapshot->sum = histogram->sum;
}

uint64_t histogram_bound(unsigned int bucket)
{
	return buckets[bucket].bound;
}

const char *histogram_label(unsigned int bucket)
{
	return buckets[bucket].label;
}
