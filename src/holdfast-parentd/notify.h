/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the service manager hears: that we live, as often as it asked for (sd_watchdog_enabled(3)),
 * and how we are, in a line, when that has changed. Without a service manager nothing happens.
 */

#include "base/clock.h"
#include "base/util.h"

#define NOTIFY_STATUS_USEC (1 * USEC_PER_SEC) /* between two lines: clients may come and go fast */

struct notify;

/** notify_new() - begin; READY=1 is the caller's to send. */
struct notify *notify_new(struct clock *clock);
struct notify *notify_free(struct notify *notify);

/** notify_set_connections(), notify_set_error() - what STATUS= tells.
 * @error: a borrowed static sentence; NULL: writing works */
void notify_set_connections(struct notify *notify, unsigned int connections);
void notify_set_error(struct notify *notify, const char *error);
