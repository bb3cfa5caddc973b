/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The parent's database file: locked, opened, checked, set aside when damaged, and the prepared
 * statements of the one connection that writes. After database_open() only the worker thread uses
 * that connection (through ledger.c); reader.c has its own for the main loop.
 *
 * Errors are negative errnos: -ENOSPC disk full, -EIO the disk failed, -EUCLEAN the database is
 * damaged, -ENOTSUP it is of a newer version, -EMEDIUMTYPE it is another program's, -ENOEXEC it is
 * no database and never was one of ours, -EBUSY another server has it.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct database;

enum statement {
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_ROLLBACK,
	STATEMENT_REVISION_READ,
	STATEMENT_REVISION_WRITE,
	STATEMENT_PRINCIPAL_READ,
	STATEMENT_PRINCIPAL_ADD,
	STATEMENT_PRINCIPAL_WRITE,
	STATEMENT_CLIENT_READ,
	STATEMENT_CLIENT_WRITE,
	STATEMENT_CLIENT_TOUCH,
	STATEMENT_CLIENT_COUNT,
	STATEMENT_CLIENT_LIST,
	STATEMENT_CLIENT_FORGET,
	STATEMENT_CLIENT_SEEN,
	STATEMENT_ITEM_SIZE,
	STATEMENT_ITEM_WRITE,
	STATEMENT_ITEM_REMOVE,
	_STATEMENT_MAX,
};

/**
 * database_open() - lock and open the database, making it where there is none.
 * @path: "<path>-wal", "<path>-shm" and "<path>.lock" lie beside it. Mode 0600.
 * @now: CLOCK_REALTIME in usec, to name a damaged database set aside
 * @ret_set_aside: where the old database was damaged, the path it has now ("<path>.corrupt-<time>",
 *                 UTC), to be freed; else NULL. The new one has a new epoch.
 *
 * Return: 0, or a negative errno as above; all but -EIO and -ENOSPC leave the files untouched.
 */
int database_open(const char *path, uint64_t now, struct database **ret, char **ret_set_aside);

/** database_close() - checkpoint, close, unlock. Return: NULL. */
struct database *database_close(struct database *db);

const char *database_path(const struct database *db);

/** database_epoch() - the store's name, 32 hex digits. */
const char *database_epoch(const struct database *db);

/** database_statement() - the prepared statement @which, without bindings, ready to be bound. */
sqlite3_stmt *database_statement(struct database *db, enum statement which);

/**
 * database_step() - step a statement of ours; one that has ended or failed is reset.
 *
 * Return: 1 a row, 0 the end, or a negative errno as above.
 */
int database_step(sqlite3_stmt *statement);

/** database_begin() - open a transaction. Return: 0 or a negative errno. */
int database_begin(struct database *db);

/**
 * database_end() - end it, and every statement that was still being read.
 * @commit: make it durable; else undo it
 *
 * Return: 0, or a negative errno with the transaction undone.
 */
int database_end(struct database *db, bool commit);

/** database_shrink() - after a failed write: move the log's content into the database and truncate
 * it, which may be what makes room for the next. */
void database_shrink(struct database *db);

/** database_errno() - what went wrong last on @handle, as one of the errnos above. */
int database_errno(sqlite3 *handle);
