/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How the daemon is, in a line for `systemctl status`, told to the service manager (notify.h) when
 * it changes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "engine/monitor.h"

struct clock;
struct status;
struct storage;

/* What the line is made of. */
struct status_facts {
	enum monitor_state state;
	const char *reason;  /* the Monitor's; of it the word is shown, not the sentence */
	const char *address; /* the parent's */
	uint64_t entries;    /* queued in all areas … */
	uint64_t bytes;	     /* … and their keys + values */
	bool stopping;
};

/** status_format() - "connected to unix:/p; 3 entries queued, 512 bytes". Return: to be released
 * with g_free(). */
char *status_format(const struct status_facts *facts);

/** status_new() - tell whom $NOTIFY_SOCKET and $WATCHDOG_USEC name; status_ready() is to come.
 * What is given is borrowed. */
struct status *status_new(struct clock *clock, struct storage *storage);

/** status_free() - before the storage. NULL is fine. Return: NULL. */
struct status *status_free(struct status *status);

/** status_ready() - we serve. */
void status_ready(struct status *status);

/** status_stopping() - we were asked to stop. */
void status_stopping(struct status *status);

/** status_changed() - the parent's address may be another. */
void status_changed(struct status *status);
