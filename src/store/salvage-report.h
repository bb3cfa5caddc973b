/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a salvage kept and lost, in words of those who read the log: no names of tables.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct salvage_loss {
	const char *table;
	uint64_t rows;	/* at least */
	bool endless;	/* an unreadable stretch has no known end */
};

/** salvage_report_word() - what the rows of @table are. */
const char *salvage_report_word(const char *table);

/**
 * salvage_report_make() - say what was kept and lost.
 * @db: the new database
 * @stretches: more on what was lost, clauses that begin with "; "
 * @ret_report: a clause, to be freed
 *
 * Return: 0, or a negative errno of @db.
 */
int salvage_report_make(sqlite3 *db, const struct salvage_loss *losses, size_t n,
			const char *stretches, char **ret_report);
