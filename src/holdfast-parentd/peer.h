/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where a TCP connection comes from, as a line in the log names it and as bounds count it: by the
 * address, of IPv6 by the /64, since whoever has one such address has all of that network's. An
 * IPv4 address is the same one when it comes to a socket of IPv6.
 */

#include <gio/gio.h>

struct peer {
	char *name;    /* "address:port" */
	char *network; /* whose bounds it counts against */
};

/** peer_init() - of a connection, by TCP. */
void peer_init(struct peer *peer, GSocketConnection *connection);

/** peer_copy() - as @from, which stays. */
void peer_copy(struct peer *peer, const struct peer *from);
void peer_deinit(struct peer *peer);

/** peer_network_name() - whose bounds @address counts against; to be freed. */
char *peer_network_name(GInetAddress *address);
