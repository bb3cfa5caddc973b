/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hears when a file appears or is written, even where its directory does not exist yet. */

struct file_watch;

/**
 * file_watch_new() - watch for @path.
 * @changed: it was made, moved there, or closed after writing
 *
 * Return: 0, or a negative errno.
 */
int file_watch_new(const char *path, void (*changed)(void *data), void *data,
		   struct file_watch **ret_watch);
struct file_watch *file_watch_free(struct file_watch *watch);
