/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What must come of a line that the parent says, by what was asked of it. */

#include "parent-end.h"

/* An answer to a get, as it was said. */
struct said_answer {
	bool error, unclean;
	char *value;
	uint64_t revision;
};

void said_answer_free(struct said_answer *answer);

/** parent_expect() - a whole line is said, here without its newline; what it answers is asked no
 * more. */
enum expect parent_expect(struct parent_end *end, const char *line, size_t len);

/** parent_expect_asked() - the unanswered request of this id; NULL: none. */
struct asked *parent_expect_asked(struct parent_end *end, const char *id);
