/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lines of bytes; see sim-net.h. A line is two pipes. A pipe keeps its pieces in the order written,
 * each with the time it arrives; one timer per pipe moves those that are due to where they are read
 * from.
 */

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "sim-net.h"

#define PIECES_MAX 200 /* of one write: a dribble is no slower than that */

struct piece {
	uint64_t due;
	size_t len;	/* 0: the end */
	char data[];
};

struct pipe {
	struct sim_line *line;
	enum sim_way way;
	GQueue pieces;		/* struct piece */
	size_t under_way;	/* their bytes */
	GByteArray *arrived;
	size_t taken;		/* of what arrived, read already */
	uint64_t last_due;
	bool fin;		/* the end was reached: nothing more arrives */
	bool freed;		/* who writes is to hear that there is room again */
	size_t cut_after;	/* SIZE_MAX: it is not to be cut */
	bool cut_resets;
	struct timer timer;
};

struct sim_end {
	unsigned int refs;
	struct sim_line *line;
	enum sim_way out;	/* the way of what it writes */
	bool closed;
	void (*ready)(void *data);
	void *data;
};

struct sim_line {
	unsigned int refs;	/* of its ends */
	struct sim_path *path;
	struct pipe pipes[2];	/* by enum sim_way */
	struct sim_end ends[2];	/* by what they write */
	bool broken;		/* both ends hear of it when they look */
	bool reset;
	bool forsaken;
};

static void pipe_timer(void *data);
/* @by: 1 or -1. A line may be freed by those who are told, so who tells holds it. */
static void line_hold(struct sim_line *line, int by);

/* ---- pipes ---- */

static void pipe_init(struct pipe *pipe, struct sim_line *line, enum sim_way way)
{
	pipe->line = line;
	pipe->way = way;
	pipe->cut_after = SIZE_MAX;
	pipe->arrived = g_byte_array_new();
	g_queue_init(&pipe->pieces);
	timer_init(&pipe->timer, line->path->clock, pipe_timer, pipe);
}

static void pipe_clear(struct pipe *pipe)
{
	g_queue_clear_full(&pipe->pieces, g_free);
	pipe->under_way = 0;
	timer_disarm(&pipe->timer);
}

static void pipe_deinit(struct pipe *pipe)
{
	pipe_clear(pipe);
	g_byte_array_unref(pipe->arrived);
	timer_deinit(&pipe->timer);
}

static size_t pipe_unread(const struct pipe *pipe)
{
	return pipe->arrived->len - pipe->taken;
}

static struct sim_end *pipe_reader(struct pipe *pipe)
{
	return &pipe->line->ends[pipe->way == SIM_UP ? SIM_DOWN : SIM_UP];
}

static struct sim_end *pipe_writer(struct pipe *pipe)
{
	return &pipe->line->ends[pipe->way];
}

static void end_tell(struct sim_end *end)
{
	if (end->ready && !end->closed)
		end->ready(end->data);
}

static void pipe_arm(struct pipe *pipe)
{
	const struct piece *piece = g_queue_peek_head(&pipe->pieces);
	bool gone = pipe->line->path->hole[pipe->way] || pipe->line->forsaken;
	uint64_t due = piece && !gone ? piece->due : USEC_INFINITY;

	timer_arm(&pipe->timer, pipe->freed ? clock_monotonic(pipe->line->path->clock) : due);
}

static void pipe_push(struct pipe *pipe, const char *data, size_t len, uint64_t due)
{
	struct piece *piece = g_malloc(sizeof(*piece) + len);

	pipe->last_due = MAX(due, pipe->last_due);
	piece->due = pipe->last_due;
	piece->len = len;
	if (len > 0)
		memcpy(piece->data, data, len);
	pipe->under_way += len;
	g_queue_push_tail(&pipe->pieces, piece);
	pipe_arm(pipe);
}

static uint64_t pipe_due(const struct pipe *pipe)
{
	const struct sim_path *path = pipe->line->path;
	uint64_t due = clock_monotonic(path->clock) + path->latency;

	if (path->jitter > 0)
		due += (uint64_t)g_rand_int_range(path->rand, 0, (gint32)path->jitter);
	return due;
}

static void pipe_write(struct pipe *pipe, const char *data, size_t len)
{
	const struct sim_path *path = pipe->line->path;
	size_t step = path->dribble ? MAX(path->dribble, len / PIECES_MAX) : len;

	for (size_t at = 0; at < len; at += step) {
		if (at > 0)
			pipe->last_due += path->gap;
		pipe_push(pipe, data + at, MIN(step, len - at), pipe_due(pipe));
	}
}

/* Return: whether the line still stands. */
static bool pipe_arrive(struct pipe *pipe, const struct piece *piece)
{
	size_t len = MIN(piece->len, pipe->cut_after);

	pipe->line->path->bytes += len;
	if (!pipe_reader(pipe)->closed)
		g_byte_array_append(pipe->arrived, (const guint8 *)piece->data, (guint)len);
	if (pipe->cut_after != SIZE_MAX)
		pipe->cut_after -= len;
	pipe->fin |= piece->len == 0;
	if (pipe->cut_after > 0)
		return true;
	sim_line_cut(pipe->line, pipe->way, 0, pipe->cut_resets);
	return false;
}

static void pipe_timer(void *data)
{
	struct pipe *pipe = data;
	struct sim_line *line = pipe->line;
	uint64_t now = clock_monotonic(line->path->clock);
	bool stands = true, gone = line->path->hole[pipe->way];
	struct piece *piece;

	line_hold(line, 1);
	if (pipe->freed) {
		pipe->freed = false;
		end_tell(pipe_writer(pipe));
	}
	while (stands && !gone && (piece = g_queue_peek_head(&pipe->pieces)) && piece->due <= now) {
		g_queue_pop_head(&pipe->pieces);
		pipe->under_way -= piece->len;
		stands = pipe_arrive(pipe, piece);
		g_free(piece);
	}
	if (stands) {
		pipe_arm(pipe);
		end_tell(pipe_reader(pipe));
	}
	line_hold(line, -1);
}

/* ---- lines ---- */

static void line_hold(struct sim_line *line, int by)
{
	line->refs = (unsigned int)((int)line->refs + by);
	if (line->refs > 0)
		return;
	if (line->path->line == line)
		line->path->line = NULL;
	line->path->all = g_list_remove(line->path->all, line);
	pipe_deinit(&line->pipes[SIM_UP]);
	pipe_deinit(&line->pipes[SIM_DOWN]);
	g_free(line);
}

struct sim_end *sim_path_connect(struct sim_path *path)
{
	struct sim_line *line;

	if (path->refuses || path->dead)
		return NULL;
	line = g_new0(struct sim_line, 1);
	line->refs = 2;
	line->path = path;
	path->all = g_list_append(path->all, line);
	for (unsigned int way = 0; way < 2; way++) {
		pipe_init(&line->pipes[way], line, (enum sim_way)way);
		line->ends[way] = (struct sim_end){ 1, line, (enum sim_way)way, false, NULL, NULL };
	}
	if (!path->accept(path->data, path, &line->ends[SIM_DOWN])) {
		line->broken = true;
		sim_end_unref(&line->ends[SIM_DOWN]);
		sim_end_unref(&line->ends[SIM_UP]);
		return NULL;
	}
	path->line = line;
	path->lines++;
	return &line->ends[SIM_UP];
}

void sim_path_heal(struct sim_path *path)
{
	path->hole[SIM_UP] = path->hole[SIM_DOWN] = false;
	for (GList *link = path->all; link; link = link->next) {
		struct sim_line *line = link->data;

		for (unsigned int way = 0; way < 2; way++) {
			line->pipes[way].cut_after = SIZE_MAX;
			pipe_arm(&line->pipes[way]);
		}
	}
}

void sim_path_leave(struct sim_path *path, bool vanish)
{
	struct sim_end *end = path->line ? &path->line->ends[SIM_UP] : NULL;

	if (end && vanish)
		sim_end_vanish(end);
	else if (end)
		sim_end_close(end);
	path->dead = true;
}

void sim_line_cut(struct sim_line *line, enum sim_way way, size_t after, bool reset)
{
	if (line->broken || line->forsaken)
		return;
	if (after > 0) {
		line->pipes[way].cut_after = after;
		line->pipes[way].cut_resets = reset;
		return;
	}
	line->path->losses++;
	line->broken = true;
	line->reset = reset;
	pipe_clear(&line->pipes[SIM_UP]);
	pipe_clear(&line->pipes[SIM_DOWN]);
	line_hold(line, 1);
	end_tell(&line->ends[SIM_UP]);
	end_tell(&line->ends[SIM_DOWN]);
	line_hold(line, -1);
}

void sim_line_forsake(struct sim_line *line)
{
	line->path->losses++;
	line->forsaken = true;
	pipe_clear(&line->pipes[SIM_UP]);
	pipe_clear(&line->pipes[SIM_DOWN]);
}

/* ---- ends ---- */

static struct pipe *end_in(const struct sim_end *end)
{
	return &end->line->pipes[end->out == SIM_UP ? SIM_DOWN : SIM_UP];
}

static struct pipe *end_out(const struct sim_end *end)
{
	return &end->line->pipes[end->out];
}

static bool pipe_has_room(const struct pipe *pipe)
{
	return pipe->under_way + pipe_unread(pipe) < pipe->line->path->room;
}

ssize_t sim_end_read(struct sim_end *end, void *to, size_t size)
{
	struct pipe *pipe = end_in(end);
	size_t n = MIN(size, pipe_unread(pipe));
	bool was_full = !pipe_has_room(pipe);

	if (end->closed || (end->line->broken && end->line->reset))
		return -ECONNRESET;
	if (n == 0)
		return pipe->fin || end->line->broken ? 0 : -EAGAIN;
	memcpy(to, pipe->arrived->data + pipe->taken, n);
	pipe->taken += n;
	if (pipe_unread(pipe) == 0) {
		g_byte_array_set_size(pipe->arrived, 0);
		pipe->taken = 0;
	}
	if (was_full && pipe_has_room(pipe) && pipe_writer(pipe)->ready) {
		pipe->freed = true;
		pipe_arm(pipe);
	}
	return (ssize_t)n;
}

ssize_t sim_end_write(struct sim_end *end, const void *from, size_t size)
{
	struct pipe *pipe = end_out(end);
	size_t used = pipe->under_way + pipe_unread(pipe);
	size_t n;

	/* Who has heard the other's end gets an error, as the other end's machine answers so. */
	if (end->closed || end->line->broken || end_in(end)->fin)
		return -EPIPE;
	if (used >= end->line->path->room)
		return -EAGAIN;
	n = MIN(size, end->line->path->room - used);
	if (end->line->forsaken)
		pipe->under_way += n; /* it fills the buffer and goes nowhere */
	else
		pipe_write(pipe, from, n);
	return (ssize_t)n;
}

bool sim_end_is_readable(const struct sim_end *end)
{
	struct pipe *pipe = end_in(end);

	return end->closed || end->line->broken || pipe->fin || pipe_unread(pipe) > 0;
}

bool sim_end_is_writable(const struct sim_end *end)
{
	return end->closed || end->line->broken || end_in(end)->fin ||
	       pipe_has_room(end_out(end));
}

bool sim_end_is_of(const struct sim_end *end, const struct sim_line *line)
{
	return end->line == line;
}

void sim_end_watch(struct sim_end *end, void (*ready)(void *data), void *data)
{
	end->ready = ready;
	end->data = data;
}

void sim_end_close(struct sim_end *end)
{
	struct pipe *in = end_in(end);

	if (end->closed)
		return;
	end->closed = true;
	end->ready = NULL;
	g_byte_array_set_size(in->arrived, 0);
	in->taken = 0;
	if (!end->line->broken && !end->line->forsaken)
		pipe_push(end_out(end), NULL, 0, pipe_due(end_out(end)));
}

void sim_end_vanish(struct sim_end *end)
{
	if (!end->line->broken && !end->closed)
		sim_line_forsake(end->line);
	sim_end_close(end);
}

struct sim_end *sim_end_ref(struct sim_end *end)
{
	end->refs++;
	return end;
}

void sim_end_unref(struct sim_end *end)
{
	if (--end->refs > 0)
		return;
	sim_end_close(end);
	line_hold(end->line, -1);
}
