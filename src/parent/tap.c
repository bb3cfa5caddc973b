/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The input is a class of its own, as GIO asks for; the output is the socket's. All it does is to
 * pass on. TLS handshakes run in a thread, so what is noted may be looked at only after it.
 */

#include <stdbool.h>

#include "parent/tap.h"

/* What a server's first record can be, RFC 8446, 5.1. */
#define RECORD_ALERT	 21
#define RECORD_HANDSHAKE 22

#define INPUT_TYPE (tap_input_get_type())
G_DECLARE_FINAL_TYPE(TapInput, tap_input, HOLDFAST, TAP_INPUT, GInputStream)

struct _TapInput {
	GInputStream object;
	GSocketConnection *connection;
	int first;  /* the first byte; -1: none came */
	bool ended; /* the peer hung up, or the line broke */
};

static void tap_input_pollable_init(GPollableInputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE(TapInput, tap_input, G_TYPE_INPUT_STREAM,
			      G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM,
						    tap_input_pollable_init))

static GInputStream *socket_input(TapInput *input)
{
	return g_io_stream_get_input_stream(G_IO_STREAM(input->connection));
}

static void tap_input_note(TapInput *input, const guint8 *bytes, gssize n, const GError *error)
{
	if (n > 0 && input->first < 0)
		input->first = bytes[0];
	else if (n == 0 || (n < 0 && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)))
		input->ended = true;
}

static gssize tap_input_read(GInputStream *stream, void *buffer, gsize count,
			     GCancellable *cancellable, GError **error)
{
	TapInput *input = HOLDFAST_TAP_INPUT(stream);
	GError *cause = NULL;
	gssize n = g_input_stream_read(socket_input(input), buffer, count, cancellable, &cause);

	tap_input_note(input, buffer, n, cause);
	if (cause)
		g_propagate_error(error, cause);
	return n;
}

static gboolean tap_input_close(GInputStream *stream, GCancellable *cancellable, GError **error)
{
	TapInput *input = HOLDFAST_TAP_INPUT(stream);

	return g_io_stream_close(G_IO_STREAM(input->connection), cancellable, error);
}

static gboolean tap_input_is_readable(GPollableInputStream *stream)
{
	TapInput *input = HOLDFAST_TAP_INPUT(stream);

	return g_pollable_input_stream_is_readable(G_POLLABLE_INPUT_STREAM(socket_input(input)));
}

static GSource *tap_input_create_source(GPollableInputStream *stream, GCancellable *cancellable)
{
	TapInput *input = HOLDFAST_TAP_INPUT(stream);
	g_autoptr(GSource) source = g_pollable_input_stream_create_source(
		G_POLLABLE_INPUT_STREAM(socket_input(input)), NULL);

	return g_pollable_source_new_full(stream, source, cancellable);
}

static gssize tap_input_read_nonblocking(GPollableInputStream *stream, void *buffer, gsize count,
					 GError **error)
{
	TapInput *input = HOLDFAST_TAP_INPUT(stream);
	GError *cause = NULL;
	gssize n = g_pollable_input_stream_read_nonblocking(
		G_POLLABLE_INPUT_STREAM(socket_input(input)), buffer, count, NULL, &cause);

	tap_input_note(input, buffer, n, cause);
	if (cause)
		g_propagate_error(error, cause);
	return n;
}

static void tap_input_finalize(GObject *object)
{
	g_object_unref(HOLDFAST_TAP_INPUT(object)->connection);
	G_OBJECT_CLASS(tap_input_parent_class)->finalize(object);
}

static void tap_input_pollable_init(GPollableInputStreamInterface *iface)
{
	iface->is_readable = tap_input_is_readable;
	iface->create_source = tap_input_create_source;
	iface->read_nonblocking = tap_input_read_nonblocking;
}

static void tap_input_class_init(TapInputClass *class)
{
	G_OBJECT_CLASS(class)->finalize = tap_input_finalize;
	G_INPUT_STREAM_CLASS(class)->read_fn = tap_input_read;
	G_INPUT_STREAM_CLASS(class)->close_fn = tap_input_close;
}

static void tap_input_init(TapInput *input)
{
	input->first = -1;
}

GIOStream *tap_new(GSocketConnection *connection)
{
	g_autoptr(TapInput) input = g_object_new(INPUT_TYPE, NULL);

	input->connection = g_object_ref(connection);
	return g_simple_io_stream_new(G_INPUT_STREAM(input),
				      g_io_stream_get_output_stream(G_IO_STREAM(connection)));
}

enum tap_heard tap_heard(GIOStream *tap)
{
	TapInput *input = HOLDFAST_TAP_INPUT(g_io_stream_get_input_stream(tap));

	if (input->first < 0)
		return TAP_NOTHING;
	if (input->first != RECORD_ALERT && input->first != RECORD_HANDSHAKE)
		return TAP_OTHER;
	return input->ended ? TAP_TLS_THEN_END : TAP_TLS;
}
