/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading the token. The file is small and on this machine; what is not such a file (a pipe, a
 * disk image) must not stop the main loop or fill its memory, hence O_NONBLOCK and the bound.
 *
 * Read anew for each hello: it may have been changed.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "core/limits.h"
#include "parent/credential.h"
#include "parent/token.h"

#define DEFAULT_CREDENTIAL "holdfast.token"

struct token {
	char *file;	    /* NULL: not set */
	struct stat warned; /* of what the last warning was about */
};

struct token *token_new(const char *file)
{
	struct token *token = g_new0(struct token, 1);

	token->file = g_strdup(file);
	return token;
}

struct token *token_free(struct token *token)
{
	if (!token)
		return NULL;

	g_free(token->file);
	g_free(token);
	return NULL;
}

char *token_path(const char *file)
{
	return credential_path(file ? file : DEFAULT_CREDENTIAL);
}

/* Where the service manager keeps credentials their mode shows an access list's mask. */
static bool is_credential(const char *path)
{
	g_autofree char *directory = credential_path(".");

	if (!directory)
		return false;
	directory[strlen(directory) - 1] = '\0'; /* keeps the slash */
	return g_str_has_prefix(path, directory);
}

static void warn_if_exposed(struct token *token, const char *path, int fd)
{
	struct stat *warned = &token->warned;
	struct stat st;

	if (fstat(fd, &st) < 0 || !(st.st_mode & 0077) || is_credential(path))
		return;
	if (st.st_ino == warned->st_ino && st.st_dev == warned->st_dev &&
	    st.st_mode == warned->st_mode && st.st_mtim.tv_sec == warned->st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == warned->st_mtim.tv_nsec)
		return;
	*warned = st;
	log_warning("The token file %s is open to other users (mode %03o): make it readable by the "
		    "daemon's user only, and replace the token", path, st.st_mode & 0777);
}

/* Return: NULL where @text is fine, else why not. */
static char *check_text(const char *path, const char *text, ssize_t n)
{
	if (n < 0)
		return g_strdup_printf("the token file %s cannot be read: %m", path);
	if (n > LIMIT_TOKEN_BYTES || !g_utf8_validate(text, n, NULL))
		return g_strdup_printf("the token file %s is not a text of at most %d bytes",
				       path, LIMIT_TOKEN_BYTES);
	return NULL;
}

static int take_first_line(const char *path, char *text, char **ret_secret, char **ret_why)
{
	text[strcspn(text, "\n")] = '\0';
	if (g_strstrip(text)[0] == '\0') {
		*ret_why = g_strdup_printf("the token file %s is empty", path);
		return -EINVAL;
	}
	*ret_secret = g_strdup(text);
	return 0;
}

static int read_file(struct token *token, const char *path, char **ret_secret, char **ret_why)
{
	char text[LIMIT_TOKEN_BYTES + 2] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, LIMIT_TOKEN_BYTES + 1);
	char *why;

	if (fd < 0 && errno == ENOENT && !token->file) {
		*ret_secret = NULL;
		return 0;
	}
	why = check_text(path, text, n);
	if (!why)
		warn_if_exposed(token, path, fd);
	if (fd >= 0)
		close(fd);
	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	return take_first_line(path, text, ret_secret, ret_why);
}

int token_read(struct token *token, char **ret_secret, char **ret_why)
{
	g_autofree char *path = token_path(token->file);

	if (path)
		return read_file(token, path, ret_secret, ret_why);
	if (token->file) {
		*ret_why = g_strdup_printf("TokenFile=%s is looked up in $CREDENTIALS_DIRECTORY, "
					   "which is not set: name an absolute path, or use "
					   "LoadCredential=", token->file);
		return -EINVAL;
	}
	*ret_secret = NULL;
	return 0;
}
