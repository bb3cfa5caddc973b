/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The status line and what it hears; see status.h. */

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "engine/area.h"
#include "engine/storage.h"
#include "holdfastd/notify.h"
#include "holdfastd/status.h"

struct status {
	struct storage *storage;
	struct notify *notify;
	uint32_t monitor_watch;
	uint32_t storage_watch;
	bool stopping;
};

/* ---- the line ---- */

static void append_parent(GString *line, const struct status_facts *facts)
{
	int word = (int)strcspn(facts->reason, ":");

	switch (facts->state) {
	case MONITOR_CONNECTING:
		g_string_append_printf(line, "connecting to %s", facts->address);
		break;
	case MONITOR_CONNECTED:
		g_string_append_printf(line, "connected to %s", facts->address);
		if (strncmp(facts->reason, "ok", (size_t)word) != 0)
			g_string_append_printf(line, " (%.*s)", word, facts->reason);
		break;
	case MONITOR_DISCONNECTED:
		g_string_append_printf(line, "disconnected (%.*s): %s", word, facts->reason,
				       facts->address);
		break;
	}
}

static void append_queue(GString *line, const struct status_facts *facts)
{
	if (facts->entries == 0)
		g_string_append(line, "; nothing queued");
	else
		g_string_append_printf(line,
				       "; %" G_GUINT64_FORMAT " %s queued, %" G_GUINT64_FORMAT
				       " %s",
				       facts->entries, facts->entries == 1 ? "entry" : "entries",
				       facts->bytes, facts->bytes == 1 ? "byte" : "bytes");
}

char *status_format(const struct status_facts *facts)
{
	GString *line = g_string_new(facts->stopping ? "stopping; " : NULL);

	append_parent(line, facts);
	append_queue(line, facts);
	return g_string_free(line, FALSE);
}

static void count_area(void *data, struct area *area)
{
	struct status_facts *facts = data;

	facts->entries += area_queue_size(area);
	facts->bytes += area_queue_bytes(area);
}

/* Looks at every area: once per telling, not per change. */
static char *make_line(void *data)
{
	struct status *status = data;
	struct monitor *monitor = storage_monitor(status->storage);
	struct status_facts facts = {
		.state = monitor_state(monitor),
		.reason = monitor_reason(monitor),
		.address = storage_parent_address(status->storage),
		.stopping = status->stopping,
	};

	storage_each_area(status->storage, count_area, &facts);
	return status_format(&facts);
}

/* ---- what changes it ---- */

static void on_monitor(void *data, const struct monitor_event *event)
{
	(void)event;
	status_changed(data);
}

static void on_storage(void *data, struct area *area, const struct area_event *event)
{
	(void)area;
	if (event->type == AREA_QUEUE_CHANGED)
		status_changed(data);
}

void status_ready(struct status *status)
{
	notify_ready(status->notify);
}

void status_stopping(struct status *status)
{
	status->stopping = true;
	notify_stopping(status->notify);
}

void status_changed(struct status *status)
{
	notify_changed(status->notify);
}

/* ---- life ---- */

struct status *status_new(struct clock *clock, struct storage *storage)
{
	struct status *status = g_new0(struct status, 1);
	struct notify_params params = {
		.clock = clock,
		.socket = getenv("NOTIFY_SOCKET"),
		.status = make_line,
		.data = status,
	};

	/* Also looks whether $WATCHDOG_PID means us. */
	if (sd_watchdog_enabled(0, &params.watchdog) <= 0)
		params.watchdog = 0;
	status->storage = storage;
	status->notify = notify_new(&params);
	if (!notify_wanted(status->notify))
		return status;
	status->monitor_watch = monitor_add_watch(storage_monitor(storage), on_monitor, status);
	status->storage_watch = storage_add_watch(storage, on_storage, status);
	return status;
}

struct status *status_free(struct status *status)
{
	if (!status)
		return NULL;

	if (status->monitor_watch)
		monitor_remove_watch(storage_monitor(status->storage), status->monitor_watch);
	if (status->storage_watch)
		storage_remove_watch(status->storage, status->storage_watch);
	notify_free(status->notify);
	g_free(status);
	return NULL;
}
