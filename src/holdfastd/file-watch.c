/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One inotify(7) watch, on the deepest directory of the path that exists. Each time the next name
 * on the way appears the watch moves down; when the directory goes, it moves up. GFileMonitor would
 * do all but this: of a directory that is missing it asks every four seconds, for ever.
 */

#include <errno.h>
#include <glib-unix.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "holdfastd/file-watch.h"

#define MASK (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct file_watch {
	char *path;
	char *next; /* the name awaited in the directory watched */
	bool home;  /* … which is the file's own, so that the name is the file's */
	int wd;	    /* of that directory; -1: none could be watched */
	int fd;
	GSource *source;
	void (*changed)(void *data);
	void *data;
};

/* Watch the deepest directory there is. Return: its wd, or -1. */
static int watch_deepest(struct file_watch *watch)
{
	g_autofree char *name = g_strdup(watch->path);
	g_autofree char *dir = g_path_get_dirname(name);
	bool home = true;
	int wd;

	while ((wd = inotify_add_watch(watch->fd, dir, MASK)) < 0) {
		char *up = g_path_get_dirname(dir);

		if (strcmp(up, dir) == 0) {
			g_free(up);
			break;
		}
		g_free(name);
		name = dir;
		dir = up;
		home = false;
	}
	g_free(watch->next);
	watch->next = g_path_get_basename(name);
	watch->home = home;
	return wd;
}

/* Return: whether the watch is now on the file's directory and was not before. */
static bool move_watch(struct file_watch *watch)
{
	int before = watch->wd;
	int wd;

	/* Again until nothing moved: a directory may be made between looking for it and watching
	 * the one above. */
	while ((wd = watch_deepest(watch)) != watch->wd) {
		if (watch->wd >= 0)
			inotify_rm_watch(watch->fd, watch->wd);
		watch->wd = wd;
	}
	return watch->home && wd != before;
}

/* Return: whether the watch must move. */
static bool handle_event(const struct file_watch *watch, const struct inotify_event *event,
			 bool *changed)
{
	if (event->mask & IN_Q_OVERFLOW) {
		*changed = true;
		return true;
	}
	if (event->wd != watch->wd)
		return false; /* of a watch that has moved on */
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
		return true;
	if (event->len == 0 || strcmp(event->name, watch->next) != 0)
		return false;
	if (watch->home)
		*changed = true;
	return !watch->home;
}

static gboolean on_readable(int fd, GIOCondition condition, void *data)
{
	struct file_watch *watch = data;
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *event;
	bool moved = false, changed = false;
	ssize_t n;

	(void)condition;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		for (char *p = buffer; p < buffer + n; p += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)p;
			moved |= handle_event(watch, event, &changed);
		}
	}
	if (moved && move_watch(watch))
		changed |= access(watch->path, F_OK) == 0;
	if (changed)
		watch->changed(watch->data);
	return G_SOURCE_CONTINUE;
}

int file_watch_new(const char *path, void (*changed)(void *data), void *data,
		   struct file_watch **ret_watch)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct file_watch *watch;

	if (fd < 0)
		return -errno;

	watch = g_new0(struct file_watch, 1);
	watch->path = g_strdup(path);
	watch->fd = fd;
	watch->wd = -1;
	watch->changed = changed;
	watch->data = data;
	watch->source = g_unix_fd_source_new(fd, G_IO_IN);
	g_source_set_callback(watch->source, G_SOURCE_FUNC(on_readable), watch, NULL);
	g_source_attach(watch->source, NULL);
	move_watch(watch);
	*ret_watch = watch;
	return 0;
}

struct file_watch *file_watch_free(struct file_watch *watch)
{
	if (!watch)
		return NULL;

	g_source_destroy(watch->source);
	g_source_unref(watch->source);
	close(watch->fd);
	g_free(watch->next);
	g_free(watch->path);
	g_free(watch);
	return NULL;
}
