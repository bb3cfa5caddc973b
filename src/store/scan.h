/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading a damaged database: the rows of one table, in whatever order they can be had.
 *
 * Every table is ordered by one integer (some of them within an area). scan_table() reads a stretch
 * of keys upwards to the first error, then downwards; what is left between the two ends is halved
 * and each half read likewise, so that rows between two bad pages are reached, too. The number of
 * failures is bounded; what remains then is given up.
 *
 * Where the top of a tree is gone, or a page of it forgot some of its cells, nothing leads to the
 * pages below any more. scan_orphans() puts each page of the right kind in the place of the top, one
 * after the other, and reads the rows on it. That finds rows again that were read before, and rows
 * of other tables in disguise: the receiver must tell. Rows that were deleted are not found, as SQLite
 * overwrites the pages it frees (secure_delete, see writer.c).
 */

#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct scan_table {
	const char *name;
	const char *key;	/* the column it is ordered by */
	int key_column;
	bool by_area;
	bool without_rowid;
};

/* Keys of rows that were not read. */
struct scan_span {
	int64_t lo, hi;
	bool heads;		/* the receiver's, of a row it refused at `lo` */
};

#define SCAN_KEY_MIN (-(INT64_C(1) << 62))
#define SCAN_KEY_MAX (INT64_C(1) << 62)

/** scan_row_t - Return: 0, or a negative errno to give up. */
typedef int (*scan_row_t)(void *data, sqlite3_stmt *row, int64_t key);

/**
 * scan_table() - read all that leads to a row.
 * @area: with by_area: whose rows
 * @gone: struct scan_span appended, one or more per unreadable stretch
 *
 * Return: 0 or what @func returned.
 */
int scan_table(sqlite3 *db, const struct scan_table *table, int64_t area, scan_row_t func,
	       void *data, GArray *gone);

/**
 * scan_orphans() - read every page that could be part of @table.
 * @path: the database, closed and with no log; changed in the course
 *
 * Return: 0, what @func returned, or another negative errno.
 */
int scan_orphans(const char *path, const struct scan_table *table, scan_row_t func, void *data);
