/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The store itself as parent (local:): what an area stages goes to the items by the very
 * transaction that would have queued it, and leaves the outbox as that is settled.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/outbox.h"
#include "engine/engine.h"

struct store_tx;

/**
 * local_admit() - whether the items of @area have room for @writes (MaxBytes).
 * @growth: bytes the plan adds so far; raised by these
 *
 * Return: HF_OK or HF_QUOTA_EXCEEDED. What does not grow is always admitted.
 */
int local_admit(struct engine *engine, int64_t area, const struct outbox_write *writes, size_t n,
		int64_t *growth);

/** local_plan() - plan all of @outbox into the items. */
void local_plan(struct engine *engine, int64_t area, struct outbox *outbox, struct store_tx *tx);

/** local_settle() - it is there: the outbox is empty. */
void local_settle(struct engine *engine, int64_t area, struct outbox *outbox);
