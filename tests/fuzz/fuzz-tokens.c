/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as the tokens file of holdfast-parentd: it is taken whole or not at all, no more tokens
 * than lines, each of a principal that is a word; a complaint holds no hash.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "holdfast-parentd/tokens.h"
#include "setup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of its own in memory, for as long as the program runs. */
static const char *fill_file(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("tokens", MFD_CLOEXEC);
		g_assert_cmpint(fd, >=, 0);
		g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	g_assert_cmpint(ftruncate(fd, 0), ==, 0);
	g_assert_cmpint(pwrite(fd, data, size, 0), ==, (gssize)size);
	return path;
}

static unsigned int count_lines(const uint8_t *data, size_t size)
{
	unsigned int lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	return lines;
}

/* Whatever stands behind "sha256:" at a line's begin must be found, and be a word. */
static void check_line(const struct tokens *tokens, const char *line)
{
	g_autofree char *hash = NULL;
	const char *principal;

	if (strlen(line) <= 7 + TOKENS_HASH_LEN)
		return;
	hash = g_ascii_strdown(line + 7, TOKENS_HASH_LEN);
	principal = tokens_principal(tokens, hash);
	g_assert_nonnull(principal);
	g_assert_cmpuint(strlen(principal), >=, 1);
	g_assert_cmpuint(strlen(principal), <=, TOKENS_PRINCIPAL_BYTES);
	for (const char *c = principal; *c; c++)
		g_assert_true(g_ascii_isgraph(*c));
}

static void check_tokens(const struct tokens *tokens, const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	g_assert_cmpuint(strlen(text), ==, size);
	g_assert_cmpuint(tokens_count(tokens), <=, count_lines(data, size));
	for (char **line = lines; *line; line++)
		if (g_str_has_prefix(*line, "sha256:"))
			check_line(tokens, *line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = fill_file(data, size);
	struct tokens *tokens = NULL;
	g_autofree char *why = NULL;
	int r;

	fuzz_setup();
	r = tokens_load(path, size % 2, &tokens, &why);
	g_assert_true((r == 0) == !!tokens && (r < 0) == !!why);
	if (r < 0) {
		g_assert_true(r == -EBADMSG || r == -EFBIG);
		g_assert_true(g_utf8_validate(why, -1, NULL));
		g_assert_cmpuint(strlen(why), <, 300);
		return 0;
	}
	check_tokens(tokens, data, size);
	tokens_free(tokens);
	return 0;
}
