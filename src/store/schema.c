/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The root page of each table follows from the order of the statements below, as nothing is ever
 * vacuumed or dropped, and their text fits the first page. So the first page of an empty database
 * can stand in for a damaged one, which the salvage relies on: a change here is a new version, and a
 * new version is a change here (see version_is_newer()).
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "store/db.h"
#include "store/place.h"
#include "store/schema.h"

#define SCHEMA_VERSION	   1
#define SCHEMA_APPLICATION 0x68666473 /* "hfds" */

#define SERIAL "BETWEEN 1 AND 9007199254740992" /* what a wire's integer holds */

static const char *const statements[] = {
	"CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id=1),"
	"client TEXT NOT NULL CHECK(length(client) IN(0,32)),generation INTEGER NOT NULL CHECK("
	"generation " SERIAL "),batch_reserved INTEGER NOT NULL CHECK(batch_reserved " SERIAL "),"
	"batch_high INTEGER NOT NULL CHECK(batch_high>=0),epoch TEXT NOT NULL)STRICT",

	"CREATE TABLE area(area INTEGER PRIMARY KEY,name TEXT NOT NULL UNIQUE CHECK(name<>''),"
	"reserved INTEGER NOT NULL CHECK(reserved " SERIAL "))STRICT",

	"CREATE TABLE outbox(area INTEGER NOT NULL,serial INTEGER NOT NULL CHECK(serial>0),"
	"first INTEGER NOT NULL CHECK(first BETWEEN 1 AND serial),group_index INTEGER NOT NULL "
	"CHECK(group_index>=0),op INTEGER NOT NULL CHECK(op IN(0,1)),queued_at INTEGER NOT NULL "
	"CHECK(queued_at>=0),key TEXT NOT NULL CHECK(key<>''),value TEXT CHECK((value IS NULL)="
	"(op=1)),PRIMARY KEY(area,serial))STRICT,WITHOUT ROWID",

	"CREATE TABLE batch(number INTEGER PRIMARY KEY CHECK(number " SERIAL "),id TEXT NOT NULL "
	"CHECK(length(id)=32))STRICT",

	"CREATE TABLE batch_part(pos INTEGER PRIMARY KEY,area INTEGER NOT NULL,upto INTEGER NOT "
	"NULL CHECK(upto>0))STRICT",

	"CREATE TABLE items(id INTEGER PRIMARY KEY,area INTEGER NOT NULL,key TEXT NOT NULL CHECK("
	"key<>''),live INTEGER NOT NULL CHECK(live=(value IS NOT NULL)),seq INTEGER NOT NULL,"
	"bytes INTEGER NOT NULL CHECK(bytes>0),revision INTEGER NOT NULL CHECK(revision>=0),"
	"generation INTEGER NOT NULL CHECK(generation>=0),stored_at INTEGER NOT NULL CHECK("
	"stored_at>=0),value TEXT)STRICT",

	/* Covers a listing of keys, tombstones left out; unique in (area, key) by the writer. */
	"CREATE INDEX items_key ON items(area,key,live)",

	/* Eviction, and the sum of bytes at start. */
	"CREATE INDEX items_order ON items(area,seq,bytes)",

	"CREATE TABLE rejected(area INTEGER NOT NULL,serial INTEGER NOT NULL CHECK(serial>0),"
	"first INTEGER NOT NULL CHECK(first BETWEEN 1 AND serial),op INTEGER NOT NULL CHECK(op IN"
	"(0,1)),rejected_at INTEGER NOT NULL CHECK(rejected_at>=0),bytes INTEGER NOT NULL CHECK("
	"bytes>0),key TEXT NOT NULL CHECK(key<>''),error TEXT NOT NULL,message TEXT NOT NULL,"
	"value TEXT CHECK((value IS NULL)=(op=1)),PRIMARY KEY(area,serial))STRICT,WITHOUT ROWID",

	"CREATE TABLE outcome(id INTEGER PRIMARY KEY,area INTEGER NOT NULL,serial INTEGER NOT NULL,"
	"first INTEGER NOT NULL CHECK(first BETWEEN 1 AND serial),outcome INTEGER NOT NULL CHECK("
	"outcome IN(1,2)))STRICT",

	"CREATE INDEX outcome_area ON outcome(area)",

	"CREATE TABLE epoch(id INTEGER PRIMARY KEY,epoch TEXT NOT NULL,client TEXT NOT NULL,"
	"acked INTEGER NOT NULL CHECK(acked>=0),revision INTEGER NOT NULL CHECK(revision>=0),"
	"UNIQUE(epoch,client))STRICT",
};

/* Rules of several rows, and of text; a row means damage. */
static const char *const rules[] = {
	"SELECT 1 WHERE(SELECT count(*)FROM meta)<>1",
	"SELECT 1 FROM meta WHERE NOT is_id(client)OR NOT is_id(epoch)",
	"SELECT 1 FROM area WHERE NOT clean(name)",
	"SELECT 1 FROM outbox WHERE NOT clean(key)OR NOT clean(value)",
	"SELECT 1 FROM outbox WHERE area NOT IN(SELECT area FROM area)",
	"SELECT 1 WHERE(SELECT count(*)FROM batch)>1",
	"SELECT 1 FROM batch WHERE NOT is_id(id)",
	"SELECT 1 FROM batch_part WHERE area NOT IN(SELECT area FROM area)",
	("SELECT 1 FROM rejected WHERE NOT clean(key)OR NOT clean(value)OR NOT clean(error)"
	 "OR NOT clean(message)"),
	"SELECT 1 FROM epoch WHERE NOT is_id(epoch)OR NOT is_id(client)",
};

static int create_in(sqlite3 *db)
{
	g_autofree char *finish = g_strdup_printf(
		"INSERT INTO meta VALUES(1,'',1,1,0,'');"
		"PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT",
		SCHEMA_APPLICATION, SCHEMA_VERSION);
	int r;

	r = db_exec(db, "PRAGMA page_size=" G_STRINGIFY(SCHEMA_PAGE_SIZE) ";"
			"PRAGMA auto_vacuum=NONE;PRAGMA encoding='UTF-8';PRAGMA journal_mode=WAL;"
			"PRAGMA synchronous=FULL;BEGIN IMMEDIATE");
	for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(statements); i++)
		r = db_exec(db, statements[i]);
	return r < 0 ? r : db_exec(db, finish);
}

int schema_create(const char *path)
{
	sqlite3 *db;
	int r;

	r = place_make(path);
	if (r == 0)
		r = db_open(path, SQLITE_OPEN_READWRITE, &db);
	if (r < 0)
		return r;
	r = create_in(db);
	if (r == 0)
		return db_close_whole(db);
	db_close(db);
	return r;
}

static uint32_t be32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static uint32_t le32(const uint8_t *bytes)
{
	return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 |
	       bytes[0];
}

/*
 * The parts that are the same in every database we make. SQLite takes some wrong values there for
 * a file it may only read, or one without a log, and never says that something is amiss.
 */
static bool header_is_ours(const uint8_t *header)
{
	static const uint8_t fixed[] = { SCHEMA_PAGE_SIZE >> 8, SCHEMA_PAGE_SIZE & 0xff,
					 2, 2, 0, 64, 32, 32 };
	static const uint8_t zero[20];

	return memcmp(header, "SQLite format 3", 16) == 0 &&
	       memcmp(header + 16, fixed, sizeof(fixed)) == 0 && be32(header + 44) == 4 &&
	       be32(header + 52) == 0 && be32(header + 56) == 1 && be32(header + 64) == 0 &&
	       be32(header + 68) == SCHEMA_APPLICATION &&
	       memcmp(header + 72, zero, sizeof(zero)) == 0;
}

/*
 * A later version, unless that is a bit that flipped: of a number one bit from ours the tables must
 * tell, which a later version has changed.
 */
static bool version_is_newer(int64_t version, bool *ret_doubtful)
{
	uint32_t differs = (uint32_t)version ^ SCHEMA_VERSION;

	*ret_doubtful = (differs & (differs - 1)) == 0;
	return version > SCHEMA_VERSION && version <= INT32_MAX;
}

enum schema_state schema_check_header(const uint8_t *header, size_t len, const char **ret_problem)
{
	bool doubtful;

	if (len < SCHEMA_HEADER_SIZE || memcmp(header, "SQLite format 3", 16) != 0) {
		*ret_problem = "it is not an SQLite database";
		return SCHEMA_DAMAGED;
	}
	/* A later version may have changed anything but these two. */
	if (be32(header + 68) == SCHEMA_APPLICATION &&
	    version_is_newer(be32(header + 60), &doubtful))
		return doubtful ? SCHEMA_GOOD : SCHEMA_NEWER;
	if (!header_is_ours(header) || be32(header + 60) != SCHEMA_VERSION) {
		*ret_problem = "its header is damaged or not ours";
		return SCHEMA_DAMAGED;
	}
	return SCHEMA_GOOD;
}

bool schema_check_wal(const uint8_t *header, size_t len)
{
	static const uint8_t zero[SCHEMA_WAL_HEADER_SIZE];
	uint32_t a = 0, b = 0;

	/* Shorter or zero: SQLite was stopped before anything was committed to it. */
	if (len < SCHEMA_WAL_HEADER_SIZE || memcmp(header, zero, sizeof(zero)) == 0)
		return true;
	if ((be32(header) & ~1u) != 0x377f0682 || be32(header + 4) != 3007000 ||
	    be32(header + 8) != SCHEMA_PAGE_SIZE)
		return false;
	for (int i = 0; i < 24; i += 8) {
		a += (be32(header) & 1 ? be32(header + i) : le32(header + i)) + b;
		b += (be32(header) & 1 ? be32(header + i + 4) : le32(header + i + 4)) + a;
	}
	return be32(header + 24) == a && be32(header + 28) == b;
}

/* Whether an error of a check is about the machine and not about what the file holds. */
static bool is_outer(int error)
{
	return error == -EBUSY || error == -ENOMEM || error == -ENOSPC || error == -EACCES;
}

int schema_check_tables(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	size_t found = 0;
	int r;

	r = db_prepare(db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid",
		       &stmt);
	if (r < 0)
		return r;
	while ((r = db_step(stmt)) > 0) {
		const char *sql = (const char *)sqlite3_column_text(stmt, 0);

		if (found == G_N_ELEMENTS(statements) || g_strcmp0(sql, statements[found]) != 0)
			break;
		found++;
	}
	sqlite3_finalize(stmt);
	if (r < 0)
		return r;
	return r == 0 && found == G_N_ELEMENTS(statements) ? SCHEMA_GOOD : SCHEMA_DAMAGED;
}

/* The full check, indexes and all: a quick one passes over an index that does not find a row. */
static int check_pages(sqlite3 *db, char **ret_problem)
{
	sqlite3_stmt *stmt;
	int r;

	r = db_prepare(db, "PRAGMA integrity_check(1)", &stmt);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r > 0) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		r = g_strcmp0(text, "ok") == 0 ? SCHEMA_GOOD : SCHEMA_DAMAGED;
		if (r == SCHEMA_DAMAGED) {
			*ret_problem = g_strdup(text ? text : "its pages are damaged");
			g_strdelimit(*ret_problem, "\n", ' ');
		}
	}
	sqlite3_finalize(stmt);
	return r;
}

static int check_rules(sqlite3 *db, char **ret_problem)
{
	int64_t ignored;
	int r;

	for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
		r = db_query_int(db, rules[i], &ignored);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret_problem = g_strdup("it holds rows that cannot be");
			return SCHEMA_DAMAGED;
		}
	}
	return SCHEMA_GOOD;
}

int schema_check(sqlite3 *db, char **ret_problem)
{
	int64_t version = 0;
	bool newer, doubtful = false;
	int r;

	/* Once more, as the log may hold a later version's first page. */
	r = db_query_int(db, "PRAGMA user_version", &version);
	newer = r > 0 && version_is_newer(version, &doubtful);
	if (newer && !doubtful)
		return SCHEMA_NEWER;
	if (r >= 0)
		r = schema_check_tables(db);
	if (r >= 0 && newer) {
		*ret_problem = g_strdup("its version is damaged");
		return r == SCHEMA_GOOD ? SCHEMA_DAMAGED : SCHEMA_NEWER;
	}
	if (r == SCHEMA_DAMAGED)
		*ret_problem = g_strdup("its tables are not the ones holdfast makes");
	if (r == SCHEMA_GOOD)
		r = check_pages(db, ret_problem);
	if (r == SCHEMA_GOOD)
		r = check_rules(db, ret_problem);
	if (r >= 0 || is_outer(r))
		return r;
	*ret_problem = g_strdup(sqlite3_errmsg(db));
	return SCHEMA_DAMAGED;
}
