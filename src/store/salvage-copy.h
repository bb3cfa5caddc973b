/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The working copy of a salvage: a damaged database and its log, made fit for SQLite to read.
 */

#include <sqlite3.h>

/**
 * salvage_copy_open() - copy @path and its log to @copy, and open that for reading.
 * @new: an empty database, whose first page stands in for the damaged one's
 */
int salvage_copy_open(const char *path, const char *copy, const char *new, sqlite3 **ret_db);

/** salvage_copy_settle() - move the log into the copy, and close it. Return: NULL. */
sqlite3 *salvage_copy_settle(sqlite3 *db, const char *copy);
