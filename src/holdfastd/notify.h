/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the service manager is told over $NOTIFY_SOCKET: READY=1, STOPPING=1, STATUS= and the
 * watchdog's WATCHDOG=1. sd_notify(3) sends on a blocking socket, so that a manager that hangs
 * would hang us too; this never waits. What the manager does not take is told again a second later.
 *
 * STATUS= is told when it changed and at most once a second, and what is told last is true. An idle
 * daemon is woken by the watchdog alone.
 *
 * The watchdog asks whether the main loop turns, nothing else. A store thread that hangs on a dead
 * disk is no reason to be killed: reads and the monitor are still served, the calls that wait for
 * the disk would be lost with us, and the next daemon would hang on the same disk. RELOADING=1 is
 * not used: who reloads calls Manager.Reload, which answers when it is done.
 */

#include <stdbool.h>
#include <stdint.h>

struct clock;
struct notify;

struct notify_params {
	struct clock *clock;
	const char *socket; /* $NOTIFY_SOCKET; NULL or "": nobody listens and nothing is done */
	uint64_t watchdog;  /* usec within which the manager wants WATCHDOG=1; 0: it does not */
	/** status - what STATUS= is to say; to be released with g_free() */
	char *(*status)(void *data);
	void *data;
};

/** notify_new() - the watchdog begins at once. @params: strings are copied */
struct notify *notify_new(const struct notify_params *params);

/** notify_free() - one last try for what was not taken. NULL is fine. Return: NULL. */
struct notify *notify_free(struct notify *notify);

/** notify_wanted() - whether anybody listens. */
bool notify_wanted(const struct notify *notify);

/** notify_ready() - we serve: READY=1, with the status. */
void notify_ready(struct notify *notify);

/** notify_stopping() - we were asked to stop: STOPPING=1, with the status. */
void notify_stopping(struct notify *notify);

/** notify_changed() - the status may be another. */
void notify_changed(struct notify *notify);
