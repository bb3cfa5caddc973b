/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verb `status`: how the line, the queue and the daemon are, at a glance. Returns as every
 * verb. */

#include "holdfastctl/client.h"
#include "holdfastctl/options.h"

int status_run(struct client *client, const struct options *options);
