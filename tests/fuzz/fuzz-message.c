/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as a message. What is refused leaves nothing behind; what is accepted holds only clean
 * text within bounds, and formatted and parsed again it is the same message.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "core/limits.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	g_assert_true(!text || g_utf8_validate(text, -1, NULL));
}

static void check_ops(const struct wire_op *a, const struct wire_op *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		check_text(a[i].key);
		check_text(a[i].value);
		g_assert_cmpstr(a[i].area, ==, b[i].area);
		g_assert_cmpstr(a[i].key, ==, b[i].key);
		g_assert_cmpstr(a[i].value, ==, b[i].value);
		g_assert_cmpint(a[i].grouped, ==, b[i].grouped);
		g_assert_cmpuint(a[i].group, ==, b[i].group);
	}
}

static void check_results(const struct wire_result *a, const struct wire_result *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		check_text(a[i].message);
		g_assert_cmpint(a[i].error, ==, b[i].error);
		g_assert_cmpuint(a[i].revision, ==, b[i].revision);
		g_assert_cmpstr(a[i].message, ==, b[i].message);
	}
}

static void check_item(const struct message *a, const struct message *b)
{
	check_text(a->item.area);
	check_text(a->item.key);
	check_text(a->item.value);
	g_assert_cmpstr(a->item.area, ==, b->item.area);
	g_assert_cmpstr(a->item.key, ==, b->item.key);
	g_assert_cmpstr(a->item.value, ==, b->item.value);
	g_assert_cmpuint(a->item.revision, ==, b->item.revision);
}

static void check_session(const struct message *a, const struct message *b)
{
	if (a->type == MESSAGE_HELLO) {
		check_text(a->hello.token);
		g_assert_cmpstr(a->hello.client, ==, b->hello.client);
		g_assert_cmpstr(a->hello.token, ==, b->hello.token);
		g_assert_cmpint(a->hello.watch, ==, b->hello.watch);
	} else {
		g_assert_cmpstr(a->welcome.epoch, ==, b->welcome.epoch);
		g_assert_cmpuint(a->welcome.last_batch, ==, b->welcome.last_batch);
		g_assert_cmpint(a->welcome.watch, ==, b->welcome.watch);
	}
}

static void check_batch_ack(const struct message *a, const struct message *b)
{
	g_assert_cmpuint(a->batch_ack.number, ==, b->batch_ack.number);
	g_assert_cmpstr(a->batch_ack.id, ==, b->batch_ack.id);
	g_assert_cmpint(a->batch_ack.duplicate, ==, b->batch_ack.duplicate);
	g_assert_cmpint(a->batch_ack.has_results, ==, b->batch_ack.has_results);
	g_assert_cmpuint(a->batch_ack.n_results, ==, b->batch_ack.n_results);
	check_results(a->batch_ack.results, b->batch_ack.results, a->batch_ack.n_results);
}

static void check_batch(const struct message *a, const struct message *b)
{
	g_assert_cmpuint(a->batch.number, ==, b->batch.number);
	g_assert_cmpstr(a->batch.id, ==, b->batch.id);
	g_assert_cmpuint(a->batch.n_ops, ==, b->batch.n_ops);
	g_assert_cmpuint(a->batch.number, >=, 1);
	g_assert_cmpint(!a->batch.bad, ==, !b->batch.bad);
	g_assert_cmpint(!a->batch.bad, ==, a->batch.n_ops >= 1);
	g_assert_cmpuint(a->batch.n_ops, <=, LIMIT_BATCH_OPS);
	check_ops(a->batch.ops, b->batch.ops, a->batch.n_ops);
}

static void check_error(const struct message *a, const struct message *b)
{
	check_text(a->error.message);
	g_assert_cmpint(a->error.class, ==, b->error.class);
	g_assert_cmpstr(a->error.message, ==, b->error.message);
	g_assert_cmpuint(a->error.retry_after, ==, b->error.retry_after);
}

static void check_same(const struct message *a, const struct message *b)
{
	g_assert_cmpint(a->type, ==, b->type);
	g_assert_cmpstr(a->request_id, ==, b->request_id);
	switch (a->type) {
	case MESSAGE_HELLO:
	case MESSAGE_WELCOME:
		check_session(a, b);
		break;
	case MESSAGE_PING:
	case MESSAGE_PONG:
		g_assert_cmpint(a->ping.time, ==, b->ping.time);
		break;
	case MESSAGE_GET:
	case MESSAGE_RESPONSE:
	case MESSAGE_SAVE:
	case MESSAGE_REMOVE:
	case MESSAGE_ACK:
		check_item(a, b);
		break;
	case MESSAGE_BATCH:
		check_batch(a, b);
		break;
	case MESSAGE_BATCH_ACK:
		check_batch_ack(a, b);
		break;
	case MESSAGE_ERROR:
		check_error(a, b);
		break;
	case MESSAGE_WATCH:
	case MESSAGE_WATCHING:
	case MESSAGE_ITEM_CHANGED:
	case MESSAGE_UNKNOWN:
		break;
	}
}

static void format_session(GString *out, const struct message *m)
{
	if (m->type == MESSAGE_HELLO && m->hello.protocol == WIRE_PROTOCOL)
		message_format_hello(out, m->hello.client, m->hello.token, m->hello.watch);
	if (m->type == MESSAGE_WELCOME && m->welcome.protocol == WIRE_PROTOCOL)
		message_format_welcome(out, m->welcome.epoch, m->welcome.last_batch,
				       m->welcome.watch);
}

/* Nothing is formatted for types that only ever come in, and for a save without its value. */
static void format(GString *out, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_HELLO:
	case MESSAGE_WELCOME:
		format_session(out, m);
		break;
	case MESSAGE_PING:
		message_format_ping(out, m->ping.time);
		break;
	case MESSAGE_PONG:
		message_format_pong(out, m->pong.time);
		break;
	case MESSAGE_GET:
		message_format_get(out, m->request_id, m->item.area, m->item.key);
		break;
	case MESSAGE_RESPONSE:
		message_format_response(out, m->request_id, m->item.key, m->item.value,
					m->item.revision);
		break;
	case MESSAGE_SAVE:
		if (m->item.value)
			message_format_save(out, m->request_id, m->item.area, m->item.key,
					    m->item.value);
		break;
	case MESSAGE_REMOVE:
		message_format_remove(out, m->request_id, m->item.area, m->item.key);
		break;
	case MESSAGE_ACK:
		message_format_ack(out, m->request_id, m->item.revision);
		break;
	case MESSAGE_BATCH:
		message_format_batch(out, m->request_id, m->batch.number, m->batch.id, m->batch.ops,
				     m->batch.n_ops);
		break;
	case MESSAGE_BATCH_ACK:
		message_format_batch_ack(out, m->request_id, m->batch_ack.number, m->batch_ack.id,
					 m->batch_ack.duplicate,
					 m->batch_ack.has_results ? m->batch_ack.results : NULL,
					 m->batch_ack.n_results);
		break;
	case MESSAGE_ERROR:
		message_format_error(out, m->request_id, m->error.class, m->error.message,
				     m->error.retry_after);
		break;
	case MESSAGE_WATCH:
	case MESSAGE_WATCHING:
	case MESSAGE_ITEM_CHANGED:
	case MESSAGE_UNKNOWN:
		break;
	}
}

static void check_accepted(const struct message *m)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct message again = { 0 };

	check_text(m->request_id);
	g_assert_true(!m->request_id || strlen(m->request_id) <= LIMIT_REQUEST_ID_BYTES);
	g_assert_cmpuint(m->held, <=,
			 LIMIT_LINE_BYTES + (size_t)LIMIT_JSON_VALUES * LIMIT_JSON_VALUE_BYTES);
	format(out, m);
	if (out->len == 0)
		return;
	g_assert_true(g_utf8_validate(out->str, (gssize)out->len, NULL));
	g_assert_true(memchr(out->str, '\n', out->len) == out->str + out->len - 1);
	g_assert_cmpint(message_parse(out->str, out->len - 1, &again, NULL, NULL), ==, 0);
	g_assert_false(again.unclean);
	/* A ping keeps no requestId, nor does any other message outside a request. */
	if (!again.request_id)
		again.request_id = m->request_id;
	check_same(m, &again);
	message_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *request_id = NULL;
	const char *why = NULL;
	struct message m;
	int r;

	r = message_parse((const char *)data, size, &m, &why, &request_id);
	if (r == 0) {
		g_assert_null(request_id);
		check_accepted(&m);
		message_deinit(&m);
		return 0;
	}
	g_assert_true(r == -EBADMSG || r == -EPROTO || r == -ENOMSG);
	/* The strict look at the line lets nothing pass that json-glib then refuses. */
	g_assert_cmpstr(why, !=, "json-glib refuses it");
	check_text(request_id);
	return 0;
}
