/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading the token. The file is small and on this machine; what is not such a file (a pipe, a
 * disk image) must not stop the main loop or fill its memory, hence O_NONBLOCK and the bound.
 */

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "core/limits.h"
#include "parent/token.h"

char *token_read(const char *path, char **ret_why)
{
	char text[LIMIT_TOKEN_BYTES + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n < 0) {
		*ret_why = g_strdup_printf("the token file %s cannot be read: %m", path);
	} else if ((size_t)n == sizeof(text) || !g_utf8_validate(text, n, NULL)) {
		*ret_why = g_strdup_printf("the token file %s is not a text of at most %d bytes",
					   path, LIMIT_TOKEN_BYTES);
		n = -1;
	}
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return NULL;

	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (g_strstrip(text)[0] == '\0') {
		*ret_why = g_strdup_printf("the token file %s is empty", path);
		return NULL;
	}
	return g_strdup(g_strstrip(text));
}
