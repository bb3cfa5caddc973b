/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All connections: how many there may be and how much they may hold, in all and of one principal,
 * and that there is one of a client at most. Logs who comes, who goes and why; of what a peer can
 * bring about again and again, a line for each principal now and then.
 */

#include <gio/gio.h>

#include "base/clock.h"
#include "committer.h"
#include "peer.h"
#include "reader.h"
#include "tokens.h"

#define SERVER_CONNECTIONS	 1024	/* in all: each costs a descriptor and its buffers */
#define SERVER_CONNECTIONS_EACH	 256	/* of one principal: nobody takes all of them */
#define SERVER_CONNECTIONS_LOCAL 256	/* of all: kept for unix sockets, from whoever has tokens */
#define SERVER_STRANGERS	 256	/* by TLS, without a hello yet; of them each has little */
#define SERVER_STRANGERS_EACH	 32	/* of one network: as many as may shake hands at once */
#define SERVER_RETRY_MSEC	 1000	/* retryAfter of one too many, or of too much */

/* Bytes that the requests of one principal may take while they wait for the disk: over it nothing
 * more is read from its connections until it is down to half. */
#define SERVER_REQUEST_BYTES	 ((size_t)64 << 20)

/* Bytes of its lines under way and its answers not taken: over it the connection that holds most of
 * them ends. 128 clients that send their largest batch at once, unescaped, stay well below. */
#define SERVER_TRAFFIC_BYTES	 ((size_t)192 << 20)

#define SERVER_LOG_USEC		 (60 * USEC_PER_SEC) /* between two lines about a principal */

struct server;

/** server_new() - @epoch is borrowed; all of them outlive the server. */
struct server *server_new(struct clock *clock, struct committer *committer, struct reader *reader,
			  const char *epoch);

/** server_free() - close every connection. Return: NULL. */
struct server *server_free(struct server *server);

/** server_watch() - @failed hears each time the store could not be read. */
void server_watch(struct server *server, void (*failed)(void *data, int error), void *data);

/** server_watch_count() - @counted hears how many connections there are when that changes. */
void server_watch_count(struct server *server,
			void (*counted)(void *data, unsigned int connections), void *data);

/** server_accepted() - a new connection of a peer that is known, by "uid:<number>". */
void server_accepted(struct server *server, GIOStream *stream, const char *principal);

/** server_accepted_guest() - a new connection by TLS, whose token is to say who it is. Where there
 * are too many such, the oldest of those that come from where most do is ended for it. */
void server_accepted_guest(struct server *server, GIOStream *stream, const struct peer *peer);

/** server_use_tokens() - from now on these are in force, until the next ones are; connections whose
 * token is not among them are ended with "auth", those whose token names somebody else now with
 * "transient". */
void server_use_tokens(struct server *server, const struct tokens *tokens);
