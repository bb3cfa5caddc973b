/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A connection belongs to one thread at a time (SQLITE_OPEN_NOMUTEX): the writer's to the worker,
 * the reader's to the main loop. See db.h.
 */

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "store/db.h"

/* Someone else's sqlite3(1) on the file may hold the write lock for a moment, not for good. */
#define BUSY_TIMEOUT_MSEC 5000

static void clean_func(sqlite3_context *context, int n, sqlite3_value **values)
{
	const char *text;

	(void)n;
	if (sqlite3_value_type(values[0]) == SQLITE_NULL) {
		sqlite3_result_int(context, 1);
		return;
	}
	text = (const char *)sqlite3_value_text(values[0]);
	sqlite3_result_int(context, text && g_utf8_validate_len(text,
				(gsize)sqlite3_value_bytes(values[0]), NULL));
}

static void is_id_func(sqlite3_context *context, int n, sqlite3_value **values)
{
	const char *text = (const char *)sqlite3_value_text(values[0]);

	(void)n;
	sqlite3_result_int(context, text && (!*text || util_id_valid(text)) &&
				    strlen(text) == (size_t)sqlite3_value_bytes(values[0]));
}

/* Functions for SQL of ours. */
static int add_function(sqlite3 *db, const char *name,
			void (*func)(sqlite3_context *, int, sqlite3_value **))
{
	return db_error(db, sqlite3_create_function(db, name, 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
						    NULL, func, NULL, NULL));
}

int db_open(const char *path, int flags, sqlite3 **ret_db)
{
	sqlite3 *db = NULL;
	int r;

	r = db_error(db, sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL));
	if (r == 0) {
		sqlite3_extended_result_codes(db, 1);
		sqlite3_busy_timeout(db, BUSY_TIMEOUT_MSEC);
		r = add_function(db, "clean", clean_func);
	}
	if (r == 0)
		r = add_function(db, "is_id", is_id_func);
	if (r < 0) {
		db_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

sqlite3 *db_close(sqlite3 *db)
{
	sqlite3_close(db);
	return NULL;
}

int db_close_whole(sqlite3 *db)
{
	g_autofree char *wal = g_strconcat(sqlite3_db_filename(db, "main"), "-wal", NULL);

	db_close(db);
	return access(wal, F_OK) == 0 ? -ENOSPC : 0;
}

void db_keep_wal(sqlite3 *db)
{
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

/* SQLite forgets the errno of a failed commit, but the file of the log has kept its own. */
static int last_errno(sqlite3 *db)
{
	sqlite3_file *file = NULL;
	int error = db ? sqlite3_system_errno(db) : 0;

	if (db && error == 0)
		sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
	if (file && file->pMethods)
		file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
	return error;
}

/* A write over RLIMIT_FSIZE or a quota is as curable as a full disk, and called the same. */
static int io_error(sqlite3 *db, int rc)
{
	int error = last_errno(db);

	if (rc == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	if (rc == SQLITE_IOERR_CORRUPTFS || rc == SQLITE_IOERR_DATA)
		return -EUCLEAN;
	return error == ENOSPC || error == EDQUOT || error == EFBIG ? -ENOSPC : -EIO;
}

int db_error(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR:
		return io_error(db, rc);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return db && sqlite3_system_errno(db) ? -sqlite3_system_errno(db) : -EIO;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return -EINVAL;
	default:
		/* CORRUPT and NOTADB; and our SQL is fixed, so that it can only fail to compile on
		 * tables that are not what we made. */
		return -EUCLEAN;
	}
}

int db_exec(sqlite3 *db, const char *sql)
{
	return db_error(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt)
{
	return db_error(db, sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt,
					       NULL));
}

int db_step(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	return rc == SQLITE_ROW ? 1 : db_error(sqlite3_db_handle(stmt), rc);
}

void db_bind(sqlite3_stmt *stmt, const char *format, ...)
{
	va_list args;

	sqlite3_reset(stmt);
	va_start(args, format);
	for (int i = 1; *format; format++, i++) {
		const char *text;

		if (*format == 'i') {
			sqlite3_bind_int64(stmt, i, va_arg(args, int64_t));
			continue;
		}
		text = va_arg(args, const char *);
		if (*format == 's')
			sqlite3_bind_text(stmt, i, text, (int)va_arg(args, size_t), SQLITE_STATIC);
		else
			sqlite3_bind_text(stmt, i, text, text ? (int)strlen(text) : 0,
					  SQLITE_STATIC);
	}
	va_end(args);
}

void db_reset(sqlite3_stmt *stmt)
{
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
}

int db_query_int(sqlite3 *db, const char *sql, int64_t *ret_value)
{
	sqlite3_stmt *stmt;
	int r;

	r = db_error(db, sqlite3_prepare_v2(db, sql, -1, &stmt, NULL));
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r > 0)
		*ret_value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return r;
}

int db_uint(sqlite3_stmt *stmt, int column, uint64_t *ret_value)
{
	int64_t value = sqlite3_column_int64(stmt, column);

	if (sqlite3_column_type(stmt, column) != SQLITE_INTEGER || value < 0)
		return -EUCLEAN;
	*ret_value = (uint64_t)value;
	return 0;
}

int db_text(sqlite3_stmt *stmt, int column, const char **ret_text)
{
	const char *text;

	if (sqlite3_column_type(stmt, column) != SQLITE_TEXT)
		return -EUCLEAN;
	text = (const char *)sqlite3_column_text(stmt, column);
	if (!text)
		return -ENOMEM;
	if (!g_utf8_validate_len(text, (gsize)sqlite3_column_bytes(stmt, column), NULL))
		return -EBADMSG;
	*ret_text = text;
	return 0;
}
