/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the program prints on standard output: records, tables and lists, as text or as JSON. A
 * value is described once, as a struct field; the mode decides what becomes of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum output_mode {
	OUTPUT_TEXT,
	OUTPUT_JSON_SHORT,
	OUTPUT_JSON_PRETTY,
};

enum field_type {
	FIELD_TEXT,	/* .text; NULL is JSON's null */
	FIELD_NUMBER,
	FIELD_TIME,	/* realtime usec: a number in JSON, local time in a table */
	FIELD_BOOL,	/* .number is 0 or not */
};

struct field {
	const char *name;	/* in JSON; in capitals, the title of a table's column */
	enum field_type type;
	const char *text;
	uint64_t number;
};

/** output_record() - print one JSON object. @mode is one of JSON's. */
void output_record(enum output_mode mode, const struct field *fields, size_t n);

/** output_serial() - print the serial a write was given: a number, or {"serial":…}. */
void output_serial(enum output_mode mode, uint64_t serial);

/** output_value() - print a value as text, and a newline unless it is @raw. */
void output_value(const char *value, bool raw);

/** output_strings() - print a list: one a line, or a JSON array. */
void output_strings(enum output_mode mode, const char *const *strings, size_t n);

struct table;

/**
 * table_new() - a table without rows.
 * @fields, @n: its columns' names and types; must outlive the table
 */
struct table *table_new(const struct field *fields, size_t n);
struct table *table_free(struct table *table);

/** table_add() - a row: as many fields as there are columns, in their order. Copied. */
void table_add(struct table *table, const struct field *fields);

/** table_print() - aligned columns under titles (nothing where there is no row), or a JSON array of
 * objects. */
void table_print(const struct table *table, enum output_mode mode);
