/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines on standard error, prefixed for the journal where it listens; see log.h. */

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Index = level. "err", not "error": the names journalctl(1) and LogControl1 use. */
static const char *const level_names[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};

static int max_level = LOG_INFO;

void log_set_max_level(int level)
{
	max_level = level;
}

int log_get_max_level(void)
{
	return max_level;
}

int log_level_from_string(const char *name)
{
	if (name[0] >= '0' && name[0] <= '7' && name[1] == '\0')
		return name[0] - '0';

	for (size_t i = 0; i < G_N_ELEMENTS(level_names); i++)
		if (strcmp(name, level_names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

const char *log_level_to_string(int level)
{
	return level_names[level & 7];
}

void log_write(int level, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);

	/* One event is one line, whatever a peer put into a message it sent us. */
	g_strdelimit(text, "\n\r", ' ');

	/* One write(2) per line: stderr is unbuffered and lines of two threads must not mix. */
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>%s\n", level, text);
	else
		fprintf(stderr, "%s: %s\n", level_names[level & 7], text);
}
