/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Databases of the daemon as it leaves them: each shape filled by the store itself, then closed, or
 * left as a kill would, with its log.
 */

#include "image.h"
#include "row.h"

struct shape {
	const char *name;
	struct image image;
	struct rows rows;	/* every valid row on any of its pages, old versions included */
	/* uint64_t * of every page image of the file and of the log: by itself, and with its number. */
	GHashTable *hashes, *places;
	unsigned int pages;	/* that count */
};

/** shapes_make() - all of them, in scratch files under @dir. Return: struct shape *, to be unref'd. */
GPtrArray *shapes_make(const char *dir);

/** shape_has_page() - whether @page is as this shape had one, so undamaged. */
bool shape_has_page(const struct shape *shape, const uint8_t *page);
/** shape_has_page_at() - the same, and in its place. */
bool shape_has_page_at(const struct shape *shape, const uint8_t *page, unsigned int number);
