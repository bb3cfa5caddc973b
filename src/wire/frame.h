/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lines out of a byte stream, bounded in bytes and in time. Pure: bytes and `now` in, lines out.
 *
 * A line may be LIMIT_LINE_BYTES long without its newline, and must be complete within 10 s of its
 * first byte plus 1 s for each full 16 KiB received of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_LINE_USEC	     (UINT64_C(10000000)) /* for any line */
#define FRAME_CHUNK_BYTES    (16 * 1024)	  /* each of these received … */
#define FRAME_CHUNK_USEC     (UINT64_C(1000000))  /* … gives this much more */

struct frame;

/** frame_new() - @max_line: bytes of a line, without its newline. */
struct frame *frame_new(size_t max_line);
struct frame *frame_free(struct frame *frame);

/**
 * frame_buffer() - where to read() the next bytes into.
 * @ret_size: how much room there is, at least 1
 */
char *frame_buffer(struct frame *frame, size_t *ret_size);

/** frame_added() - @n bytes were put into frame_buffer() at @now (monotonic usec). */
void frame_added(struct frame *frame, size_t n, uint64_t now);

/**
 * frame_next() - take the next complete line.
 * @ret_line, @ret_len: the line without its newline; not NUL-terminated; borrowed until the next
 *                      call on @frame
 *
 * Return: 1 with a line; 0 where more bytes are needed; -EMSGSIZE where the line under way is over
 * the bound, from then on for ever.
 */
int frame_next(struct frame *frame, const char **ret_line, size_t *ret_len);

/** frame_deadline() - when the line under way must be complete; UINT64_MAX: none is under way. */
uint64_t frame_deadline(const struct frame *frame);

/** frame_pending() - bytes of the line under way. */
size_t frame_pending(const struct frame *frame);

/** frame_held() - these, and the bytes of lines not taken yet. */
size_t frame_held(const struct frame *frame);
