/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A stream without a kernel: whoever is tested reads and writes it as a socket, the test holds the
 * other end in its hand. Takes as many bytes as it is given room for, so that writes come in parts.
 */

#include <gio/gio.h>
#include <stdbool.h>

#define MEMORY_TYPE_STREAM (memory_stream_get_type())
G_DECLARE_FINAL_TYPE(MemoryStream, memory_stream, MEMORY, STREAM, GIOStream)

/** memory_stream_new() - open, with nothing to read and room without end. */
MemoryStream *memory_stream_new(void);

/** memory_stream_say() - what is read next, behind what waits already. */
void memory_stream_say(MemoryStream *stream, const void *bytes, size_t len);

/** memory_stream_end() - after what waits the reader finds the end. */
void memory_stream_end(MemoryStream *stream);

/** memory_stream_reset() - reading and writing fail from now on; what waits is lost. */
void memory_stream_reset(MemoryStream *stream);

/** memory_stream_shut() - writing fails from now on. */
void memory_stream_shut(MemoryStream *stream);

/** memory_stream_set_room() - take this many bytes more, then none. */
void memory_stream_set_room(MemoryStream *stream, size_t room);

/** memory_stream_heard() - what was written and not removed by the test yet; its to cut. */
GString *memory_stream_heard(MemoryStream *stream);

/** memory_stream_unread() - bytes said and not read yet. */
size_t memory_stream_unread(MemoryStream *stream);

/** memory_stream_is_closed() - by its user. */
bool memory_stream_is_closed(MemoryStream *stream);
