/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The terminal as a screen of lines: raw keys, the alternate screen, and the way back.
 *
 * Between screen_enter() and screen_leave() the terminal is not as its user left it; whoever enters
 * leaves, on every way out. Both may be called again and again.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

enum screen_style {
	SCREEN_PLAIN,
	SCREEN_TITLE,
	SCREEN_GOOD,
	SCREEN_WARNING,
	SCREEN_BAD,
};

struct screen_line {
	char *text;	/* clean, and no wider than the screen */
	enum screen_style style;
};

struct screen;

/**
 * screen_new() - a screen that is not entered yet.
 * @in: keys are read here, if it is a terminal
 * @out: a terminal
 * @styled: whether styles are shown
 */
struct screen *screen_new(int in, int out, bool styled);

/** screen_free() - leaves it, too. Return: NULL. */
struct screen *screen_free(struct screen *screen);

/** screen_enter() - take the terminal; what was on it is back after screen_leave(). The next
 * screen_draw() draws everything. Return: 0 or a negative errno. */
int screen_enter(struct screen *screen);
void screen_leave(struct screen *screen);

/** screen_is_foreground() - whether the terminal is ours to take: no other job has it. */
bool screen_is_foreground(const struct screen *screen);

/** screen_resized() - ask the terminal for its size again; the next draw draws everything. */
void screen_resized(struct screen *screen);

/** screen_rows(), screen_columns() - its size; 24 x 80 where the terminal does not know. */
size_t screen_rows(const struct screen *screen);
size_t screen_columns(const struct screen *screen);

/**
 * screen_draw() - show these lines (struct screen_line) from the top, and nothing below them. Only
 * lines that are not shown yet are written, and all at once, so that nothing flickers. Before
 * screen_enter() it does nothing.
 *
 * Return: 0, or a negative errno where the terminal is gone.
 */
int screen_draw(struct screen *screen, const GPtrArray *lines);
