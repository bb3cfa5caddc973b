/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a parent that speaks the wire protocol is: "unix:/path", "tls:host:port", "tls:[v6]:port". */

#include <stdbool.h>
#include <stdint.h>

enum address_kind {
	ADDRESS_UNIX,
	ADDRESS_TLS,
};

struct address {
	enum address_kind kind;
	char *path;	/* unix */
	char *host;	/* tls: a name or an IP address, without brackets */
	uint16_t port;	/* tls */
};

/**
 * address_parse() - read @text.
 * @ret_address: to be released with address_deinit()
 *
 * Return: 0; -EINVAL where it is malformed: a path that is not absolute or does not fit a socket
 * address (unix(7): 107 bytes), a host that is neither a name of at most 253 bytes nor an IP
 * address, a port that is not 1–65535; -EPROTONOSUPPORT where it is of another kind.
 */
int address_parse(const char *text, struct address *ret_address);
void address_deinit(struct address *address);
