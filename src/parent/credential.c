/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One rule for all files with secrets and trust; see credential.h. */

#include <glib.h>

#include "parent/credential.h"

char *credential_path(const char *name)
{
	const char *directory = g_getenv("CREDENTIALS_DIRECTORY");

	if (name[0] == '/')
		return g_strdup(name);
	if (!directory || directory[0] != '/')
		return NULL;
	return g_build_filename(directory, name, NULL);
}
