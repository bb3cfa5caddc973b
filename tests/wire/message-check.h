/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of messages share. */

#include <glib.h>
#include <string.h>

#include "wire/message.h"

#define HEX	     "0123456789abcdef0123456789abcdef"
#define AUTO_MESSAGE __attribute__((cleanup(message_deinit))) struct message

static inline void parse_ok(const char *line, struct message *ret)
{
	const char *why = NULL;
	int r;

	r = message_parse(line, strlen(line), ret, &why, NULL);
	if (r != 0)
		g_error("%d (%s): %s", r, why, line);
}
