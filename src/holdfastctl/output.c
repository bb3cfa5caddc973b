/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Records, tables and lists on standard output; see output.h. The only file of this program that
 * knows json-glib. Text that comes from the bus is cleaned of control characters before it is laid
 * out; JSON escapes them itself.
 */

#include <glib.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdio.h>

#include "holdfastctl/format.h"
#include "holdfastctl/output.h"

#define TABLE_GAP 2 /* spaces between two columns */

struct table {
	const struct field *columns;
	size_t n_columns;
	GPtrArray *rows;	/* struct field[n_columns], .text of each copied */
};

/* ---- JSON ---- */

static void print_document(enum output_mode mode, JsonBuilder *builder)
{
	g_autoptr(JsonGenerator) generator = json_generator_new();
	g_autoptr(JsonNode) root = json_builder_get_root(builder);
	g_autofree char *text = NULL;

	json_generator_set_root(generator, root);
	json_generator_set_pretty(generator, mode == OUTPUT_JSON_PRETTY);
	text = json_generator_to_data(generator, NULL);
	puts(text);
}

static void build_field(JsonBuilder *builder, const struct field *field)
{
	json_builder_set_member_name(builder, field->name);
	switch (field->type) {
	case FIELD_TEXT:
		if (field->text)
			json_builder_add_string_value(builder, field->text);
		else
			json_builder_add_null_value(builder);
		break;
	case FIELD_NUMBER:
	case FIELD_TIME:
		json_builder_add_int_value(builder, (gint64)field->number);
		break;
	case FIELD_BOOL:
		json_builder_add_boolean_value(builder, field->number != 0);
		break;
	}
}

static void build_record(JsonBuilder *builder, const struct field *fields, size_t n)
{
	json_builder_begin_object(builder);
	for (size_t i = 0; i < n; i++)
		build_field(builder, &fields[i]);
	json_builder_end_object(builder);
}

void output_record(enum output_mode mode, const struct field *fields, size_t n)
{
	g_autoptr(JsonBuilder) builder = json_builder_new_immutable();

	build_record(builder, fields, n);
	print_document(mode, builder);
}

void output_serial(enum output_mode mode, uint64_t serial)
{
	const struct field field = { "serial", FIELD_NUMBER, .number = serial };

	if (mode == OUTPUT_TEXT)
		printf("%" PRIu64 "\n", serial);
	else
		output_record(mode, &field, 1);
}

void output_value(const char *value, bool raw)
{
	fputs(value, stdout);
	if (!raw)
		putchar('\n');
}

void output_strings(enum output_mode mode, const char *const *strings, size_t n)
{
	g_autoptr(JsonBuilder) builder = NULL;

	if (mode == OUTPUT_TEXT) {
		for (size_t i = 0; i < n; i++)
			puts(strings[i]);
		return;
	}
	builder = json_builder_new_immutable();
	json_builder_begin_array(builder);
	for (size_t i = 0; i < n; i++)
		json_builder_add_string_value(builder, strings[i]);
	json_builder_end_array(builder);
	print_document(mode, builder);
}

/* ---- tables ---- */

struct table *table_new(const struct field *fields, size_t n)
{
	struct table *table = g_new0(struct table, 1);

	table->columns = fields;
	table->n_columns = n;
	table->rows = g_ptr_array_new();
	return table;
}

static void row_free(struct field *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g_free((char *)row[i].text);
	g_free(row);
}

struct table *table_free(struct table *table)
{
	if (!table)
		return NULL;
	for (unsigned int i = 0; i < table->rows->len; i++)
		row_free(table->rows->pdata[i], table->n_columns);
	g_ptr_array_unref(table->rows);
	g_free(table);
	return NULL;
}

void table_add(struct table *table, const struct field *fields)
{
	struct field *row = g_memdup2(fields, table->n_columns * sizeof(*fields));

	for (size_t i = 0; i < table->n_columns; i++)
		row[i].text = g_strdup(fields[i].text);
	g_ptr_array_add(table->rows, row);
}

static char *cell_text(const struct field *field)
{
	switch (field->type) {
	case FIELD_TEXT:
		return format_clean(field->text ?: "");
	case FIELD_NUMBER:
		return g_strdup_printf("%" PRIu64, field->number);
	case FIELD_TIME:
		return format_time(field->number);
	case FIELD_BOOL:
		return g_strdup(field->number ? "yes" : "no");
	}
	return g_strdup("");
}

static char *column_title(const struct field *column)
{
	return g_ascii_strup(column->name, -1);
}

static size_t column_width(const struct table *table, size_t column)
{
	g_autofree char *title = column_title(&table->columns[column]);
	size_t width = format_width(title);

	for (unsigned int i = 0; i < table->rows->len; i++) {
		const struct field *row = table->rows->pdata[i];
		g_autofree char *text = cell_text(&row[column]);

		width = MAX(width, format_width(text));
	}
	return width;
}

/* The last column is not padded, so that no line ends in blanks. */
static void print_cell(const char *text, size_t width, bool right, bool last)
{
	int pad = (int)(width - format_width(text));

	if (right)
		printf("%*s%s", pad, "", text);
	else
		printf("%s%*s", text, last ? 0 : pad, "");
	printf("%*s", last ? 0 : TABLE_GAP, "");
	if (last)
		putchar('\n');
}

static void print_rows(const struct table *table)
{
	g_autofree size_t *widths = g_new(size_t, table->n_columns);

	for (size_t c = 0; c < table->n_columns; c++)
		widths[c] = column_width(table, c);
	for (size_t c = 0; c < table->n_columns; c++) {
		g_autofree char *title = column_title(&table->columns[c]);

		print_cell(title, widths[c], table->columns[c].type == FIELD_NUMBER,
			   c + 1 == table->n_columns);
	}
	for (unsigned int i = 0; i < table->rows->len; i++) {
		const struct field *row = table->rows->pdata[i];

		for (size_t c = 0; c < table->n_columns; c++) {
			g_autofree char *text = cell_text(&row[c]);

			print_cell(text, widths[c], row[c].type == FIELD_NUMBER,
				   c + 1 == table->n_columns);
		}
	}
}

void table_print(const struct table *table, enum output_mode mode)
{
	g_autoptr(JsonBuilder) builder = NULL;

	if (mode == OUTPUT_TEXT) {
		if (table->rows->len > 0)
			print_rows(table);
		return;
	}
	builder = json_builder_new_immutable();
	json_builder_begin_array(builder);
	for (unsigned int i = 0; i < table->rows->len; i++)
		build_record(builder, table->rows->pdata[i], table->n_columns);
	json_builder_end_array(builder);
	print_document(mode, builder);
}
