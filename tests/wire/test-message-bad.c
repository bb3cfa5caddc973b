/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Everything that is not a message: no JSON, cut short, too long, too deep, too much, of wrong
 * types, huge, unclean.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "core/limits.h"
#include "message-check.h"

/* Text that must go no further costs the one item and not the line. */
static void test_unclean(void)
{
	static const char *const values[] = {
		"\\u0000",	  "a\\u0000b",	    "\\ud800",
		"\\udc00\\ud800", "\\ud800\\u0041", "\xff",
		"\xc0\x80",	  "\xed\xa0\x80",   "\xf4\x90\x80\x80",
		"a\xe2\x82",	  "\xf0\x9f\x98",   "\\ud83d\\ud83d",
		"\x80",		  "\\ud83d\\n",
	};
	AUTO_MESSAGE m = { 0 };

	for (unsigned int i = 0; i < G_N_ELEMENTS(values); i++) {
		g_autofree char *response = g_strdup_printf(
			"{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\","
			"\"value\":\"%s\",\"revision\":42}",
			values[i]);
		g_autofree char *save = g_strdup_printf(
			"{\"type\":\"saveToParentStorage\",\"requestId\":\"r1\",\"area\":\"a\","
			"\"key\":\"k\",\"value\":\"%s\"}",
			values[i]);

		parse_ok(response, &m);
		g_assert_cmpint(m.type, ==, MESSAGE_RESPONSE);
		g_assert_true(m.unclean);
		g_assert_cmpstr(m.request_id, ==, "r1");
		g_assert_cmpstr(m.item.key, ==, "k");
		g_assert_null(m.item.value);
		g_assert_cmpuint(m.item.revision, ==, 42);
		message_deinit(&m);
		parse_ok(save, &m);
		g_assert_true(m.unclean);
		g_assert_null(m.item.value);
		message_deinit(&m);
	}

	parse_ok("{\"type\":\"error\",\"class\":\"auth\",\"message\":\"\\u0000\"}", &m);
	g_assert_true(m.unclean);
	g_assert_cmpstr(m.error.message, ==, "");
	message_deinit(&m);
	parse_ok("{\"type\":\"batchAck\",\"requestId\":\"r\",\"batch\":1,\"id\":\"" HEX
		 "\",\"duplicate\":false,\"results\":[{\"error\":\"quota\",\"message\":\"\xff\"}]}",
		 &m);
	g_assert_null(m.batch_ack.results[0].message);
	message_deinit(&m);
}

struct bad {
	const char *line;
	const char *request_id;
};

static void check_bad(const struct bad *bad, int expect)
{
	struct message m = { .type = MESSAGE_UNKNOWN, .request_id = "untouched" };
	g_autofree char *request_id = NULL;
	const char *why = NULL;
	int r;

	r = message_parse(bad->line, strlen(bad->line), &m, &why, &request_id);
	if (r != expect)
		g_error("%d instead of %d: %s", r, expect, bad->line);
	g_assert_nonnull(why);
	g_assert_cmpstr(request_id, ==, bad->request_id);
	g_assert_cmpstr(m.request_id, ==, "untouched");
}

/* Not one JSON object, though json-glib would accept many of these. */
static void test_not_json(void)
{
	static const struct bad lines[] = {
		{ "" },
		{ " " },
		{ "{" },
		{ "}" },
		{ "[]" },
		{ "1" },
		{ "null" },
		{ "\"type\"" },
		{ "var a = {\"type\":\"ping\",\"pingTime\":1};" },
		{ "{'type':'ping','pingTime':1}" },
		{ "{type:\"ping\",\"pingTime\":1}" },
		{ "{\"type\":\"ping\",\"pingTime\":1}}" },
		{ "{\"type\":\"ping\",\"pingTime\":1};" },
		{ "{\"type\":\"ping\",\"pingTime\":1}{}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,}" },
		{ "{,\"type\":\"ping\",\"pingTime\":1}" },
		{ "{\"type\":\"ping\" \"pingTime\":1}" },
		{ "{\"type\":\"ping\",\"pingTime\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":}" },
		{ "{\"type\":\"ping\",\"pingTime\":01}" },
		{ "{\"type\":\"ping\",\"pingTime\":+1}" },
		{ "{\"type\":\"ping\",\"pingTime\":0x1}" },
		{ "{\"type\":\"ping\",\"pingTime\":1.}" },
		{ "{\"type\":\"ping\",\"pingTime\":.5}" },
		{ "{\"type\":\"ping\",\"pingTime\":1e}" },
		{ "{\"type\":\"ping\",\"pingTime\":-}" },
		{ "{\"type\":\"ping\",\"pingTime\":NaN}" },
		{ "{\"type\":\"ping\",\"pingTime\":True}" },
		{ "{\"type\":\"ping\",\"pingTime\":tru}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":[1,]}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":[1}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":[1}]" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"\t\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"\\x41\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"\\'\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"\\u12g4\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"\\ud800\\u\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"\\" },
		{ "{\"type\":\"ping\",/* no */\"pingTime\":1}" },
		{ "{\"type\":\"ping\",\"pingTime\":1} // no" },
		{ "# no\n{\"type\":\"ping\",\"pingTime\":1}" },
		{ "\xef\xbb\xbf{\"type\":\"ping\",\"pingTime\":1}" },
		{ "{\"type\":\"ping\",\xff\"pingTime\":1}" },
		{ "\x0b{\"type\":\"ping\",\"pingTime\":1}" },
		{ "{\"requestId\":\"r1\",\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":[[]]}}}}}}"
		  "}" },
	};
	static const char nul[] = "{\"type\":\"ping\",\"pingTime\":1,\"x\":\"a\0b\"}";
	static const char tail[] = "{\"type\":\"ping\",\"pingTime\":1}\0";
	struct message m;

	for (unsigned int i = 0; i < G_N_ELEMENTS(lines); i++)
		check_bad(&lines[i], -EBADMSG);
	g_assert_cmpint(message_parse(nul, sizeof(nul) - 1, &m, NULL, NULL), ==, -EBADMSG);
	g_assert_cmpint(message_parse(tail, sizeof(tail) - 1, &m, NULL, NULL), ==, -EBADMSG);
}

/* JSON, but no message of ours. */
static void test_malformed(void)
{
	static const struct bad lines[] = {
		{ "{}" },
		{ "{\"type\":5}" },
		{ "{\"type\":null,\"requestId\":\"r1\"}", "r1" },
		{ "{\"type\":\"\\u0000\",\"requestId\":\"r1\"}", "r1" },
		{ "{\"type\":\"ping\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":0}" },
		{ "{\"type\":\"ping\",\"pingTime\":\"1\"}" },
		{ "{\"type\":\"ping\",\"pingTime\":1.0}" },
		{ "{\"type\":\"ping\",\"pingTime\":1e3}" },
		{ "{\"type\":\"ping\",\"pingTime\":9007199254740993}" },
		{ "{\"type\":\"ping\",\"pingTime\":-9007199254740993}" },
		{ "{\"type\":\"ping\",\"pingTime\":18446744073709551617}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"requestId\":7}" },
		{ "{\"type\":\"ping\",\"pingTime\":1,\"requestId\":\"\\u0000\"}" },
		{ "{\"type\":\"hello\",\"protocol\":1}" },
		{ "{\"type\":\"hello\",\"client\":\"" HEX "\"}" },
		{ "{\"type\":\"hello\",\"protocol\":1,\"client\":\"0123\"}" },
		{ "{\"type\":\"hello\",\"protocol\":1,\"client\":"
		  "\"0123456789ABCDEF0123456789ABCDEF\"}" },
		{ "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX "\",\"token\":1}" },
		{ "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX "\",\"token\":\"\xff\"}" },
		{ "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX "\",\"features\":{}}" },
		{ "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" HEX "\",\"features\":[1]}" },
		{ "{\"type\":\"welcome\",\"protocol\":1,\"epoch\":\"" HEX "\"}" },
		{ "{\"type\":\"welcome\",\"protocol\":1,\"epoch\":\"" HEX "\",\"lastBatch\":-1}" },
		{ "{\"type\":\"getFromParentStorage\",\"area\":\"a\",\"key\":\"k\"}" },
		{ "{\"type\":\"getFromParentStorage\",\"requestId\":\"r1\",\"area\":\"a\"}", "r1" },
		{ "{\"type\":\"getFromParentStorage\",\"requestId\":\"r1\",\"area\":\"a\",\"key\":"
		  "\"\\u0000\"}",
		  "r1" },
		{ "{\"type\":\"getFromParentStorage\",\"requestId\":\"r1\",\"area\":\"\xff\","
		  "\"key\":\"k\"}",
		  "r1" },
		{ "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\",\"revision\":"
		  "1}",
		  "r1" },
		/* not taken for the mark of an unclean string */
		{ "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\",\"value\":0.5,"
		  "\"revision\":1}",
		  "r1" },
		{ "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\",\"value\":1,"
		  "\"revision\":1}",
		  "r1" },
		{ "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\",\"value\":"
		  "\"v\"}",
		  "r1" },
		{ "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"\\u0000\","
		  "\"value\":\"v\",\"revision\":1}",
		  "r1" },
		{ "{\"type\":\"saveToParentStorage\",\"requestId\":\"r1\",\"area\":\"a\",\"key\":"
		  "\"k\",\"value\":null}",
		  "r1" },
		{ "{\"type\":\"storageAck\",\"requestId\":\"r1\",\"revision\":true}", "r1" },
		{ "{\"type\":\"watch\",\"requestId\":\"r1\",\"area\":\"a\"}", "r1" },
		{ "{\"type\":\"watching\",\"requestId\":\"r1\",\"area\":\"a\",\"revision\":1,"
		  "\"gap\":0}",
		  "r1" },
		{ "{\"type\":\"itemChanged\",\"area\":\"a\",\"key\":\"k\",\"revision\":1}" },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(lines); i++)
		check_bad(&lines[i], -EPROTO);
}

/* Told apart, as an error must not be answered with another. */
static void test_malformed_error(void)
{
	static const struct bad lines[] = {
		{ "{\"type\":\"error\",\"requestId\":\"r1\",\"message\":\"x\"}", "r1" },
		{ "{\"type\":\"error\",\"requestId\":\"r1\",\"class\":\"fatal\",\"message\":\"x\"}",
		  "r1" },
		{ "{\"type\":\"error\",\"class\":\"auth\",\"message\":5}" },
		{ "{\"type\":\"error\",\"class\":\"auth\",\"message\":\"x\",\"retryAfter\":-1}" },
		{ "{\"type\":\"error\",\"requestId\":7,\"class\":\"auth\"}" },
		{ "{\"class\":\"auth\",\"requestId\":\"\xff\",\"type\":\"error\"}" },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(lines); i++)
		check_bad(&lines[i], -ENOMSG);
}

static void test_request_id_bounds(void)
{
	g_autofree char *longest = g_strnfill(LIMIT_REQUEST_ID_BYTES, 'r');
	g_autofree char *fits = g_strdup_printf("{\"type\":\"x\",\"requestId\":\"%s\"}", longest);
	g_autofree char *over = g_strdup_printf("{\"type\":\"x\",\"requestId\":\"%sr\"}", longest);
	AUTO_MESSAGE m = { 0 };

	g_assert_cmpint(LIMIT_REQUEST_ID_BYTES, ==, 256);
	parse_ok(fits, &m);
	g_assert_cmpstr(m.request_id, ==, longest);
	check_bad(&(struct bad){ over, NULL }, -EPROTO);
}

/* The number is compared first, so it and the requestId outlive whatever is wrong with the rest. */
static void test_bad_batch(void)
{
#define SAVE "\"type\":\"saveToParentStorage\""
#define KEY ",\"area\":\"a\",\"key\":\"k\""
	static const char *const rests[] = {
		"\"ops\":[]",
		"\"ops\":{}",
		"\"ops\":null",
		"\"op\":[]",
		"\"ops\":[1]",
		"\"ops\":[{}]",
		"\"ops\":[{" SAVE KEY "}]",
		"\"ops\":[{" SAVE KEY ",\"value\":null}]",
		"\"ops\":[{" SAVE KEY ",\"value\":\"\\u0000\"}]",
		"\"ops\":[{" SAVE KEY ",\"value\":\"v\"},{" SAVE ",\"area\":\"a\",\"key\":\"\xff\","
		"\"value\":\"\"}]",
		"\"ops\":[{" SAVE KEY ",\"value\":\"\",\"group\":-1}]",
		"\"ops\":[{" SAVE KEY ",\"value\":\"\",\"group\":9007199254740993}]",
		"\"ops\":[{" SAVE KEY ",\"value\":\"\",\"group\":\"g\"}]",
		"\"ops\":[{\"type\":\"ping\"" KEY ",\"value\":\"\"}]",
	};
	AUTO_MESSAGE m = { 0 };

	for (unsigned int i = 0; i < G_N_ELEMENTS(rests); i++) {
		g_autofree char *line = g_strdup_printf(
			"{\"type\":\"batch\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" HEX "\",%s}",
			rests[i]);

		parse_ok(line, &m);
		g_assert_cmpint(m.type, ==, MESSAGE_BATCH);
		g_assert_cmpstr(m.request_id, ==, "r2");
		g_assert_cmpuint(m.batch.number, ==, 8);
		g_assert_cmpstr(m.batch.id, ==, HEX);
		g_assert_nonnull(m.batch.bad);
		g_assert_cmpuint(m.batch.n_ops, ==, 0);
		message_deinit(&m);
	}
	parse_ok("{\"type\":\"batch\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"x\",\"ops\":[{" SAVE KEY
		 ",\"value\":\"\"}]}",
		 &m);
	g_assert_nonnull(m.batch.bad);
	g_assert_cmpstr(m.batch.id, ==, "");
}

static void test_malformed_batch(void)
{
#define ACK                                                                                        \
	"{\"type\":\"batchAck\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" HEX "\","              \
	"\"duplicate\":"
	static const struct bad lines[] = {
		{ "{\"type\":\"batch\",\"requestId\":\"r2\",\"batch\":0,\"id\":\"" HEX
		  "\",\"ops\":[{" SAVE ",\"area\":\"a\",\"key\":\"k\",\"value\":\"v\"}]}",
		  "r2" },
		{ "{\"type\":\"batch\",\"requestId\":\"r2\",\"batch\":1.5,\"id\":\"" HEX "\"}", "r2" },
		{ "{\"type\":\"batch\",\"requestId\":null,\"batch\":1,\"id\":\"" HEX "\"}" },
		{ ACK "false}", "r2" },
		{ ACK "0,\"results\":[]}", "r2" },
		{ ACK "true,\"results\":1}", "r2" },
		{ ACK "false,\"results\":null}", "r2" },
		{ ACK "false,\"results\":[43]}", "r2" },
		{ ACK "false,\"results\":[{}]}", "r2" },
		{ ACK "false,\"results\":[{\"revision\":-1}]}", "r2" },
		{ ACK "false,\"results\":[{\"error\":\"broken\"}]}", "r2" },
		{ ACK "false,\"results\":[{\"error\":\"quota\",\"message\":1}]}", "r2" },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(lines); i++)
		check_bad(&lines[i], -EPROTO);
}

/* 1 to 1000 operations, and as many results. */
static void test_batch_size(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct wire_op ops[LIMIT_BATCH_OPS + 1];
	struct wire_result results[LIMIT_BATCH_OPS + 1] = { 0 };
	AUTO_MESSAGE m = { 0 };

	for (unsigned int i = 0; i < G_N_ELEMENTS(ops); i++)
		ops[i] = (struct wire_op){ .area = "a", .key = "k", .value = "v" };
	message_format_batch(out, "r", 1, HEX, ops, LIMIT_BATCH_OPS);
	parse_ok(out->str, &m);
	g_assert_cmpuint(m.batch.n_ops, ==, LIMIT_BATCH_OPS);
	message_deinit(&m);
	g_string_truncate(out, 0);
	message_format_batch(out, "r", 1, HEX, ops, LIMIT_BATCH_OPS + 1);
	parse_ok(out->str, &m);
	g_assert_nonnull(m.batch.bad);
	message_deinit(&m);

	g_string_truncate(out, 0);
	message_format_batch_ack(out, "r", 1, HEX, false, results, LIMIT_BATCH_OPS);
	parse_ok(out->str, &m);
	g_assert_cmpuint(m.batch_ack.n_results, ==, LIMIT_BATCH_OPS);
	message_deinit(&m);
	g_string_truncate(out, 0);
	message_format_batch_ack(out, "r", 1, HEX, false, results, LIMIT_BATCH_OPS + 1);
	g_assert_cmpint(message_parse(out->str, out->len, &m, NULL, NULL), ==, -EPROTO);
}

/* No prefix of a message is one, and none is read past its end. */
static void test_truncated(void)
{
	static const char line[] =
		"{\"type\":\"batch\",\"requestId\":\"r\\u00e9\",\"batch\":8,\"id\":\"" HEX
		"\",\"ops\":[{\"type\":\"saveToParentStorage\",\"area\":\"a\",\"key\":\"\xc3\xa9\","
		"\"value\":\"\\ud83d\\ude00\",\"x\":[true,null,-1.5e+3]}]}";
	struct message m;

	for (size_t len = 0; len < sizeof(line) - 1; len++) {
		g_autofree char *exact = g_memdup2(line, len);

		g_assert_cmpint(message_parse(exact, len, &m, NULL, NULL), ==, -EBADMSG);
	}
	parse_ok(line, &m);
	message_deinit(&m);
}

static GString *long_line(size_t len)
{
	GString *line = g_string_new("{\"type\":\"ping\",\"pingTime\":1,\"x\":\"");

	while (line->len < len - 2)
		g_string_append_c(line, 'x');
	return g_string_append(line, "\"}");
}

static void test_bounds(void)
{
	g_autoptr(GString) fits = long_line(LIMIT_LINE_BYTES),
			   over = long_line(LIMIT_LINE_BYTES + 1);
	g_autoptr(GString) deep = g_string_new(NULL);
	struct message m = { 0 };

	g_assert_cmpint(message_parse(fits->str, fits->len, &m, NULL, NULL), ==, 0);
	message_deinit(&m);
	g_assert_cmpint(message_parse(over->str, over->len, &m, NULL, NULL), ==, -EBADMSG);

	for (unsigned int i = 0; i < LIMIT_LINE_BYTES; i++)
		g_string_append_c(deep, '[');
	g_assert_cmpint(message_parse(deep->str, deep->len, &m, NULL, NULL), ==, -EBADMSG);
	for (unsigned int i = 0; i < LIMIT_LINE_BYTES / 5; i++)
		memcpy(deep->str + i * 5, "{\"\":{", 5);
	g_assert_cmpint(message_parse(deep->str, deep->len, &m, NULL, NULL), ==, -EBADMSG);
	parse_ok("{\"type\":\"x\",\"a\":[[[[[[[]]]]]]]}", &m);
	message_deinit(&m);
}

/* What nobody reads may hold any number of values: it costs nothing, not even in memory. */
static void test_many_values(void)
{
	static const char piece[] = "[[]],[0,0],{},[0,{\"\\u0000\":1.5},0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],";
	g_autoptr(GString) many = g_string_new("{\"x\":[");
	const size_t most = (size_t)LIMIT_JSON_VALUES * LIMIT_JSON_VALUE_BYTES;
	AUTO_MESSAGE m = { 0 };

	for (unsigned int n = 1; many->len < LIMIT_LINE_BYTES - 100; n *= 2) {
		for (unsigned int i = 0; i < n && many->len < LIMIT_LINE_BYTES - 100; i++)
			g_string_append(many, piece);
		g_string_append(many, "0],\"type\":\"ping\",\"pingTime\":7}");
		if (message_parse(many->str, many->len, &m, NULL, NULL) < 0)
			g_error("refused: %zu bytes", many->len);
		g_assert_cmpint(m.ping.time, ==, 7);
		g_assert_cmpuint(m.held, <=, many->len + most);
		message_deinit(&m);
		g_string_truncate(many, many->len - strlen("0],\"type\":\"ping\",\"pingTime\":7}"));
	}
}

/* Each number of values around the bound, with nothing but the message's own members behind. */
static void test_values_around_the_bound(void)
{
	g_autoptr(GString) line = g_string_new("{\"x\":[0");
	AUTO_MESSAGE m = { 0 };
	size_t len;

	for (unsigned int i = 1; i < LIMIT_JSON_VALUES - 1040; i++)
		g_string_append(line, ",0");
	for (unsigned int i = 0; i < 40; i++) {
		g_string_append(line, ",0");
		len = line->len;
		g_string_append(line, "],\"type\":\"ping\",\"pingTime\":7}");
		if (message_parse(line->str, line->len, &m, NULL, NULL) < 0)
			g_error("refused: %u", i);
		g_assert_cmpint(m.ping.time, ==, 7);
		message_deinit(&m);
		g_string_truncate(line, len);
	}
}

/* But what is read may not: such a member, or so many of them, spoil the message and no more. */
static void test_too_many_values(void)
{
	g_autoptr(GString) ops = g_string_new("{\"type\":\"batch\",\"requestId\":\"r\",\"batch\":5,"
					      "\"id\":\"" HEX "\",\"ops\":[0");
	g_autoptr(GString) members = g_string_new("{\"requestId\":\"r\"");
	AUTO_MESSAGE m = { 0 };

	for (unsigned int i = 0; i < LIMIT_JSON_VALUES; i++) {
		g_string_append(ops, ",0");
		g_string_append_printf(members, " , \"%u\" : [%u]", i, i);
	}
	g_string_append(ops, "]}");
	parse_ok(ops->str, &m);
	g_assert_cmpuint(m.batch.number, ==, 5);
	g_assert_nonnull(m.batch.bad);
	g_string_append(members, ",\"type\":\"ping\",\"pingTime\":7}");
	check_bad(&(struct bad){ members->str, "r" }, -EPROTO);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/wire/message/unclean", test_unclean);
	g_test_add_func("/wire/message/not-json", test_not_json);
	g_test_add_func("/wire/message/malformed", test_malformed);
	g_test_add_func("/wire/message/malformed-error", test_malformed_error);
	g_test_add_func("/wire/message/request-id-bounds", test_request_id_bounds);
	g_test_add_func("/wire/message/bad-batch", test_bad_batch);
	g_test_add_func("/wire/message/many-values", test_many_values);
	g_test_add_func("/wire/message/values-around-the-bound", test_values_around_the_bound);
	g_test_add_func("/wire/message/too-many-values", test_too_many_values);
	g_test_add_func("/wire/message/malformed-batch", test_malformed_batch);
	g_test_add_func("/wire/message/batch-size", test_batch_size);
	g_test_add_func("/wire/message/truncated", test_truncated);
	g_test_add_func("/wire/message/bounds", test_bounds);
	return g_test_run();
}
