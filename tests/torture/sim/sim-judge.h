/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is demanded of each batch that reaches the parent, and what the clients are then told. */

#include "sim-daemon.h"
#include "sim-parent.h"
#include "sim-store.h"

/** judge_batch() - it came in: it is what was handed to the driver, to the byte. Return: NULL where
 * that is of an id long given up. */
const struct daemon_batch *judge_batch(struct sim_daemon *daemon, const char *client,
				       const struct message *batch);

/** judge_apply() - it was applied, for the first time as far as the parent knows. */
void judge_apply(struct sim_daemon *daemon, struct sim_store *store,
		 const struct daemon_batch *batch, const struct store_client *kept);
