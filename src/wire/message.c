/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Parsing: an untrusted line becomes a struct message; see message.h. Formatting is in
 * message-format.c.
 *
 * A line is looked at by scan.h first, then read into a tree by json-glib, then each member its
 * type calls for is taken from the tree with its type and range checked. The message keeps the
 * tree: its strings are borrowed from there.
 */

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "core/limits.h"
#include "wire/member.h"
#include "wire/message.h"
#include "wire/scan.h"

/* What a message's strings and arrays are borrowed from. */
struct tree {
	JsonNode *root;
	void *array; /* of struct wire_op or struct wire_result; NULL: none */
};

/* One line being read. */
struct parser {
	struct member_reader reader;
	struct message *message;
	struct tree *tree;
	bool is_error; /* the message's type is "error" */
	bool cut;      /* members were left out, see scan_line() */
};

/* ---- the types ---- */

/* Features are hints: none may be given, and ones we do not know are passed over. */
static bool read_features(struct parser *p, JsonObject *object, bool *ret_watch)
{
	return !member_given(object, "features") ||
	       member_words(&p->reader, object, WORDS("features"), "watch", ret_watch);
}

/* Of another protocol number we know nothing but the number: the peer wants to know just that. */
static bool read_hello(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	m->hello.client = "";
	if (!member_signed(&p->reader, object, INTEGER("protocol"), &m->hello.protocol))
		return false;
	if (m->hello.protocol != WIRE_PROTOCOL)
		return true;
	return member_id(&p->reader, object, ID("client"), &m->hello.client) &&
	       member_optional(&p->reader, object, TEXT("token"), &m->hello.token) &&
	       read_features(p, object, &m->hello.watch);
}

static bool read_welcome(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	m->welcome.epoch = "";
	if (!member_signed(&p->reader, object, INTEGER("protocol"), &m->welcome.protocol))
		return false;
	if (m->welcome.protocol != WIRE_PROTOCOL)
		return true;
	return member_id(&p->reader, object, ID("epoch"), &m->welcome.epoch) &&
	       member_integer(&p->reader, object, INTEGER("lastBatch"), &m->welcome.last_batch) &&
	       read_features(p, object, &m->welcome.watch);
}

/* 0 is what a clock that was never set says, and the origin's "none". */
static bool read_ping(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	if (!member_signed(&p->reader, object, INTEGER("pingTime"), &m->ping.time))
		return false;
	return m->ping.time != 0 || member_fail(&p->reader, "'pingTime' is 0");
}

/* getFromParentStorage, and removeFromParentStorage outside a batch. */
static bool read_get(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	return member_text(&p->reader, object, TEXT("area"), &m->item.area) &&
	       member_text(&p->reader, object, TEXT("key"), &m->item.key);
}

/* The value must be there: an answer that forgot it must not read as "absent". */
static bool read_response(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	return member_text(&p->reader, object, TEXT("key"), &m->item.key) &&
	       member_any_text(&p->reader, object, ANY_TEXT("value"), true, &m->item.value) &&
	       member_integer(&p->reader, object, INTEGER("revision"), &m->item.revision);
}

/* Its value may be unclean, so that the answer can say so; null is no value to save. */
static bool read_save(struct parser *p, JsonObject *object)
{
	return read_get(p, object) &&
	       member_any_text(&p->reader, object, TEXT("value"), false, &p->message->item.value);
}

static bool read_ack(struct parser *p, JsonObject *object)
{
	return member_integer(&p->reader, object, INTEGER("revision"), &p->message->item.revision);
}

/* Who changed it is left out where it was no client of the protocol. */
static bool read_item_changed(struct parser *p, JsonObject *object)
{
	return member_text(&p->reader, object, TEXT("area"), &p->message->item.area) &&
	       read_response(p, object) &&
	       member_optional(&p->reader, object, TEXT("client"), &p->message->item.client);
}

/*
 * One operation. An unclean value makes the batch malformed: passed over, it would be acked as
 * done, and a daemon of ours never sends one.
 */
static bool read_op(struct parser *p, JsonObject *object, struct wire_op *ret)
{
	const char *type;

	if (!object)
		return member_fail(&p->reader, "an operation is not an object");
	if (!member_text(&p->reader, object, TEXT("type"), &type) ||
	    !member_text(&p->reader, object, TEXT("area"), &ret->area) ||
	    !member_text(&p->reader, object, TEXT("key"), &ret->key))
		return false;
	ret->grouped = member_given(object, "group");
	if (ret->grouped && !member_integer(&p->reader, object, INTEGER("group"), &ret->group))
		return false;
	/* A remove's value stays NULL, whatever the line says: that is what makes it a remove. */
	if (strcmp(type, "saveToParentStorage") == 0)
		return member_text(&p->reader, object, TEXT("value"), &ret->value);
	return strcmp(type, "removeFromParentStorage") == 0 ||
	       member_fail(&p->reader, "an operation is of an unknown type");
}

/* The array is the tree's before it is filled, so that a bad operation leaks nothing. */
static bool read_ops(struct parser *p, JsonArray *array)
{
	unsigned int n = json_array_get_length(array);
	struct wire_op *ops;

	if (n < 1 || n > LIMIT_BATCH_OPS)
		return member_fail(&p->reader, "'ops' does not hold 1 to 1000 operations");
	p->tree->array = ops = g_new0(struct wire_op, n);
	p->message->batch.ops = ops;
	p->message->batch.n_ops = n;
	for (unsigned int i = 0; i < n; i++) {
		if (!read_op(p, member_element(array, i), &ops[i]))
			return false;
	}
	return true;
}

static bool read_batch_body(struct parser *p, JsonObject *object)
{
	JsonArray *array;

	return member_id(&p->reader, object, ID("id"), &p->message->batch.id) &&
	       member_array(&p->reader, object, ARRAY("ops"), &array) && read_ops(p, array);
}

/* A number applied before is answered as it was then, whatever else the line says now: only the
 * number can make the message malformed. */
static bool read_batch(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	if (!member_integer(&p->reader, object, INTEGER("batch"), &m->batch.number))
		return false;
	if (m->batch.number == 0)
		return member_fail(&p->reader, "'batch' is 0");
	if (!read_batch_body(p, object)) {
		m->batch.bad = p->reader.why;
		m->batch.ops = NULL;
		m->batch.n_ops = 0;
		if (!util_id_valid(m->batch.id))
			m->batch.id = "";
	}
	return true;
}

/* An error stands before a revision, should both be there: nothing is trimmed as done by mistake.
 */
static bool read_result(struct parser *p, JsonObject *object, struct wire_result *ret)
{
	const char *error;

	if (!object)
		return member_fail(&p->reader, "a result is not an object");
	if (!member_given(object, "error"))
		return member_integer(&p->reader, object, INTEGER("revision"), &ret->revision);
	if (!member_text(&p->reader, object, TEXT("error"), &error))
		return false;
	if (strcmp(error, "rejected") == 0)
		ret->error = WIRE_OP_REJECTED;
	else if (strcmp(error, "quota") == 0)
		ret->error = WIRE_OP_QUOTA;
	else
		return member_fail(&p->reader, "a result's 'error' is unknown");
	return !member_given(object, "message") ||
	       member_any_text(&p->reader, object, TEXT("message"), false, &ret->message);
}

/* Whether there are as many as there were operations is for the sender of the batch to know. */
static bool read_results(struct parser *p, JsonArray *array)
{
	unsigned int n = json_array_get_length(array);
	struct wire_result *results;

	if (n > LIMIT_BATCH_OPS)
		return member_fail(&p->reader, "'results' holds more than 1000");
	/* Never NULL: that would be formatted as no results at all. */
	p->tree->array = results = g_new0(struct wire_result, MAX(n, 1));
	p->message->batch_ack.has_results = true;
	p->message->batch_ack.results = results;
	p->message->batch_ack.n_results = n;
	for (unsigned int i = 0; i < n; i++) {
		if (!read_result(p, member_element(array, i), &results[i]))
			return false;
	}
	return true;
}

static bool read_batch_ack(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;
	JsonArray *array;

	if (!member_integer(&p->reader, object, INTEGER("batch"), &m->batch_ack.number) ||
	    !member_id(&p->reader, object, ID("id"), &m->batch_ack.id) ||
	    !member_boolean(&p->reader, object, BOOLEAN("duplicate"), &m->batch_ack.duplicate))
		return false;
	if (m->batch_ack.duplicate && !member_given(object, "results"))
		return true;
	return member_array(&p->reader, object, ARRAY("results"), &array) && read_results(p, array);
}

static bool read_watch(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	return member_text(&p->reader, object, TEXT("area"), &m->watch.area) &&
	       member_integer(&p->reader, object, INTEGER("since"), &m->watch.since);
}

static bool read_watching(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;

	return member_text(&p->reader, object, TEXT("area"), &m->watch.area) &&
	       member_integer(&p->reader, object, INTEGER("revision"), &m->watch.revision) &&
	       member_boolean(&p->reader, object, BOOLEAN("gap"), &m->watch.gap);
}

/* The names are in one place, wire_class_to_string(). */
static bool class_from_string(const char *name, enum wire_class *ret)
{
	static const enum wire_class classes[] = {
		WIRE_TRANSIENT,
		WIRE_CAPACITY,
		WIRE_AUTH,
		WIRE_PERMANENT,
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(classes); i++) {
		if (strcmp(name, wire_class_to_string(classes[i])) == 0) {
			*ret = classes[i];
			return true;
		}
	}
	return false;
}

/* Only the class decides what happens, so the rest may be left out. */
static bool read_error(struct parser *p, JsonObject *object)
{
	struct message *m = p->message;
	const char *class, *text = NULL;
	uint64_t after = 0;

	if (!member_text(&p->reader, object, TEXT("class"), &class))
		return false;
	if (!class_from_string(class, &m->error.class))
		return member_fail(&p->reader, "'class' is unknown");
	if (member_given(object, "message") &&
	    !member_any_text(&p->reader, object, TEXT("message"), false, &text))
		return false;
	if (member_given(object, "retryAfter") &&
	    !member_integer(&p->reader, object, INTEGER("retryAfter"), &after))
		return false;
	m->error.message = text ? text : "";
	m->error.retry_after = MIN(after, LIMIT_RETRY_AFTER_MSEC);
	return true;
}

/* ---- the line ---- */

struct kind {
	const char *name;
	enum message_type type;
	bool answers; /* part of a request and its answer: must have a requestId */
	bool (*read)(struct parser *p, JsonObject *object);
};

static const struct kind kinds[] = {
	{ "hello", MESSAGE_HELLO, false, read_hello },
	{ "welcome", MESSAGE_WELCOME, false, read_welcome },
	{ "ping", MESSAGE_PING, false, read_ping },
	{ "pong", MESSAGE_PONG, false, read_ping },
	{ "getFromParentStorage", MESSAGE_GET, true, read_get },
	{ "storageResponse", MESSAGE_RESPONSE, true, read_response },
	{ "batch", MESSAGE_BATCH, true, read_batch },
	{ "batchAck", MESSAGE_BATCH_ACK, true, read_batch_ack },
	{ "saveToParentStorage", MESSAGE_SAVE, true, read_save },
	{ "removeFromParentStorage", MESSAGE_REMOVE, true, read_get },
	{ "storageAck", MESSAGE_ACK, true, read_ack },
	{ "watch", MESSAGE_WATCH, true, read_watch },
	{ "watching", MESSAGE_WATCHING, true, read_watching },
	{ "itemChanged", MESSAGE_ITEM_CHANGED, false, read_item_changed },
	{ "error", MESSAGE_ERROR, false, read_error },
};

static const struct kind *find_kind(const char *name)
{
	for (unsigned int i = 0; i < G_N_ELEMENTS(kinds); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	return NULL;
}

/* Read first and for every type, so that a message that is malformed otherwise can be answered. */
static bool read_request_id(struct parser *p, JsonObject *object)
{
	const char *id;

	if (!member_optional(&p->reader, object, TEXT("requestId"), &id))
		return false;
	if (id && strlen(id) > LIMIT_REQUEST_ID_BYTES)
		return member_fail(&p->reader, "'requestId' is longer than 256 bytes");
	p->message->request_id = id;
	return true;
}

static bool read_message(struct parser *p, JsonObject *object)
{
	const struct kind *kind;
	const char *type = NULL;
	bool typed = member_text(&p->reader, object, TEXT("type"), &type);

	/* Even of a message that is malformed from the start: an error is never answered. */
	p->is_error = g_strcmp0(type, "error") == 0;
	if (!read_request_id(p, object))
		return false;
	if (p->cut)
		return member_fail(&p->reader, "it holds too many values");
	if (!typed)
		return false;
	kind = find_kind(type);
	p->message->type = kind ? kind->type : MESSAGE_UNKNOWN;
	if (!kind)
		return true;
	if (kind->answers && !p->message->request_id)
		return member_fail(&p->reader, "'requestId' is missing");
	return kind->read(p, object);
}

/* Return: 0 with a root that is an object, 1 the same with members left out, or -EBADMSG. */
static int parse_json(const char *line, size_t len, JsonNode **ret, size_t *ret_values,
		      const char **ret_why)
{
	g_autoptr(JsonParser) parser = NULL;
	g_autofree char *copy = NULL;
	int r;

	r = scan_line(line, len, &copy, ret_values, ret_why);
	if (r < 0)
		return r;
	parser = json_parser_new();
	/* At most LIMIT_LINE_BYTES long, so the cast is safe. */
	/* A root is asked for, as json-glib calls empty input a success. */
	if (json_parser_load_from_data(parser, copy ? copy : line, (gssize)len, NULL))
		*ret = json_parser_steal_root(parser);
	if (*ret && JSON_NODE_HOLDS_OBJECT(*ret))
		return r;
	g_clear_pointer(ret, json_node_unref);
	*ret_why = "json-glib refuses it";
	return -EBADMSG;
}

/* The message is built aside, so that *ret is untouched unless all of it is well-formed. */
int message_parse(const char *line, size_t len, struct message *ret, const char **ret_why,
		  char **ret_request_id)
{
	struct message message = { 0 };
	struct parser parser = { .message = &message };
	JsonNode *root = NULL;
	size_t values;
	int r;

	if (ret_request_id)
		*ret_request_id = NULL;
	r = parse_json(line, len, &root, &values, &parser.reader.why);
	if (r >= 0) {
		parser.cut = r > 0;
		message.tree = parser.tree = g_new0(struct tree, 1);
		parser.tree->root = root;
		message.held = len + values * LIMIT_JSON_VALUE_BYTES;
		if (read_message(&parser, json_node_get_object(root))) {
			message.unclean = parser.reader.unclean;
			*ret = message;
			return 0;
		}
		r = parser.is_error ? -ENOMSG : -EPROTO;
	}
	if (ret_why)
		*ret_why = parser.reader.why;
	if (ret_request_id)
		*ret_request_id = g_strdup(message.request_id);
	message_deinit(&message);
	return r;
}

void message_deinit(struct message *message)
{
	struct tree *tree = message->tree;

	if (tree) {
		g_free(tree->array);
		json_node_unref(tree->root);
		g_free(tree);
	}
	*message = (struct message){ 0 };
}
