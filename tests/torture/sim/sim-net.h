/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A network of byte streams on a simulated clock. A line has two ends; what is written at one end
 * arrives at the other after a delay, in pieces, or not at all. What goes wrong belongs to the path
 * between one machine and the parent; a line that was cut stays cut.
 *
 * Nothing here knows of messages, and nothing happens but by timers of the world's clock.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct sim_end;
struct sim_line;

enum sim_way {
	SIM_UP,		/* to the parent */
	SIM_DOWN,	/* to the daemon */
};

/* How it is to reach the parent from one machine: set by the faults at any time. */
struct sim_path {
	struct clock *clock;	/* the world's */
	GRand *rand;
	uint64_t latency;	/* usec, one way */
	uint64_t jitter;	/* usec, at most, added to each piece */
	size_t dribble;		/* bytes that arrive at once; 0: as they were written */
	uint64_t gap;		/* usec between such pieces */
	size_t room;		/* bytes that are taken and not yet read at the other end */
	bool hole[2];		/* by enum sim_way: bytes vanish for as long as this is set */
	bool refuses;		/* dials are refused … */
	bool mute;		/* … or never answered */
	bool dead;		/* the daemon of this machine was killed: whoever dials is a ghost */
	struct sim_line *line;	/* the newest; NULL: none, or its ends were closed */
	GList *all;		/* struct sim_line, those that are half closed too */
	/** accept - the parent's end of a new line; NULL: nobody listens */
	bool (*accept)(void *data, struct sim_path *path, struct sim_end *end);
	void *data;
	uint64_t dials, lines, bytes, losses;
};

/** sim_path_connect() - Return: the daemon's end of a new line; NULL: refused. */
struct sim_end *sim_path_connect(struct sim_path *path);

/** sim_path_leave() - the daemon is gone, its sockets closed by the kernel, or @vanish with it. */
void sim_path_leave(struct sim_path *path, bool vanish);

/** sim_path_heal() - what vanished is sent again, as TCP does; lines that were forsaken stay so. */
void sim_path_heal(struct sim_path *path);

/** sim_line_cut() - the line is lost once @after more bytes have arrived @way; 0: now. @reset: what
 * has arrived and was not read is lost too, and both hear of an error instead of an end. */
void sim_line_cut(struct sim_line *line, enum sim_way way, size_t after, bool reset);

/** sim_line_forsake() - half open: from now on nothing of this line arrives anywhere, ever. */
void sim_line_forsake(struct sim_line *line);

/* ---- an end ---- */

/** sim_end_read() - Return: bytes; 0: the other end was closed; -EAGAIN; -ECONNRESET. */
ssize_t sim_end_read(struct sim_end *end, void *to, size_t size);
/** sim_end_write() - Return: bytes taken; -EAGAIN; -EPIPE. */
ssize_t sim_end_write(struct sim_end *end, const void *from, size_t size);
bool sim_end_is_readable(const struct sim_end *end);
bool sim_end_is_writable(const struct sim_end *end);

/** sim_end_is_of() - whether it is one of @line's, NULL: of none. */
bool sim_end_is_of(const struct sim_end *end, const struct sim_line *line);

/** sim_end_watch() - @ready hears, from a timer, that reading or writing may go on. */
void sim_end_watch(struct sim_end *end, void (*ready)(void *data), void *data);

/** sim_end_close() - what was written still arrives, then the end. Further calls fail. */
void sim_end_close(struct sim_end *end);
/** sim_end_vanish() - as the machine lost its power: the other end hears nothing. */
void sim_end_vanish(struct sim_end *end);
struct sim_end *sim_end_ref(struct sim_end *end);
/** sim_end_unref() - closed if it was not. */
void sim_end_unref(struct sim_end *end);
