/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the simulated parent keeps, as design §5 asks: items, revisions, an epoch, and of each client
 * the last batch's number, id and results. It can be copied, to be rewound to.
 *
 * Values say what the parent thinks of them: one that begins with "bad" is rejected, "big" is over
 * a quota, and a batch with a "poison" is refused as a whole, for good.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim.h"
#include "wire/message.h"

struct store_result {
	enum wire_op_error error;
	uint64_t revision;
	uint64_t version;	/* in the truth */
};

struct store_client {
	uint64_t last;
	char id[UTIL_ID_SIZE];
	struct store_result *results;
	size_t n_results;
};

struct sim_store {
	char epoch[UTIL_ID_SIZE];
	uint64_t revision;
	char *items[SIM_AREAS][SIM_KEYS];
	GHashTable *clients;	/* id → struct store_client */
	uint64_t serials[SIM_DAEMONS][SIM_AREAS];	/* the last one applied: for the judge */
};

struct sim_store *sim_store_new(void);
struct sim_store *sim_store_free(struct sim_store *store);
struct sim_store *sim_store_copy(const struct sim_store *store);

/** sim_store_client() - what is kept for it; made where there is none. */
struct store_client *sim_store_client(struct sim_store *store, const char *client);

/** sim_store_put() - @value NULL: remove. Return: the version in the truth. */
uint64_t sim_store_put(struct sim *sim, struct sim_store *store, unsigned int area,
		       unsigned int key, const char *value);

/** sim_store_apply() - a batch of @client; what became of each op is in what is kept for it. */
void sim_store_apply(struct sim *sim, struct sim_store *store, const char *client,
		     const struct message *batch);

/** sim_store_is_poisoned() - whether it is refused for good. */
bool sim_store_is_poisoned(const struct message *batch);

/** sim_store_replace() - @to is the parent's store from now on: the truth is told. */
void sim_store_replace(struct sim *sim, const struct sim_store *from, const struct sim_store *to);

/** sim_store_memory() - bytes of the heap that its items and clients take; of NULL none. */
uint64_t sim_store_memory(const struct sim_store *store);
