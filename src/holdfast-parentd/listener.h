/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A socket that is listened on, and who it is that connects. On a unix socket the kernel says
 * (SO_PEERCRED), and the principal is "uid:<number>". On TCP nobody does: such a connection is
 * handed on without a principal, and must not be served before TLS and a token have told one.
 *
 * Logs what goes wrong once it listens.
 */

#include <gio/gio.h>
#include <stdbool.h>

#include "base/clock.h"

#define LISTENER_BACKLOG   128			/* connections the kernel keeps for us */
#define LISTENER_TURN	   32			/* accepted in one turn of the loop */
#define LISTENER_REST_USEC (1000 * 1000)	/* where no descriptor is left for one more */

/* A TCP peer silent for this long is probed, and closed when so many probes got no answer. */
#define LISTENER_ALIVE_IDLE_SEC	 60
#define LISTENER_ALIVE_PROBE_SEC 10
#define LISTENER_ALIVE_PROBES	 6

struct listener;

/** listener_accepted_t - a new connection, not blocking; a reference is to be taken.
 * @principal: NULL on TCP */
typedef void (*listener_accepted_t)(void *data, GSocketConnection *connection,
				    const char *principal);

/* What listeners work with; the clock outlives them. */
struct listener_env {
	struct clock *clock;
	bool tls;	/* TCP can be served */
	listener_accepted_t accepted;
	void *data;
};

/**
 * listener_add() - listen on "unix:/path", "tls:host:port" or "tls:[v6]:port".
 * @listeners: where the new ones go, to be freed with listener_free(); a host may be several
 * @ret_why: on failure a sentence that says what is wrong, to be freed
 *
 * A unix socket nobody listens on any more is replaced; the new one has mode 0666. Port 0 stands
 * for one that is free. For the start only: a host's name may have to be asked for.
 *
 * Return: 0; -EINVAL not such an address; -EADDRINUSE somebody listens there; or another negative
 * errno.
 */
int listener_add(const char *address, const struct listener_env *env, GPtrArray *listeners,
		 char **ret_why);

/** listener_add_fd() - a listening unix or TCP socket that was handed over, which is left behind at
 * the end. Takes @fd over on success. */
int listener_add_fd(int fd, const struct listener_env *env, GPtrArray *listeners, char **ret_why);

/** listener_name() - the address in use, as listener_add() takes it; to be freed. */
char *listener_name(const struct listener *listener);

/** listener_free() - stop listening; a socket of our own is unlinked. Return: NULL. */
struct listener *listener_free(struct listener *listener);

/** listener_address_check() - whether @address is of a form listener_new() knows. */
bool listener_address_check(const char *address);

/** listener_address_is_tls() - whether it is one of TLS. */
bool listener_address_is_tls(const char *address);
