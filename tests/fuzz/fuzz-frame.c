/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes in pieces of any size: the lines that come out are those of the whole, whatever the
 * pieces, up to the first that is too long. The first byte is the bound, the second seeds the
 * pieces.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct frame *frame;
	const char *rest; /* of the input, from the next line to come out */
	size_t rest_len;
	size_t max_line;
	size_t pending; /* of the line under way, as we count it */
	uint64_t began;
	bool overlong;
};

/* Take what is there, at most @most lines, and compare with the input. */
static void take(struct run *run, unsigned int most)
{
	const char *line, *newline;
	size_t len;
	int r = 1;

	while (most-- > 0 && (r = frame_next(run->frame, &line, &len)) == 1) {
		newline = memchr(run->rest, '\n', run->rest_len);
		g_assert_nonnull(newline);
		g_assert_cmpmem(line, len, run->rest, (size_t)(newline - run->rest));
		g_assert_cmpuint(len, <=, run->max_line);
		run->rest += len + 1;
		run->rest_len -= len + 1;
	}
	if (r >= 0)
		return;
	g_assert_cmpint(r, ==, -EMSGSIZE);
	newline = memchr(run->rest, '\n', run->rest_len);
	len = newline ? (size_t)(newline - run->rest) : run->rest_len;
	g_assert_cmpuint(len, >, run->max_line);
	g_assert_cmpint(frame_next(run->frame, &line, &len), ==, -EMSGSIZE);
	run->overlong = true;
}

static size_t add(struct run *run, const char *bytes, size_t len, uint64_t now)
{
	const char *newline;
	size_t room;
	char *to;

	to = frame_buffer(run->frame, &room);
	g_assert_cmpuint(room, >=, 1);
	len = MIN(len, room);
	memcpy(to, bytes, len);
	frame_added(run->frame, len, now);
	newline = memrchr(bytes, '\n', len);
	if (newline || run->pending == 0)
		run->began = now;
	run->pending = newline ? (size_t)(bytes + len - newline) - 1 : run->pending + len;
	return len;
}

static void check_deadline(const struct run *run)
{
	uint64_t expect =
		run->began + FRAME_LINE_USEC + run->pending / FRAME_CHUNK_BYTES * FRAME_CHUNK_USEC;

	g_assert_cmpuint(frame_pending(run->frame), ==, run->pending);
	g_assert_cmpuint(frame_deadline(run->frame), ==, run->pending ? expect : UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t chance, now = 1;
	struct run run = { 0 };

	if (size < 2)
		return 0;
	chance = data[1];
	run.max_line = data[0];
	run.rest = (const char *)data + 2;
	run.rest_len = size - 2;
	run.frame = frame_new(run.max_line);
	for (size_t at = 2; at < size && !run.overlong; now += 1000) {
		chance = chance * 1103515245 + 12345;
		at += add(&run, (const char *)data + at, MIN(1 + chance / 65536 % 61, size - at),
			  now);
		check_deadline(&run);
		take(&run, chance >> 30);
	}
	if (!run.overlong)
		take(&run, UINT32_MAX);
	if (!run.overlong)
		g_assert_cmpuint(run.rest_len, ==, run.pending);
	frame_free(run.frame);
	return 0;
}
