/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A stream as lines, both ways, on the main loop; see channel.h.
 *
 * Reading: one source fires while there is something to read. Each turn takes one read() and hands
 * out at most READ_LINES lines, so that no peer starves the others; lines left over are handed out
 * by an idle source in the next turns, and nothing is read until they are gone.
 *
 * Writing: lines wait in a queue, and a second source, there only while something waits, hands them
 * to the kernel many at a time. So channel_send() never calls back, and what a turn of the loop
 * produced goes out in one system call.
 *
 * A peer that can not be written to any more may have said why: what it sent is heard before the end
 * is told.
 *
 * The one timer is the deadline of the line under way, or of the flush that ends the channel.
 *
 * Callbacks may free the channel: what calls them holds a reference, and channel_end() or
 * channel_free() have taken the sources away by the time they return.
 */

#include <string.h>

#include "base/util.h"
#include "core/limits.h"
#include "wire/channel.h"
#include "wire/frame.h"

#define READ_LINES  64			/* handed out in one turn of the loop */
#define WRITE_LINES 64			/* handed to the kernel in one turn */
#define LAST_READS  64			/* of what a peer said before it stopped listening */
#define FLUSH_USEC  (UINT64_C(1000000)) /* for the last lines to be taken */
#define BUSY_BYTES  ((size_t)64 * 1024) /* a line over it keeps the link busy */

enum channel_state {
	STATE_OPEN,
	STATE_FLUSHING, /* nothing more is read, the end comes with the last byte sent */
	STATE_ENDED,	/* the owner knows; only channel_free() is left */
};

/* A line that waits to be sent. */
struct chunk {
	GString *line;
	uint64_t tag;
};

struct channel {
	unsigned int refs; /* the owner's and one for each call into it under way */
	enum channel_state state;
	bool paused;
	bool mute; /* ended, and not even a last word can be sent */
	bool more; /* TLS may hold bytes that the last read() had no room for */
	const struct channel_ops *ops;
	void *data;

	GIOStream *stream;
	GPollableInputStream *in;
	GPollableOutputStream *out;
	GMainContext *context;
	GSource *in_source;   /* there while we read */
	GSource *out_source;  /* there while something waits in queue */
	GSource *turn_source; /* there while there is something to do in the next turn */

	struct clock *clock;
	struct timer timer;
	uint64_t flush_deadline;
	uint64_t grace; /* a line that was under way in a pause has until then, at least */

	struct frame *frame;
	uint64_t in_progress; /* when the last byte came */
	GQueue queue;	      /* of struct chunk */
	size_t head_sent;     /* bytes of the first one the kernel has taken */
	size_t unsent;
	uint64_t out_progress; /* when the last byte was taken, or the queue began */
};

static void chunk_free(struct chunk *chunk)
{
	g_string_free(chunk->line, TRUE);
	g_free(chunk);
}

static struct channel *channel_ref(struct channel *channel)
{
	channel->refs++;
	return channel;
}

static void channel_unref(struct channel *channel)
{
	struct chunk *chunk;

	if (--channel->refs > 0)
		return;
	while ((chunk = g_queue_pop_head(&channel->queue)))
		chunk_free(chunk);
	frame_free(channel->frame);
	g_object_unref(channel->stream);
	g_main_context_unref(channel->context);
	g_free(channel);
}

static void source_clear(GSource **source)
{
	if (!*source)
		return;
	g_source_destroy(*source);
	g_clear_pointer(source, g_source_unref);
}

static void source_start(struct channel *channel, GSource **place, GSource *source,
			 GSourceFunc func)
{
	g_source_set_callback(source, func, channel, NULL);
	g_source_attach(source, channel->context);
	*place = source;
}

/* ---- the end ---- */

static void channel_stop(struct channel *channel)
{
	source_clear(&channel->in_source);
	source_clear(&channel->out_source);
	source_clear(&channel->turn_source);
	timer_disarm(&channel->timer);
}

/* Called from the loop only. */
static void channel_end(struct channel *channel, enum channel_end end, const char *why)
{
	if (channel->state == STATE_ENDED)
		return;
	channel->state = STATE_ENDED;
	channel->mute = end == CHANNEL_CLOSED;
	channel_stop(channel);
	channel->ops->ended(channel->data, end, why);
}

static void channel_end_by_error(struct channel *channel, const char *doing, const GError *error)
{
	g_autofree char *why = g_strdup_printf("%s failed: %s", doing, error->message);

	channel_end(channel, CHANNEL_CLOSED, why);
}

/* ---- the timer ---- */

static uint64_t channel_deadline(const struct channel *channel)
{
	switch (channel->state) {
	case STATE_OPEN:
		/* While we do not read it is not the peer that is late. */
		if (channel->paused)
			return USEC_INFINITY;
		return MAX(frame_deadline(channel->frame), channel->grace);
	case STATE_FLUSHING:
		return channel->flush_deadline;
	case STATE_ENDED:
		return USEC_INFINITY;
	}
	return USEC_INFINITY;
}

static void channel_update_timer(struct channel *channel)
{
	timer_arm(&channel->timer, channel_deadline(channel));
}

/* ---- reading ---- */

static gboolean channel_on_turn(gpointer data);

static void channel_want_turn(struct channel *channel)
{
	GSource *source;

	if (channel->turn_source)
		return;
	source = g_idle_source_new();
	/* At an idle source's own priority it would wait for as long as other peers are busy. */
	g_source_set_priority(source, G_PRIORITY_DEFAULT);
	source_start(channel, &channel->turn_source, source, channel_on_turn);
}

static bool channel_reads(const struct channel *channel)
{
	return channel->state == STATE_OPEN && !channel->paused;
}

/* Hand out the lines that are there, up to a turn's share. The caller holds a reference. */
static void channel_deliver(struct channel *channel)
{
	const char *line;
	size_t len;
	int r;

	for (unsigned int i = 0; i < READ_LINES; i++) {
		if (!channel_reads(channel))
			return;
		r = frame_next(channel->frame, &line, &len);
		if (r < 0)
			channel_end(channel, CHANNEL_OVERLONG, "the peer sent an over-long line");
		if (r <= 0)
			return;
		channel->ops->line(channel->data, line, len);
	}
	if (channel_reads(channel))
		channel_want_turn(channel);
}

/*
 * One read(). TLS takes whole records from the socket, and what of one found no room is not seen by
 * a source that watches the socket: after a read() that filled the buffer there has to be another.
 * The caller holds a reference.
 */
static void channel_fill(struct channel *channel)
{
	g_autoptr(GError) error = NULL;
	size_t room;
	gssize n;
	char *to;

	to = frame_buffer(channel->frame, &room);
	n = g_pollable_input_stream_read_nonblocking(channel->in, to, room, NULL, &error);
	channel->more = n > 0 && (size_t)n == room && G_IS_TLS_CONNECTION(channel->stream);
	if (n > 0) {
		channel->in_progress = clock_monotonic(channel->clock);
		frame_added(channel->frame, (size_t)n, channel->in_progress);
	} else if (n == 0) {
		channel_end(channel, CHANNEL_CLOSED,
			    frame_pending(channel->frame)
				    ? "the peer closed the connection within a line"
				    : "the peer closed the connection");
	} else if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
		channel_end_by_error(channel, "reading", error);
	}
}

/* The caller holds a reference. */
static void channel_take(struct channel *channel)
{
	channel_fill(channel);
	channel_deliver(channel);
	if (channel->more && channel_reads(channel))
		channel_want_turn(channel);
	if (channel->state != STATE_ENDED && channel->ops->received)
		channel->ops->received(channel->data);
}

static gboolean channel_on_readable(GObject *stream, gpointer data)
{
	struct channel *channel = data;

	(void)stream;
	/* Lines are left over: their turn comes in this turn of the loop too. */
	if (channel->turn_source)
		return G_SOURCE_CONTINUE;
	channel_ref(channel);
	channel_take(channel);
	channel_update_timer(channel);
	channel_unref(channel);
	return G_SOURCE_CONTINUE;
}

static void channel_start_reading(struct channel *channel)
{
	if (channel->in_source)
		return;
	source_start(channel, &channel->in_source,
		     g_pollable_input_stream_create_source(channel->in, NULL),
		     G_SOURCE_FUNC(channel_on_readable));
}

/* All that came before writing failed, in as many turns of the loop as it would have taken, but
 * now. Bounded, as a peer may go on talking. The caller holds a reference. */
static void channel_hear_out(struct channel *channel)
{
	for (unsigned int i = 0; i < LAST_READS && channel_reads(channel); i++) {
		if (!channel->turn_source) {
			if (!channel->more && !g_pollable_input_stream_is_readable(channel->in))
				return;
			channel_fill(channel);
		}
		source_clear(&channel->turn_source);
		channel_deliver(channel);
	}
}

void channel_pause(struct channel *channel, bool paused)
{
	if (channel->paused == paused || channel->state != STATE_OPEN)
		return;
	channel->paused = paused;
	if (paused) {
		source_clear(&channel->in_source);
		source_clear(&channel->turn_source);
	} else {
		channel->grace = usec_add(clock_monotonic(channel->clock), FRAME_LINE_USEC);
		channel_start_reading(channel);
		channel_want_turn(channel);
	}
	channel_update_timer(channel);
}

/* ---- writing ---- */

/* Take @n bytes off the queue. Return: how many tags of finished lines went into @tags. */
static unsigned int channel_took(struct channel *channel, size_t n, uint64_t *tags)
{
	unsigned int n_tags = 0;
	struct chunk *chunk;

	channel->out_progress = clock_monotonic(channel->clock);
	channel->unsent -= n;
	channel->head_sent += n;
	while ((chunk = g_queue_peek_head(&channel->queue)) &&
	       chunk->line->len <= channel->head_sent) {
		g_queue_pop_head(&channel->queue);
		channel->head_sent -= chunk->line->len;
		if (chunk->tag)
			tags[n_tags++] = chunk->tag;
		chunk_free(chunk);
	}
	return n_tags;
}

/*
 * One attempt to hand the kernel what waits, at most WRITE_LINES lines. The first of them starts
 * where the last attempt ended, as TLS asks for.
 */
static GPollableReturn channel_write(struct channel *channel, gsize *ret_n, GError **error)
{
	GOutputVector vectors[WRITE_LINES];
	size_t n = 0, skip = channel->head_sent;

	for (GList *i = channel->queue.head; i && n < WRITE_LINES; i = i->next) {
		const struct chunk *chunk = i->data;

		vectors[n].buffer = chunk->line->str + skip;
		vectors[n++].size = chunk->line->len - skip;
		skip = 0;
	}
	*ret_n = 0;
	return g_pollable_output_stream_writev_nonblocking(channel->out, vectors, n, ret_n, NULL,
							   error);
}

/* The caller holds a reference. */
static void channel_drain(struct channel *channel)
{
	g_autoptr(GError) error = NULL;
	uint64_t tags[WRITE_LINES];
	unsigned int n_tags;
	gsize n;

	switch (channel_write(channel, &n, &error)) {
	case G_POLLABLE_RETURN_WOULD_BLOCK:
		return;
	case G_POLLABLE_RETURN_FAILED:
		channel_hear_out(channel);
		channel_end_by_error(channel, "writing", error);
		return;
	case G_POLLABLE_RETURN_OK:
		break;
	}
	n_tags = channel_took(channel, n, tags);
	if (g_queue_is_empty(&channel->queue))
		source_clear(&channel->out_source);
	for (unsigned int i = 0; i < n_tags && channel->state != STATE_ENDED; i++) {
		if (channel->ops->sent)
			channel->ops->sent(channel->data, tags[i]);
	}
}

static void channel_end_if_flushed(struct channel *channel)
{
	if (channel->state == STATE_FLUSHING && g_queue_is_empty(&channel->queue))
		channel_end(channel, CHANNEL_CLOSED, "closed after the last line");
}

static gboolean channel_on_writable(GObject *stream, gpointer data)
{
	struct channel *channel = channel_ref(data);

	(void)stream;
	channel_drain(channel);
	channel_end_if_flushed(channel);
	channel_unref(channel);
	return G_SOURCE_CONTINUE;
}

static void channel_push(struct channel *channel, GString *line, uint64_t tag)
{
	struct chunk *chunk = g_new(struct chunk, 1);

	*chunk = (struct chunk){ .line = line, .tag = tag };
	g_queue_push_tail(&channel->queue, chunk);
	channel->unsent += line->len;
}

/* What is said after the end goes out at once or not at all; nobody is told. */
static void channel_send_last_word(struct channel *channel, GString *line)
{
	uint64_t tags[WRITE_LINES];
	gsize n;

	if (channel->mute) {
		g_string_free(line, TRUE);
		return;
	}
	channel_push(channel, line, 0);
	if (channel_write(channel, &n, NULL) == G_POLLABLE_RETURN_OK)
		channel_took(channel, n, tags);
	channel->mute = !g_queue_is_empty(&channel->queue);
}

void channel_send(struct channel *channel, GString *line, uint64_t tag)
{
	if (channel->state == STATE_ENDED) {
		channel_send_last_word(channel, line);
		return;
	}
	if (g_queue_is_empty(&channel->queue))
		channel->out_progress = clock_monotonic(channel->clock);
	channel_push(channel, line, tag);
	if (!channel->out_source)
		source_start(channel, &channel->out_source,
			     g_pollable_output_stream_create_source(channel->out, NULL),
			     G_SOURCE_FUNC(channel_on_writable));
}

size_t channel_unsent(const struct channel *channel)
{
	return channel->unsent;
}

size_t channel_unread(const struct channel *channel)
{
	return frame_held(channel->frame);
}

void channel_end_after_flush(struct channel *channel)
{
	if (channel->state != STATE_OPEN)
		return;
	channel->state = STATE_FLUSHING;
	source_clear(&channel->in_source);
	source_clear(&channel->turn_source);
	channel->flush_deadline = usec_add(clock_monotonic(channel->clock), FLUSH_USEC);
	channel_update_timer(channel);
	/* Even with nothing to send the end is told by the loop. */
	if (g_queue_is_empty(&channel->queue))
		channel_want_turn(channel);
}

void channel_cut(struct channel *channel)
{
	if (channel->state == STATE_ENDED)
		return;
	channel->state = STATE_ENDED;
	channel_stop(channel);
}

/* ---- turns, deadlines, life ---- */

/* An idle source: lines left over, then bytes left over, a flush that had nothing to send. */
static gboolean channel_on_turn(gpointer data)
{
	struct channel *channel = channel_ref(data);

	source_clear(&channel->turn_source);
	channel_deliver(channel);
	if (channel->more && !channel->turn_source && channel_reads(channel))
		channel_take(channel);
	channel_update_timer(channel);
	channel_end_if_flushed(channel);
	channel_unref(channel);
	return G_SOURCE_REMOVE;
}

/*
 * The rest of the line may wait in the kernel, unread because this process was stopped or busy:
 * look before the peer is blamed.
 */
static void channel_check_stall(struct channel *channel)
{
	if (channel->more || g_pollable_input_stream_is_readable(channel->in))
		channel_take(channel);
	if (channel->state == STATE_OPEN &&
	    channel_deadline(channel) <= clock_monotonic(channel->clock))
		channel_end(channel, CHANNEL_STALLED, "the peer stalled within a line");
	channel_update_timer(channel);
}

static void channel_on_timer(void *data)
{
	struct channel *channel = channel_ref(data);

	switch (channel->state) {
	case STATE_OPEN:
		channel_check_stall(channel);
		break;
	case STATE_FLUSHING:
		channel_end(channel, CHANNEL_CLOSED, "the peer did not take the last lines");
		break;
	case STATE_ENDED:
		break;
	}
	channel_unref(channel);
}

bool channel_busy(const struct channel *channel, uint64_t *ret_progress)
{
	const struct chunk *head = g_queue_peek_head((GQueue *)&channel->queue);
	bool out = head && head->line->len > BUSY_BYTES;
	bool in = frame_pending(channel->frame) > BUSY_BYTES;

	if (!in && !out)
		return false;
	*ret_progress = MAX(in ? channel->in_progress : 0, out ? channel->out_progress : 0);
	return true;
}

struct channel *channel_new(GIOStream *stream, struct clock *clock, GMainContext *context,
			    const struct channel_ops *ops, void *data)
{
	struct channel *channel = g_new0(struct channel, 1);

	channel->refs = 1;
	channel->ops = ops;
	channel->data = data;
	channel->stream = g_object_ref(stream);
	channel->in = G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(stream));
	channel->out = G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(stream));
	channel->context = g_main_context_ref(context ? context : g_main_context_default());
	channel->clock = clock;
	timer_init(&channel->timer, clock, channel_on_timer, channel);
	channel->frame = frame_new(LIMIT_LINE_BYTES);
	g_queue_init(&channel->queue);
	channel_start_reading(channel);
	return channel;
}

/*
 * TLS says goodbye to its peer when it is closed, and would wait, in the loop, for one that does not
 * read. So it may only where the goodbye fits: nothing of ours is under way and there is room.
 */
static void channel_close_tls(GTlsConnection *tls, bool idle)
{
	g_autoptr(GCancellable) at_once = g_cancellable_new();
	g_autoptr(GIOStream) base = NULL;
	GOutputStream *out;

	g_object_get(tls, "base-io-stream", &base, NULL);
	out = g_io_stream_get_output_stream(base);
	if (!idle || !g_pollable_output_stream_is_writable(G_POLLABLE_OUTPUT_STREAM(out)))
		g_cancellable_cancel(at_once);
	g_io_stream_close(G_IO_STREAM(tls), at_once, NULL);
	g_io_stream_close(base, NULL, NULL);
}

static void channel_close(struct channel *channel)
{
	if (G_IS_TLS_CONNECTION(channel->stream))
		channel_close_tls(G_TLS_CONNECTION(channel->stream),
				  g_queue_is_empty(&channel->queue));
	else
		g_io_stream_close(channel->stream, NULL, NULL);
}

struct channel *channel_free(struct channel *channel)
{
	if (!channel)
		return NULL;
	channel->state = STATE_ENDED;
	channel_stop(channel);
	channel_close(channel);
	channel_unref(channel);
	return NULL;
}
