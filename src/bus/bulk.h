/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An answer that is a list, built row by row and never larger than LIMIT_BULK_REPLY_BYTES: past
 * that a bus would cut the connection of whoever sends it.
 */

#include <stddef.h>
#include <systemd/sd-bus.h>

struct call;

/* Every field is bulk.c's. */
struct bulk {
	struct call *call;
	sd_bus_message *reply; /* NULL: nobody waits any more */
	size_t bytes;
	int error; /* 0, an enum hf_error or a negative errno; rows are then ignored */
};

/** bulk_start() - @row: the signature of one row. */
void bulk_start(struct bulk *bulk, struct call *call, const char *row);

/**
 * bulk_add() - one more row.
 * @bytes: what its strings hold
 * @types: the row as sd_bus_message_append(3)
 */
void bulk_add(struct bulk *bulk, size_t bytes, const char *types, ...);

/**
 * bulk_end() - send it, or an error.
 * @error: 0, or what gathering the rows came to
 * @too_large: the sentence for a list that is
 */
void bulk_end(struct bulk *bulk, int error, const char *too_large);
