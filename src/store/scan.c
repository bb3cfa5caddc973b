/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See scan.h for how. Errors of the database being read are what it is about, and no errors. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "store/scan.h"
#include "store/schema.h"

#define MAX_FAILURES 4000 /* of reads, per table and area: seconds at most */

struct scan {
	const struct scan_table *table;
	sqlite3_stmt *up, *down;
	int64_t area;
	scan_row_t func;
	void *data;
	GQueue todo;		/* struct scan_span * */
	GArray *gone;
	unsigned int failures;
};

/*
 * Read from one end of a span, which shrinks by what was read.
 * Return: 1 the whole span was read, 0 stopped by damage, or a negative errno of @func.
 */
static int scan_from_end(struct scan *scan, struct scan_span *span, bool upwards)
{
	sqlite3_stmt *row = upwards ? scan->up : scan->down;
	int r = 0, step;

	db_bind(row, "iii", span->lo, span->hi, scan->area);
	while (r == 0 && (step = db_step(row)) > 0) {
		int64_t key = sqlite3_column_int64(row, scan->table->key_column);

		/* A damaged tree can lead in circles. */
		if (key < span->lo || key > span->hi) {
			step = -EUCLEAN;
			break;
		}
		r = scan->func(scan->data, row, key);
		if (upwards)
			span->lo = key + 1;
		else
			span->hi = key - 1;
	}
	db_reset(row);
	if (r < 0)
		return r;
	scan->failures += step < 0;
	return step == 0;
}

static void scan_push(struct scan *scan, int64_t lo, int64_t hi)
{
	struct scan_span span = { lo, hi, false };

	g_queue_push_tail(&scan->todo, g_memdup2(&span, sizeof(span)));
}

static int scan_one(struct scan *scan, struct scan_span span)
{
	int64_t middle;
	int r;

	r = scan_from_end(scan, &span, true);
	if (r == 0 && span.lo <= span.hi)
		r = scan_from_end(scan, &span, false);
	if (r != 0 || span.lo > span.hi)
		return MIN(r, 0);
	if (span.lo == span.hi || scan->failures > MAX_FAILURES) {
		g_array_append_val(scan->gone, span);
		return 0;
	}
	middle = (span.lo & span.hi) + ((span.lo ^ span.hi) >> 1);
	scan_push(scan, span.lo, middle);
	scan_push(scan, middle + 1, span.hi);
	return 0;
}

static sqlite3_stmt *scan_prepare(sqlite3 *db, const struct scan_table *table, const char *order)
{
	g_autofree char *sql = g_strdup_printf("SELECT * FROM %s NOT INDEXED WHERE %s BETWEEN ?1 "
					       "AND ?2 AND %s=?3 ORDER BY %s %s", table->name,
					       table->key, table->by_area ? "area" : "?3",
					       table->key, order);
	sqlite3_stmt *stmt;

	return db_prepare(db, sql, &stmt) < 0 ? NULL : stmt;
}

int scan_table(sqlite3 *db, const struct scan_table *table, int64_t area, scan_row_t func,
	       void *data, GArray *gone)
{
	struct scan scan = { .table = table, .area = area, .func = func, .data = data,
			     .gone = gone, .todo = G_QUEUE_INIT };
	struct scan_span *span, all = { SCAN_KEY_MIN, SCAN_KEY_MAX, false };
	int r = 0;

	scan.up = scan_prepare(db, table, "ASC");
	scan.down = scan_prepare(db, table, "DESC");
	if (scan.up && scan.down)
		scan_push(&scan, all.lo, all.hi);
	else
		g_array_append_val(gone, all);
	while ((span = g_queue_pop_head(&scan.todo))) {
		if (r == 0)
			r = scan_one(&scan, *span);
		g_free(span);
	}
	sqlite3_finalize(scan.up);
	sqlite3_finalize(scan.down);
	return r;
}

/* ---- orphans ---- */

struct grafter {
	int fd;
	off_t root;		/* where in the file the table's tree begins */
	uint32_t counter;	/* of changes of the file: when it moves SQLite drops its cache */
	sqlite3_stmt *all;
};

/* A b-tree page of the table's kind: a tree of rows by rowid, or by key. */
static bool is_of_kind(const uint8_t *page, bool without_rowid)
{
	return without_rowid ? page[0] == 2 || page[0] == 10 : page[0] == 5 || page[0] == 13;
}

static int graft(struct grafter *g, const uint8_t *page)
{
	uint32_t counter;

	g->counter++;
	counter = GUINT32_TO_BE(g->counter); /* a macro that may read its argument twice */
	if (pwrite(g->fd, page, SCHEMA_PAGE_SIZE, g->root) != SCHEMA_PAGE_SIZE ||
	    pwrite(g->fd, &counter, sizeof(counter), 24) != sizeof(counter) ||
	    pwrite(g->fd, &counter, sizeof(counter), 92) != sizeof(counter))
		return -EIO;
	return 0;
}

static int graft_rows(struct grafter *g, const struct scan_table *table, scan_row_t func,
		      void *data)
{
	int r = 0;

	while (r == 0 && db_step(g->all) > 0)
		r = func(data, g->all, sqlite3_column_int64(g->all, table->key_column));
	db_reset(g->all);
	return r;
}

static int graft_each(struct grafter *g, const struct scan_table *table, scan_row_t func,
		      void *data)
{
	uint8_t page[SCHEMA_PAGE_SIZE];
	off_t offset = SCHEMA_PAGE_SIZE;
	int r = 0;

	for (; r == 0 && pread(g->fd, page, sizeof(page), offset) == (ssize_t)sizeof(page);
	     offset += SCHEMA_PAGE_SIZE) {
		if (offset == g->root || !is_of_kind(page, table->without_rowid))
			continue;
		r = graft(g, page);
		if (r == 0)
			r = graft_rows(g, table, func, data);
	}
	return r;
}

static int graft_open(struct grafter *g, sqlite3 *db, const struct scan_table *table)
{
	static const uint8_t no_log[] = { 1, 1 };
	g_autofree char *all = g_strdup_printf("SELECT * FROM %s NOT INDEXED", table->name);
	g_autofree char *root = g_strdup_printf("SELECT rootpage FROM sqlite_schema WHERE "
						"name='%s'", table->name);
	uint32_t counter;
	int64_t page;
	int r;

	/* Without a log SQLite looks at the change counter at the begin of each read. */
	if (pwrite(g->fd, no_log, sizeof(no_log), 18) != sizeof(no_log) ||
	    pread(g->fd, &counter, sizeof(counter), 24) != sizeof(counter))
		return -EIO;
	g->counter = GUINT32_FROM_BE(counter);
	r = db_query_int(db, root, &page);
	if (r <= 0)
		return r < 0 ? r : -EUCLEAN;
	g->root = (off_t)(page - 1) * SCHEMA_PAGE_SIZE;
	return db_prepare(db, all, &g->all);
}

int scan_orphans(const char *path, const struct scan_table *table, scan_row_t func, void *data)
{
	struct grafter g = { 0 };
	sqlite3 *db = NULL;
	int r;

	g.fd = open(path, O_RDWR | O_CLOEXEC);
	if (g.fd < 0)
		return -errno;
	r = db_open(path, SQLITE_OPEN_READONLY, &db);
	if (r == 0)
		r = graft_open(&g, db, table);
	if (r == 0)
		r = graft_each(&g, table, func, data);
	else if (r == -EUCLEAN)
		r = 0;
	sqlite3_finalize(g.all);
	db_close(db);
	close(g.fd);
	return r;
}
