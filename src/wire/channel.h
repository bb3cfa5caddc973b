/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One connection as lines: a GIOStream (unix socket or TLS), read and written without blocking on
 * the main loop, with frame.h's bounds in front and a queue of lines behind. Used by both ends.
 *
 * The callbacks may call any function of the channel, channel_free() included.
 */

#include <gio/gio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct channel;

enum channel_end {
	CHANNEL_CLOSED,	  /* the peer closed it, or an I/O error */
	CHANNEL_OVERLONG, /* a line over the bound */
	CHANNEL_STALLED,  /* a line was not complete in time */
};

struct channel_ops {
	/** line - a complete line, borrowed for the call */
	void (*line)(void *data, const char *line, size_t len);
	/** sent - the kernel took the last byte of the line queued with @tag; may be NULL */
	void (*sent)(void *data, uint64_t tag);
	/** received - bytes came, and the lines they completed were told; may be NULL */
	void (*received)(void *data);
	/** ended - told once, then nothing more; @why says why; channel_free() is still due */
	void (*ended)(void *data, enum channel_end end, const char *why);
};

/**
 * channel_new() - take over a connected stream.
 * @stream: a reference is taken; its streams must be pollable (GSocketConnection, GTlsConnection)
 * @context: NULL: the default main context
 */
struct channel *channel_new(GIOStream *stream, struct clock *clock, GMainContext *context,
			    const struct channel_ops *ops, void *data);

/** channel_free() - close and forget; unread and unsent bytes are discarded. Return: NULL. */
struct channel *channel_free(struct channel *channel);

/**
 * channel_send() - queue one line.
 * @line: with its newline; taken over (freed by the channel)
 * @tag: handed to ops->sent when its last byte was taken; 0: not told
 *
 * Never calls back: what becomes of the line is told by the loop. After CHANNEL_OVERLONG or
 * CHANNEL_STALLED a last word may still be sent, so that the peer hears why: the kernel takes it at
 * once, or it is discarded.
 */
void channel_send(struct channel *channel, GString *line, uint64_t tag);

/** channel_unsent() - bytes queued and not yet taken by the kernel. */
size_t channel_unsent(const struct channel *channel);

/** channel_unread() - bytes received of lines not told yet. */
size_t channel_unread(const struct channel *channel);

/**
 * channel_pause() - stop or go on reading: back-pressure on a peer that asks faster than it reads.
 * Once it returned no line is told; the deadline of a line under way rests meanwhile.
 */
void channel_pause(struct channel *channel, bool paused);

/** channel_end_after_flush() - end (CHANNEL_CLOSED) once all queued lines were taken, or after 1 s.
 * Nothing more is read. */
void channel_end_after_flush(struct channel *channel);

/**
 * channel_cut() - end at once, without being told; what was received is forgotten. A last word may
 * still be sent, as after CHANNEL_OVERLONG.
 */
void channel_cut(struct channel *channel);

/**
 * channel_busy() - whether a line of ours over 64 KiB is being taken, or one over 64 KiB is
 * arriving.
 * @ret_progress: monotonic usec of the last byte that moved in that line's direction
 */
bool channel_busy(const struct channel *channel, uint64_t *ret_progress);
