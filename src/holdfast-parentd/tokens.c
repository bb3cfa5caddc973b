/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading the tokens file. The hash of a secret of full length gives nothing away that could be
 * tried out, so looking it up in a table, in a time that depends on it, is fine.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "tokens.h"

#define PREFIX	   "sha256:"
#define UID_PREFIX "uid:"

struct tokens {
	GHashTable *principals;	/* hash → principal */
};

/* ---- one line ---- */

/* A principal of a local user must be spelled as the kernel's word is, or it would be another. */
static bool uid_valid(const char *number)
{
	g_autofree char *canonical = NULL;
	guint64 uid;

	if (!g_ascii_string_to_unsigned(number, 10, 0, UINT32_MAX - 1, &uid, NULL))
		return false;
	canonical = g_strdup_printf("%" G_GUINT64_FORMAT, uid);
	return strcmp(canonical, number) == 0;
}

/* Return: NULL where it is fine, else what is wrong. */
static const char *principal_check(const char *principal)
{
	size_t len = strlen(principal);

	if (len == 0)
		return "no principal follows the hash";
	if (len > TOKENS_PRINCIPAL_BYTES)
		return "the principal is longer than 255 bytes";
	for (const char *c = principal; *c; c++)
		if (!g_ascii_isgraph(*c))
			return "a principal is printable ASCII without spaces, and ends the line";
	if (g_str_has_prefix(principal, UID_PREFIX) && !uid_valid(principal + strlen(UID_PREFIX)))
		return "\"uid:\" must be followed by the number of a user, without leading zeros";
	return NULL;
}

static const char *hash_check(const char *hash, size_t len)
{
	if (len != TOKENS_HASH_LEN)
		return "the hash must have 64 hex digits";
	for (size_t i = 0; i < len; i++)
		if (!g_ascii_isxdigit(hash[i]))
			return "the hash must have 64 hex digits";
	return NULL;
}

/* Return: NULL where @line was taken, else what is wrong with it. */
static const char *tokens_add(struct tokens *tokens, const char *line)
{
	const char *hash, *principal, *known, *why;
	g_autofree char *lower = NULL;
	size_t len;

	if (line[0] == '\0' || line[0] == '#')
		return NULL;
	if (!g_str_has_prefix(line, PREFIX))
		return "a line must be of the form \"sha256:<64 hex digits> PRINCIPAL\"";
	hash = line + strlen(PREFIX);
	len = strcspn(hash, " \t");
	principal = hash + len + strspn(hash + len, " \t");
	why = hash_check(hash, len);
	if (!why)
		why = principal_check(principal);
	if (why)
		return why;
	lower = g_ascii_strdown(hash, (gssize)len);
	known = g_hash_table_lookup(tokens->principals, lower);
	if (known && strcmp(known, principal) != 0)
		return "the same hash stands above with another principal";
	if (!known)
		g_hash_table_insert(tokens->principals, g_steal_pointer(&lower),
				    g_strdup(principal));
	return NULL;
}

/* ---- the file ---- */

/* O_NONBLOCK: what turns out to be a pipe must not stop the main loop. */
static int text_read(const char *path, GString *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = 0;
	int r = 0;

	if (fd < 0)
		return -errno;
	g_string_set_size(text, TOKENS_BYTES + 1);
	text->len = 0;
	while (text->len <= TOKENS_BYTES &&
	       (n = read(fd, text->str + text->len, TOKENS_BYTES + 1 - text->len)) > 0)
		text->len += (size_t)n;
	if (n < 0)
		r = -errno;
	else if (text->len > TOKENS_BYTES)
		r = -EFBIG;
	close(fd);
	text->str[text->len] = '\0';
	return r;
}

static int tokens_parse(struct tokens *tokens, const char *path, char *text, char **ret_why)
{
	unsigned int number = 0;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		const char *why = tokens_add(tokens, g_strstrip(line));

		number++;
		if (why) {
			*ret_why = g_strdup_printf("%s:%u: %s.", path, number, why);
			return -EBADMSG;
		}
		if (tokens_count(tokens) > TOKENS_ENTRIES) {
			*ret_why = g_strdup_printf("%s:%u: more than %d tokens.", path, number,
						   TOKENS_ENTRIES);
			return -EFBIG;
		}
	}
	return 0;
}

/*
 * A file may be read while it is being written in place. A line cut short must not pass for a whole
 * one: of "uid:1000" it would make another user. Nor must a file that is empty for a moment send
 * everybody away.
 *
 * Return: NULL, or what is wrong.
 */
static const char *text_check(const GString *text, bool may_be_empty)
{
	if (text->len == 0)
		return may_be_empty ? NULL
				    : "it is empty; to withdraw all tokens, leave a comment line";
	if (strlen(text->str) != text->len)
		return "it is not text";
	if (text->str[text->len - 1] != '\n')
		return "its last line has no end: is it written in full?";
	return NULL;
}

/* Return: as tokens_load(). */
static int text_load(const char *path, bool may_be_empty, GString *text, char **ret_why)
{
	int r = text_read(path, text);
	const char *why;

	if (r == -EFBIG)
		why = "it is larger than 1 MiB";
	else if (r < 0)
		why = g_strerror(-r);
	else
		why = text_check(text, may_be_empty);
	if (!why)
		return 0;
	*ret_why = g_strdup_printf("The tokens file %s cannot be used: %s%s", path, why,
				   g_str_has_suffix(why, "?") ? "" : ".");
	return r < 0 ? r : -EBADMSG;
}

int tokens_load(const char *path, bool may_be_empty, struct tokens **ret, char **ret_why)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct tokens *tokens;
	int r = text_load(path, may_be_empty, text, ret_why);

	if (r < 0)
		return r;
	tokens = g_new0(struct tokens, 1);
	tokens->principals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	r = tokens_parse(tokens, path, text->str, ret_why);
	if (r < 0) {
		tokens_free(tokens);
		return r;
	}
	*ret = tokens;
	return 0;
}

struct tokens *tokens_free(struct tokens *tokens)
{
	if (tokens) {
		g_hash_table_unref(tokens->principals);
		g_free(tokens);
	}
	return NULL;
}

unsigned int tokens_count(const struct tokens *tokens)
{
	return g_hash_table_size(tokens->principals);
}

void tokens_hash(const char *token, char ret_hash[static TOKENS_HASH_SIZE])
{
	g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, token, -1);

	g_strlcpy(ret_hash, hash, TOKENS_HASH_SIZE);
}

const char *tokens_principal(const struct tokens *tokens, const char *hash)
{
	return g_hash_table_lookup(tokens->principals, hash);
}
