/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-bench.h"

static void test_new(void)
{
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	g_assert_false(bench.recovery.salvaged);
	g_free(bench_dump(&bench));
	bench_deinit(&bench);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/store/new", test_new);
	return g_test_run();
}
