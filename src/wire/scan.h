/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A strict look at a line before json-glib may see it: is it one JSON object (RFC 8259) within the
 * bounds of core/limits.h? json-glib alone overflows the stack on deep input, accepts what is not
 * JSON, cuts strings at a NUL and wraps large integers round.
 *
 * What is JSON but would be misread is replaced in a copy by a number that nothing on the wire
 * uses, so that no real text or integer can be mistaken for it: json-glib reads the copy.
 */

#include <stddef.h>
#include <stdint.h>

#define SCAN_UNCLEAN	 0.5 /* stands for a string that is not clean text */
#define SCAN_NOT_INTEGER 1.5 /* stands for a number that is no integer within ±2^53 */

/**
 * scan_line() - check one line.
 * @text, @len: any bytes
 * @ret_copy: what to parse instead of @text (of the same length), to be freed; NULL: @text itself
 * @ret_why: on failure a static phrase that says what is wrong
 *
 * Return: 0, or -EBADMSG.
 */
int scan_line(const char *text, size_t len, char **ret_copy, const char **ret_why);

/**
 * scan_plain() - how many bytes from @text on are ASCII that stands for itself in a JSON string:
 * no control character, quote or backslash.
 */
size_t scan_plain(const char *text, size_t len);

/** scan_unescaped() - the same, with bytes from 0x80 on counted as plain. */
size_t scan_unescaped(const char *text, size_t len);
