/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See notify.h. The watchdog is fed by a timer of the main loop: if that hangs, so do we. */

#include <systemd/sd-daemon.h>

#include "notify.h"

struct notify {
	struct timer watchdog;
	uint64_t interval;	/* usec; 0: nobody watches */
	struct timer status;
	bool told;		/* there is somebody to tell */
	unsigned int connections;
	const char *error;
};

static void notify_on_watchdog(void *data)
{
	struct notify *notify = data;

	sd_notify(0, "WATCHDOG=1");
	timer_arm_in(&notify->watchdog, notify->interval);
}

static void notify_on_status(void *data)
{
	struct notify *notify = data;

	if (notify->error)
		sd_notifyf(0, "STATUS=Connections: %u. The last commit failed: %s",
			   notify->connections, notify->error);
	else
		sd_notifyf(0, "STATUS=Connections: %u.", notify->connections);
}

static void notify_changed(struct notify *notify)
{
	if (notify->told && !timer_is_armed(&notify->status))
		timer_arm_in(&notify->status, NOTIFY_STATUS_USEC);
}

struct notify *notify_new(struct clock *clock)
{
	struct notify *notify = g_new0(struct notify, 1);
	uint64_t limit;

	timer_init(&notify->watchdog, clock, notify_on_watchdog, notify);
	timer_init(&notify->status, clock, notify_on_status, notify);
	if (sd_watchdog_enabled(0, &limit) > 0) {
		notify->interval = limit / 2;
		timer_arm_in(&notify->watchdog, 0);
	}
	notify->told = g_getenv("NOTIFY_SOCKET");
	if (notify->told)
		timer_arm_in(&notify->status, 0);
	return notify;
}

struct notify *notify_free(struct notify *notify)
{
	if (!notify)
		return NULL;

	timer_deinit(&notify->watchdog);
	timer_deinit(&notify->status);
	g_free(notify);
	return NULL;
}

void notify_set_connections(struct notify *notify, unsigned int connections)
{
	if (notify->connections == connections)
		return;
	notify->connections = connections;
	notify_changed(notify);
}

void notify_set_error(struct notify *notify, const char *error)
{
	notify->error = error;
	notify_changed(notify);
}
