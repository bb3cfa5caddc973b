/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The real source of time: clock_gettime(2), and one GSource whose ready time is the alarm. GLib's
 * ready times are on CLOCK_MONOTONIC in usec, as ours are.
 */

#include <time.h>

#include "base/clock.h"
#include "base/util.h"

struct alarm_source {
	GSource source;
	struct clock *clock;
};

static uint64_t glib_now(void *data, int clock_id)
{
	struct timespec ts;

	(void)data;
	clock_gettime(clock_id, &ts); /* cannot fail for a clock Linux has */
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

static void glib_set_alarm(void *data, uint64_t deadline)
{
	g_source_set_ready_time(data, deadline > G_MAXINT64 ? -1 : (gint64)deadline);
}

static void glib_free(void *data)
{
	g_source_destroy(data);
	g_source_unref(data);
}

static gboolean alarm_dispatch(GSource *source, GSourceFunc func, gpointer data)
{
	struct alarm_source *alarm = (struct alarm_source *)source;

	(void)func;
	(void)data;
	clock_dispatch(alarm->clock);
	return G_SOURCE_CONTINUE;
}

struct clock *clock_new_glib(GMainContext *context)
{
	static const struct clock_ops ops = {
		.now = glib_now,
		.set_alarm = glib_set_alarm,
		.free = glib_free,
	};
	static GSourceFuncs funcs = { .dispatch = alarm_dispatch };
	GSource *source = g_source_new(&funcs, sizeof(struct alarm_source));
	struct clock *clock = clock_new(&ops, source);

	((struct alarm_source *)source)->clock = clock;
	g_source_set_name(source, "clock");
	g_source_set_ready_time(source, -1);
	g_source_attach(source, context);
	return clock;
}
