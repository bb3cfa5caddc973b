/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A goodbye is some thirty bytes. A socket that polls as writable has room for more than that; but
 * a record that was left half written would have to go first, and that one may be of any size.
 */

#include "hangup.h"

void hangup_prepare(GIOStream *stream, bool clean)
{
	g_autoptr(GIOStream) base = NULL;
	GSocket *socket;

	if (!G_IS_TLS_CONNECTION(stream))
		return;
	g_object_get(stream, "base-io-stream", &base, NULL);
	socket = g_socket_connection_get_socket(G_SOCKET_CONNECTION(base));
	if (!clean || !(g_socket_condition_check(socket, G_IO_OUT) & G_IO_OUT))
		g_socket_shutdown(socket, FALSE, TRUE, NULL);
}
