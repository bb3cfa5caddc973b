/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rows are found by scan.h and judged by the constraints of the new table: what cannot be is not
 * carried over.
 *
 * For the tables that hold what exists nowhere else, all pages are then looked through one by one.
 */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "store/db.h"
#include "store/place.h"
#include "store/salvage-copy.h"
#include "store/salvage-report.h"
#include "store/salvage.h"
#include "store/scan.h"
#include "store/schema.h"

#define MAX_NAMED 8 /* lost stretches named in the report */

enum table {
	META,
	AREA,
	OUTBOX,
	BATCH,
	BATCH_PART,
	ITEMS,
	REJECTED,
	OUTCOME,
	EPOCH,
	_TABLE_MAX,
};

static const struct scan_table tables[_TABLE_MAX] = {
	[META] = { .name = "meta", .key = "id" },
	[AREA] = { .name = "area", .key = "area" },
	[OUTBOX] = { "outbox", "serial", 1, true, true },
	[BATCH] = { .name = "batch", .key = "number" },
	[BATCH_PART] = { .name = "batch_part", .key = "pos" },
	[ITEMS] = { .name = "items", .key = "id" },
	[REJECTED] = { "rejected", "serial", 1, true, true },
	[OUTCOME] = { .name = "outcome", .key = "id" },
	[EPOCH] = { .name = "epoch", .key = "id" },
};

#define OUTBOX_GROUP_COLUMN 3 /* group_index */

struct salvage {
	const char *copy;
	sqlite3 *from, *to;
	uint64_t kept, lost[_TABLE_MAX];
	bool endless[_TABLE_MAX];	/* of what is lost there is no end known */
	unsigned int named;
	GString *what;		/* stretches lost, for the report */

	/* the table being read */
	enum table table;
	sqlite3_stmt *insert;
	GArray *gone;		/* struct scan_span, in order */
	GArray *outbox_gone;	/* struct outbox_gone, of all areas */
};

struct outbox_gone {
	int64_t area;
	struct scan_span span;
};

/* A column that holds an id, by the names they have. */
static bool is_id_column(const char *name)
{
	return strcmp(name, "id") == 0 || strcmp(name, "client") == 0 || strcmp(name, "epoch") == 0;
}

/* Whether a column holds what its table is declared to hold: an insert would convert other types,
 * and so take rows of one table for those of another. NULL is for the constraints. */
static bool column_is_clean(sqlite3_stmt *row, int i)
{
	const char *text;

	switch (sqlite3_column_type(row, i)) {
	case SQLITE_NULL:
		return true;
	case SQLITE_INTEGER:
		return g_strcmp0(sqlite3_column_decltype(row, i), "INTEGER") == 0;
	case SQLITE_TEXT:
		return g_strcmp0(sqlite3_column_decltype(row, i), "TEXT") == 0 &&
		       db_text(row, i, &text) == 0 &&
		       (!is_id_column(sqlite3_column_name(row, i)) || !*text ||
			util_id_valid(text));
	default:
		return false;
	}
}

static bool row_is_clean(sqlite3_stmt *row, int columns)
{
	for (int i = 0; i < columns; i++)
		if (!column_is_clean(row, i))
			return false;
	return true;
}

/* The first of a group, or single: no group that came before lacks it. */
static bool row_heads(enum table table, sqlite3_stmt *row)
{
	return table == OUTBOX &&
	       sqlite3_column_type(row, OUTBOX_GROUP_COLUMN) == SQLITE_INTEGER &&
	       sqlite3_column_int64(row, OUTBOX_GROUP_COLUMN) <= 1;
}

/* Return: 1 carried over, 0 the new table refuses it, or a negative errno of the new database. */
static int salvage_insert(struct salvage *s, sqlite3_stmt *row)
{
	int columns = sqlite3_bind_parameter_count(s->insert), r;

	if (!row_is_clean(row, columns))
		return 0;
	for (int i = 0; i < columns; i++)
		sqlite3_bind_value(s->insert, i + 1, sqlite3_column_value(row, i));
	r = db_step(s->insert);
	db_reset(s->insert);
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	return sqlite3_changes(s->to) > 0;
}

static int salvage_row(void *data, sqlite3_stmt *row, int64_t key)
{
	struct salvage *s = data;
	struct scan_span span = { key, key, row_heads(s->table, row) };
	int r = salvage_insert(s, row);

	if (r == 0)
		g_array_append_val(s->gone, span);
	s->kept += r > 0;
	return MIN(r, 0);
}

/* Most of these are there already, or no rows of this table. */
static int salvage_orphan(void *data, sqlite3_stmt *row, int64_t key)
{
	struct salvage *s = data;
	int r = salvage_insert(s, row);

	(void)key;
	s->kept += r > 0;
	return MIN(r, 0);
}

/* @how: what to do with a row whose key is there */
static int salvage_prepare(struct salvage *s, enum table table, const char *how)
{
	g_autofree char *count = g_strdup_printf("SELECT count(*) FROM pragma_table_info('%s')",
						 tables[table].name);
	g_autoptr(GString) sql = g_string_new(NULL);
	int64_t columns = 0;
	int r;

	s->table = table;
	r = db_query_int(s->to, count, &columns);
	if (r < 0)
		return r;
	g_string_printf(sql, "INSERT%s INTO %s VALUES(?", how, tables[table].name);
	for (int64_t i = 1; i < columns; i++)
		g_string_append(sql, ",?");
	g_string_append_c(sql, ')');
	return db_prepare(s->to, sql->str, &s->insert);
}

static int span_compare(const void *a, const void *b)
{
	const struct scan_span *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Stretches that touch are one: a scan leaves them in pieces. */
static void salvage_join(struct salvage *s)
{
	struct scan_span *spans = (struct scan_span *)(void *)s->gone->data;
	guint n = 0;

	g_array_sort(s->gone, span_compare);
	for (guint i = 0; i < s->gone->len; i++) {
		if (n > 0 && spans[n - 1].hi + 1 >= spans[i].lo)
			spans[n - 1].hi = MAX(spans[n - 1].hi, spans[i].hi);
		else
			spans[n++] = spans[i];
	}
	g_array_set_size(s->gone, n);
}

/* No serial is as high: where the rows would have ended is not known. */
static bool is_endless(const struct scan_span *span)
{
	return span->hi > INT64_C(1) << 53;
}

/* Read one table, or of one kept by area what @area has. A new database has its row of meta. */
static int salvage_table(struct salvage *s, enum table table, int64_t area)
{
	int r;

	g_array_set_size(s->gone, 0);
	r = salvage_prepare(s, table, table == META ? " OR REPLACE" : "");
	if (r == 0)
		r = scan_table(s->from, &tables[table], area, salvage_row, s, s->gone);
	g_clear_pointer(&s->insert, sqlite3_finalize);
	salvage_join(s);
	s->lost[table] += s->gone->len;
	for (guint i = 0; i < s->gone->len; i++)
		if (is_endless(&g_array_index(s->gone, struct scan_span, i)))
			s->endless[table] = true;
	return r;
}

static bool area_has_rows(struct salvage *s, int64_t area)
{
	static const char *const kept[] = { "outbox", "rejected", "items" };
	int64_t ignored;

	for (size_t i = 0; i < G_N_ELEMENTS(kept); i++) {
		g_autofree char *sql = g_strdup_printf("SELECT 1 FROM %s WHERE area=%" G_GINT64_FORMAT
						       " LIMIT 1", kept[i], area);

		if (db_query_int(s->from, sql, &ignored) > 0)
			return true;
	}
	return false;
}

/* Of a name the table says @known and the index @area: the one that has rows is meant. */
static int salvage_renumber(struct salvage *s, int64_t known, int64_t area)
{
	g_autofree char *sql = g_strdup_printf("UPDATE OR IGNORE area SET area=%" G_GINT64_FORMAT
					       " WHERE area=%" G_GINT64_FORMAT, area, known);

	if (known == area || area_has_rows(s, known) || !area_has_rows(s, area))
		return 0;
	return db_exec(s->to, sql);
}

/* An area as the index has it; unless it is there it is added, without a reservation (see
 * salvage_reserve()). */
static int salvage_name(struct salvage *s, sqlite3_stmt *insert, sqlite3_stmt *find, int64_t area,
			const char *name)
{
	int64_t known = area;
	int r;

	db_bind(insert, "it", area, name);
	r = db_step(insert);
	s->kept += r == 0 && sqlite3_changes(s->to) > 0;
	db_reset(insert);
	if (r < 0)
		return r;
	db_bind(find, "t", name);
	r = db_step(find);
	if (r > 0)
		known = sqlite3_column_int64(find, 0);
	db_reset(find);
	return r < 0 ? r : salvage_renumber(s, known, area);
}

/*
 * An area whose row is lost would take its whole outbox along, so its name is looked for in the
 * index, too, from both ends; and in the table without a search, which goes astray where a page says
 * it has more rows than it has.
 */
static int salvage_names(struct salvage *s, const char *how)
{
	g_autofree char *sql = g_strconcat("SELECT area,name FROM area ", how, NULL);
	sqlite3_stmt *row, *insert = NULL, *find = NULL;
	const char *name;
	int r;

	if (db_prepare(s->from, sql, &row) < 0)
		return 0;
	r = db_prepare(s->to, "INSERT OR IGNORE INTO area VALUES(?,?,1)", &insert);
	if (r == 0)
		r = db_prepare(s->to, "SELECT area FROM area WHERE name=?", &find);
	while (r >= 0 && db_step(row) > 0)
		if (sqlite3_column_type(row, 0) == SQLITE_INTEGER && db_text(row, 1, &name) == 0)
			r = salvage_name(s, insert, find, sqlite3_column_int64(row, 0), name);
	sqlite3_finalize(row);
	sqlite3_finalize(insert);
	sqlite3_finalize(find);
	return r == -EINVAL ? 0 : MIN(r, 0);
}

/* Remove rows from the new database that turned out to be of no use. */
static int salvage_remove(struct salvage *s, enum table table, const char *where, int64_t a,
			  int64_t b, int64_t c)
{
	g_autofree char *sql = g_strconcat("DELETE FROM ", tables[table].name, " WHERE ", where,
					   NULL);
	sqlite3_stmt *stmt;
	int r;

	r = db_prepare(s->to, sql, &stmt);
	if (r < 0)
		return r;
	sqlite3_bind_int64(stmt, 1, a);
	sqlite3_bind_int64(stmt, 2, b);
	sqlite3_bind_int64(stmt, 3, c);
	r = db_step(stmt);
	sqlite3_finalize(stmt);
	if (r == 0) {
		s->kept -= (uint64_t)sqlite3_changes64(s->to);
		s->lost[table] += (uint64_t)sqlite3_changes64(s->to);
	}
	return r;
}

/*
 * A group that lost a member goes whole. The members of a group have serials in a row, so that
 * serial - group_index names it. One is missing if a member has no predecessor; or perhaps if the
 * serial after the last one known was not read (there may have been no more: it cannot be told).
 */
#define GROUP "serial-group_index"
static int salvage_groups(struct salvage *s)
{
	int r;

	r = salvage_remove(s, OUTBOX, "group_index>0 AND(area," GROUP ")IN(SELECT area," GROUP " "
			   "FROM outbox o WHERE group_index>1 AND NOT EXISTS(SELECT 1 FROM outbox "
			   "p WHERE p.area=o.area AND p.serial=o.serial-1 AND p.group_index="
			   "o.group_index-1))", 0, 0, 0);
	for (guint i = 0; r == 0 && i < s->outbox_gone->len; i++) {
		const struct outbox_gone *gone =
			&g_array_index(s->outbox_gone, struct outbox_gone, i);

		r = salvage_remove(s, OUTBOX, "area=?1 AND group_index>0 AND " GROUP " IN(SELECT "
				   GROUP " FROM outbox o WHERE area=?1 AND group_index>0 AND "
				   "serial+1 BETWEEN ?2 AND ?3 AND NOT EXISTS(SELECT 1 FROM "
				   "outbox p WHERE p.area=?1 AND p.serial=o.serial+1))",
				   gone->area, gone->span.lo + gone->span.heads, gone->span.hi);
	}
	return r;
}

static void salvage_name_lost(struct salvage *s, const char *name)
{
	for (guint i = 0; i < s->gone->len && s->named < MAX_NAMED; i++, s->named++) {
		const struct scan_span *span = &g_array_index(s->gone, struct scan_span, i);

		g_string_append_printf(s->what, "; %s of area %s: in serials %" G_GINT64_FORMAT,
				       salvage_report_word(tables[s->table].name), name, MAX(span->lo, 1));
		if (is_endless(span))
			g_string_append(s->what, " and above");
		else if (span->hi > span->lo)
			g_string_append_printf(s->what, " to %" G_GINT64_FORMAT, span->hi);
	}
}

static int salvage_area(struct salvage *s, int64_t area, const char *name)
{
	int r;

	r = salvage_table(s, OUTBOX, area);
	salvage_name_lost(s, name);
	for (guint i = 0; i < s->gone->len; i++) {
		struct outbox_gone gone = { area, g_array_index(s->gone, struct scan_span, i) };

		g_array_append_val(s->outbox_gone, gone);
	}
	if (r == 0)
		r = salvage_table(s, REJECTED, area);
	salvage_name_lost(s, name);
	return r;
}

static int salvage_areas(struct salvage *s)
{
	static const char *const ways[] = {
		"INDEXED BY sqlite_autoindex_area_1 ORDER BY name",
		"INDEXED BY sqlite_autoindex_area_1 ORDER BY name DESC",
		"NOT INDEXED ORDER BY area",
		"NOT INDEXED ORDER BY area DESC",
	};
	sqlite3_stmt *stmt;
	int r;

	r = salvage_table(s, AREA, 0);
	for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(ways); i++)
		r = salvage_names(s, ways[i]);
	if (r < 0)
		return r;
	r = db_prepare(s->to, "SELECT area,name FROM area", &stmt);
	if (r < 0)
		return r;
	while ((r = db_step(stmt)) > 0) {
		r = salvage_area(s, sqlite3_column_int64(stmt, 0),
				 (const char *)sqlite3_column_text(stmt, 1));
		if (r < 0)
			break;
	}
	sqlite3_finalize(stmt);
	return r;
}

/* Its rows wait again where it is not known for certain to be whole. Of an area whose name is nowhere
 * no row was looked for, so none is known to be lost. */
static int salvage_batch(struct salvage *s)
{
	int64_t ignored;
	int r;

	r = db_query_int(s->to, "SELECT 1 FROM batch_part WHERE area NOT IN(SELECT area FROM area)",
			 &ignored);
	if (r < 0 || (r == 0 && s->lost[OUTBOX] + s->lost[BATCH] + s->lost[BATCH_PART] == 0))
		return r;
	return db_exec(s->to, "UPDATE meta SET batch_high=max(batch_high,coalesce((SELECT "
			      "max(number) FROM batch),0));"
			      "DELETE FROM batch;DELETE FROM batch_part");
}

/* An area whose name is nowhere; the same key twice: no one can ask for these. */
static int salvage_unreachable(struct salvage *s)
{
	static const char no_area[] = "area NOT IN(SELECT area FROM area)";
	int r;

	r = salvage_remove(s, OUTBOX, no_area, 0, 0, 0);
	if (r == 0)
		r = salvage_remove(s, REJECTED, no_area, 0, 0, 0);
	if (r == 0)
		r = salvage_remove(s, ITEMS, no_area, 0, 0, 0);
	if (r == 0)
		r = salvage_remove(s, ITEMS, "id NOT IN(SELECT max(id) FROM items GROUP BY area,"
				   "key)", 0, 0, 0);
	return r;
}

#define MARGIN "1000000"
#define HIGHEST "9007199254740992"
#define HIGHEST_SERIAL                                                                             \
	"max((SELECT coalesce(max(serial),0)FROM outbox WHERE area=area.area),"                    \
	"(SELECT coalesce(max(serial),0)FROM rejected WHERE area=area.area),"                      \
	"(SELECT coalesce(max(serial),0)FROM outcome WHERE area=area.area),"                       \
	"(SELECT coalesce(max(upto),0)FROM batch_part WHERE area=area.area))"

/*
 * The client id is new after any salvage: what was in flight cannot be known for sure. Numbers are
 * never reused. A reservation that was lost, or that a number seen contradicts, is made
 * anew a margin above everything seen: blocks are of 1000, so what cannot be seen is well below.
 */
static int salvage_reserve(struct salvage *s)
{
	int r;

	r = db_exec(s->to,
		    "UPDATE meta SET client='';"
		    "UPDATE area SET reserved=min(" HIGHEST "," MARGIN "+" HIGHEST_SERIAL ")"
		    "WHERE reserved=1 OR reserved<=" HIGHEST_SERIAL ";"
		    "UPDATE meta SET batch_reserved=min(" HIGHEST "," MARGIN "+max(batch_high,"
		    "(SELECT coalesce(max(number),0)FROM batch)))WHERE batch_reserved<=max("
		    "batch_high,(SELECT coalesce(max(number),0)FROM batch))");
	if (r < 0 || s->lost[META] == 0)
		return r;
	return db_exec(s->to, "UPDATE meta SET generation=min(" HIGHEST ",1+(SELECT "
			      "coalesce(max(generation),0)FROM items)),batch_reserved="
			      "min(" HIGHEST "," MARGIN "+batch_reserved)");
}

/* Rows of areas that are not known were not looked for: whether there could be any shows where the
 * table cannot be read as a whole. */
static void salvage_probe(struct salvage *s, enum table table)
{
	g_autofree char *sql = g_strdup_printf("SELECT count(*) FROM %s NOT INDEXED",
					       tables[table].name);
	int64_t ignored;

	if (s->lost[table] == 0 && db_query_int(s->from, sql, &ignored) < 0) {
		s->lost[table] = 1;
		s->endless[table] = true;
	}
}

static int salvage_tables(struct salvage *s)
{
	static const enum table rest[] = { BATCH, BATCH_PART, OUTCOME, ITEMS, EPOCH };
	int r;

	r = salvage_table(s, META, 0);
	/* It has one row, so that none at all is a loss, too. */
	if (r == 0 && s->kept == 0 && s->lost[META] == 0)
		s->lost[META] = 1;
	if (r == 0)
		r = salvage_areas(s);
	for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(rest); i++)
		r = salvage_table(s, rest[i], 0);
	salvage_probe(s, OUTBOX);
	salvage_probe(s, REJECTED);
	return r;
}

/* Needs the copy to itself, with the log moved into it: @from is closed for good. Done also where no
 * row seems lost, as a damaged tree can leave out pages without any error. */
static int salvage_orphans(struct salvage *s)
{
	static const enum table precious[] = { OUTBOX, ITEMS, REJECTED };
	/* An item's number means nothing: one that another's damage took costs no item. */
	static const char item[] =
		"INSERT OR IGNORE INTO items SELECT iif(EXISTS(SELECT 1 FROM items WHERE id=?1),"
		"NULL,?1),?2,?3,?4,?5,?6,?7,?8,?9,?10 WHERE NOT EXISTS(SELECT 1 FROM items WHERE "
		"area=?2 AND key=?3)";
	int r = 0;

	s->from = salvage_copy_settle(s->from, s->copy);
	for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(precious); i++) {
		r = precious[i] == ITEMS ? db_prepare(s->to, item, &s->insert) :
					   salvage_prepare(s, precious[i], " OR IGNORE");
		if (r == 0)
			r = scan_orphans(s->copy, &tables[precious[i]], salvage_orphan, s);
		g_clear_pointer(&s->insert, sqlite3_finalize);
	}
	return r;
}

static int salvage_all(struct salvage *s)
{
	int r;

	r = db_exec(s->to, "PRAGMA synchronous=OFF;BEGIN IMMEDIATE");
	if (r == 0)
		r = salvage_tables(s);
	if (r == 0)
		r = salvage_orphans(s);
	if (r == 0)
		r = salvage_unreachable(s);
	if (r == 0)
		r = salvage_groups(s);
	if (r == 0)
		r = salvage_batch(s);
	if (r == 0)
		r = salvage_reserve(s);
	return r < 0 ? r : db_exec(s->to, "COMMIT");
}

static int salvage_report(struct salvage *s, struct salvage_report *ret_report)
{
	struct salvage_loss losses[_TABLE_MAX];
	uint64_t lost = 0;

	for (int i = 0; i < _TABLE_MAX; i++) {
		losses[i] = (struct salvage_loss){ tables[i].name, s->lost[i], s->endless[i] };
		lost += s->lost[i];
	}
	ret_report->kept = s->kept;
	ret_report->lost = lost;
	return salvage_report_make(s->to, losses, _TABLE_MAX, s->what->str, &ret_report->detail);
}

int salvage_run(const char *path, const char *copy, const char *into,
		struct salvage_report *ret_report)
{
	struct salvage s = { .copy = copy };
	int r;

	s.gone = g_array_new(FALSE, FALSE, sizeof(struct scan_span));
	s.outbox_gone = g_array_new(FALSE, FALSE, sizeof(struct outbox_gone));
	s.what = g_string_new(NULL);
	r = schema_create(into);
	if (r == 0)
		r = salvage_copy_open(path, copy, into, &s.from);
	if (r == 0)
		r = db_open(into, SQLITE_OPEN_READWRITE, &s.to);
	if (r == 0)
		r = salvage_all(&s);
	if (r == 0)
		r = salvage_report(&s, ret_report);
	if (r == 0)
		r = db_close_whole(g_steal_pointer(&s.to));
	db_close(s.to);
	db_close(s.from);
	place_remove(copy);
	g_string_free(s.what, TRUE);
	g_array_unref(s.gone);
	g_array_unref(s.outbox_gone);
	return r;
}
