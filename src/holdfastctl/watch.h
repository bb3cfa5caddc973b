/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verb `watch`: changes and the state of the line, as they come, until it is told to stop.
 * Returns as every verb. */

#include "holdfastctl/client.h"
#include "holdfastctl/options.h"

int watch_run(struct client *client, const struct options *options);
