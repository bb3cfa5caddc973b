/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs that wait for the parent: await, flush. They return as every verb. */

#include "holdfastctl/client.h"
#include "holdfastctl/options.h"

int wait_await(struct client *client, const struct options *options);
int wait_flush(struct client *client, const struct options *options);
