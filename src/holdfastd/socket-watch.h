/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hears when a file appears, even where its directory does not exist yet; see inotify(7). */

struct socket_watch;

/**
 * socket_watch_new() - watch for @path.
 * @appeared: it was made, or moved there
 *
 * Return: 0, or a negative errno.
 */
int socket_watch_new(const char *path, void (*appeared)(void *data), void *data,
		     struct socket_watch **ret_watch);
struct socket_watch *socket_watch_free(struct socket_watch *watch);
