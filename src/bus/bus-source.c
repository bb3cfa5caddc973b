/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sd-bus on GLib's loop. The poll record is embedded and changed in place at each turn:
 * g_source_modify_unix_fd() from prepare() would wake the poll it is preparing and spin for ever,
 * and a thread for sd-event would race with GIO's. Both clocks are CLOCK_MONOTONIC in usec, so the
 * connection's deadline needs rounding up only: rounded down, poll would return just before it,
 * again and again.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus-source.h"

/* Messages handled in one turn, so that a flood of calls cannot starve timers and the parent. */
#define BUDGET 32

struct bus_source {
	GSource source;
	GPollFD poll;
	sd_bus *bus;
	uint64_t deadline; /* monotonic usec, as of the last prepare() */
	bus_source_lost_t lost;
	void *data;
};

static gboolean bus_source_prepare(GSource *source, gint *timeout)
{
	struct bus_source *self = (struct bus_source *)source;
	int events = sd_bus_get_events(self->bus);
	int fd = sd_bus_get_fd(self->bus);
	gint64 left;

	*timeout = -1;
	self->poll.revents = 0;
	if (fd < 0 || events < 0 || sd_bus_get_timeout(self->bus, &self->deadline) < 0) {
		/* The connection is gone; let dispatch() find out why. */
		self->poll.events = 0;
		return TRUE;
	}
	if (fd != self->poll.fd) {
		/* Rare: libsystemd went on to the next address. GLib keeps its polls sorted by
		 * descriptor, so one must not change while added. */
		g_source_remove_poll(source, &self->poll);
		self->poll.fd = fd;
		g_source_add_poll(source, &self->poll);
	}
	self->poll.events = (gushort)events;
	if (self->deadline > G_MAXINT64)
		return FALSE;

	left = (gint64)self->deadline - g_get_monotonic_time();
	if (left <= 0)
		return TRUE;
	*timeout = (gint)MIN((left + 999) / 1000, G_MAXINT);
	return FALSE;
}

static gboolean bus_source_check(GSource *source)
{
	struct bus_source *self = (struct bus_source *)source;

	return self->poll.revents != 0 ||
	       (self->deadline <= G_MAXINT64 && (gint64)self->deadline <= g_get_monotonic_time());
}

static gboolean bus_source_dispatch(GSource *source, GSourceFunc func, gpointer data)
{
	struct bus_source *self = (struct bus_source *)source;
	int r = 1;

	(void)func;
	(void)data;
	for (unsigned int i = 0; i < BUDGET && r > 0; i++) {
		r = sd_bus_process(self->bus, NULL);
		/* A handler may have ended the connection, and this source with it. */
		if (g_source_is_destroyed(source))
			return G_SOURCE_REMOVE;
	}
	if (r >= 0)
		return G_SOURCE_CONTINUE;
	self->lost(self->data, r);
	return G_SOURCE_REMOVE;
}

static void bus_source_finalize(GSource *source)
{
	sd_bus_unref(((struct bus_source *)source)->bus);
}

GSource *bus_source_new(sd_bus *bus, bus_source_lost_t lost, void *data)
{
	static GSourceFuncs funcs = {
		.prepare = bus_source_prepare,
		.check = bus_source_check,
		.dispatch = bus_source_dispatch,
		.finalize = bus_source_finalize,
	};
	GSource *source = g_source_new(&funcs, sizeof(struct bus_source));
	struct bus_source *self = (struct bus_source *)source;

	self->bus = sd_bus_ref(bus);
	self->poll.fd = sd_bus_get_fd(bus);
	self->deadline = UINT64_MAX;
	self->lost = lost;
	self->data = data;
	g_source_set_name(source, "bus");
	g_source_add_poll(source, &self->poll);
	return source;
}
