/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The store itself as parent (local:): what an area stages goes to the items by the very
 * transaction that would have queued it, and leaves the outbox as that is settled.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"
#include "engine/engine.h"

struct store_tx;

/** local_growth() - by how many bytes @writes make the items of @area grow; negative: shrink. */
int64_t local_growth(struct engine *engine, int64_t area, const struct outbox_write *writes,
		     size_t n);

/** local_admit() - whether the items of @area have room for @growth more bytes (MaxBytes), @planned
 * being on their way there already. What does not grow is always admitted. */
bool local_admit(struct engine *engine, int64_t area, int64_t growth, int64_t planned);

/** local_plan() - plan all of @outbox into the items. */
void local_plan(struct engine *engine, int64_t area, struct outbox *outbox, struct store_tx *tx);

/** local_settle() - it is there: the outbox is empty. */
void local_settle(struct engine *engine, int64_t area, struct outbox *outbox);
