/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Three GObject classes over struct sim_end; see sim-stream.h. A source is ready while its end is:
 * it asks the end each time the loop looks, so whoever moves the bytes need not know of it.
 */

#include <errno.h>

#include "sim-stream.h"

/* ---- sources ---- */

struct end_source {
	GSource source;
	GObject *stream;
	struct sim_end *end;
	bool (*is_ready)(const struct sim_end *end);
};

static gboolean end_source_check(GSource *source)
{
	struct end_source *ends = (struct end_source *)source;

	return ends->is_ready(ends->end);
}

static gboolean end_source_prepare(GSource *source, gint *timeout)
{
	*timeout = -1;
	return end_source_check(source);
}

static gboolean end_source_dispatch(GSource *source, GSourceFunc func, gpointer data)
{
	return ((GPollableSourceFunc)(void (*)(void))func)(((struct end_source *)source)->stream,
							    data);
}

static void end_source_finalize(GSource *source)
{
	struct end_source *ends = (struct end_source *)source;

	sim_end_unref(ends->end);
	g_object_unref(ends->stream);
}

static GSource *end_source_new(void *stream, struct sim_end *end,
			       bool (*is_ready)(const struct sim_end *end))
{
	static GSourceFuncs funcs = {
		.prepare = end_source_prepare,
		.check = end_source_check,
		.dispatch = end_source_dispatch,
		.finalize = end_source_finalize,
	};
	GSource *source = g_source_new(&funcs, sizeof(struct end_source));
	struct end_source *ends = (struct end_source *)source;

	ends->stream = g_object_ref(stream);
	ends->end = sim_end_ref(end);
	ends->is_ready = is_ready;
	return source;
}

static gssize end_result(ssize_t n, GError **error)
{
	if (n >= 0)
		return n;
	g_set_error_literal(error, G_IO_ERROR, (gint)g_io_error_from_errno((int)-n),
			    g_strerror((int)-n));
	return -1;
}

/* ---- input ---- */

typedef struct {
	GInputStream parent;
	struct sim_end *end;
} SimInput;

typedef GInputStreamClass SimInputClass;

static void sim_input_pollable_init(GPollableInputStreamInterface *iface);
static GType sim_input_get_type(void);

G_DEFINE_TYPE_WITH_CODE(SimInput, sim_input, G_TYPE_INPUT_STREAM,
			G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM,
					      sim_input_pollable_init))

static gssize sim_input_read(GInputStream *stream, void *to, gsize size, GCancellable *cancellable,
			     GError **error)
{
	(void)cancellable;
	return end_result(sim_end_read(((SimInput *)stream)->end, to, size), error);
}

static gboolean sim_input_is_readable(GPollableInputStream *stream)
{
	return sim_end_is_readable(((SimInput *)stream)->end);
}

static GSource *sim_input_create_source(GPollableInputStream *stream, GCancellable *cancellable)
{
	(void)cancellable;
	return end_source_new(stream, ((SimInput *)stream)->end, sim_end_is_readable);
}

static void sim_input_finalize(GObject *object)
{
	sim_end_unref(((SimInput *)object)->end);
	G_OBJECT_CLASS(sim_input_parent_class)->finalize(object);
}

static void sim_input_init(SimInput *input)
{
	(void)input;
}

static void sim_input_class_init(SimInputClass *class)
{
	class->read_fn = sim_input_read;
	G_OBJECT_CLASS(class)->finalize = sim_input_finalize;
}

static void sim_input_pollable_init(GPollableInputStreamInterface *iface)
{
	iface->is_readable = sim_input_is_readable;
	iface->create_source = sim_input_create_source;
}

/* ---- output ---- */

typedef struct {
	GOutputStream parent;
	struct sim_end *end;
} SimOutput;

typedef GOutputStreamClass SimOutputClass;

static void sim_output_pollable_init(GPollableOutputStreamInterface *iface);
static GType sim_output_get_type(void);

G_DEFINE_TYPE_WITH_CODE(SimOutput, sim_output, G_TYPE_OUTPUT_STREAM,
			G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_OUTPUT_STREAM,
					      sim_output_pollable_init))

static gssize sim_output_write(GOutputStream *stream, const void *from, gsize size,
			       GCancellable *cancellable, GError **error)
{
	(void)cancellable;
	return end_result(sim_end_write(((SimOutput *)stream)->end, from, size), error);
}

static gboolean sim_output_is_writable(GPollableOutputStream *stream)
{
	return sim_end_is_writable(((SimOutput *)stream)->end);
}

static GSource *sim_output_create_source(GPollableOutputStream *stream, GCancellable *cancellable)
{
	(void)cancellable;
	return end_source_new(stream, ((SimOutput *)stream)->end, sim_end_is_writable);
}

static void sim_output_finalize(GObject *object)
{
	sim_end_unref(((SimOutput *)object)->end);
	G_OBJECT_CLASS(sim_output_parent_class)->finalize(object);
}

static void sim_output_init(SimOutput *output)
{
	(void)output;
}

static void sim_output_class_init(SimOutputClass *class)
{
	class->write_fn = sim_output_write;
	G_OBJECT_CLASS(class)->finalize = sim_output_finalize;
}

static void sim_output_pollable_init(GPollableOutputStreamInterface *iface)
{
	iface->is_writable = sim_output_is_writable;
	iface->create_source = sim_output_create_source;
}

/* ---- both ---- */

typedef struct {
	GIOStream parent;
	struct sim_end *end;
	GInputStream *input;
	GOutputStream *output;
} SimStream;

typedef GIOStreamClass SimStreamClass;

static GType sim_stream_get_type(void);

G_DEFINE_TYPE(SimStream, sim_stream, G_TYPE_IO_STREAM)

static GInputStream *sim_stream_get_input(GIOStream *stream)
{
	return ((SimStream *)stream)->input;
}

static GOutputStream *sim_stream_get_output(GIOStream *stream)
{
	return ((SimStream *)stream)->output;
}

static gboolean sim_stream_close(GIOStream *stream, GCancellable *cancellable, GError **error)
{
	(void)cancellable;
	(void)error;
	sim_end_close(((SimStream *)stream)->end);
	return TRUE;
}

static void sim_stream_finalize(GObject *object)
{
	SimStream *stream = (SimStream *)object;

	G_OBJECT_CLASS(sim_stream_parent_class)->finalize(object);
	g_object_unref(stream->input);
	g_object_unref(stream->output);
	sim_end_unref(stream->end);
}

static void sim_stream_init(SimStream *stream)
{
	stream->input = g_object_new(sim_input_get_type(), NULL);
	stream->output = g_object_new(sim_output_get_type(), NULL);
}

static void sim_stream_class_init(SimStreamClass *class)
{
	class->get_input_stream = sim_stream_get_input;
	class->get_output_stream = sim_stream_get_output;
	class->close_fn = sim_stream_close;
	G_OBJECT_CLASS(class)->finalize = sim_stream_finalize;
}

GIOStream *sim_stream_new(struct sim_end *end)
{
	SimStream *stream = g_object_new(sim_stream_get_type(), NULL);

	stream->end = end;
	((SimInput *)stream->input)->end = sim_end_ref(end);
	((SimOutput *)stream->output)->end = sim_end_ref(end);
	return G_IO_STREAM(stream);
}
