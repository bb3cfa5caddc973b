/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What of a spoiled database can still be read, found without the code under test: page by page
 * from the bytes, and row by row by SQLite itself.
 */

#include "image.h"
#include "row.h"
#include "shapes.h"

struct oracle {
	struct rows must;	/* on a page that is as it was written, or readable by SQLite */
	struct rows may;	/* everything a damaged page could be taken to say, too */
	unsigned int damaged;	/* pages that count and are not as they were written */
};

/**
 * oracle_init() - read @image, which was @shape, its log perhaps @other's.
 * @path: scratch: a copy for SQLite is laid there
 */
void oracle_init(struct oracle *oracle, const struct image *image, const struct shape *shape,
		 const struct shape *other, const char *path);
void oracle_deinit(struct oracle *oracle);
