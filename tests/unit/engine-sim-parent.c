/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the parent of the simulation sees and says, held against the model; see engine-sim.h. */

#include <string.h>

#include "engine-sim.h"
#include "engine/area-inner.h"

static void content_of(const struct fake_batch *batch, GString *text)
{
	g_string_truncate(text, 0);
	for (size_t i = 0; i < batch->n_ops; i++)
		g_string_append_printf(text, "%s/%s=%s/%u;", batch->ops[i].area,
				       batch->ops[i].key,
				       batch->ops[i].value ? batch->ops[i].value : "(gone)",
				       batch->ops[i].group);
}

/* Name the operations by their serials: of each area the batch is what is in flight, in order. */
static void name_ops(struct sim *sim, struct fake_batch *batch)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		const struct outbox_entry *entry = outbox_first(area_outbox(sim->areas[a]));

		for (size_t i = 0; i < batch->n_ops; i++) {
			if (strcmp(batch->ops[i].area, area_name(sim->areas[a])) != 0)
				continue;
			g_assert_nonnull(entry);
			g_assert_cmpint(entry->state, ==, OUTBOX_IN_FLIGHT);
			batch->ops[i].serial = entry->serial;
			entry = outbox_next(entry);
		}
		g_assert_true(!entry || entry->state == OUTBOX_PENDING);
	}
}

/* Persisted before it is sent; sent again unchanged; a number is never used twice. */
static void sim_on_send(void *data, struct fake_batch *batch)
{
	struct sim *sim = data;
	g_autoptr(GString) content = g_string_new(NULL);
	struct store_state state;

	name_ops(sim, batch);
	g_assert_cmpint(store_load_state(sim->bench->store, &state), ==, 0);
	if (sim->bench->config.storage_durability != CONFIG_DURABILITY_MEMORY) {
		g_assert_cmpuint(state.batch_number, ==, batch->number);
		g_assert_cmpstr(state.batch_id, ==, batch->id);
	}
	content_of(batch, content);
	if (batch->number == sim->last.number) {
		g_assert_cmpstr(batch->id, ==, sim->last.id);
		g_assert_cmpstr(content->str, ==, sim->last_content->str);
	}
	g_assert_cmpuint(batch->number, >=, sim->last.number);
	sim->last.number = batch->number;
	g_strlcpy(sim->last.id, batch->id, sizeof(sim->last.id));
	g_string_assign(sim->last_content, content->str);
}

static struct model_write *write_of(struct sim *sim, const struct fake_op *op)
{
	struct model_write *write = model_find(model_area(sim->model, op->area), op->serial);

	g_assert_nonnull(write);
	g_assert_cmpstr(write->key->name, ==, op->key);
	g_assert_cmpstr(write->value, ==, op->value);
	return write;
}

/*
 * Under a new client id what was in flight may come a second time, from its beginning. And should a
 * full queue drop it before it is sent again, the parent may hold it all the same: nobody can know.
 */
void sim_note_client(struct sim *sim)
{
	struct fake_world *world = sim->bench->world;

	if (strcmp(sim->client, world->last_client) == 0)
		return;
	g_strlcpy(sim->client, world->last_client, sizeof(sim->client));
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		*fake_serial(world, area_name(sim->areas[a])) = 0;
		model_disturb(sim->model, sim->model->areas->pdata[a], NULL);
	}
	/* What the parent was before, it may be again. */
	if (sim->snapshot)
		fake_store_forget_serials(sim->snapshot);
	sim->clients++;
}

/* Each write once, and those of an area in the order of their serials. */
static void sim_on_apply(void *data, const struct fake_batch *batch,
			 const struct fake_result *results)
{
	struct sim *sim = data;

	(void)results;
	sim_note_client(sim);
	for (size_t i = 0; i < batch->n_ops; i++) {
		uint64_t *last = fake_serial(sim->bench->world, batch->ops[i].area);

		write_of(sim, &batch->ops[i]);
		g_assert_cmpuint(batch->ops[i].serial, >, *last);
		*last = batch->ops[i].serial;
	}
}

static bool is_one_unit(const struct fake_batch *batch)
{
	for (size_t i = 1; i < batch->n_ops; i++)
		if (!batch->ops[0].group || batch->ops[i].group != batch->ops[0].group ||
		    strcmp(batch->ops[i].area, batch->ops[0].area) != 0)
			return false;
	return true;
}

static void sim_on_ack(void *data, const struct fake_batch *batch,
		       const struct fake_result *results)
{
	struct sim *sim = data;

	if (!results && !is_one_unit(batch))
		return;
	for (size_t i = 0; i < batch->n_ops; i++) {
		struct model_write *write = write_of(sim, &batch->ops[i]);

		write->refused = !results || results[i].error;
		write->acked = !write->refused;
	}
}

static void sim_on_write(void *data, const char *area, const char *key)
{
	struct sim *sim = data;

	model_disturb(sim->model, model_area(sim->model, area), key);
}

const struct fake_hooks sim_hooks = {
	.on_send = sim_on_send,
	.on_apply = sim_on_apply,
	.on_ack = sim_on_ack,
	.on_write = sim_on_write,
};

void sim_event(void *data, struct area *area, const struct area_event *event)
{
	struct sim *sim = data;
	struct model_write *write;

	if (sim->ghost || (event->type != AREA_ITEM_REJECTED && event->type != AREA_ITEM_DROPPED))
		return;
	write = model_find(model_area(sim->model, area_name(area)), event->serial);
	if (!write && event->type == AREA_ITEM_DROPPED) {
		/* By the very commit that queued it: its answer comes next. */
		model_dropped_early(model_area(sim->model, area_name(area)), event->serial);
		return;
	}
	g_assert_nonnull(write);
	g_assert_cmpstr(event->key, ==, write->key->name);
	if (event->type == AREA_ITEM_REJECTED) {
		g_assert_true(write->refused);
	} else {
		g_assert_false(write->dropped);
		write->dropped = true;
	}
}
