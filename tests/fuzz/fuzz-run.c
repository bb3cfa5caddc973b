/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A fuzz target without a fuzzer: each file of the directory given is fed to it once, as a test. */

#include <glib.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_file(gconstpointer path)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *data = NULL, *exact = NULL;
	size_t size;

	g_file_get_contents(path, &data, &size, &error);
	g_assert_no_error(error);
	/* A copy of just its size, so that a sanitizer sees every byte read past its end. */
	exact = g_memdup2(data, size);
	LLVMFuzzerTestOneInput((const uint8_t *)exact, size);
}

int main(int argc, char **argv)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	const char *name;
	GDir *dir;
	int r;

	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(argc, ==, 2);
	dir = g_dir_open(argv[1], 0, NULL);
	g_assert_nonnull(dir);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *test = g_strdup_printf("/fuzz/%s", name);

		g_ptr_array_add(paths, g_build_filename(argv[1], name, NULL));
		g_test_add_data_func(test, paths->pdata[paths->len - 1], run_file);
	}
	g_dir_close(dir);
	g_assert_cmpuint(paths->len, >, 0);
	r = g_test_run();
	return r;
}
