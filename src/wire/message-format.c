/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Formatting: our own messages as lines, straight into the caller's buffer; see message.h. A batch
 * has thousands of small pieces, so no tree is built and nothing goes through printf.
 */

#include <string.h>

#include "wire/message.h"
#include "wire/scan.h"

/* A piece of JSON that is a literal of ours. */
#define PUT(out, literal) g_string_append_len((out), (literal), sizeof(literal) - 1)

/* The short escapes RFC 8259 has, else \u00XX. A slash and DEL need none. */
static void put_escape(GString *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letter[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
	};
	char unicode[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
	char shorter[] = { '\\', c < 32 ? letter[c] : (char)c };

	if (shorter[1])
		g_string_append_len(out, shorter, sizeof(shorter));
	else
		g_string_append_len(out, unicode, sizeof(unicode));
}

/* Whole stretches that need no escape are copied at once: nearly all text is one. */
static void put_text(GString *out, const char *text)
{
	size_t len = strlen(text), plain;

	g_string_append_c(out, '"');
	for (;;) {
		plain = scan_unescaped(text, len);
		g_string_append_len(out, text, (gssize)plain);
		if (plain == len)
			break;
		put_escape(out, (unsigned char)text[plain]);
		text += plain + 1;
		len -= plain + 1;
	}
	g_string_append_c(out, '"');
}

static void put_text_or_null(GString *out, const char *text)
{
	if (text)
		put_text(out, text);
	else
		PUT(out, "null");
}

/* g_string_append_printf() would cost more than the rest of an operation. */
static void put_unsigned(GString *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	g_string_append_len(out, digits + at, (gssize)(sizeof(digits) - at));
}

static void put_signed(GString *out, int64_t value)
{
	if (value < 0)
		g_string_append_c(out, '-');
	/* Negated as unsigned: INT64_MIN has no positive counterpart. */
	put_unsigned(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void put_boolean(GString *out, bool value)
{
	if (value)
		PUT(out, "true");
	else
		PUT(out, "false");
}

/* The end of hello and of welcome. */
static void put_features(GString *out, bool watch)
{
	if (watch)
		PUT(out, ",\"features\":[\"watch\"]}\n");
	else
		PUT(out, ",\"features\":[]}\n");
}

/* What a get, a save and a remove have in common, up to the key. */
static void put_address(GString *out, const char *area, const char *key)
{
	PUT(out, ",\"area\":");
	put_text(out, area);
	PUT(out, ",\"key\":");
	put_text(out, key);
}

const char *wire_class_to_string(enum wire_class class)
{
	switch (class) {
	case WIRE_TRANSIENT:
		return "transient";
	case WIRE_CAPACITY:
		return "capacity";
	case WIRE_AUTH:
		return "auth";
	case WIRE_PERMANENT:
		return "permanent";
	}
	return "permanent";
}

void message_format_hello(GString *out, const char *client, const char *token, bool watch)
{
	PUT(out, "{\"type\":\"hello\",\"protocol\":");
	put_unsigned(out, WIRE_PROTOCOL);
	PUT(out, ",\"client\":");
	put_text(out, client);
	if (token) {
		PUT(out, ",\"token\":");
		put_text(out, token);
	}
	put_features(out, watch);
}

void message_format_welcome(GString *out, const char *epoch, uint64_t last_batch, bool watch)
{
	PUT(out, "{\"type\":\"welcome\",\"protocol\":");
	put_unsigned(out, WIRE_PROTOCOL);
	PUT(out, ",\"epoch\":");
	put_text(out, epoch);
	PUT(out, ",\"lastBatch\":");
	put_unsigned(out, last_batch);
	put_features(out, watch);
}

void message_format_ping(GString *out, int64_t time)
{
	PUT(out, "{\"type\":\"ping\",\"pingTime\":");
	put_signed(out, time);
	PUT(out, "}\n");
}

void message_format_pong(GString *out, int64_t time)
{
	PUT(out, "{\"type\":\"pong\",\"pingTime\":");
	put_signed(out, time);
	PUT(out, "}\n");
}

void message_format_get(GString *out, const char *request_id, const char *area, const char *key)
{
	PUT(out, "{\"type\":\"getFromParentStorage\",\"requestId\":");
	put_text(out, request_id);
	put_address(out, area, key);
	PUT(out, "}\n");
}

/* The key is repeated, as in the origin, though requestId alone tells whose answer it is. */
void message_format_response(GString *out, const char *request_id, const char *key,
			     const char *value, uint64_t revision)
{
	PUT(out, "{\"type\":\"storageResponse\",\"requestId\":");
	put_text(out, request_id);
	PUT(out, ",\"key\":");
	put_text(out, key);
	PUT(out, ",\"value\":");
	put_text_or_null(out, value);
	PUT(out, ",\"revision\":");
	put_unsigned(out, revision);
	PUT(out, "}\n");
}

void message_format_save(GString *out, const char *request_id, const char *area, const char *key,
			 const char *value)
{
	PUT(out, "{\"type\":\"saveToParentStorage\",\"requestId\":");
	put_text(out, request_id);
	put_address(out, area, key);
	PUT(out, ",\"value\":");
	put_text(out, value);
	PUT(out, "}\n");
}

void message_format_remove(GString *out, const char *request_id, const char *area, const char *key)
{
	PUT(out, "{\"type\":\"removeFromParentStorage\",\"requestId\":");
	put_text(out, request_id);
	put_address(out, area, key);
	PUT(out, "}\n");
}

void message_format_ack(GString *out, const char *request_id, uint64_t revision)
{
	PUT(out, "{\"type\":\"storageAck\",\"requestId\":");
	put_text(out, request_id);
	PUT(out, ",\"revision\":");
	put_unsigned(out, revision);
	PUT(out, "}\n");
}

/* requestId and retryAfter are left out rather than null. */
void message_format_error(GString *out, const char *request_id, enum wire_class class,
			  const char *message, uint64_t retry_after)
{
	PUT(out, "{\"type\":\"error\"");
	if (request_id) {
		PUT(out, ",\"requestId\":");
		put_text(out, request_id);
	}
	PUT(out, ",\"class\":");
	put_text(out, wire_class_to_string(class));
	PUT(out, ",\"message\":");
	put_text(out, message);
	if (retry_after) {
		PUT(out, ",\"retryAfter\":");
		put_unsigned(out, retry_after);
	}
	PUT(out, "}\n");
}

/* Without a value it is a remove; without a group the member is left out. */
static void put_op(GString *out, const struct wire_op *op)
{
	if (op->value)
		PUT(out, "{\"type\":\"saveToParentStorage\"");
	else
		PUT(out, "{\"type\":\"removeFromParentStorage\"");
	put_address(out, op->area, op->key);
	if (op->value) {
		PUT(out, ",\"value\":");
		put_text(out, op->value);
	}
	if (op->grouped) {
		PUT(out, ",\"group\":");
		put_unsigned(out, op->group);
	}
	g_string_append_c(out, '}');
}

/* The head of batch and batchAck. */
static void put_batch_head(GString *out, const char *request_id, uint64_t number, const char *id)
{
	PUT(out, ",\"requestId\":");
	put_text(out, request_id);
	PUT(out, ",\"batch\":");
	put_unsigned(out, number);
	PUT(out, ",\"id\":");
	put_text(out, id);
}

void message_format_batch(GString *out, const char *request_id, uint64_t number, const char *id,
			  const struct wire_op *ops, size_t n)
{
	PUT(out, "{\"type\":\"batch\"");
	put_batch_head(out, request_id, number, id);
	PUT(out, ",\"ops\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			g_string_append_c(out, ',');
		put_op(out, &ops[i]);
	}
	PUT(out, "]}\n");
}

/* The message is for people and may be missing; the word decides. */
static void put_failure(GString *out, const char *word, const char *message)
{
	PUT(out, "{\"error\":");
	put_text(out, word);
	if (message) {
		PUT(out, ",\"message\":");
		put_text(out, message);
	}
	g_string_append_c(out, '}');
}

static void put_result(GString *out, const struct wire_result *result)
{
	switch (result->error) {
	case WIRE_OP_OK:
		PUT(out, "{\"revision\":");
		put_unsigned(out, result->revision);
		g_string_append_c(out, '}');
		break;
	case WIRE_OP_REJECTED:
		put_failure(out, "rejected", result->message);
		break;
	case WIRE_OP_QUOTA:
		put_failure(out, "quota", result->message);
		break;
	}
}

void message_format_batch_ack(GString *out, const char *request_id, uint64_t number, const char *id,
			      bool duplicate, const struct wire_result *results, size_t n)
{
	PUT(out, "{\"type\":\"batchAck\"");
	put_batch_head(out, request_id, number, id);
	PUT(out, ",\"duplicate\":");
	put_boolean(out, duplicate);
	/* A duplicate whose results are no longer kept says so by having none. */
	if (results) {
		PUT(out, ",\"results\":[");
		for (size_t i = 0; i < n; i++) {
			if (i)
				g_string_append_c(out, ',');
			put_result(out, &results[i]);
		}
		g_string_append_c(out, ']');
	}
	PUT(out, "}\n");
}
