/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a channel ends: over-long lines, stalls, a peer that goes, a last flush, a free from within.
 */

#include <gio/gio.h>

#include "channel-check.h"
#include "core/limits.h"

/* The longest line passes, one more byte ends it; what came before is still told. */
static void test_overlong(struct end_of *e, gconstpointer unused)
{
	g_autofree char *bulk = g_strnfill(65536, 'x');
	size_t sent = 0;

	(void)unused;
	while (sent < LIMIT_LINE_BYTES) {
		sent += peer_write_some(e, bulk, MIN(65536, LIMIT_LINE_BYTES - sent));
		settle();
	}
	peer_write(e, "\nok\n");
	settle();
	g_assert_cmpuint(e->lines, ==, 2);
	g_assert_cmpuint(e->bytes, ==, LIMIT_LINE_BYTES + 2);
	for (sent = 0; sent < LIMIT_LINE_BYTES + 1 && e->ends == 0;) {
		sent += peer_write_some(e, bulk, MIN(65536, LIMIT_LINE_BYTES + 1 - sent));
		settle();
	}
	g_assert_cmpuint(sent, ==, LIMIT_LINE_BYTES + 1);
	assert_ended(e, CHANNEL_OVERLONG);
	g_assert_cmpuint(e->lines, ==, 2);
}

static void say_why(struct end_of *e)
{
	channel_send(e->channel, g_string_new("too long\n"), 9);
	e->channel = channel_free(e->channel);
}

/* The peer hears why, even when the channel is freed at once. */
static void test_last_word(struct end_of *e, gconstpointer unused)
{
	g_autofree char *bulk = g_strnfill(65536, 'x');
	g_autoptr(GString) got = g_string_new(NULL);

	(void)unused;
	e->on_ended = say_why;
	while (e->ends == 0) {
		peer_write_some(e, bulk, 65536);
		settle();
	}
	g_assert_cmpint(e->end, ==, CHANNEL_OVERLONG);
	peer_read(e, got);
	g_assert_cmpstr(got->str, ==, "too long\n");
	g_assert_cmpuint(e->log->len, ==, 0);
}

/* One line may take 10 s, and no trickle of bytes makes it more. */
static void test_stall(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	/* Silence between lines is no stall. */
	advance(e, 3600 * SECOND);
	peer_write(e, "a\n");
	settle();
	g_assert_cmpuint(clock_next(e->clock), ==, USEC_INFINITY);

	peer_write(e, "{");
	settle();
	g_assert_cmpuint(clock_next(e->clock), ==, e->now + 10 * SECOND);
	for (unsigned int i = 0; i < 9; i++) {
		advance(e, SECOND);
		peer_write(e, "x");
		settle();
	}
	advance(e, SECOND - 1);
	g_assert_cmpuint(e->ends, ==, 0);
	advance(e, 1);
	assert_ended(e, CHANNEL_STALLED);
}

/* A line that is complete in the socket is not late, whichever is looked at first. */
static void test_late_loop(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	peer_write(e, "ha");
	settle();
	peer_write(e, "lf\n");
	advance(e, 60 * SECOND);
	g_assert_cmpuint(e->ends, ==, 0);
	g_assert_cmpstr(e->log->str, ==, "half ");
	g_assert_cmpuint(clock_next(e->clock), ==, USEC_INFINITY);

	peer_write(e, "ha");
	settle();
	peer_write(e, "l");
	advance(e, 60 * SECOND);
	assert_ended(e, CHANNEL_STALLED);
}

static void free_channel(struct end_of *e)
{
	e->channel = channel_free(e->channel);
}

/* Even its clock may go with the channel, where the clock is not what called. */
static void free_all(struct end_of *e)
{
	free_channel(e);
	clock_free(e->clock);
	e->clock = clock_new(&fake_clock, e);
}

static void test_free_in_line(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	e->on_line = free_all;
	peer_write(e, "a\nb\nhalf");
	settle();
	g_assert_cmpstr(e->log->str, ==, "a ");
	g_assert_cmpuint(e->ends, ==, 0);
}

static void test_free_in_sent(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	e->on_sent = free_all;
	channel_send(e->channel, g_string_new("a\n"), 1);
	channel_send(e->channel, g_string_new("b\n"), 2);
	settle();
	g_assert_cmpstr(e->log->str, ==, "sent1 ");
	g_assert_cmpuint(e->ends, ==, 0);
}

static void test_free_in_ended(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	e->on_ended = free_channel;
	peer_write(e, "half");
	settle();
	advance(e, 11 * SECOND);
	g_assert_cmpint(e->end, ==, CHANNEL_STALLED);
	g_assert_null(e->channel);
}

/* Freed with lines unsent and unread. */
static void test_free_busy(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	peer_write(e, "a\nhalf");
	channel_send(e->channel, g_string_new("b\n"), 1);
	e->channel = channel_free(e->channel);
	g_assert_null(channel_free(NULL));
	settle();
	g_assert_cmpuint(e->log->len, ==, 0);
	g_assert_cmpuint(e->ends, ==, 0);
}

/* The peer goes while we write: told by the loop, and what is sent afterwards is dropped. */
static void test_broken_pipe(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	channel_pause(e->channel, true);
	channel_send(e->channel, g_string_new("a\n"), 1);
	peer_close(e);
	g_assert_cmpuint(e->ends, ==, 0);
	settle();
	assert_ended(e, CHANNEL_CLOSED);
	g_assert_cmpuint(e->log->len, ==, 0);
	channel_send(e->channel, g_string_new("b\n"), 2);
	g_assert_cmpuint(channel_unsent(e->channel), ==, 2);
	channel_pause(e->channel, false);
	channel_end_after_flush(e->channel);
	g_assert_cmpuint(settle(), ==, 0);
	g_assert_cmpuint(e->ends, ==, 1);
}

/* More lines than one turn of the loop hands out, and then no way to write to the peer. */
static void say_much_and_go(struct end_of *e)
{
	g_autoptr(GString) words = g_string_new(NULL);

	for (unsigned int i = 0; i < 299; i++)
		g_string_append(words, "w\n");
	g_string_append(words, "why\nhalf");
	peer_write(e, words->str);
	channel_send(e->channel, g_string_new("a\n"), 1);
	peer_close(e);
	settle();
}

/* What the peer said before it went is heard, to its last word. */
static void test_hear_out(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	say_much_and_go(e);
	assert_ended(e, CHANNEL_CLOSED);
	g_assert_cmpuint(e->lines, ==, 300);
	g_assert_true(g_str_has_suffix(e->log->str, "w why "));
}

static void free_late(struct end_of *e)
{
	if (e->lines == 200)
		e->channel = channel_free(e->channel);
}

static void test_free_in_hear_out(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	e->on_line = free_late;
	say_much_and_go(e);
	g_assert_cmpuint(e->lines, ==, 200);
	g_assert_cmpuint(e->ends, ==, 0);
}

static void pause_late(struct end_of *e)
{
	if (e->lines == 200)
		channel_pause(e->channel, true);
}

static void test_pause_in_hear_out(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	e->on_line = pause_late;
	say_much_and_go(e);
	g_assert_cmpuint(e->lines, ==, 200);
	assert_ended(e, CHANNEL_CLOSED);
}

/* The owner has had enough: it is not told, and what it says last goes out. */
static void test_cut(struct end_of *e, gconstpointer unused)
{
	g_autoptr(GString) got = g_string_new(NULL);

	(void)unused;
	peer_write(e, "a\nhalf");
	settle();
	g_assert_cmpuint(channel_unread(e->channel), ==, 4);
	channel_cut(e->channel);
	channel_cut(e->channel);
	peer_write(e, "unread\n");
	settle();
	g_assert_cmpuint(e->lines, ==, 1);
	g_assert_cmpuint(e->ends, ==, 0);
	channel_send(e->channel, g_string_new("enough\n"), 1);
	e->channel = channel_free(e->channel);
	peer_read(e, got);
	g_assert_cmpstr(got->str, ==, "enough\n");
}

static void test_flush(struct end_of *e, gconstpointer unused)
{
	g_autoptr(GString) got = g_string_new(NULL);

	(void)unused;
	channel_send(e->channel, g_string_new("bye\n"), 1);
	peer_write(e, "unread\n");
	channel_end_after_flush(e->channel);
	channel_end_after_flush(e->channel);
	g_assert_cmpuint(e->ends, ==, 0);
	settle();
	g_assert_cmpstr(e->log->str, ==, "sent1 ");
	assert_ended(e, CHANNEL_CLOSED);
	peer_read(e, got);
	g_assert_cmpstr(got->str, ==, "bye\n");
}

static void test_flush_nothing(struct end_of *e, gconstpointer unused)
{
	(void)unused;
	peer_write(e, "unread\n");
	channel_end_after_flush(e->channel);
	g_assert_cmpuint(e->ends, ==, 0);
	settle();
	assert_ended(e, CHANNEL_CLOSED);
	g_assert_cmpuint(e->lines, ==, 0);
}

/* A peer that takes nothing holds the end up for a second. */
static void test_flush_bounded(struct end_of *e, gconstpointer unused)
{
	GString *big = g_string_new(NULL);

	(void)unused;
	for (unsigned int i = 0; i < 4000000; i++)
		g_string_append_c(big, i < 3999999 ? 'x' : '\n');
	channel_send(e->channel, big, 1);
	channel_end_after_flush(e->channel);
	settle();
	advance(e, SECOND - 1);
	settle();
	g_assert_cmpuint(e->ends, ==, 0);
	advance(e, 1);
	assert_ended(e, CHANNEL_CLOSED);
	g_assert_cmpuint(e->log->len, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("/wire/channel/overlong", test_overlong);
	add("/wire/channel/last-word", test_last_word);
	add("/wire/channel/stall", test_stall);
	add("/wire/channel/late-loop", test_late_loop);
	add("/wire/channel/free-in-line", test_free_in_line);
	add("/wire/channel/free-in-sent", test_free_in_sent);
	add("/wire/channel/free-in-ended", test_free_in_ended);
	add("/wire/channel/free-busy", test_free_busy);
	add("/wire/channel/broken-pipe", test_broken_pipe);
	add("/wire/channel/hear-out", test_hear_out);
	add("/wire/channel/free-in-hear-out", test_free_in_hear_out);
	add("/wire/channel/pause-in-hear-out", test_pause_in_hear_out);
	add("/wire/channel/cut", test_cut);
	add("/wire/channel/flush", test_flush);
	add("/wire/channel/flush-nothing", test_flush_nothing);
	add("/wire/channel/flush-bounded", test_flush_bounded);
	return g_test_run();
}
