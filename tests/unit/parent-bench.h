/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A driver for a unix socket on a bench: a listener in a temporary directory whose far end is the
 * test's to script, a clock the test moves, and a record of everything the driver told. Sockets are
 * real; time is not. bench_pump() turns the loop until nothing more happens.
 */

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "core/limits.h"
#include "parent/parent.h"

#define CLIENT "00112233445566778899aabbccddeeff"
#define EPOCH  "0123456789abcdef0123456789abcdef"
#define BATCH  "ffeeddccbbaa99887766554433221100"
#define WELCOME                                                                                    \
	"{\"type\":\"welcome\",\"protocol\":1,\"epoch\":\"" EPOCH                                  \
	"\",\"lastBatch\":7,\"features\":[]}"

struct bench {
	char *dir, *path, *address, *token_file;
	int listener, peer;
	uint64_t now;
	struct clock *clock;
	struct parent *parent;
	GString *from_client;	/* bytes of the line under way */
	GString *told;		/* what the driver told, "up welcome(…) " … */
	GString *refusals;	/* the words of each refused result, "m;" … */
	uint64_t retry_after;	/* of the last down or error */
	char *why;		/* of the last down */
	const char *on;		/* at this word … */
	void (*then)(struct bench *bench); /* … do this, once */
};

static uint64_t bench_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct bench *)data)->now;
}

static void bench_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

static void bench_pump(struct bench *bench)
{
	for (int idle = 0; idle < 3; idle++) {
		if (clock_next(bench->clock) <= bench->now) {
			clock_dispatch(bench->clock);
			idle = 0;
		}
		while (g_main_context_iteration(NULL, FALSE))
			idle = 0;
		bench->now++; /* what a timer armed for "now" in its own turn needs */
	}
}

/* ---- the far end ---- */

static void bench_listen(struct bench *bench)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	g_strlcpy(sa.sun_path, bench->path, sizeof(sa.sun_path));
	bench->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	g_assert_cmpint(bind(bench->listener, (struct sockaddr *)&sa, sizeof(sa)), ==, 0);
	g_assert_cmpint(listen(bench->listener, 8), ==, 0);
}

static void bench_accept(struct bench *bench)
{
	if (bench->peer >= 0)
		close(bench->peer);
	g_string_truncate(bench->from_client, 0);
	bench->peer = accept4(bench->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	g_assert_cmpint(bench->peer, >=, 0);
}

static bool bench_read(struct bench *bench)
{
	char buffer[65536];
	ssize_t n = recv(bench->peer, buffer, sizeof(buffer), 0);

	if (n > 0)
		g_string_append_len(bench->from_client, buffer, n);
	return n > 0;
}

/* The next line the client sent; NULL where there is none. */
static char *bench_line(struct bench *bench)
{
	char *newline, *line;

	do {
		bench_pump(bench);
		newline = strchr(bench->from_client->str, '\n');
	} while (!newline && bench_read(bench));
	if (!newline)
		return NULL;
	line = g_strndup(bench->from_client->str, (gsize)(newline - bench->from_client->str));
	g_string_erase(bench->from_client, 0, newline - bench->from_client->str + 1);
	return line;
}

static void bench_expect(struct bench *bench, const char *expected)
{
	g_autofree char *line = bench_line(bench);

	g_assert_cmpstr(line, ==, expected);
}

static void bench_write(struct bench *bench, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(bench->peer, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return; /* the driver hung up on us, as it may */
		text += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
		bench_pump(bench);
	}
	bench_pump(bench);
}

static void bench_say(struct bench *bench, const char *line)
{
	g_autofree char *text = g_strconcat(line, "\n", NULL);

	bench_write(bench, text, strlen(text));
}

/* ---- what is told ---- */

static void bench_note(struct bench *bench, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void bench_note(struct bench *bench, const char *format, ...)
{
	g_autofree char *word = NULL;
	void (*then)(struct bench *bench) = bench->then;
	va_list args;

	va_start(args, format);
	word = g_strdup_vprintf(format, args);
	va_end(args);
	g_string_append_printf(bench->told, "%s ", word);
	if (then && g_str_has_prefix(word, bench->on)) {
		bench->then = NULL;
		then(bench);
	}
}

static void bench_assert_told(struct bench *bench, const char *expected)
{
	bench_pump(bench);
	g_assert_cmpstr(bench->told->str, ==, expected);
	g_string_truncate(bench->told, 0);
}

static void told_up(void *data)
{
	bench_note(data, "up");
}

static void told_welcome(void *data, const struct parent_welcome *welcome)
{
	bench_note(data, "welcome(%.4s,%d)", welcome->epoch, (int)welcome->last_batch);
}

static void told_pong(void *data, int64_t id)
{
	bench_note(data, "pong(%d)", (int)id);
}

static void told_message(void *data)
{
	bench_note(data, "message");
}

static void told_down(void *data, enum parent_reason reason, const char *why, uint64_t retry_after)
{
	struct bench *bench = data;

	g_free(bench->why);
	bench->why = g_strdup(why);
	bench->retry_after = retry_after;
	bench_note(bench, "down(%s)", parent_reason_to_string(reason));
}

static bool told_error(struct bench *bench, const char *what, uint64_t tag,
		       const struct parent_error *error)
{
	if (!error)
		return false;
	bench->retry_after = error->retry_after;
	bench_note(bench, "%s(%d,%s:%s)", what, (int)tag, wire_class_to_string(error->class),
		   error->message);
	return true;
}

static void told_got(void *data, uint64_t tag, const struct parent_error *error, const char *value,
		     bool unclean, uint64_t revision)
{
	if (!told_error(data, "got", tag, error))
		bench_note(data, "got(%d,%s%s,%d)", (int)tag, value ? value : "-",
			   unclean ? "!" : "", (int)revision);
}

static void told_wrote(void *data, uint64_t tag, const struct parent_error *error,
		       uint64_t revision)
{
	if (!told_error(data, "wrote", tag, error))
		bench_note(data, "wrote(%d,%d)", (int)tag, (int)revision);
}

static void told_batch_sent(void *data)
{
	bench_note(data, "sent");
}

static void told_applied(void *data, const struct parent_error *error, const struct message *ack)
{
	struct bench *bench = data;

	if (told_error(data, "applied", 0, error))
		return;
	for (size_t i = 0; i < ack->batch_ack.n_results; i++)
		if (ack->batch_ack.results[i].error != WIRE_OP_OK)
			g_string_append_printf(bench->refusals, "%s;",
					       ack->batch_ack.results[i].message);
	bench_note(data, "applied(%d,%.4s,%s,%d)", (int)ack->batch_ack.number, ack->batch_ack.id,
		   ack->batch_ack.duplicate ? "again" : "first", (int)ack->batch_ack.n_results);
}

/* ---- life ---- */

static void bench_make_driver(struct bench *bench)
{
	static const struct parent_link_ops link = {
		.up = told_up,
		.welcome = told_welcome,
		.pong = told_pong,
		.message = told_message,
		.down = told_down,
	};
	static const struct parent_data_ops data = {
		.got = told_got,
		.wrote = told_wrote,
		.batch_sent = told_batch_sent,
		.applied = told_applied,
	};
	struct parent_params params = {
		.address = bench->address,
		.client = CLIENT,
		.token_file = bench->token_file,
		.peer_uid = -1,
		.clock = bench->clock,
	};

	g_assert_cmpint(parent_new(&params, &bench->parent), ==, 0);
	bench->parent->link = &link;
	bench->parent->link_data = bench;
	bench->parent->data = &data;
	bench->parent->data_data = bench;
}

static struct bench *bench_new(bool with_token)
{
	static const struct clock_ops ops = { .now = bench_now, .set_alarm = bench_alarm };
	struct bench *bench = g_new0(struct bench, 1);

	bench->dir = g_dir_make_tmp("holdfast-XXXXXX", NULL);
	bench->path = g_build_filename(bench->dir, "parent.sock", NULL);
	bench->address = g_strconcat("unix:", bench->path, NULL);
	bench->token_file = with_token ? g_build_filename(bench->dir, "token", NULL) : NULL;
	bench->now = 1000 * USEC_PER_SEC;
	bench->clock = clock_new(&ops, bench);
	bench->from_client = g_string_new(NULL);
	bench->told = g_string_new(NULL);
	bench->refusals = g_string_new(NULL);
	bench->peer = -1;
	bench_listen(bench);
	bench_make_driver(bench);
	return bench;
}

/* A session stands. */
static struct bench *bench_new_welcomed(void)
{
	struct bench *bench = bench_new(false);
	g_autofree char *hello = NULL;

	bench->parent->ops->connect(bench->parent);
	bench_assert_told(bench, "up ");
	bench_accept(bench);
	hello = bench_line(bench);
	bench_say(bench, WELCOME);
	bench_assert_told(bench, "welcome(0123,7) ");
	return bench;
}

static void bench_free(struct bench *bench)
{
	parent_free(bench->parent);
	bench_pump(bench);
	g_assert_cmpuint(clock_next(bench->clock), ==, USEC_INFINITY);
	clock_free(bench->clock);
	if (bench->peer >= 0)
		close(bench->peer);
	if (bench->listener >= 0)
		close(bench->listener);
	if (bench->token_file)
		g_unlink(bench->token_file);
	g_unlink(bench->path);
	g_rmdir(bench->dir);
	g_free(bench->dir);
	g_free(bench->path);
	g_free(bench->address);
	g_free(bench->token_file);
	g_free(bench->why);
	g_string_free(bench->from_client, TRUE);
	g_string_free(bench->told, TRUE);
	g_string_free(bench->refusals, TRUE);
	g_free(bench);
}
