/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Durations; see samples.h. */

#include "samples.h"

void samples_init(struct samples *samples)
{
	samples->usec = g_array_new(FALSE, FALSE, sizeof(uint64_t));
}

void samples_deinit(struct samples *samples)
{
	g_array_unref(samples->usec);
	samples->usec = NULL;
}

void samples_add(struct samples *samples, uint64_t usec)
{
	g_array_append_val(samples->usec, usec);
}

void samples_clear(struct samples *samples)
{
	g_array_set_size(samples->usec, 0);
}

static gint compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t samples_at(struct samples *samples, unsigned int permille)
{
	guint n = samples->usec->len;

	if (n == 0)
		return 0;
	g_array_sort(samples->usec, compare);
	return g_array_index(samples->usec, uint64_t, MIN(n - 1, (guint64)n * permille / 1000));
}

uint64_t now_usec(void)
{
	return (uint64_t)g_get_monotonic_time();
}
