/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The way from a path to a database that can be trusted: found whole, made, or salvaged from a
 * damaged one. Included by store.h for what it reports.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/place.h"

struct sqlite3;

/* What store_open() had to do. */
struct store_recovery {
	bool salvaged;		/* the old database was damaged and set aside */
	bool emptied;		/* it was there, with not one byte in it, and was made anew */
	char *set_aside;	/* its new path; NULL where not salvaged */
	uint64_t rows_kept;	/* carried over */
	uint64_t rows_lost;	/* seen and unreadable; at least, where pages were unreadable too */
	char *detail;		/* what was wrong, how many rows and what was lost: a clause for the
				 * log */
};
void store_recovery_deinit(struct store_recovery *recovery);

/**
 * store_recover() - find, make or repair the database.
 * @mark: what the last process knew of it
 * @now: realtime usec
 * @ret_db: a connection that may write
 * @recovery: zeroed; filled in, also on failure
 *
 * The lock must be held.
 *
 * Return: 0 or a negative errno.
 */
int store_recover(const char *path, enum place_mark mark, uint64_t now, struct sqlite3 **ret_db,
		  struct store_recovery *recovery);
