/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the simulated parent keeps; see sim-store.h. */

#include <string.h>

#include "sim-memory.h"
#include "sim-store.h"

static void client_free(void *data)
{
	g_free(((struct store_client *)data)->results);
	g_free(data);
}

struct sim_store *sim_store_new(void)
{
	struct sim_store *store = g_new0(struct sim_store, 1);

	util_random_id(store->epoch);
	store->clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, client_free);
	return store;
}

struct sim_store *sim_store_free(struct sim_store *store)
{
	if (!store)
		return NULL;
	for (unsigned int i = 0; i < SIM_AREAS * SIM_KEYS; i++)
		g_free(store->items[i / SIM_KEYS][i % SIM_KEYS]);
	g_hash_table_unref(store->clients);
	g_free(store);
	return NULL;
}

struct sim_store *sim_store_copy(const struct sim_store *store)
{
	struct sim_store *copy = g_memdup2(store, sizeof(*store));
	GHashTableIter iter;
	void *id, *value;

	for (unsigned int i = 0; i < SIM_AREAS * SIM_KEYS; i++) {
		char **item = &copy->items[i / SIM_KEYS][i % SIM_KEYS];

		*item = g_strdup(*item);
	}
	copy->clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, client_free);
	g_hash_table_iter_init(&iter, store->clients);
	while (g_hash_table_iter_next(&iter, &id, &value)) {
		struct store_client *client = g_memdup2(value, sizeof(*client));

		client->results = g_memdup2(client->results,
					    client->n_results * sizeof(*client->results));
		g_hash_table_insert(copy->clients, g_strdup(id), client);
	}
	return copy;
}

struct store_client *sim_store_client(struct sim_store *store, const char *client)
{
	struct store_client *kept = g_hash_table_lookup(store->clients, client);

	if (!kept) {
		kept = g_new0(struct store_client, 1);
		g_hash_table_insert(store->clients, g_strdup(client), kept);
	}
	return kept;
}

uint64_t sim_store_put(struct sim *sim, struct sim_store *store, unsigned int area,
		       unsigned int key, const char *value)
{
	g_free(store->items[area][key]);
	store->items[area][key] = g_strdup(value);
	store->revision++;
	return truth_put(sim->truth, area, key, truth_id(value), sim->now);
}

static bool begins_with(const struct wire_op *op, const char *mood)
{
	return op->value && g_str_has_prefix(op->value, mood);
}

static enum wire_op_error op_error(const struct wire_op *op)
{
	if (begins_with(op, "bad"))
		return WIRE_OP_REJECTED;
	return begins_with(op, "big") ? WIRE_OP_QUOTA : WIRE_OP_OK;
}

/* Of a group the first error is everyone's. */
static enum wire_op_error unit_error(const struct message *batch, size_t i)
{
	const struct wire_op *ops = batch->batch.ops;
	enum wire_op_error error = op_error(&ops[i]);

	for (size_t j = 0; !error && ops[i].grouped && j < batch->batch.n_ops; j++)
		if (ops[j].grouped && ops[j].group == ops[i].group)
			error = op_error(&ops[j]);
	return error;
}

void sim_store_apply(struct sim *sim, struct sim_store *store, const char *client,
		     const struct message *batch)
{
	struct store_client *kept = sim_store_client(store, client);

	kept->last = batch->batch.number;
	g_strlcpy(kept->id, batch->batch.id, sizeof(kept->id));
	g_free(kept->results);
	kept->n_results = batch->batch.n_ops;
	kept->results = g_new0(struct store_result, kept->n_results);
	for (size_t i = 0; i < kept->n_results; i++) {
		const struct wire_op *op = &batch->batch.ops[i];
		struct store_result *result = &kept->results[i];

		result->error = unit_error(batch, i);
		if (result->error)
			continue;
		result->version = sim_store_put(sim, store, truth_area(op->area),
						truth_key(op->key), op->value);
		result->revision = store->revision;
	}
}

bool sim_store_is_poisoned(const struct message *batch)
{
	for (size_t i = 0; i < batch->batch.n_ops; i++)
		if (begins_with(&batch->batch.ops[i], "poison"))
			return true;
	return false;
}

void sim_store_replace(struct sim *sim, const struct sim_store *from, const struct sim_store *to)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		for (unsigned int k = 0; k < SIM_KEYS; k++)
			if (g_strcmp0(from->items[a][k], to->items[a][k]) != 0)
				truth_put(sim->truth, a, k, truth_id(to->items[a][k]), sim->now);
}

uint64_t sim_store_memory(const struct sim_store *store)
{
	GHashTableIter iter;
	uint64_t bytes = 0;
	void *id, *client;

	if (!store)
		return 0;
	for (unsigned int i = 0; i < SIM_AREAS * SIM_KEYS; i++)
		if (store->items[i / SIM_KEYS][i % SIM_KEYS])
			bytes += memory_of(store->items[i / SIM_KEYS][i % SIM_KEYS]);
	g_hash_table_iter_init(&iter, store->clients);
	while (g_hash_table_iter_next(&iter, &id, &client))
		bytes += memory_of(id) + memory_of(client) +
			 memory_of(((const struct store_client *)client)->results);
	return bytes;
}
