/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tools of tests/torture share: how long to run, which seed, and how figures are told.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** torture_long() - whether to run at length (HOLDFAST_TEST_LONG=1) or as every change does. */
static inline bool torture_long(void)
{
	return g_strcmp0(g_getenv("HOLDFAST_TEST_LONG"), "1") == 0;
}

/**
 * torture_seed() - HOLDFAST_TEST_SEED (a number, or "random"), by default the same for everybody;
 * printed, for it repeats the run.
 */
static inline uint32_t torture_seed(void)
{
	const char *given = g_getenv("HOLDFAST_TEST_SEED");
	uint32_t seed = 1;

	if (g_strcmp0(given, "random") == 0)
		seed = g_random_int();
	else if (given)
		seed = (uint32_t)g_ascii_strtoull(given, NULL, 10);
	printf("# seed %u (HOLDFAST_TEST_SEED=%u runs it again)\n", seed, seed);
	return seed;
}

/** torture_figure() - a result for people: printf() of "# figure: NAME = VALUE". */
G_GNUC_PRINTF(2, 3)
static inline void torture_figure(const char *name, const char *format, ...)
{
	va_list args;

	printf("# figure: %s = ", name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}
