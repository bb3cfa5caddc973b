/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From a connection just accepted to a TLS stream. Nothing a peer does or leaves undone here costs
 * others anything: there is a bound on how many may be at it, and a deadline for each.
 *
 * Logs what fails, a few lines a minute.
 */

#include <gio/gio.h>

#include "base/clock.h"
#include "base/util.h"

#define HANDSHAKES	256		    /* under way at once: one more is closed */
#define HANDSHAKE_USEC	(5 * USEC_PER_SEC)  /* from accepting to the end of the handshake */

struct handshakes;

/** handshake_done_t - @stream is a GTlsConnection, a reference is to be taken; @peer is its
 * address, for the log. */
typedef void (*handshake_done_t)(void *data, GIOStream *stream, const char *peer);

struct handshakes *handshakes_new(struct clock *clock, handshake_done_t done, void *data);

/** handshakes_free() - end those under way; the main loop runs until they are. Return: NULL. */
struct handshakes *handshakes_free(struct handshakes *handshakes);

/** handshakes_use() - what those that begin from now on show. */
void handshakes_use(struct handshakes *handshakes, GTlsCertificate *certificate);

/** handshakes_begin() - shake hands with who has connected. */
void handshakes_begin(struct handshakes *handshakes, GSocketConnection *connection);
