/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Durations in buckets: where each goes, what is told, and the labels. */

#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "core/histogram.h"
#include "seed.h"

static void test_empty(void)
{
	const struct histogram empty = { 0 };
	struct histogram_snapshot snapshot;

	memset(&snapshot, 0xff, sizeof(snapshot));
	histogram_snapshot(&empty, &snapshot);
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		g_assert_cmpuint(snapshot.cumulative[i], ==, 0);
	g_assert_cmpuint(snapshot.count, ==, 0);
	g_assert_cmpuint(snapshot.sum, ==, 0);
}

static void test_bounds_rise(void)
{
	g_assert_cmpuint(histogram_bound(0), ==, 50);
	g_assert_cmpuint(histogram_bound(HISTOGRAM_BUCKETS - 2), ==, 10 * USEC_PER_SEC);
	g_assert_cmpuint(histogram_bound(HISTOGRAM_BUCKETS - 1), ==, UINT64_MAX);
	for (unsigned int i = 1; i < HISTOGRAM_BUCKETS; i++)
		g_assert_cmpuint(histogram_bound(i), >, histogram_bound(i - 1));
}

/* What Go makes of the number with %g, and ".0" where that looks like an integer. */
static void test_labels_are_canonical(void)
{
	char text[64];

	for (unsigned int i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		g_ascii_formatd(text, sizeof(text), "%.15g", (double)histogram_bound(i) / 1e6);
		if (!strpbrk(text, ".e"))
			g_strlcat(text, ".0", sizeof(text));
		g_assert_cmpstr(histogram_label(i), ==, text);
	}
	g_assert_cmpstr(histogram_label(HISTOGRAM_BUCKETS - 1), ==, "+Inf");
}

/* le: a bound belongs to its bucket, one more does not. */
static void test_each_bound_ends_its_bucket(void)
{
	struct histogram_snapshot snapshot;

	for (unsigned int i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		struct histogram histogram = { 0 };

		histogram_observe(&histogram, histogram_bound(i));
		histogram_observe(&histogram, histogram_bound(i) + 1);
		histogram_snapshot(&histogram, &snapshot);
		if (i > 0)
			g_assert_cmpuint(snapshot.cumulative[i - 1], ==, 0);
		g_assert_cmpuint(snapshot.cumulative[i], ==, 1);
		g_assert_cmpuint(snapshot.cumulative[i + 1], ==, 2);
		g_assert_cmpuint(snapshot.sum, ==, 2 * histogram_bound(i) + 1);
	}
}

static void test_nothing_is_out_of_range(void)
{
	struct histogram histogram = { 0 };
	struct histogram_snapshot snapshot;

	histogram_observe(&histogram, 0);
	histogram_observe(&histogram, UINT64_MAX);
	histogram_observe(&histogram, UINT64_MAX - 1);
	histogram_snapshot(&histogram, &snapshot);
	g_assert_cmpuint(snapshot.cumulative[0], ==, 1);
	g_assert_cmpuint(snapshot.cumulative[HISTOGRAM_BUCKETS - 2], ==, 1);
	g_assert_cmpuint(snapshot.count, ==, 3);
	g_assert_cmpuint(snapshot.sum, ==, UINT64_MAX); /* it stays there, and never falls */
}

/* Against a count made in the plainest way. */
static void test_random(void)
{
	g_autoptr(GArray) given = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	struct histogram histogram = { 0 };
	struct histogram_snapshot snapshot;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < 5000; i++) {
		uint64_t usec = (uint64_t)g_test_rand_int() >> g_test_rand_int_range(0, 31) & 0x1ffffff;

		g_array_append_val(given, usec);
		histogram_observe(&histogram, usec);
		sum += usec;
	}
	histogram_snapshot(&histogram, &snapshot);
	for (unsigned int b = 0; b < HISTOGRAM_BUCKETS; b++) {
		uint64_t below = 0;

		for (unsigned int i = 0; i < given->len; i++)
			below += g_array_index(given, uint64_t, i) <= histogram_bound(b);
		g_assert_cmpuint(snapshot.cumulative[b], ==, below);
	}
	g_assert_cmpuint(snapshot.count, ==, given->len);
	g_assert_cmpuint(snapshot.count, ==, snapshot.cumulative[HISTOGRAM_BUCKETS - 1]);
	g_assert_cmpuint(snapshot.sum, ==, sum);
}

int main(int argc, char *argv[])
{
	seed_init(&argc, &argv);
	g_test_add_func("/histogram/empty", test_empty);
	g_test_add_func("/histogram/bounds", test_bounds_rise);
	g_test_add_func("/histogram/labels", test_labels_are_canonical);
	g_test_add_func("/histogram/bound", test_each_bound_ends_its_bucket);
	g_test_add_func("/histogram/range", test_nothing_is_out_of_range);
	g_test_add_func("/histogram/random", test_random);
	return g_test_run();
}
