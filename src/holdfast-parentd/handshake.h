/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From a connection just accepted to a TLS stream. Nothing a peer does or leaves undone here costs
 * those of other networks anything: there are bounds on how many may be at it, in all and of one
 * network, on how many have a thread, and a deadline for each.
 *
 * Logs what fails, a few lines a minute.
 */

#include <gio/gio.h>

#include "base/clock.h"
#include "base/util.h"
#include "peer.h"

#define HANDSHAKES 256 /* under way at once, of all: each costs a descriptor */
#define HANDSHAKES_EACH                                                                            \
	32 /* of one network: an office behind one address that comes back at once */
#define HANDSHAKE_USEC (5 * USEC_PER_SEC) /* from accepting to the end of the handshake */

/* With a thread of GLib's ten: two are left, which the trial of a new certificate takes. */
#define HANDSHAKE_THREADS      8
#define HANDSHAKE_THREADS_EACH 4 /* of one network: the others are for others */

/* With a thread, while all are taken and another network waits for its first: a few round trips of
 * a slow line. */
#define HANDSHAKE_TURN_USEC (1 * USEC_PER_SEC)

struct handshakes;

/** handshake_done_t - @stream is a GTlsConnection, a reference is to be taken; @peer is borrowed */
typedef void (*handshake_done_t)(void *data, GIOStream *stream, const struct peer *peer);

struct handshakes *handshakes_new(struct clock *clock, handshake_done_t done, void *data);

/** handshakes_free() - end those under way; the main loop runs until they are. Return: NULL. */
struct handshakes *handshakes_free(struct handshakes *handshakes);

/** handshakes_use() - what those that begin from now on show. */
void handshakes_use(struct handshakes *handshakes, GTlsCertificate *certificate);

/** handshakes_begin() - shake hands with who has connected. Where there are too many, the oldest of
 * those that come from where most do is given up for it. */
void handshakes_begin(struct handshakes *handshakes, GSocketConnection *connection);
