/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients call; their answers are judged in sim-answer.c. */

#include <string.h>

#include "engine/area.h"
#include "engine/direct.h"
#include "sim-client.h"
#include "sim-judge.h"

static struct sim_call *call_new(struct sim_daemon *daemon, enum call_kind kind, unsigned int a)
{
	struct sim_call *call = g_new0(struct sim_call, 1);

	daemon->model->arrivals++;
	daemon->open++;
	daemon->sim->count.calls++;
	call->kind = kind;
	call->daemon = daemon;
	call->area = &daemon->model->areas[a];
	call->arrival = daemon->model->arrivals;
	call->asked_at = daemon_monotonic(daemon);
	call->world_asked = daemon->sim->now;
	call->stalled = daemon->stalled;
	call->disk_stalled = daemon_disk_stalled(daemon);
	call->timeout = USEC_INFINITY;
	if (kind == CALL_GET || kind == CALL_GET_MANY || kind == CALL_DIRECT_GET)
		daemon->asked_at = daemon->sim->now;
	for (unsigned int k = 0; k < SIM_KEYS; k++) {
		call->floors[k] = call->area->keys[k].floor;
		call->seen[k] = call->area->keys[k].seen;
	}
	g_ptr_array_add(daemon->waiting, call);
	return call;
}

void call_free(struct sim_call *call)
{
	if (call->writes)
		g_ptr_array_unref(call->writes);
	g_free(call->value);
	g_free(call);
}

static unsigned int pick_area(struct sim *sim)
{
	return sim_pick(sim, SIM_AREAS);
}

/* Its newest write, or one before it, was not answered yet. */
static bool is_unsettled(const struct model_key *key)
{
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if (write->fate != FATE_FAILED)
			return write->fate == FATE_ASKED;
	}
	return false;
}

/* Of some key from @first on. */
static bool any_is_unsettled(const struct model_area *area, unsigned int first)
{
	for (unsigned int k = first; k < SIM_KEYS; k++)
		if (is_unsettled(&area->keys[k]))
			return true;
	return false;
}

static struct model_key *pick_key(struct sim *sim, struct model_area *area)
{
	return &area->keys[sim_pick(sim, SIM_KEYS)];
}

/* ---- writes ---- */

static void call_add(struct sim_call *call, struct model_write *write)
{
	struct sim_daemon *daemon = call->daemon;
	unsigned int a = call->area->index;

	if (!call->writes) {
		call->behind = true;
		call->writes = g_ptr_array_new();
		daemon->writing[a]++;
	}
	g_ptr_array_add(call->writes, write);
	daemon->may_count[a]++;
	daemon->may_bytes[a] += strlen(write->key->name) +
				(write->value ? strlen(write->value) : 0);
}

/* Mostly short; now and then one that takes several reads, or is over 64 KiB. */
static unsigned int pick_length(struct sim *sim)
{
	unsigned int dice = sim_pick(sim, 1000);

	if (dice < 970)
		return sim_pick(sim, 20);
	return dice < 997 ? sim_pick(sim, 5000) : sim_pick(sim, 200000);
}

/* One in a hundred or so is not to the parent's liking. */
static char *new_value(struct sim *sim)
{
	static const char *const moods[] = { "bad", "big", "poison" };
	const char *mood = sim_chance(sim, 2) ? moods[sim_pick(sim, 3)] : "v";
	g_autofree char *rest = g_strnfill(pick_length(sim), 'x');

	return g_strdup_printf("%s%" G_GUINT64_FORMAT "-%s", mood, ++sim->values, rest);
}

static void do_write(struct sim_daemon *daemon, bool remove)
{
	struct sim *sim = daemon->sim;
	struct sim_call *call = call_new(daemon, CALL_WRITE, pick_area(sim));
	g_autofree char *value = remove ? NULL : new_value(sim);
	struct model_write *write = model_write(daemon->model, pick_key(sim, call->area), value);
	const struct outbox_write given = {
		.op = remove ? OUTBOX_REMOVE : OUTBOX_SET,
		.key = write->key->name,
		.value = write->value,
	};

	sim_trace(sim, "d%u write %u/%s %" G_GUINT64_FORMAT, daemon->index, call->area->index,
		  write->key->name, truth_id(value));
	call_add(call, write);
	area_write(daemon->areas[call->area->index], &given, 1, false, answer_write, call);
}

static void do_group(struct sim_daemon *daemon)
{
	struct sim *sim = daemon->sim;
	struct sim_call *call = call_new(daemon, CALL_WRITE, pick_area(sim));
	unsigned int first = sim_pick(sim, SIM_KEYS), n = 1 + sim_pick(sim, 3);
	struct outbox_write given[3];

	daemon->model->groups++;
	for (unsigned int i = 0; i < n; i++) {
		struct model_key *key = &call->area->keys[(first + i) % SIM_KEYS];
		g_autofree char *value = new_value(sim);
		struct model_write *write = model_write(daemon->model, key, value);

		write->group = daemon->model->groups;
		write->members = n;
		call_add(call, write);
		given[i] = (struct outbox_write){ OUTBOX_SET, key->name, write->value };
	}
	sim_trace(sim, "d%u group %u/%u+%u", daemon->index, call->area->index, first, n);
	area_write(daemon->areas[call->area->index], given, n, true, answer_write, call);
}

/* ---- the refused ---- */

/* Some refused write that is still listed; NULL: none. */
static struct model_write *find_refused(struct sim_daemon *daemon)
{
	struct model_area *area = &daemon->model->areas[pick_area(daemon->sim)];

	for (unsigned int i = area->writes->len, n = 0; i-- > 0 && n < 500; n++) {
		struct model_write *write = area->writes->pdata[i];

		if (write->fate == FATE_REFUSED && !write->retried && sim_chance(daemon->sim, 50))
			return write;
	}
	return NULL;
}

static void do_drop_rejected(struct sim_daemon *daemon, struct model_write *refused)
{
	struct sim_call *call =
		call_new(daemon, CALL_DROP_REJECTED, refused->key->area->index);

	call->again = refused;
	call->behind = true;
	area_drop_rejected(daemon->areas[call->area->index], refused->serial, answer_drop, call);
}

static void do_refused(struct sim_daemon *daemon)
{
	struct model_write *refused = find_refused(daemon), *retry;
	struct sim_call *call;

	if (!refused)
		return;
	sim_trace(daemon->sim, "d%u refused %" G_GUINT64_FORMAT, daemon->index, refused->serial);
	if (sim_chance(daemon->sim, 60)) {
		do_drop_rejected(daemon, refused);
		return;
	}
	call = call_new(daemon, CALL_WRITE, refused->key->area->index);
	call->again = refused;
	retry = model_write(daemon->model, refused->key, refused->value);
	retry->retry = true;
	call_add(call, retry);
	area_retry_rejected(daemon->areas[call->area->index], refused->serial, answer_write, call);
}

void client_drop_rejected(struct sim_daemon *daemon)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		struct model_area *area = &daemon->model->areas[a];

		for (unsigned int i = 0; i < area->writes->len; i++) {
			struct model_write *write = area->writes->pdata[i];

			if (write->fate == FATE_REFUSED && !write->retried)
				do_drop_rejected(daemon, write);
		}
	}
}

/* ---- reads ---- */

static void do_get_from(struct sim_daemon *daemon, unsigned int a, struct model_key *key,
			enum reader_source source, uint64_t timeout)
{
	const struct reader_options options = { .source = source, .timeout = timeout };
	struct sim_call *call = call_new(daemon, CALL_GET, a);

	sim_trace(daemon->sim, "d%u get %u/%s from %d", daemon->index, a, key->name, (int)source);
	call->key = key;
	call->source = source;
	call->timeout = timeout;
	call->behind = is_unsettled(key);
	reader_get(daemon->areas[a], key->name, &options, answer_get, call);
}

static void do_get(struct sim_daemon *daemon)
{
	static const enum reader_source sources[] = { READER_ANY, READER_ANY, READER_ANY, READER_ANY,
						      READER_ANY, READER_LOCAL, READER_PARENT };
	struct sim *sim = daemon->sim;
	unsigned int a = pick_area(sim);

	do_get_from(daemon, a, pick_key(sim, &daemon->model->areas[a]),
		    sources[sim_pick(sim, G_N_ELEMENTS(sources))],
		    sim_chance(sim, 20) ? sim_pick(sim, 2000) * MSEC : USEC_INFINITY);
}

static void do_get_many(struct sim_daemon *daemon)
{
	static const char *const all[] = { "k0", "k1", "k2", "k3", "k4", "k5", NULL };
	struct sim *sim = daemon->sim;
	struct sim_call *call = call_new(daemon, CALL_GET_MANY, pick_area(sim));
	unsigned int first = sim_pick(sim, SIM_KEYS);

	sim_trace(sim, "d%u get many %u", daemon->index, call->area->index);
	call->key = &call->area->keys[first];
	call->behind = any_is_unsettled(call->area, first);
	reader_get_many(daemon->areas[call->area->index], all + first, answer_get_many, call);
}

void client_read_all(struct sim_daemon *daemon)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		for (unsigned int k = 0; k < SIM_KEYS; k++)
			do_get_from(daemon, a, &daemon->model->areas[a].keys[k], READER_ANY,
				    USEC_INFINITY);
}

/* What is known here, and pending, without a call to wait for. */
static void do_list_keys(struct sim_daemon *daemon)
{
	struct area *area = daemon->areas[pick_area(daemon->sim)];
	const struct model_area *known = &daemon->model->areas[truth_area(area_name(area))];
	bool listed[SIM_KEYS] = { false };
	GPtrArray *keys = NULL;

	daemon->sim->count.calls++;
	if (area_list_keys(area, "", &keys) < 0)
		return;
	for (unsigned int i = 0; i < keys->len; i++) {
		listed[truth_key(keys->pdata[i])] = true;
		g_assert_true(i == 0 || strcmp(keys->pdata[i - 1], keys->pdata[i]) < 0);
	}
	for (unsigned int k = 0; k < SIM_KEYS; k++)
		if (!is_unsettled(&known->keys[k]))
			model_check_listed(&known->keys[k], listed[k]);
	g_ptr_array_unref(keys);
}

/* ---- waits ---- */

/* Nothing that stands for @serial, or anything before it, waits. */
static bool is_settled(const struct model_area *area, uint64_t serial)
{
	for (unsigned int i = 0; i < area->queued->len; i++)
		if (((const struct model_write *)area->queued->pdata[i])->maybe_first <= serial)
			return false;
	return !any_is_unsettled(area, 0);
}

static void do_await(struct sim_daemon *daemon)
{
	static const uint64_t timeouts[] = { 0, 100 * MSEC, 3 * SEC, USEC_INFINITY };
	struct sim_call *call = call_new(daemon, CALL_AWAIT, pick_area(daemon->sim));
	uint64_t last = call->area->last_serial;
	struct area_wait *wait;

	call->timeout = timeouts[sim_pick(daemon->sim, 4)];
	call->serial = last + 1 - MIN(sim_pick(daemon->sim, 12), last);
	call->behind = true;
	call->settled = call->serial <= last && is_settled(call->area, call->serial);
	sim_trace(daemon->sim, "d%u await %u/%" G_GUINT64_FORMAT, daemon->index,
		  call->area->index, call->serial);
	wait = area_await(daemon->areas[call->area->index], call->serial, call->timeout, answer_wait,
			  call);
	if (wait)
		call->wait = wait;
}

static void do_flush(struct sim_daemon *daemon)
{
	struct sim_call *call = call_new(daemon, CALL_FLUSH, pick_area(daemon->sim));
	struct area_wait *wait; /* NULL: it was answered, and the call is gone */

	call->timeout = sim_chance(daemon->sim, 50) ? 500 * MSEC : USEC_INFINITY;
	call->behind = true;
	call->settled = is_settled(call->area, call->area->last_serial);
	sim_trace(daemon->sim, "d%u flush %u", daemon->index, call->area->index);
	wait = area_flush(daemon->areas[call->area->index], call->timeout, answer_wait, call);
	if (wait)
		call->wait = wait;
}

/* A caller that waits goes away. */
static void do_cancel(struct sim_daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->waiting->len; i++) {
		struct sim_call *call = daemon->waiting->pdata[i];

		if (!call->wait)
			continue;
		sim_trace(daemon->sim, "d%u cancel", daemon->index);
		area_wait_cancel(call->wait);
		g_ptr_array_remove_index(daemon->waiting, i);
		daemon->open--;
		daemon->sim->count.cancelled++;
		call_free(call);
		return;
	}
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

static void do_direct_get(struct sim_daemon *daemon)
{
	struct sim_call *call = call_new(daemon, CALL_DIRECT_GET, pick_area(daemon->sim));

	call->key = pick_key(daemon->sim, call->area);
	sim_trace(daemon->sim, "d%u direct get %u/%s", daemon->index, call->area->index,
		  call->key->name);
	direct_get(daemon->areas[call->area->index], call->key->name, answer_direct_get, call);
}

static void do_direct_write_to(struct sim_daemon *daemon, unsigned int a, struct model_key *key)
{
	struct sim *sim = daemon->sim;
	struct sim_call *call = call_new(daemon, CALL_DIRECT_WRITE, a);

	call->key = key;
	call->must_fail = is_waiting(call->key);
	if (sim_chance(sim, 70)) {
		call->id = ++sim->values;
		call->value = g_strdup_printf("direct%" G_GUINT64_FORMAT "-", call->id);
	}
	sim_trace(sim, "d%u direct write %u/%s", daemon->index, call->area->index, call->key->name);
	call->key->forgotten = call->arrival;
	direct_write(daemon->areas[call->area->index], call->key->name, call->value,
		     answer_direct_write, call);
}

static void do_direct_write(struct sim_daemon *daemon)
{
	unsigned int a = pick_area(daemon->sim);

	do_direct_write_to(daemon, a, pick_key(daemon->sim, &daemon->model->areas[a]));
}

/* ---- several at once ---- */

/* A write of the key passes while a get of it is out, and another get comes after it. */
static void do_race(struct sim_daemon *daemon)
{
	struct sim *sim = daemon->sim;
	unsigned int a = pick_area(sim), life = daemon->life;
	struct model_key *key = pick_key(sim, &daemon->model->areas[a]);

	do_get_from(daemon, a, key, READER_PARENT, USEC_INFINITY);
	sim_run(sim, sim_pick(sim, 3000));
	sim_check(sim);
	if (!daemon_runs(daemon) || daemon->life != life)
		return;
	do_direct_write_to(daemon, a, key);
	sim_run(sim, sim_pick(sim, 2) * sim_pick(sim, 1500) * MSEC);
	sim_check(sim);
	if (daemon_runs(daemon) && daemon->life == life)
		do_get_from(daemon, a, key, READER_ANY, USEC_INFINITY);
}

/* More groups than a batch may hold. */
static void do_flood(struct sim_daemon *daemon)
{
	unsigned int n = 300 + sim_pick(daemon->sim, 300), life = daemon->life;

	for (unsigned int i = 0; i < n && daemon_runs(daemon) && daemon->life == life; i++)
		do_group(daemon);
}

/* ---- what comes to mind ---- */

void client_act(struct sim_daemon *daemon)
{
	unsigned int dice = sim_pick(daemon->sim, 100);

	if (sim_pick(daemon->sim, 4000) == 0)
		do_flood(daemon);
	else if (dice < 35)
		do_write(daemon, false);
	else if (dice < 36)
		do_race(daemon);
	else if (dice < 46)
		do_write(daemon, true);
	else if (dice < 53)
		do_group(daemon);
	else if (dice < 82)
		do_get(daemon);
	else if (dice < 86)
		do_get_many(daemon);
	else if (dice < 87)
		do_list_keys(daemon);
	else if (dice < 91)
		do_await(daemon);
	else if (dice < 93)
		do_flush(daemon);
	else if (dice < 94)
		do_cancel(daemon);
	else if (dice < 95)
		do_direct_get(daemon);
	else if (dice < 97)
		do_direct_write(daemon);
	else
		do_refused(daemon);
}
