/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"

#define BACKLOG 16

static int parse_tcp(const char *text, struct endpoint *ret)
{
	const char *colon = strrchr(text, ':');
	g_autofree char *host = colon ? g_strndup(text, (gsize)(colon - text)) : NULL;

	ret->tcp = true;
	ret->in = (struct sockaddr_in){ .sin_family = AF_INET };
	if (!colon || inet_pton(AF_INET, host, &ret->in.sin_addr) != 1)
		return -EINVAL;
	ret->in.sin_port = htons((uint16_t)atoi(colon + 1));
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (g_str_has_prefix(text, "tcp:"))
		return parse_tcp(text + 4, ret);
	/* Listening takes another name beside it, one character longer. */
	if (!g_str_has_prefix(text, "unix:") || strlen(text + 5) + 2 > sizeof(ret->un.sun_path))
		return -EINVAL;
	ret->un.sun_family = AF_UNIX;
	strcpy(ret->un.sun_path, text + 5);
	return 0;
}

static socklen_t endpoint_len(const struct endpoint *endpoint)
{
	return endpoint->tcp ? sizeof(endpoint->in) : sizeof(endpoint->un);
}

static int endpoint_socket(const struct endpoint *endpoint)
{
	int fd = socket(endpoint->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int fail(int fd)
{
	int r = -errno;

	close(fd);
	return r;
}

int endpoint_listen(const struct endpoint *endpoint)
{
	struct endpoint at = *endpoint;
	int fd = endpoint_socket(endpoint), on = 1;

	if (fd < 0)
		return fd;
	if (at.tcp) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	} else {
		strcat(at.un.sun_path, "+");
		unlink(at.un.sun_path);
	}
	if (bind(fd, &at.any, endpoint_len(&at)) < 0 || listen(fd, BACKLOG) < 0)
		return fail(fd);
	if (!at.tcp && rename(at.un.sun_path, endpoint->un.sun_path) < 0)
		return fail(fd);
	return fd;
}

int endpoint_connect(const struct endpoint *endpoint)
{
	int fd = endpoint_socket(endpoint);

	if (fd < 0)
		return fd;
	if (connect(fd, &endpoint->any, endpoint_len(endpoint)) < 0 && errno != EINPROGRESS)
		return fail(fd);
	return fd;
}

void endpoint_unlink(const struct endpoint *endpoint)
{
	if (!endpoint->tcp)
		unlink(endpoint->un.sun_path);
}
