/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the test's parent holds; see engine-parent.h. */

#include <string.h>

#include "engine-parent-store.h"

struct fake_store {
	char epoch[UTIL_ID_SIZE];
	uint64_t revision;
	GHashTable *items;	/* "area\nkey" → value */
	GHashTable *clients;	/* id → struct fake_client */
};

static void client_free(void *data)
{
	g_free(((struct fake_client *)data)->results);
	g_free(data);
}

struct fake_store *fake_store_new(void)
{
	struct fake_store *store = g_new0(struct fake_store, 1);

	util_random_id(store->epoch);
	store->items = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	store->clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, client_free);
	return store;
}

struct fake_store *fake_store_free(struct fake_store *store)
{
	if (!store)
		return NULL;

	g_hash_table_unref(store->items);
	g_hash_table_unref(store->clients);
	g_free(store);
	return NULL;
}

struct fake_store *fake_store_copy(const struct fake_store *store)
{
	struct fake_store *copy = fake_store_new();
	GHashTableIter iter;
	void *key, *value;

	g_strlcpy(copy->epoch, store->epoch, sizeof(copy->epoch));
	copy->revision = store->revision;
	g_hash_table_iter_init(&iter, store->items);
	while (g_hash_table_iter_next(&iter, &key, &value))
		g_hash_table_insert(copy->items, g_strdup(key), g_strdup(value));
	g_hash_table_iter_init(&iter, store->clients);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		struct fake_client *client = g_memdup2(value, sizeof(*client));

		client->results = g_memdup2(client->results,
					    client->n_results * sizeof(*client->results));
		g_hash_table_insert(copy->clients, g_strdup(key), client);
	}
	return copy;
}

const char *fake_store_epoch(const struct fake_store *store)
{
	return store->epoch;
}

uint64_t fake_store_revision(const struct fake_store *store)
{
	return store->revision;
}

static char *item_name(const char *area, const char *key)
{
	return g_strdup_printf("%s\n%s", area, key);
}

const char *fake_store_get(const struct fake_store *store, const char *area, const char *key)
{
	g_autofree char *name = item_name(area, key);

	return g_hash_table_lookup(store->items, name);
}

uint64_t fake_store_put(struct fake_store *store, const char *area, const char *key,
			const char *value)
{
	g_autofree char *name = item_name(area, key);

	if (value)
		g_hash_table_replace(store->items, g_steal_pointer(&name), g_strdup(value));
	else
		g_hash_table_remove(store->items, name);
	return ++store->revision;
}

struct fake_client *fake_store_client(struct fake_store *store, const char *client)
{
	struct fake_client *kept = g_hash_table_lookup(store->clients, client);

	if (!kept) {
		kept = g_new0(struct fake_client, 1);
		g_hash_table_insert(store->clients, g_strdup(client), kept);
	}
	return kept;
}

enum wire_op_error fake_op_error(const struct fake_op *op)
{
	if (op->value && g_str_has_prefix(op->value, "bad"))
		return WIRE_OP_REJECTED;
	if (op->value && g_str_has_prefix(op->value, "big"))
		return WIRE_OP_QUOTA;
	return WIRE_OP_OK;
}

/* Of a group the first error is everyone's. */
static enum wire_op_error unit_error(const struct fake_batch *batch, size_t i)
{
	enum wire_op_error error = fake_op_error(&batch->ops[i]);

	for (size_t j = 0; !error && batch->ops[i].group && j < batch->n_ops; j++)
		if (batch->ops[j].group == batch->ops[i].group)
			error = fake_op_error(&batch->ops[j]);
	return error;
}

const struct fake_result *fake_store_apply(struct fake_store *store, const char *client,
					   const struct fake_batch *batch)
{
	struct fake_client *kept = fake_store_client(store, client);

	kept->last = batch->number;
	g_strlcpy(kept->id, batch->id, sizeof(kept->id));
	g_free(kept->results);
	kept->n_results = batch->n_ops;
	kept->results = g_new0(struct fake_result, batch->n_ops);
	for (size_t i = 0; i < batch->n_ops; i++) {
		const struct fake_op *op = &batch->ops[i];

		kept->results[i].error = unit_error(batch, i);
		if (!kept->results[i].error)
			kept->results[i].revision =
				fake_store_put(store, op->area, op->key, op->value);
	}
	return kept->results;
}

/* ---- batches ---- */

void fake_batch_free(struct fake_batch *batch)
{
	for (size_t i = 0; batch && i < batch->n_ops; i++) {
		g_free(batch->ops[i].area);
		g_free(batch->ops[i].key);
		g_free(batch->ops[i].value);
	}
	if (batch)
		g_free(batch->ops);
	g_free(batch);
}

struct fake_batch *fake_batch_copy(const struct parent_batch *batch)
{
	struct fake_batch *copy = g_new0(struct fake_batch, 1);

	copy->number = batch->number;
	g_strlcpy(copy->id, batch->id, sizeof(copy->id));
	copy->n_ops = batch->n_ops;
	copy->ops = g_new0(struct fake_op, batch->n_ops);
	for (size_t i = 0; i < batch->n_ops; i++) {
		copy->ops[i].area = g_strdup(batch->ops[i].area);
		copy->ops[i].key = g_strdup(batch->ops[i].key);
		copy->ops[i].value = g_strdup(batch->ops[i].value);
		copy->ops[i].group = batch->ops[i].group;
	}
	return copy;
}

/* ---- for tests ---- */

void fake_store_restore(struct fake_world *world, struct fake_store *store)
{
	fake_store_free(world->store);
	world->store = store;
}

void fake_wipe(struct fake_world *world)
{
	fake_store_restore(world, fake_store_new());
}

const char *fake_get(const struct fake_world *world, const char *area, const char *key)
{
	return fake_store_get(world->store, area, key);
}

void fake_put(struct fake_world *world, const char *area, const char *key, const char *value)
{
	fake_store_put(world->store, area, key, value);
}

unsigned int fake_count(const struct fake_world *world)
{
	return g_hash_table_size(world->store->items);
}

uint64_t fake_revision(const struct fake_world *world)
{
	return world->store->revision;
}

uint64_t fake_last_batch(const struct fake_world *world, const char *client)
{
	return fake_store_client(world->store, client)->last;
}

void fake_set_last_batch(struct fake_world *world, const char *client, uint64_t number)
{
	struct fake_client *kept = fake_store_client(world->store, client);

	kept->last = number;
	util_random_id(kept->id);
}
