/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reads for the main loop: a connection of its own that cannot write. It sees the last durable
 * state, so every write that was acked and none that is still being committed.
 */

#include <glib.h>
#include <stdint.h>

#include "database.h"

struct reader;

/** reader_new() - open @db's file once more. Return: 0 or a negative errno as in database.h. */
int reader_new(const struct database *db, struct reader **ret);
struct reader *reader_free(struct reader *reader);

/**
 * reader_get() - read one item.
 * @ret_value: to be freed; NULL where there is none
 * @ret_revision: the store's, at the same instant
 */
int reader_get(struct reader *reader, const char *principal, const char *area, const char *key,
	       char **ret_value, uint64_t *ret_revision);

/** reader_last_batch() - the number of the client's last applied batch, 0 for an unknown client. */
int reader_last_batch(struct reader *reader, const char *principal, const char *client,
		      uint64_t *ret_number);
