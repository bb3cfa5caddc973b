/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Entries the parent refused, on their way from the outbox to the rejected ones: planned into the
 * transaction that ends their batch, told when it is settled. Of an area the newest
 * LIMIT_REJECTED_ROWS rows and LIMIT_REJECTED_BYTES are kept; what must go for new ones is told as
 * dropped.
 */

#include "engine/engine.h"

struct outbox_entry;
struct rejects;
struct store_tx;

struct rejects *rejects_new(struct engine *engine);
struct rejects *rejects_free(struct rejects *rejects);

/** rejects_plan() - move @entry of @area there. @error: the wire's word; copied, as @message is. */
void rejects_plan(struct rejects *rejects, struct store_tx *tx, struct area *area,
		  const struct outbox_entry *entry, const char *error, const char *message);

/** rejects_plan_room() - after the last of them: plan what must go. Return: 0, or a negative errno
 * of the store: then room is made another time. */
int rejects_plan_room(struct rejects *rejects, struct store_tx *tx);

/** rejects_tell() - it is settled: tell listeners. */
void rejects_tell(struct rejects *rejects);
