/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a daemon hands to its driver; see sim-batch.h. */

#include <string.h>

#include "engine/area-inner.h"
#include "engine/engine.h"
#include "sim-batch.h"
#include "sim-memory.h"
#include "sim-parent.h"

/* There is one world at a time. */
static struct sim_daemon *daemons[SIM_DAEMONS];
static const struct parent_ops *real_ops;
static const struct parent_data_ops *real_data;

uint32_t batch_value_hash(const char *value)
{
	return value ? g_str_hash(value) | 1 : 0;
}

static struct sim_daemon *daemon_of(const struct parent *parent)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		if (daemons[i] && daemons[i]->storage &&
		    storage_engine(daemons[i]->storage)->parent == parent)
			return daemons[i];
	g_error("a driver of nobody");
}

/* Of each area the batch is what is in flight, in order: that gives the serials. */
static void name_ops(struct sim_daemon *daemon, struct daemon_batch *noted)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		const struct outbox_entry *entry = outbox_first(area_outbox(daemon->areas[a]));

		for (size_t i = 0; i < noted->n_ops; i++) {
			struct daemon_op *op = &noted->ops[i];

			if (op->area != a)
				continue;
			g_assert_nonnull(entry);
			if (entry->state != OUTBOX_IN_FLIGHT)
				g_error("area %u: the write %" G_GUINT64_FORMAT
					" waits, and a later one overtakes it", a, entry->serial);
			g_assert_cmpuint(truth_key(outbox_entry_key(entry)), ==, op->key);
			op->serial = entry->serial;
			entry = outbox_next(entry);
		}
		g_assert_true(!entry || entry->state == OUTBOX_PENDING);
	}
}

static void note_ops(struct daemon_batch *noted, const struct parent_batch *batch)
{
	noted->n_ops = batch->n_ops;
	noted->ops = g_new0(struct daemon_op, batch->n_ops);
	for (size_t i = 0; i < batch->n_ops; i++)
		noted->ops[i] = (struct daemon_op){
			.area = truth_area(batch->ops[i].area),
			.key = truth_key(batch->ops[i].key),
			.grouped = batch->ops[i].grouped,
			.group = batch->ops[i].group,
			.value_hash = batch_value_hash(batch->ops[i].value),
		};
}

static bool op_equal(const struct daemon_op *a, const struct daemon_op *b)
{
	return a->area == b->area && a->key == b->key && a->serial == b->serial &&
	       a->grouped == b->grouped && a->group == b->group && a->value_hash == b->value_hash;
}

/* Sent again unchanged; a number is never used twice, nor falls. */
static void check_numbers(struct sim_daemon *daemon, const struct daemon_batch *last,
			  const struct daemon_batch *noted)
{
	if (strcmp(last->client, noted->client) != 0)
		return;
	g_assert_cmpuint(noted->number, >=, last->number);
	if (noted->number != last->number)
		return;
	daemon->sim->count.resends++;
	g_assert_cmpstr(noted->id, ==, last->id);
	g_assert_cmpuint(noted->n_ops, ==, last->n_ops);
	for (size_t i = 0; i < noted->n_ops; i++)
		g_assert_true(op_equal(&noted->ops[i], &last->ops[i]));
}

/* It was persisted before it is sent. */
static void check_persisted(struct sim_daemon *daemon, const struct parent_batch *batch)
{
	struct store_state state;

	if (storage_engine(daemon->storage)->durability == CONFIG_DURABILITY_MEMORY ||
	    sim_disk_is_dead(daemon->disk))
		return;
	g_assert_cmpint(store_load_state(daemon->store, &state), ==, 0);
	g_assert_cmpuint(state.batch_number, ==, batch->number);
	g_assert_cmpstr(state.batch_id, ==, batch->id);
}

static void mark_sent(struct sim_daemon *daemon, const struct daemon_batch *noted)
{
	for (size_t i = 0; i < noted->n_ops; i++) {
		struct model_write *write = model_find(&daemon->model->areas[noted->ops[i].area],
						       noted->ops[i].serial);

		if (write)
			write->sent = true;
	}
}

/* Under a new id what was in flight may come a second time, from its beginning. */
static void note_client(struct sim_daemon *daemon, const char *client)
{
	uint64_t first[SIM_AREAS];

	if (strcmp(daemon->client, client) == 0)
		return;
	if (daemon->client[0] && !daemon->clashed &&
	    storage_engine(daemon->storage)->durability != CONFIG_DURABILITY_MEMORY)
		g_error("daemon %u took a new client id for no reason", daemon->index);
	daemon->clashed = false;
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		const struct outbox_entry *entry = outbox_first(area_outbox(daemon->areas[a]));

		first[a] = entry ? entry->serial : G_MAXUINT64;
	}
	g_strlcpy(daemon->client, client, sizeof(daemon->client));
	sim_parent_note_client(daemon->sim->parent, daemon->index, first);
	daemon->sim->count.clients++;
}

static void note_batch(struct sim_daemon *daemon, const struct parent *parent,
		       const struct parent_batch *batch)
{
	const unsigned int kept = G_N_ELEMENTS(daemon->sent);
	struct daemon_batch noted = { .number = batch->number, .life = daemon->life };
	struct daemon_batch *last = &daemon->sent[(daemon->n_sent + kept - 1) % kept];

	sim_trace(daemon->sim, "d%u batch %" G_GUINT64_FORMAT ", %zu ops", daemon->index,
		  batch->number, batch->n_ops);
	g_strlcpy(noted.id, batch->id, sizeof(noted.id));
	g_strlcpy(noted.client, parent->client, sizeof(noted.client));
	note_ops(&noted, batch);
	name_ops(daemon, &noted);
	check_persisted(daemon, batch);
	if (daemon->n_sent > 0)
		check_numbers(daemon, last, &noted);
	mark_sent(daemon, &noted);
	note_client(daemon, noted.client);
	if (daemon->n_sent == 0 || strcmp(last->id, noted.id) != 0)
		last = &daemon->sent[daemon->n_sent++ % kept];
	g_free(last->ops);
	*last = noted;
}

static void batch_apply(struct parent *parent, const struct parent_batch *batch)
{
	struct sim_daemon *daemon = daemon_of(parent);

	if (!daemon_is_dead(daemon))
		note_batch(daemon, parent, batch);
	real_ops->apply(parent, batch);
}

/* ---- what the engine hears ---- */

static bool is_one_unit(const struct daemon_batch *batch)
{
	for (size_t i = 1; i < batch->n_ops; i++)
		if (!batch->ops[0].grouped || !batch->ops[i].grouped ||
		    batch->ops[i].group != batch->ops[0].group)
			return false;
	return true;
}

/* @ack NULL: the whole is refused for good. */
static void note_answer(struct sim_daemon *daemon, const struct daemon_batch *batch,
			const struct message *ack)
{
	for (size_t i = 0; i < batch->n_ops; i++) {
		struct model_write *write = model_find(&daemon->model->areas[batch->ops[i].area],
						       batch->ops[i].serial);

		if (!write)
			continue;
		write->refused = !ack || ack->batch_ack.results[i].error;
		write->told = !write->refused;
	}
}

static void batch_applied(void *data, const struct parent_error *error, const struct message *ack)
{
	const unsigned int kept = G_N_ELEMENTS(daemons[0]->sent);
	struct sim_daemon *daemon = NULL;
	const struct daemon_batch *batch;

	for (unsigned int i = 0; !daemon && i < SIM_DAEMONS; i++)
		if (daemons[i]->storage == data)
			daemon = daemons[i];
	g_assert_nonnull(daemon);
	batch = &daemon->sent[(daemon->n_sent + kept - 1) % kept];
	if (ack && strcmp(ack->batch_ack.id, batch->id) == 0 && ack->batch_ack.has_results &&
	    ack->batch_ack.n_results == batch->n_ops)
		note_answer(daemon, batch, ack);
	else if (error && error->class == WIRE_PERMANENT && is_one_unit(batch))
		note_answer(daemon, batch, NULL);
	real_data->applied(data, error, ack);
}

/* By now the engine has said who is to hear the answers. */
static void batch_connect(struct parent *parent)
{
	static struct parent_data_ops ops;

	if (parent->data != &ops) {
		real_data = parent->data;
		ops = *real_data;
		ops.applied = batch_applied;
		parent->data = &ops;
	}
	real_ops->connect(parent);
}

static struct sim_daemon *registered_by(const struct parent_params *params)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		if (daemons[i] && daemons[i]->clock == params->clock)
			return daemons[i];
	return NULL;
}

void batch_register(struct sim_daemon *daemon)
{
	daemons[daemon->index] = daemon;
}

int batch_make_parent(const struct parent_params *params, struct parent **ret_parent)
{
	static struct parent_ops ops;
	int r = parent_new(params, ret_parent);

	g_assert_nonnull(registered_by(params));
	if (r < 0)
		return r;
	real_ops = (*ret_parent)->ops;
	ops = *real_ops;
	ops.apply = batch_apply;
	ops.connect = batch_connect;
	(*ret_parent)->ops = &ops;
	return 0;
}

const struct daemon_batch *daemon_find_batch(const struct sim_daemon *daemon, const char *id)
{
	for (unsigned int i = 0; i < G_N_ELEMENTS(daemon->sent); i++)
		if (strcmp(daemon->sent[i].id, id) == 0)
			return &daemon->sent[i];
	return NULL;
}

void batch_forget_all(struct sim_daemon *daemon)
{
	for (unsigned int i = 0; i < G_N_ELEMENTS(daemon->sent); i++)
		g_clear_pointer(&daemon->sent[i].ops, g_free);
	daemons[daemon->index] = NULL;
}

uint64_t batch_memory(const struct sim_daemon *daemon)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < G_N_ELEMENTS(daemon->sent); i++)
		bytes += memory_of(daemon->sent[i].ops);
	return bytes;
}
