/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What holdfastctl makes of hostile text: no line it lays out, of any size, has anything that
 * steers a terminal, none is wider than the screen. Input: rows, columns, then texts that end with
 * a NUL, made clean UTF-8 as the bus does.
 */

#include <glib.h>
#include <string.h>

#include "holdfastctl/format.h"
#include "holdfastctl/textfile.h"
#include "holdfastctl/view.h"
#include "input.h"
#include "setup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (UINT64_C(1800000000) * 1000000)

static char *take_text(struct input *input)
{
	const uint8_t *end = input->left ? memchr(input->data, 0, input->left) : NULL;
	size_t n = end ? (size_t)(end - input->data) : input->left;
	char *text = g_utf8_make_valid((const char *)input->data, (gssize)n);

	n = MIN(n + 1, input->left);
	input->data += n;
	input->left -= n;
	return text;
}

static void check_clean(const char *text)
{
	g_assert_true(g_utf8_validate(text, -1, NULL));
	for (const char *p = text; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		g_assert_false(g_unichar_iscntrl(c));
		g_assert_false(c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
			       (c >= 0x2066 && c <= 0x2069));
	}
}

static void check_layout(const struct view *view, size_t rows, size_t columns, bool utf8)
{
	g_autoptr(GPtrArray) lines = view_layout(view, rows, columns, utf8, NOW);

	g_assert_cmpuint(lines->len, <=, rows);
	for (unsigned int i = 0; i < lines->len; i++) {
		const struct screen_line *line = lines->pdata[i];

		check_clean(line->text);
		g_assert_cmpuint(format_width(line->text), <=, columns);
		g_assert_true(utf8 || g_str_is_ascii(line->text));
	}
}

static struct overview take_overview(struct input *input)
{
	struct overview overview = {
		.state = take_text(input),
		.reason = take_text(input),
		.parent = take_text(input),
		.last_error = take_text(input),
		.storage_error = take_text(input),
		.area = take_text(input),
		.version = take_text(input),
	};

	overview.state_since = (uint64_t)input_number(input);
	overview.latency = (uint64_t)input_number(input);
	overview.interval = (uint64_t)input_number(input);
	overview.queue_size = (uint32_t)input_number(input);
	overview.queue_bytes = (uint64_t)input_number(input);
	return overview;
}

static void check_formats(const char *text, size_t columns)
{
	g_autofree char *clean = format_clean(text);
	g_autofree char *ascii = format_ascii(text);
	g_autofree char *cut = format_cut(clean, columns, ".");
	g_autofree char *converted = textfile_convert(text);

	check_clean(clean);
	g_assert_true(g_str_is_ascii(ascii));
	g_assert_cmpuint(format_width(cut), <=, columns);
	g_assert_cmpuint(strlen(converted), <=, 2 * strlen(text) + 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	size_t rows = input_byte(&input) % 40, columns = input_byte(&input);
	g_autofree char *title = take_text(&input);
	struct overview overview = take_overview(&input);
	struct view *view;

	fuzz_setup();
	view = view_new(title);
	view_set_overview(view, &overview, (uint64_t)input_number(&input));
	view_set_daemon(view, input_pick(&input, 3));
	while (input.left > 0) {
		g_autofree char *text = take_text(&input);

		view_add_event(view, (uint64_t)input_number(&input), text);
		view_add_round_trip(view, (uint64_t)input_number(&input));
		check_formats(text, columns);
	}
	check_layout(view, rows, columns, true);
	check_layout(view, rows, columns, false);
	view_free(view);
	return 0;
}
