/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the clients demand of each answer; see sim-client.h. */

#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "engine/area-inner.h"
#include "sim-client.h"

#define ANSWER_USEC (5 * SEC)	/* design §3: every call is answered within it */
#define TRANSIT	    (16 * SEC)	/* an answer, or an ack, may be as old as this when it comes */
#define LOOKED_AT   4000	/* writes, from the newest on */

/* ---- every answer ---- */

static uint64_t longest(const struct sim_call *call)
{
	if (call->kind == CALL_AWAIT || call->kind == CALL_FLUSH)
		return usec_add(call->timeout, ANSWER_USEC); /* of the writes before it */
	/* A write before it may have to wait for two commits. */
	return MIN(ANSWER_USEC, usec_add(call->timeout, call->behind ? SEC : 0));
}

static void check_time(const struct sim_call *call)
{
	const struct sim_daemon *daemon = call->daemon;
	uint64_t took = daemon_monotonic(daemon) - call->asked_at;

	took = usec_sub(took, daemon->stalled - call->stalled);
	if (call->behind)
		took = usec_sub(took, daemon_disk_stalled(daemon) - call->disk_stalled);
	if (took > longest(call))
		g_error("a call of kind %d took %" G_GUINT64_FORMAT " ms", (int)call->kind,
			took / MSEC);
}

/* Return: whether it is to be judged; else it was freed, for a ghost answered it. */
static bool answered(struct sim_call *call, int error)
{
	struct sim_daemon *daemon = call->daemon;

	if (!g_ptr_array_remove(daemon->waiting, call))
		g_error("a call of kind %d was answered twice", (int)call->kind);
	call->wait = NULL;
	daemon->open--;
	call->error = error;
	if (daemon_is_dead(daemon)) {
		call_free(call);
		return false;
	}
	daemon->sim->count.answers++;
	sim_trace(daemon->sim, "d%u answer %d: %d", daemon->index, (int)call->kind, error);
	check_time(call);
	return true;
}

/* What the daemon learns it can note, too. */
static bool disk_is_fine(const struct sim_daemon *daemon)
{
	return !daemon->disk_error && daemon->sim->now > daemon->disk_bad_until + 5 * SEC;
}

/* The disk's errors come where the disk has them. */
static void check_errno(const struct sim_call *call, int error)
{
	const struct sim_daemon *daemon = call->daemon;

	if (error < 0 && disk_is_fine(daemon))
		g_error("a call of kind %d ended with %s, but the disk works", (int)call->kind,
			g_strerror(-error));
}

/* ---- writes ---- */

/* A queue is full only where it may be, and what then happens is what Overflow= says. */
static void check_full(const struct sim_daemon *daemon, unsigned int a, bool drops)
{
	struct config_area settings;

	if (daemon->reloaded[a])
		return;
	daemon->sim->count.quotas += !drops;
	config_area(&daemon->config, truth_area_name(a), &settings);
	if (daemon->may_count[a] <= settings.queue_limit &&
	    daemon->may_bytes[a] <= settings.queue_max_bytes)
		g_error("a write to area %u was %s for want of room, but there is some", a,
			drops ? "dropped" : "refused");
	if (drops && settings.queue_overflow != CONFIG_OVERFLOW_DROP_OLDEST)
		g_error("a write to area %u was dropped, which nobody asked for", a);
}

void answer_write(void *data, int error, const char *detail, uint64_t serial)
{
	struct sim_call *call = data;
	unsigned int n = call->writes->len;

	(void)detail;
	if (!answered(call, error))
		return;
	if (error == HF_QUOTA_EXCEEDED)
		check_full(call->daemon, call->area->index, false);
	call->daemon->writing[call->area->index]--;
	check_errno(call, error);
	g_assert_true(error <= 0 || error == HF_QUOTA_EXCEEDED ||
		      (error == HF_INVALID_VALUE && call->again) ||
		      (error == HF_UNAVAILABLE && call->daemon->stopping));
	for (unsigned int i = 0; i < n; i++) {
		model_answered(call->writes->pdata[i], error ? 0 : serial - (n - 1 - i));
		((struct model_write *)call->writes->pdata[i])->unsure = error < 0;
	}
	if (call->again && !error)
		call->again->retried = true;
	call_free(call);
}

void answer_drop(void *data, int error, const char *detail)
{
	struct sim_call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	check_errno(call, error);
	/* An earlier one may have been for the same, and its answer swallowed by a crash. */
	g_assert_true(error <= 0 || call->daemon->stopping ||
		      (error == HF_INVALID_VALUE &&
		       (call->again->retried || call->daemon->life > 1)));
	if (!error)
		call->again->retried = true;
	call_free(call);
}

/* ---- reads ---- */

/* Since when what a fresh answer says may have been true. 0: that cannot be told, for the daemon
 * slept, or its disk kept it waiting. */
static uint64_t fresh_since(const struct sim_call *call)
{
	const struct sim_daemon *daemon = call->daemon;
	struct config_area settings;
	uint64_t since;

	config_area(&daemon->config, truth_area_name(call->area->index), &settings);
	since = usec_sub(call->world_asked, MAX(settings.cache_ttl, daemon->ttl_was) + TRANSIT);
	if (since < daemon->woken_at || since < daemon->disk_bad_until || daemon->disk_error)
		return 0;
	return since;
}

static void check_read(const struct sim_call *call, const struct model_key *key,
		       struct model_read read)
{
	read.key = key;
	read.arrival = call->arrival;
	read.floor = call->floors[key->index];
	if (disk_is_fine(call->daemon))
		read.floor = MAX(read.floor, call->seen[key->index]);
	read.since = fresh_since(call);
	model_check_read(&read, call->daemon->sim->truth);
}

static void check_unavailable(const struct sim_call *call, int error)
{
	struct model_read read = { .unavailable = true };

	g_assert_cmpint(error, ==, HF_UNAVAILABLE);
	if (!call->daemon->stopping)
		check_read(call, call->key, read);
}

void answer_get(void *data, int error, const char *detail, const struct reader_item *item)
{
	struct sim_call *call = data;
	struct model_read read = { .past_overlay = call->source == READER_PARENT };

	(void)detail;
	if (!answered(call, error))
		return;
	check_errno(call, error);
	g_assert_true(!error == !!item);
	if (item) {
		sim_trace(call->daemon->sim, "got %.12s from %s", item->value, item->source);
		read.value = item->value;
		read.source = item->source;
		read.stale = item->stale;
	}
	if (!error || error == HF_NO_SUCH_ITEM)
		check_read(call, call->key, read);
	else if (error > 0 && call->source != READER_PARENT)
		check_unavailable(call, error);
	/* What the parent says is not always kept: a write of the key may have come between. */
	if (item && strcmp(item->source, "cache") == 0 && disk_is_fine(call->daemon))
		model_note_seen(call->key, item->value, call->daemon->sim->truth);
	call_free(call);
}

/* Return: NULL: it was left out, for there is no such item. */
static const char *find_value(const char *key, const GPtrArray *keys, const GPtrArray *values)
{
	for (unsigned int i = 0; i < keys->len; i++)
		if (strcmp(keys->pdata[i], key) == 0)
			return values->pdata[i];
	return NULL;
}

void answer_get_many(void *data, int error, const char *detail, GPtrArray *keys, GPtrArray *values)
{
	struct sim_call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	check_errno(call, error);
	for (unsigned int k = call->key->index; !error && k < SIM_KEYS; k++) {
		const struct model_key *key = &call->area->keys[k];
		struct model_read read = { .value = find_value(key->name, keys, values) };

		check_read(call, key, read);
	}
	g_assert_true(error <= 0 || error == HF_UNAVAILABLE);
	call_free(call);
}

/* ---- direct ---- */

void answer_direct_get(void *data, int error, const char *detail, const char *value)
{
	struct sim_call *call = data;
	struct model_read read = { .value = value, .source = "parent", .past_overlay = true };

	(void)detail;
	if (!answered(call, error))
		return;
	if (error == HF_OK || error == HF_NO_SUCH_ITEM)
		check_read(call, call->key, read);
	call_free(call);
}

void answer_direct_write(void *data, int error, const char *detail)
{
	struct sim_call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	if (call->must_fail)
		g_assert_cmpint(error, ==, HF_UNAVAILABLE);
	call->key->forgotten = call->daemon->model->arrivals;
	if (!error && call->id && call->key->direct == call->id)
		call->key->floor = MAX(call->key->floor, call->key->direct_version);
	call_free(call);
}

/* ---- waits ---- */

/* It knows nothing of serials of before its start. */
static bool is_memory(const struct sim_daemon *daemon)
{
	return daemon->config.storage_durability == CONFIG_DURABILITY_MEMORY;
}

void answer_wait(void *data, int error, const char *detail)
{
	struct sim_call *call = data;
	struct sim_daemon *daemon = call->daemon;

	(void)detail;
	if (!answered(call, error))
		return;
	if (error == HF_TIMEOUT && call->settled)
		g_error("a call of kind %d timed out, but had nothing to wait for",
			(int)call->kind);
	if (error == HF_TIMEOUT)
		g_assert_cmpuint(daemon_monotonic(daemon) - call->asked_at, >=, call->timeout);
	else if (error == HF_UNAVAILABLE)
		g_assert_true(daemon->stopping);
	else if (error == HF_INVALID_VALUE)
		g_assert_true(call->serial == 0 || call->serial > call->area->last_serial ||
			      is_memory(daemon));
	if (error == HF_TIMEOUT || error == HF_UNAVAILABLE || error == HF_INVALID_VALUE)
		call_free(call);
	else
		g_ptr_array_add(daemon->waits, call);
}

/* What an Await may have ended with. */
static void check_await(const struct sim_call *call)
{
	struct sim_count *count = &call->daemon->sim->count;
	const struct model_write *write = NULL;
	bool refused = false, dropped = false;

	for (unsigned int i = call->area->writes->len, n = 0; i-- > 0 && n < LOOKED_AT; n++) {
		const struct model_write *other = call->area->writes->pdata[i];

		if (!other->serial)
			continue;
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
	if (call->error == HF_REJECTED)
		g_assert_true(refused);
	else if (call->error == HF_QUOTA_EXCEEDED)
		g_assert_true(dropped);
	else
		g_assert_cmpint(call->error, ==, HF_OK);
	count->awaits_refused += call->error == HF_REJECTED;
	count->awaits_dropped += call->error == HF_QUOTA_EXCEEDED;
	count->awaits_acked += call->error == HF_OK && write->fate == FATE_ACKED;
	/* What a power loss took, with Durability=normal, nobody remembers. */
	if (call->error == HF_OK && !(write->fate == FATE_DROPPED && !write->dropped))
		g_assert_cmpint(write->fate, ==, FATE_ACKED);
}

/* No write from before it waits, nor any that took the place of one. */
static void check_flush(const struct sim_call *call)
{
	const GPtrArray *writes = call->area->writes;

	call->daemon->sim->count.flushes++;
	g_assert_cmpint(call->error, ==, HF_OK);
	for (unsigned int i = writes->len, n = 0; i-- > 0 && n < LOOKED_AT; n++) {
		const struct model_write *write = writes->pdata[i];

		if (write->arrival > call->arrival)
			continue;
		while (write->fate == FATE_REPLACED && !write->doubt)
			write = write->heir;
		g_assert_cmpint(write->fate, !=, FATE_QUEUED);
	}
}

void client_check(struct sim_daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->waits->len; i++) {
		struct sim_call *call = daemon->waits->pdata[i];

		if (call->kind == CALL_AWAIT)
			check_await(call);
		else
			check_flush(call);
		call_free(call);
	}
	g_ptr_array_set_size(daemon->waits, 0);
	for (unsigned int i = 0; i < daemon->waiting->len; i++)
		check_time(daemon->waiting->pdata[i]);
}

void client_sweep(struct sim_daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->waits->len; i++)
		call_free(daemon->waits->pdata[i]);
	g_ptr_array_set_size(daemon->waits, 0);
}

/* ---- events ---- */

void client_event(void *data, struct area *area, const struct area_event *event)
{
	struct sim_daemon *daemon = data;
	struct model_area *known = &daemon->model->areas[truth_area(area_name(area))];

	if (daemon_is_dead(daemon))
		return;
	if (event->type == AREA_ITEM_DROPPED) {
		check_full(daemon, known->index, true);
		model_dropped(known, event->serial, event->key);
	} else if (event->type == AREA_ITEM_REJECTED) {
		model_rejected(known, event->serial, event->key);
	}
}
