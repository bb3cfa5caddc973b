/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The store of the test's parent, for engine-parent.c; see engine-parent.h. */

#include "engine-parent.h"

struct fake_client {
	uint64_t last;
	char id[UTIL_ID_SIZE];
	struct fake_result *results;
	size_t n_results;
};

struct fake_store *fake_store_new(void);
const char *fake_store_epoch(const struct fake_store *store);
uint64_t fake_store_revision(const struct fake_store *store);
const char *fake_store_get(const struct fake_store *store, const char *area, const char *key);
/** fake_store_put() - @value NULL: remove. Return: the new revision. */
uint64_t fake_store_put(struct fake_store *store, const char *area, const char *key,
			const char *value);
/** fake_store_client() - what is kept for it; made where there is none. */
struct fake_client *fake_store_client(struct fake_store *store, const char *client);
/** fake_op_error() - what it thinks of one op, its group left aside. */
enum wire_op_error fake_op_error(const struct fake_op *op);
/** fake_store_apply() - what became of each op; also kept for @client. */
const struct fake_result *fake_store_apply(struct fake_store *store, const char *client,
					   const struct fake_batch *batch);

struct fake_batch *fake_batch_copy(const struct parent_batch *batch);
void fake_batch_free(struct fake_batch *batch);
