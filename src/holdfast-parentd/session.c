/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every message that is answered becomes a struct answer in a queue, and answers leave it from the
 * head only. A write goes to the committer the moment it is read; a read is made when its turn
 * comes, so it sees every write its own connection sent before. Only a pong overtakes: it says that
 * we live, however long the disk takes.
 *
 * The session is gone from the moment the host frees it, which it may do in any callback; answers
 * the committer still has then are left to end by themselves.
 */

#include <errno.h>

#include "answer.h"
#include "session.h"
#include "wire/channel.h"

struct session {
	const struct session_env *env;
	struct channel *channel;
	struct timer timer;	/* until hello; then while answers wait to be taken */
	char *principal;	/* NULL: a hello with a token has yet to tell */
	char *client;		/* NULL: no hello yet */
	bool welcomed;
	bool closing;		/* the last answer is in the queue: nothing more is heard */
	GQueue answers;		/* struct answer, oldest first */
	size_t bytes;		/* of memory, with what they answer */
	bool on_hold;		/* by the host */
	struct session_held held; /* as told last */
	uint64_t given;		/* bytes of answers handed to the channel */
	uint64_t taken_then;	/* what of them the peer had taken when the timer was armed */
};

/* ---- what waits to be taken ---- */

static uint64_t session_taken(const struct session *session)
{
	return session->given - channel_unsent(session->channel);
}

static void session_watch_unsent(struct session *session)
{
	session->taken_then = session_taken(session);
	if (session->taken_then < session->given)
		timer_arm_in(&session->timer, SESSION_STALL_USEC);
	else
		timer_disarm(&session->timer);
}

static void session_send(struct session *session, GString *line)
{
	session->given += line->len;
	channel_send(session->channel, line, 1);
	if (session->client && !timer_is_armed(&session->timer))
		session_watch_unsent(session);
}

static void session_on_timer(void *data)
{
	struct session *session = data;

	if (!session->client)
		session->env->ops->ended(session->env->data, session, "no hello in time");
	else if (session_taken(session) > session->taken_then)
		session_watch_unsent(session);
	else
		session->env->ops->ended(session->env->data, session,
					 "the peer does not read its answers");
}

/* ---- the queue of answers ---- */

/* Back-pressure: read on only while there is room for what comes of it. */
static void session_update_pause(struct session *session)
{
	bool full = g_queue_get_length(&session->answers) >= SESSION_ANSWERS ||
		    session->bytes >= SESSION_REQUEST_BYTES ||
		    channel_unsent(session->channel) >= SESSION_UNSENT_BYTES;

	full |= session->on_hold && session->client;
	channel_pause(session->channel, session->closing || full);
}

static void session_report(struct session *session)
{
	struct session_held then = session->held;

	session->held.requests = session->bytes;
	session->held.traffic =
		channel_unread(session->channel) + channel_unsent(session->channel);
	if (then.requests != session->held.requests || then.traffic != session->held.traffic)
		session->env->ops->held(session->env->data, session, &then, &session->held);
}

static void session_give(struct session *session, struct answer *answer)
{
	GString *line = answer_line(answer, session->env->reader, session->env->epoch,
				    SESSION_RETRY_MSEC);

	session->welcomed |= answer->message.type == MESSAGE_HELLO;
	session_send(session, line);
	if (answer->last)
		channel_end_after_flush(session->channel);
	if (answer->read_error < 0)
		session->env->ops->read_failed(session->env->data, answer->read_error);
}

static void session_pump(struct session *session)
{
	struct answer *answer;

	while ((answer = g_queue_peek_head(&session->answers)) && answer->state == ANSWER_DUE &&
	       channel_unsent(session->channel) < SESSION_UNSENT_BYTES) {
		g_queue_pop_head(&session->answers);
		session->bytes -= answer->bytes;
		session_give(session, answer);
		answer_free(answer);
	}
	session_report(session);
	session_update_pause(session);
}

static void session_committed(void *data, struct request *request, int error)
{
	struct answer *answer = data;

	(void)request;
	answer->state = ANSWER_DUE;
	answer->error = error;
	if (answer->session)
		session_pump(answer->session);
	else
		answer_free(answer);
}

static void session_push(struct session *session, struct answer *answer)
{
	g_queue_push_tail(&session->answers, answer);
	session->bytes += answer->bytes;
	if (answer_is_request(answer)) {
		answer->state = ANSWER_WAITS;
		committer_submit(session->env->committer, &answer->request, session_committed,
				 answer);
	}
	session_pump(session);
}

static void session_push_error(struct session *session, const char *request_id,
			       const struct session_refusal *refusal, bool last)
{
	struct message none = { .type = MESSAGE_ERROR };
	struct answer *answer = answer_new(session, session->principal, session->client, &none);

	answer->line = g_string_new(NULL);
	answer->last = last;
	message_format_error(answer->line, request_id, refusal->class, refusal->why,
			     refusal->retry_after);
	session->closing |= last;
	session_push(session, answer);
}

static void session_refuse(struct session *session, const char *request_id, const char *why,
			   bool last)
{
	const struct session_refusal refusal = { .class = WIRE_PERMANENT, .why = why };

	session_push_error(session, request_id, &refusal, last);
}

/*
 * What is no hello may have been one before the network damaged it, or be left over from another
 * connection. "permanent" would make its client stay away until somebody changes something.
 */
static void session_refuse_stranger(struct session *session, const char *request_id,
				    const char *why)
{
	const struct session_refusal refusal = { .class = WIRE_TRANSIENT, .why = why };

	session_push_error(session, request_id, &refusal, true);
}

/* ---- messages ---- */

/* Return: whether it is known now who the peer is. */
static bool session_admit(struct session *session, const char *token)
{
	const struct session_env *env = session->env;
	struct session_refusal refusal = { .class = WIRE_AUTH };

	if (!session->principal)
		session->principal = env->ops->admit(env->data, session, token, &refusal);
	if (!session->principal)
		session_push_error(session, NULL, &refusal, true);
	return session->principal;
}

static void session_hello(struct session *session, struct message *message)
{
	if (session->client) {
		session_refuse(session, NULL, "A second hello on one connection.", true);
		return;
	}
	if (message->hello.protocol != WIRE_PROTOCOL) {
		session_refuse(session, NULL, "This parent speaks protocol 1 only.", true);
		return;
	}
	if (!session_admit(session, message->hello.token))
		return;
	timer_disarm(&session->timer);
	session->client = g_strdup(message->hello.client);
	/* The older connection's batches are submitted: this hello queues up behind them. */
	session->env->ops->hello(session->env->data, session);
	session_push(session, answer_new(session, session->principal, session->client, message));
}

static void session_ping(struct session *session, const struct message *message)
{
	GString *line = g_string_new(NULL);
	struct message none = { .type = MESSAGE_PONG };
	struct answer *answer;

	message_format_pong(line, message->ping.time);
	if (session->welcomed) {
		session_send(session, line);
		session_update_pause(session);
		return;
	}
	answer = answer_new(session, session->principal, session->client, &none);
	answer->line = line;
	session_push(session, answer);
}

static void session_dispatch(struct session *session, struct message *message)
{
	switch (message->type) {
	case MESSAGE_HELLO:
		session_hello(session, message);
		break;
	case MESSAGE_PING:
		session_ping(session, message);
		break;
	case MESSAGE_SAVE:
		if (message->unclean) {
			session_refuse(session, message->request_id,
				       "The value is not clean UTF-8 text.", false);
			break;
		}
		/* fall through */
	case MESSAGE_GET:
	case MESSAGE_BATCH:
	case MESSAGE_REMOVE:
		session_push(session, answer_new(session, session->principal, session->client,
						 message));
		break;
	case MESSAGE_WATCH:
		session_refuse(session, message->request_id, "This parent does not offer watch.",
			       false);
		break;
	case MESSAGE_ERROR:
		break;
	case MESSAGE_WELCOME:
	case MESSAGE_PONG:
	case MESSAGE_RESPONSE:
	case MESSAGE_BATCH_ACK:
	case MESSAGE_ACK:
	case MESSAGE_WATCHING:
	case MESSAGE_ITEM_CHANGED:
		session_refuse(session, message->request_id, "Only a parent sends this type.",
			       false);
		break;
	case MESSAGE_UNKNOWN:
		session_refuse(session, message->request_id, "Unknown type of message.", false);
		break;
	}
}

/*
 * An error is never answered, however malformed: two peers would complain to each other for ever.
 * Whoever begins with one is not a client.
 */
static void session_on_error(struct session *session)
{
	if (!session->client)
		session->env->ops->ended(session->env->data, session, "an error came before hello");
}

static void session_line(void *data, const char *line, size_t len)
{
	struct session *session = data;
	struct message message = { 0 };
	g_autofree char *request_id = NULL;
	const char *why;
	int r;

	if (session->closing)
		return;
	r = message_parse(line, len, &message, &why, &request_id);
	if (r == -ENOMSG || (r == 0 && message.type == MESSAGE_ERROR))
		session_on_error(session);
	else if (r == -EPROTO && session->client)
		/* JSON, but not one of our messages: it costs this message only. */
		session_refuse(session, request_id, why, false);
	else if (r < 0 && session->client)
		session_refuse(session, request_id, why, true);
	else if (r < 0)
		session_refuse_stranger(session, request_id, why);
	else if (!session->client && message.type != MESSAGE_HELLO)
		session_refuse_stranger(session, message.request_id, "hello comes first.");
	else
		session_dispatch(session, &message);
	message_deinit(&message);
}

/* Past the queue of answers: what waits there will not be sent any more. */
static void session_last_word(struct session *session, enum wire_class class, const char *why)
{
	GString *line = g_string_new(NULL);

	message_format_error(line, NULL, class, why, 0);
	channel_send(session->channel, line, 0);
}

static void session_received(void *data)
{
	struct session *session = data;

	if (!session->principal && channel_unread(session->channel) > SESSION_HELLO_BYTES) {
		channel_cut(session->channel);
		session_last_word(session, WIRE_TRANSIENT, "A hello is not that long.");
		session->env->ops->ended(session->env->data, session, "its hello was too long");
		return;
	}
	session_report(session);
}

static void session_sent(void *data, uint64_t tag)
{
	struct session *session = data;

	(void)tag;
	if (session->client)
		session_watch_unsent(session);
	session_pump(session);
}

static void session_ended(void *data, enum channel_end end, const char *why)
{
	struct session *session = data;

	switch (end) {
	case CHANNEL_OVERLONG:
		session_last_word(session, session->client ? WIRE_PERMANENT : WIRE_TRANSIENT,
				  "A line over 8 MiB.");
		break;
	case CHANNEL_STALLED:
		session_last_word(session, WIRE_TRANSIENT, "A line took too long to come.");
		break;
	case CHANNEL_CLOSED:
		break;
	}
	session->env->ops->ended(session->env->data, session, why);
}

/* ---- life ---- */

struct session *session_new(const struct session_env *env, GIOStream *stream,
			    const char *principal)
{
	static const struct channel_ops ops = {
		.line = session_line,
		.received = session_received,
		.sent = session_sent,
		.ended = session_ended,
	};
	struct session *session = g_new0(struct session, 1);

	session->env = env;
	session->principal = g_strdup(principal);
	g_queue_init(&session->answers);
	timer_init(&session->timer, env->clock, session_on_timer, session);
	timer_arm_in(&session->timer, SESSION_HELLO_USEC);
	session->channel = channel_new(stream, env->clock, NULL, &ops, session);
	return session;
}

static void session_departed(void *data, struct request *request, int error)
{
	struct answer *answer = data;

	(void)request;
	(void)error;
	answer_free(answer);
}

/* From now on it counts as away: the time in which a client may be forgotten begins. */
static void session_depart(struct session *session)
{
	struct message none = { .type = MESSAGE_HELLO };
	struct answer *answer = answer_new(NULL, session->principal, session->client, &none);

	answer->request.kind = REQUEST_DEPART;
	answer->request.principal = answer->principal;
	answer->request.client = answer->client;
	committer_submit(session->env->committer, &answer->request, session_departed, answer);
}

struct session *session_free(struct session *session)
{
	struct answer *answer;

	if (!session)
		return NULL;

	while ((answer = g_queue_pop_head(&session->answers))) {
		if (answer->state == ANSWER_WAITS)
			answer->session = NULL;
		else
			answer_free(answer);
	}
	channel_free(session->channel);
	timer_deinit(&session->timer);
	if (session->client)
		session_depart(session);
	g_free(session->principal);
	g_free(session->client);
	g_free(session);
	return NULL;
}

struct session *session_evict(struct session *session, const struct session_refusal *refusal)
{
	GString *line = g_string_new(NULL);

	message_format_error(line, NULL, refusal->class, refusal->why, refusal->retry_after);
	channel_cut(session->channel);
	channel_send(session->channel, line, 0);
	return session_free(session);
}

void session_hold(struct session *session, bool hold)
{
	session->on_hold = hold;
	session_update_pause(session);
}

const struct session_held *session_held(const struct session *session)
{
	return &session->held;
}

const char *session_principal(const struct session *session)
{
	return session->principal;
}

const char *session_client(const struct session *session)
{
	return session->client;
}
