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
	const struct scan_table *table;
	scan_row_t func;
	void *data;
	int fd;
	off_t root;		/* where in the file the table's tree begins */
	uint32_t counter;	/* of changes of the file: when it moves SQLite drops its cache */
	sqlite3_stmt *count, *rows;
};

#define PAGE_INDEX_INTERIOR 2
#define PAGE_INDEX_LEAF 10
#define PAGE_TABLE_LEAF 13

/*
 * Whether a page holds rows of the table's kind: of a tree by key all do, of a tree by rowid only
 * the leaves. Every page is looked at, so that none needs to lead to others: an inner one becomes
 * a leaf, its header shorter by the number of a child and each cell begun behind one.
 */
static bool graft_make_leaf(uint8_t *page, bool without_rowid)
{
	unsigned int cells = (unsigned int)page[3] << 8 | page[4];

	if (!without_rowid)
		return page[0] == PAGE_TABLE_LEAF;
	if (page[0] != PAGE_INDEX_INTERIOR)
		return page[0] == PAGE_INDEX_LEAF;
	page[0] = PAGE_INDEX_LEAF;
	for (unsigned int at = 8; cells-- > 0 && at + 6 <= SCHEMA_PAGE_SIZE; at += 2) {
		unsigned int cell = ((unsigned int)page[at + 4] << 8 | page[at + 5]) + 4;

		page[at] = (uint8_t)(cell >> 8);
		page[at + 1] = (uint8_t)cell;
	}
	return true;
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

/*
 * One row that cannot be read, as its value goes on where nothing is, must not hide the others: what
 * OFFSET passes over is not read, nor is anything searched for.
 */
static int graft_read(struct grafter *g)
{
	int64_t rows, at = 0;
	int r;

	r = db_step(g->count);
	rows = r > 0 ? sqlite3_column_int64(g->count, 0) : 0;
	db_reset(g->count);
	for (r = 0; r == 0 && at < rows; at++) {
		db_bind(g->rows, "i", at);
		for (; r == 0 && db_step(g->rows) > 0; at++)
			r = g->func(g->data, g->rows,
				    sqlite3_column_int64(g->rows, g->table->key_column));
		db_reset(g->rows);
	}
	return r;
}

/* The page in the root's place is one like any other, and perhaps another table's: it is put back. */
static int graft_each(struct grafter *g)
{
	uint8_t page[SCHEMA_PAGE_SIZE], root[SCHEMA_PAGE_SIZE];
	off_t offset = SCHEMA_PAGE_SIZE;
	ssize_t n;
	int r = 0;

	if (pread(g->fd, root, sizeof(root), g->root) != (ssize_t)sizeof(root))
		return -EIO;
	for (; r == 0 && (n = pread(g->fd, page, sizeof(page), offset)) > 0;
	     offset += SCHEMA_PAGE_SIZE) {
		memset(page + n, 0, sizeof(page) - (size_t)n); /* the last may be cut short */
		if (offset == g->root)
			memcpy(page, root, sizeof(page));
		if (!graft_make_leaf(page, g->table->without_rowid))
			continue;
		r = graft(g, page);
		if (r == 0)
			r = graft_read(g);
	}
	return r < 0 ? r : graft(g, root);
}

static int graft_prepare(struct grafter *g, sqlite3 *db)
{
	g_autofree char *count = g_strdup_printf("SELECT count(*) FROM %s NOT INDEXED",
						 g->table->name);
	g_autofree char *rows = g_strdup_printf("SELECT * FROM %s NOT INDEXED LIMIT -1 OFFSET ?",
						g->table->name);
	int r;

	r = db_prepare(db, count, &g->count);
	return r < 0 ? r : db_prepare(db, rows, &g->rows);
}

static int graft_open(struct grafter *g, sqlite3 *db)
{
	static const uint8_t no_log[] = { 1, 1 };
	g_autofree char *root = g_strdup_printf("SELECT rootpage FROM sqlite_schema WHERE "
						"name='%s'", g->table->name);
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
	return graft_prepare(g, db);
}

int scan_orphans(const char *path, const struct scan_table *table, scan_row_t func, void *data)
{
	struct grafter g = { .table = table, .func = func, .data = data };
	sqlite3 *db = NULL;
	int r;

	g.fd = open(path, O_RDWR | O_CLOEXEC);
	if (g.fd < 0)
		return -errno;
	r = db_open(path, SQLITE_OPEN_READONLY, &db);
	if (r == 0)
		r = graft_open(&g, db);
	if (r == 0)
		r = graft_each(&g);
	else if (r == -EUCLEAN)
		r = 0;
	sqlite3_finalize(g.count);
	sqlite3_finalize(g.rows);
	db_close(db);
	close(g.fd);
	return r;
}
