/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The layout of `monitor`; see view.h.
 *
 * The lines of the upper part stand in a fixed order and each has a rank; on a low screen those of
 * the highest rank go. The rest of the screen is the last events, the newest at the bottom, where
 * the eye waits for it.
 */

#include <glib.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "holdfastctl/format.h"
#include "holdfastctl/view.h"

#define LABEL_COLUMNS	 11	/* of "Heartbeat: ", where there is room for labels */
#define MIN_FOR_LABELS	 40	/* columns; below it they are left out */
#define MIN_FOR_EVENTS	 5	/* rows; below it no event is shown */
#define MIN_FOR_SPARKS	 4	/* columns; fewer say nothing */
#define LEVELS		 8	/* of a sparkline */

struct happening {
	uint64_t time;
	char *text;
};

struct view {
	char *title;
	enum view_daemon daemon;
	bool known;		/* .now was read once */
	struct overview now;
	uint64_t oldest;
	uint64_t trips[VIEW_ROUND_TRIPS];	/* a ring: the newest before .n_trips */
	size_t n_trips;		/* ever added */
	GQueue events;		/* struct happening, the newest at the tail */
};

/* What a layout is made for. */
struct frame {
	const struct view *view;
	size_t columns;
	bool utf8;
	uint64_t now;
};

struct view *view_new(const char *title)
{
	struct view *view = g_new0(struct view, 1);

	view->title = g_strdup(title);
	g_queue_init(&view->events);
	return view;
}

static void happening_free(void *data)
{
	struct happening *happening = data;

	g_free(happening->text);
	g_free(happening);
}

struct view *view_free(struct view *view)
{
	if (!view)
		return NULL;
	g_queue_clear_full(&view->events, happening_free);
	overview_deinit(&view->now);
	g_free(view->title);
	g_free(view);
	return NULL;
}

void view_set_daemon(struct view *view, enum view_daemon daemon)
{
	view->daemon = daemon;
}

void view_set_overview(struct view *view, struct overview *overview, uint64_t oldest)
{
	overview_deinit(&view->now);
	view->now = *overview;
	*overview = (struct overview){ 0 };
	view->oldest = oldest;
	view->known = true;
}

void view_add_round_trip(struct view *view, uint64_t usec)
{
	view->trips[view->n_trips++ % VIEW_ROUND_TRIPS] = usec;
}

void view_add_event(struct view *view, uint64_t time, const char *text)
{
	struct happening *happening = g_new(struct happening, 1);
	g_autofree char *clean = format_clean(text);

	happening->time = time;
	happening->text = format_cut(clean, VIEW_EVENT_CHARS, ".");
	g_queue_push_tail(&view->events, happening);
	if (view->events.length > VIEW_EVENTS)
		happening_free(g_queue_pop_head(&view->events));
}

/* ---- the sparkline ---- */

static uint64_t trip_at(const struct view *view, size_t back)
{
	return view->trips[(view->n_trips - 1 - back) % VIEW_ROUND_TRIPS];
}

static uint64_t longest_trip(const struct view *view, size_t n)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < n; i++)
		if (trip_at(view, i) != VIEW_LOST)
			longest = MAX(longest, trip_at(view, i));
	return longest;
}

static const char *spark(const struct frame *frame, uint64_t trip, uint64_t longest)
{
	static const char *const blocks[LEVELS] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const marks[LEVELS] = { "_", ".", "-", "~", "=", "+", "*", "#" };
	uint64_t level;

	if (trip == VIEW_LOST)
		return frame->utf8 ? "×" : "x";
	level = longest > 0 ? (uint64_t)((double)trip / (double)longest * (LEVELS - 1) + 0.5) : 0;
	return (frame->utf8 ? blocks : marks)[MIN(level, LEVELS - 1)];
}

/* The last round trips, as high as the longest of them; the newest on the right. */
static char *sparkline(const struct frame *frame, size_t columns)
{
	const struct view *view = frame->view;
	size_t n = MIN(MIN(view->n_trips, VIEW_ROUND_TRIPS), columns);
	uint64_t longest = longest_trip(view, n);
	GString *line = g_string_new(NULL);

	for (size_t i = n; i > 0; i--)
		g_string_append(line, spark(frame, trip_at(view, i - 1), longest));
	return g_string_free(line, FALSE);
}

/* ---- lines ---- */

static char *describe_state(const struct frame *frame)
{
	const struct overview *now = &frame->view->now;
	g_autofree char *ago = format_span(usec_sub(frame->now, now->state_since));

	switch (frame->view->daemon) {
	case VIEW_DAEMON_GONE:
		return g_strdup("daemon not there");
	case VIEW_DAEMON_SILENT:
		return g_strdup("daemon does not answer");
	case VIEW_DAEMON_HERE:
		break;
	}
	if (!frame->view->known)
		return g_strdup("asking");
	if (now->state_since == 0)
		return g_strdup(now->state);
	return g_strdup_printf("%s for %s", now->state, ago);
}

static enum screen_style state_style(const struct frame *frame)
{
	const char *state = frame->view->now.state;

	if (frame->view->daemon != VIEW_DAEMON_HERE)
		return SCREEN_BAD;
	if (!frame->view->known)
		return SCREEN_PLAIN;
	if (strcmp(state, "connected") == 0)
		return SCREEN_GOOD;
	return strcmp(state, "connecting") == 0 ? SCREEN_WARNING : SCREEN_BAD;
}

static char *describe_reason(const struct frame *frame)
{
	return g_strdup(frame->view->now.reason);
}

static char *describe_parent(const struct frame *frame)
{
	return g_strdup(frame->view->now.parent);
}

/* Columns that are left for a sparkline behind @figures; 0 where too few are. */
static size_t spark_columns(const struct frame *frame, const char *figures)
{
	size_t used = format_width(figures) + 1;

	if (frame->columns >= MIN_FOR_LABELS)
		used += LABEL_COLUMNS;
	return used + MIN_FOR_SPARKS <= frame->columns ? frame->columns - used : 0;
}

/* The figures first: a narrow screen cuts the sparkline, not them. Before it cuts all of it, the mean
 * goes, which the sparkline shows better. */
static char *describe_figures(const struct frame *frame)
{
	const struct view *view = frame->view;
	g_autofree char *mean = format_span(view->now.latency);
	g_autofree char *last = NULL, *both = NULL;

	/* The round trips that are left may be those of a daemon that is no more. */
	if (view->now.latency == 0)
		return g_strdup("not measured yet");
	if (view->n_trips == 0)
		return g_steal_pointer(&mean);
	last = trip_at(view, 0) == VIEW_LOST ? g_strdup("lost") : format_span(trip_at(view, 0));
	both = g_strdup_printf("%s, mean %s", last, mean);
	return spark_columns(frame, both) > 0 ? g_steal_pointer(&both) : g_steal_pointer(&last);
}

static char *describe_latency(const struct frame *frame)
{
	g_autofree char *figures = describe_figures(frame);
	g_autofree char *sparks = sparkline(frame, spark_columns(frame, figures));

	return g_strdup_printf("%s%s%s", figures, *sparks ? " " : "", sparks);
}

static char *describe_queue(const struct frame *frame)
{
	const struct view *view = frame->view;
	g_autofree char *queue = format_queue(view->now.queue_size, view->now.queue_bytes);
	g_autofree char *age = format_span(usec_sub(frame->now, view->oldest));

	if (view->now.queue_size == 0)
		return g_strdup("empty");
	if (view->oldest == 0)
		return g_steal_pointer(&queue);
	return g_strdup_printf("%s, oldest %s", queue, age);
}

static char *describe_heartbeat(const struct frame *frame)
{
	const struct overview *now = &frame->view->now;
	g_autofree char *interval = format_span(now->interval);

	return g_strdup_printf("every %s, %" PRIu32 " of %" PRIu32 " failed", interval, now->failed,
			       now->max_failed);
}

static char *describe_storage(const struct frame *frame)
{
	const char *error = frame->view->now.storage_error;

	return g_strdup(error && *error ? error : "in order");
}

static char *describe_title(const struct frame *frame)
{
	g_autofree char *time = format_time(frame->now);
	const char *area = frame->view->now.area;

	return g_strdup_printf("%s, area %s  %s", frame->view->title, area ?: "?", time);
}

static char *describe_keys(const struct frame *frame)
{
	(void)frame;
	return g_strdup("Last events (q quits)");
}

static char *describe_nothing(const struct frame *frame)
{
	(void)frame;
	return g_strdup("");
}

/* The upper part, in order. Rank 0 is shown on any screen, the highest only where there is room. */
static const struct part {
	const char *label;	/* NULL: the line is the text alone */
	unsigned int rank;
	bool numbers;		/* needs the daemon's numbers */
	char *(*describe)(const struct frame *frame);
} parts[] = {
	{ NULL, 5, false, describe_title },
	{ NULL, 8, false, describe_nothing },
	{ "State", 0, false, describe_state },
	{ "Reason", 3, true, describe_reason },
	{ "Parent", 4, true, describe_parent },
	{ "Latency", 1, true, describe_latency },
	{ "Heartbeat", 6, true, describe_heartbeat },
	{ "Queue", 2, true, describe_queue },
	{ "Disk", 9, true, describe_storage },
	{ NULL, 10, false, describe_nothing },
	{ NULL, 7, false, describe_keys },
};

/* ---- laying out ---- */

static void line_free(void *data)
{
	struct screen_line *line = data;

	g_free(line->text);
	g_free(line);
}

static void add_line(GPtrArray *lines, const struct frame *frame, const char *text,
		     enum screen_style style)
{
	struct screen_line *line = g_new(struct screen_line, 1);
	g_autofree char *clean = format_clean(text);
	g_autofree char *known = frame->utf8 ? g_steal_pointer(&clean) : format_ascii(clean);

	line->text = format_cut(known, frame->columns, frame->utf8 ? "…" : ">");
	line->style = style;
	g_ptr_array_add(lines, line);
}

static void add_part(GPtrArray *lines, const struct frame *frame, const struct part *part)
{
	g_autofree char *text = part->describe(frame);
	g_autofree char *labelled = NULL;
	g_autofree char *title = NULL;

	if (part->label && frame->columns >= MIN_FOR_LABELS) {
		title = g_strdup_printf("%s:", part->label);
		labelled = g_strdup_printf("%-*s%s", LABEL_COLUMNS, title, text);
	}
	add_line(lines, frame, labelled ?: text,
		 part->describe == describe_state ? state_style(frame) :
		 part->label			  ? SCREEN_PLAIN :
						    SCREEN_TITLE);
}

static void add_event(GPtrArray *lines, const struct frame *frame, const struct happening *event)
{
	g_autofree char *time = format_time(event->time);
	/* The date is in the title; a narrow screen has no room for the time either. */
	const char *clock = strchr(time, ' ');
	g_autofree char *text = NULL;

	if (clock && frame->columns >= MIN_FOR_LABELS)
		text = g_strdup_printf("%s  %s", clock + 1, event->text);
	add_line(lines, frame, text ?: event->text, SCREEN_PLAIN);
}

static void add_events(GPtrArray *lines, const struct frame *frame, size_t rows)
{
	GList *event = frame->view->events.tail;

	if (!event || rows == 0)
		return;
	for (size_t i = 1; i < rows && event->prev; i++)
		event = event->prev;
	for (; event; event = event->next)
		add_event(lines, frame, event->data);
}

/* Rows kept for events: one on a low screen, a quarter of a higher one. */
static size_t event_rows(size_t rows)
{
	if (rows < MIN_FOR_EVENTS)
		return 0;
	return MAX(rows / 4, (size_t)1);
}

GPtrArray *view_layout(const struct view *view, size_t rows, size_t columns, bool utf8, uint64_t now)
{
	const struct frame frame = { view, columns, utf8, now };
	GPtrArray *lines = g_ptr_array_new_with_free_func(line_free);
	size_t ranks = rows - event_rows(rows);
	/* What a daemon said that is gone would only mislead. */
	bool numbers = view->known && view->daemon != VIEW_DAEMON_GONE;

	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
		if (parts[i].rank < ranks && (numbers || !parts[i].numbers))
			add_part(lines, &frame, &parts[i]);
	add_events(lines, &frame, rows - lines->len);
	return lines;
}
