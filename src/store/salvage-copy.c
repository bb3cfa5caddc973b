/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The copy gets the first page of a new database: header and tables are the same in all of them
 * (schema.c), so that damage there costs nothing.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/db.h"
#include "store/place.h"
#include "store/salvage-copy.h"
#include "store/schema.h"

/*
 * Give the copy the first page of a new database, and room for all roots. Without a length in it
 * SQLite takes the file's, or what the last commit of the log says; were it longer than that, the
 * log would not count.
 */
static int patch(const char *copy, const char *new)
{
	uint8_t page[SCHEMA_PAGE_SIZE];
	struct stat st = { 0 }, new_st;
	size_t len;
	int r;

	r = place_read_head(new, page, sizeof(page), &len);
	if (r <= 0 || len < sizeof(page) || stat(new, &new_st) < 0)
		return r < 0 ? r : -EIO;
	if (stat(copy, &st) < 0 && errno != ENOENT)
		return -errno;
	memset(page + SCHEMA_LENGTH_OFFSET, 0, sizeof(uint32_t));
	r = place_overwrite(copy, page, sizeof(page));
	if (r == 0 && st.st_size < new_st.st_size && truncate(copy, new_st.st_size) < 0)
		r = -errno;
	return r;
}

/* Open the copy for reading, with the changes of its log if that makes sense. */
static int open_copy(const char *copy, sqlite3 **ret_db)
{
	g_autofree char *wal = g_strconcat(copy, "-wal", NULL);
	sqlite3 *db;
	int r;

	r = db_open(copy, SQLITE_OPEN_READWRITE, &db);
	if (r < 0)
		return r;
	db_keep_wal(db);
	if (schema_check_tables(db) != SCHEMA_GOOD) {
		db_close(db);
		unlink(wal);
		r = db_open(copy, SQLITE_OPEN_READWRITE, &db);
		if (r < 0)
			return r;
	}
	*ret_db = db;
	/* In one read, or each of thousands would take its locks. */
	return db_exec(db, "PRAGMA cell_size_check=ON;BEGIN");
}

static int copy_files(const char *path, const char *copy)
{
	g_autofree char *wal = g_strconcat(path, "-wal", NULL);
	g_autofree char *copy_wal = g_strconcat(copy, "-wal", NULL);
	int r;

	place_remove(copy);
	r = place_copy(path, copy);
	if (r == 0 || r == -ENOENT)
		r = place_copy(wal, copy_wal);
	return r == -ENOENT ? 0 : r;
}

int salvage_copy_open(const char *path, const char *copy, const char *new, sqlite3 **ret_db)
{
	int r;

	r = copy_files(path, copy);
	if (r == 0)
		r = patch(copy, new);
	return r < 0 ? r : open_copy(copy, ret_db);
}

/* The log does not go into a file much shorter than the log says it is: that is cut off, or lost. */
static void grow(sqlite3 *db, const char *copy)
{
	struct stat st;
	int64_t pages;

	if (db_query_int(db, "PRAGMA page_count", &pages) > 0 && stat(copy, &st) == 0 &&
	    st.st_size < pages * SCHEMA_PAGE_SIZE)
		(void)!truncate(copy, pages * SCHEMA_PAGE_SIZE);
}

sqlite3 *salvage_copy_settle(sqlite3 *db, const char *copy)
{
	grow(db, copy);
	db_exec(db, "ROLLBACK"); /* if some error has not */
	db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	return db_close(db);
}
