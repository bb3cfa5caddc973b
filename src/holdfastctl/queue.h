/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verb `queue`: what waits for the parent, and what it refused. Returns as every verb. */

#include "holdfastctl/client.h"
#include "holdfastctl/options.h"

int queue_run(struct client *client, const struct options *options);
