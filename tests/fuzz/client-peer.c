/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See client-peer.h. */

#include <errno.h>
#include <string.h>

#include "client-peer.h"
#include "core/limits.h"
#include "holdfast-parentd/session.h"

/* What must come as an answer. */
enum kind {
	KIND_WELCOME,
	KIND_RESPONSE,
	KIND_BATCH,
	KIND_SINGLE,
	KIND_ERROR,
};

struct expected {
	enum kind kind;
	bool submitted;		/* the committer has it; not of a response or an error */
	char *request_id;
	uint64_t number;	/* of a batch */
	char *area, *key;	/* of a response */
	struct fate fate;
};

static struct peer_world *the_world;

void __real_committer_submit(struct committer *committer, struct request *request,
			     committer_done_t done, void *data);
void __wrap_committer_submit(struct committer *committer, struct request *request,
			     committer_done_t done, void *data);

static void expected_free(struct client_peer *peer, struct expected *expected)
{
	ledger_model_forget(peer->world->model, &expected->fate);
	fate_deinit(&expected->fate);
	g_free(expected->request_id);
	g_free(expected->area);
	g_free(expected->key);
	g_free(expected);
}

static struct expected *expect(struct client_peer *peer, enum kind kind, const char *request_id)
{
	struct expected *expected = g_new0(struct expected, 1);

	expected->kind = kind;
	expected->request_id = g_strdup(request_id);
	g_queue_push_tail(&peer->expected, expected);
	return expected;
}

/* ---- what is submitted ---- */

static enum kind kind_of(const struct request *request)
{
	switch (request->kind) {
	case REQUEST_BATCH:
		return KIND_BATCH;
	case REQUEST_SINGLE:
		return KIND_SINGLE;
	case REQUEST_ARRIVE:
	case REQUEST_DEPART:
		break;
	}
	return KIND_WELCOME;
}

/* The first that asks for the disk and has not come to it yet. */
static struct expected *first_unsubmitted(struct client_peer *peer)
{
	for (GList *i = peer->expected.head; i; i = i->next) {
		struct expected *expected = i->data;

		if (!expected->submitted && expected->kind != KIND_RESPONSE &&
		    expected->kind != KIND_ERROR)
			return expected;
	}
	return NULL;
}

/* Of those with the same name only the newest is served: the others have been closed by now. */
static struct client_peer *find_peer(struct peer_world *world, const struct request *request)
{
	for (unsigned int i = world->peers->len; i-- > 0;) {
		struct client_peer *peer = world->peers->pdata[i];

		if (peer->client && strcmp(peer->client, request->client) == 0 &&
		    strcmp(peer->principal, request->principal) == 0 &&
		    !memory_stream_is_closed(peer->stream))
			return peer;
	}
	return NULL;
}

/* Nothing is submitted that was not asked for, and in the order it was. */
void __wrap_committer_submit(struct committer *committer, struct request *request,
			     committer_done_t done, void *data)
{
	if (request->kind != REQUEST_DEPART) {
		struct client_peer *peer = find_peer(the_world, request);
		struct expected *expected = peer ? first_unsubmitted(peer) : NULL;

		g_assert_nonnull(expected);
		g_assert_cmpint(expected->kind, ==, kind_of(request));
		g_assert_cmpuint(expected->number, ==, request->number);
		expected->submitted = true;
		ledger_model_expect(the_world->model, request, &expected->fate);
	}
	__real_committer_submit(committer, request, done, data);
}

/* ---- what must come of a line ---- */

static void expect_end(struct client_peer *peer, const char *request_id)
{
	expect(peer, KIND_ERROR, request_id);
	peer->closing = peer->may_close = true;
}

/* The same client once more: the older connection has to end. */
static void supersede(struct client_peer *peer)
{
	for (unsigned int i = 0; i < peer->world->peers->len; i++) {
		struct client_peer *other = peer->world->peers->pdata[i];

		if (other != peer && other->client && !other->closed &&
		    strcmp(other->client, peer->client) == 0 &&
		    strcmp(other->principal, peer->principal) == 0)
			other->closing = other->may_close = true;
	}
}

static void expect_hello(struct client_peer *peer, const struct message *m)
{
	const char *principal = peer->principal;

	if (peer->client || m->hello.protocol != WIRE_PROTOCOL) {
		expect_end(peer, NULL);
		return;
	}
	if (!principal && m->hello.token)
		principal = g_hash_table_lookup(peer->world->tokens, m->hello.token);
	if (!principal) {
		expect_end(peer, NULL);
		return;
	}
	if (!peer->principal) {
		peer->principal = g_strdup(principal);
		peer->token = g_strdup(m->hello.token);
	}
	peer->client = g_strdup(m->hello.client);
	supersede(peer);
	expect(peer, KIND_WELCOME, NULL);
}

static void expect_item(struct client_peer *peer, const struct message *m)
{
	struct expected *expected;

	if (m->type == MESSAGE_SAVE && m->unclean) {
		expect(peer, KIND_ERROR, m->request_id);
		return;
	}
	expected = expect(peer, m->type == MESSAGE_GET ? KIND_RESPONSE : KIND_SINGLE,
			  m->request_id);
	expected->area = g_strdup(m->item.area);
	expected->key = g_strdup(m->item.key);
}

static void expect_ping(struct client_peer *peer, const struct message *m)
{
	g_queue_push_tail(&peer->pings, g_memdup2(&m->ping.time, sizeof(m->ping.time)));
}

static void expect_message(struct client_peer *peer, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_HELLO:
		expect_hello(peer, m);
		break;
	case MESSAGE_PING:
		expect_ping(peer, m);
		break;
	case MESSAGE_GET:
	case MESSAGE_SAVE:
	case MESSAGE_REMOVE:
		expect_item(peer, m);
		break;
	case MESSAGE_BATCH:
		expect(peer, KIND_BATCH, m->request_id)->number = m->batch.number;
		break;
	case MESSAGE_ERROR:
		break;
	case MESSAGE_WELCOME:
	case MESSAGE_PONG:
	case MESSAGE_RESPONSE:
	case MESSAGE_BATCH_ACK:
	case MESSAGE_ACK:
	case MESSAGE_WATCH:
	case MESSAGE_WATCHING:
	case MESSAGE_ITEM_CHANGED:
	case MESSAGE_UNKNOWN:
		expect(peer, KIND_ERROR, m->request_id);
		break;
	}
}

static void expect_line(struct client_peer *peer, const char *line, size_t len)
{
	g_autofree char *request_id = NULL;
	struct message m = { 0 };
	int r;

	if (len > LIMIT_LINE_BYTES) {
		peer->closing = peer->may_close = true;
		return;
	}
	r = message_parse(line, len, &m, NULL, &request_id);
	if (r == -ENOMSG || (r == 0 && m.type == MESSAGE_ERROR)) {
		if (!peer->client)
			peer->closing = peer->may_close = true;
	} else if (r == -EPROTO && peer->client) {
		expect(peer, KIND_ERROR, request_id);
	} else if (r < 0) {
		expect_end(peer, request_id);
	} else if (!peer->client && m.type != MESSAGE_HELLO) {
		expect_end(peer, m.request_id);
	} else {
		expect_message(peer, &m);
	}
	message_deinit(&m);
}

void client_peer_say(struct client_peer *peer, const char *bytes, size_t len)
{
	const char *newline;

	if (peer->cut || memory_stream_is_closed(peer->stream))
		return;
	memory_stream_say(peer->stream, bytes, len);
	while ((newline = memchr(bytes, '\n', len))) {
		size_t n = (size_t)(newline - bytes);

		g_string_append_len(peer->partial, bytes, (gssize)n);
		if (!peer->closing)
			expect_line(peer, peer->partial->str, peer->partial->len);
		g_string_truncate(peer->partial, 0);
		peer->partial_since = 0;
		bytes += n + 1;
		len -= n + 1;
	}
	g_string_append_len(peer->partial, bytes, (gssize)len);
	if (peer->partial->len > 0 && !peer->partial_since)
		peer->partial_since = peer->world->now;
	/* What is too long is found before its end, and of a stranger much earlier. */
	if (peer->partial->len > LIMIT_LINE_BYTES ||
	    (!peer->principal &&
	     MAX(peer->partial->len, memory_stream_unread(peer->stream)) > SESSION_HELLO_BYTES))
		peer->may_close = true;
}

/* ---- what comes ---- */

static void check_welcome(struct client_peer *peer, const struct expected *expected,
			  const struct message *m)
{
	uint64_t last = ledger_model_last(peer->world->model, peer->principal, peer->client);

	g_assert_cmpint(m->type, ==, MESSAGE_WELCOME);
	g_assert_true(expected->fate.done);
	g_assert_cmpint(m->welcome.protocol, ==, WIRE_PROTOCOL);
	g_assert_cmpstr(m->welcome.epoch, ==, peer->world->epoch);
	g_assert_cmpuint(m->welcome.last_batch, <=, last);
	if (!first_unsubmitted(peer) && g_queue_get_length(&peer->expected) == 1)
		g_assert_cmpuint(m->welcome.last_batch, ==, last);
}

static void check_response(struct client_peer *peer, const struct expected *expected,
			   const struct message *m)
{
	struct ledger_model *model = peer->world->model;

	g_assert_cmpint(m->type, ==, MESSAGE_RESPONSE);
	g_assert_cmpstr(m->item.key, ==, expected->key);
	g_assert_cmpuint(m->item.revision, <=, model->revision);
	g_assert_cmpuint(m->item.revision, >=, peer->floor);
	peer->floor = m->item.revision;
	g_assert_cmpstr(m->item.value, ==,
			ledger_model_get(model, peer->principal, expected->area, expected->key,
					 m->item.revision));
}

/* Return: whether that was it. */
static bool check_failure(const struct expected *expected, const struct message *m)
{
	g_assert_true(expected->fate.done);
	if (!expected->fate.error)
		return false;
	g_assert_cmpint(m->type, ==, MESSAGE_ERROR);
	g_assert_cmpint(m->error.class, ==,
			expected->fate.error == -ENOSPC ? WIRE_CAPACITY : WIRE_TRANSIENT);
	return true;
}

static void check_results(struct client_peer *peer, const struct outcome *outcome,
			  const struct message *m)
{
	uint64_t revision = outcome->base;

	g_assert_cmpuint(m->batch_ack.n_results, ==, strlen(outcome->verdicts));
	for (size_t i = 0; i < m->batch_ack.n_results; i++) {
		const struct wire_result *result = &m->batch_ack.results[i];

		g_assert_cmpint(result->error, ==, verdict_error(outcome->verdicts[i]));
		if (!result->error)
			g_assert_cmpuint(result->revision, ==, ++revision);
	}
	if (!outcome->duplicate)
		peer->floor = MAX(peer->floor, revision);
}

static void check_batch(struct client_peer *peer, const struct expected *expected,
			const struct message *m)
{
	const struct outcome *outcome = &expected->fate.outcome;

	if (check_failure(expected, m))
		return;
	if (outcome->refused) {
		g_assert_cmpint(m->type, ==, MESSAGE_ERROR);
		g_assert_cmpint(m->error.class, ==, WIRE_PERMANENT);
		return;
	}
	g_assert_cmpint(m->type, ==, MESSAGE_BATCH_ACK);
	g_assert_cmpuint(m->batch_ack.number, ==, expected->number);
	g_assert_cmpstr(m->batch_ack.id, ==, outcome->id);
	g_assert_true(m->batch_ack.duplicate == outcome->duplicate);
	g_assert_true(m->batch_ack.has_results == outcome->has_results);
	if (outcome->has_results)
		check_results(peer, outcome, m);
}

static void check_single(struct client_peer *peer, const struct expected *expected,
			 const struct message *m)
{
	const struct outcome *outcome = &expected->fate.outcome;

	if (check_failure(expected, m))
		return;
	switch (verdict_error(outcome->verdicts[0])) {
	case WIRE_OP_OK:
		g_assert_cmpint(m->type, ==, MESSAGE_ACK);
		g_assert_cmpuint(m->item.revision, ==, outcome->base + 1);
		peer->floor = MAX(peer->floor, outcome->base + 1);
		break;
	case WIRE_OP_REJECTED:
		g_assert_cmpint(m->type, ==, MESSAGE_ERROR);
		g_assert_cmpint(m->error.class, ==, WIRE_PERMANENT);
		break;
	case WIRE_OP_QUOTA:
		g_assert_cmpint(m->type, ==, MESSAGE_ERROR);
		g_assert_cmpint(m->error.class, ==, WIRE_CAPACITY);
		break;
	}
}

static void check_answer(struct client_peer *peer, const struct expected *expected,
			 const struct message *m)
{
	peer->world->answers++;
	g_assert_cmpstr(m->request_id, ==, expected->request_id);
	switch (expected->kind) {
	case KIND_WELCOME:
		check_welcome(peer, expected, m);
		break;
	case KIND_RESPONSE:
		check_response(peer, expected, m);
		break;
	case KIND_BATCH:
		check_batch(peer, expected, m);
		break;
	case KIND_SINGLE:
		check_single(peer, expected, m);
		break;
	case KIND_ERROR:
		g_assert_cmpint(m->type, ==, MESSAGE_ERROR);
		break;
	}
}

/* Time may have run out for it. */
static bool is_late(const struct client_peer *peer)
{
	uint64_t now = peer->world->now;

	if (!peer->client && now >= peer->since + SESSION_HELLO_USEC)
		return true;
	if (peer->partial_since && now >= peer->partial_since + 10 * USEC_PER_SEC)
		return true;
	return peer->deaf_since && now >= peer->deaf_since + SESSION_STALL_USEC;
}

/* Why it is sent away, past all that waits: the last word. */
static bool is_last_word(const struct client_peer *peer, const struct message *m)
{
	return (peer->may_close || is_late(peer)) && m->type == MESSAGE_ERROR && !m->request_id &&
	       memory_stream_is_closed(peer->stream) &&
	       memory_stream_heard(peer->stream)->len == 0;
}

static void hear_pong(struct client_peer *peer, const struct message *m)
{
	g_autofree int64_t *time = g_queue_pop_head(&peer->pings);

	g_assert_nonnull(time);
	g_assert_cmpint(m->pong.time, ==, *time);
}

static void hear_message(struct client_peer *peer, const struct message *m)
{
	struct expected *expected = g_queue_peek_head(&peer->expected);

	g_assert_false(peer->told);
	if (m->type == MESSAGE_PONG) {
		hear_pong(peer, m);
		return;
	}
	if (is_last_word(peer, m) &&
	    (!expected || expected->kind != KIND_ERROR || expected->request_id)) {
		peer->told = true;
		return;
	}
	if (!expected)
		g_error("an answer to nothing, of type %d: %s", m->type,
			m->type == MESSAGE_ERROR ? m->error.message : "");
	check_answer(peer, expected, m);
	g_queue_pop_head(&peer->expected);
	expected_free(peer, expected);
}

static void hear_lines(struct client_peer *peer)
{
	GString *heard = memory_stream_heard(peer->stream);
	const char *newline;

	while ((newline = memchr(heard->str, '\n', heard->len))) {
		g_autofree char *line = g_strndup(heard->str, (size_t)(newline - heard->str));
		struct message m;

		g_string_erase(heard, 0, (gssize)(newline - heard->str) + 1);
		g_assert_cmpint(message_parse(line, strlen(line), &m, NULL, NULL), ==, 0);
		g_assert_false(m.unclean);
		hear_message(peer, &m);
		message_deinit(&m);
	}
}

static void forget_expected(struct client_peer *peer)
{
	struct expected *expected;

	while ((expected = g_queue_pop_head(&peer->expected)))
		expected_free(peer, expected);
	g_queue_clear_full(&peer->pings, g_free);
	g_queue_init(&peer->pings);
}

void client_peer_cut(struct client_peer *peer, bool reset)
{
	peer->cut = peer->closing = peer->may_close = true;
	if (reset)
		memory_stream_reset(peer->stream);
	else
		memory_stream_end(peer->stream);
}

void client_peer_tokens_changed(struct client_peer *peer)
{
	const char *principal;

	if (!peer->token)
		return;
	principal = g_hash_table_lookup(peer->world->tokens, peer->token);
	if (g_strcmp0(principal, peer->principal) != 0)
		peer->closing = peer->may_close = true;
}

void client_peer_hear(struct client_peer *peer)
{
	hear_lines(peer);
	if (peer->closed || !memory_stream_is_closed(peer->stream))
		return;
	if (!peer->may_close && !is_late(peer))
		g_error("a connection was ended for nothing");
	peer->closed = true;
	forget_expected(peer);
}

void client_peer_finish(struct client_peer *peer)
{
	client_peer_hear(peer);
	if (peer->closed)
		return;
	g_assert_false(peer->closing);
	g_assert_cmpuint(memory_stream_unread(peer->stream), ==, 0);
	g_assert_cmpuint(g_queue_get_length(&peer->expected), ==, 0);
	g_assert_cmpuint(g_queue_get_length(&peer->pings), ==, 0);
}

uint64_t client_peer_next(const struct client_peer *peer)
{
	uint64_t last = 0;

	if (!peer->client)
		return 1;
	last = ledger_model_last(peer->world->model, peer->principal, peer->client);
	for (GList *i = peer->expected.head; i; i = i->next) {
		const struct expected *expected = i->data;

		if (expected->kind == KIND_BATCH)
			last = MAX(last, expected->number);
	}
	return last + 1;
}

/* ---- life ---- */

struct client_peer *client_peer_new(struct peer_world *world, const char *principal)
{
	struct client_peer *peer = g_new0(struct client_peer, 1);

	peer->world = world;
	peer->stream = memory_stream_new();
	peer->principal = g_strdup(principal);
	peer->since = world->now;
	peer->partial = g_string_new(NULL);
	g_queue_init(&peer->expected);
	g_queue_init(&peer->pings);
	g_ptr_array_add(world->peers, peer);
	the_world = world;
	return peer;
}

void client_peer_free(struct client_peer *peer)
{
	forget_expected(peer);
	g_object_unref(peer->stream);
	g_string_free(peer->partial, TRUE);
	g_free(peer->principal);
	g_free(peer->client);
	g_free(peer->token);
	g_free(peer);
}
