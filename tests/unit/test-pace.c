/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers that are put off: to whom, for how long, and that none is lost. */

#include <glib.h>
#include <time.h>

#include "base/clock.h"
#include "base/util.h"
#include "bus/pace.h"

#define MANY 64
#define FEW  1

struct world {
	uint64_t now;
	struct clock *clock;
	struct pace *pace;
	unsigned int sent;
};

struct answer {
	struct pace_entry entry;
	struct world *world;
};

static uint64_t world_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct world *)data)->now;
}

static void world_set_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

static const struct clock_ops ops = { .now = world_now, .set_alarm = world_set_alarm };

static int quiet, loud; /* two callers; only their addresses matter */

static void world_init(struct world *world)
{
	*world = (struct world){ .now = USEC_PER_SEC };
	world->clock = clock_new(&ops, world);
	world->pace = pace_new(world->clock);
}

static void world_deinit(struct world *world)
{
	pace_free(world->pace);
	clock_free(world->clock);
}

static void world_pass(struct world *world, uint64_t msec)
{
	while (msec-- > 0) {
		world->now += USEC_PER_MSEC;
		clock_dispatch(world->clock);
	}
}

static void on_send(struct pace_entry *entry)
{
	((struct answer *)entry)->world->sent++;
}

static bool put_off(struct world *world, struct answer *answer, const void *who,
		    unsigned int under_way)
{
	answer->world = world;
	return pace_put_off(world->pace, who, under_way, &answer->entry, on_send);
}

static void test_alone(void)
{
	struct answer answer;
	struct world world;

	world_init(&world);
	g_assert_false(put_off(&world, &answer, &loud, MANY));
	/* It began with few calls itself. */
	pace_note_call(world.pace, &loud, FEW);
	g_assert_false(put_off(&world, &answer, &loud, MANY));
	pace_note_call(world.pace, &quiet, MANY);
	g_assert_false(put_off(&world, &answer, &loud, MANY));
	world_deinit(&world);
}

static void test_beside_another(void)
{
	struct answer answers[20];
	struct world world;

	world_init(&world);
	pace_note_call(world.pace, &quiet, FEW);
	pace_note_end(world.pace, &quiet, 0);
	g_assert_false(put_off(&world, &answers[0], &loud, FEW));
	g_assert_false(put_off(&world, &answers[0], &quiet, MANY));
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++)
		g_assert_true(put_off(&world, &answers[i], &loud, MANY));
	g_assert_cmpuint(world.sent, ==, 0);
	world_pass(&world, 1);
	g_assert_cmpuint(world.sent, ==, 2);
	world_pass(&world, 4);
	g_assert_cmpuint(world.sent, ==, 10);
	/* The other one has not called for a while: no reason left. */
	world_pass(&world, 5);
	g_assert_cmpuint(world.sent, ==, G_N_ELEMENTS(answers));
	g_assert_false(put_off(&world, &answers[0], &loud, MANY));
	world_deinit(&world);
}

/* The quiet one's answer takes long: it is about while it waits, if not for ever. */
static void test_waiting(void)
{
	struct answer answer;
	struct world world;

	world_init(&world);
	pace_note_call(world.pace, &quiet, FEW);
	world_pass(&world, 50);
	g_assert_true(put_off(&world, &answer, &loud, MANY));
	world_pass(&world, 1);
	g_assert_cmpuint(world.sent, ==, 1);
	pace_note_end(world.pace, &quiet, 0);
	g_assert_true(put_off(&world, &answer, &loud, MANY));
	world_pass(&world, 10);
	g_assert_cmpuint(world.sent, ==, 2);
	g_assert_false(put_off(&world, &answer, &loud, MANY));
	pace_note_call(world.pace, &quiet, FEW);
	world_pass(&world, 100);
	g_assert_false(put_off(&world, &answer, &loud, MANY));
	world_deinit(&world);
}

/* The loud one begins with few calls, again and again: that does not hide the quiet one. */
static void test_hidden(void)
{
	struct answer answer;
	struct world world;

	world_init(&world);
	pace_note_call(world.pace, &quiet, FEW);
	pace_note_call(world.pace, &loud, FEW);
	pace_note_call(world.pace, &loud, FEW);
	g_assert_true(put_off(&world, &answer, &loud, MANY));
	world_pass(&world, 1);
	g_assert_cmpuint(world.sent, ==, 1);
	world_deinit(&world);
}

/* Two that send many calls at a time, wait for all answers and begin anew are each other's like. */
static void test_bursts(void)
{
	struct answer answer;
	struct world world;

	world_init(&world);
	for (int burst = 0; burst < 3; burst++) {
		for (unsigned int i = 1; i <= MANY; i++)
			pace_note_call(world.pace, &quiet, i);
		for (unsigned int i = 1; i <= MANY; i++)
			pace_note_call(world.pace, &loud, i);
		g_assert_false(put_off(&world, &answer, &loud, MANY));
		g_assert_false(put_off(&world, &answer, &quiet, MANY));
		pace_note_end(world.pace, &loud, 0);
		pace_note_end(world.pace, &quiet, 0);
	}
	world_deinit(&world);
}

/* A loop that is held up turns seldom: what waited long enough goes out then, all of it. */
static void test_seldom(void)
{
	struct answer answers[200];
	struct world world;

	world_init(&world);
	pace_note_call(world.pace, &quiet, FEW);
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++)
		g_assert_true(put_off(&world, &answers[i], &loud, MANY));
	for (unsigned int i = 0; i < 5; i++) {
		pace_note_call(world.pace, &quiet, FEW);
		g_assert_cmpuint(world.sent, <, G_N_ELEMENTS(answers));
		world.now += 50 * USEC_PER_MSEC;
		clock_dispatch(world.clock);
	}
	g_assert_cmpuint(world.sent, ==, G_N_ELEMENTS(answers));
	world_deinit(&world);
}

/* However many there are, none waits for longer than some tenths of a second. */
static void test_many(void)
{
	g_autofree struct answer *answers = g_new0(struct answer, 20000);
	struct world world;

	world_init(&world);
	pace_note_call(world.pace, &quiet, FEW);
	for (unsigned int i = 0; i < 20000; i++)
		g_assert_true(put_off(&world, &answers[i], &loud, MANY));
	for (unsigned int i = 0; i < 600 && world.sent < 20000; i++) {
		pace_note_call(world.pace, &quiet, FEW);
		world_pass(&world, 1);
	}
	g_assert_cmpuint(world.sent, ==, 20000);
	world_deinit(&world);
}

static void test_dropped(void)
{
	struct answer answers[3];
	struct world world;

	world_init(&world);
	pace_note_call(world.pace, &quiet, FEW);
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++)
		g_assert_true(put_off(&world, &answers[i], &loud, MANY));
	pace_drop(&answers[1].entry);
	pace_drop(&answers[1].entry);
	pace_send_all(world.pace);
	g_assert_cmpuint(world.sent, ==, 2);
	world_pass(&world, 20);
	g_assert_cmpuint(world.sent, ==, 2);
	world_deinit(&world);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pace/alone", test_alone);
	g_test_add_func("/pace/beside-another", test_beside_another);
	g_test_add_func("/pace/waiting", test_waiting);
	g_test_add_func("/pace/hidden", test_hidden);
	g_test_add_func("/pace/bursts", test_bursts);
	g_test_add_func("/pace/seldom", test_seldom);
	g_test_add_func("/pace/many", test_many);
	g_test_add_func("/pace/dropped", test_dropped);
	return g_test_run();
}
