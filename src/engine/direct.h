/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Direct: one request to the parent, no retry, cache, queue or fallback (design §4, the origin's
 * basic adapter). HF_UNAVAILABLE where not connected; HF_TIMEOUT after RequestTimeout, the outcome
 * then being unknown. Callbacks as in area.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "engine/area.h"
#include "engine/engine.h"
#include "parent/parent.h"

struct direct;

typedef void (*direct_got_t)(void *data, int error, const char *detail, const char *value);

void direct_get(struct area *area, const char *key, direct_got_t done, void *data);

/** direct_write() - @value NULL: remove. Ends with the parent's ack. HF_UNAVAILABLE while the
 * outbox holds @key. */
void direct_write(struct area *area, const char *key, const char *value, area_done_t done,
		  void *data);

/** direct_new() - the requests under way of all areas. */
struct direct *direct_new(struct engine *engine);
/** direct_free() - none may be under way. Return: NULL. */
struct direct *direct_free(struct direct *direct);

/** direct_got(), direct_wrote() - an answer of the parent, as parent_data_ops. Return: whether it
 * was ours. */
bool direct_got(struct direct *direct, uint64_t tag, const struct parent_error *error,
		const char *value, bool unclean, uint64_t revision);
bool direct_wrote(struct direct *direct, uint64_t tag, const struct parent_error *error,
		  uint64_t revision);

/** direct_link_down() - the connection is gone: what was asked has no answer. */
void direct_link_down(struct direct *direct);
