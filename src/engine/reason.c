/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the Monitor's Reason says; see reason.h. */

#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "core/limits.h"
#include "engine/reason.h"

/*
 * The sentence may be the parent's: it is cut to a bound, and made one line of text.
 */
char *reason_make(enum parent_reason reason, const char *why)
{
	g_autofree char *clean = util_make_valid(why, LIMIT_REASON_BYTES);

	for (char *c = clean; *c; c++)
		if (g_ascii_iscntrl(*c))
			*c = ' ';
	return *clean ? g_strdup_printf("%s: %s", parent_reason_to_string(reason), clean)
		      : g_strdup(parent_reason_to_string(reason));
}
