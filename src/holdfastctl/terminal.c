/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a terminal takes; see terminal.h. */

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "holdfastctl/terminal.h"

bool terminal_can_draw(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && !(term && strcmp(term, "dumb") == 0);
}

bool terminal_has_style(int fd)
{
	const char *no_color = getenv("NO_COLOR");

	return terminal_can_draw(fd) && !(no_color && *no_color);
}

bool terminal_is_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}
