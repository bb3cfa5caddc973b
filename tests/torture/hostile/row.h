/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A row that must not be lost, wherever it was read: from the bytes of a page, by SQLite, or out of
 * the store. Two readings are the same row if their texts are equal.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum row_table {
	ROW_AREA,
	ROW_OUTBOX,
	ROW_ITEM,
	ROW_REJECTED,
};

/* Borrowed; not terminated. s is NULL for SQL's NULL. */
struct row_text {
	const char *s;
	gsize len;
};

struct row {
	enum row_table table;
	int64_t area;
	int64_t serial;		/* of an item its rowid, which its text leaves out */
	int64_t first, group, op, at, bytes;
	int64_t live, revision, generation;
	struct row_text key;	/* of an area its name */
	struct row_text value, error, message;
};

/* One column as a file has it. */
struct row_column {
	enum { COLUMN_NULL, COLUMN_INTEGER, COLUMN_REAL, COLUMN_TEXT, COLUMN_BLOB } type;
	int64_t integer;
	struct row_text text;
};

#define ROW_COLUMNS 10 /* of the widest table */

/**
 * row_from_columns() - tell by their number and kind which table's row columns are.
 * @by_rowid: of a table with a rowid, then the first column is NULL and @rowid stands for it
 *
 * Return: whether they are a row that keeps every rule of its table.
 */
bool row_from_columns(struct row *row, const struct row_column *columns, unsigned int n,
		      bool by_rowid, int64_t rowid);

/* What names a row: "O 1 17", "I 1 key" … and all of it. */
char *row_id(const struct row *row);
char *row_text(const struct row *row);

/* ---- sets ---- */

/* What is kept of a row besides its text. */
struct row_note {
	char *id;
	enum row_table table;
	int64_t area, serial, group;
	bool contested;		/* rows that differ were added under this id */
};

struct rows {
	GHashTable *ids;	/* id → struct row_note: of the last one added */
	GHashTable *texts;	/* of every one added */
};

void rows_init(struct rows *rows);
void rows_deinit(struct rows *rows);
void rows_add(struct rows *rows, const struct row *row);
bool rows_have_text(const struct rows *rows, const struct row *row);
const struct row_note *rows_find(const struct rows *rows, const char *id);
