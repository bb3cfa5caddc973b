/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rules of the tables are written down here a second time, on purpose: what the salvage judges
 * by the constraints of the schema is judged without them by the test.
 */

#include <string.h>

#include "row.h"

#define INTEGER_MAX (INT64_C(1) << 53)

static bool is_integer(const struct row_column *column, int64_t min, int64_t *ret)
{
	*ret = column->integer;
	return column->type == COLUMN_INTEGER && column->integer >= min;
}

static bool is_text(const struct row_column *column, struct row_text *ret)
{
	*ret = column->text;
	return column->type == COLUMN_TEXT &&
	       g_utf8_validate_len(column->text.s, column->text.len, NULL);
}

static bool is_filled(const struct row_column *column, struct row_text *ret)
{
	return is_text(column, ret) && ret->len > 0;
}

/* @present: whether it must be there or must not */
static bool is_value(const struct row_column *column, bool present, struct row_text *ret)
{
	if (present)
		return is_text(column, ret);
	*ret = (struct row_text){ 0 };
	return column->type == COLUMN_NULL;
}

static bool area_from(struct row *row, const struct row_column *c)
{
	int64_t reserved;

	row->table = ROW_AREA;
	return is_filled(&c[1], &row->key) && is_integer(&c[2], 1, &reserved) &&
	       reserved <= INTEGER_MAX;
}

/* Of the index that finds an area by its name. */
static bool name_from(struct row *row, const struct row_column *c)
{
	row->table = ROW_AREA;
	return is_filled(&c[0], &row->key) && is_integer(&c[1], INT64_MIN, &row->area);
}

static bool outbox_from(struct row *row, const struct row_column *c)
{
	row->table = ROW_OUTBOX;
	return is_integer(&c[0], INT64_MIN, &row->area) && is_integer(&c[1], 1, &row->serial) &&
	       is_integer(&c[2], 1, &row->first) && row->first <= row->serial &&
	       is_integer(&c[3], 0, &row->group) && is_integer(&c[4], 0, &row->op) &&
	       row->op <= 1 && is_integer(&c[5], 0, &row->at) && is_filled(&c[6], &row->key) &&
	       is_value(&c[7], row->op == 0, &row->value);
}

static bool rejected_from(struct row *row, const struct row_column *c)
{
	row->table = ROW_REJECTED;
	return is_integer(&c[0], INT64_MIN, &row->area) && is_integer(&c[1], 1, &row->serial) &&
	       is_integer(&c[2], 1, &row->first) && row->first <= row->serial &&
	       is_integer(&c[3], 0, &row->op) && row->op <= 1 && is_integer(&c[4], 0, &row->at) &&
	       is_integer(&c[5], 1, &row->bytes) && is_filled(&c[6], &row->key) &&
	       is_text(&c[7], &row->error) && is_text(&c[8], &row->message) &&
	       is_value(&c[9], row->op == 0, &row->value);
}

static bool item_from(struct row *row, const struct row_column *c)
{
	int64_t seq;

	row->table = ROW_ITEM;
	return is_integer(&c[1], INT64_MIN, &row->area) && is_filled(&c[2], &row->key) &&
	       is_integer(&c[3], 0, &row->live) && row->live <= 1 &&
	       is_integer(&c[4], INT64_MIN, &seq) && is_integer(&c[5], 1, &row->bytes) &&
	       is_integer(&c[6], 0, &row->revision) && is_integer(&c[7], 0, &row->generation) &&
	       is_integer(&c[8], 0, &row->at) && is_value(&c[9], row->live == 1, &row->value);
}

bool row_from_columns(struct row *row, const struct row_column *columns, unsigned int n,
		      bool by_rowid, int64_t rowid)
{
	*row = (struct row){ 0 };
	if (!by_rowid && n == 2)
		return name_from(row, columns);
	if (!by_rowid)
		return n == 8 ? outbox_from(row, columns) : n == 10 && rejected_from(row, columns);
	if (n == 3) {
		row->area = rowid;
		return area_from(row, columns);
	}
	row->serial = rowid;
	return n == 10 && item_from(row, columns);
}

/* ---- texts ---- */

/* FNV-1a: enough to tell values apart that nobody chose to collide. */
static void append_value(GString *text, const struct row_text *value)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	if (!value->s) {
		g_string_append(text, " none");
		return;
	}
	for (gsize i = 0; i < value->len; i++)
		hash = (hash ^ (uint8_t)value->s[i]) * UINT64_C(1099511628211);
	g_string_append_printf(text, " %zu:%" G_GINT64_MODIFIER "x", (size_t)value->len, hash);
}

static void append_id(GString *text, const struct row *row)
{
	g_string_append_printf(text, "%c %" G_GINT64_FORMAT " ", "AOIR"[row->table], row->area);
	if (row->table == ROW_AREA)
		return;
	if (row->table == ROW_ITEM)
		g_string_append_len(text, row->key.s, (gssize)row->key.len);
	else
		g_string_append_printf(text, "%" G_GINT64_FORMAT, row->serial);
}

char *row_id(const struct row *row)
{
	GString *text = g_string_sized_new(32);

	append_id(text, row);
	return g_string_free(text, FALSE);
}

char *row_text(const struct row *row)
{
	GString *text = g_string_sized_new(128);

	append_id(text, row);
	g_string_append(text, ": ");
	g_string_append_len(text, row->key.s, (gssize)row->key.len);
	if (row->table == ROW_AREA)
		return g_string_free(text, FALSE);
	g_string_append_printf(text, " first %" G_GINT64_FORMAT " group %" G_GINT64_FORMAT " op %"
			       G_GINT64_FORMAT " at %" G_GINT64_FORMAT " rev %" G_GINT64_FORMAT
			       " gen %" G_GINT64_FORMAT, row->first, row->group, row->op, row->at,
			       row->revision, row->generation);
	append_value(text, &row->value);
	if (row->table != ROW_REJECTED)
		return g_string_free(text, FALSE);
	append_value(text, &row->error);
	append_value(text, &row->message);
	return g_string_free(text, FALSE);
}

/* ---- sets ---- */

static void note_free(void *data)
{
	struct row_note *note = data;

	g_free(note->id);
	g_free(note);
}

void rows_init(struct rows *rows)
{
	rows->ids = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, note_free);
	rows->texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void rows_deinit(struct rows *rows)
{
	g_hash_table_unref(rows->ids);
	g_hash_table_unref(rows->texts);
}

void rows_add(struct rows *rows, const struct row *row)
{
	struct row_note *note = g_new(struct row_note, 1), *known;
	bool new = g_hash_table_add(rows->texts, row_text(row));

	*note = (struct row_note){ row_id(row), row->table, row->area, row->serial, row->group };
	known = g_hash_table_lookup(rows->ids, note->id);
	note->contested = known && (known->contested || new);
	g_hash_table_replace(rows->ids, note->id, note);
}

bool rows_have_text(const struct rows *rows, const struct row *row)
{
	g_autofree char *text = row_text(row);

	return g_hash_table_contains(rows->texts, text);
}

const struct row_note *rows_find(const struct rows *rows, const char *id)
{
	return g_hash_table_lookup(rows->ids, id);
}
