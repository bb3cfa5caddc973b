/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The terminal as a screen; see screen.h. The few escape sequences in here are ECMA-48's and those
 * of xterm that every terminal since has; a library of terminals would be more than this needs.
 *
 * ISIG stays on: Ctrl-C, Ctrl-Z and Ctrl-\ come as signals, the way they come from kill(1). Lines do
 * not wrap, so that a character wider than we think spoils its own line at most.
 */

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "holdfastctl/screen.h"

#define ALTERNATE_ON  "\033[?1049h"
#define ALTERNATE_OFF "\033[?1049l"
#define CURSOR_HIDE   "\033[?25l"
#define CURSOR_SHOW   "\033[?25h"
#define WRAP_OFF      "\033[?7l"
#define WRAP_ON	      "\033[?7h"
#define CLEAR	      "\033[H\033[2J"
#define CLEAR_REST    "\033[K"
#define STYLE_OFF     "\033[0m"

#define DEFAULT_ROWS	24
#define DEFAULT_COLUMNS 80
#define MAX_SIZE	1000 /* rows or columns; what a terminal may claim to have */

struct screen {
	int in, out;
	bool styled;
	bool entered;
	bool has_keys;		/* @in is a terminal, and .cooked is what it was */
	struct termios cooked;
	size_t rows, columns;
	GPtrArray *shown;	/* char *: the rows as they were written; empty: draw all */
};

struct screen *screen_new(int in, int out, bool styled)
{
	struct screen *screen = g_new0(struct screen, 1);

	screen->in = in;
	screen->out = out;
	screen->styled = styled;
	screen->shown = g_ptr_array_new_with_free_func(g_free);
	screen_resized(screen);
	return screen;
}

struct screen *screen_free(struct screen *screen)
{
	if (!screen)
		return NULL;
	screen_leave(screen);
	g_ptr_array_unref(screen->shown);
	g_free(screen);
	return NULL;
}

/* A terminal that somebody made non-blocking is waited for. */
static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		else if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int write_text(const struct screen *screen, const char *text)
{
	return write_all(screen->out, text, strlen(text));
}

/* ---- taking and giving back ---- */

bool screen_is_foreground(const struct screen *screen)
{
	pid_t group = tcgetpgrp(screen->out);

	/* Not our controlling terminal: no job control there. */
	return group < 0 || group == getpgrp();
}

/* From the background tcsetattr() would stop us, and a stopped process gives nothing back. */
static int set_attributes(const struct screen *screen, const struct termios *attributes)
{
	sigset_t mask, old;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTTOU);
	sigprocmask(SIG_BLOCK, &mask, &old);
	do
		r = tcsetattr(screen->in, TCSADRAIN, attributes) < 0 ? -errno : 0;
	while (r == -EINTR);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int take_keys(struct screen *screen)
{
	struct termios raw;

	screen->has_keys = tcgetattr(screen->in, &screen->cooked) == 0;
	if (!screen->has_keys)
		return 0;
	raw = screen->cooked;
	raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR | ISTRIP);
	raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN);
	raw.c_lflag |= ISIG;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	return set_attributes(screen, &raw);
}

int screen_enter(struct screen *screen)
{
	int r;

	if (screen->entered)
		screen_leave(screen);
	r = take_keys(screen);
	if (r < 0)
		return r;
	screen->entered = true;
	screen_resized(screen);
	return write_text(screen, ALTERNATE_ON CURSOR_HIDE WRAP_OFF CLEAR);
}

/* What fails here fails because the terminal is gone: there is nothing left to restore. */
void screen_leave(struct screen *screen)
{
	if (!screen->entered)
		return;
	screen->entered = false;
	(void)write_text(screen, STYLE_OFF WRAP_ON CURSOR_SHOW ALTERNATE_OFF);
	if (screen->has_keys)
		(void)set_attributes(screen, &screen->cooked);
}

/* ---- size ---- */

void screen_resized(struct screen *screen)
{
	struct winsize size = { 0 };

	if (ioctl(screen->out, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		size = (struct winsize){ .ws_row = DEFAULT_ROWS, .ws_col = DEFAULT_COLUMNS };
	screen->rows = MIN(size.ws_row, MAX_SIZE);
	screen->columns = MIN(size.ws_col, MAX_SIZE);
	g_ptr_array_set_size(screen->shown, 0);
}

size_t screen_rows(const struct screen *screen)
{
	return screen->rows;
}

size_t screen_columns(const struct screen *screen)
{
	return screen->columns;
}

/* ---- drawing ---- */

static const char *style_sequence(enum screen_style style)
{
	switch (style) {
	case SCREEN_PLAIN:
		break;
	case SCREEN_TITLE:
		return "\033[1m";
	case SCREEN_GOOD:
		return "\033[1;32m";
	case SCREEN_WARNING:
		return "\033[1;33m";
	case SCREEN_BAD:
		return "\033[1;31m";
	}
	return "";
}

static char *render(const struct screen *screen, const struct screen_line *line)
{
	const char *style = screen->styled ? style_sequence(line->style) : "";

	return g_strconcat(style, line->text, *style ? STYLE_OFF : "", NULL);
}

/* Rows that were never drawn are as blank as the cleared screen. A row is cleared first: after its
 * text the cursor may stand on its last character. */
static void draw_row(struct screen *screen, GString *out, size_t row, char *text)
{
	if (row < screen->shown->len) {
		if (strcmp(screen->shown->pdata[row], text) == 0) {
			g_free(text);
			return;
		}
		g_free(screen->shown->pdata[row]);
		screen->shown->pdata[row] = text;
	} else {
		g_ptr_array_add(screen->shown, text);
	}
	g_string_append_printf(out, "\033[%zu;1H" CLEAR_REST "%s", row + 1, text);
}

int screen_draw(struct screen *screen, const GPtrArray *lines)
{
	g_autoptr(GString) out = g_string_new(screen->shown->len == 0 ? CLEAR : "");

	if (!screen->entered)
		return 0;
	for (size_t row = 0; row < MIN(lines->len, screen->rows); row++)
		draw_row(screen, out, row, render(screen, lines->pdata[row]));
	for (size_t row = lines->len; row < screen->shown->len; row++)
		draw_row(screen, out, row, g_strdup(""));
	return write_all(screen->out, out->str, out->len);
}
