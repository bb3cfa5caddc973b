/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How a table is read past its damage. Every table is ordered by one integer (of the outbox and the
 * rejected ones: within an area). A stretch of keys is read upwards to the first error, then
 * downwards; what is left between the two ends is halved and each half read likewise, so that rows
 * between two bad pages are reached, too. The number of failures is bounded; what remains then is
 * given up.
 *
 * The copy being read gets the first page of a new database: header and tables are the same in all
 * of them (schema.c), so that damage there costs nothing.
 */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/db.h"
#include "store/place.h"
#include "store/salvage.h"
#include "store/schema.h"

#define KEY_MIN	     (-(INT64_C(1) << 62))
#define KEY_MAX	     (INT64_C(1) << 62)
#define MAX_FAILURES 4000    /* of reads, per table and area */
#define MAX_NAMED    8	     /* lost stretches named in the report */

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

static const struct {
	const char *name, *key;
	int key_column;
	bool by_area;
} tables[_TABLE_MAX] = {
	[META] = { "meta", "id", 0, false },
	[AREA] = { "area", "area", 0, false },
	[OUTBOX] = { "outbox", "serial", 1, true },
	[BATCH] = { "batch", "number", 0, false },
	[BATCH_PART] = { "batch_part", "pos", 0, false },
	[ITEMS] = { "items", "id", 0, false },
	[REJECTED] = { "rejected", "serial", 1, true },
	[OUTCOME] = { "outcome", "id", 0, false },
	[EPOCH] = { "epoch", "id", 0, false },
};

#define OUTBOX_GROUP_COLUMN 3 /* group_index */

struct span {
	int64_t lo, hi;
	bool heads;	/* the row lost at lo was the first of a group or single */
};

struct salvage {
	sqlite3 *from, *to;
	uint64_t kept, lost[_TABLE_MAX];
	unsigned int named;
	GString *what;		/* stretches lost, for the report */

	/* the table being read */
	enum table table;
	sqlite3_stmt *up, *down, *insert;
	int64_t area;
	GQueue todo;		/* struct span * */
	GArray *gone;		/* struct span, lost */
	unsigned int failures;
};

static void salvage_lose(struct salvage *s, int64_t lo, int64_t hi, bool heads)
{
	struct span span = { lo, hi, heads };

	s->lost[s->table]++;
	g_array_append_val(s->gone, span);
}

static bool row_is_clean(sqlite3_stmt *row, int columns)
{
	for (int i = 0; i < columns; i++) {
		const char *text;

		if (sqlite3_column_type(row, i) == SQLITE_TEXT && db_text(row, i, &text) < 0)
			return false;
	}
	return true;
}

/* The constraints of the new table refuse a row that cannot be. Return: 0 or a negative errno of
 * the new database. */
static int salvage_row(struct salvage *s, sqlite3_stmt *row, int64_t key)
{
	int columns = sqlite3_column_count(row);
	bool heads = s->table == OUTBOX &&
		     sqlite3_column_type(row, OUTBOX_GROUP_COLUMN) == SQLITE_INTEGER &&
		     sqlite3_column_int64(row, OUTBOX_GROUP_COLUMN) <= 1;
	int r;

	if (!row_is_clean(row, columns)) {
		salvage_lose(s, key, key, heads);
		return 0;
	}
	for (int i = 0; i < columns; i++)
		sqlite3_bind_value(s->insert, i + 1, sqlite3_column_value(row, i));
	r = db_step(s->insert);
	db_reset(s->insert);
	if (r == -EINVAL) {
		salvage_lose(s, key, key, heads);
		return 0;
	}
	if (r == 0)
		s->kept++;
	return r;
}

/*
 * Read from one end of a span, which shrinks by what was read.
 * Return: 1 the whole span was read, 0 stopped by damage, or a negative errno.
 */
static int salvage_read(struct salvage *s, struct span *span, bool upwards)
{
	sqlite3_stmt *row = upwards ? s->up : s->down;
	int r = 0, step;

	db_bind(row, "iii", span->lo, span->hi, s->area);
	while (r == 0 && (step = db_step(row)) > 0) {
		int64_t key = sqlite3_column_int64(row, tables[s->table].key_column);

		/* A damaged tree can lead in circles. */
		if (key < span->lo || key > span->hi) {
			step = -EUCLEAN;
			break;
		}
		r = salvage_row(s, row, key);
		if (upwards)
			span->lo = key + 1;
		else
			span->hi = key - 1;
	}
	db_reset(row);
	if (r < 0)
		return r;
	s->failures += step < 0;
	return step == 0;
}

static int salvage_span(struct salvage *s, struct span span)
{
	struct span half;
	int r;

	r = salvage_read(s, &span, true);
	if (r == 0 && span.lo <= span.hi)
		r = salvage_read(s, &span, false);
	if (r != 0 || span.lo > span.hi)
		return MIN(r, 0);
	if (span.lo == span.hi || s->failures > MAX_FAILURES) {
		salvage_lose(s, span.lo, span.hi, false);
		return 0;
	}
	half = span;
	half.hi = span.lo + (span.hi - span.lo) / 2;
	span.lo = half.hi + 1;
	g_queue_push_tail(&s->todo, g_memdup2(&half, sizeof(half)));
	g_queue_push_tail(&s->todo, g_memdup2(&span, sizeof(span)));
	return 0;
}

static sqlite3_stmt *salvage_prepare(struct salvage *s, const char *order)
{
	g_autofree char *sql = g_strdup_printf("SELECT * FROM %s NOT INDEXED WHERE %s BETWEEN ?1 "
					       "AND ?2 AND %s=?3 ORDER BY %s %s",
					       tables[s->table].name, tables[s->table].key,
					       tables[s->table].by_area ? "area" : "?3",
					       tables[s->table].key, order);
	sqlite3_stmt *stmt;

	return db_prepare(s->from, sql, &stmt) < 0 ? NULL : stmt;
}

/* A new database has its row of `meta`. */
static int salvage_prepare_insert(struct salvage *s)
{
	g_autoptr(GString) sql = g_string_new(NULL);
	int columns = sqlite3_column_count(s->up);

	g_string_printf(sql, "INSERT%s INTO %s VALUES(?", s->table == META ? " OR REPLACE" : "",
			tables[s->table].name);
	for (int i = 1; i < columns; i++)
		g_string_append(sql, ",?");
	g_string_append_c(sql, ')');
	return db_prepare(s->to, sql->str, &s->insert);
}

/* Stretches that touch are one: halving leaves them in pieces. */
static int span_compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static void salvage_join(struct salvage *s)
{
	guint n = 0;

	g_array_sort(s->gone, span_compare);
	for (guint i = 0; i < s->gone->len; i++) {
		struct span *spans = (struct span *)(void *)s->gone->data;

		if (n > 0 && spans[n - 1].hi + 1 >= spans[i].lo)
			spans[n - 1].hi = MAX(spans[n - 1].hi, spans[i].hi);
		else
			spans[n++] = spans[i];
	}
	g_array_set_size(s->gone, n);
}

/* Read one table, or of one kept by area what @area has. */
static int salvage_table(struct salvage *s, enum table table, int64_t area)
{
	struct span *span;
	int r = 0;

	s->table = table;
	s->area = area;
	s->failures = 0;
	g_array_set_size(s->gone, 0);
	s->up = salvage_prepare(s, "ASC");
	s->down = salvage_prepare(s, "DESC");
	if (s->up && s->down) {
		struct span all = { KEY_MIN, KEY_MAX, false };

		g_queue_push_tail(&s->todo, g_memdup2(&all, sizeof(all)));
		r = salvage_prepare_insert(s);
	} else {
		salvage_lose(s, KEY_MIN, KEY_MAX, false);
	}
	while ((span = g_queue_pop_head(&s->todo))) {
		if (r == 0)
			r = salvage_span(s, *span);
		g_free(span);
	}
	g_clear_pointer(&s->up, sqlite3_finalize);
	g_clear_pointer(&s->down, sqlite3_finalize);
	g_clear_pointer(&s->insert, sqlite3_finalize);
	salvage_join(s);
	return r;
}

/*
 * An area whose row is lost would take its whole outbox along, so its name is looked for in the
 * index, too, from both ends. It comes without a reservation (see salvage_reserve()).
 */
static int salvage_names(struct salvage *s, const char *order)
{
	g_autofree char *sql = g_strconcat("SELECT area,name FROM area INDEXED BY "
					   "sqlite_autoindex_area_1 ORDER BY name ", order, NULL);
	sqlite3_stmt *row, *insert = NULL;
	const char *name;
	int r;

	if (db_prepare(s->from, sql, &row) < 0)
		return 0;
	r = db_prepare(s->to, "INSERT OR IGNORE INTO area VALUES(?,?,1)", &insert);
	while (r >= 0 && db_step(row) > 0) {
		if (sqlite3_column_type(row, 0) != SQLITE_INTEGER || db_text(row, 1, &name) < 0)
			continue;
		db_bind(insert, "it", sqlite3_column_int64(row, 0), name);
		r = db_step(insert);
		s->kept += r == 0 && sqlite3_changes(s->to) > 0;
		db_reset(insert);
	}
	sqlite3_finalize(row);
	sqlite3_finalize(insert);
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
 * A group that lost a member goes whole. Members have serials in a row, so those before a lost
 * stretch end right below it (and perhaps it began after the group: that cannot be told), and those
 * after it do not begin with the first.
 */
static int salvage_groups(struct salvage *s, int64_t area)
{
	int r = 0;

	for (guint i = 0; r == 0 && i < s->gone->len; i++) {
		const struct span *span = &g_array_index(s->gone, struct span, i);

		if (!span->heads)
			r = salvage_remove(s, OUTBOX,
					   "area=?1 AND group_index>0 AND serial<?2 AND serial>=?2-"
					   "(SELECT group_index FROM outbox WHERE area=?1 AND serial"
					   "=?2-1)", area, span->lo, 0);
		if (r == 0)
			r = salvage_remove(s, OUTBOX,
					   "area=?1 AND group_index>1 AND serial>?2 AND serial<"
					   "coalesce((SELECT min(serial) FROM outbox WHERE area=?1 "
					   "AND serial>?2 AND group_index<=1),?3)",
					   area, span->hi, INT64_MAX);
	}
	return r;
}

static void salvage_name_lost(struct salvage *s, const char *name)
{
	for (guint i = 0; i < s->gone->len && s->named < MAX_NAMED; i++, s->named++) {
		const struct span *span = &g_array_index(s->gone, struct span, i);

		g_string_append_printf(s->what, "; %s of %s: serials %" G_GINT64_FORMAT,
				       tables[s->table].name, name, MAX(span->lo, 1));
		if (span->hi > INT64_C(1) << 53)
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
	if (r == 0)
		r = salvage_groups(s, area);
	if (r == 0)
		r = salvage_table(s, REJECTED, area);
	salvage_name_lost(s, name);
	return r;
}

static int salvage_areas(struct salvage *s)
{
	sqlite3_stmt *stmt;
	int r;

	r = salvage_table(s, AREA, 0);
	if (r == 0)
		r = salvage_names(s, "ASC");
	if (r == 0)
		r = salvage_names(s, "DESC");
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

/* Its rows wait again where it is not known for certain to be whole. */
static int salvage_batch(struct salvage *s)
{
	int r;

	r = salvage_table(s, BATCH, 0);
	if (r == 0)
		r = salvage_table(s, BATCH_PART, 0);
	if (r < 0 || s->lost[OUTBOX] + s->lost[BATCH] + s->lost[BATCH_PART] == 0)
		return r;
	return db_exec(s->to, "UPDATE meta SET batch_high=max(batch_high,coalesce((SELECT "
			      "max(number) FROM batch),0));DELETE FROM batch;DELETE FROM batch_part");
}

/* The same key twice, or an area whose name is nowhere: not reachable, not countable. */
static int salvage_items(struct salvage *s)
{
	int r;

	r = salvage_table(s, ITEMS, 0);
	if (r == 0)
		r = salvage_remove(s, ITEMS, "area NOT IN(SELECT area FROM area)", 0, 0, 0);
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
 * Numbers are never reused. A reservation that was lost, or that a number seen contradicts, is made
 * anew a margin above everything seen: blocks are of 1000, so what cannot be seen is well below.
 */
static int salvage_reserve(struct salvage *s)
{
	int r;

	r = db_exec(s->to,
		    "UPDATE area SET reserved=min(" HIGHEST "," MARGIN "+" HIGHEST_SERIAL ")"
		    "WHERE reserved=1 OR reserved<=" HIGHEST_SERIAL ";"
		    "UPDATE meta SET batch_reserved=min(" HIGHEST "," MARGIN "+max(batch_high,"
		    "(SELECT coalesce(max(number),0)FROM batch)))WHERE batch_reserved<=max("
		    "batch_high,(SELECT coalesce(max(number),0)FROM batch))");
	if (r < 0 || s->lost[META] == 0)
		return r;
	return db_exec(s->to, "UPDATE meta SET client='',generation=min(" HIGHEST ",1+(SELECT "
			      "coalesce(max(generation),0)FROM items)),batch_reserved="
			      "min(" HIGHEST "," MARGIN "+batch_reserved)");
}

static int salvage_all(struct salvage *s)
{
	int r;

	r = db_exec(s->to, "PRAGMA synchronous=OFF;BEGIN IMMEDIATE");
	if (r == 0)
		r = salvage_table(s, META, 0);
	/* It has one row, so that none at all is a loss, too. */
	if (r == 0 && s->kept == 0 && s->lost[META] == 0)
		s->lost[META] = 1;
	if (r == 0)
		r = salvage_areas(s);
	if (r == 0)
		r = salvage_table(s, OUTCOME, 0);
	if (r == 0)
		r = salvage_items(s);
	if (r == 0)
		r = salvage_table(s, EPOCH, 0);
	if (r == 0)
		r = salvage_batch(s);
	if (r == 0)
		r = salvage_reserve(s);
	return r < 0 ? r : db_exec(s->to, "COMMIT");
}

static void salvage_report(struct salvage *s, struct salvage_report *ret_report)
{
	g_autoptr(GString) text = g_string_new(NULL);
	uint64_t lost = 0;

	for (int i = 0; i < _TABLE_MAX; i++) {
		lost += s->lost[i];
		if (s->lost[i] > 0)
			g_string_append_printf(text, "%s%" G_GUINT64_FORMAT " of %s",
					       text->len ? ", " : "", s->lost[i], tables[i].name);
	}
	g_string_append(text, text->len ? "" : "no row");
	g_string_append(text, s->what->str);
	ret_report->kept = s->kept;
	ret_report->lost = lost;
	ret_report->detail = g_string_free(g_steal_pointer(&text), FALSE);
}

/* Give the copy the first page of a new database, with its own length. */
static int salvage_patch(const char *copy, const char *new)
{
	uint8_t page[SCHEMA_PAGE_SIZE];
	struct stat st;
	uint32_t pages;
	size_t len;
	int r;

	r = place_read_head(new, page, sizeof(page), &len);
	if (r <= 0 || len < sizeof(page))
		return r < 0 ? r : -EIO;
	pages = stat(copy, &st) < 0 ? 0 : (uint32_t)((st.st_size + 4095) / SCHEMA_PAGE_SIZE);
	pages = GUINT32_TO_BE(MAX(pages, 1));
	/* The length counts if "version valid for" (at 92) is the change counter (at 24): it is. */
	for (size_t i = 0; i < sizeof(pages); i++)
		page[28 + i] = ((const uint8_t *)&pages)[i];
	return place_overwrite(copy, page, sizeof(page));
}

/* Open the copy for reading, with the changes of its log if that makes sense. */
static int salvage_open(const char *copy, sqlite3 **ret_db)
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
	return db_exec(db, "PRAGMA cell_size_check=ON");
}

static int salvage_copy(const char *path, const char *copy)
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

int salvage_run(const char *path, const char *copy, const char *into,
		struct salvage_report *ret_report)
{
	struct salvage s = { .todo = G_QUEUE_INIT };
	int r;

	s.gone = g_array_new(FALSE, FALSE, sizeof(struct span));
	s.what = g_string_new(NULL);
	r = salvage_copy(path, copy);
	if (r == 0)
		r = schema_create(into);
	if (r == 0)
		r = salvage_patch(copy, into);
	if (r == 0)
		r = salvage_open(copy, &s.from);
	if (r == 0)
		r = db_open(into, SQLITE_OPEN_READWRITE, &s.to);
	if (r == 0)
		r = salvage_all(&s);
	if (r == 0) {
		salvage_report(&s, ret_report);
		r = db_close_whole(g_steal_pointer(&s.to));
	}
	db_close(s.to);
	db_close(s.from);
	place_remove(copy);
	g_string_free(s.what, TRUE);
	g_array_unref(s.gone);
	return r;
}
