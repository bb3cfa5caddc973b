/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See peer.h. */

#include <stdbool.h>
#include <string.h>

#include "peer.h"

#define IPV6_BYTES    16
#define NETWORK_BYTES 8	 /* of an address of IPv6: a /64 is what one site or machine is given */
#define MAPPED_BYTES  12 /* ::ffff:0:0/96, before the four bytes of IPv4 */

#define UNKNOWN "an unknown address"

static bool is_mapped(const guint8 *bytes)
{
	static const guint8 prefix[MAPPED_BYTES] = { [10] = 0xff, [11] = 0xff };

	return memcmp(bytes, prefix, sizeof(prefix)) == 0;
}

char *peer_network_name(GInetAddress *address)
{
	const guint8 *bytes = g_inet_address_to_bytes(address);
	guint8 network[IPV6_BYTES] = { 0 };
	g_autoptr(GInetAddress) counted = NULL;
	g_autofree char *name = NULL;

	if (g_inet_address_get_family(address) != G_SOCKET_FAMILY_IPV6)
		return g_inet_address_to_string(address);
	if (is_mapped(bytes)) {
		counted = g_inet_address_new_from_bytes(bytes + MAPPED_BYTES, G_SOCKET_FAMILY_IPV4);
		return g_inet_address_to_string(counted);
	}
	memcpy(network, bytes, NETWORK_BYTES);
	counted = g_inet_address_new_from_bytes(network, G_SOCKET_FAMILY_IPV6);
	name = g_inet_address_to_string(counted);
	return g_strconcat(name, "/64", NULL);
}

void peer_init(struct peer *peer, GSocketConnection *connection)
{
	g_autoptr(GSocketAddress) address =
		g_socket_connection_get_remote_address(connection, NULL);

	/* It has gone already. */
	if (!G_IS_INET_SOCKET_ADDRESS(address)) {
		peer->name = g_strdup(UNKNOWN);
		peer->network = g_strdup(UNKNOWN);
		return;
	}
	peer->name = g_socket_connectable_to_string(G_SOCKET_CONNECTABLE(address));
	peer->network = peer_network_name(
		g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)));
}

void peer_copy(struct peer *peer, const struct peer *from)
{
	peer->name = g_strdup(from->name);
	peer->network = g_strdup(from->network);
}

void peer_deinit(struct peer *peer)
{
	g_clear_pointer(&peer->name, g_free);
	g_clear_pointer(&peer->network, g_free);
}
