/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * SQLite is asked for each row that ever was, one by one: each question walks the tree anew, so
 * that no damage on the way to one row hides another. Then for all rows from both ends, which finds
 * what damage has made up.
 */

#include <sqlite3.h>
#include <string.h>

#include "oracle.h"

struct finder {
	struct oracle *oracle;
	const struct shape *shape, *other;
	bool whole;	/* the page is as it was written */
	bool in_place;	/* and where */
};

static bool was_written(const struct finder *finder, const struct row *row)
{
	return rows_have_text(&finder->shape->rows, row) ||
	       (finder->other && rows_have_text(&finder->other->rows, row));
}

static void found_on_page(void *data, const struct row *row)
{
	struct finder *finder = data;

	rows_add(&finder->oracle->may, row);
	/* Elsewhere the row of an area cannot be told from those of other tables. */
	if (finder->whole && (finder->in_place || row->table != ROW_AREA) &&
	    was_written(finder, row))
		rows_add(&finder->oracle->must, row);
}

static void read_pages(struct finder *finder, const struct image *image, bool with_wal)
{
	struct pages pages;

	pages_init(&pages, image, with_wal);
	for (guint i = 1; i < pages.at->len; i++) {
		const uint8_t *page = pages.at->pdata[i];
		bool whole = shape_has_page(finder->shape, page) ||
			     (finder->other && shape_has_page(finder->other, page));

		finder->whole = with_wal && i < pages.counted && whole;
		finder->in_place = shape_has_page_at(finder->shape, page, i + 1) ||
				   (finder->other &&
				    shape_has_page_at(finder->other, page, i + 1));
		finder->oracle->damaged += with_wal && i < pages.counted && !whole;
		pages_each_row(&pages, page, found_on_page, finder);
	}
	pages_deinit(&pages);
}

/* ---- SQLite ---- */

static const char *const tables[] = {
	[ROW_AREA] = "area",
	[ROW_OUTBOX] = "outbox",
	[ROW_ITEM] = "items",
	[ROW_REJECTED] = "rejected",
};

static const char *const lookups[] = {
	[ROW_AREA] = "SELECT * FROM area NOT INDEXED WHERE area=?1 AND ?2=?2",
	[ROW_OUTBOX] = "SELECT * FROM outbox WHERE area=?1 AND serial=?2",
	[ROW_ITEM] = "SELECT * FROM items NOT INDEXED WHERE id=?2 AND ?1=?1",
	[ROW_REJECTED] = "SELECT * FROM rejected WHERE area=?1 AND serial=?2",
};

static const char *const orders[] = {
	[ROW_AREA] = "area",
	[ROW_OUTBOX] = "area %s,serial",
	[ROW_ITEM] = "id",
	[ROW_REJECTED] = "area %s,serial",
};

static void take_column(sqlite3_stmt *stmt, int i, struct row_column *column)
{
	*column = (struct row_column){ COLUMN_NULL };
	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		column->type = COLUMN_INTEGER;
		column->integer = sqlite3_column_int64(stmt, i);
		break;
	case SQLITE_FLOAT:
		column->type = COLUMN_REAL;
		break;
	case SQLITE_BLOB:
		column->type = COLUMN_BLOB;
		break;
	case SQLITE_TEXT:
		column->type = COLUMN_TEXT;
		column->text.s = (const char *)sqlite3_column_text(stmt, i);
		column->text.len = (gsize)sqlite3_column_bytes(stmt, i);
		break;
	default:
		break;
	}
}

/* Step through all that a bound statement finds. */
static void take_rows(struct oracle *oracle, sqlite3_stmt *stmt)
{
	struct row_column columns[ROW_COLUMNS];
	int n = MIN(sqlite3_column_count(stmt), ROW_COLUMNS);
	unsigned int steps = 0;
	struct row row;

	/* A damaged tree can lead in circles. */
	while (sqlite3_step(stmt) == SQLITE_ROW && steps++ < 100000) {
		bool by_rowid = n == 3 || !strcmp(sqlite3_column_name(stmt, 0), "id");

		for (int i = 0; i < n; i++)
			take_column(stmt, i, &columns[i]);
		if (!row_from_columns(&row, columns, (unsigned int)n, by_rowid, columns[0].integer))
			continue;
		rows_add(&oracle->must, &row);
		rows_add(&oracle->may, &row);
	}
	sqlite3_reset(stmt);
}

static void look_up(struct oracle *oracle, sqlite3 *db, const struct shape *shape,
		    enum row_table table)
{
	sqlite3_stmt *stmt;
	GHashTableIter iter;
	void *value;

	if (sqlite3_prepare_v2(db, lookups[table], -1, &stmt, NULL) != SQLITE_OK)
		return;
	g_hash_table_iter_init(&iter, shape->rows.ids);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct row_note *note = value;

		if (note->table != table)
			continue;
		sqlite3_bind_int64(stmt, 1, note->area);
		sqlite3_bind_int64(stmt, 2, note->serial);
		take_rows(oracle, stmt);
	}
	sqlite3_finalize(stmt);
}

static void walk(struct oracle *oracle, sqlite3 *db, enum row_table table, const char *order)
{
	g_autoptr(GString) by = g_string_new(orders[table]);
	g_autofree char *sql = NULL;
	sqlite3_stmt *stmt;

	g_string_replace(by, "%s", order, 0);
	sql = g_strdup_printf("SELECT * FROM %s NOT INDEXED ORDER BY %s %s", tables[table], by->str,
			      order);
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return;
	take_rows(oracle, stmt);
	sqlite3_finalize(stmt);
}

static void ask_sqlite(struct finder *finder, const char *path)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		/* One snapshot: else each question would take its locks anew. */
		sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
		for (enum row_table table = ROW_AREA; table <= ROW_REJECTED; table++) {
			look_up(finder->oracle, db, finder->shape, table);
			if (finder->other)
				look_up(finder->oracle, db, finder->other, table);
			walk(finder->oracle, db, table, "ASC");
			walk(finder->oracle, db, table, "DESC");
		}
	}
	sqlite3_close(db);
}

void oracle_init(struct oracle *oracle, const struct image *image, const struct shape *shape,
		 const struct shape *other, const char *path)
{
	struct finder finder = { .oracle = oracle, .shape = shape, .other = other };
	struct image nothing = { 0 };

	oracle->damaged = 0;
	rows_init(&oracle->must);
	rows_init(&oracle->may);
	read_pages(&finder, image, true);
	read_pages(&finder, image, false);
	image_write(image, path);
	ask_sqlite(&finder, path);
	image_write(&nothing, path);
}

void oracle_deinit(struct oracle *oracle)
{
	rows_deinit(&oracle->must);
	rows_deinit(&oracle->may);
}
