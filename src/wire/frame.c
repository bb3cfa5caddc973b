/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One buffer that bytes are read into and lines are taken out of; see frame.h.
 *
 *	data ... start ............ tail ........... end ... size
 *	         lines not taken    line under way   room
 *
 * The buffer is there only while it holds something, so that an idle connection costs nothing, and
 * grows by doubling with the line under way, so that what a peer can make us hold is what it sent.
 */

#include <assert.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "wire/frame.h"

#define FRAME_BUFFER_BYTES (16 * 1024) /* what one read() may bring, at first */

struct frame {
	char *data;
	size_t size;
	size_t start; /* of the first line not yet taken */
	size_t tail;  /* of the line under way: past the last newline */
	size_t end;   /* of what was read */
	size_t max_line;
	uint64_t began; /* when the first byte of the line under way came */
	bool overlong;
};

struct frame *frame_new(size_t max_line)
{
	struct frame *frame = g_new0(struct frame, 1);

	frame->max_line = max_line;
	return frame;
}

struct frame *frame_free(struct frame *frame)
{
	if (frame) {
		g_free(frame->data);
		g_free(frame);
	}
	return NULL;
}

static void frame_drop_buffer(struct frame *frame)
{
	g_clear_pointer(&frame->data, g_free);
	frame->size = frame->start = frame->tail = frame->end = 0;
}

/* Move what is left to the front of the buffer. */
static void frame_compact(struct frame *frame)
{
	memmove(frame->data, frame->data + frame->start, frame->end - frame->start);
	frame->tail -= frame->start;
	frame->end -= frame->start;
	frame->start = 0;
}

char *frame_buffer(struct frame *frame, size_t *ret_size)
{
	/* Nothing more can become a line: only make room to drain into. */
	if (frame->overlong)
		frame->start = frame->tail = frame->end = 0;
	/* Moving costs what is left, so it must win at least as much. */
	if (frame->end == frame->size && frame->start > frame->end - frame->start)
		frame_compact(frame);
	if (frame->end == frame->size) {
		frame->size = MAX(2 * frame->size, FRAME_BUFFER_BYTES);
		frame->data = g_realloc(frame->data, frame->size);
	}
	*ret_size = frame->size - frame->end;
	return frame->data + frame->end;
}

/* Only the new bytes are searched, so that a line in many pieces is linear work. */
void frame_added(struct frame *frame, size_t n, uint64_t now)
{
	const char *fresh = frame->data + frame->end, *newline;

	assert(n <= frame->size - frame->end);
	if (n == 0)
		return;
	newline = memrchr(fresh, '\n', n);
	if (newline || frame->tail == frame->end)
		frame->began = now;
	frame->end += n;
	if (newline)
		frame->tail = (size_t)(newline - frame->data) + 1;
}

/* With nothing left the buffer goes: an idle connection then holds none. */
int frame_next(struct frame *frame, const char **ret_line, size_t *ret_len)
{
	const char *line, *newline;
	size_t len;

	if (frame->overlong)
		return -EMSGSIZE;
	if (frame->start == frame->tail) {
		len = frame->end - frame->tail;
		if (len <= frame->max_line) {
			if (len == 0)
				frame_drop_buffer(frame);
			return 0;
		}
	} else {
		line = frame->data + frame->start;
		newline = memchr(line, '\n', frame->tail - frame->start);
		len = (size_t)(newline - line);
		if (len <= frame->max_line) {
			frame->start += len + 1;
			*ret_line = line;
			*ret_len = len;
			return 1;
		}
	}
	frame->overlong = true;
	frame_drop_buffer(frame);
	return -EMSGSIZE;
}

uint64_t frame_deadline(const struct frame *frame)
{
	uint64_t chunks = frame_pending(frame) / FRAME_CHUNK_BYTES;

	if (frame_pending(frame) == 0)
		return USEC_INFINITY;
	return usec_add(frame->began, FRAME_LINE_USEC + chunks * FRAME_CHUNK_USEC);
}

size_t frame_pending(const struct frame *frame)
{
	return frame->end - frame->tail;
}

size_t frame_held(const struct frame *frame)
{
	return frame->end - frame->start;
}
