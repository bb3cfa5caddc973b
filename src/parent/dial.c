/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Dialling: TLS has a module of its own, a unix socket needs none. connect(2) there either succeeds
 * or fails at once (a full backlog is EAGAIN on a socket that does not block), so the attempt is one
 * turn of the loop: a timer that is due now, which keeps its outcome out of the caller's own stack.
 *
 * SO_PEERCRED names the user who called listen(2), taken by the kernel: no one can forge it.
 */

#include <gio/gunixsocketaddress.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "parent/address.h"
#include "parent/dial-tls.h"
#include "parent/dial.h"

struct dial {
	const char *path; /* of a unix socket */
	int64_t peer_uid;
	struct timer timer;
	struct dial_tls *tls; /* NULL: it is a unix socket */
	dial_done_t done;
	void *data;
};

bool dial_uid_allowed(uid_t peer, uid_t own, int64_t extra)
{
	return peer == 0 || peer == own || (extra >= 0 && (int64_t)peer == extra);
}

/* Return: NULL where the peer may be our parent, else why not. */
static char *dial_check_peer(struct dial *dial, GSocket *socket)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return g_strdup_printf("the user behind %s cannot be told: %m", dial->path);
	if (!dial_uid_allowed(cred.uid, geteuid(), dial->peer_uid))
		return g_strdup_printf("%s belongs to user %u, who is neither root, nor us, nor "
				       "ParentUser=", dial->path, (unsigned int)cred.uid);
	return NULL;
}

static GSocket *dial_connect(struct dial *dial, GError **error)
{
	g_autoptr(GSocketAddress) address = g_unix_socket_address_new(dial->path);
	g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM,
						 G_SOCKET_PROTOCOL_DEFAULT, error);

	if (!socket)
		return NULL;
	g_socket_set_blocking(socket, FALSE);
	if (!g_socket_connect(socket, address, NULL, error))
		return NULL;
	return g_steal_pointer(&socket);
}

static void dial_turn(void *data)
{
	struct dial *dial = data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocket) socket = dial_connect(dial, &error);
	g_autoptr(GSocketConnection) stream = NULL;
	g_autofree char *why = NULL;

	if (!socket) {
		why = g_strdup_printf("%s: %s", dial->path, error->message);
		dial->done(dial->data, NULL, PARENT_REASON_REFUSED, why);
		return;
	}
	why = dial_check_peer(dial, socket);
	if (why) {
		dial->done(dial->data, NULL, PARENT_REASON_AUTH, why);
		return;
	}
	stream = g_socket_connection_factory_create_connection(socket);
	dial->done(dial->data, G_IO_STREAM(stream), PARENT_REASON_OK, "");
}

struct dial *dial_new(const struct dial_params *params, dial_done_t done, void *data)
{
	struct dial *dial = g_new0(struct dial, 1);

	dial->done = done;
	dial->data = data;
	timer_init(&dial->timer, params->clock, dial_turn, dial);
	switch (params->address->kind) {
	case ADDRESS_UNIX:
		dial->path = params->address->path;
		dial->peer_uid = params->peer_uid;
		timer_arm_in(&dial->timer, 0);
		break;
	case ADDRESS_TLS:
		dial->tls = dial_tls_new(params->address, params->trust, params->context, done,
					 data);
		break;
	}
	return dial;
}

struct dial *dial_free(struct dial *dial)
{
	if (!dial)
		return NULL;

	timer_deinit(&dial->timer);
	dial_tls_free(dial->tls);
	g_free(dial);
	return NULL;
}
