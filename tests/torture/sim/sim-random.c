/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Takes the place of getrandom(2), which ids are made from. */

#include <string.h>
#include <sys/random.h>

#include "sim-random.h"

static uint64_t state;

void sim_random_seed(uint64_t seed)
{
	state = seed;
}

/* SplitMix64. */
static uint64_t next(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

ssize_t getrandom(void *to, size_t size, unsigned int flags)
{
	(void)flags;
	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		uint64_t bytes = next();

		memcpy((char *)to + at, &bytes, size - at < sizeof(bytes) ? size - at : sizeof(bytes));
	}
	return (ssize_t)size;
}
