/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The messages of design §5, byte for byte in both directions, and what may stand in them that we
 * do not know. What is no message is test-message-bad.c's.
 */

#include <glib.h>
#include <string.h>

#include "core/limits.h"
#include "message-check.h"

/* What was formatted is @line with a newline, and parses. */
static void golden(GString *out, const char *line, struct message *ret)
{
	g_assert_cmpint(out->str[out->len - 1], ==, '\n');
	g_string_truncate(out, out->len - 1);
	g_assert_cmpstr(out->str, ==, line);
	parse_ok(line, ret);
	g_assert_false(ret->unclean);
	g_string_truncate(out, 0);
}

static void test_golden_session(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	AUTO_MESSAGE m = { 0 };

	message_format_hello(out, HEX, "s3cret", true);
	golden(out,
	       "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX
	       "\",\"token\":\"s3cret\",\"features\":[\"watch\"]}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_HELLO);
	g_assert_cmpint(m.hello.protocol, ==, 1);
	g_assert_cmpstr(m.hello.client, ==, HEX);
	g_assert_cmpstr(m.hello.token, ==, "s3cret");
	g_assert_true(m.hello.watch);
	message_deinit(&m);

	message_format_hello(out, HEX, NULL, false);
	golden(out, "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX "\",\"features\":[]}",
	       &m);
	g_assert_null(m.hello.token);
	g_assert_false(m.hello.watch);
	message_deinit(&m);

	message_format_welcome(out, HEX, 7, false);
	golden(out,
	       "{\"type\":\"welcome\",\"protocol\":1,\"epoch\":\"" HEX
	       "\",\"lastBatch\":7,\"features\":[]}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_WELCOME);
	g_assert_cmpstr(m.welcome.epoch, ==, HEX);
	g_assert_cmpuint(m.welcome.last_batch, ==, 7);
	g_assert_false(m.welcome.watch);
	message_deinit(&m);

	message_format_ping(out, 123);
	golden(out, "{\"type\":\"ping\",\"pingTime\":123}", &m);
	g_assert_cmpint(m.type, ==, MESSAGE_PING);
	g_assert_cmpint(m.ping.time, ==, 123);
	message_deinit(&m);

	message_format_pong(out, -LIMIT_WIRE_INTEGER);
	golden(out, "{\"type\":\"pong\",\"pingTime\":-9007199254740992}", &m);
	g_assert_cmpint(m.type, ==, MESSAGE_PONG);
	g_assert_cmpint(m.pong.time, ==, -LIMIT_WIRE_INTEGER);
}

static void test_golden_item(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	AUTO_MESSAGE m = { 0 };

	message_format_get(out, "r1", "a", "k");
	golden(out,
	       "{\"type\":\"getFromParentStorage\",\"requestId\":\"r1\",\"area\":\"a\",\"key\":"
	       "\"k\"}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_GET);
	g_assert_cmpstr(m.request_id, ==, "r1");
	g_assert_cmpstr(m.item.area, ==, "a");
	g_assert_cmpstr(m.item.key, ==, "k");
	message_deinit(&m);

	message_format_response(out, "r1", "k", "v", 42);
	golden(out,
	       "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\",\"value\":\"v\","
	       "\"revision\":42}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_RESPONSE);
	g_assert_cmpstr(m.item.value, ==, "v");
	g_assert_cmpuint(m.item.revision, ==, 42);
	message_deinit(&m);

	message_format_response(out, "r1", "k", NULL, LIMIT_WIRE_INTEGER);
	golden(out,
	       "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\",\"value\":null,"
	       "\"revision\":9007199254740992}",
	       &m);
	g_assert_null(m.item.value);
	g_assert_cmpuint(m.item.revision, ==, LIMIT_WIRE_INTEGER);
	message_deinit(&m);

	message_format_save(out, "r3", "a", "k", "");
	golden(out,
	       "{\"type\":\"saveToParentStorage\",\"requestId\":\"r3\",\"area\":\"a\",\"key\":"
	       "\"k\",\"value\":\"\"}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_SAVE);
	g_assert_cmpstr(m.item.value, ==, "");
	message_deinit(&m);

	message_format_remove(out, "r3", "a", "k");
	golden(out,
	       "{\"type\":\"removeFromParentStorage\",\"requestId\":\"r3\",\"area\":\"a\",\"key\":"
	       "\"k\"}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_REMOVE);
	message_deinit(&m);

	message_format_ack(out, "r3", 45);
	golden(out, "{\"type\":\"storageAck\",\"requestId\":\"r3\",\"revision\":45}", &m);
	g_assert_cmpint(m.type, ==, MESSAGE_ACK);
	g_assert_cmpuint(m.item.revision, ==, 45);
}

static void test_golden_batch(void)
{
	static const struct wire_op ops[] = {
		{ .area = "a", .key = "k", .value = "v" },
		{ .area = "a", .key = "k2", .grouped = true, .group = 1 },
		{ .area = "b", .key = "k3", .value = "", .grouped = true,
		  .group = UINT32_MAX },
	};
	g_autoptr(GString) out = g_string_new(NULL);
	AUTO_MESSAGE m = { 0 };

	message_format_batch(out, "r2", 8, HEX, ops, 3);
	golden(out,
	       "{\"type\":\"batch\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" HEX "\",\"ops\":["
	       "{\"type\":\"saveToParentStorage\",\"area\":\"a\",\"key\":\"k\",\"value\":\"v\"},"
	       "{\"type\":\"removeFromParentStorage\",\"area\":\"a\",\"key\":\"k2\",\"group\":1},"
	       "{\"type\":\"saveToParentStorage\",\"area\":\"b\",\"key\":\"k3\",\"value\":\"\","
	       "\"group\":4294967295}]}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_BATCH);
	g_assert_cmpuint(m.batch.number, ==, 8);
	g_assert_cmpstr(m.batch.id, ==, HEX);
	g_assert_null(m.batch.bad);
	g_assert_cmpuint(m.batch.n_ops, ==, 3);
	for (unsigned int i = 0; i < 3; i++) {
		g_assert_cmpstr(m.batch.ops[i].area, ==, ops[i].area);
		g_assert_cmpstr(m.batch.ops[i].key, ==, ops[i].key);
		g_assert_cmpstr(m.batch.ops[i].value, ==, ops[i].value);
		g_assert_cmpint(m.batch.ops[i].grouped, ==, ops[i].grouped);
		g_assert_cmpuint(m.batch.ops[i].group, ==, ops[i].group);
	}
}

/* Any integer names a group, and null names none. */
static void test_groups(void)
{
	static const char line[] =
		"{\"type\":\"batch\",\"requestId\":\"r\",\"batch\":1,\"id\":\"" HEX "\",\"ops\":["
		"{\"type\":\"removeFromParentStorage\",\"area\":\"a\",\"key\":\"k\",\"group\":0},"
		"{\"type\":\"removeFromParentStorage\",\"area\":\"a\",\"key\":\"l\","
		"\"group\":9007199254740992},"
		"{\"type\":\"removeFromParentStorage\",\"area\":\"a\",\"key\":\"m\",\"group\":null}]}";
	AUTO_MESSAGE m = { 0 };

	parse_ok(line, &m);
	g_assert_null(m.batch.bad);
	g_assert_true(m.batch.ops[0].grouped);
	g_assert_cmpuint(m.batch.ops[0].group, ==, 0);
	g_assert_true(m.batch.ops[1].grouped);
	g_assert_cmpuint(m.batch.ops[1].group, ==, LIMIT_WIRE_INTEGER);
	g_assert_false(m.batch.ops[2].grouped);
}

static void test_golden_batch_ack(void)
{
	static const struct wire_result results[] = {
		{ .revision = 43 },
		{ .error = WIRE_OP_REJECTED, .message = "\xe2\x80\xa6" },
		{ .error = WIRE_OP_QUOTA },
	};
	g_autoptr(GString) out = g_string_new(NULL);
	AUTO_MESSAGE m = { 0 };

	message_format_batch_ack(out, "r2", 8, HEX, false, results, 3);
	golden(out,
	       "{\"type\":\"batchAck\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" HEX
	       "\",\"duplicate\":false,\"results\":[{\"revision\":43},"
	       "{\"error\":\"rejected\",\"message\":\"\xe2\x80\xa6\"},{\"error\":\"quota\"}]}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_BATCH_ACK);
	g_assert_cmpuint(m.batch_ack.number, ==, 8);
	g_assert_cmpstr(m.batch_ack.id, ==, HEX);
	g_assert_false(m.batch_ack.duplicate);
	g_assert_true(m.batch_ack.has_results);
	g_assert_cmpuint(m.batch_ack.n_results, ==, 3);
	g_assert_cmpuint(m.batch_ack.results[0].revision, ==, 43);
	g_assert_cmpint(m.batch_ack.results[1].error, ==, WIRE_OP_REJECTED);
	g_assert_cmpstr(m.batch_ack.results[1].message, ==, "\xe2\x80\xa6");
	g_assert_cmpint(m.batch_ack.results[2].error, ==, WIRE_OP_QUOTA);
	g_assert_null(m.batch_ack.results[2].message);
	message_deinit(&m);

	message_format_batch_ack(out, "r2", 8, HEX, true, NULL, 0);
	golden(out,
	       "{\"type\":\"batchAck\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" HEX
	       "\",\"duplicate\":true}",
	       &m);
	g_assert_true(m.batch_ack.duplicate);
	g_assert_false(m.batch_ack.has_results);
	message_deinit(&m);

	/* No results are not the same as results that are none. */
	message_format_batch_ack(out, "r2", 8, HEX, true, results, 0);
	golden(out,
	       "{\"type\":\"batchAck\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" HEX
	       "\",\"duplicate\":true,\"results\":[]}",
	       &m);
	g_assert_true(m.batch_ack.has_results);
	g_assert_nonnull(m.batch_ack.results);
	g_assert_cmpuint(m.batch_ack.n_results, ==, 0);
}

static void test_golden_error(void)
{
	static const char *const names[] = { "transient", "capacity", "auth", "permanent" };
	g_autoptr(GString) out = g_string_new(NULL);
	AUTO_MESSAGE m = { 0 };

	message_format_error(out, "r1", WIRE_TRANSIENT, "later", 1000);
	golden(out,
	       "{\"type\":\"error\",\"requestId\":\"r1\",\"class\":\"transient\",\"message\":"
	       "\"later\",\"retryAfter\":1000}",
	       &m);
	g_assert_cmpint(m.type, ==, MESSAGE_ERROR);
	g_assert_cmpstr(m.request_id, ==, "r1");
	g_assert_cmpint(m.error.class, ==, WIRE_TRANSIENT);
	g_assert_cmpstr(m.error.message, ==, "later");
	g_assert_cmpuint(m.error.retry_after, ==, 1000);
	message_deinit(&m);

	for (enum wire_class class = WIRE_TRANSIENT; class <= WIRE_PERMANENT; class ++) {
		g_autofree char *line = g_strdup_printf(
			"{\"type\":\"error\",\"class\":\"%s\",\"message\":\"no\"}", names[class]);

		message_format_error(out, NULL, class, "no", 0);
		golden(out, line, &m);
		g_assert_null(m.request_id);
		g_assert_cmpint(m.error.class, ==, class);
		g_assert_cmpuint(m.error.retry_after, ==, 0);
		message_deinit(&m);
	}

	parse_ok("{\"type\":\"error\",\"class\":\"auth\",\"retryAfter\":9007199254740992}", &m);
	g_assert_cmpstr(m.error.message, ==, "");
	g_assert_cmpuint(m.error.retry_after, ==, LIMIT_RETRY_AFTER_MSEC);
}

static void test_golden_watch(void)
{
	AUTO_MESSAGE m = { 0 };

	parse_ok("{\"type\":\"watch\",\"requestId\":\"r4\",\"area\":\"a\",\"since\":40}", &m);
	g_assert_cmpint(m.type, ==, MESSAGE_WATCH);
	g_assert_cmpuint(m.watch.since, ==, 40);
	message_deinit(&m);
	parse_ok("{\"type\":\"watching\",\"requestId\":\"r4\",\"area\":\"a\",\"revision\":45,"
		 "\"gap\":true}",
		 &m);
	g_assert_cmpint(m.type, ==, MESSAGE_WATCHING);
	g_assert_cmpuint(m.watch.revision, ==, 45);
	g_assert_true(m.watch.gap);
	message_deinit(&m);
	parse_ok("{\"type\":\"itemChanged\",\"area\":\"a\",\"key\":\"k\",\"value\":null,"
		 "\"revision\":46,\"client\":\"ab\"}",
		 &m);
	g_assert_cmpint(m.type, ==, MESSAGE_ITEM_CHANGED);
	g_assert_null(m.item.value);
	g_assert_cmpuint(m.item.revision, ==, 46);
	g_assert_cmpstr(m.item.client, ==, "ab");
}

/* Wherever it stands in a long text, a byte that must be escaped is. */
static void test_escape_places(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	AUTO_MESSAGE m = { 0 };
	char text[] = "xxxxxxxxxxxxxxxxxxxx";

	for (unsigned char c = 1; c <= 0x20; c++) {
		for (size_t at = 0; at < sizeof(text) - 1; at++) {
			memset(text, 'x', sizeof(text) - 1);
			text[at] = (char)c;
			g_string_truncate(out, 0);
			message_format_response(out, "r", "k", text, 1);
			g_string_truncate(out, out->len - 1);
			g_assert_true(c == 0x20 || !strchr(out->str, c));
			parse_ok(out->str, &m);
			g_assert_cmpstr(m.item.value, ==, text);
			message_deinit(&m);
		}
	}
}

/* Every character comes back, the dangerous ones escaped. */
static void test_escapes(void)
{
	g_autoptr(GString) out = g_string_new(NULL), text = g_string_new(NULL);
	AUTO_MESSAGE m = { 0 };

	message_format_ack(out, "\"\\/\b\f\n\r\t\x01\x1f\x7f", 1);
	golden(out,
	       "{\"type\":\"storageAck\",\"requestId\":"
	       "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\",\"revision\":1}",
	       &m);
	g_assert_cmpstr(m.request_id, ==, "\"\\/\b\f\n\r\t\x01\x1f\x7f");
	message_deinit(&m);

	for (gunichar c = 1; c < 0x110000; c += c < 0x900 ? 1 : 97) {
		if (c < 0xd800 || c > 0xdfff)
			g_string_append_unichar(text, c);
	}
	g_string_append(text, "\xef\xbf\xbf\xf4\x8f\xbf\xbf");
	message_format_response(out, "r", "k", text->str, 1);
	g_string_truncate(out, out->len - 1);
	g_assert_null(strchr(out->str, '\n'));
	parse_ok(out->str, &m);
	g_assert_false(m.unclean);
	g_assert_cmpstr(m.item.value, ==, text->str);
	message_deinit(&m);

	parse_ok(" {\"type\" :\t\"storageResponse\",\r\"requestId\":\"r\",\"key\":\"\\u006b\","
		 "\"value\":\"\\uD83D\\uDE00\\/\\u00e9\",\"revision\":-0} ",
		 &m);
	g_assert_cmpstr(m.item.key, ==, "k");
	g_assert_cmpstr(m.item.value, ==, "\xf0\x9f\x98\x80/\xc3\xa9");
	g_assert_cmpuint(m.item.revision, ==, 0);
}

static void test_unknown(void)
{
	AUTO_MESSAGE m = { 0 };

	parse_ok("{\"type\":\"subscribe\",\"requestId\":\"r9\",\"key\":5}", &m);
	g_assert_cmpint(m.type, ==, MESSAGE_UNKNOWN);
	g_assert_cmpstr(m.request_id, ==, "r9");
	message_deinit(&m);
	parse_ok("{\"\":[],\"type\":\"ping\",\"x\":{\"y\":[1.5,-2e9,1e400,18446744073709551616,"
		 "null]},"
		 "\"pingTime\":5,\"area\":7,\"\\u0000\":1,\"z\\ud800\":\"\xff\"}",
		 &m);
	g_assert_cmpint(m.type, ==, MESSAGE_PING);
	g_assert_cmpint(m.ping.time, ==, 5);
	message_deinit(&m);
	/* The last one wins, whatever the first was. */
	parse_ok("{\"type\":\"pong\",\"type\":\"ping\",\"pingTime\":\"\\u0000\",\"pingTime\":6}",
		 &m);
	g_assert_cmpint(m.type, ==, MESSAGE_PING);
	g_assert_cmpint(m.ping.time, ==, 6);
	message_deinit(&m);
	/* Features of tomorrow, or none. */
	parse_ok("{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX
		 "\",\"features\":[\"zstd\",\"watch\",\"\\u0000\"]}",
		 &m);
	g_assert_true(m.hello.watch);
	message_deinit(&m);
	parse_ok("{\"type\":\"welcome\",\"protocol\":1,\"epoch\":\"" HEX "\",\"lastBatch\":0}", &m);
	g_assert_false(m.welcome.watch);
	message_deinit(&m);
	/* Of another protocol only the number is looked at. */
	parse_ok("{\"type\":\"welcome\",\"protocol\":2,\"epoch\":[]}", &m);
	g_assert_cmpint(m.welcome.protocol, ==, 2);
	g_assert_cmpstr(m.welcome.epoch, ==, "");
	message_deinit(&m);
	parse_ok("{\"type\":\"hello\",\"protocol\":0}", &m);
	g_assert_cmpstr(m.hello.client, ==, "");
}

/* What may be left out may be null; a value that is null is still an answer. */
static void test_null(void)
{
	AUTO_MESSAGE m = { 0 };

	parse_ok("{\"type\":\"error\",\"requestId\":null,\"class\":\"transient\",\"message\":null,"
		 "\"retryAfter\":null}",
		 &m);
	g_assert_null(m.request_id);
	g_assert_cmpstr(m.error.message, ==, "");
	g_assert_cmpuint(m.error.retry_after, ==, 0);
	message_deinit(&m);
	parse_ok("{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX
		 "\",\"token\":null,\"features\":null}",
		 &m);
	g_assert_null(m.hello.token);
	g_assert_false(m.hello.watch);
	message_deinit(&m);
	parse_ok("{\"type\":\"batchAck\",\"requestId\":\"r\",\"batch\":8,\"id\":\"" HEX
		 "\",\"duplicate\":false,\"results\":[{\"revision\":5,\"error\":null,"
		 "\"message\":null},{\"error\":\"quota\",\"message\":null,\"revision\":null}]}",
		 &m);
	g_assert_cmpint(m.batch_ack.results[0].error, ==, WIRE_OP_OK);
	g_assert_cmpuint(m.batch_ack.results[0].revision, ==, 5);
	g_assert_cmpint(m.batch_ack.results[1].error, ==, WIRE_OP_QUOTA);
	g_assert_null(m.batch_ack.results[1].message);
	message_deinit(&m);
	parse_ok("{\"type\":\"batchAck\",\"requestId\":\"r\",\"batch\":8,\"id\":\"" HEX
		 "\",\"duplicate\":true,\"results\":null}",
		 &m);
	g_assert_false(m.batch_ack.has_results);
	message_deinit(&m);
	parse_ok("{\"type\":\"itemChanged\",\"area\":\"a\",\"key\":\"k\",\"value\":null,"
		 "\"revision\":46,\"client\":null,\"requestId\":null}",
		 &m);
	g_assert_null(m.item.client);
	g_assert_null(m.item.value);
}

/* ns per operation of a full batch; run with -m perf. */
static void test_speed(void)
{
	g_autofree char *value = g_strnfill(200, 'v');
	struct wire_op ops[LIMIT_BATCH_OPS];
	g_autoptr(GString) out = g_string_new(NULL);
	char keys[LIMIT_BATCH_OPS][32];
	const unsigned int rounds = g_test_perf() ? 300 : 3;
	struct message m;
	double format, parse;

	for (unsigned int i = 0; i < LIMIT_BATCH_OPS; i++) {
		g_snprintf(keys[i], sizeof(keys[i]), "conversation/%u", i);
		ops[i] = (struct wire_op){ .area = "default", .key = keys[i], .value = value };
	}
	g_test_timer_start();
	for (unsigned int i = 0; i < rounds; i++) {
		g_string_truncate(out, 0);
		message_format_batch(out, "r1", 1, HEX, ops, LIMIT_BATCH_OPS);
	}
	format = g_test_timer_elapsed() / rounds / LIMIT_BATCH_OPS * 1e9;
	g_test_timer_start();
	for (unsigned int i = 0; i < rounds; i++) {
		g_assert_cmpint(message_parse(out->str, out->len, &m, NULL, NULL), ==, 0);
		message_deinit(&m);
	}
	parse = g_test_timer_elapsed() / rounds / LIMIT_BATCH_OPS * 1e9;
	g_test_message("1000 operations of 200 bytes: format %.0f ns, parse %.0f ns each", format,
		       parse);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/wire/message/golden/session", test_golden_session);
	g_test_add_func("/wire/message/golden/item", test_golden_item);
	g_test_add_func("/wire/message/golden/batch", test_golden_batch);
	g_test_add_func("/wire/message/golden/batch-ack", test_golden_batch_ack);
	g_test_add_func("/wire/message/golden/error", test_golden_error);
	g_test_add_func("/wire/message/golden/watch", test_golden_watch);
	g_test_add_func("/wire/message/escapes", test_escapes);
	g_test_add_func("/wire/message/escape-places", test_escape_places);
	g_test_add_func("/wire/message/unknown", test_unknown);
	g_test_add_func("/wire/message/null", test_null);
	g_test_add_func("/wire/message/groups", test_groups);
	g_test_add_func("/wire/message/speed", test_speed);
	return g_test_run();
}
