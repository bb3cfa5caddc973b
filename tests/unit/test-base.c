/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ground: timers on a clock the test moves, listeners that vanish, the worker, identifiers. */

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <syslog.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "base/watchlist.h"
#include "base/worker.h"

struct fake_time {
	uint64_t now;
	uint64_t alarm;
	unsigned int alarms;
};

static uint64_t fake_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct fake_time *)data)->now;
}

static void fake_alarm(void *data, uint64_t deadline)
{
	struct fake_time *time = data;

	time->alarm = deadline;
	time->alarms++;
}

static const struct clock_ops fake_ops = { .now = fake_now, .set_alarm = fake_alarm };

struct fired {
	GString *order;
	struct timer timer;
	char name;
	unsigned int again;	/* times it arms itself for "now" */
};

static void fired_fire(void *data)
{
	struct fired *f = data;

	g_string_append_c(f->order, f->name);
	if (f->again) {
		f->again--;
		timer_arm_in(&f->timer, 0);
	}
}

static void test_clock_order(void)
{
	struct fake_time time = { .now = 100 };
	struct clock *clock = clock_new(&fake_ops, &time);
	g_autoptr(GString) order = g_string_new(NULL);
	struct fired f[8];

	for (unsigned int i = 0; i < 8; i++) {
		f[i] = (struct fired){ .order = order, .name = (char)('a' + i) };
		timer_init(&f[i].timer, clock, fired_fire, &f[i]);
		timer_arm(&f[i].timer, 100 + (i * 5) % 8 * 10);
	}
	g_assert_cmpuint(clock_next(clock), ==, 100);
	timer_disarm(&f[4].timer);
	g_assert_false(timer_is_armed(&f[4].timer));
	g_assert_cmpuint(timer_deadline(&f[4].timer), ==, USEC_INFINITY);
	timer_arm(&f[7].timer, 105);

	time.now = 135;
	clock_dispatch(clock);
	/* deadlines: a 100, h 105, f 110, c 120, (h was 130) */
	g_assert_cmpstr(order->str, ==, "ahfc");
	g_assert_cmpuint(time.alarm, ==, clock_next(clock));
	time.now = 1000;
	clock_dispatch(clock);
	g_assert_cmpuint(order->len, ==, 7);
	g_assert_cmpuint(time.alarm, ==, USEC_INFINITY);
	clock_free(clock);
}

static void test_clock_rearm_now(void)
{
	struct fake_time time = { .now = 100 };
	struct clock *clock = clock_new(&fake_ops, &time);
	g_autoptr(GString) order = g_string_new(NULL);
	struct fired f = { .order = order, .name = 'x', .again = 3 };

	timer_init(&f.timer, clock, fired_fire, &f);
	timer_arm_in(&f.timer, 0);
	clock_dispatch(clock);
	g_assert_cmpstr(order->str, ==, "x");
	g_assert_true(timer_is_armed(&f.timer));
	for (int i = 0; i < 10; i++) {
		time.now++;
		clock_dispatch(clock);
	}
	g_assert_cmpstr(order->str, ==, "xxxx");
	clock_free(clock);
}

static void test_clock_random(void)
{
	struct fake_time time = { .now = 0 };
	struct clock *clock = clock_new(&fake_ops, &time);
	g_autoptr(GString) order = g_string_new(NULL);
	struct fired f[64];
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (unsigned int i = 0; i < 64; i++) {
		f[i] = (struct fired){ .order = order, .name = '.' };
		timer_init(&f[i].timer, clock, fired_fire, &f[i]);
	}
	for (int step = 0; step < 20000; step++) {
		struct timer *t = &f[g_rand_int_range(rand, 0, 64)].timer;
		uint64_t earliest = USEC_INFINITY;

		if (g_rand_int_range(rand, 0, 3) == 0)
			timer_disarm(t);
		else
			timer_arm_in(t, (uint64_t)g_rand_int_range(rand, 0, 500));
		for (unsigned int i = 0; i < 64; i++)
			earliest = MIN(earliest, timer_deadline(&f[i].timer));
		g_assert_cmpuint(clock_next(clock), ==, earliest);
		g_assert_cmpuint(time.alarm, ==, earliest);
		time.now += (uint64_t)g_rand_int_range(rand, 0, 20);
		clock_dispatch(clock);
		g_assert_cmpuint(clock_next(clock), >, time.now);
	}
	for (unsigned int i = 0; i < 64; i++)
		timer_deinit(&f[i].timer);
	clock_free(clock);
}

struct listener {
	struct watchlist *list;
	uint32_t id, other;
	unsigned int told;
	bool add, remove_self, remove_other, deinit;
};

static void listener_told(void *data, void *event)
{
	struct listener *l = data;

	(void)event;
	l->told++;
	if (l->remove_self)
		watchlist_remove(l->list, l->id);
	if (l->remove_other)
		watchlist_remove(l->list, l->other);
	if (l->add)
		watchlist_add(l->list, (void (*)(void))listener_told, l + 1);
	if (l->deinit)
		watchlist_deinit(l->list);
}

static void listener_call(void (*callback)(void), void *data, void *event)
{
	((void (*)(void *, void *))callback)(data, event);
}

static void listener_add(struct listener *l, struct watchlist *list)
{
	l->list = list;
	l->id = watchlist_add(list, (void (*)(void))listener_told, l);
}

static void test_watchlist_removal(void)
{
	struct watchlist list;
	struct listener l[3] = { { .remove_self = true, .remove_other = true }, { 0 }, { 0 } };

	watchlist_init(&list);
	for (int i = 0; i < 3; i++)
		listener_add(&l[i], &list);
	l[0].other = l[1].id;

	watchlist_notify(&list, listener_call, NULL);
	g_assert_cmpuint(l[0].told, ==, 1);
	g_assert_cmpuint(l[1].told, ==, 0);
	g_assert_cmpuint(l[2].told, ==, 1);
	watchlist_notify(&list, listener_call, NULL);
	g_assert_cmpuint(l[0].told, ==, 1);
	g_assert_cmpuint(l[2].told, ==, 2);
	g_assert_false(watchlist_remove(&list, l[0].id));
	g_assert_true(watchlist_remove(&list, l[2].id));
	watchlist_deinit(&list);
}

static void test_watchlist_add_while_telling(void)
{
	struct watchlist list;
	struct listener l[2] = { { .add = true }, { 0 } };

	watchlist_init(&list);
	listener_add(&l[0], &list);
	watchlist_notify(&list, listener_call, NULL);
	g_assert_cmpuint(l[1].told, ==, 0);
	l[0].add = false;
	watchlist_notify(&list, listener_call, NULL);
	g_assert_cmpuint(l[1].told, ==, 1);
	watchlist_deinit(&list);
}

static void test_watchlist_deinit_while_telling(void)
{
	struct watchlist list;
	struct listener l[2] = { { .deinit = true }, { 0 } };

	watchlist_init(&list);
	listener_add(&l[0], &list);
	listener_add(&l[1], &list);
	watchlist_notify(&list, listener_call, NULL);
	g_assert_cmpuint(l[1].told, ==, 0);
}

struct job {
	GThread *ran_on;
	int give, got;
	unsigned int *order, place;
};

static int job_run(void *data)
{
	struct job *job = data;

	job->ran_on = g_thread_self();
	return job->give;
}

static void job_done(void *data, int result)
{
	struct job *job = data;

	job->got = result;
	job->place = ++*job->order;
}

static void test_worker_order(void)
{
	struct worker *worker = worker_new("test", NULL);
	unsigned int order = 0;
	struct job jobs[100];

	for (int i = 0; i < 100; i++) {
		jobs[i] = (struct job){ .give = -i, .order = &order };
		worker_submit(worker, job_run, job_done, &jobs[i]);
	}
	while (order < 50)
		g_main_context_iteration(NULL, TRUE);
	worker_drain(worker);
	for (unsigned int i = 0; i < 100; i++) {
		g_assert_cmpint(jobs[i].got, ==, -(int)i);
		g_assert_cmpuint(jobs[i].place, ==, i + 1);
		g_assert_true(jobs[i].ran_on != g_thread_self());
	}
	worker_submit(worker, job_run, job_done, &jobs[0]);
	worker_free(worker);
	g_assert_cmpuint(order, ==, 101);
}

static void test_worker_manual(void)
{
	struct worker *worker = worker_new_manual();
	unsigned int order = 0;
	struct job jobs[3] = { { .order = &order }, { .order = &order }, { .order = &order } };

	for (int i = 0; i < 3; i++)
		worker_submit(worker, job_run, job_done, &jobs[i]);
	g_assert_cmpuint(order, ==, 0);
	g_assert_true(worker_step(worker, 0));
	g_assert_true(worker_step(worker, -ENOSPC));
	g_assert_cmpint(jobs[1].got, ==, -ENOSPC);
	g_assert_null(jobs[1].ran_on);
	worker_free(worker);
	g_assert_cmpuint(order, ==, 3);
}

static void test_ids(void)
{
	char a[UTIL_ID_SIZE], b[UTIL_ID_SIZE];

	util_random_id(a);
	util_random_id(b);
	g_assert_true(util_id_valid(a));
	g_assert_cmpstr(a, !=, b);
	g_assert_false(util_id_valid(NULL));
	g_assert_false(util_id_valid(""));
	g_assert_false(util_id_valid("0123456789abcdef0123456789abcdeF"));
	g_assert_false(util_id_valid("0123456789abcdef0123456789abcdef0"));
}

static void test_make_valid(void)
{
	static const struct {
		const char *text, *valid;
	} cases[] = {
		{ "", "" },
		{ "fine \u00e9 \ufffd", "fine \u00e9 \ufffd" },
		{ "a\xff" "b", "a\ufffd" "b" },
		{ "a\xef\xbf\xbf" "b", "a???b" },		/* U+FFFF */
		{ "\xef\xb7\x90\xef\xb7\xb0", "???\ufdf0" },	/* U+FDD0; U+FDF0 is none */
		{ "\xf4\x8f\xbf\xbe", "????" },		/* U+10FFFE */
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *valid = util_make_valid(cases[i].text, SIZE_MAX);

		g_assert_cmpstr(valid, ==, cases[i].valid);
		g_assert_true(util_text_valid(valid) &&
			      util_text_valid(cases[i].text) == g_str_equal(valid, cases[i].text));
	}
	for (size_t max = 0; max < 6; max++) {
		g_autofree char *cut = util_make_valid("a\u20ac" "bc", max);

		g_assert_cmpstr(cut, ==, max == 0 ? "" : max < 4 ? "a" : max == 4 ? "a\u20ac" :
					 "a\u20ac" "b");
	}
}

static void test_usec(void)
{
	g_assert_cmpuint(usec_add(USEC_INFINITY, 1), ==, USEC_INFINITY);
	g_assert_cmpuint(usec_add(USEC_INFINITY - 1, 5), ==, USEC_INFINITY);
	g_assert_cmpuint(usec_add(2, 3), ==, 5);
	g_assert_cmpuint(usec_sub(2, 3), ==, 0);
	g_assert_cmpuint(usec_sub(5, 3), ==, 2);
}

static void test_log_levels(void)
{
	g_assert_cmpint(log_level_from_string("debug"), ==, LOG_DEBUG);
	g_assert_cmpint(log_level_from_string("err"), ==, LOG_ERR);
	g_assert_cmpint(log_level_from_string("3"), ==, LOG_ERR);
	g_assert_cmpint(log_level_from_string("8"), ==, -EINVAL);
	g_assert_cmpint(log_level_from_string("loud"), ==, -EINVAL);
	g_assert_cmpstr(log_level_to_string(LOG_WARNING), ==, "warning");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/clock/order", test_clock_order);
	g_test_add_func("/clock/rearm-now", test_clock_rearm_now);
	g_test_add_func("/clock/random", test_clock_random);
	g_test_add_func("/watchlist/removal", test_watchlist_removal);
	g_test_add_func("/watchlist/add-while-telling", test_watchlist_add_while_telling);
	g_test_add_func("/watchlist/deinit-while-telling", test_watchlist_deinit_while_telling);
	g_test_add_func("/worker/order", test_worker_order);
	g_test_add_func("/worker/manual", test_worker_manual);
	g_test_add_func("/util/ids", test_ids);
	g_test_add_func("/util/make-valid", test_make_valid);
	g_test_add_func("/util/usec", test_usec);
	g_test_add_func("/log/levels", test_log_levels);
	return g_test_run();
}
