/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A call on its way; see area-call.h. */

#include "base/clock.h"
#include "core/error.h"
#include "engine/area-call.h"
#include "engine/engine.h"
#include "engine/local.h"
#include "parent/parent.h"

#define DETAIL_QUEUE_FULL  "The area's queue is full ([Queue] Limit, MaxBytes); wait until the parent " \
			   "takes what is queued (Flush)."
#define DETAIL_USER_FULL   "What is queued reaches [Limits] BytesPerUser; wait until the parent takes it " \
			   "(Flush)."
#define DETAIL_LOCAL_FULL  "The area's items reach [Storage] MaxBytes; remove some."

struct area_call *area_call_new(enum area_call_kind kind, uint64_t arrival, void *data)
{
	struct area_call *call = g_new0(struct area_call, 1);

	call->kind = kind;
	call->writes = &call->single;
	call->arrival = arrival;
	call->data = data;
	return call;
}

void area_call_answer(struct area_call *call, int error, const char *detail)
{
	if (call->wrote)
		call->wrote(call->data, error, detail, call->serial);
	else
		call->done(call->data, error, detail);
	if (call->writes != &call->single)
		g_free(call->writes);
	g_free(call->key);
	g_free(call->value);
	g_free(call);
}

void area_call_set_writes(struct area_call *call, const struct outbox_write *writes, size_t n,
			  bool group)
{
	call->n = n;
	call->group = group;
	if (n > 1)
		call->writes = g_memdup2(writes, n * sizeof(*writes));
	else
		call->single = writes[0];
}

int area_call_take_rejected(void *data, const struct store_rejected *row)
{
	struct area_call *call = data;

	if (call->key)
		return 0;
	call->key = g_strdup(row->key);
	call->value = g_strdup(row->value);
	call->single.op = row->remove ? OUTBOX_REMOVE : OUTBOX_SET;
	call->single.key = call->key;
	call->single.value = call->value;
	return 0;
}

void area_call_note_keys(struct area_call *call, GHashTable *unsettled)
{
	const uint64_t *newer;

	/* The key strings are the newest call's, which is the last to be answered. */
	for (size_t i = 0; i < call->n; i++) {
		newer = g_hash_table_lookup(unsettled, call->writes[i].key);
		if (!newer || *newer < call->arrival)
			g_hash_table_replace(unsettled, (char *)call->writes[i].key,
					     &call->arrival);
	}
}

void area_call_forget_keys(const struct area_call *call, GHashTable *unsettled)
{
	for (size_t i = 0; i < call->n; i++)
		if (g_hash_table_lookup(unsettled, call->writes[i].key) == &call->arrival)
			g_hash_table_remove(unsettled, call->writes[i].key);
}

/* ---- room ---- */

/* How much it makes the queue grow, what it replaces taken off. */
static int64_t call_growth(const struct area_call *call, struct outbox *outbox)
{
	const struct outbox_entry *old;
	int64_t bytes = 0;

	for (size_t i = 0; i < call->n; i++) {
		bytes += (int64_t)outbox_write_bytes(&call->writes[i]);
		old = outbox_find(outbox, call->writes[i].key);
		if (old && old->state == OUTBOX_PENDING && !old->group_index)
			bytes -= (int64_t)outbox_entry_bytes(old);
	}
	return bytes;
}

static int call_refuse(struct area_call *call, const char *detail)
{
	call->detail = detail;
	return HF_QUOTA_EXCEEDED;
}

int area_call_stage(struct area_call *call, struct engine *engine,
		    const struct area_call_place *place)
{
	bool local = engine->parent->local;
	int64_t growth = local ? local_growth(engine, place->area, call->writes, call->n) :
				 call_growth(call, place->outbox);
	uint64_t room = engine->ops->room(engine->ops_data, place->owner);

	if (call->writes[0].op == OUTBOX_SET && growth > 0 && (uint64_t)growth > room)
		return call_refuse(call, DETAIL_USER_FULL);
	if (local && !local_admit(engine, place->area, growth, *place->planned_growth))
		return call_refuse(call, DETAIL_LOCAL_FULL);
	if (outbox_stage(place->outbox, call->writes, call->n, call->group,
			 clock_monotonic(engine->clock), engine_queue_time(engine),
			 &call->serial))
		return call_refuse(call, DETAIL_QUEUE_FULL);
	if (local)
		*place->planned_growth += growth;
	return HF_OK;
}
