/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See sim-judge.h. */

#include <string.h>

#include "sim-batch.h"
#include "sim-judge.h"

static void judge_op(const struct daemon_op *noted, const struct wire_op *op)
{
	g_assert_cmpstr(truth_area_name(noted->area), ==, op->area);
	g_assert_cmpuint(noted->key, ==, truth_key(op->key));
	g_assert_cmpuint(noted->value_hash, ==, batch_value_hash(op->value));
	g_assert_true(noted->grouped == op->grouped);
	if (op->grouped)
		g_assert_cmpuint(noted->group, ==, op->group);
}

const struct daemon_batch *judge_batch(struct sim_daemon *daemon, const char *client,
				       const struct message *batch)
{
	const struct daemon_batch *noted = daemon_find_batch(daemon, batch->batch.id);

	/* Of an id that was given up long ago bytes may still be on their way. */
	if (!noted && strcmp(client, daemon->client) != 0)
		return NULL;
	g_assert_nonnull(noted);
	g_assert_cmpuint(noted->number, ==, batch->batch.number);
	g_assert_cmpstr(noted->client, ==, client);
	g_assert_cmpuint(noted->n_ops, ==, batch->batch.n_ops);
	for (size_t i = 0; i < noted->n_ops; i++)
		judge_op(&noted->ops[i], &batch->batch.ops[i]);
	return noted;
}

/* Its members are there, in one group, and nobody else is in it. */
static void judge_group(const struct daemon_batch *batch, size_t i, const struct model_write *write)
{
	unsigned int members = 0;

	g_assert_true(batch->ops[i].grouped == (write->group != 0));
	for (size_t j = 0; batch->ops[i].grouped && j < batch->n_ops; j++)
		members += batch->ops[j].grouped && batch->ops[j].group == batch->ops[i].group;
	if (write->group)
		g_assert_cmpuint(members, ==, write->members);
}

/* Each write once, and those of an area in the order of their serials. */
void judge_apply(struct sim_daemon *daemon, struct sim_store *store,
		 const struct daemon_batch *batch, const struct store_client *kept)
{
	/* What was under way under an id that was given up comes a second time, with the new one. */
	bool given_up = strcmp(batch->client, daemon->client) != 0;

	for (size_t i = 0; i < batch->n_ops; i++) {
		const struct daemon_op *op = &batch->ops[i];
		struct model_write *write = model_find(&daemon->model->areas[op->area], op->serial);

		if (write)
			write->version = MAX(write->version, kept->results[i].version);
		if (given_up || batch->life != daemon->life)
			continue;
		g_assert_nonnull(write);
		g_assert_cmpuint(write->key->index, ==, op->key);
		g_assert_cmpuint(batch_value_hash(write->value), ==, op->value_hash);
		judge_group(batch, i, write);
	}
	for (size_t i = 0; !given_up && i < batch->n_ops; i++) {
		const struct daemon_op *op = &batch->ops[i];
		uint64_t *last = &store->serials[daemon->index][op->area];

		g_assert_cmpuint(op->serial, >, *last);
		*last = op->serial;
	}
}
