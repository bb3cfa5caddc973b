/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Property test: the outbox against a model of plain arrays. Random sets, removes and groups are
 * planned, committed or rolled back; batches are taken, acked, partly rejected, lost, dissolved;
 * daemons crash and come back from the rows on disk. After each step both hold the same entries,
 * and the parent got each write at most once, in the order of serials. Whenever the queue runs dry
 * the parent holds the last write of each key that was neither rejected nor dropped.
 *
 * HOLDFAST_TEST_SEED runs one seed again, HOLDFAST_STEPS changes how long.
 */

#include "core/error.h"
#include "outbox-rules.h"
#include "seed.h"

#define STEPS 150000

/* ---- comparing ---- */

static void check_row(const struct row *row, const struct outbox_entry *entry)
{
	g_assert_nonnull(entry);
	g_assert_cmpuint(entry->serial, ==, row->serial);
	g_assert_cmpuint(outbox_entry_first(entry), ==, row->first);
	g_assert_cmpstr(outbox_entry_key(entry), ==, row->key);
	g_assert_cmpstr(outbox_entry_value(entry), ==, row->value);
	g_assert_cmpuint(entry->group_index, ==, row->group);
	g_assert_cmpint(entry->state, ==, row->in_flight ? OUTBOX_IN_FLIGHT : OUTBOX_PENDING);
	g_assert_false(entry->doomed || entry->taken || entry->spare);
}

static void check_keys(const struct world *world)
{
	for (unsigned int k = 0; k < KEYS; k++) {
		char key[3] = { 'k', (char)('0' + k), '\0' };
		int at = newest_of(world->rows, key);
		const struct outbox_entry *entry = outbox_find(world->outbox, key);

		g_assert_true(!entry == (at < 0));
		if (entry)
			check_row(row_at(world->rows, (unsigned int)at), entry);
	}
}

static void check_serials(struct world *world)
{
	uint64_t serial = world->next_serial - MIN(pick(world, 30), world->next_serial);
	bool covers = false, holds = false;

	for (unsigned int i = 0; i < world->rows->len; i++) {
		const struct row *row = row_at(world->rows, i);

		covers |= row->first <= serial && serial <= row->serial;
		holds |= row->first <= serial;
	}
	g_assert_true(outbox_covers(world->outbox, serial) == covers);
	g_assert_true(outbox_holds_upto(world->outbox, serial) == holds);
	g_assert_cmpuint(outbox_last_serial(world->outbox), ==, world->next_serial - 1);
}

static void check_due(struct world *world)
{
	uint64_t next = outbox_next_due(world->outbox, world->now);
	const struct outbox_entry *held = outbox_first_held(world->outbox, world->now);
	const struct row *first = NULL, *first_held = NULL;

	model_advance(world);
	for (unsigned int i = world->rows->len; i-- > 0;) {
		const struct row *row = row_at(world->rows, i);

		if (!row->in_flight)
			first = row;
		if (!row->in_flight && !model_due(world, row))
			first_held = row;
	}
	g_assert_cmpuint(held ? held->serial : 0, ==, first_held ? first_held->serial : 0);
	if (!first) {
		g_assert_cmpuint(next, ==, USEC_INFINITY);
	} else if (model_due(world, first)) {
		g_assert_cmpuint(next, <=, world->now);
	} else {
		g_assert_cmpuint(next, >, world->now);
		g_assert_cmpuint(next, <=, first->due);
	}
}

static void check_all(struct world *world)
{
	const struct outbox_entry *entry = outbox_first(world->outbox);
	bool waiting = false;

	for (unsigned int i = 0; i < world->rows->len; i++) {
		const struct row *row = row_at(world->rows, i);

		check_row(row, entry);
		if (!row->in_flight && !waiting)
			g_assert_true(outbox_first_waiting(world->outbox) == entry);
		waiting |= !row->in_flight;
		entry = outbox_next(entry);
	}
	g_assert_null(entry);
	g_assert_true(waiting || !outbox_first_waiting(world->outbox));
	g_assert_cmpuint(outbox_count(world->outbox), ==, world->rows->len);
	g_assert_cmpuint(outbox_bytes(world->outbox), ==, all_bytes(world->rows));
	check_keys(world);
	check_serials(world);
	check_due(world);
}

/* While a plan is under way what is only staged is found by nothing. */
static void check_unsettled(struct world *world)
{
	const struct outbox_entry *entry;
	unsigned int n = 0;

	for (entry = outbox_first(world->outbox); entry; entry = outbox_next(entry), n++) {
		g_assert_cmpuint(n, <, world->before->len);
		g_assert_cmpuint(entry->serial, ==, row_at(world->before, n)->serial);
	}
	g_assert_cmpuint(n, ==, world->before->len);
	g_assert_cmpuint(outbox_count(world->outbox), ==, n);
	g_assert_cmpuint(outbox_bytes(world->outbox), ==, all_bytes(world->before));
}

/* ---- steps ---- */

static bool has_batch(const struct world *world)
{
	return world->rows->len > 0 && row_at(world->rows, 0)->in_flight;
}

static void step_stage(struct world *world)
{
	struct outbox_write writes[4];
	char keys[4][3], values[4][24];
	bool group = pick(world, 4) == 0;
	unsigned int n = group ? 1 + pick(world, 4) : 1;
	uint64_t serial = 0;
	int r;

	for (unsigned int i = 0; i < n; i++) {
		g_snprintf(keys[i], sizeof(keys[i]), "k%u", pick(world, KEYS));
		g_snprintf(values[i], sizeof(values[i]), "%s%u", pick(world, 9) ? "v" : "large-value-",
			   ++world->values);
		writes[i].op = !group && pick(world, 4) == 0 ? OUTBOX_REMOVE : OUTBOX_SET;
		writes[i].key = keys[i];
		writes[i].value = writes[i].op == OUTBOX_SET ? values[i] : NULL;
	}
	r = outbox_stage(world->outbox, writes, n, group, world->now, 7, &serial);
	if (!model_stage(world, writes, n, group)) {
		g_assert_cmpint(r, ==, HF_QUOTA_EXCEEDED);
		return;
	}
	g_assert_cmpint(r, ==, HF_OK);
	g_assert_cmpuint(serial, ==, world->next_serial - 1);
}

static void step_take(struct world *world)
{
	struct outbox_room room = { BATCH_OPS, BATCH_BYTES, .empty = true };
	g_autoptr(GPtrArray) taken = g_ptr_array_new();
	unsigned int n = 0;

	outbox_take(world->outbox, world->now, &room, taken);
	model_take(world);
	while (n < world->rows->len && row_at(world->rows, n)->taken)
		n++;
	g_assert_cmpuint(taken->len, ==, n);
	for (unsigned int i = 0; i < n; i++) {
		const struct outbox_entry *entry = taken->pdata[i];

		g_assert_cmpuint(entry->serial, ==, row_at(world->rows, i)->serial);
	}
}

static void settle_rows(struct world *world)
{
	for (unsigned int i = 0; i < world->rows->len; i++) {
		struct row *row = row_at(world->rows, i);

		row->in_flight |= row->taken;
		row->taken = row->mine = false;
	}
	copy_rows(world->disk, world->rows);
}

static void step_settle(struct world *world)
{
	uint64_t upto;

	if (pick(world, 4) == 0) {
		outbox_rollback(world->outbox);
		copy_rows(world->rows, world->before);
		return;
	}
	if (outbox_plan_staged(world->outbox)->len > 0 &&
	    outbox_plan_reserve(world->outbox, &upto))
		world->reserved = upto;
	outbox_commit(world->outbox);
	settle_rows(world);
	g_assert_cmpuint(world->reserved, >=, world->rows->len > 0 ?
			 row_at(world->rows, world->rows->len - 1)->serial + 1 : 0);
}

static void step_plan(struct world *world)
{
	unsigned int n = pick(world, 4);

	copy_rows(world->before, world->rows);
	world->late = 0;
	while (n-- > 0)
		step_stage(world);
	if (!has_batch(world) && pick(world, 2)) {
		step_take(world);
		world->batches++;
		world->batch_applied = false;
	}
	/* A write may come when the batch is full already. */
	if (pick(world, 5) == 0)
		step_stage(world);
	check_unsettled(world);
	step_settle(world);
}

static bool is_refused(const struct row *row)
{
	return g_str_has_suffix(row->key, "7") && row->serial % 3 == 0;
}

/* The parent takes the batch: once, whatever comes of its ack. */
static void parent_apply(struct world *world)
{
	if (world->batch_applied)
		return;
	world->batch_applied = true;
	for (unsigned int i = 0; i < world->rows->len && row_at(world->rows, i)->in_flight; i++) {
		const struct row *row = row_at(world->rows, i);

		g_assert_cmpuint(row->serial, >, world->applied);
		world->applied = row->serial;
		if (!is_refused(row))
			world->parent[row->key[1] - '0'] = row->value;
	}
}

static void step_ack(struct world *world)
{
	if (!has_batch(world))
		return;
	parent_apply(world);
	if (pick(world, 4) == 0)
		return; /* the ack is lost */
	while (has_batch(world)) {
		const struct row *row = row_at(world->rows, 0);

		/* What it must hold in the end is what was acked last of each key. */
		if (!is_refused(row))
			world->last[row->key[1] - '0'] = row->value;
		else
			world->rejected++;
		outbox_trim(world->outbox, (struct outbox_entry *)outbox_first(world->outbox));
		g_array_remove_index(world->rows, 0);
	}
	copy_rows(world->disk, world->rows);
	world->batch_applied = false;
}

/* Dissolved, but for a part; never one that the parent took. */
static void step_dissolve(struct world *world)
{
	const struct outbox_entry *entry = outbox_first(world->outbox), *next;
	unsigned int keep = pick(world, 3);
	bool release = false;

	if (!has_batch(world) || world->batch_applied)
		return;
	for (unsigned int i = 0; i < world->rows->len && row_at(world->rows, i)->in_flight; i++) {
		next = outbox_next(entry);
		release |= i >= keep && row_at(world->rows, i)->group < 2;
		if (release) {
			row_at(world->rows, i)->in_flight = false;
			outbox_release(world->outbox, (struct outbox_entry *)entry);
		}
		entry = next;
	}
	copy_rows(world->disk, world->rows);
}

static void step_crash(struct world *world)
{
	outbox_free(world->outbox);
	world->outbox = outbox_new(&world->params, world->reserved);
	world->next_serial = world->reserved;
	world->forced = 0;
	copy_rows(world->rows, world->disk);
	for (unsigned int i = 0; i < world->rows->len; i++) {
		struct row *row = row_at(world->rows, i);
		const struct outbox_write write = {
			.op = row->value ? OUTBOX_SET : OUTBOX_REMOVE,
			.key = row->key,
			.value = row->value,
		};

		row->due = row->max_due = 0;
		outbox_load(world->outbox, row->serial, row->first, row->group, &write, 7,
			    row->in_flight);
	}
	world->crashes++;
}

static void step_params(struct world *world)
{
	world->params.limit = 4 + pick(world, 12);
	world->params.max_bytes = 40 + pick(world, 200);
	world->params.drop_oldest = pick(world, 2);
	outbox_set_params(world->outbox, &world->params);
}

static void step_force(struct world *world)
{
	outbox_force(world->outbox);
	world->forced = world->next_serial - 1;
}

/* Empty the queue: then the parent must hold what was acked last. */
static void step_drain(struct world *world)
{
	for (unsigned int i = 0; i < 1000 && world->rows->len > 0; i++) {
		step_force(world);
		world->late = 0;
		if (!has_batch(world)) {
			step_take(world);
			outbox_commit(world->outbox);
			settle_rows(world);
			world->batch_applied = false;
		}
		step_ack(world);
	}
	g_assert_cmpuint(world->rows->len, ==, 0);
	for (unsigned int k = 0; k < KEYS; k++)
		g_assert_cmpstr(world->parent[k], ==, world->last[k]);
}

static void step(struct world *world)
{
	unsigned int dice = pick(world, 1000);

	if (dice < 650)
		step_plan(world);
	else if (dice < 850)
		step_ack(world);
	else if (dice < 880)
		step_dissolve(world);
	else if (dice < 890)
		step_crash(world);
	else if (dice < 900)
		step_params(world);
	else if (dice < 915)
		step_force(world);
	else if (dice < 920)
		step_drain(world);
	else
		world->now += pick(world, 5) ? pick(world, 200000) : pick(world, 3000000);
}

static void test_model(void)
{
	const char *steps = g_getenv("HOLDFAST_STEPS");
	unsigned int n = steps ? (unsigned int)g_ascii_strtoull(steps, NULL, 10) : STEPS;
	struct world world = {
		.rand = g_rand_new_with_seed((guint32)g_test_rand_int()),
		.params = { 10, 150, false, 300000, 2000000 },
		.strings = g_string_chunk_new(65536),
		.rows = g_array_new(FALSE, FALSE, sizeof(struct row)),
		.before = g_array_new(FALSE, FALSE, sizeof(struct row)),
		.disk = g_array_new(FALSE, FALSE, sizeof(struct row)),
		.now = 1000000,
		.next_serial = 1,
		.reserved = 1,
	};

	world.outbox = outbox_new(&world.params, 1);
	for (unsigned int i = 0; i < n; i++) {
		step(&world);
		check_all(&world);
	}
	step_drain(&world);
	g_test_message("%u steps, %u values, %u batches, %u rejected, %u dropped, %u crashes", n,
		       world.values, world.batches, world.rejected, world.dropped, world.crashes);
	outbox_free(world.outbox);
	g_string_chunk_free(world.strings);
	g_array_unref(world.rows);
	g_array_unref(world.before);
	g_array_unref(world.disk);
	g_rand_free(world.rand);
}

int main(int argc, char **argv)
{
	int r;

	seed_init(&argc, &argv);
	g_test_add_func("/outbox/model", test_model);
	strings = g_string_chunk_new(4096);
	r = g_test_run();
	g_string_chunk_free(strings);
	return r;
}
