/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A file monitor, and a timer that its first event arms and the next ones leave alone: a file that
 * never comes to rest is read all the same.
 */

#include <gio/gio.h>

#include "file-watch.h"

struct file_watch {
	GFileMonitor *monitor;
	struct timer timer;
	void (*changed)(void *data);
	void *data;
};

static void on_event(GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event,
		     gpointer data)
{
	struct file_watch *watch = data;

	(void)monitor;
	(void)file;
	(void)other;
	(void)event;
	if (!timer_is_armed(&watch->timer))
		timer_arm_in(&watch->timer, FILE_WATCH_USEC);
}

static void on_timer(void *data)
{
	struct file_watch *watch = data;

	watch->changed(watch->data);
}

struct file_watch *file_watch_new(const char *path, struct clock *clock,
				  void (*changed)(void *data), void *data)
{
	g_autoptr(GFile) file = g_file_new_for_path(path);
	GFileMonitor *monitor = g_file_monitor_file(file, G_FILE_MONITOR_NONE, NULL, NULL);
	struct file_watch *watch;

	if (!monitor)
		return NULL;
	watch = g_new0(struct file_watch, 1);
	watch->monitor = monitor;
	watch->changed = changed;
	watch->data = data;
	timer_init(&watch->timer, clock, on_timer, watch);
	g_signal_connect(monitor, "changed", G_CALLBACK(on_event), watch);
	return watch;
}

struct file_watch *file_watch_free(struct file_watch *watch)
{
	if (!watch)
		return NULL;

	g_signal_handlers_disconnect_by_data(watch->monitor, watch);
	g_file_monitor_cancel(watch->monitor);
	g_object_unref(watch->monitor);
	timer_deinit(&watch->timer);
	g_free(watch);
	return NULL;
}
