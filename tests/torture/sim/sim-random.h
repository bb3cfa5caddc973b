/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel's random source, for this program: ids are drawn from the seed, too. */

#include <stdint.h>

/** sim_random_seed() - begin anew. */
void sim_random_seed(uint64_t seed);
