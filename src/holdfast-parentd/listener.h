/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A socket that is listened on, and who it is that connects. Each kind of listener finds out its
 * peers' principal in its own way and hands on only connections whose principal is known: on a unix
 * socket the kernel says (SO_PEERCRED), and the principal is "uid:<number>".
 *
 * Logs what goes wrong once it listens.
 */

#include <gio/gio.h>
#include <stdbool.h>

#include "base/clock.h"

#define LISTENER_BACKLOG   128			/* connections the kernel keeps for us */
#define LISTENER_TURN	   32			/* accepted in one turn of the loop */
#define LISTENER_REST_USEC (1000 * 1000)	/* where no descriptor is left for one more */

struct listener;

/** listener_accepted_t - a new connection; a reference is to be taken. */
typedef void (*listener_accepted_t)(void *data, GIOStream *stream, const char *principal);

/**
 * listener_new() - listen on an address of the form "unix:/path".
 * @ret_why: on failure a sentence that says what is wrong, to be freed
 *
 * A socket nobody listens on any more is replaced. The new one has mode 0666.
 *
 * Return: 0; -EINVAL not such an address; -EADDRINUSE somebody listens there; or another negative
 * errno.
 */
int listener_new(const char *address, struct clock *clock, listener_accepted_t accepted, void *data,
		 struct listener **ret, char **ret_why);

/** listener_new_fd() - a listening unix socket that was handed over, which is left behind at the
 * end. Takes @fd over on success. */
int listener_new_fd(int fd, struct clock *clock, listener_accepted_t accepted, void *data,
		    struct listener **ret, char **ret_why);

/** listener_free() - stop listening; a socket of our own is unlinked. Return: NULL. */
struct listener *listener_free(struct listener *listener);

/** listener_address_check() - whether @address is of a form listener_new() knows. */
bool listener_address_check(const char *address);
