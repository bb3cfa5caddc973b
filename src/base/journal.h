/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The journal's native protocol: one entry is one datagram of NAME=value lines to journald's
 * socket. sd_journal_sendv(3) speaks it too, but on a blocking socket: while journald hangs and
 * its queue is full, every writer hangs with it. Here an entry that journald does not take at once
 * is refused, and who sends it decides what that is worth.
 *
 * Safe to use from any thread.
 */

#include <glib.h>
#include <stdbool.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journal;

/** journal_new() - nothing is opened before the first entry. @path: the socket, copied. */
struct journal *journal_new(const char *path);

/** journal_free() - NULL is fine. Return: NULL. */
struct journal *journal_free(struct journal *journal);

/**
 * journal_append() - add a field to an entry.
 * @name: A-Z 0-9 _, not starting with _
 * @value: control characters in it become spaces, so that it is one line whoever wrote it; bytes
 *         that are no UTF-8 become U+FFFD; cut at @max bytes
 */
void journal_append(GString *entry, const char *name, const char *value, gsize max);

/**
 * journal_send() - hand an entry over, without waiting.
 *
 * Return: 0; -EAGAIN where journald is too slow; another negative errno where it is not there.
 */
int journal_send(struct journal *journal, const GString *entry);

/**
 * journal_has_stream() - whether the file behind @fd is the stream to the journal that the service
 * manager gave us.
 * @stream: $JOURNAL_STREAM, "device:inode" of it (systemd.exec(5)); may be NULL
 */
bool journal_has_stream(const char *stream, int fd);

/** journal_clean() - @text as one line of printable UTF-8 of at most @max bytes, as
 * journal_append() has it. Return: to be released with g_free(). */
char *journal_clean(const char *text, gsize max);
