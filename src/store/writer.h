/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The writing connection with its prepared statements: applies one transaction at a time, whole or
 * not at all. Made and freed on the main thread, used on the worker's between.
 */

#include <glib.h>
#include <sqlite3.h>
#include <stdint.h>

struct store_tx;
struct writer;

/* What an area has. */
struct writer_total {
	int64_t area;
	uint64_t items;		/* tombstones included */
	uint64_t bytes;		/* their keys + values */
	uint64_t rejected;	/* entries */
};

/**
 * writer_new() - prepare to write to @db, which is taken over, also on failure.
 * @ret_totals: struct writer_total, one per area that has items or rejected entries
 */
int writer_new(sqlite3 *db, struct writer **ret_writer, GArray **ret_totals);

/** writer_free() - close the connection, which moves the log into the file. Return: NULL. */
struct writer *writer_free(struct writer *writer);

/**
 * writer_apply() - apply and commit @tx.
 * @totals: struct writer_total appended: areas in which these have changed, as they are now
 *
 * Return: 0, or a negative errno and nothing was changed.
 */
int writer_apply(struct writer *writer, const struct store_tx *tx, GArray *totals);
