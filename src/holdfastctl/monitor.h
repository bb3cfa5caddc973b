/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The verb `monitor`: how the line and the queue are, live. On a terminal a screen that is kept up
 * to date until `q`; else a line for each event and each change of the numbers. Returns as every
 * verb, and the terminal is as it was.
 */

#include "holdfastctl/client.h"
#include "holdfastctl/options.h"

int monitor_run(struct client *client, const struct options *options);
