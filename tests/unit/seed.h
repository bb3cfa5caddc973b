/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One name for the seed of every random test: HOLDFAST_TEST_SEED=N, by default the same for
 * everybody, "random" for a new one. GLib's own --seed goes before it.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static inline bool seed_is_given(int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++)
		if (g_str_has_prefix(argv[i], "--seed"))
			return true;
	return false;
}

/** seed_init() - g_test_init(), with that seed for g_test_rand_int(). */
static inline void seed_init(int *argc, char ***argv)
{
	const char *given = g_getenv("HOLDFAST_TEST_SEED");
	static char option[] = "--seed", text[64], *args[64];
	guint32 seed = 1;

	if (!seed_is_given(*argc, *argv) && *argc + 3 <= (int)G_N_ELEMENTS(args)) {
		if (given)
			seed = strcmp(given, "random") == 0 ? g_random_int()
							    : (guint32)g_ascii_strtoull(given, NULL, 10);
		printf("# seed %u (HOLDFAST_TEST_SEED=%u runs it again)\n", seed, seed);
		g_snprintf(text, sizeof(text), "R02S%08x%08x%08x%08x", seed, 0, 0, 0);
		memcpy(args, *argv, (size_t)*argc * sizeof(*args));
		args[(*argc)++] = option;
		args[(*argc)++] = text;
		*argv = args;
	}
	g_test_init(argc, argv, NULL);
}
