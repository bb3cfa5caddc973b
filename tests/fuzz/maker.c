/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See maker.h. */

#include "maker.h"

#define SPOIL_MEMBERS 6 /* one of the first so many */

void maker_begin(struct maker *maker, struct input *input, const char *type)
{
	unsigned int spoil = input_pick(input, 128);

	maker->input = input;
	maker->out = g_string_new(NULL);
	maker->spoil_at = spoil < 96 ? UINT_MAX : (spoil - 96) % SPOIL_MEMBERS;
	maker->spoil_how = spoil < 96 ? 0 : input_pick(input, 16);
	g_string_printf(maker->out, "{\"type\":\"%s\"", type);
}

GString *maker_end(struct maker *maker)
{
	g_string_append(maker->out, "}\n");
	return g_steal_pointer(&maker->out);
}

void maker_json(struct maker *maker, const char *name, const char *json)
{
	static const char *const odd[16] = {
		NULL, "null", "-1", "\"x\"", "[]", "{}", "1.5", "true", "1e400", "\"\\u0000\"",
		"9007199254740993", "\"\\ud800\"", "\"\xff\"", "[[[[[[[[[]]]]]]]]]", "007", "",
	};

	if (maker->spoil_at-- == 0)
		json = odd[maker->spoil_how];
	if (json)
		g_string_append_printf(maker->out, ",\"%s\":%s", name, json);
}

void maker_text(struct maker *maker, const char *name, const char *text)
{
	g_autofree char *json = text ? g_strdup_printf("\"%s\"", text) : NULL;

	maker_json(maker, name, text ? json : "null");
}

void maker_number(struct maker *maker, const char *name, uint64_t right)
{
	g_autofree char *json = NULL;
	int64_t number = (int64_t)right;

	if (input_pick(maker->input, 4) == 3)
		number = input_number(maker->input);
	json = g_strdup_printf("%" G_GINT64_FORMAT, number);
	maker_json(maker, name, json);
}
