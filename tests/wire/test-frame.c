/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines out of bytes in pieces of every size, their bound in bytes and their deadline. */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "wire/frame.h"

#define SECOND UINT64_C(1000000)

/* Put @len bytes in at @now, as many reads as the room makes it. */
static void feed(struct frame *frame, const char *bytes, size_t len, uint64_t now)
{
	size_t room;
	char *to;

	while (len > 0) {
		to = frame_buffer(frame, &room);
		g_assert_cmpuint(room, >=, 1);
		room = MIN(room, len);
		memcpy(to, bytes, room);
		frame_added(frame, room, now);
		bytes += room;
		len -= room;
	}
}

static void feed_text(struct frame *frame, const char *text, uint64_t now)
{
	feed(frame, text, strlen(text), now);
}

static void expect_line(struct frame *frame, const char *text)
{
	const char *line;
	size_t len;

	g_assert_cmpint(frame_next(frame, &line, &len), ==, 1);
	g_assert_cmpmem(line, len, text, strlen(text));
}

static void expect_none(struct frame *frame)
{
	const char *line = NULL;
	size_t len = 7;

	g_assert_cmpint(frame_next(frame, &line, &len), ==, 0);
	g_assert_null(line);
	g_assert_cmpuint(len, ==, 7);
}

static void expect_overlong(struct frame *frame)
{
	const char *line;
	size_t len;

	g_assert_cmpint(frame_next(frame, &line, &len), ==, -EMSGSIZE);
}

static void test_pieces(void)
{
	static const char text[] = "one\n\ntwo words\r\n\0\n";

	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct frame *frame = frame_new(100);
		g_autoptr(GString) got = g_string_new(NULL);
		const char *line;
		size_t len;

		for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
			feed(frame, text + at, MIN(piece, sizeof(text) - 1 - at), 5);
			while (frame_next(frame, &line, &len) == 1) {
				g_string_append_len(got, line, (gssize)len);
				g_string_append_c(got, '\n');
			}
		}
		g_assert_cmpmem(got->str, got->len, text, sizeof(text) - 1);
		g_assert_cmpuint(frame_pending(frame), ==, 0);
		frame_free(frame);
	}
	g_assert_null(frame_free(NULL));
}

static void test_pending(void)
{
	struct frame *frame = frame_new(100);

	expect_none(frame);
	feed_text(frame, "a\nb\nhal", 0);
	g_assert_cmpuint(frame_pending(frame), ==, 3);
	expect_line(frame, "a");
	expect_line(frame, "b");
	expect_none(frame);
	expect_none(frame);
	feed_text(frame, "f\nx", 0);
	g_assert_cmpuint(frame_pending(frame), ==, 1);
	expect_line(frame, "half");
	expect_none(frame);
	frame_free(frame);
}

/* The bound is exact, without the newline, whether the newline came or not. */
static void test_bound(void)
{
	struct frame *frame = frame_new(5);

	feed_text(frame, "12345\nabcde", 0);
	expect_line(frame, "12345");
	expect_none(frame);
	feed_text(frame, "\n", 0);
	expect_line(frame, "abcde");
	feed_text(frame, "ok\n123456", 0);
	expect_line(frame, "ok");
	expect_overlong(frame);
	/* For ever, and what still comes is not kept. */
	for (unsigned int i = 0; i < 100000; i++)
		feed_text(frame, "more\nand more\n", 0);
	expect_overlong(frame);
	frame_free(frame);

	frame = frame_new(5);
	feed_text(frame, "ok\n123456\nok\n", 0);
	expect_line(frame, "ok");
	expect_overlong(frame);
	expect_overlong(frame);
	frame_free(frame);
}

/* 10 s from the first byte, and 1 s for each 16 KiB that came. */
static void test_deadline(void)
{
	g_autofree char *chunk = g_strnfill(FRAME_CHUNK_BYTES, 'x');
	struct frame *frame = frame_new(1024 * 1024);

	g_assert_cmpuint(frame_deadline(frame), ==, UINT64_MAX);
	feed_text(frame, "x", 3 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, 13 * SECOND);
	feed_text(frame, "y", 9 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, 13 * SECOND);
	feed(frame, chunk, FRAME_CHUNK_BYTES - 3, 10 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, 13 * SECOND);
	feed_text(frame, "z", 10 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, 14 * SECOND);
	feed(frame, chunk, FRAME_CHUNK_BYTES, 11 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, 15 * SECOND);

	/* The end of one line and the beginning of the next: the clock starts anew. */
	feed_text(frame, "\nab", 12 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, 22 * SECOND);
	feed_text(frame, "\n", 13 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, UINT64_MAX);
	feed_text(frame, "c", 14 * SECOND);
	g_assert_cmpuint(frame_deadline(frame), ==, 24 * SECOND);
	frame_free(frame);
}

/* Lines that nobody takes are kept, however many, and come out in order. */
static void test_backlog(void)
{
	struct frame *frame = frame_new(16);
	char text[16];

	for (unsigned int i = 0; i < 20000; i++) {
		g_snprintf(text, sizeof(text), "%u\n", i);
		feed_text(frame, text, 0);
		if (i % 3 == 0) {
			g_snprintf(text, sizeof(text), "%u", i / 3);
			expect_line(frame, text);
		}
	}
	for (unsigned int i = 6667; i < 20000; i++) {
		g_snprintf(text, sizeof(text), "%u", i);
		expect_line(frame, text);
	}
	expect_none(frame);
	frame_free(frame);
}

/* A line of 8 MiB byte by byte of room is linear work. */
static void test_large(void)
{
	const size_t size = 8 * 1024 * 1024;
	g_autofree char *big = g_strnfill(size, 'b');
	struct frame *frame = frame_new(size);
	const char *line;
	size_t len;

	for (size_t at = 0; at < size; at += 1000) {
		feed(frame, big + at, MIN(1000, size - at), 0);
		expect_none(frame);
	}
	feed_text(frame, "\nnext", 0);
	g_assert_cmpint(frame_next(frame, &line, &len), ==, 1);
	g_assert_cmpmem(line, len, big, size);
	expect_none(frame);
	feed_text(frame, "\n", 0);
	expect_line(frame, "next");
	expect_none(frame);
	frame_free(frame);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/wire/frame/pieces", test_pieces);
	g_test_add_func("/wire/frame/pending", test_pending);
	g_test_add_func("/wire/frame/bound", test_bound);
	g_test_add_func("/wire/frame/deadline", test_deadline);
	g_test_add_func("/wire/frame/backlog", test_backlog);
	g_test_add_func("/wire/frame/large", test_large);
	return g_test_run();
}
