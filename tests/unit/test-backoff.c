/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Growing delays and full jitter: the figures of the design, the ends of the number range. */

#include <glib.h>
#include <math.h>

#include "core/backoff.h"

static void test_delay_defaults(void)
{
	static const uint64_t retry[] = { 100000, 200000, 400000, 800000, 1600000, 2000000 };

	for (unsigned int i = 0; i < G_N_ELEMENTS(retry); i++)
		g_assert_cmpuint(backoff_delay(100000, 2000000, 2, i), ==, retry[i]);
	g_assert_cmpuint(backoff_delay(100000, 5000000, 1.5, 2), ==, 225000);
	g_assert_cmpuint(backoff_delay(100000, 5000000, 1.1, 2), ==, 121000);
	g_assert_cmpuint(backoff_delay(100000, 5000000, 1.7, 2), ==, 289000);
	g_assert_cmpuint(backoff_delay(100000, 5000000, 1, 1000), ==, 100000);
}

static void test_delay_extremes(void)
{
	g_assert_cmpuint(backoff_delay(100000, 5000000, 2, UINT32_MAX), ==, 5000000);
	g_assert_cmpuint(backoff_delay(1, UINT64_MAX, 2, 63), ==, UINT64_C(1) << 63);
	g_assert_cmpuint(backoff_delay(1, UINT64_MAX, 2, 64), ==, UINT64_MAX);
	g_assert_cmpuint(backoff_delay(1, UINT64_MAX, 1e300, 5000), ==, UINT64_MAX);
	g_assert_cmpuint(backoff_delay(0, 5000000, 1e300, 5000), ==, 0);
	g_assert_cmpuint(backoff_delay(7, 5, 2, 0), ==, 5);
	g_assert_cmpuint(backoff_delay(UINT64_MAX, UINT64_MAX, 2, 9), ==, UINT64_MAX);
	g_assert_cmpuint(backoff_delay(100, 5000, 0.5, 3), ==, 100);
	g_assert_cmpuint(backoff_delay(100, 5000, NAN, 3), ==, 100);
	g_assert_cmpuint(backoff_delay(100, 0, 2, 3), ==, 0);
}

/* Never shorter than the delay before it, never over the bound. */
static void test_delay_monotonic(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(2);

	for (int round = 0; round < 2000; round++) {
		uint64_t initial = (uint64_t)g_rand_int(rand) >> g_rand_int_range(rand, 0, 32);
		uint64_t max = (uint64_t)g_rand_int(rand) << g_rand_int_range(rand, 0, 32);
		double multiplier = g_rand_double_range(rand, 1, 10);
		uint64_t before = 0;

		for (unsigned int attempt = 0; attempt < 100; attempt++) {
			uint64_t delay = backoff_delay(initial, max, multiplier, attempt);

			g_assert_cmpuint(delay, >=, before);
			g_assert_cmpuint(delay, <=, max);
			before = delay;
		}
	}
}

/* Full jitter: all of [0, cap], both ends included, evenly. */
static void test_jitter_even(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	unsigned int seen[8] = { 0 };
	uint64_t sum = 0;

	for (int i = 0; i < 80000; i++) {
		uint64_t drawn = backoff_jitter(rand, 7, 7, 0);

		g_assert_cmpuint(drawn, <, 8);
		seen[drawn]++;
	}
	for (unsigned int i = 0; i < 8; i++) {
		g_assert_cmpuint(seen[i], >, 9500);
		g_assert_cmpuint(seen[i], <, 10500);
	}
	for (int i = 0; i < 10000; i++) {
		uint64_t drawn = backoff_jitter(rand, 100000, 5000000, 3);

		g_assert_cmpuint(drawn, <=, 800000);
		sum += drawn;
	}
	g_assert_cmpuint(sum / 10000, >, 390000);
	g_assert_cmpuint(sum / 10000, <, 410000);
}

static void test_jitter_bounds(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(4), again = g_rand_new_with_seed(4);
	uint64_t high = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		g_assert_cmpuint(backoff_jitter(rand, 0, 5000000, i), ==, 0);
		g_assert_cmpuint(backoff_jitter(again, 0, 5000000, i), ==, 0);
		high |= backoff_jitter(rand, 1, UINT64_MAX, 64);
		backoff_jitter(again, 1, UINT64_MAX, 64);
		g_assert_cmpuint(backoff_jitter(rand, 100000, 5000000, i), ==,
				 backoff_jitter(again, 100000, 5000000, i));
	}
	g_assert_cmpuint(high, ==, UINT64_MAX);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/backoff/delay-defaults", test_delay_defaults);
	g_test_add_func("/backoff/delay-extremes", test_delay_extremes);
	g_test_add_func("/backoff/delay-monotonic", test_delay_monotonic);
	g_test_add_func("/backoff/jitter-even", test_jitter_even);
	g_test_add_func("/backoff/jitter-bounds", test_jitter_bounds);
	return g_test_run();
}
