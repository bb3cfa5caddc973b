/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Figures and foreign text as a person reads them. Everything returned is to be freed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** format_time() - @usec of CLOCK_REALTIME as local time, "2026-11-22 20:37:00"; "never" for 0. */
char *format_time(uint64_t usec);

/** format_span() - a length of time in its two largest units: "215us", "1.5ms", "3min 4s". */
char *format_span(uint64_t usec);

/** format_queue() - how much waits: "1 entry, 12 bytes", "3 entries, 1.5K". */
char *format_queue(unsigned int entries, uint64_t bytes);

/**
 * format_clean() - @text with every character that could steer a terminal as "?": controls, line
 * separators, and what turns the direction of writing. A parent's message is shown on a terminal.
 */
char *format_clean(const char *text);

/** format_ascii() - @text with everything beyond ASCII as "?", for a terminal that knows no more. */
char *format_ascii(const char *text);

/** format_width() - columns that @text takes on a terminal: a key may be written in any script. */
size_t format_width(const char *text);

/**
 * format_cut() - as much of @text as fits into @columns.
 * @mark: its last character, where something was cut off; one column wide
 */
char *format_cut(const char *text, size_t columns, const char *mark);
