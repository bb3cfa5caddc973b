/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random simulation of the whole engine: clients of three areas call what comes to their minds
 * (engine-sim.c) while the disk refuses and lags, the line breaks, the parent stalls, refuses,
 * forgets and loses its acks, and the daemon is killed. After each step the queue must hold exactly
 * what the model says, each answer must be one the model allows, each write must reach the parent
 * once and in order; and whenever all is well for a while, the parent must hold the last write of
 * each key.
 *
 * HOLDFAST_TEST_SEED runs one seed again, HOLDFAST_STEPS changes how long.
 */

#include <errno.h>
#include <string.h>

#include "engine-sim.h"
#include "engine/area-inner.h"
#include "engine/monitor.h"

#define HEAL_USEC (180 * SEC) /* by then a queue must be empty when nothing is wrong */

#define AREAS "[Area a1]\nLimit=8\nOverflow=drop-oldest\n[Area a2]\nLimit=10\nMaxBytes=200\n"

struct variant {
	const char *config;
	unsigned int steps;
};

static const struct variant variants[] = {
	{ AREAS, 110000 },
	{ AREAS "[Storage]\nDurability=normal\n[Debounce]\nDelay=0\n[Cache]\nTTL=500ms\n", 20000 },
	{ AREAS "[Storage]\nDurability=memory\n", 20000 },
};

/* ---- time ---- */

static void sim_pass(struct sim *sim, uint64_t usec)
{
	struct bench *bench = sim->bench;

	bench_run(bench, usec);
	if (bench->held) {
		sim->stalled += usec;
		if (sim_chance(sim, 30))
			bench_step(bench, bench->disk_error);
	}
}

/* ---- faults ---- */

/* What was applied is not answered before the line is lost. */
static void fault_lost_ack(struct sim *sim)
{
	sim->bench->world->lose_acks = 1;
	sim_pass(sim, 400 * MSEC);
	fake_cut(sim->bench->world, PARENT_REASON_CLOSED);
}


static void fault_disk(struct sim *sim)
{
	struct bench *bench = sim->bench;

	if (bench->disk_error)
		bench->disk_error = 0;
	else if (sim_chance(sim, 40))
		bench->disk_error = sim_chance(sim, 50) ? -ENOSPC : -EIO;
	else
		bench->held = !bench->held;
}

static void fault_line(struct sim *sim)
{
	struct fake_world *world = sim->bench->world;
	unsigned int dice = sim_pick(sim, 10);

	if (dice < 5)
		fake_cut(world, sim_chance(sim, 80) ? PARENT_REASON_CLOSED : PARENT_REASON_PROTOCOL);
	else if (dice < 7)
		world->latency = sim_pick(sim, 400) * MSEC / (1 + sim_pick(sim, 400));
	else if (dice < 8)
		world->silent = true;
	else if (dice < 9)
		world->frozen = true;
	else
		world->away = true;
}

static void fault_parent(struct sim *sim)
{
	struct fake_world *world = sim->bench->world;
	unsigned int n = 1 + sim_pick(sim, 3);

	world->refuse_class = sim_chance(sim, 50) ? WIRE_TRANSIENT : WIRE_CAPACITY;
	world->refuse_after = sim_chance(sim, 50) ? sim_pick(sim, 500) * MSEC : 0;
	switch (sim_pick(sim, 7)) {
	case 0:
		world->refuse_batches = n;
		break;
	case 1:
		world->refuse_gets = n;
		break;
	case 2:
		world->refuse_writes = n;
		break;
	case 3:
		world->lose_acks = n;
		break;
	case 4:
		world->swallow = n;
		break;
	case 5:
		world->mute_gets = true;
		break;
	case 6:
		world->late_gets = sim_pick(sim, 1200) * MSEC;
		break;
	}
}

/* Most of what is wrong with the line or the parent passes soon. */
static void sim_recover(struct sim *sim)
{
	struct fake_world *world = sim->bench->world;

	if (!sim_chance(sim, 4))
		return;
	world->away = world->silent = world->mute_gets = false;
	world->late_gets = 0;
	fake_thaw(world);
}

static void disturb_all(struct sim *sim)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		model_disturb(sim->model, sim->model->areas->pdata[a], NULL);
}

/* Its machine goes down with all connections, and comes back as it was some time ago, or new. */
static void fault_loss(struct sim *sim)
{
	struct fake_world *world = sim->bench->world;

	if (!sim->snapshot) {
		sim->snapshot = fake_store_copy(world->store);
		return;
	}
	fake_cut(world, PARENT_REASON_CLOSED);
	disturb_all(sim);
	if (sim_chance(sim, 50))
		fake_store_restore(world, g_steal_pointer(&sim->snapshot));
	else
		fake_wipe(world);
	sim->lost_parents++;
}

/* Somebody else uses our client id. */
static void fault_shared(struct sim *sim)
{
	struct fake_world *world = sim->bench->world;
	uint64_t ahead = sim_chance(sim, 50) ? 1 : sim_pick(sim, 3000);

	fake_set_last_batch(world, world->last_client, world->last_number + ahead);
	if (sim_chance(sim, 70))
		fake_cut(world, PARENT_REASON_CLOSED);
}

static void fault_foreign(struct sim *sim)
{
	struct model_area *area = sim->model->areas->pdata[sim_pick(sim, SIM_AREAS)];
	struct model_key *key = area->keys->pdata[sim_pick(sim, SIM_KEYS)];
	g_autofree char *value = g_strdup_printf("foreign%u", ++sim->values);

	model_disturb(sim->model, area, key->name);
	fake_put(sim->bench->world, area->name, key->name, sim_chance(sim, 70) ? value : NULL);
}

/* Half of the time the disk did one more thing that nobody was told of. */
static void fault_crash(struct sim *sim)
{
	sim->ghost = true;
	sim->bench->world->dead = true;
	if (sim_chance(sim, 50))
		bench_step(sim->bench, 0);
	bench_crash(sim->bench);
	g_assert_cmpuint(sim->open, ==, 0);
	sim->crashes++;
	sim_open(sim);
}

static void fault_stop(struct sim *sim)
{
	struct bench *bench = sim->bench;
	bool held = bench->held;

	bench->held = false;
	sim->ghost = bench->disk_error; /* then what is answered last is not of interest */
	sim->stopping = true;
	bench_stop(bench);
	sim->stopping = false;
	g_assert_cmpuint(sim->open, ==, 0);
	bench->held = held;
	sim->stops++;
	sim_open(sim);
}

static void sim_fault(struct sim *sim)
{
	unsigned int dice = sim_pick(sim, 1000);

	if (dice < 150)
		fault_disk(sim);
	else if (dice < 500)
		fault_line(sim);
	else if (dice < 700)
		fault_parent(sim);
	else if (dice < 780)
		fault_lost_ack(sim);
	else if (dice < 900)
		fault_foreign(sim);
	else if (dice < 905)
		fault_shared(sim);
	else if (dice < 920)
		fault_loss(sim);
	else if (sim->bench->config.storage_durability == CONFIG_DURABILITY_MEMORY)
		return; /* it does not outlive an end */
	else if (dice < 970)
		fault_crash(sim);
	else
		fault_stop(sim);
}

static void sim_time(struct sim *sim)
{
	unsigned int dice = sim_pick(sim, 1000);

	if (dice < 350)
		return; /* several calls at once */
	if (dice < 700)
		sim_pass(sim, sim_pick(sim, 5000));
	else if (dice < 965)
		sim_pass(sim, sim_pick(sim, 300) * MSEC);
	else if (dice < 997)
		sim_pass(sim, sim_pick(sim, 2000) * MSEC);
	else
		sim_pass(sim, sim_pick(sim, 12) * SEC);
}

/* ---- all is well ---- */

static void heal(struct sim *sim)
{
	struct fake_world *world = sim->bench->world;

	sim->bench->held = false;
	sim->bench->disk_error = 0;
	world->away = world->silent = world->mute_gets = false;
	world->refuse_batches = world->refuse_gets = world->refuse_writes = 0;
	world->swallow = world->lose_acks = 0;
	world->late_gets = 0;
	world->latency = 500;
	fake_thaw(world);
}

static bool all_empty(const struct sim *sim)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		if (area_queue_size(sim->areas[a]) > 0)
			return false;
	return true;
}

static void check_key(struct sim *sim, const struct model_key *key)
{
	const struct model_write *last = model_last(key);
	const char *held = fake_get(sim->bench->world, key->area->name, key->name);

	if (last ? last->arrival <= key->disturbed : key->watched)
		return;
	g_assert_cmpstr(held, ==, last ? last->value : NULL);
}

struct refused {
	struct sim *sim;
	struct model_area *area;
	unsigned int rows;
};

static int check_refused(void *data, const struct store_rejected *row)
{
	struct refused *refused = data;

	refused->rows++;
	for (unsigned int i = refused->area->writes->len; i-- > 0;) {
		const struct model_write *write = refused->area->writes->pdata[i];

		if (write->serial != row->serial)
			continue;
		g_assert_cmpint(write->fate, ==, FATE_REFUSED);
		g_assert_cmpstr(row->key, ==, write->key->name);
		return 0;
	}
	g_assert_not_reached();
}

/* Once the queue is empty: the parent has the last write of each key, the rest is listed. */
static void check_end(struct sim *sim)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		struct model_area *area = sim->model->areas->pdata[a];
		struct refused refused = { sim, area, 0 };

		g_assert_cmpuint(area->queued->len, ==, 0);
		for (unsigned int k = 0; k < SIM_KEYS; k++)
			check_key(sim, area->keys->pdata[k]);
		g_assert_cmpint(area_each_rejected(sim->areas[a], check_refused, &refused), ==, 0);
		for (unsigned int i = 0; i < area->writes->len; i++) {
			const struct model_write *write = area->writes->pdata[i];

			refused.rows -= write->fate == FATE_REFUSED && !write->retried;
		}
		/* Whether a call that a crash swallowed took one off the list is not known. */
		if (sim->crashes == 0)
			g_assert_cmpuint(refused.rows, ==, 0);
	}
}

static void sim_heal(struct sim *sim)
{
	uint64_t until;

	heal(sim);
	sim_check(sim);
	until = sim->bench->now + HEAL_USEC;
	while (!all_empty(sim) && sim->bench->now < until) {
		bench_run(sim->bench, 50 * MSEC);
		sim_check(sim);
	}
	g_assert_true(all_empty(sim));
	bench_run(sim->bench, 10 * SEC);
	sim_check(sim);
	g_assert_cmpuint(sim->open, ==, 0);
	g_assert_cmpint(monitor_state(storage_monitor(sim->bench->storage)), ==,
			MONITOR_CONNECTED);
	check_end(sim);
	sim->heals++;
}

static void test_sim(const void *data)
{
	const struct variant *variant = data;
	const char *given = g_getenv("HOLDFAST_STEPS");
	unsigned int steps = given ? (unsigned int)g_ascii_strtoull(given, NULL, 10)
				   : variant->steps;
	struct sim *sim = sim_new(bench_seed(), variant->config);

	sim_open(sim);
	for (unsigned int i = 1; i <= steps; i++) {
		if (sim_chance(sim, 4))
			sim_fault(sim);
		else
			sim_act(sim);
		sim_recover(sim);
		sim_time(sim);
		sim_check(sim);
		if (i % 2000 == 0 || i == steps)
			sim_heal(sim);
		if (i % 500 == 0)
			bench_sweep(sim->bench);
	}
	g_test_message("%u steps, %u answers, %u values; %u crashes, %u stops, %u parents lost; "
		       "%u client ids, %u batches, %u duplicates, %u hellos",
		       steps, sim->answers, sim->values, sim->crashes, sim->stops,
		       sim->lost_parents, sim->clients, sim->bench->world->batches,
		       sim->bench->world->duplicates, sim->bench->world->hellos);
	heal(sim);
	sim_free(sim);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/engine/simulation/full", &variants[0], test_sim);
	g_test_add_data_func("/engine/simulation/normal", &variants[1], test_sim);
	g_test_add_data_func("/engine/simulation/memory", &variants[2], test_sim);
	return g_test_run();
}
