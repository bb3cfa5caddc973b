/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Direct: one request to the parent, no retry, cache, queue or fallback (design §4, the origin's
 * basic adapter). HF_UNAVAILABLE where not connected; HF_TIMEOUT after RequestTimeout, the outcome
 * then being unknown. Callbacks as in area.h.
 */

#include "engine/area.h"

typedef void (*direct_got_t)(void *data, int error, const char *detail, const char *value);

void direct_get(struct area *area, const char *key, direct_got_t done, void *data);

/** direct_write() - @value NULL: remove. Ends with the parent's ack. HF_UNAVAILABLE while the
 * outbox holds @key. */
void direct_write(struct area *area, const char *key, const char *value, area_done_t done,
		  void *data);
