/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What `monitor` shows: the state of the line, its round trips, the queue, the last events, and how
 * they are laid out on a screen of any size. No clock and no I/O in here: a test looks at every line.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfastctl/overview.h"
#include "holdfastctl/screen.h"

#define VIEW_ROUND_TRIPS 1000	/* kept; as many as the widest screen has columns */
#define VIEW_EVENTS	 1000	/* kept; as many as the highest screen has rows */
#define VIEW_EVENT_CHARS 1000	/* kept of an event; a parent's message may be long */

#define VIEW_LOST UINT64_MAX	/* in place of a round trip: the ping went unanswered */

enum view_daemon {
	VIEW_DAEMON_HERE,
	VIEW_DAEMON_SILENT,	/* runs, and does not answer */
	VIEW_DAEMON_GONE,
};

struct view;

/** view_new() - nothing is known yet. @title: of the whole; copied */
struct view *view_new(const char *title);
struct view *view_free(struct view *view);

/** view_set_daemon() - whether there is somebody to ask. */
void view_set_daemon(struct view *view, enum view_daemon daemon);

/**
 * view_set_overview() - how it is now.
 * @overview: taken over, texts and all
 * @oldest: when the oldest entry was queued, usec of CLOCK_REALTIME; 0: unknown, or none
 */
void view_set_overview(struct view *view, struct overview *overview, uint64_t oldest);

/** view_add_round_trip() - one more, in usec, or VIEW_LOST. */
void view_add_round_trip(struct view *view, uint64_t usec);

/** view_add_event() - one more line of what happened, at @time (usec of CLOCK_REALTIME). */
void view_add_event(struct view *view, uint64_t time, const char *text);

/**
 * view_layout() - the lines to show.
 * @rows, @columns: of the screen: no more lines, and none wider
 * @utf8: what the terminal knows; without it every line is ASCII
 * @now: usec of CLOCK_REALTIME
 *
 * What does not fit is left out, the least important first: the state stays longest.
 *
 * Return: struct screen_line, owned by the array. No line has a control character.
 */
GPtrArray *view_layout(const struct view *view, size_t rows, size_t columns, bool utf8, uint64_t now);
