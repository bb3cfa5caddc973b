/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SQLite as we use it: connections set up alike, result codes as negative errnos, columns read
 * without trusting what the file says.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * db_open() - open a connection.
 * @flags: SQLITE_OPEN_* of sqlite3_open_v2()
 *
 * Text that came from the file can be asked about in SQL: clean(text), valid UTF-8 without NUL, or
 * NULL; is_id(text), an id as util_random_id() makes them, or empty.
 */
int db_open(const char *path, int flags, sqlite3 **ret_db);

/** db_close() - NULL is fine; every statement must have been finalized. Return: NULL. */
sqlite3 *db_close(sqlite3 *db);

/**
 * db_close_whole() - close a new database, and see that its log went into the file.
 *
 * Return: 0, or -ENOSPC: a log is left, as the disk filled up just then.
 */
int db_close_whole(sqlite3 *db);

/** db_keep_wal() - closing this connection leaves the write-ahead log as it is: the files are
 * evidence, or not ours to change. */
void db_keep_wal(sqlite3 *db);

/**
 * db_error() - what a result code means.
 *
 * Return: 0 for OK, ROW and DONE; -ENOSPC (also where a write failed for a quota or a file size
 * limit), -EIO, -EUCLEAN (damaged, or not the tables we made), -EBUSY, -EINVAL (a constraint),
 * -ENOMEM, -EROFS, or the system's errno where a file could not be opened.
 */
int db_error(sqlite3 *db, int rc);

/** db_exec() - run statements that return nothing. */
int db_exec(sqlite3 *db, const char *sql);

/** db_prepare() - compile a statement that is kept. */
int db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt);

/** db_step() - Return: 1 a row, 0 done, or a negative errno. */
int db_step(sqlite3_stmt *stmt);

/**
 * db_bind() - reset @stmt and bind its parameters from the first.
 * @format: per parameter 'i' int64_t, 't' const char * (NULL: SQL NULL), 's' const char *, size_t
 *
 * Text is borrowed until the statement is reset; see db_reset().
 */
void db_bind(sqlite3_stmt *stmt, const char *format, ...);

/** db_reset() - end the statement's transaction and let go of what was bound. */
void db_reset(sqlite3_stmt *stmt);

/** db_query_int() - the first column of the first row. Return: 1, 0 no row, or a negative errno. */
int db_query_int(sqlite3 *db, const char *sql, int64_t *ret_value);

/** db_uint() - a column that is never negative. Return: 0 or -EUCLEAN. */
int db_uint(sqlite3_stmt *stmt, int column, uint64_t *ret_value);

/**
 * db_text() - a column that is text.
 * @ret_text: borrowed until the statement moves on
 *
 * Return: 0, -EUCLEAN where it is something else, -EBADMSG where it is not valid UTF-8 or has a
 * NUL; *ret_text is untouched then.
 */
int db_text(sqlite3_stmt *stmt, int column, const char **ret_text);
