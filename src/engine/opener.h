/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Areas in the making: OpenArea answers once the area is on disk, so that an object path a client
 * got outlives the daemon.
 */

#include <stdint.h>

#include "engine/engine.h"

struct opener;

/** opener_done_t - @area: only with @error 0 */
typedef void (*opener_done_t)(void *data, int error, const char *detail, struct area *area);

struct opener_ops {
	/** find - the area of that name, or NULL */
	struct area *(*find)(void *data, const char *name);
	/** count - how many areas there are */
	unsigned int (*count)(void *data);
	/** add - @id is on disk under that name: make it known */
	struct area *(*add)(void *data, int64_t id, const char *name);
};

/** opener_new() - @next_id: past the id of every area there is. */
struct opener *opener_new(struct engine *engine, int64_t next_id, const struct opener_ops *ops,
			  void *data);
struct opener *opener_free(struct opener *opener);

/** opener_open() - find or make the area of a valid name. HF_QUOTA_EXCEEDED over AreasPerUser, or
 * a negative errno of the disk. */
void opener_open(struct opener *opener, const char *name, opener_done_t done, void *data);
