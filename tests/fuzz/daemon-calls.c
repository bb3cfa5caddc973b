/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients call; see daemon-calls.h. */

#include <string.h>

#include "daemon-call.h"
#include "engine/area-inner.h"
#include "engine/direct.h"

static unsigned int pick(struct daemon_calls *calls, unsigned int n)
{
	return input_pick(calls->input, n);
}

static bool chance(struct daemon_calls *calls, unsigned int percent)
{
	return pick(calls, 100) < percent;
}

static struct call *call_new(struct daemon_calls *calls, enum call_kind kind, unsigned int a)
{
	struct call *call = g_new0(struct call, 1);

	calls->model->arrivals++;
	call->kind = kind;
	call->calls = calls;
	call->area = &calls->model->areas[a];
	call->arrival = calls->model->arrivals;
	call->asked_at = calls->bench->now;
	call->stalled = calls->stalled;
	g_ptr_array_add(calls->open, call);
	return call;
}

static struct model_key *pick_key(struct daemon_calls *calls, unsigned int a)
{
	return &calls->model->areas[a].keys[pick(calls, SIM_KEYS)];
}

/* Some are not to the liking of a parent that means well. */
static char *new_value(struct daemon_calls *calls)
{
	static const char *const moods[] = { "bad", "big", "poison" };
	const char *mood = chance(calls, 2) ? moods[pick(calls, 3)] : "v";

	return g_strdup_printf("%s%u", mood, ++calls->values);
}

/* ---- writes ---- */

static struct model_write *add_write(struct call *call, struct model_key *key, const char *value)
{
	struct model_write *write = model_write(call->calls->model, key, value);

	if (!call->writes)
		call->writes = g_ptr_array_new();
	g_ptr_array_add(call->writes, write);
	return write;
}

static void do_write(struct daemon_calls *calls, unsigned int a, bool remove)
{
	struct call *call = call_new(calls, CALL_WRITE, a);
	struct model_key *key = pick_key(calls, a);
	g_autofree char *value = remove ? NULL : new_value(calls);
	struct model_write *write = add_write(call, key, value);
	const struct outbox_write given = {
		.op = remove ? OUTBOX_REMOVE : OUTBOX_SET,
		.key = key->name,
		.value = write->value,
	};

	area_write(calls->areas[a], &given, 1, false, answer_write, call);
}

static void do_group(struct daemon_calls *calls, unsigned int a)
{
	struct call *call = call_new(calls, CALL_WRITE, a);
	unsigned int first = pick(calls, SIM_KEYS), n = 1 + pick(calls, 3);
	struct outbox_write given[3];

	calls->model->groups++;
	for (unsigned int i = 0; i < n; i++) {
		struct model_key *key = &call->area->keys[(first + i) % SIM_KEYS];
		g_autofree char *value = new_value(calls);
		struct model_write *write = add_write(call, key, value);

		write->group = calls->model->groups;
		write->members = n;
		given[i] = (struct outbox_write){ OUTBOX_SET, key->name, write->value };
	}
	area_write(calls->areas[a], given, n, true, answer_write, call);
}

/* ---- the refused ---- */

/* The newest refused write of the first area that is still listed; NULL: none. */
static struct model_write *find_refused(struct daemon_calls *calls)
{
	const struct model_area *area = &calls->model->areas[0];

	for (unsigned int i = area->writes->len; i-- > 0;) {
		struct model_write *write = area->writes->pdata[i];

		if (write->fate == FATE_REFUSED && !write->retried && chance(calls, 50))
			return write;
	}
	return NULL;
}

static void do_refused(struct daemon_calls *calls)
{
	struct model_write *refused = find_refused(calls);
	struct call *call;

	if (!refused)
		return;
	if (chance(calls, 30)) {
		call = call_new(calls, CALL_WRITE, 0);
		add_write(call, refused->key, refused->value)->retry = true;
		call->again = refused;
		area_retry_rejected(calls->areas[0], refused->serial, answer_write, call);
	} else {
		call = call_new(calls, CALL_DROP_REJECTED, 0);
		call->again = refused;
		area_drop_rejected(calls->areas[0], refused->serial, answer_drop, call);
	}
}

/* ---- reads ---- */

static void do_get(struct daemon_calls *calls, unsigned int a, enum reader_source source)
{
	struct call *call = call_new(calls, CALL_GET, a);
	struct reader_options options = { .source = source, .timeout = USEC_INFINITY };

	call->key = pick_key(calls, a);
	call->source = source;
	if (chance(calls, 20))
		options.timeout = pick(calls, 2000) * MSEC;
	reader_get(calls->areas[a], call->key->name, &options, answer_get, call);
}

static void do_get_many(struct daemon_calls *calls)
{
	static const char *const all[] = { "k0", "k1", "k2", "k3", "k4", "k5", NULL };

	chance(calls, 50);
	reader_get_many(calls->areas[0], all, answer_get_many, call_new(calls, CALL_GET_MANY, 0));
}

/* ---- waits ---- */

static void do_await(struct daemon_calls *calls, unsigned int a)
{
	static const uint64_t timeouts[] = { 0, 100 * MSEC, 3 * SEC, USEC_INFINITY };
	struct call *call = call_new(calls, CALL_AWAIT, a);
	uint64_t last = call->area->last_serial;

	call->timeout = timeouts[pick(calls, 4)];
	call->serial = last + 1 - MIN(pick(calls, 12), last);
	area_await(calls->areas[a], call->serial, call->timeout, answer_wait, call);
}

static void do_flush(struct daemon_calls *calls)
{
	struct call *call = call_new(calls, CALL_FLUSH, 0);

	call->timeout = chance(calls, 50) ? 500 * MSEC : USEC_INFINITY;
	area_flush(calls->areas[0], call->timeout, answer_wait, call);
}

/* ---- direct ---- */

static bool is_waiting(const struct model_key *key)
{
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if ((write->fate == FATE_ASKED && !write->retry) || write->fate == FATE_QUEUED)
			return true;
		if (write->fate == FATE_ACKED)
			return false;
	}
	return false;
}

static void do_direct_get(struct daemon_calls *calls)
{
	struct call *call = call_new(calls, CALL_DIRECT_GET, 0);

	call->key = pick_key(calls, 0);
	direct_get(calls->areas[0], call->key->name, answer_direct_get, call);
}

static void do_direct_write(struct daemon_calls *calls)
{
	struct call *call = call_new(calls, CALL_DIRECT_WRITE, 0);

	call->key = pick_key(calls, 0);
	call->must_fail = is_waiting(call->key);
	if (!chance(calls, 30))
		call->value = g_strdup_printf("direct%u", ++calls->values);
	direct_write(calls->areas[0], call->key->name, call->value, answer_direct_write, call);
}

void daemon_calls_act(struct daemon_calls *calls)
{
	unsigned int dice = pick(calls, 100), a = pick(calls, SIM_AREAS);

	if (dice < 36)
		do_write(calls, a, false);
	else if (dice < 46)
		do_write(calls, a, true);
	else if (dice < 53)
		do_group(calls, a);
	else if (dice < 78)
		do_get(calls, a, READER_ANY);
	else if (dice < 81)
		do_get(calls, a, READER_LOCAL);
	else if (dice < 84)
		do_get(calls, a, READER_PARENT);
	else if (dice < 88)
		do_get_many(calls);
	else if (dice < 93)
		do_await(calls, a);
	else if (dice < 95)
		do_flush(calls);
	else if (dice < 96)
		do_direct_get(calls);
	else if (dice < 98)
		do_direct_write(calls);
	else
		do_refused(calls);
}

/* ---- what must hold ---- */

static void on_event(void *data, struct area *area, const struct area_event *event)
{
	struct daemon_calls *calls = data;
	struct model_area *known = &calls->model->areas[truth_area(area_name(area))];

	if (calls->ghost)
		return;
	if (event->type == AREA_ITEM_DROPPED)
		model_dropped(known, event->serial, event->key);
	else if (event->type == AREA_ITEM_REJECTED)
		model_rejected(known, event->serial, event->key);
}

void daemon_calls_check(struct daemon_calls *calls)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		model_check_queue(&calls->model->areas[a], area_outbox(calls->areas[a]), NULL,
				  NULL);
	for (unsigned int i = 0; i < calls->waits->len; i++) {
		call_check_wait(calls->waits->pdata[i]);
		call_free(calls->waits->pdata[i]);
	}
	g_ptr_array_set_size(calls->waits, 0);
	for (unsigned int i = 0; i < calls->open->len; i++)
		call_check_time(calls->open->pdata[i]);
	g_assert_true(storage_is_sound(calls->bench->storage));
}

bool daemon_calls_well(const struct daemon_calls *calls)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		if (area_queue_size(calls->areas[a]) > 0)
			return false;
	return calls->open->len == 0;
}

struct refused {
	const struct model_area *area;
	unsigned int rows;
};

static int check_refused_row(void *data, const struct store_rejected *row)
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

/* Whether a call that a crash swallowed took one off the list is not known. */
void daemon_calls_check_refused(const struct daemon_calls *calls)
{
	for (unsigned int a = 0; a < SIM_AREAS && calls->crashes == 0; a++) {
		struct refused refused = { &calls->model->areas[a], 0 };

		g_assert_cmpint(area_each_rejected(calls->areas[a], check_refused_row, &refused),
				==, 0);
		for (unsigned int i = 0; i < refused.area->writes->len; i++) {
			const struct model_write *write = refused.area->writes->pdata[i];

			refused.rows -= write->fate == FATE_REFUSED && !write->retried;
		}
		g_assert_cmpuint(refused.rows, ==, 0);
	}
}

/* ---- life ---- */

struct dropped_in {
	struct store *store;
	int64_t area;
};

static bool was_dropped(void *data, uint64_t serial)
{
	struct dropped_in *in = data;

	return store_find_outcome(in->store, in->area, serial) == STORE_OUTCOME_DROPPED;
}

static void adopt(struct daemon_calls *calls, unsigned int a)
{
	struct model_area *area = &calls->model->areas[a];
	const struct outbox *outbox = area_outbox(calls->areas[a]);
	struct dropped_in in = { calls->bench->store, area_id(calls->areas[a]) };

	model_adopt(area, outbox);
	model_check_queue(area, outbox, was_dropped, &in);
	model_forget_acks(area);
}

void daemon_calls_open(struct daemon_calls *calls)
{
	struct bench *bench = calls->bench;

	bench_open(bench);
	calls->ghost = calls->stopping = false;
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		calls->areas[a] = bench_open_area(bench, truth_area_name(a));
		adopt(calls, a);
	}
	storage_add_watch(bench->storage, on_event, calls);
	storage_start(bench->storage);
}

void daemon_calls_stop(struct daemon_calls *calls)
{
	/* With a disk that fails, what is answered last is not of interest. */
	calls->ghost = calls->bench->disk_error;
	calls->stopping = true;
	bench_stop(calls->bench);
	g_assert_cmpuint(calls->open->len, ==, 0);
}

struct daemon_calls *daemon_calls_new(const char *config, struct input *input)
{
	struct daemon_calls *calls = g_new0(struct daemon_calls, 1);

	calls->bench = bench_new(config);
	g_rand_set_seed(calls->bench->rand, 1);
	calls->model = model_new();
	calls->input = input;
	calls->open = g_ptr_array_new();
	calls->waits = g_ptr_array_new();
	return calls;
}

struct daemon_calls *daemon_calls_free(struct daemon_calls *calls)
{
	calls->stopping = true;
	bench_free(calls->bench);
	g_assert_cmpuint(calls->open->len, ==, 0);
	for (unsigned int i = 0; i < calls->waits->len; i++)
		call_free(calls->waits->pdata[i]);
	g_ptr_array_unref(calls->open);
	g_ptr_array_unref(calls->waits);
	model_free(calls->model);
	g_free(calls);
	return NULL;
}
