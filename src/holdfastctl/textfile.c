/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Metrics for a collector; see textfile.h.
 *
 * The file is written beside its place under a name that no collector takes (it wants *.prom),
 * synced, and renamed. Signals that would end us wait meanwhile, so that nothing is left behind.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "holdfastctl/textfile.h"

/* ---- the text ---- */

/* The type of the older format that says most of a newer one. */
static const char *older_type(const char *type)
{
	static const char *const types[][2] = {
		{ "stateset", "gauge" },	 { "info", "gauge" },
		{ "gaugehistogram", "untyped" }, { "unknown", "untyped" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
		if (strcmp(types[i][0], type) == 0)
			return types[i][1];
	return type;
}

/* What the samples of a family are called that has more to its name there than in its TYPE line. */
static const char *sample_suffix(const char *type)
{
	if (strcmp(type, "counter") == 0)
		return "_total";
	return strcmp(type, "info") == 0 ? "_info" : "";
}

/* Family → its type, of all TYPE lines: HELP may come first. */
static GHashTable *find_types(char **lines)
{
	GHashTable *types = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

	for (size_t i = 0; lines[i]; i++) {
		g_auto(GStrv) words = g_strsplit(lines[i], " ", 4);

		if (g_strv_length(words) == 4 && g_str_equal(words[0], "#") &&
		    g_str_equal(words[1], "TYPE"))
			g_hash_table_insert(types, g_strdup(words[2]), g_strdup(words[3]));
	}
	return types;
}

/* The older format escapes no quotation mark in its help. */
static char *older_help(const char *help)
{
	GString *text = g_string_new(NULL);

	for (const char *p = help; *p; p++) {
		if (p[0] == '\\' && p[1] == '"')
			continue;
		g_string_append_c(text, *p);
		if (p[0] == '\\' && p[1])
			g_string_append_c(text, *++p);
	}
	return g_string_free(text, FALSE);
}

static void convert_comment(GString *text, GHashTable *types, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", 4);
	g_autofree char *help = NULL;
	const char *type;

	/* UNIT and EOF mean nothing there. */
	if (g_strv_length(words) < 4 ||
	    (!g_str_equal(words[1], "TYPE") && !g_str_equal(words[1], "HELP")))
		return;
	if (g_str_equal(words[1], "TYPE")) {
		g_string_append_printf(text, "# TYPE %s%s %s\n", words[2],
				       sample_suffix(words[3]), older_type(words[3]));
		return;
	}
	type = g_hash_table_lookup(types, words[2]);
	help = older_help(words[3]);
	g_string_append_printf(text, "# HELP %s%s %s\n", words[2],
			       sample_suffix(type ?: "unknown"), help);
}

char *textfile_convert(const char *openmetrics)
{
	g_auto(GStrv) lines = g_strsplit(openmetrics, "\n", -1);
	g_autoptr(GHashTable) types = find_types(lines);
	GString *text = g_string_new(NULL);

	for (size_t i = 0; lines[i]; i++) {
		if (lines[i][0] == '#')
			convert_comment(text, types, lines[i]);
		else if (lines[i][0])
			g_string_append_printf(text, "%s\n", lines[i]);
	}
	return g_string_free(text, FALSE);
}

/* ---- the file ---- */

static int write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int fill(int fd, const char *text)
{
	int r;

	r = write_all(fd, text);
	if (r < 0)
		return r;
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* rename(2) would put a file in the place of a device, a pipe or /dev/stdout. */
static bool is_replaceable(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode); /* EISDIR */
}

static int replace(const char *directory, const char *path, const char *text)
{
	g_autofree char *name = g_path_get_basename(path);
	g_autofree char *hidden = g_strdup_printf(".%s.XXXXXX", name);
	g_autofree char *temporary = g_build_filename(directory, hidden, NULL);
	int fd, r;

	if (!is_replaceable(path))
		return -EEXIST;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fill(fd, text);
	if (close(fd) < 0 && r >= 0)
		r = -errno;
	if (r >= 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_directory(directory);
}

int textfile_write(const char *path, const char *text)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ };
	g_autofree char *directory = g_path_get_dirname(path);
	sigset_t mask, old, too_large;
	int r;

	sigemptyset(&mask);
	sigemptyset(&too_large);
	sigaddset(&too_large, SIGXFSZ);
	for (size_t i = 0; i < G_N_ELEMENTS(ending); i++)
		sigaddset(&mask, ending[i]);
	sigprocmask(SIG_BLOCK, &mask, &old);
	r = replace(directory, path, text);
	/* A file that grew too large: the errno tells it better. */
	if (r == -EFBIG)
		sigtimedwait(&too_large, NULL, &(struct timespec){ 0 });
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}
