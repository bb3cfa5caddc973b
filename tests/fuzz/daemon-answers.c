/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the clients demand of each answer, whoever the parent is; see daemon-calls.h. */

#include <string.h>

#include "core/error.h"
#include "daemon-call.h"

#define ANSWER_USEC (5 * SEC)	/* design §3: every call is answered within it */
#define UNCLEAN	    "\n"	/* no text: what nobody wrote */

void call_free(struct call *call)
{
	if (call->writes)
		g_ptr_array_unref(call->writes);
	g_free(call->value);
	g_free(call);
}

void call_check_time(const struct call *call)
{
	const struct daemon_calls *calls = call->calls;
	uint64_t took = calls->bench->now - call->asked_at, most = ANSWER_USEC;

	/* Those that wait do so for the writes before them, and then for as long as was asked. */
	if (call->kind == CALL_AWAIT || call->kind == CALL_FLUSH)
		most = usec_add(call->timeout, ANSWER_USEC);
	took = usec_sub(took, calls->stalled - call->stalled);
	if (took > most)
		g_error("a call of kind %d took %" G_GUINT64_FORMAT " ms", (int)call->kind,
			took / MSEC);
}

/* Return: whether it is to be judged; else it was freed, for a ghost answered it. */
static bool answered(struct call *call, int error)
{
	if (!g_ptr_array_remove(call->calls->open, call))
		g_error("a call of kind %d was answered twice", (int)call->kind);
	call->error = error;
	if (call->calls->ghost) {
		call_free(call);
		return false;
	}
	call_check_time(call);
	return true;
}

/* ---- writes ---- */

void answer_write(void *data, int error, const char *detail, uint64_t serial)
{
	struct call *call = data;
	unsigned int n = call->writes->len;

	(void)detail;
	if (!answered(call, error))
		return;
	for (unsigned int i = 0; i < n; i++)
		model_answered(call->writes->pdata[i], error ? 0 : serial - (n - 1 - i));
	if (call->again && !error)
		call->again->retried = true;
	g_assert_cmpint(error, !=, HF_UNAVAILABLE);
	call_free(call);
}

void answer_drop(void *data, int error, const char *detail)
{
	struct call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	if (!error)
		call->again->retried = true;
	call_free(call);
}

/* ---- reads ---- */

/* The last write of @key that the read came after; those that failed never were. */
static const struct model_write *find_base(const struct model_key *key, uint64_t arrival)
{
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if (write->fate == FATE_FAILED || write->arrival >= arrival)
			continue;
		/* The read sees it. (A retry of what is refused no more will fail.) */
		if (!write->retry)
			g_assert_cmpint(write->fate, !=, FATE_ASKED);
		if (write->fate != FATE_ASKED)
			return write;
	}
	return NULL;
}

/* Whether a newer write, which may have taken its place, was dropped since the queue was looked at. */
static bool may_be_gone(const struct model_write *write)
{
	const GPtrArray *writes = write->key->writes;

	for (unsigned int i = writes->len; i-- > 0 && writes->pdata[i] != write;) {
		const struct model_write *newer = writes->pdata[i];

		if (newer->fate == FATE_QUEUED && newer->dropped)
			return true;
	}
	return false;
}

/* Whether it, or what took its place, waits for the parent for certain. */
static bool waits(const struct model_write *write)
{
	while (write && write->fate == FATE_REPLACED && !write->doubt)
		write = write->heir;
	return write && write->fate == FATE_QUEUED && !write->told && !write->refused &&
	       !write->dropped && !may_be_gone(write);
}

/* A write that waits is read by everybody, or a newer one. */
static void check_read(const struct call *call, const struct model_key *key, const char *value)
{
	const struct model_write *base = find_base(key, call->arrival);

	if (!waits(base))
		return;
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if (write->fate != FATE_FAILED && write->fate != FATE_ASKED &&
		    g_strcmp0(write->value, value) == 0)
			return;
		if (write == base)
			break;
	}
	g_error("a read of %s got %s, not %s or newer", key->name, value ? value : "nothing",
		base->value ? base->value : "nothing");
}

void answer_get(void *data, int error, const char *detail, const struct reader_item *item)
{
	struct call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	g_assert_true(!error == !!item);
	g_assert_true(error == HF_OK || error == HF_NO_SUCH_ITEM || error == HF_UNAVAILABLE ||
		      error == HF_INVALID_VALUE);
	if (item)
		g_assert_true(g_utf8_validate(item->value, -1, NULL));
	/* Past the overlay it is what the parent says. */
	if (call->source != READER_PARENT)
		check_read(call, call->key, item ? item->value :
			   error == HF_NO_SUCH_ITEM ? NULL : UNCLEAN);
	call_free(call);
}

static const char *find_value(const char *key, const GPtrArray *keys, const GPtrArray *values)
{
	for (unsigned int i = 0; i < keys->len; i++)
		if (strcmp(keys->pdata[i], key) == 0)
			return values->pdata[i];
	return NULL;
}

void answer_get_many(void *data, int error, const char *detail, GPtrArray *keys, GPtrArray *values)
{
	struct call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	g_assert_true(error == HF_OK || error == HF_UNAVAILABLE || error == HF_INVALID_VALUE);
	for (unsigned int k = 0; !error && k < SIM_KEYS; k++)
		check_read(call, &call->area->keys[k],
			   find_value(call->area->keys[k].name, keys, values));
	call_free(call);
}

/* ---- direct ---- */

void answer_direct_get(void *data, int error, const char *detail, const char *value)
{
	struct call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	g_assert_true(!error == !!value);
	call_free(call);
}

void answer_direct_write(void *data, int error, const char *detail)
{
	struct call *call = data;

	(void)detail;
	if (!answered(call, error))
		return;
	if (call->must_fail)
		g_assert_cmpint(error, ==, HF_UNAVAILABLE);
	call_free(call);
}

/* ---- waits ---- */

void answer_wait(void *data, int error, const char *detail)
{
	struct call *call = data;
	const struct daemon_calls *calls = call->calls;

	(void)detail;
	if (!answered(call, error))
		return;
	if (error == HF_TIMEOUT)
		g_assert_cmpuint(calls->bench->now - call->asked_at, >=, call->timeout);
	else if (error == HF_UNAVAILABLE)
		g_assert_true(calls->stopping);
	else if (error == HF_INVALID_VALUE)
		g_assert_true(call->serial == 0 || call->serial > call->area->last_serial);
	if (error == HF_TIMEOUT || error == HF_UNAVAILABLE || error == HF_INVALID_VALUE)
		call_free(call);
	else
		g_ptr_array_add(calls->waits, call);
}

static void check_await(const struct call *call)
{
	const struct model_write *write = NULL;
	bool refused = false, dropped = false;

	for (unsigned int i = call->area->writes->len; i-- > 0;) {
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
	if (call->error == HF_REJECTED) {
		g_assert_true(refused);
	} else if (call->error == HF_QUOTA_EXCEEDED) {
		g_assert_true(dropped);
	} else {
		g_assert_cmpint(call->error, ==, HF_OK);
		g_assert_cmpint(write->fate, ==, FATE_ACKED);
	}
}

/* No write from before it waits, nor any that took the place of one. */
static void check_flush(const struct call *call)
{
	const GPtrArray *writes = call->area->writes;

	g_assert_cmpint(call->error, ==, HF_OK);
	for (unsigned int i = writes->len; i-- > 0;) {
		const struct model_write *write = writes->pdata[i];

		if (write->arrival > call->arrival)
			continue;
		while (write->fate == FATE_REPLACED && !write->doubt)
			write = write->heir;
		g_assert_cmpint(write->fate, !=, FATE_QUEUED);
	}
}

void call_check_wait(const struct call *call)
{
	if (call->kind == CALL_AWAIT)
		check_await(call);
	else
		check_flush(call);
}
