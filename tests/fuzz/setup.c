/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See setup.h. Pieces are powers of two, each size with a list of the free ones. */

#include <glib.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "setup.h"

#define POOL_SMALLEST 5	 /* 32 bytes, of which 16 say the size */
#define POOL_LARGEST  26
#define POOL_CHUNK    ((size_t)1 << 20)

const char *__asan_default_options(void);

/* What GLib's checker needs (unit tests set it likewise), and what makes ASan quicker. */
const char *__asan_default_options(void)
{
	return "intercept_tls_get_addr=0:malloc_context_size=8:quarantine_size_mb=32:"
	       "max_malloc_fill_size=0";
}

struct piece {
	struct piece *next;
	uint64_t power;
};

static struct piece *pool[POOL_LARGEST + 1];

static unsigned int power_of(int size)
{
	unsigned int power = POOL_SMALLEST;

	while (((size_t)1 << power) < (size_t)size + sizeof(struct piece))
		power++;
	return power;
}

/* What is cut from here is never given back, only used again. */
static void pool_grow(unsigned int power)
{
	size_t size = (size_t)1 << power, all = MAX(size, POOL_CHUNK);
	char *chunk = g_malloc(all);

	for (size_t at = 0; at < all; at += size) {
		struct piece *piece = (struct piece *)(chunk + at);

		piece->power = power;
		piece->next = pool[power];
		pool[power] = piece;
	}
}

static void *pool_malloc(int size)
{
	unsigned int power = power_of(size);
	struct piece *piece;

	if (power > POOL_LARGEST)
		return NULL;
	if (!pool[power])
		pool_grow(power);
	piece = pool[power];
	pool[power] = piece->next;
	return piece + 1;
}

static void pool_free(void *data)
{
	struct piece *piece = (struct piece *)data - 1;

	piece->next = pool[piece->power];
	pool[piece->power] = piece;
}

static int pool_size(void *data)
{
	return (int)(((size_t)1 << ((struct piece *)data - 1)->power) - sizeof(struct piece));
}

static void *pool_realloc(void *data, int size)
{
	void *to;

	if (size <= pool_size(data))
		return data;
	to = pool_malloc(size);
	if (to) {
		memcpy(to, data, (size_t)pool_size(data));
		pool_free(data);
	}
	return to;
}

static int pool_roundup(int size)
{
	return (int)(((size_t)1 << power_of(size)) - sizeof(struct piece));
}

static int pool_init(void *data)
{
	(void)data;
	return SQLITE_OK;
}

static void pool_shutdown(void *data)
{
	(void)data;
}

/* What GLib ends a program with that has logged a fatal message; a fuzzer knows abort() only. */
static void on_trap(int signal)
{
	(void)signal;
	abort();
}

void fuzz_setup(void)
{
	static const sqlite3_mem_methods methods = {
		.xMalloc = pool_malloc,
		.xFree = pool_free,
		.xRealloc = pool_realloc,
		.xSize = pool_size,
		.xRoundup = pool_roundup,
		.xInit = pool_init,
		.xShutdown = pool_shutdown,
	};
	static bool done;

	if (done)
		return;
	done = true;
	signal(SIGTRAP, on_trap);
	g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_LEVEL_ERROR |
			       G_LOG_FATAL_MASK);
	g_assert_cmpint(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), ==, SQLITE_OK);
	g_assert_cmpint(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0), ==, SQLITE_OK);
	g_assert_cmpint(sqlite3_config(SQLITE_CONFIG_SINGLETHREAD), ==, SQLITE_OK);
}

char *fuzz_directory(void)
{
	char *dir = g_strdup("/dev/shm/holdfast-XXXXXX");

	if (!g_mkdtemp(dir)) {
		g_free(dir);
		dir = g_dir_make_tmp("holdfast-XXXXXX", NULL);
	}
	g_assert_nonnull(dir);
	return dir;
}
