/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that the service manager hands over (systemd.exec(5), LoadCredential=). */

/**
 * credential_path() - where the file that the configuration names is.
 * @name: absolute, or relative to $CREDENTIALS_DIRECTORY
 *
 * Return: to be freed; NULL where it is relative and there is no such directory.
 */
char *credential_path(const char *name);
