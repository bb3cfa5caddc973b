/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One statement per question, so that each answer is of one snapshot; see reader.h. */

#include <errno.h>
#include <sqlite3.h>

#include "reader.h"

#define GET_SQL                                                                                    \
	"SELECT revision, (SELECT value FROM item WHERE principal ="                               \
	" (SELECT id FROM principal WHERE name = ?1) AND area = ?2 AND key = ?3) FROM store"
#define LAST_BATCH_SQL                                                                             \
	"SELECT batch FROM client WHERE client = ?2 AND principal ="                               \
	" (SELECT id FROM principal WHERE name = ?1)"
/* A reader of a log is held up only while the file is being opened or repaired. */
#define BUSY_MSEC 250

struct reader {
	sqlite3 *handle;
	sqlite3_stmt *get;
	sqlite3_stmt *last_batch;
};

static int reader_open(struct reader *reader, const char *path)
{
	if (sqlite3_open_v2(path, &reader->handle,
			    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			    NULL) != SQLITE_OK)
		return database_errno(reader->handle);
	sqlite3_busy_timeout(reader->handle, BUSY_MSEC);
	if (sqlite3_prepare_v3(reader->handle, GET_SQL, -1, SQLITE_PREPARE_PERSISTENT, &reader->get,
			       NULL) != SQLITE_OK ||
	    sqlite3_prepare_v3(reader->handle, LAST_BATCH_SQL, -1, SQLITE_PREPARE_PERSISTENT,
			       &reader->last_batch, NULL) != SQLITE_OK)
		return database_errno(reader->handle);
	return 0;
}

int reader_new(const struct database *db, struct reader **ret)
{
	struct reader *reader = g_new0(struct reader, 1);
	int r = reader_open(reader, database_path(db));

	if (r < 0) {
		reader_free(reader);
		return r;
	}
	*ret = reader;
	return 0;
}

struct reader *reader_free(struct reader *reader)
{
	if (!reader)
		return NULL;

	sqlite3_finalize(reader->get);
	sqlite3_finalize(reader->last_batch);
	sqlite3_close(reader->handle);
	g_free(reader);
	return NULL;
}

int reader_get(struct reader *reader, const char *principal, const char *area, const char *key,
	       char **ret_value, uint64_t *ret_revision)
{
	int r;

	sqlite3_bind_text(reader->get, 1, principal, -1, SQLITE_STATIC);
	sqlite3_bind_text(reader->get, 2, area, -1, SQLITE_STATIC);
	sqlite3_bind_text(reader->get, 3, key, -1, SQLITE_STATIC);
	r = database_step(reader->get);
	if (r > 0) {
		*ret_revision = (uint64_t)sqlite3_column_int64(reader->get, 0);
		*ret_value = g_strdup((const char *)sqlite3_column_text(reader->get, 1));
	}
	/* At once: a statement left at its row keeps the log from being cut. */
	sqlite3_reset(reader->get);
	sqlite3_clear_bindings(reader->get);
	return r < 0 ? r : r == 0 ? -EUCLEAN : 0;
}

int reader_last_batch(struct reader *reader, const char *principal, const char *client,
		      uint64_t *ret_number)
{
	int r;

	sqlite3_bind_text(reader->last_batch, 1, principal, -1, SQLITE_STATIC);
	sqlite3_bind_text(reader->last_batch, 2, client, -1, SQLITE_STATIC);
	r = database_step(reader->last_batch);
	if (r >= 0)
		*ret_number = r > 0 ?
			(uint64_t)sqlite3_column_int64(reader->last_batch, 0) : 0;
	sqlite3_reset(reader->last_batch);
	sqlite3_clear_bindings(reader->last_batch);
	return r < 0 ? r : 0;
}
