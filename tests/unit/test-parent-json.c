/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The client's side of the wire protocol against a scripted peer on a real socket: the bytes we
 * send, what we make of each answer, and of everything that is not one.
 */

#include "parent-bench.h"

static int ask_get(struct bench *bench, uint64_t tag)
{
	return bench->parent->ops->get(bench->parent, tag, "default", "k");
}

static void send_batch(struct bench *bench)
{
	static const struct wire_op ops[] = {
		{ .area = "a", .key = "k", .value = "v" },
		{ .area = "a", .key = "k2", .grouped = true, .group = 1 },
	};
	const struct parent_batch batch = { .number = 8, .id = BATCH, .ops = ops, .n_ops = 2 };

	bench->parent->ops->apply(bench->parent, &batch);
}

/* ---- greeting ---- */

static void test_hello(void)
{
	struct bench *bench = bench_new(false);

	bench->parent->ops->connect(bench->parent);
	g_assert_cmpstr(bench->told->str, ==, ""); /* never from within the call */
	bench_assert_told(bench, "up ");
	bench_accept(bench);
	bench_expect(bench, "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" CLIENT
			    "\",\"features\":[]}");
	bench_expect(bench, NULL);
	bench_say(bench, WELCOME);
	bench_assert_told(bench, "welcome(0123,7) ");
	g_assert_cmpstr(bench->parent->ops->path(bench->parent), ==, bench->path);
	bench_free(bench);
}

static void set_token(struct bench *bench, const char *text, gssize len)
{
	g_assert_true(g_file_set_contents(bench->token_file, text, len, NULL));
}

/* The file is read for each hello, so that a new token needs no restart. */
static void test_token(void)
{
	static const char *const bad[] = { "", " \n", "\xff\n" };
	struct bench *bench = bench_new(true);
	g_autofree char *long_token = g_strnfill(LIMIT_TOKEN_BYTES + 1, 'x');

	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "down(auth) ");
	for (unsigned int i = 0; i < G_N_ELEMENTS(bad); i++) {
		set_token(bench, bad[i], -1);
		bench->parent->ops->connect(bench->parent);
		bench_assert_told(bench, "down(auth) ");
	}
	set_token(bench, "a\0b", 3);
	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "down(auth) ");
	set_token(bench, long_token, -1);
	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "down(auth) ");
	g_assert_null(strstr(bench->why, "xxx"));

	set_token(bench, " s3cret \nsecond line\n", -1);
	close(bench->listener);
	g_unlink(bench->path);
	bench_listen(bench);
	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "up ");
	bench_accept(bench);
	bench_expect(bench, "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" CLIENT
			    "\",\"token\":\"s3cret\",\"features\":[]}");
	bench_free(bench);
}

static void test_cannot_dial(void)
{
	struct bench *bench = bench_new(false);

	close(bench->listener);
	bench->listener = -1;
	bench->parent->ops->connect(bench->parent); /* no one listens */
	bench_assert_told(bench, "down(refused) ");
	g_assert_nonnull(strstr(bench->why, bench->path));
	g_unlink(bench->path);
	bench->parent->ops->connect(bench->parent); /* nothing there */
	bench_assert_told(bench, "down(refused) ");
	bench_free(bench);
}

/* The words before the welcome, and what each makes of the link. */
static void test_refusals(void)
{
	static const struct {
		const char *line, *told;
		uint64_t retry_after;
	} rows[] = {
		{ "{\"type\":\"welcome\",\"protocol\":2,\"epoch\":\"" EPOCH
		  "\",\"lastBatch\":0,\"features\":[]}", "down(version) ", 0 },
		{ "{\"type\":\"error\",\"class\":\"auth\",\"message\":\"m\"}", "down(auth) ", 0 },
		{ "{\"type\":\"error\",\"class\":\"permanent\",\"message\":\"m\","
		  "\"retryAfter\":5}", "down(auth) ", 0 },
		{ "{\"type\":\"error\",\"class\":\"transient\",\"message\":\"m\"}",
		  "down(refused) ", 0 },
		{ "{\"type\":\"error\",\"class\":\"capacity\",\"message\":\"m\","
		  "\"retryAfter\":1500}", "down(refused) ", 1500000 },
		{ "{\"type\":\"pong\",\"pingTime\":1}", "down(protocol) ", 0 },
		{ "{\"type\":\"storageAck\",\"requestId\":\"r1\",\"revision\":1}",
		  "down(protocol) ", 0 },
		{ "HTTP/1.1 400 Bad Request", "down(protocol) ", 0 },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct bench *bench = bench_new(false);

		bench->parent->ops->connect(bench->parent);
		bench_assert_told(bench, "up ");
		bench_accept(bench);
		bench_say(bench, rows[i].line);
		bench_assert_told(bench, rows[i].told);
		g_assert_cmpuint(bench->retry_after, ==, rows[i].retry_after);
		bench_say(bench, WELCOME); /* to nobody */
		bench_assert_told(bench, "");
		bench_free(bench);
	}
}

/* ---- asking ---- */

static void test_ping(void)
{
	struct bench *bench = bench_new_welcomed();

	bench->parent->ops->ping(bench->parent, 4242);
	bench_expect(bench, "{\"type\":\"ping\",\"pingTime\":4242}");
	bench_say(bench, "{\"type\":\"pong\",\"pingTime\":4242}");
	bench_say(bench, "{\"type\":\"pong\",\"pingTime\":-1}");
	bench_assert_told(bench, "pong(4242) pong(-1) ");
	bench_free(bench);
}

static void test_get(void)
{
	struct bench *bench = bench_new_welcomed();

	g_assert_cmpint(ask_get(bench, 77), ==, 0);
	bench_expect(bench, "{\"type\":\"getFromParentStorage\",\"requestId\":\"r1\","
			    "\"area\":\"default\",\"key\":\"k\"}");
	for (uint64_t tag = 78; tag <= 81; tag++)
		g_assert_cmpint(ask_get(bench, tag), ==, 0);
	/* Answers may come in any order. */
	bench_say(bench, "{\"type\":\"storageResponse\",\"requestId\":\"r2\",\"key\":\"k\","
			 "\"value\":null,\"revision\":43}");
	bench_say(bench, "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\","
			 "\"value\":\"v\",\"revision\":42}");
	bench_assert_told(bench, "message got(78,-,43) message got(77,v,42) ");
	/* A value that is no clean text costs that item, not the connection. */
	bench_say(bench, "{\"type\":\"storageResponse\",\"requestId\":\"r3\",\"key\":\"k\","
			 "\"value\":\"a\\u0000b\",\"revision\":44}");
	bench_say(bench, "{\"type\":\"storageResponse\",\"requestId\":\"r4\",\"key\":\"k\","
			 "\"value\":\"\xff\",\"revision\":44}");
	bench_assert_told(bench, "message got(79,-!,44) message got(80,-!,44) ");
	bench_say(bench, "{\"type\":\"error\",\"requestId\":\"r5\",\"class\":\"transient\","
			 "\"message\":\"busy\",\"retryAfter\":250}");
	bench_assert_told(bench, "message got(81,transient:busy) ");
	g_assert_cmpuint(bench->retry_after, ==, 250000);
	bench_free(bench);
}

static void test_write(void)
{
	struct bench *bench = bench_new_welcomed();

	g_assert_cmpint(bench->parent->ops->write(bench->parent, 5, "a", "k", "v"), ==, 0);
	g_assert_cmpint(bench->parent->ops->write(bench->parent, 6, "a", "k", NULL), ==, 0);
	bench_expect(bench, "{\"type\":\"saveToParentStorage\",\"requestId\":\"r1\",\"area\":\"a\","
			    "\"key\":\"k\",\"value\":\"v\"}");
	bench_expect(bench, "{\"type\":\"removeFromParentStorage\",\"requestId\":\"r2\","
			    "\"area\":\"a\",\"key\":\"k\"}");
	bench_say(bench, "{\"type\":\"storageAck\",\"requestId\":\"r1\",\"revision\":45}");
	bench_say(bench, "{\"type\":\"error\",\"requestId\":\"r2\",\"class\":\"permanent\","
			 "\"message\":\"no\"}");
	bench_assert_told(bench, "message wrote(5,45) message wrote(6,permanent:no) ");
	bench_free(bench);
}

static void test_batch(void)
{
	struct bench *bench = bench_new_welcomed();

	send_batch(bench);
	g_assert_cmpstr(bench->told->str, ==, ""); /* its last byte waits for the loop */
	bench_expect(bench, "{\"type\":\"batch\",\"requestId\":\"r1\",\"batch\":8,\"id\":\"" BATCH
			    "\",\"ops\":[{\"type\":\"saveToParentStorage\",\"area\":\"a\","
			    "\"key\":\"k\",\"value\":\"v\"},"
			    "{\"type\":\"removeFromParentStorage\",\"area\":\"a\",\"key\":\"k2\","
			    "\"group\":1}]}");
	bench_assert_told(bench, "sent ");
	bench_say(bench, "{\"type\":\"error\",\"requestId\":\"r1\",\"class\":\"capacity\","
			 "\"message\":\"full\",\"retryAfter\":10}");
	bench_assert_told(bench, "message applied(0,capacity:full) ");
	send_batch(bench);
	bench_assert_told(bench, "sent ");
	bench_say(bench, "{\"type\":\"batchAck\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" BATCH
			 "\",\"duplicate\":false,\"results\":[{\"revision\":43},"
			 "{\"error\":\"rejected\",\"message\":\"m\"}]}");
	bench_assert_told(bench, "message applied(8,ffee,first,2) ");
	bench_free(bench);
}

/* With a get r1, a write r2 and the batch r3 under way: what ends the connection. */
static void test_wrong_answers(void)
{
	static const char *const lines[] = {
		"{\"type\":\"storageResponse\",\"requestId\":\"r9\",\"key\":\"k\",\"value\":null,"
		"\"revision\":1}",
		"{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"K\",\"value\":\"v\","
		"\"revision\":1}",
		"{\"type\":\"storageResponse\",\"requestId\":\"r2\",\"key\":\"k\",\"value\":\"v\","
		"\"revision\":1}",
		"{\"type\":\"storageResponse\",\"requestId\":\"R1\",\"key\":\"k\",\"value\":\"v\","
		"\"revision\":1}",
		"{\"type\":\"storageAck\",\"requestId\":\"r1\",\"revision\":1}",
		"{\"type\":\"storageAck\",\"requestId\":\"r3\",\"revision\":1}",
		"{\"type\":\"batchAck\",\"requestId\":\"r2\",\"batch\":8,\"id\":\"" BATCH
		"\",\"duplicate\":false,\"results\":[{\"revision\":1},{\"revision\":2}]}",
		"{\"type\":\"batchAck\",\"requestId\":\"r3\",\"batch\":9,\"id\":\"" BATCH
		"\",\"duplicate\":false,\"results\":[{\"revision\":1},{\"revision\":2}]}",
		"{\"type\":\"error\",\"requestId\":\"r4\",\"class\":\"transient\",\"message\":\"\"}",
		"{\"type\":\"error\",\"class\":\"transient\",\"message\":\"out of order\"}",
		"{\"type\":\"error\",\"class\":\"permanent\",\"message\":\"what?\"}",
		"{\"type\":\"itemChanged\",\"area\":\"a\",\"key\":\"k\",\"value\":\"v\","
		"\"revision\":1,\"client\":\"" CLIENT "\"}",
		"{\"type\":\"watching\",\"requestId\":\"r1\",\"area\":\"a\",\"revision\":1,"
		"\"gap\":false}",
		"{\"type\":\"ping\",\"pingTime\":1}",
		"{\"type\":\"hello\",\"protocol\":1,\"client\":\"" CLIENT "\",\"features\":[]}",
		"{\"type\":\"pong\",\"pingTime\":0}",
		"{\"type\":\"pong\"}",
		"{\"type\":3}",
		"[[[[[[[[[[]]]]]]]]]]",
		"var a = 1;",
		"",
		"{}",
		WELCOME,
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(lines); i++) {
		struct bench *bench = bench_new_welcomed();

		ask_get(bench, 1);
		bench->parent->ops->write(bench->parent, 2, "a", "k", "v");
		send_batch(bench);
		bench_assert_told(bench, "sent ");
		bench_say(bench, lines[i]);
		bench_assert_told(bench, "down(protocol) ");
		bench_free(bench);
	}
}

static void test_answered_twice(void)
{
	struct bench *bench = bench_new_welcomed();
	const char *answer = "{\"type\":\"storageAck\",\"requestId\":\"r1\",\"revision\":1}";

	bench->parent->ops->write(bench->parent, 2, "a", "k", "v");
	bench_say(bench, answer);
	bench_say(bench, answer);
	bench_assert_told(bench, "message wrote(2,1) down(protocol) ");
	bench_free(bench);
}

/* auth after the welcome: the line goes, whatever the error was about. Words about a request are
 * not for everybody. */
static void test_auth_later(void)
{
	static const char *const ids[] = { "", "\"requestId\":\"r1\",", "\"requestId\":\"x\"," };

	for (unsigned int i = 0; i < G_N_ELEMENTS(ids); i++) {
		struct bench *bench = bench_new_welcomed();
		g_autofree char *line = g_strdup_printf(
			"{\"type\":\"error\",%s\"class\":\"auth\",\"message\":\"revoked\"}", ids[i]);

		send_batch(bench);
		bench_assert_told(bench, "sent ");
		bench_say(bench, line);
		bench_assert_told(bench, "down(auth) ");
		g_assert_cmpstr(bench->why, ==, i == 0 ? "revoked" : "the parent does not let us stay");
		g_assert_true(bench->parent->quoting == (i == 0));
		bench_free(bench);
	}
}

/* An error about nothing in particular may be about somebody's value. */
static void test_not_understood(void)
{
	struct bench *bench = bench_new_welcomed();

	bench_say(bench, "{\"type\":\"error\",\"class\":\"permanent\",\"message\":\"bad line: v\"}");
	bench_assert_told(bench, "down(protocol) ");
	g_assert_cmpstr(bench->why, ==, "the parent did not understand something that we sent");
	g_assert_false(bench->parent->quoting);
	bench_free(bench);
}

/* A session that stands, and into whose hello a token went. */
static struct bench *bench_new_with_token(const char *token)
{
	struct bench *bench = bench_new(true);
	g_autofree char *hello = NULL;

	set_token(bench, token, -1);
	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "up ");
	bench_accept(bench);
	hello = bench_line(bench);
	g_assert_nonnull(strstr(hello, token));
	return bench;
}

/* Whatever of its own words the parent puts our token in: nobody is shown them. */
static void test_token_is_not_repeated(void)
{
	static const char hidden[] = "what the parent says has our token in it and is not shown";
	struct bench *bench = bench_new_with_token("s3cret");
	g_autofree char *got = g_strconcat("message got(7,transient:", hidden, ") ", NULL);
	g_autofree char *wrote = g_strconcat("message wrote(8,permanent:", hidden, ") ", NULL);

	bench_say(bench, "{\"type\":\"error\",\"class\":\"auth\",\"message\":\"who is s3cret?\"}");
	bench_assert_told(bench, "down(auth) ");
	g_assert_cmpstr(bench->why, ==, hidden);
	bench_free(bench);

	bench = bench_new_with_token("s3cret");
	bench_say(bench, WELCOME);
	ask_get(bench, 7);
	bench->parent->ops->write(bench->parent, 8, "a", "k", "v");
	bench_assert_told(bench, "welcome(0123,7) ");
	bench_say(bench, "{\"type\":\"error\",\"requestId\":\"r1\",\"class\":\"transient\","
			 "\"message\":\"s3\\u0063ret again\"}");
	bench_assert_told(bench, got);
	bench_say(bench, "{\"type\":\"error\",\"requestId\":\"r2\",\"class\":\"permanent\","
			 "\"message\":\"s3cret\"}");
	bench_assert_told(bench, wrote);
	send_batch(bench);
	bench_assert_told(bench, "sent ");
	bench_say(bench, "{\"type\":\"batchAck\",\"requestId\":\"r3\",\"batch\":8,\"id\":\"" BATCH
			 "\",\"duplicate\":false,\"results\":[{\"error\":\"rejected\",\"message\":"
			 "\"s3cret may not\"},{\"error\":\"quota\",\"message\":\"full\"}]}");
	bench_pump(bench);
	g_assert_cmpstr(bench->refusals->str, ==,
			"what the parent says has our token in it and is not shown;full;");
	/* A value is its owner's: it may be the same by chance. */
	ask_get(bench, 9);
	g_string_truncate(bench->told, 0);
	bench_say(bench, "{\"type\":\"storageResponse\",\"requestId\":\"r4\",\"key\":\"k\","
			 "\"value\":\"s3cret\",\"revision\":42}");
	bench_assert_told(bench, "message got(9,s3cret,42) ");
	bench_free(bench);
}

static void test_unknown_type(void)
{
	struct bench *bench = bench_new_welcomed();
	g_autoptr(GString) flood = g_string_new(NULL);
	g_autofree char *reply = NULL;

	bench_say(bench, "{\"type\":\"gossip\",\"requestId\":\"p1\"}");
	bench_assert_told(bench, "message ");
	reply = bench_line(bench);
	g_assert_true(g_str_has_prefix(reply, "{\"type\":\"error\",\"requestId\":\"p1\","
					      "\"class\":\"permanent\","));
	/* Answers that are taken may go on for ever; those that are not may not pile up. */
	for (int i = 0; i < 10 * LIMIT_PARENT_COMPLAINTS; i++) {
		g_autofree char *line = NULL;

		bench_say(bench, "{\"type\":\"gossip\"}");
		line = bench_line(bench);
		g_assert_nonnull(line);
	}
	g_string_truncate(bench->told, 0);
	for (int i = 0; i < 20000; i++)
		g_string_append(flood, "{\"type\":\"gossip\"}\n");
	bench_write(bench, flood->str, flood->len);
	g_assert_true(g_str_has_suffix(bench->told->str, "message down(protocol) "));
	bench_free(bench);
}

/* ---- endings ---- */

static void test_closed(void)
{
	struct bench *bench = bench_new_welcomed();

	ask_get(bench, 1);
	bench_pump(bench);
	close(bench->peer);
	bench->peer = -1;
	bench_assert_told(bench, "down(closed) ");
	g_assert_cmpint(ask_get(bench, 2), ==, -ENOTCONN);
	bench->parent->ops->ping(bench->parent, 1); /* to nobody, and nothing comes of it */
	send_batch(bench);
	bench_assert_told(bench, "");
	bench_free(bench);
}

/* Nothing of an attempt or a connection that was given up is ever told. */
static void test_disconnect(void)
{
	struct bench *bench = bench_new(false);
	g_autofree char *hello = NULL;

	bench->parent->ops->connect(bench->parent);
	bench->parent->ops->disconnect(bench->parent);
	bench_assert_told(bench, "");
	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "up ");
	bench_accept(bench);
	bench_say(bench, WELCOME);
	bench_assert_told(bench, "welcome(0123,7) ");
	ask_get(bench, 1);
	bench_pump(bench);
	g_assert_cmpint(send(bench->peer, WELCOME "\n", strlen(WELCOME) + 1, 0), >, 0);
	bench->parent->ops->disconnect(bench->parent);
	bench->parent->ops->disconnect(bench->parent);
	bench_assert_told(bench, "");

	/* The next one knows nothing of what the last one was asked, nor takes an answer of it for
	 * one to what it is asked itself. */
	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "up ");
	bench_accept(bench);
	hello = bench_line(bench);
	bench_say(bench, WELCOME);
	ask_get(bench, 2);
	bench_expect(bench, "{\"type\":\"getFromParentStorage\",\"requestId\":\"r2\","
			    "\"area\":\"default\",\"key\":\"k\"}");
	bench_say(bench, "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\","
			 "\"value\":null,\"revision\":43}");
	bench_assert_told(bench, "welcome(0123,7) down(protocol) ");
	bench_free(bench);
}

static void hang_up(struct bench *bench)
{
	bench->parent->ops->disconnect(bench->parent);
}

static void go_away(struct bench *bench)
{
	bench->parent = parent_free(bench->parent);
}

static void dial_again(struct bench *bench)
{
	bench->parent->ops->connect(bench->parent);
}

/* Each callback may end it all; what came behind it in the same packet is not told. */
static void test_callbacks_end_it(void)
{
	static const char script[] =
		WELCOME "\n{\"type\":\"pong\",\"pingTime\":1}\n"
		"{\"type\":\"gossip\"}\n"
		"{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\",\"value\":null,"
		"\"revision\":1}\n"
		"{\"type\":\"storageAck\",\"requestId\":\"r2\",\"revision\":1}\n"
		"{\"type\":\"batchAck\",\"requestId\":\"r3\",\"batch\":8,\"id\":\"" BATCH
		"\",\"duplicate\":false,\"results\":[{\"revision\":1},{\"revision\":2}]}\n"
		"garbage\n";
	static const char *const words[] = { "up", "welcome", "message", "got", "wrote", "sent",
					     "applied", "down" };
	static void (*const thens[])(struct bench *) = { hang_up, go_away, dial_again };

	for (unsigned int i = 0; i < G_N_ELEMENTS(words) * G_N_ELEMENTS(thens); i++) {
		struct bench *bench = bench_new(false);
		const char *word = words[i / G_N_ELEMENTS(thens)], *last;

		bench->on = word;
		bench->then = thens[i % G_N_ELEMENTS(thens)];
		bench->parent->ops->connect(bench->parent);
		bench_pump(bench);
		bench_accept(bench);
		bench_write(bench, script, strlen(WELCOME) + 1);
		if (bench->parent) {
			ask_get(bench, 1);
			bench->parent->ops->write(bench->parent, 2, "a", "k", "v");
			send_batch(bench);
		}
		bench_pump(bench);
		bench_write(bench, script + strlen(WELCOME) + 1,
			    strlen(script) - strlen(WELCOME) - 1);
		/* The word that ended it stands last, but for the "up" of a new dial. */
		last = strstr(bench->told->str, word);
		g_assert_nonnull(last);
		last = strchr(last, ' ') + 1;
		g_assert_cmpstr(last, ==, bench->parent && thens[i % 3] == dial_again ? "up " : "");
		bench_free(bench);
	}
}

/* ---- bounds ---- */

static void test_too_many_requests(void)
{
	struct bench *bench = bench_new_welcomed();

	for (uint64_t i = 0; i < LIMIT_PARENT_REQUESTS; i++)
		g_assert_cmpint(ask_get(bench, i), ==, 0);
	g_assert_cmpint(ask_get(bench, 9999), ==, -EBUSY);
	bench_say(bench, "{\"type\":\"storageResponse\",\"requestId\":\"r1\",\"key\":\"k\","
			 "\"value\":null,\"revision\":1}");
	g_assert_cmpint(ask_get(bench, 9999), ==, 0);
	bench_free(bench);
}

static void test_too_much_unsent(void)
{
	struct bench *bench = bench_new_welcomed();
	g_autofree char *value = g_strnfill(LIMIT_VALUE_BYTES, 'x');
	g_autofree char *bells = g_strnfill(LIMIT_VALUE_BYTES, '\a');
	uint64_t progress = 0;
	int r = 0, n = 0;

	g_assert_false(bench->parent->ops->busy(bench->parent, &progress));
	/* By one user of many: each byte is six on the wire. Others have room left. */
	for (int i = 0; i < 3; i++)
		g_assert_cmpint(bench->parent->ops->write(bench->parent, 1, "1000/a", "k", bells),
				==, i < 2 ? 0 : -EDQUOT);
	g_assert_cmpint(bench->parent->ops->write(bench->parent, 1, "1001/a", "k", value), ==, 0);
	for (; r == 0 && n < 100; n++)
		r = bench->parent->ops->write(bench->parent, 1, "a", "k", value);
	g_assert_cmpint(r, ==, -EBUSY);
	g_assert_cmpint(n, <=, LIMIT_PARENT_UNSENT_BYTES / LIMIT_VALUE_BYTES + 1);
	g_assert_true(bench->parent->ops->busy(bench->parent, &progress));
	bench_free(bench);
}

static void test_overlong_line(void)
{
	struct bench *bench = bench_new_welcomed();
	g_autofree char *text = g_strnfill(LIMIT_LINE_BYTES + 1, 'x');

	bench_write(bench, text, LIMIT_LINE_BYTES + 1);
	bench_assert_told(bench, "down(protocol) ");
	bench_free(bench);
}

static void test_stalled_line(void)
{
	struct bench *bench = bench_new_welcomed();

	bench_write(bench, "{\"type\":", 8);
	bench->now += 9 * USEC_PER_SEC;
	bench_assert_told(bench, "");
	bench->now += 2 * USEC_PER_SEC;
	bench_assert_told(bench, "down(timeout) ");
	bench_free(bench);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/parent-json/hello", test_hello);
	g_test_add_func("/parent-json/token", test_token);
	g_test_add_func("/parent-json/cannot-dial", test_cannot_dial);
	g_test_add_func("/parent-json/refusals", test_refusals);
	g_test_add_func("/parent-json/ping", test_ping);
	g_test_add_func("/parent-json/get", test_get);
	g_test_add_func("/parent-json/write", test_write);
	g_test_add_func("/parent-json/batch", test_batch);
	g_test_add_func("/parent-json/wrong-answers", test_wrong_answers);
	g_test_add_func("/parent-json/answered-twice", test_answered_twice);
	g_test_add_func("/parent-json/auth-later", test_auth_later);
	g_test_add_func("/parent-json/not-understood", test_not_understood);
	g_test_add_func("/parent-json/token-is-not-repeated", test_token_is_not_repeated);
	g_test_add_func("/parent-json/unknown-type", test_unknown_type);
	g_test_add_func("/parent-json/closed", test_closed);
	g_test_add_func("/parent-json/disconnect", test_disconnect);
	g_test_add_func("/parent-json/callbacks-end-it", test_callbacks_end_it);
	g_test_add_func("/parent-json/too-many-requests", test_too_many_requests);
	g_test_add_func("/parent-json/too-much-unsent", test_too_much_unsent);
	g_test_add_func("/parent-json/overlong-line", test_overlong_line);
	g_test_add_func("/parent-json/stalled-line", test_stalled_line);
	return g_test_run();
}
