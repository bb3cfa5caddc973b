/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One end of a socket pair under test; see channel-check.h. */

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel-check.h"

static uint64_t fake_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct end_of *)data)->now;
}

static void fake_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

const struct clock_ops fake_clock = { .now = fake_now, .set_alarm = fake_alarm };

static void told_line(void *data, const char *line, size_t len)
{
	struct end_of *e = data;

	e->lines++;
	e->bytes += len;
	if (len < 32)
		g_string_append_printf(e->log, "%.*s ", (int)len, line);
	if (e->on_line)
		e->on_line(e);
}

static void told_sent(void *data, uint64_t tag)
{
	struct end_of *e = data;

	g_string_append_printf(e->log, "sent%u ", (unsigned int)tag);
	if (e->on_sent)
		e->on_sent(e);
}

static void told_ended(void *data, enum channel_end end, const char *why)
{
	struct end_of *e = data;

	g_assert_nonnull(why);
	g_assert_cmpuint(e->ends++, ==, 0);
	e->end = end;
	if (e->on_ended)
		e->on_ended(e);
}

const struct channel_ops ops = {
	.line = told_line,
	.sent = told_sent,
	.ended = told_ended,
};

static void set_up(struct end_of *e, gconstpointer unused)
{
	g_autoptr(GSocketConnection) connection = NULL;
	g_autoptr(GSocket) socket = NULL;
	int fds[2];

	(void)unused;
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==,
			0);
	socket = g_socket_new_from_fd(fds[0], NULL);
	connection = g_socket_connection_factory_create_connection(socket);
	e->peer = fds[1];
	e->now = 100 * SECOND;
	e->log = g_string_new(NULL);
	e->clock = clock_new(&fake_clock, e);
	e->channel = channel_new(G_IO_STREAM(connection), e->clock, NULL, &ops, e);
}

static void tear_down(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	e->channel = channel_free(e->channel);
	g_assert_cmpuint(clock_next(e->clock), ==, USEC_INFINITY);
	clock_free(e->clock);
	if (e->peer >= 0)
		close(e->peer);
	g_string_free(e->log, TRUE);
	/* Nothing of it is left on the loop. */
	g_assert_false(g_main_context_iteration(NULL, FALSE));
}

/* Turn the loop until it has nothing to do; a busy loop fails the test. */
unsigned int settle(void)
{
	unsigned int turns = 0;

	while (g_main_context_iteration(NULL, FALSE))
		g_assert_cmpuint(++turns, <, 100000);
	return turns;
}

void peer_write(struct end_of *e, const char *text)
{
	g_assert_cmpint(write(e->peer, text, strlen(text)), ==, (ssize_t)strlen(text));
}

/* Write as much of @len bytes as the socket takes. */
size_t peer_write_some(struct end_of *e, const char *bytes, size_t len)
{
	ssize_t n = send(e->peer, bytes, len, MSG_NOSIGNAL);

	g_assert_true(n >= 0 || errno == EAGAIN);
	return n > 0 ? (size_t)n : 0;
}

size_t peer_read(struct end_of *e, GString *into)
{
	char buffer[65536];
	ssize_t n = read(e->peer, buffer, sizeof(buffer));

	g_assert_true(n >= 0 || errno == EAGAIN);
	if (n > 0 && into)
		g_string_append_len(into, buffer, n);
	return n > 0 ? (size_t)n : 0;
}

void peer_close(struct end_of *e)
{
	close(e->peer);
	e->peer = -1;
}

void advance(struct end_of *e, uint64_t usec)
{
	e->now += usec;
	clock_dispatch(e->clock);
}

void assert_ended(struct end_of *e, enum channel_end end)
{
	g_assert_cmpuint(e->ends, ==, 1);
	g_assert_cmpint(e->end, ==, end);
	g_assert_cmpuint(clock_next(e->clock), ==, USEC_INFINITY);
	g_assert_cmpuint(settle(), ==, 0);
}

void add(const char *path, void (*test)(struct end_of *e, gconstpointer unused))
{
	g_test_add(path, struct end_of, NULL, set_up, test, tear_down);
}
