/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What holdfastctl monitor lays out, on screens of every size, and the file it makes of metrics. */

#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "holdfastctl/format.h"
#include "holdfastctl/textfile.h"
#include "holdfastctl/view.h"

#define NOW (UINT64_C(1800000000) * USEC_PER_SEC) /* 2027-01-15 08:00:00 UTC */

static struct overview an_overview(const char *state)
{
	return (struct overview){
		.state = g_strdup(state),
		.reason = g_strdup("ok: all is \033[31mwell"),
		.parent = g_strdup("unix:/run/holdfast/parent.sock"),
		.area = g_strdup("default"),
		.state_since = NOW - 200 * USEC_PER_SEC,
		.latency = 1500,
		.interval = 5 * USEC_PER_SEC,
		.max_failed = 3,
		.queue_size = 2,
		.queue_bytes = 100,
	};
}

static struct view *a_view(void)
{
	struct overview overview = an_overview("connected");
	struct view *view = view_new("holdfast");

	view_set_overview(view, &overview, NOW - 7 * USEC_PER_SEC);
	g_assert_null(overview.state);
	return view;
}

/* All lines, each with a newline; what holds for every layout is checked on the way. */
static char *layout(const struct view *view, size_t rows, size_t columns, bool utf8)
{
	g_autoptr(GPtrArray) lines = view_layout(view, rows, columns, utf8, NOW);
	GString *text = g_string_new(NULL);

	g_assert_cmpuint(lines->len, <=, rows);
	for (unsigned int i = 0; i < lines->len; i++) {
		const struct screen_line *line = lines->pdata[i];

		g_assert_true(g_utf8_validate(line->text, -1, NULL));
		g_assert_cmpuint(format_width(line->text), <=, columns);
		for (const char *p = line->text; *p; p = g_utf8_next_char(p))
			g_assert_false(g_unichar_iscntrl(g_utf8_get_char(p)));
		g_assert_true(utf8 || g_str_is_ascii(line->text));
		g_string_append_printf(text, "%s\n", line->text);
	}
	return g_string_free(text, FALSE);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		g_error("'%s' is not in:\n%s", part, text);
}

static void test_full(void)
{
	struct view *view = a_view();
	g_autofree char *text = NULL;

	view_add_round_trip(view, 1000);
	view_add_round_trip(view, VIEW_LOST);
	view_add_round_trip(view, 8000);
	view_add_event(view, NOW - USEC_PER_SEC, "changed   k (local)");
	text = layout(view, 24, 80, true);
	assert_has(text, "holdfast, area default  2027-01-15 08:00:00\n\n");
	assert_has(text, "State:     connected for 3min 20s\n");
	assert_has(text, "Reason:    ok: all is ?[31mwell\n");
	assert_has(text, "Parent:    unix:/run/holdfast/parent.sock\n");
	assert_has(text, "Latency:   8.0ms, mean 1.5ms ▂×█\n");
	assert_has(text, "Heartbeat: every 5s, 0 of 3 failed\n");
	assert_has(text, "Queue:     2 entries, 100 bytes, oldest 7s\n");
	assert_has(text, "q quits");
	assert_has(text, "07:59:59  changed   k (local)\n");
	view_free(view);
}

static void test_ascii(void)
{
	struct view *view = a_view();
	g_autofree char *text = NULL;

	view_add_round_trip(view, 1000);
	view_add_round_trip(view, VIEW_LOST);
	view_add_round_trip(view, 8000);
	view_add_event(view, NOW, "changed   schlüssel (local)");
	text = layout(view, 24, 80, false);
	assert_has(text, "mean 1.5ms .x#\n");
	assert_has(text, "schl?ssel");
	view_free(view);
}

/* The state is what stays on the lowest screen; then the latency, the queue, the reason. */
static void test_low(void)
{
	struct view *view = a_view();
	g_autofree char *one = layout(view, 1, 20, true), *five = NULL, *narrow = NULL;

	g_assert_cmpstr(one, ==, "connected for 3min …\n");
	view_add_event(view, NOW, "changed   old (local)");
	view_add_event(view, NOW, "changed   new (local)");
	five = layout(view, 5, 20, true);
	g_assert_cmpstr(five, ==,
			"connected for 3min …\n"
			"ok: all is ?[31mwell\n"
			"1.5ms\n"
			"2 entries, 100 byte…\n"
			"changed   new (loca…\n");

	for (uint64_t i = 0; i < 100; i++)
		view_add_round_trip(view, 1000 * i);
	narrow = layout(view, 5, 20, true);
	assert_has(narrow, "\n99.0ms ▇▇▇▇▇████████\n");
	view_free(view);
}

static void test_gone(void)
{
	struct view *view = a_view();
	g_autofree char *gone = NULL, *silent = NULL;

	view_set_daemon(view, VIEW_DAEMON_SILENT);
	silent = layout(view, 24, 80, true);
	assert_has(silent, "daemon does not answer");
	assert_has(silent, "2 entries");
	view_set_daemon(view, VIEW_DAEMON_GONE);
	gone = layout(view, 24, 80, true);
	assert_has(gone, "State:     daemon not there\n");
	g_assert_null(strstr(gone, "Queue"));
	view_free(view);
}

static void fill(struct view *view)
{
	g_autofree char *huge = g_strnfill(5000, 'x');

	for (unsigned int i = 0; i < 3 * VIEW_EVENTS; i++)
		view_add_event(view, NOW, i % 2 ? "漢字漢字漢字漢字\033\n\x7f" : huge);
	for (uint64_t i = 0; i < 3 * VIEW_ROUND_TRIPS; i++)
		view_add_round_trip(view, i % 7 ? i * 1000003 : VIEW_LOST);
	view_add_round_trip(view, 0);
}

static void test_every_size(void)
{
	struct view *empty = view_new("holdfast"), *full = a_view();
	static const size_t more[] = { 80, 132, 250, 1000 };

	fill(full);
	for (size_t rows = 1; rows < 40; rows++)
		for (size_t columns = 1; columns < 70; columns++) {
			g_free(layout(empty, rows, columns, true));
			g_free(layout(full, rows, columns, columns % 2));
		}
	for (size_t i = 0; i < G_N_ELEMENTS(more); i++) {
		g_autofree char *text = layout(full, more[i], more[i], true);
		unsigned int lines = 0;

		for (const char *p = text; *p; p++)
			lines += *p == '\n';
		g_assert_cmpuint(lines, ==, more[i]);
	}
	view_free(empty);
	view_free(full);
}

static void test_textfile(void)
{
	static const char openmetrics[] =
		"# HELP holdfast_pings Pings \\\"sent\\\" \\\\ here\n"
		"# TYPE holdfast_pings counter\n"
		"holdfast_pings_total 3\n"
		"holdfast_pings_created 1.5\n"
		"# TYPE holdfast_state stateset\n"
		"# HELP holdfast_state State\n"
		"holdfast_state{holdfast_state=\"connected\"} 1\n"
		"# TYPE holdfast_build info\n"
		"holdfast_build_info{version=\"1\"} 1\n"
		"# TYPE holdfast_round_trip_seconds histogram\n"
		"# UNIT holdfast_round_trip_seconds seconds\n"
		"holdfast_round_trip_seconds_bucket{le=\"+Inf\"} 0\n"
		"# EOF\n";
	g_autofree char *text = textfile_convert(openmetrics);

	g_assert_cmpstr(text, ==,
			"# HELP holdfast_pings_total Pings \"sent\" \\\\ here\n"
			"# TYPE holdfast_pings_total counter\n"
			"holdfast_pings_total 3\n"
			"holdfast_pings_created 1.5\n"
			"# TYPE holdfast_state gauge\n"
			"# HELP holdfast_state State\n"
			"holdfast_state{holdfast_state=\"connected\"} 1\n"
			"# TYPE holdfast_build_info gauge\n"
			"holdfast_build_info{version=\"1\"} 1\n"
			"# TYPE holdfast_round_trip_seconds histogram\n"
			"holdfast_round_trip_seconds_bucket{le=\"+Inf\"} 0\n");
}

int main(int argc, char **argv)
{
	setenv("TZ", "UTC", 1);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/ctl-view/full", test_full);
	g_test_add_func("/ctl-view/ascii", test_ascii);
	g_test_add_func("/ctl-view/low", test_low);
	g_test_add_func("/ctl-view/gone", test_gone);
	g_test_add_func("/ctl-view/every-size", test_every_size);
	g_test_add_func("/ctl-view/textfile", test_textfile);
	return g_test_run();
}
