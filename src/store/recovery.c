/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The old files stay where they are until a new one is whole and on the platter; a crash at any
 * point is met by beginning again, or by finishing the renames.
 *
 * Every page, every row and each index against its table is checked at each start (2 us a row), as
 * bits may have flipped since the cleanest end; damage met while running always leads to a salvage.
 */

#include <errno.h>
#include <glib.h>

#include "store/db.h"
#include "store/recovery.h"
#include "store/salvage.h"
#include "store/schema.h"

void store_recovery_deinit(struct store_recovery *recovery)
{
	g_clear_pointer(&recovery->set_aside, g_free);
	g_clear_pointer(&recovery->detail, g_free);
}

/* A file is made beside its place and renamed to it, so that what is there is always whole. */
static int recovery_create(const char *path)
{
	g_autofree char *new = g_strconcat(path, ".new", NULL);
	int r;

	/* First, as nobody comes here again once the database is there. */
	r = place_sync_way(path);
	if (r == 0)
		r = schema_create(new);
	if (r == 0)
		r = place_install(new, path);
	if (r < 0)
		place_remove(new);
	return r;
}

/* A salvaged database stands ready: the damaged one makes room. Can be done again after a crash. */
static int recovery_install(const char *path, uint64_t now, const char *recovered,
			    struct store_recovery *recovery)
{
	g_autofree char *aside = NULL;
	int r;

	r = place_set_aside(path, now, &aside);
	if (r < 0)
		return r;
	g_free(recovery->set_aside);
	recovery->set_aside = g_steal_pointer(&aside);
	recovery->salvaged = true;
	return place_install(recovered, path);
}

/* The stretches that cannot be read count as one row each, so that there may be more. */
static char *describe(const struct salvage_report *report, const char *problem)
{
	g_autofree char *lost = report->lost == 0 ? g_strdup("none known to be") :
				g_strdup_printf("at least %" G_GUINT64_FORMAT, report->lost);

	return g_strdup_printf("%s; %" G_GUINT64_FORMAT " rows kept, %s lost; %s", problem,
			       report->kept, lost, report->detail);
}

/*
 * @problem: what was found, for the report
 *
 * The old files stay where they are until the new one is whole and on the platter.
 */
static int recovery_salvage(const char *path, uint64_t now, const char *problem,
			    struct store_recovery *recovery)
{
	g_autofree char *copy = g_strconcat(path, ".salvage", NULL);
	g_autofree char *new = g_strconcat(path, ".new", NULL);
	g_autofree char *recovered = g_strconcat(path, ".recovered", NULL);
	struct salvage_report report = { 0 };
	int r;

	r = salvage_run(path, copy, new, &report);
	if (r == 0)
		r = place_install(new, recovered);
	if (r < 0)
		place_remove(new);
	else
		r = recovery_install(path, now, recovered, recovery);
	if (r == 0) {
		recovery->rows_kept = report.kept;
		recovery->rows_lost = report.lost;
		g_free(recovery->detail);
		recovery->detail = describe(&report, problem);
	}
	g_free(report.detail);
	return r;
}

/* A crash came between the end of a salvage and the rename of its result. */
static int recovery_finish(const char *path, uint64_t now, struct store_recovery *recovery)
{
	g_autofree char *recovered = g_strconcat(path, ".recovered", NULL);
	int r;

	if (!place_exists(recovered))
		return 0;
	r = recovery_install(path, now, recovered, recovery);
	if (r == 0)
		recovery->detail = g_strdup("its recovery, interrupted by a crash, was completed; "
					    "what was lost is not known any more");
	return r;
}

/*
 * What can be said before SQLite touches anything.
 * Return: 1 look closer, 0 there is none, -EUCLEAN with *ret_problem, or another negative errno.
 */
static int recovery_inspect(const char *path, const char **ret_problem)
{
	g_autofree char *wal = g_strconcat(path, "-wal", NULL);
	uint8_t header[SCHEMA_HEADER_SIZE], wal_header[SCHEMA_WAL_HEADER_SIZE];
	size_t len = 0, wal_len = 0;
	int r;

	r = place_read_head(path, header, sizeof(header), &len);
	if (r >= 0)
		r = place_read_head(wal, wal_header, sizeof(wal_header), &wal_len);
	if (r < 0)
		return r;
	if (len == 0 && wal_len == 0 && !place_has_bytes(path))
		return 0;
	switch (schema_check_header(header, len, ret_problem)) {
	case SCHEMA_NEWER:
		return -ENOTSUP;
	case SCHEMA_DAMAGED:
		return -EUCLEAN;
	case SCHEMA_GOOD:
		break;
	}
	if (schema_check_wal(wal_header, wal_len))
		return 1;
	*ret_problem = "its write-ahead log is not one, so that recent changes are missing";
	return -EUCLEAN;
}

/* Return: 0 with *ret_db, -EUCLEAN with *ret_problem, or another negative errno. */
static int recovery_open(const char *path, sqlite3 **ret_db, char **ret_problem)
{
	sqlite3 *db;
	int r;

	/* What is read from now on is acted upon: a batch is sent again as it stands here. */
	r = place_sync_log(path);
	if (r == 0)
		r = db_open(path, SQLITE_OPEN_READWRITE, &db);
	if (r < 0)
		return r;
	r = schema_check(db, ret_problem);
	if (r == SCHEMA_GOOD) {
		*ret_db = db;
		return 0;
	}
	/* What is damaged is evidence and what is newer not ours: the log stays as it is. */
	db_keep_wal(db);
	db_close(db);
	return r == SCHEMA_NEWER ? -ENOTSUP : r == SCHEMA_DAMAGED ? -EUCLEAN : r;
}

int store_recover(const char *path, enum place_mark mark, uint64_t now, sqlite3 **ret_db,
		  struct store_recovery *recovery)
{
	g_autofree char *found = NULL;
	const char *problem = NULL;
	int r;

	r = recovery_finish(path, now, recovery);
	if (r < 0)
		return r;
	r = recovery_inspect(path, &problem);
	if (r == 0) {
		recovery->emptied = place_exists(path);
		r = recovery_create(path);
	}
	if (r > 0 && mark == PLACE_DAMAGED && !recovery->salvaged) {
		problem = "damage was met while it was in use";
		r = -EUCLEAN;
	}
	if (r >= 0)
		r = recovery_open(path, ret_db, &found);
	if (r != -EUCLEAN)
		return r;
	r = recovery_salvage(path, now, found ? found : problem, recovery);
	g_clear_pointer(&found, g_free);
	return r < 0 ? r : recovery_open(path, ret_db, &found);
}
