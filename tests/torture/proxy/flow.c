/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A queue of chunks, each with the time from which it may go on. A fault that ends (a delay that is
 * taken off) frees at once what it holds: due times are looked at only while there is a delay.
 */

#include <string.h>

#include "flow.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define PIECE_USEC    1000			/* between two crumbs of a dribble */
#define BURST_USEC    (50 * 1000)		/* of silence that a throttle makes up for */

struct chunk {
	uint64_t due;
	char *data;		/* NULL: filler */
	uint64_t len, gone;
	bool added;		/* not the peer's */
};

struct flow {
	const struct flow_faults *faults;
	struct flow_count *count;
	GRand *rand;
	GQueue chunks;
	size_t held, held_added;	/* bytes in chunks; filler takes none */
	uint64_t last_due;
	GByteArray *pending;		/* added at the next end of a line */
	bool at_line;			/* the last byte of the peer that was queued ended a line */
	uint64_t next_piece;		/* dribble: not before */
	size_t piece;			/* dribble: what is left of the crumb */
	uint64_t credit_at;		/* throttle: since when bytes have been earned */
};

struct flow *flow_new(const struct flow_faults *faults, struct flow_count *count, GRand *rand)
{
	struct flow *flow = g_new0(struct flow, 1);

	flow->faults = faults;
	flow->count = count;
	flow->rand = rand;
	flow->pending = g_byte_array_new();
	flow->at_line = true;
	g_queue_init(&flow->chunks);
	return flow;
}

static void chunk_free(void *data)
{
	struct chunk *chunk = data;

	g_free(chunk->data);
	g_free(chunk);
}

struct flow *flow_free(struct flow *flow)
{
	if (!flow)
		return NULL;

	g_queue_clear_full(&flow->chunks, chunk_free);
	g_byte_array_unref(flow->pending);
	g_free(flow);
	return NULL;
}

size_t flow_room(const struct flow *flow)
{
	if (flow->faults->hole == FLOW_STOPPED || flow->held >= FLOW_BYTES)
		return 0;
	return FLOW_BYTES - flow->held;
}

static void flow_queue(struct flow *flow, uint64_t now, const char *data, uint64_t len, bool added)
{
	struct chunk *chunk = g_new0(struct chunk, 1);
	uint64_t due = now + flow->faults->delay;

	if (flow->faults->jitter)
		due += (uint64_t)g_rand_double_range(flow->rand, 0, (double)flow->faults->jitter);
	flow->last_due = chunk->due = MAX(due, flow->last_due);
	chunk->data = data ? g_memdup2(data, len) : NULL;
	chunk->len = len;
	chunk->added = added;
	if (data && added)
		flow->held_added += len;
	else if (data)
		flow->held += len;
	flow->count->held_most = MAX(flow->count->held_most, flow->held + flow->held_added);
	g_queue_push_tail(&flow->chunks, chunk);
}

void flow_push(struct flow *flow, uint64_t now, const char *data, size_t len)
{
	const char *end;

	if (len == 0)
		return;
	if (flow->faults->hole == FLOW_SWALLOWING) {
		flow->count->swallowed += len;
		return;
	}
	end = flow->pending->len ? memchr(data, '\n', len) : NULL;
	if (end) {
		flow_queue(flow, now, data, (size_t)(end + 1 - data), false);
		flow_queue(flow, now, (char *)flow->pending->data, flow->pending->len, true);
		g_byte_array_set_size(flow->pending, 0);
		flow->at_line = true;
		len -= (size_t)(end + 1 - data);
		data = end + 1;
	}
	if (len == 0)
		return;
	flow_queue(flow, now, data, len, false);
	flow->at_line = data[len - 1] == '\n';
}

bool flow_add(struct flow *flow, uint64_t now, const char *data, size_t len, bool at_line)
{
	if (flow->held_added + flow->pending->len + len > FLOW_ADD_BYTES || len == 0)
		return false;
	if (at_line && !flow->at_line)
		g_byte_array_append(flow->pending, (const guint8 *)data, (guint)len);
	else
		flow_queue(flow, now, data, len, true);
	return true;
}

void flow_add_filler(struct flow *flow, uint64_t now, uint64_t len)
{
	flow_queue(flow, now, NULL, len, true);
}

/* How many bytes the throttle lets go now. Credit is kept as the time since which it is earned. */
static uint64_t flow_allowance(struct flow *flow, uint64_t now)
{
	if (!flow->faults->rate)
		return UINT64_MAX;
	if (flow->credit_at + BURST_USEC < now)
		flow->credit_at = now - BURST_USEC;
	if (flow->credit_at >= now)
		return 0;
	return (now - flow->credit_at) * flow->faults->rate / USEC_PER_SEC;
}

/* The rest of the crumb under way, or a new one. */
static uint64_t flow_crumb(struct flow *flow, uint64_t now)
{
	if (!flow->faults->dribble)
		return UINT64_MAX;
	if (flow->piece > flow->faults->dribble)
		flow->piece = 0;
	if (flow->piece == 0 && now >= flow->next_piece)
		flow->piece = (size_t)g_rand_int_range(flow->rand, 1,
						       (int)flow->faults->dribble + 1);
	return flow->piece;
}

size_t flow_ready(struct flow *flow, uint64_t now, const char **ret_data)
{
	static char filler[16 * 1024];
	struct chunk *chunk = g_queue_peek_head(&flow->chunks);
	uint64_t n;

	if (!chunk || flow->faults->hole == FLOW_STOPPED)
		return 0;
	if ((flow->faults->delay || flow->faults->jitter) && chunk->due > now)
		return 0;
	n = chunk->len - chunk->gone;
	n = MIN(n, flow_allowance(flow, now));
	if (n > 0)
		n = MIN(n, flow_crumb(flow, now));
	if (chunk->data) {
		*ret_data = chunk->data + chunk->gone;
	} else {
		memset(filler, 'x', sizeof(filler));
		n = MIN(n, sizeof(filler));
		*ret_data = filler;
	}
	return n;
}

void flow_taken(struct flow *flow, uint64_t now, size_t len)
{
	struct chunk *chunk = g_queue_peek_head(&flow->chunks);

	if (flow->faults->rate)
		flow->credit_at += len * USEC_PER_SEC / flow->faults->rate;
	if (flow->faults->dribble) {
		flow->piece -= MIN(len, flow->piece);
		if (flow->piece == 0)
			flow->next_piece = now + PIECE_USEC;
	}
	if (chunk->added)
		flow->count->added += len;
	else
		flow->count->passed += len;
	chunk->gone += len;
	if (chunk->gone < chunk->len)
		return;
	if (chunk->data && chunk->added)
		flow->held_added -= chunk->len;
	else if (chunk->data)
		flow->held -= chunk->len;
	chunk_free(g_queue_pop_head(&flow->chunks));
}

uint64_t flow_deadline(struct flow *flow, uint64_t now)
{
	const struct flow_faults *faults = flow->faults;
	struct chunk *chunk = g_queue_peek_head(&flow->chunks);
	const char *data;
	uint64_t at = now + PIECE_USEC;

	if (!chunk || faults->hole == FLOW_STOPPED || flow_ready(flow, now, &data) > 0)
		return FLOW_NEVER;
	if ((faults->delay || faults->jitter) && chunk->due > now)
		at = chunk->due;
	else if (faults->rate && flow_allowance(flow, now) == 0)
		at = MAX(flow->credit_at, now) + USEC_PER_SEC / faults->rate + 1;
	return at;
}

bool flow_is_empty(const struct flow *flow)
{
	return flow->chunks.length == 0;
}
