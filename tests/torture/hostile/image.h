/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A database as files in memory, and what its bytes say, read without SQLite: the pages that count
 * (those of the file under those of its log, up to the log's last whole commit), and the rows that
 * lie on each.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "row.h"

#define IMAGE_PAGE 4096
#define IMAGE_WAL_HEADER 32
#define IMAGE_WAL_FRAME (24 + IMAGE_PAGE)

/* Each NULL where there is no such file. */
struct image {
	GByteArray *main, *wal;
	GByteArray *lock;	/* "<path>.lock", which says how the last process ended */
};

GByteArray *image_bytes(const void *bytes, gsize len);
void image_copy(struct image *to, const struct image *from);
void image_deinit(struct image *image);

/** image_read() - from the files at @path. */
void image_read(struct image *image, const char *path);
/** image_write() - to files at @path, and none that the image does not have. */
void image_write(const struct image *image, const char *path);
/** image_empty_dir() - remove the files in a directory, which may not be there. */
void image_empty_dir(const char *dir);

/* Page n + 1 at n; each IMAGE_PAGE bytes, borrowed from the image but for a last one cut short. */
struct pages {
	GPtrArray *at;
	unsigned int counted;	/* pages that the last commit of the log, or the file, has */
	uint8_t *rest;
};

/** pages_init() - of an image, which must live unchanged until pages_deinit(). @with_wal: else as if
 * there were no log. */
void pages_init(struct pages *pages, const struct image *image, bool with_wal);
void pages_deinit(struct pages *pages);

/** pages_hash() - of one page's bytes. */
uint64_t pages_hash(const uint8_t *page);

typedef void (*pages_row_t)(void *data, const struct row *row);
/** pages_each_row() - every row, valid by itself, on page @at of any table. */
void pages_each_row(const struct pages *pages, const uint8_t *page, pages_row_t func, void *data);
