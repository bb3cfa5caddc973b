/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A reason as users see it: a word, and ": " and a sentence where there is one. */

#include "parent/parent.h"

/** reason_make() - @why may be empty, or a peer's. Return: to be released with g_free(). */
char *reason_make(enum parent_reason reason, const char *why);
