/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A strict look at a line before json-glib may see it: is it one JSON object (RFC 8259) within the
 * bounds of core/limits.h? json-glib alone overflows the stack on deep input, accepts what is not
 * JSON, cuts strings at a NUL and wraps large integers round.
 *
 * What is JSON but would be misread is replaced in a copy by a number that nothing on the wire
 * uses, so that no real text or integer can be mistaken for it: json-glib reads the copy. So is the
 * object or array, member of the line's own object, with which the line comes to hold too many
 * values for LIMIT_JSON_VALUES: as a member we do not know it is ignored, and costs nothing.
 */

#include <stddef.h>
#include <stdint.h>

#define SCAN_UNCLEAN	 0.5 /* stands for a string that is not clean text */
#define SCAN_NOT_INTEGER 1.5 /* for a number that is no integer within ±2^53, or for too much */

/**
 * scan_line() - check one line.
 * @text, @len: any bytes
 * @ret_copy: what to parse instead of @text (of the same length), to be freed; NULL: @text itself
 * @ret_values: how many values are left to read, at most LIMIT_JSON_VALUES
 * @ret_why: on failure a static phrase that says what is wrong
 *
 * Return: 0; 1 where so many members are left out of the copy that it is no message any more; or
 * -EBADMSG.
 */
int scan_line(const char *text, size_t len, char **ret_copy, size_t *ret_values,
	      const char **ret_why);

/**
 * scan_unescaped() - how many bytes from @text on stand for themselves in a JSON string: no control
 * character, quote or backslash. What is not ASCII is not looked at.
 */
size_t scan_unescaped(const char *text, size_t len);
