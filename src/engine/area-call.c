/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A call on its way; see area-call.h. */

#include "engine/area-call.h"

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
