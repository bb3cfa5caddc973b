/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opens one spoiled database with the store and holds what it then has against the oracle.
 */

#include "image.h"
#include "shapes.h"

struct ruling {
	char *finding;		/* what was wrong; NULL: nothing. To be freed. */
	char *told;		/* of the salvage, by the store. To be freed. */
	bool refused;		/* as a newer version's */
	bool salvaged;
	bool damaged;		/* pages that count were not as they were written */
	unsigned int readable;	/* rows that had to be there */
	unsigned int kept;	/* of those, there */
	unsigned int with_others;	/* of those, gone with a group or an area that lost a part */
	unsigned int altered;	/* rows there that nobody wrote: damage that reads well */
	uint64_t open_usec;
};

/**
 * judge() - lay @image out in @dir, open it, look, write to it, open it again.
 * @other: whose log it may have
 */
void judge(struct ruling *ruling, const struct image *image, const struct shape *shape,
	   const struct shape *other, const char *dir);

/** judge_shape() - the oracle itself, held against the store over a database that is whole. */
void judge_shape(const struct shape *shape, const char *dir);
