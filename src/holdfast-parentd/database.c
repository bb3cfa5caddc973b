/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opening is: lock, open, look. The look is cheap tests of what is ours (application id, version,
 * the one row of `store`) and SQLite's own check of every page; whatever it finds damaged is
 * renamed with its log and a new database takes its place. It gets a new epoch, by which every
 * client learns that this is another store than the one it knew.
 *
 * WAL with synchronous=FULL: a COMMIT returns after the log was synced, and that is what an ack
 * means.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database.h"
#include "schema.h"

/* Pages of the log after which a commit also moves them into the database: 16 MiB, some ten batches
 * of the largest kind, so that replay is not slowed by a second sync at every batch. */
#define CHECKPOINT_PAGES "4000"
/* What the log's file is cut back to after that, or a burst would keep its disk space for ever. */
#define LOG_KEPT_BYTES "33554432"
/* For the reader's and the checkpointer's short locks on each other. */
#define BUSY_MSEC 2000
/* SQLite takes a file shorter than its smallest page for a new one; to us it is a damaged one. */
#define SMALLEST_BYTES 512
/* What every database begins with, its NUL included. */
#define MAGIC "SQLite format 3"

struct database {
	char *path;
	int lock_fd;
	sqlite3 *handle;
	sqlite3_stmt *statements[_STATEMENT_MAX];
	char epoch[UTIL_ID_SIZE];
};

static const char *const statement_sql[] = {
	[STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
	[STATEMENT_COMMIT] = "COMMIT",
	[STATEMENT_ROLLBACK] = "ROLLBACK",
	[STATEMENT_REVISION_READ] = "SELECT revision FROM store",
	[STATEMENT_REVISION_WRITE] = "UPDATE store SET revision = ?1",
	[STATEMENT_PRINCIPAL_READ] = "SELECT id, keys, bytes FROM principal WHERE name = ?1",
	[STATEMENT_PRINCIPAL_ADD] =
		"INSERT INTO principal (name, keys, bytes) VALUES (?1, 0, 0)"
		" RETURNING id, keys, bytes",
	[STATEMENT_PRINCIPAL_WRITE] = "UPDATE principal SET keys = ?2, bytes = ?3 WHERE id = ?1",
	[STATEMENT_CLIENT_READ] = "SELECT batch, id, base, verdicts FROM client"
				  " WHERE principal = ?1 AND client = ?2",
	[STATEMENT_CLIENT_WRITE] =
		"INSERT INTO client (principal, client, batch, id, base, verdicts, seen)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET batch = ?3,"
		" id = ?4, base = ?5, verdicts = ?6, seen = ?7",
	[STATEMENT_CLIENT_TOUCH] =
		"UPDATE client SET seen = ?3 WHERE client = ?2 AND principal ="
		" (SELECT id FROM principal WHERE name = ?1)",
	[STATEMENT_CLIENT_COUNT] = "SELECT count(*) FROM client WHERE principal = ?1",
	[STATEMENT_CLIENT_LIST] = "SELECT client FROM client WHERE principal = ?1 ORDER BY seen",
	[STATEMENT_CLIENT_FORGET] = "DELETE FROM client WHERE principal = ?1 AND client = ?2",
	[STATEMENT_CLIENT_SEEN] = "SELECT ifnull(max(seen), 0) FROM client",
	[STATEMENT_ITEM_SIZE] =
		"SELECT bytes FROM item WHERE principal = ?1 AND area = ?2 AND key = ?3",
	[STATEMENT_ITEM_WRITE] =
		"INSERT OR REPLACE INTO item (principal, area, key, revision, bytes, value)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[STATEMENT_ITEM_REMOVE] =
		"DELETE FROM item WHERE principal = ?1 AND area = ?2 AND key = ?3",
};

/* A file-size limit (RLIMIT_FSIZE) and a disk quota mean to us what a full disk does. */
static bool errno_means_full(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

static int code_to_errno(int code, int system_errno)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return system_errno > 0 ? -system_errno : -EACCES;
	default:
		return errno_means_full(system_errno) ? -ENOSPC : -EIO;
	}
}

int database_errno(sqlite3 *handle)
{
	int r;

	if (!handle)
		return -ENOMEM;
	r = code_to_errno(sqlite3_errcode(handle), sqlite3_system_errno(handle));
	return r < 0 ? r : -EIO;
}

/* ---- statements ---- */

sqlite3_stmt *database_statement(struct database *db, enum statement which)
{
	sqlite3_reset(db->statements[which]);
	sqlite3_clear_bindings(db->statements[which]);
	return db->statements[which];
}

int database_step(sqlite3_stmt *statement)
{
	int r = 0;

	/* A commit that fails leaves its errno here, and not with SQLite. */
	errno = 0;
	switch (sqlite3_step(statement)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		break;
	default:
		r = errno_means_full(errno) ? -ENOSPC :
					      database_errno(sqlite3_db_handle(statement));
		break;
	}
	sqlite3_reset(statement);
	return r;
}

/* Step @which, without bindings, to its end. Return: as database_step(). */
static int database_run(struct database *db, enum statement which)
{
	return database_step(database_statement(db, which));
}

int database_begin(struct database *db)
{
	return database_run(db, STATEMENT_BEGIN);
}

int database_end(struct database *db, bool commit)
{
	int r = 0;

	/* A statement left at a row would keep its snapshot, and the log could not be cut. */
	for (int i = 0; i < _STATEMENT_MAX; i++)
		sqlite3_reset(db->statements[i]);
	if (commit)
		r = database_run(db, STATEMENT_COMMIT);
	/* Some failures have undone it already. */
	if (!sqlite3_get_autocommit(db->handle))
		database_run(db, STATEMENT_ROLLBACK);
	return r;
}

void database_shrink(struct database *db)
{
	sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

static int database_exec(struct database *db, const char *sql)
{
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		return database_errno(db->handle);
	return 0;
}

/* Of a statement that has nothing wrong: a format that SQLite does not know is damage in the header. */
static int opening_errno(struct database *db)
{
	if (sqlite3_extended_errcode(db->handle) == SQLITE_ERROR)
		return -EUCLEAN;
	return database_errno(db->handle);
}

/* The first column of the first row of @sql, as a number. */
static int database_number(struct database *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement;
	int r;

	if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) != SQLITE_OK)
		return opening_errno(db);
	r = database_step(statement);
	if (r > 0)
		*ret = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return r < 0 ? r : r == 0 ? -EUCLEAN : 0;
}

static int database_prepare(struct database *db)
{
	for (int i = 0; i < _STATEMENT_MAX; i++)
		if (sqlite3_prepare_v3(db->handle, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &db->statements[i], NULL) != SQLITE_OK)
			/* A table or column that is not there: the version says it is. */
			return (sqlite3_errcode(db->handle) & 0xff) == SQLITE_ERROR ?
				       -EUCLEAN :
				       database_errno(db->handle);
	return 0;
}

/* ---- opening ---- */

/* Make the names in the directory of @path durable. @ret_directory: NULL, or where to put its name */
static int directory_sync(const char *path, char **ret_directory)
{
	g_autofree char *directory = g_path_get_dirname(path);
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0 || fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (ret_directory)
		*ret_directory = g_steal_pointer(&directory);
	return r;
}

/* A directory that is new is a name in the one above it; those may not be ours to open. */
static int way_sync(const char *path)
{
	g_autofree char *at = NULL;
	int r = directory_sync(path, &at);

	while (strcmp(at, "/") != 0 && strcmp(at, ".") != 0) {
		char *below = at;

		directory_sync(below, &at);
		g_free(below);
	}
	return r;
}

/* Make the tables and give the store its name, in one transaction: never half a store. */
static int database_create(struct database *db)
{
	char epoch[UTIL_ID_SIZE];
	g_autofree char *sql = NULL;
	int r;

	util_random_id(epoch);
	sql = g_strdup_printf("BEGIN IMMEDIATE; " SCHEMA_SQL
			      "INSERT INTO store (one, epoch, revision) VALUES (1, '%s', 0);"
			      "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			      epoch, SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
	/* The file's name has to survive a power loss as its content does. Before that is there, as
	 * nobody comes here again. */
	r = way_sync(db->path);
	return r < 0 ? r : database_exec(db, sql);
}

/* Whose database it is, before anything is written to it. Return: 1 where it is empty. */
static int database_identify(struct database *db)
{
	int64_t application_id = 0, version = 0, tables = 0;
	int r;

	r = database_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r >= 0)
		r = database_number(db, "PRAGMA application_id", &application_id);
	if (r >= 0)
		r = database_number(db, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (tables == 0 && application_id == 0 && version == 0)
		return 1;
	if (application_id != SCHEMA_APPLICATION_ID)
		return -EMEDIUMTYPE;
	if (version > SCHEMA_VERSION)
		return -ENOTSUP;
	return version == SCHEMA_VERSION ? 0 : -EUCLEAN;
}

static int database_check_pages(struct database *db)
{
	sqlite3_stmt *statement;
	int r;

	if (sqlite3_prepare_v2(db->handle, "PRAGMA integrity_check(1)", -1, &statement, NULL) !=
	    SQLITE_OK)
		return database_errno(db->handle);
	r = database_step(statement);
	if (r == 0 || (r > 0 && g_strcmp0((const char *)sqlite3_column_text(statement, 0), "ok")))
		r = -EUCLEAN;
	sqlite3_finalize(statement);
	return MIN(r, 0);
}

/*
 * A flipped bit in the text of a table can leave one that SQLite takes, of another kind: then what is
 * written now is not what the next start reads. What somebody added beside ours is no damage.
 */
static int database_check_tables(struct database *db)
{
	sqlite3_stmt *statement;
	int r;

	if (sqlite3_prepare_v2(db->handle,
			       "SELECT group_concat(sql || ';', '') FROM (SELECT sql FROM"
			       " sqlite_schema WHERE name IN (" SCHEMA_NAMES ") ORDER BY rowid)",
			       -1, &statement, NULL) != SQLITE_OK)
		return database_errno(db->handle);
	r = database_step(statement);
	if (r == 0 ||
	    (r > 0 && g_strcmp0((const char *)sqlite3_column_text(statement, 0), SCHEMA_SQL) != 0))
		r = -EUCLEAN;
	sqlite3_finalize(statement);
	return MIN(r, 0);
}

static int database_load_epoch(struct database *db)
{
	sqlite3_stmt *statement;
	const char *epoch;
	int r;

	if (sqlite3_prepare_v2(db->handle, "SELECT epoch FROM store WHERE revision >= 0", -1,
			       &statement, NULL) != SQLITE_OK)
		return -EUCLEAN;
	r = database_step(statement);
	if (r > 0) {
		epoch = (const char *)sqlite3_column_text(statement, 0);
		r = util_id_valid(epoch) ? 0 : -EUCLEAN;
		if (r == 0)
			memcpy(db->epoch, epoch, UTIL_ID_SIZE);
	} else if (r == 0) {
		r = -EUCLEAN;
	}
	sqlite3_finalize(statement);
	return r;
}

/*
 * SQLite would follow the umask; values are private. O_CREAT rather than a later chmod(), so that
 * there is no moment in between.
 */
static int file_touch(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), r = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (st.st_size > 0 && st.st_size < SMALLEST_BYTES)
		r = -EUCLEAN;
	close(fd);
	return r;
}

/* A closing connection moves the log into the database and removes it. */
static void database_keep_log(struct database *db, bool keep)
{
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep, NULL);
}

static int database_open_handle(struct database *db)
{
	bool is_empty;
	int r;

	r = file_touch(db->path);
	if (r < 0)
		return r;
	if (sqlite3_open_v2(db->path, &db->handle,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			    NULL) != SQLITE_OK)
		return database_errno(db->handle);
	/* Until it is known to be a whole one of ours it is evidence, or somebody else's. */
	database_keep_log(db, true);
	sqlite3_busy_timeout(db->handle, BUSY_MSEC);
	r = database_identify(db);
	if (r < 0)
		return r;
	is_empty = r > 0;
	if (database_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			      "PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES ";"
			      "PRAGMA journal_size_limit = " LOG_KEPT_BYTES ";"
			      "PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY") < 0)
		return opening_errno(db);
	/* It was opened for writing; but a header of a later format has SQLite only read. */
	if (sqlite3_db_readonly(db->handle, "main") > 0)
		return -EUCLEAN;
	/* The tables of a store stay in a damaged file no longer than to the next start. */
	r = database_check_pages(db);
	if (r >= 0 && is_empty)
		r = database_create(db);
	if (r >= 0)
		r = database_check_tables(db);
	if (r >= 0)
		r = database_load_epoch(db);
	if (r >= 0)
		r = database_prepare(db);
	if (r >= 0)
		database_keep_log(db, false);
	return r;
}

static void database_close_handle(struct database *db)
{
	for (int i = 0; i < _STATEMENT_MAX; i++) {
		sqlite3_finalize(db->statements[i]);
		db->statements[i] = NULL;
	}
	sqlite3_close(db->handle);
	db->handle = NULL;
}

/* ---- a damaged one, and what is none ---- */

static char *set_aside_path(const char *path, uint64_t now)
{
	for (;; now += USEC_PER_SEC) {
		g_autoptr(GDateTime) time =
			g_date_time_new_from_unix_utc((gint64)(now / USEC_PER_SEC));
		g_autofree char *stamp = g_date_time_format(time, "%Y%m%dT%H%M%SZ");
		char *to = g_strconcat(path, ".corrupt-", stamp, NULL);

		if (access(to, F_OK) < 0)
			return to;
		g_free(to);
	}
}

/* The log goes along: left behind it would be played into the new database. */
static int database_set_aside(struct database *db, uint64_t now, char **ret_to)
{
	g_autofree char *to = set_aside_path(db->path, now);
	g_autofree char *wal = g_strconcat(db->path, "-wal", NULL);
	g_autofree char *wal_to = g_strconcat(to, "-wal", NULL);
	g_autofree char *shm = g_strconcat(db->path, "-shm", NULL);
	int r;

	if (rename(wal, wal_to) < 0 && errno != ENOENT)
		return -errno;
	if (unlink(shm) < 0 && errno != ENOENT)
		return -errno;
	if (rename(db->path, to) < 0)
		return -errno;
	r = directory_sync(db->path, NULL);
	if (r < 0)
		return r;
	*ret_to = g_steal_pointer(&to);
	return 0;
}

static bool file_beside(const char *path, const char *suffix)
{
	g_autofree char *beside = g_strconcat(path, suffix, NULL);

	return access(beside, F_OK) == 0;
}

static void file_unlink_beside(const char *path, const char *suffix)
{
	g_autofree char *beside = g_strconcat(path, suffix, NULL);

	unlink(beside);
}

/* Whether @fd has bytes that are not a database's. O_NONBLOCK has made sure that a FIFO comes here
 * too; what cannot be looked into is for the opening to complain about. */
static bool bytes_foreign(int fd)
{
	char head[sizeof(MAGIC)];
	struct stat st;

	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
		return false;
	if (!S_ISREG(st.st_mode))
		return true;
	return st.st_size > 0 && (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
				  memcmp(head, MAGIC, sizeof(head)) != 0);
}

/* A mistyped --database must not have somebody's letters renamed. A database of ours that is
 * damaged to its first bytes has its lock file beside it, or at least its log. */
static bool file_foreign(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool foreign;

	if (fd < 0)
		return false;
	foreign = bytes_foreign(fd) && !file_beside(path, ".lock") && !file_beside(path, "-wal");
	close(fd);
	return foreign;
}

static int database_lock(struct database *db)
{
	g_autofree char *path = g_strconcat(db->path, ".lock", NULL);

	db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (db->lock_fd < 0)
		return -errno;
	if (flock(db->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

int database_open(const char *path, uint64_t now, struct database **ret, char **ret_set_aside)
{
	struct database *db = g_new0(struct database, 1);
	g_autofree char *set_aside = NULL;
	bool made = !file_beside(path, ".lock");
	int r;

	db->path = g_strdup(path);
	db->lock_fd = -1;
	r = file_foreign(path) ? -ENOEXEC : database_lock(db);
	if (r >= 0)
		r = database_open_handle(db);
	if (r == -EUCLEAN) {
		database_close_handle(db);
		r = database_set_aside(db, now, &set_aside);
		if (r >= 0)
			r = database_open_handle(db);
	}
	if (r < 0) {
		/* Left beside it, our lock file would say that it was ours. */
		if (r == -EMEDIUMTYPE && made)
			file_unlink_beside(path, ".lock");
		database_close(db);
		return r;
	}
	*ret_set_aside = g_steal_pointer(&set_aside);
	*ret = db;
	return 0;
}

struct database *database_close(struct database *db)
{
	if (!db)
		return NULL;

	/* The last connection to close also checkpoints and removes the log. */
	database_close_handle(db);
	if (db->lock_fd >= 0)
		close(db->lock_fd);
	g_free(db->path);
	g_free(db);
	return NULL;
}

const char *database_path(const struct database *db)
{
	return db->path;
}

const char *database_epoch(const struct database *db)
{
	return db->epoch;
}
