/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Three objects, as GIO wants them: the stream and its two halves, which point back to it. A source
 * looks at the stream itself in each turn of the loop, so that nothing has to wake it up.
 */

#include <stdint.h>
#include <string.h>

#include "memory-stream.h"

struct _MemoryStream {
	GIOStream parent;
	GInputStream *in;
	GOutputStream *out;
	GString *said;
	size_t read;	/* of what was said */
	GString *heard;
	size_t room;
	bool ended, shut, broken;
};

typedef struct {
	GInputStream parent;
	MemoryStream *stream;
} MemoryIn;
typedef GInputStreamClass MemoryInClass;

typedef struct {
	GOutputStream parent;
	MemoryStream *stream;
} MemoryOut;
typedef GOutputStreamClass MemoryOutClass;

static void memory_in_iface(GPollableInputStreamInterface *iface);
static void memory_out_iface(GPollableOutputStreamInterface *iface);
static GType memory_in_get_type(void);
static GType memory_out_get_type(void);
G_DEFINE_TYPE(MemoryStream, memory_stream, G_TYPE_IO_STREAM)
G_DEFINE_TYPE_WITH_CODE(MemoryIn, memory_in, G_TYPE_INPUT_STREAM,
			G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM, memory_in_iface))
G_DEFINE_TYPE_WITH_CODE(MemoryOut, memory_out, G_TYPE_OUTPUT_STREAM,
			G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_OUTPUT_STREAM, memory_out_iface))

static bool stream_is_readable(const MemoryStream *stream)
{
	return stream->broken || stream->ended || stream->read < stream->said->len;
}

static bool stream_is_writable(const MemoryStream *stream)
{
	return stream->broken || stream->shut || stream->room > 0;
}

static gssize stream_fail(bool broken, GError **error)
{
	g_set_error_literal(error, G_IO_ERROR,
			    broken ? G_IO_ERROR_CONNECTION_CLOSED : G_IO_ERROR_WOULD_BLOCK,
			    broken ? "broken by the test" : "not now");
	return -1;
}

/* ---- sources ---- */

struct memory_source {
	GSource source;
	GObject *half;
	MemoryStream *stream;
	bool (*ready)(const MemoryStream *stream);
};

static gboolean source_check(GSource *source)
{
	const struct memory_source *memory = (struct memory_source *)source;

	return memory->ready(memory->stream);
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
	*timeout = -1;
	return source_check(source);
}

static gboolean source_dispatch(GSource *source, GSourceFunc func, gpointer data)
{
	struct memory_source *memory = (struct memory_source *)source;

	return ((GPollableSourceFunc)(void (*)(void))func)(memory->half, data);
}

static void source_finalize(GSource *source)
{
	struct memory_source *memory = (struct memory_source *)source;

	g_object_unref(memory->half);
	g_object_unref(memory->stream);
}

static GSource *source_new(gpointer half, MemoryStream *stream,
			   bool (*ready)(const MemoryStream *stream))
{
	static GSourceFuncs funcs = {
		.prepare = source_prepare,
		.check = source_check,
		.dispatch = source_dispatch,
		.finalize = source_finalize,
	};
	struct memory_source *memory =
		(struct memory_source *)g_source_new(&funcs, sizeof(struct memory_source));

	memory->half = g_object_ref(half);
	memory->stream = g_object_ref(stream);
	memory->ready = ready;
	return &memory->source;
}

/* ---- what is read ---- */

static gboolean in_is_readable(GPollableInputStream *in)
{
	return stream_is_readable(((MemoryIn *)in)->stream);
}

static GSource *in_create_source(GPollableInputStream *in, GCancellable *cancellable)
{
	(void)cancellable;
	return source_new(in, ((MemoryIn *)in)->stream, stream_is_readable);
}

static gssize in_read(GPollableInputStream *in, void *buffer, gsize size, GError **error)
{
	MemoryStream *stream = ((MemoryIn *)in)->stream;
	size_t n = MIN(size, stream->said->len - stream->read);

	if (stream->broken || (n == 0 && !stream->ended))
		return stream_fail(stream->broken, error);
	memcpy(buffer, stream->said->str + stream->read, n);
	stream->read += n;
	if (stream->read == stream->said->len) {
		g_string_truncate(stream->said, 0);
		stream->read = 0;
	}
	return (gssize)n;
}

static void memory_in_iface(GPollableInputStreamInterface *iface)
{
	iface->is_readable = in_is_readable;
	iface->create_source = in_create_source;
	iface->read_nonblocking = in_read;
}

static void memory_in_class_init(MemoryInClass *class)
{
	(void)class;
}

static void memory_in_init(MemoryIn *in)
{
	(void)in;
}

/* ---- what is written ---- */

static gboolean out_is_writable(GPollableOutputStream *out)
{
	return stream_is_writable(((MemoryOut *)out)->stream);
}

static GSource *out_create_source(GPollableOutputStream *out, GCancellable *cancellable)
{
	(void)cancellable;
	return source_new(out, ((MemoryOut *)out)->stream, stream_is_writable);
}

static gssize out_write(GPollableOutputStream *out, const void *buffer, gsize size, GError **error)
{
	MemoryStream *stream = ((MemoryOut *)out)->stream;
	size_t n = MIN(size, stream->room);

	if (stream->broken || stream->shut || n == 0)
		return stream_fail(stream->broken || stream->shut, error);
	g_string_append_len(stream->heard, buffer, (gssize)n);
	stream->room -= n;
	return (gssize)n;
}

static void memory_out_iface(GPollableOutputStreamInterface *iface)
{
	iface->is_writable = out_is_writable;
	iface->create_source = out_create_source;
	iface->write_nonblocking = out_write;
}

static void memory_out_class_init(MemoryOutClass *class)
{
	(void)class;
}

static void memory_out_init(MemoryOut *out)
{
	(void)out;
}

/* ---- the stream ---- */

static GInputStream *stream_get_in(GIOStream *stream)
{
	return MEMORY_STREAM(stream)->in;
}

static GOutputStream *stream_get_out(GIOStream *stream)
{
	return MEMORY_STREAM(stream)->out;
}

static void stream_finalize(GObject *object)
{
	MemoryStream *stream = MEMORY_STREAM(object);

	g_object_unref(stream->in);
	g_object_unref(stream->out);
	g_string_free(stream->said, TRUE);
	g_string_free(stream->heard, TRUE);
	G_OBJECT_CLASS(memory_stream_parent_class)->finalize(object);
}

static void memory_stream_class_init(MemoryStreamClass *class)
{
	G_OBJECT_CLASS(class)->finalize = stream_finalize;
	G_IO_STREAM_CLASS(class)->get_input_stream = stream_get_in;
	G_IO_STREAM_CLASS(class)->get_output_stream = stream_get_out;
}

static void memory_stream_init(MemoryStream *stream)
{
	stream->said = g_string_new(NULL);
	stream->heard = g_string_new(NULL);
	stream->room = SIZE_MAX;
	stream->in = g_object_new(memory_in_get_type(), NULL);
	stream->out = g_object_new(memory_out_get_type(), NULL);
	((MemoryIn *)stream->in)->stream = stream;
	((MemoryOut *)stream->out)->stream = stream;
}

MemoryStream *memory_stream_new(void)
{
	return g_object_new(MEMORY_TYPE_STREAM, NULL);
}

void memory_stream_say(MemoryStream *stream, const void *bytes, size_t len)
{
	g_string_append_len(stream->said, bytes, (gssize)len);
}

void memory_stream_end(MemoryStream *stream)
{
	stream->ended = true;
}

void memory_stream_reset(MemoryStream *stream)
{
	stream->broken = true;
}

void memory_stream_shut(MemoryStream *stream)
{
	stream->shut = true;
}

void memory_stream_set_room(MemoryStream *stream, size_t room)
{
	stream->room = room;
}

GString *memory_stream_heard(MemoryStream *stream)
{
	return stream->heard;
}

size_t memory_stream_unread(MemoryStream *stream)
{
	return stream->said->len - stream->read;
}

bool memory_stream_is_closed(MemoryStream *stream)
{
	return g_io_stream_is_closed(G_IO_STREAM(stream));
}
