/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Growing delays; see backoff.h. Nobody owns anything here: arguments in, a delay out. */

#include "core/backoff.h"

/* By squaring, so that attempt number four billion costs 32 steps; ends at +inf, never wraps. */
static double power(double base, unsigned int exponent)
{
	double result = 1;

	for (; exponent; exponent >>= 1, base *= base)
		if (exponent & 1)
			result *= base;
	return result;
}

uint64_t backoff_delay(uint64_t initial, uint64_t max, double multiplier, unsigned int attempt)
{
	double delay;

	/* Also the way out of 0 × inf, which is not a number. !(a > b) takes a NaN along. */
	if (attempt == 0 || initial == 0 || initial >= max || !(multiplier > 1))
		return MIN(initial, max);

	delay = (double)initial * power(multiplier, attempt);
	/* A double of 2^64 or more has no uint64_t: compare before the cast. */
	if (delay >= (double)max)
		return max;
	return MIN((uint64_t)(delay + 0.5), max);
}

static uint64_t rand_uint64(GRand *rand)
{
	uint64_t high = g_rand_int(rand);

	return high << 32 | g_rand_int(rand);
}

uint64_t backoff_jitter(GRand *rand, uint64_t initial, uint64_t max, unsigned int attempt)
{
	uint64_t range = backoff_delay(initial, max, 2, attempt) + 1;
	uint64_t excess, drawn;

	if (range == 0) /* a cap of UINT64_MAX: every value will do */
		return rand_uint64(rand);

	/* 2^64 is rarely a multiple of the range: what is left over would favour low values. */
	excess = (UINT64_MAX % range + 1) % range;
	do
		drawn = rand_uint64(rand);
	while (drawn > UINT64_MAX - excess);
	return drawn % range;
}
