/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages of the wire protocol made from the fuzzer's bytes: well-formed, but that one message in
 * four has one of its members spoiled.
 */

#include "input.h"

struct maker {
	struct input *input;
	GString *out;
	unsigned int spoil_at, spoil_how;
};

/** maker_begin() - a message of @type, in a new string. */
void maker_begin(struct maker *maker, struct input *input, const char *type);
/** maker_end() - Return: the line with its newline, to be freed. */
GString *maker_end(struct maker *maker);

/** maker_json() - a member; maker_text() - of text that needs no escape, NULL: null; maker_number()
 * - one in four is another. */
void maker_json(struct maker *maker, const char *name, const char *json);
void maker_text(struct maker *maker, const char *name, const char *text);
void maker_number(struct maker *maker, const char *name, uint64_t right);
