/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events on their way to the journal or to standard error; see log.h.
 *
 * While journald hangs, standard error hangs too, being a stream to it: so what journald does not
 * take is counted and left out, and the next entry that it takes is preceded by the count. Standard
 * error is for when there is no journald at all.
 */

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/log.h"

#define MESSAGE_BYTES 4096 /* of one line: the longest we make are a path and a few sentences */
#define FIELD_BYTES   4096 /* of one field: PATH_MAX */

/* Index = level. "err", not "error": the names journalctl(1) and LogControl1 use. */
static const char *const level_names[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};

static const char *const target_names[_LOG_TARGET_MAX] = {
	[LOG_TARGET_AUTO] = "auto",
	[LOG_TARGET_CONSOLE] = "console",
	[LOG_TARGET_JOURNAL] = "journal",
	[LOG_TARGET_NULL] = "null",
};

/* Read by every thread, changed by the main one. */
static gint max_level = LOG_INFO;
static gint target = LOG_TARGET_AUTO;
static guint refused; /* entries that journald did not take since one it took */

void log_set_max_level(int level)
{
	g_atomic_int_set(&max_level, level);
}

int log_get_max_level(void)
{
	return g_atomic_int_get(&max_level);
}

static int find_name(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

int log_level_from_string(const char *name)
{
	if (name[0] >= '0' && name[0] <= '7' && name[1] == '\0')
		return name[0] - '0';
	return find_name(level_names, G_N_ELEMENTS(level_names), name);
}

const char *log_level_to_string(int level)
{
	return level_names[level & 7];
}

void log_set_target(enum log_target new_target)
{
	g_atomic_int_set(&target, (gint)new_target);
}

enum log_target log_get_target(void)
{
	return (enum log_target)g_atomic_int_get(&target);
}

int log_target_from_string(const char *name)
{
	return find_name(target_names, G_N_ELEMENTS(target_names), name);
}

const char *log_target_to_string(enum log_target value)
{
	return target_names[value];
}

const char *log_identifier(void)
{
	return program_invocation_short_name;
}

/* ---- where to ---- */

static void *make_journal(void *data)
{
	(void)data;
	return journal_new(JOURNAL_SOCKET);
}

/* Lives as long as the process: any thread may log until its end. */
static struct journal *get_journal(void)
{
	static GOnce once = G_ONCE_INIT;

	return g_once(&once, make_journal, NULL);
}

static void *find_stream(void *data)
{
	(void)data;
	return GINT_TO_POINTER(journal_has_stream(getenv("JOURNAL_STREAM"), STDERR_FILENO));
}

static bool stderr_is_journal(void)
{
	static GOnce once = G_ONCE_INIT;

	return GPOINTER_TO_INT(g_once(&once, find_stream, NULL));
}

/* One write(2) per line: stderr is unbuffered and lines of two threads must not mix. */
static void write_console(int level, const char *text)
{
	if (stderr_is_journal())
		fprintf(stderr, "<%d>%s\n", level & 7, text); /* sd-daemon(3) */
	else
		fprintf(stderr, "%s: %s\n", log_level_to_string(level), text);
}

static GString *make_entry(int level, const char *id, const struct log_field *fields,
			   const char *text)
{
	GString *entry = g_string_new(NULL);
	char number[24];

	g_string_append_printf(entry, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\n", level & 7,
			       log_identifier());
	if (id)
		g_string_append_printf(entry, "MESSAGE_ID=%s\n", id);
	for (; fields && fields->name; fields++) {
		snprintf(number, sizeof(number), "%" PRIu64, fields->number);
		journal_append(entry, fields->name, fields->text ? fields->text : number,
			       FIELD_BYTES);
	}
	journal_append(entry, "MESSAGE", text, MESSAGE_BYTES);
	return entry;
}

static int send_entry(int level, const char *id, const struct log_field *fields, const char *text)
{
	GString *entry = make_entry(level, id, fields, text);
	int r = journal_send(get_journal(), entry);

	g_string_free(entry, TRUE);
	return r;
}

/* Return: as journal_send(). */
static int send_refused(void)
{
	char text[128];
	guint n = g_atomic_int_and(&refused, 0);
	int r;

	if (n == 0)
		return 0;
	snprintf(text, sizeof(text), "%u entries of the log are missing here: the journal did not "
		 "take them", n);
	r = send_entry(LOG_WARNING, NULL, NULL, text);
	if (r < 0)
		g_atomic_int_add(&refused, (gint)n);
	return r;
}

static void write_journal(int level, const char *id, const struct log_field *fields,
			  const char *text)
{
	int r = send_refused();

	if (r == 0)
		r = send_entry(level, id, fields, text);
	if (r == -EAGAIN)
		g_atomic_int_inc(&refused);
	else if (r < 0)
		write_console(level, text);
}

void log_write(int level, const char *id, const struct log_field *fields, const char *format, ...)
{
	g_autofree char *text = NULL, *line = NULL;
	int saved = errno;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	/* One event is one line, whatever a peer put into a message it sent us. */
	line = journal_clean(text, MESSAGE_BYTES);

	switch (log_get_target()) {
	case LOG_TARGET_AUTO:
		if (stderr_is_journal())
			write_journal(level, id, fields, line);
		else
			write_console(level, line);
		break;
	case LOG_TARGET_JOURNAL:
		write_journal(level, id, fields, line);
		break;
	case LOG_TARGET_CONSOLE:
		write_console(level, line);
		break;
	case LOG_TARGET_NULL:
	case _LOG_TARGET_MAX:
		break;
	}
	errno = saved;
}
