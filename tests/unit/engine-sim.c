/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The clients of the simulation; see engine-sim.h. */

#include <string.h>

#include "engine-sim.h"
#include "engine/area-inner.h"

#define ANSWER_USEC (5 * SEC) /* design §3: every call is answered within it */

enum kind {
	KIND_WRITE,
	KIND_GET,
	KIND_GET_LOCAL,
	KIND_GET_PARENT,
	KIND_GET_MANY,
	KIND_AWAIT,
	KIND_FLUSH,
	KIND_DIRECT_GET,
	KIND_DIRECT_SET,
	KIND_FORGET,
};

struct sim_call {
	enum kind kind;
	struct model_area *area;
	struct model_key *key;
	GPtrArray *writes;	/* struct model_write, of one call */
	struct model_write *again;	/* the refused one a retry or a forget is about */
	uint64_t arrival;
	uint64_t asked_at, stalled;
	uint64_t serial, timeout;
	bool must_fail;		/* Direct: a queued write stands before it */
};

unsigned int sim_pick(struct sim *sim, unsigned int n)
{
	return (unsigned int)g_rand_int_range(sim->rand, 0, (gint32)n);
}

bool sim_chance(struct sim *sim, unsigned int percent)
{
	return sim_pick(sim, 100) < percent;
}

/* ---- answers ---- */

static void call_free(struct sim_call *call)
{
	if (call->writes)
		g_ptr_array_unref(call->writes);
	g_free(call);
}

static void end_write(struct sim_call *call, const struct reply *reply)
{
	unsigned int n = call->writes->len;

	for (unsigned int i = 0; i < n; i++)
		model_answered(call->writes->pdata[i],
			       reply->error ? 0 : reply->serial - (n - 1 - i));
	if (call->again && !reply->error)
		call->again->retried = true;
	g_assert_cmpint(reply->error, !=, HF_UNAVAILABLE);
}

static void end_get(const struct sim_call *call, const struct reply *reply)
{
	bool unavailable = reply->error == HF_UNAVAILABLE;

	if (call->kind == KIND_GET_PARENT && reply->error == HF_UNAVAILABLE)
		return;
	g_assert_true(unavailable || reply->error == HF_NO_SUCH_ITEM || reply->error == HF_OK);
	/* A read past the overlay sees what the parent has, which pending writes are not part of. */
	if (call->kind != KIND_GET_PARENT)
		model_check_read(call->key, call->arrival, reply->value, unavailable);
}

static void end_get_many(const struct sim_call *call, const struct reply *reply)
{
	if (reply->error) {
		g_assert_cmpint(reply->error, ==, HF_UNAVAILABLE);
		return;
	}
	for (unsigned int i = 0; reply->keys[i]; i++) {
		const char *value = NULL;

		for (unsigned int j = 0; reply->values[j]; j += 2)
			if (strcmp(reply->values[j], reply->keys[i]) == 0)
				value = reply->values[j + 1];
		model_check_read(model_key(call->area, reply->keys[i]), call->arrival, value,
				 false);
	}
}

static void check_time(const struct sim *sim, const struct sim_call *call)
{
	uint64_t took = sim->bench->now - call->asked_at - (sim->stalled - call->stalled);

	if (took > ANSWER_USEC)
		g_error("a call of kind %d took %" G_GUINT64_FORMAT " ms", call->kind, took / MSEC);
}

/* Neither given up nor wrong from the start. */
static bool is_ended(const struct reply *reply)
{
	return reply->error != HF_TIMEOUT && reply->error != HF_UNAVAILABLE &&
	       reply->error != HF_INVALID_VALUE;
}

static void end_await(struct sim *sim, struct sim_call *call, struct reply *reply)
{
	if (reply->error == HF_TIMEOUT)
		g_assert_cmpuint(sim->bench->now - call->asked_at, >=, call->timeout);
	else if (reply->error == HF_UNAVAILABLE)
		g_assert_true(sim->stopping);
	else if (reply->error == HF_INVALID_VALUE)
		g_assert_true(call->serial == 0 || call->serial > call->area->last_serial);
	else
		g_ptr_array_add(sim->waits, reply);
}

static void sim_on_end(struct reply *reply)
{
	struct sim_call *call = reply->user;
	struct sim *sim = (struct sim *)reply->bench->world->hooks_data;

	sim->open--;
	sim->answers++;
	if (sim->ghost) {
		call_free(call);
		return;
	}
	if (call->kind != KIND_AWAIT && call->kind != KIND_FLUSH)
		check_time(sim, call);
	sim_note_client(sim);
	switch (call->kind) {
	case KIND_WRITE:
		end_write(call, reply);
		break;
	case KIND_GET:
	case KIND_GET_LOCAL:
	case KIND_GET_PARENT:
		end_get(call, reply);
		break;
	case KIND_GET_MANY:
		end_get_many(call, reply);
		break;
	case KIND_AWAIT:
	case KIND_FLUSH:
		end_await(sim, call, reply);
		if (is_ended(reply))
			return; /* looked at after the step */
		break;
	case KIND_DIRECT_GET:
		break;
	case KIND_DIRECT_SET:
		if (call->must_fail)
			g_assert_cmpint(reply->error, ==, HF_UNAVAILABLE);
		break;
	case KIND_FORGET:
		if (!reply->error)
			call->again->retried = true;
		break;
	}
	call_free(call);
}

/* ---- calls ---- */

static struct sim_call *sim_call(struct sim *sim, enum kind kind, struct model_area *area)
{
	struct sim_call *call = g_new0(struct sim_call, 1);

	sim->model->arrivals++;
	sim->open++;
	call->kind = kind;
	call->area = area;
	call->arrival = sim->model->arrivals;
	call->asked_at = sim->bench->now;
	call->stalled = sim->stalled;
	sim->bench->user = call;
	return call;
}

/* One in a hundred is not to the parent's liking. */
static char *new_value(struct sim *sim)
{
	static const char *const moods[] = { "bad", "big", "poison" };
	const char *mood = sim_chance(sim, 2) ? moods[sim_pick(sim, 3)] : "v";

	return g_strdup_printf("%s%u", mood, ++sim->values);
}

static void do_write(struct sim *sim, unsigned int a, bool remove)
{
	struct model_area *area = sim->model->areas->pdata[a];
	struct sim_call *call = sim_call(sim, KIND_WRITE, area);
	struct model_key *key = area->keys->pdata[sim_pick(sim, SIM_KEYS)];
	g_autofree char *value = remove ? NULL : new_value(sim);

	call->writes = g_ptr_array_new();
	g_ptr_array_add(call->writes, model_write(sim->model, key, value, false));
	bench_write_to(sim->bench, sim->areas[a], key->name, value);
}

static void do_group(struct sim *sim, unsigned int a)
{
	struct model_area *area = sim->model->areas->pdata[a];
	struct sim_call *call = sim_call(sim, KIND_WRITE, area);
	g_autoptr(GString) items = g_string_new(NULL);
	unsigned int first = sim_pick(sim, SIM_KEYS), n = 1 + sim_pick(sim, 3);

	call->writes = g_ptr_array_new();
	for (unsigned int i = 0; i < n; i++) {
		struct model_key *key = area->keys->pdata[(first + i) % SIM_KEYS];
		g_autofree char *value = new_value(sim);

		g_ptr_array_add(call->writes, model_write(sim->model, key, value, true));
		g_string_append_printf(items, "%s%s=%s", i ? " " : "", key->name, value);
	}
	bench_group_to(sim->bench, sim->areas[a], items->str);
}

static void do_get(struct sim *sim, unsigned int a, enum kind kind)
{
	struct model_area *area = sim->model->areas->pdata[a];
	struct sim_call *call = sim_call(sim, kind, area);
	enum reader_source source = kind == KIND_GET	   ? READER_ANY :
				    kind == KIND_GET_LOCAL ? READER_LOCAL :
							     READER_PARENT;

	call->key = area->keys->pdata[sim_pick(sim, SIM_KEYS)];
	bench_get_from(sim->bench, sim->areas[a], call->key->name, source,
		       sim_chance(sim, 20) ? sim_pick(sim, 2000) * MSEC : USEC_INFINITY);
}

static void do_get_many(struct sim *sim)
{
	sim_call(sim, KIND_GET_MANY, sim->model->areas->pdata[0]);
	bench_get_many(sim->bench, sim_chance(sim, 50) ? "k0 k1 k2 k3 k4" : "k3 k1");
}

static void do_await(struct sim *sim, unsigned int a)
{
	static const uint64_t timeouts[] = { 0, 100 * MSEC, 3 * SEC, USEC_INFINITY };
	struct model_area *area = sim->model->areas->pdata[a];
	struct sim_call *call = sim_call(sim, KIND_AWAIT, area);

	call->timeout = timeouts[sim_pick(sim, 4)];
	call->serial = area->last_serial + 1 - MIN(sim_pick(sim, 12), area->last_serial);
	bench_await_in(sim->bench, sim->areas[a], call->serial, call->timeout);
}

static void do_flush(struct sim *sim)
{
	struct sim_call *call = sim_call(sim, KIND_FLUSH, sim->model->areas->pdata[0]);

	call->timeout = sim_chance(sim, 50) ? 500 * MSEC : USEC_INFINITY;
	bench_flush(sim->bench, call->timeout);
}

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

static void do_direct(struct sim *sim, bool get)
{
	struct model_area *area = sim->model->areas->pdata[0];
	struct sim_call *call = sim_call(sim, get ? KIND_DIRECT_GET : KIND_DIRECT_SET, area);
	struct model_key *key = area->keys->pdata[sim_pick(sim, SIM_KEYS)];
	g_autofree char *value = g_strdup_printf("direct%u", ++sim->values);

	call->must_fail = is_waiting(key);
	if (get) {
		bench_direct_get(sim->bench, key->name);
		return;
	}
	if (!call->must_fail)
		model_disturb(sim->model, area, key->name);
	bench_direct_set(sim->bench, key->name, sim_chance(sim, 30) ? NULL : value);
}

/* The newest refused write of the default area that is still listed. */
static struct model_write *find_refused(struct sim *sim)
{
	struct model_area *area = sim->model->areas->pdata[0];

	for (unsigned int i = area->writes->len, n = 0; i-- > 0 && n < 2000; n++) {
		struct model_write *write = area->writes->pdata[i];

		if (write->fate == FATE_REFUSED && !write->retried && sim_chance(sim, 50))
			return write;
	}
	return NULL;
}

static void do_refused(struct sim *sim)
{
	struct model_write *refused = find_refused(sim), *retry;
	struct sim_call *call;

	if (!refused)
		return;
	if (sim_chance(sim, 30)) {
		call = sim_call(sim, KIND_WRITE, refused->key->area);
		call->writes = g_ptr_array_new();
		call->again = refused;
		retry = model_write(sim->model, refused->key, refused->value, false);
		retry->retry = true;
		g_ptr_array_add(call->writes, retry);
		bench_retry(sim->bench, refused->serial);
	} else {
		call = sim_call(sim, KIND_FORGET, refused->key->area);
		call->again = refused;
		bench_forget(sim->bench, refused->serial);
	}
}

void sim_act(struct sim *sim)
{
	unsigned int dice = sim_pick(sim, 100), a = sim_pick(sim, SIM_AREAS);

	if (dice < 36)
		do_write(sim, a, false);
	else if (dice < 46)
		do_write(sim, a, true);
	else if (dice < 53)
		do_group(sim, a);
	else if (dice < 78)
		do_get(sim, a, KIND_GET);
	else if (dice < 81)
		do_get(sim, a, KIND_GET_LOCAL);
	else if (dice < 84)
		do_get(sim, a, KIND_GET_PARENT);
	else if (dice < 88)
		do_get_many(sim);
	else if (dice < 93)
		do_await(sim, a);
	else if (dice < 95)
		do_flush(sim);
	else if (dice < 96)
		do_direct(sim, true);
	else if (dice < 98)
		do_direct(sim, false);
	else
		do_refused(sim);
}

/* ---- what must hold ---- */

/* What an Await of @serial may end with, now that the queue was looked at. */
static void check_await(const struct sim_call *call, const struct reply *reply)
{
	const struct model_write *write = NULL;
	bool refused = false, dropped = false;

	for (unsigned int i = call->area->writes->len, n = 0; i-- > 0 && n < 4000; n++) {
		const struct model_write *other = call->area->writes->pdata[i];

		if (other->serial == call->serial)
			write = other;
		if (other->maybe_first > call->serial || other->serial < call->serial)
			continue;
		dropped |= other->fate == FATE_DROPPED || other->doubt;
		refused |= other->fate == FATE_REFUSED;
	}
	if (!write)
		return; /* a serial that nobody was told before a crash */
	while (write->fate == FATE_REPLACED)
		write = write->heir;
	if (reply->error == HF_REJECTED)
		g_assert_true(refused);
	else if (reply->error == HF_QUOTA_EXCEEDED)
		g_assert_true(dropped);
	else
		g_assert_cmpint(reply->error, ==, HF_OK);
	if (reply->error == HF_OK)
		g_assert_cmpint(write->fate, ==, FATE_ACKED);
}

static void check_flush(const struct sim_call *call, const struct reply *reply)
{
	g_assert_cmpint(reply->error, ==, HF_OK);
	for (unsigned int i = 0; i < call->area->queued->len; i++) {
		const struct model_write *write = call->area->queued->pdata[i];

		g_assert_cmpuint(write->arrival, >, call->arrival);
	}
}

static void check_waits(struct sim *sim)
{
	for (unsigned int i = 0; i < sim->waits->len; i++) {
		struct reply *reply = sim->waits->pdata[i];
		struct sim_call *call = reply->user;

		if (call->kind == KIND_AWAIT)
			check_await(call, reply);
		else
			check_flush(call, reply);
		call_free(call);
	}
	g_ptr_array_set_size(sim->waits, 0);
}

void sim_check(struct sim *sim)
{
	sim_note_client(sim);
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		model_check_queue(sim->model->areas->pdata[a], area_outbox(sim->areas[a]), NULL,
				  NULL);
	check_waits(sim);
	g_assert_true(storage_is_sound(sim->bench->storage));
}

/* ---- life ---- */

struct sim *sim_new(uint32_t seed, const char *config)
{
	struct sim *sim = g_new0(struct sim, 1);
	static const char *const names[SIM_AREAS] = { "default", "a1", "a2" };

	sim->rand = g_rand_new_with_seed(seed);
	sim->model = model_new();
	sim->waits = g_ptr_array_new();
	sim->last_content = g_string_new(NULL);
	sim->bench = bench_new(config);
	g_rand_set_seed(sim->bench->rand, seed);
	sim->bench->on_end = sim_on_end;
	sim->bench->world->hooks = &sim_hooks;
	sim->bench->world->hooks_data = sim;
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		model_add_area(sim->model, names[a], SIM_KEYS);
	return sim;
}

struct sim *sim_free(struct sim *sim)
{
	bench_free(sim->bench);
	model_free(sim->model);
	g_ptr_array_unref(sim->waits);
	g_string_free(sim->last_content, TRUE);
	fake_store_free(sim->snapshot);
	g_rand_free(sim->rand);
	g_free(sim);
	return NULL;
}

struct dropped_in {
	struct store *store;
	int64_t area;
};

static bool was_dropped(void *data, uint64_t serial)
{
	struct dropped_in *in = data;

	return store_find_outcome(in->store, in->area, serial) == STORE_OUTCOME_DROPPED;
}

/* What the daemon had heard of these and not noted is forgotten. */
static void forget_acks(struct model_area *area)
{
	for (unsigned int i = 0; i < area->queued->len; i++) {
		struct model_write *write = area->queued->pdata[i];

		write->acked = write->refused = false;
	}
}

void sim_open(struct sim *sim)
{
	struct bench *bench = sim->bench;

	bench_open(bench);
	sim->ghost = false;
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		struct model_area *area = sim->model->areas->pdata[a];
		struct dropped_in in = { .store = bench->store };

		sim->areas[a] = bench_open_area(bench, area->name);
		in.area = area_id(sim->areas[a]);
		model_adopt(area, area_outbox(sim->areas[a]));
		model_check_queue(area, area_outbox(sim->areas[a]), was_dropped, &in);
		forget_acks(area);
	}
	storage_add_watch(bench->storage, sim_event, sim);
	storage_start(bench->storage);
}
