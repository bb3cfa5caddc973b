/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The client's side of the wire protocol. The driver owns at most one struct connection; all that
 * was asked on a connection is in there, and dies with it.
 *
 * Everything the peer says is checked against what we asked: an answer to nothing, or of the wrong
 * kind, ends the connection, for whoever confuses its answers may confuse our data. Every handler
 * therefore takes its request out of the table first, and tells last: a callback may disconnect or
 * free the driver.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/key.h"
#include "core/limits.h"
#include "parent/address.h"
#include "parent/dial.h"
#include "parent/parent-json.h"
#include "parent/parent.h"
#include "parent/redaction.h"
#include "parent/requests.h"
#include "parent/token.h"
#include "parent/trust.h"
#include "wire/channel.h"
#include "wire/message.h"

/* What a line of ours is, for the channel to tell when it was taken. */
enum line_tag {
	LINE_PLAIN,		/* not told */
	LINE_BATCH,
	LINE_COMPLAINT,
};

struct connection {
	struct dial *dial;		/* until there is a channel */
	struct channel *channel;
	bool welcomed;
	char *token;			/* what hello said; NULL: none */
	struct requests *requests;
	unsigned int complaints;	/* our errors about unknown types, not yet taken */
	bool *gone;			/* set when this is freed */
};

struct json_parent {
	struct parent parent;
	struct address address;
	struct token *token;
	struct trust *trust;	/* NULL: not over TLS */
	int64_t peer_uid;
	struct clock *clock;
	GMainContext *context;
	struct connection *connection;
	uint64_t last_request;	/* the number in the newest requestId of all connections */
};

static struct json_parent *to_json(struct parent *parent)
{
	return (struct json_parent *)parent;
}

static struct connection *connection_new(uint64_t *last_request)
{
	struct connection *connection = g_new0(struct connection, 1);

	connection->requests = requests_new(last_request);
	return connection;
}

static void connection_free(struct connection *connection)
{
	if (!connection)
		return;

	if (connection->gone)
		*connection->gone = true;
	dial_free(connection->dial);
	channel_free(connection->channel);
	requests_free(connection->requests);
	g_free(connection->token);
	g_free(connection);
}

static void json_disconnect(struct parent *parent)
{
	connection_free(g_steal_pointer(&to_json(parent)->connection));
}

/* The connection is over: forget it, then tell. @why may be the connection's own. */
static void json_down(struct json_parent *json, enum parent_reason reason, const char *why,
		      uint64_t retry_after)
{
	g_autofree char *copy = g_strdup(why);

	json_disconnect(&json->parent);
	json->parent.link->down(json->parent.link_data, reason, copy, retry_after);
}

/* As json_down(), but in the peer's own words, which may hold anything: none for a log. */
static void json_down_quoting(struct json_parent *json, enum parent_reason reason,
			      const char *words, uint64_t retry_after)
{
	json->parent.quoting = true;
	json_down(json, reason, words, retry_after);
}

/* What no correct parent does. Nothing more of it is believed, and the next dial starts clean. */
static void json_garbage(struct json_parent *json, const char *why)
{
	json_down(json, PARENT_REASON_PROTOCOL, why, 0);
}

/* Tell the link that the peer lives. Return: whether the connection still stands. */
static bool json_lives(struct json_parent *json)
{
	struct connection *connection = json->connection;
	bool gone = false;

	connection->gone = &gone;
	json->parent.link->message(json->parent.link_data);
	if (!gone)
		connection->gone = NULL;
	return !gone;
}

/* ---- what the peer says ---- */

static void json_welcome(struct json_parent *json, const struct message *msg)
{
	struct parent_welcome welcome = { msg->welcome.epoch, msg->welcome.last_batch };
	g_autofree char *why = NULL;

	if (json->connection->welcomed) {
		json_garbage(json, "the parent said welcome twice");
		return;
	}
	if (msg->welcome.protocol != WIRE_PROTOCOL) {
		why = g_strdup_printf("the parent speaks protocol %" PRId64 ", we speak %d",
				      msg->welcome.protocol, WIRE_PROTOCOL);
		json_down(json, PARENT_REASON_VERSION, why, 0);
		return;
	}
	json->connection->welcomed = true;
	json->parent.link->welcome(json->parent.link_data, &welcome);
}

/* Take what @msg answers. Return: to be freed; NULL where the connection ended, for @msg answers
 * nothing that was asked. */
static struct request *json_answered(struct json_parent *json, const struct message *msg,
				     enum request_kind kind)
{
	struct request *request = requests_take(json->connection->requests, msg->request_id);

	if (request && request->kind == kind)
		return request;
	request_free(request);
	json_garbage(json, "the parent answered something that was not asked");
	return NULL;
}

/* Only a value may be unclean: an unclean key or id does not match what we asked. */
static void json_response(struct json_parent *json, const struct message *msg)
{
	struct request *request = json_answered(json, msg, REQUEST_GET);

	if (!request)
		return;
	if (g_strcmp0(msg->item.key, request->key) != 0)
		json_garbage(json, "the parent answered for another key than was asked");
	else if (json_lives(json))
		json->parent.data->got(json->parent.data_data, request->tag, NULL, msg->item.value,
				       msg->unclean && !msg->item.value, msg->item.revision);
	request_free(request);
}

/* The answer to a write of Direct, which no batch and no retry stands behind. */
static void json_ack(struct json_parent *json, const struct message *msg)
{
	struct request *request = json_answered(json, msg, REQUEST_WRITE);

	if (request && json_lives(json))
		json->parent.data->wrote(json->parent.data_data, request->tag, NULL,
					 msg->item.revision);
	request_free(request);
}

/*
 * The number is checked here, for a parent that acks what was not sent is broken. The id and the
 * results are storage's to judge: another id is how a rolled-back store of ours shows itself.
 */
static void json_batch_ack(struct json_parent *json, const struct message *msg)
{
	struct request *request = json_answered(json, msg, REQUEST_BATCH);

	if (!request)
		return;
	if (msg->batch_ack.number != request->number)
		json_garbage(json, "the parent acked another batch than was sent");
	else if (json_lives(json))
		json->parent.data->applied(json->parent.data_data, NULL, msg);
	request_free(request);
}

/* An error to one request. */
static void json_request_error(struct json_parent *json, const struct message *msg)
{
	const struct parent_data_ops *data = json->parent.data;
	void *data_data = json->parent.data_data;
	struct parent_error error = {
		.class = msg->error.class,
		.message = msg->error.message,
		.retry_after = msg->error.retry_after * USEC_PER_MSEC,
	};
	struct request *request = requests_take(json->connection->requests, msg->request_id);

	if (!request) {
		json_garbage(json, "the parent refused something that was not asked");
		return;
	}
	if (json_lives(json)) {
		switch (request->kind) {
		case REQUEST_GET:
			data->got(data_data, request->tag, &error, NULL, false, 0);
			break;
		case REQUEST_WRITE:
			data->wrote(data_data, request->tag, &error, 0);
			break;
		case REQUEST_BATCH:
			data->applied(data_data, &error, NULL);
			break;
		}
	}
	request_free(request);
}

/*
 * Before the welcome an error refuses us as a whole. What passes by itself is "refused", and dialled
 * again by backoff; what someone must change first is "auth", and makes the monitor hold.
 */
static void json_refused(struct json_parent *json, const struct message *msg)
{
	enum parent_reason reason = PARENT_REASON_REFUSED;

	switch (msg->error.class) {
	case WIRE_TRANSIENT:
	case WIRE_CAPACITY:
		break;
	case WIRE_AUTH:
	case WIRE_PERMANENT:
		reason = PARENT_REASON_AUTH;
		break;
	}
	json_down_quoting(json, reason, msg->error.message,
			  reason == PARENT_REASON_REFUSED ? msg->error.retry_after * USEC_PER_MSEC : 0);
}

/*
 * After the welcome: auth means that we may not be here at all, whatever it was about. An error
 * about nothing in particular says that the parent did not understand us. Everybody may read a
 * Reason, so words about what was sent for somebody, which may repeat it, do not go there.
 */
static void json_error(struct json_parent *json, const struct message *msg)
{
	if (!json->connection->welcomed)
		json_refused(json, msg);
	else if (msg->error.class == WIRE_AUTH && !msg->request_id)
		json_down_quoting(json, PARENT_REASON_AUTH, msg->error.message, 0);
	else if (msg->error.class == WIRE_AUTH)
		json_down(json, PARENT_REASON_AUTH, "the parent does not let us stay", 0);
	else if (msg->request_id)
		json_request_error(json, msg);
	else
		json_garbage(json, "the parent did not understand something that we sent");
}

/* A type of a later protocol is answered with an error, as far as the peer takes our answers. */
static void json_unknown(struct json_parent *json, const struct message *msg)
{
	struct connection *connection = json->connection;
	GString *line;

	/* A peer that talks and never reads would make our queue grow without end. */
	if (connection->complaints >= LIMIT_PARENT_COMPLAINTS) {
		json_garbage(json, "the parent floods us with messages of unknown types");
		return;
	}
	if (connection->welcomed && !json_lives(json))
		return;
	connection->complaints++;
	line = g_string_new(NULL);
	message_format_error(line, msg->request_id, WIRE_PERMANENT,
			     "this type of message is not known here", 0);
	channel_send(connection->channel, line, LINE_COMPLAINT);
}

static void json_message(struct json_parent *json, const struct message *msg)
{
	switch (msg->type) {
	case MESSAGE_WELCOME:
		json_welcome(json, msg);
		break;
	case MESSAGE_PONG:
		json->parent.link->pong(json->parent.link_data, msg->pong.time);
		break;
	case MESSAGE_RESPONSE:
		json_response(json, msg);
		break;
	case MESSAGE_BATCH_ACK:
		json_batch_ack(json, msg);
		break;
	case MESSAGE_ACK:
		json_ack(json, msg);
		break;
	case MESSAGE_ERROR:
		json_error(json, msg);
		break;
	case MESSAGE_UNKNOWN:
		json_unknown(json, msg);
		break;
	case MESSAGE_WATCHING:
	case MESSAGE_ITEM_CHANGED:
		json_garbage(json, "the parent told of a watch that was not asked for");
		break;
	case MESSAGE_HELLO:
	case MESSAGE_PING:
	case MESSAGE_GET:
	case MESSAGE_BATCH:
	case MESSAGE_SAVE:
	case MESSAGE_REMOVE:
	case MESSAGE_WATCH:
		json_garbage(json, "the parent sent what only a client may send");
		break;
	}
}

/* A pong before the welcome would be of a session that is not ours. */
static bool may_precede_welcome(enum message_type type)
{
	return type == MESSAGE_WELCOME || type == MESSAGE_ERROR || type == MESSAGE_UNKNOWN;
}

static void json_line(void *data, const char *line, size_t len)
{
	struct json_parent *json = data;
	struct message msg;
	const char *problem;
	g_autofree char *why = NULL;

	if (message_parse(line, len, &msg, &problem, NULL) < 0) {
		why = g_strdup_printf("the parent sent garbage: %s", problem);
		json_garbage(json, why);
		return;
	}
	redaction_apply(&msg, json->connection->token);
	if (!json->connection->welcomed && !may_precede_welcome(msg.type))
		json_garbage(json, "the parent spoke before it said welcome");
	else
		json_message(json, &msg);
	message_deinit(&msg);
}

/* ---- the connection ---- */

/* The last byte of a tagged line was taken: the clock of BatchTimeout starts with this. */
static void json_sent(void *data, uint64_t tag)
{
	struct json_parent *json = data;

	if (tag == LINE_COMPLAINT)
		json->connection->complaints--;
	else if (tag == LINE_BATCH)
		json->parent.data->batch_sent(json->parent.data_data);
}

static void json_ended(void *data, enum channel_end end, const char *why)
{
	enum parent_reason reason = PARENT_REASON_CLOSED;

	switch (end) {
	case CHANNEL_CLOSED:
		break;
	case CHANNEL_OVERLONG:
		reason = PARENT_REASON_PROTOCOL;
		break;
	case CHANNEL_STALLED:
		reason = PARENT_REASON_TIMEOUT;
		break;
	}
	json_down(data, reason, why, 0);
}

static void json_say_hello(struct json_parent *json, const char *token)
{
	GString *line = g_string_new(NULL);

	/* Watches are not asked for: what others write is seen when its cached copy is stale. */
	message_format_hello(line, json->parent.client, token, false);
	channel_send(json->connection->channel, line, LINE_PLAIN);
}

/* The end of a dial, or the begin of a connection: hello goes out before anything else. */
static void json_dialled(void *data, GIOStream *stream, enum parent_reason reason, const char *why)
{
	static const struct channel_ops channel_ops = {
		.line = json_line,
		.sent = json_sent,
		.ended = json_ended,
	};
	struct json_parent *json = data;
	struct connection *connection = json->connection;
	g_autofree char *token = NULL, *problem = NULL;

	if (!stream) {
		json_down(json, reason, why, 0);
		return;
	}
	if (token_read(json->token, &token, &problem) < 0) {
		json_down(json, PARENT_REASON_AUTH, problem, 0);
		return;
	}
	connection->dial = dial_free(connection->dial);
	connection->channel =
		channel_new(stream, json->clock, json->context, &channel_ops, json);
	connection->token = g_steal_pointer(&token);
	json_say_hello(json, connection->token);
	json->parent.link->up(json->parent.link_data);
}

static void json_connect(struct parent *parent)
{
	struct json_parent *json = to_json(parent);
	const struct dial_params params = {
		.address = &json->address,
		.peer_uid = json->peer_uid,
		.trust = json->trust,
		.clock = json->clock,
		.context = json->context,
	};

	json_disconnect(parent);
	parent->quoting = false;
	json->connection = connection_new(&json->last_request);
	json->connection->dial = dial_new(&params, json_dialled, json);
}

/* ---- what we ask ---- */

/* Where there is no session there is nothing to find out. */
static void json_ping(struct parent *parent, int64_t id)
{
	struct connection *connection = to_json(parent)->connection;
	GString *line;

	if (!connection || !connection->welcomed)
		return;
	line = g_string_new(NULL);
	message_format_ping(line, id);
	channel_send(connection->channel, line, LINE_PLAIN);
}

/* Return: 0, or as ops->get() for a request of about @bytes. */
static int json_may_ask(struct connection *connection, int64_t owner, size_t bytes)
{
	if (!connection || !connection->welcomed)
		return -ENOTCONN;
	if (requests_count(connection->requests) >= LIMIT_PARENT_REQUESTS ||
	    channel_unsent(connection->channel) >= LIMIT_PARENT_UNSENT_BYTES)
		return -EBUSY;
	return requests_has_share(connection->requests, owner, bytes) ? 0 : -EDQUOT;
}

/* A get, or a write, of nothing where @value is NULL. @request: its kind and tag. */
static int json_ask(struct parent *parent, struct request request, const char *area,
		    const char *key, const char *value)
{
	struct connection *connection = to_json(parent)->connection;
	const char *id;
	GString *line;
	int r;

	request.owner = area_full_name_owner(area);
	r = json_may_ask(connection, request.owner, strlen(key) + (value ? strlen(value) : 0));
	if (r < 0)
		return r;
	request.key = request.kind == REQUEST_GET ? g_strdup(key) : NULL;
	id = requests_add(connection->requests, request);
	line = g_string_new(NULL);
	if (request.kind == REQUEST_GET)
		message_format_get(line, id, area, key);
	else if (value)
		message_format_save(line, id, area, key, value);
	else
		message_format_remove(line, id, area, key);
	requests_weigh(connection->requests, id, line->len);
	channel_send(connection->channel, line, LINE_PLAIN);
	return 0;
}

static int json_get(struct parent *parent, uint64_t tag, const char *area, const char *key)
{
	return json_ask(parent, (struct request){ .kind = REQUEST_GET, .tag = tag }, area, key,
			NULL);
}

static int json_write(struct parent *parent, uint64_t tag, const char *area, const char *key,
		      const char *value)
{
	return json_ask(parent, (struct request){ .kind = REQUEST_WRITE, .tag = tag }, area, key,
			value);
}

/* A batch is asked whatever is unanswered or untaken: it was persisted to be sent, there is at most
 * one, and down or BatchTimeout end the wait for it. */
static void json_apply(struct parent *parent, const struct parent_batch *batch)
{
	struct connection *connection = to_json(parent)->connection;
	const char *id;
	GString *line;

	/* Its loss is told by down; the batch goes out again on the next connection. */
	if (!connection || !connection->welcomed)
		return;
	id = requests_add(connection->requests,
			  (struct request){ .kind = REQUEST_BATCH, .number = batch->number,
					    .owner = -1 });
	line = g_string_new(NULL);
	message_format_batch(line, id, batch->number, batch->id, batch->ops, batch->n_ops);
	channel_send(connection->channel, line, LINE_BATCH);
}

static bool json_busy(struct parent *parent, uint64_t *ret_progress)
{
	struct connection *connection = to_json(parent)->connection;

	return connection && connection->channel &&
	       channel_busy(connection->channel, ret_progress);
}

static const char *json_path(struct parent *parent)
{
	return to_json(parent)->address.path;
}

static void json_free(struct parent *parent)
{
	struct json_parent *json = to_json(parent);

	json_disconnect(parent);
	g_clear_pointer(&json->context, g_main_context_unref);
	address_deinit(&json->address);
	token_free(json->token);
	trust_free(json->trust);
	g_free(json);
}

static const struct parent_ops json_ops = {
	.connect = json_connect,
	.disconnect = json_disconnect,
	.ping = json_ping,
	.get = json_get,
	.write = json_write,
	.apply = json_apply,
	.busy = json_busy,
	.path = json_path,
	.free = json_free,
};

int parent_json_check(const char *text)
{
	struct address address;
	int r = address_parse(text, &address);

	if (r >= 0)
		address_deinit(&address);
	return r;
}

int parent_json_new(const struct parent_params *params, struct parent **ret_parent)
{
	struct json_parent *json;
	struct address address;
	int r = address_parse(params->address, &address);

	if (r < 0)
		return r;
	json = g_new0(struct json_parent, 1);
	json->parent.ops = &json_ops;
	g_strlcpy(json->parent.client, params->client, sizeof(json->parent.client));
	json->address = address;
	json->token = token_new(params->token_file);
	if (address.kind == ADDRESS_TLS)
		json->trust = trust_new(params->ca_file);
	json->peer_uid = params->peer_uid;
	json->clock = params->clock;
	json->context = params->context ? g_main_context_ref(params->context) : NULL;
	*ret_parent = &json->parent;
	return 0;
}
