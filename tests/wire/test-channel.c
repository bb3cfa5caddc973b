/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A channel while it lives: lines in and out, back-pressure, turns. */

#include <gio/gio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel-check.h"

static void test_lines(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	g_assert_cmpuint(settle(), ==, 0);
	peer_write(e, "one\ntwo\nthr");
	settle();
	g_assert_cmpstr(e->log->str, ==, "one two ");
	peer_write(e, "ee\n\n");
	settle();
	g_assert_cmpstr(e->log->str, ==, "one two three  ");
	g_assert_cmpuint(e->ends, ==, 0);
	peer_write(e, "last\nhalf");
	peer_close(e);
	settle();
	g_assert_cmpstr(e->log->str, ==, "one two three  last ");
	assert_ended(e, CHANNEL_CLOSED);
}

static void test_send(struct end_of *e, gconstpointer unused)
{
	g_autoptr(GString) got = g_string_new(NULL);

	(void)unused;
	channel_send(e->channel, g_string_new("a\n"), 1);
	channel_send(e->channel, g_string_new("b\n"), 0);
	channel_send(e->channel, g_string_new("c\n"), 3);
	/* Nothing is told before the loop turns. */
	g_assert_cmpuint(e->log->len, ==, 0);
	g_assert_cmpuint(channel_unsent(e->channel), ==, 6);
	settle();
	g_assert_cmpstr(e->log->str, ==, "sent1 sent3 ");
	g_assert_cmpuint(channel_unsent(e->channel), ==, 0);
	peer_read(e, got);
	g_assert_cmpstr(got->str, ==, "a\nb\nc\n");
	for (unsigned int i = 0; i < 1000; i++)
		channel_send(e->channel, g_string_new("x\n"), i + 1);
	settle();
	g_assert_true(g_str_has_suffix(e->log->str, "sent999 sent1000 "));
}

/* A line larger than what the kernel holds: told when its last byte is gone, not before. */
static void test_send_large(struct end_of *e, gconstpointer unused)
{
	g_autoptr(GString) got = g_string_new(NULL);
	g_autoptr(GString) want = g_string_new(NULL);
	uint64_t progress;
	size_t unsent;
	GString *line;

	(void)unused;
	for (unsigned int i = 0; i < 300000; i++)
		g_string_append_printf(want, "%u,", i);
	g_string_append_c(want, '\n');
	line = g_string_new_len(want->str, (gssize)want->len);
	g_string_append(want, "tail\n");

	g_assert_false(channel_busy(e->channel, &progress));
	channel_send(e->channel, line, 7);
	channel_send(e->channel, g_string_new("tail\n"), 8);
	g_assert_true(channel_busy(e->channel, &progress));
	g_assert_cmpuint(progress, ==, e->now);
	settle();
	g_assert_cmpuint(channel_unsent(e->channel), >, 0);
	g_assert_cmpuint(channel_unsent(e->channel), <, want->len);
	while (got->len < want->len) {
		g_assert_cmpuint(e->log->len == 0, ==, channel_unsent(e->channel) > 5);
		unsent = channel_unsent(e->channel);
		e->now += SECOND;
		g_assert_cmpuint(peer_read(e, got), >, 0);
		settle();
		/* The kernel takes more when it likes, and progress is just that. */
		if (channel_busy(e->channel, &progress))
			g_assert_cmpint(progress == e->now, ==,
					channel_unsent(e->channel) < unsent);
	}
	g_assert_cmpstr(e->log->str, ==, "sent7 sent8 ");
	g_assert_true(g_string_equal(got, want));
	g_assert_false(channel_busy(e->channel, &progress));
}

static void test_busy_reading(struct end_of *e, gconstpointer unused)
{
	g_autofree char *bulk = g_strnfill(65536, 'x');
	uint64_t progress = 0;
	size_t sent = 0;

	(void)unused;
	while (sent < 65536) {
		sent += peer_write_some(e, bulk, 65536 - sent);
		settle();
	}
	g_assert_false(channel_busy(e->channel, &progress));
	e->now += SECOND;
	peer_write(e, "y");
	settle();
	g_assert_true(channel_busy(e->channel, &progress));
	g_assert_cmpuint(progress, ==, e->now);
	e->now += SECOND;
	g_assert_true(channel_busy(e->channel, &progress));
	g_assert_cmpuint(progress, ==, e->now - SECOND);
	peer_write(e, "\n");
	settle();
	g_assert_false(channel_busy(e->channel, &progress));
	g_assert_cmpuint(e->bytes, ==, 65537);
}

static void test_pause(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	channel_pause(e->channel, true);
	peer_write(e, "a\nb\nhal");
	g_assert_cmpuint(settle(), ==, 0);
	g_assert_cmpuint(e->lines, ==, 0);
	channel_pause(e->channel, true);
	channel_pause(e->channel, false);
	channel_pause(e->channel, false);
	settle();
	g_assert_cmpstr(e->log->str, ==, "a b ");

	/* The deadline rests while we do not read. */
	channel_pause(e->channel, true);
	advance(e, 60 * SECOND);
	g_assert_cmpuint(e->ends, ==, 0);
	channel_pause(e->channel, false);
	advance(e, 9 * SECOND);
	settle();
	g_assert_cmpuint(e->ends, ==, 0);
	peer_write(e, "f\n");
	settle();
	g_assert_cmpstr(e->log->str, ==, "a b half ");
}

static void pause_now(struct end_of *e)
{
	channel_pause(e->channel, true);
}

/* A pause from within takes effect before the next line, and what was read is not forgotten. */
static void test_pause_within(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	e->on_line = pause_now;
	peer_write(e, "a\nb\nc\n");
	settle();
	g_assert_cmpstr(e->log->str, ==, "a ");
	channel_pause(e->channel, false);
	settle();
	g_assert_cmpstr(e->log->str, ==, "a b ");
	peer_close(e);
	e->on_line = NULL;
	channel_pause(e->channel, false);
	settle();
	g_assert_cmpstr(e->log->str, ==, "a b c ");
	assert_ended(e, CHANNEL_CLOSED);
}

/* One turn of the loop tells a bounded number of lines. */
static void test_budget(struct end_of *e, gconstpointer unused)
{
	g_autofree char *bulk = g_strnfill(20000, '\n');
	unsigned int before, turns = 0;

	(void)unused;
	peer_write(e, bulk);
	while (e->lines < 20000) {
		before = e->lines;
		g_assert_cmpuint(++turns, <, 20000);
		g_main_context_iteration(NULL, FALSE);
		g_assert_cmpuint(e->lines - before, <=, 64);
	}
	g_assert_cmpuint(settle(), <=, 2);
}

static void answer(struct end_of *e)
{
	channel_send(e->channel, g_string_new("answer\n"), e->lines);
}

static void test_answer(struct end_of *e, gconstpointer unused)
{
	g_autoptr(GString) got = g_string_new(NULL);

	(void)unused;
	e->on_line = answer;
	peer_write(e, "q\nq\n");
	settle();
	peer_read(e, got);
	g_assert_cmpstr(got->str, ==, "answer\nanswer\n");
	g_assert_cmpstr(e->log->str, ==, "q q sent1 sent2 ");
}

/* On a context of its own nothing happens on the default one. */
static void test_context(void)
{
	GMainContext *context = g_main_context_new();
	g_autoptr(GSocketConnection) connection = NULL;
	g_autoptr(GSocket) socket = NULL;
	struct end_of e = { .log = g_string_new(NULL) };
	int fds[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	socket = g_socket_new_from_fd(fds[0], NULL);
	connection = g_socket_connection_factory_create_connection(socket);
	e.clock = clock_new(&fake_clock, &e);
	e.channel = channel_new(G_IO_STREAM(connection), e.clock, context, &ops, &e);
	e.peer = fds[1];
	peer_write(&e, "a\n");
	channel_send(e.channel, g_string_new("b\n"), 1);
	g_assert_cmpuint(settle(), ==, 0);
	while (g_main_context_iteration(context, FALSE))
		;
	g_assert_nonnull(strstr(e.log->str, "a "));
	g_assert_nonnull(strstr(e.log->str, "sent1 "));
	channel_free(e.channel);
	clock_free(e.clock);
	close(e.peer);
	g_string_free(e.log, TRUE);
	g_main_context_unref(context);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("/wire/channel/lines", test_lines);
	add("/wire/channel/send", test_send);
	add("/wire/channel/send-large", test_send_large);
	add("/wire/channel/busy-reading", test_busy_reading);
	add("/wire/channel/pause", test_pause);
	add("/wire/channel/pause-within", test_pause_within);
	add("/wire/channel/budget", test_budget);
	add("/wire/channel/answer", test_answer);
	g_test_add_func("/wire/channel/context", test_context);
	return g_test_run();
}
