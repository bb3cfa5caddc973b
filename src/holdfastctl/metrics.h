/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verb `metrics`: the daemon's counters for Prometheus, printed or put into a file. Returns as
 * every verb. */

#include "holdfastctl/client.h"
#include "holdfastctl/options.h"

int metrics_run(struct client *client, const struct options *options);
