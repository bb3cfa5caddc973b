/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All connections: how many there may be, in all and of one principal, and that there is one of a
 * client at most. Logs who comes, who goes and why.
 */

#include <gio/gio.h>

#include "base/clock.h"
#include "committer.h"
#include "reader.h"

#define SERVER_CONNECTIONS	 1024	/* in all: each costs a descriptor and its buffers */
#define SERVER_CONNECTIONS_EACH	 256	/* of one principal: nobody takes all of them */
#define SERVER_RETRY_MSEC	 1000	/* retryAfter of one too many */

struct server;

/** server_new() - @epoch is borrowed; all of them outlive the server. */
struct server *server_new(struct clock *clock, struct committer *committer, struct reader *reader,
			  const char *epoch);

/** server_free() - close every connection. Return: NULL. */
struct server *server_free(struct server *server);

/** server_watch() - @failed hears each time the store could not be read. */
void server_watch(struct server *server, void (*failed)(void *data, int error), void *data);

/** server_accepted() - a listener's new connection. */
void server_accepted(void *server, GIOStream *stream, const char *principal);
