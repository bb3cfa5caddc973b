/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the proxy listens and where the parent is: "unix:/path" or "tcp:a.b.c.d:port". Sockets made
 * here do not block. Errors are negative errnos.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/un.h>

struct endpoint {
	bool tcp;
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
	};
};

/** endpoint_parse() - Return: 0, or -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *ret);

/** endpoint_listen() - a unix socket's file appears with somebody listening. Return: the fd. */
int endpoint_listen(const struct endpoint *endpoint);

/** endpoint_connect() - of TCP the connection may still be under way. Return: the fd. */
int endpoint_connect(const struct endpoint *endpoint);

/** endpoint_unlink() - take a unix socket's file away; nothing to do for TCP. */
void endpoint_unlink(const struct endpoint *endpoint);
