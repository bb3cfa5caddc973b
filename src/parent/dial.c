/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Dialling a unix socket. connect(2) there either succeeds or fails at once (a full backlog is
 * EAGAIN on a socket that does not block), so the attempt is one turn of the loop: a timer that is
 * due now, which keeps its outcome out of the caller's own stack.
 *
 * SO_PEERCRED names the user who called listen(2), taken by the kernel: no one can forge it.
 */

#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "parent/dial.h"

struct dial {
	char *path;
	int64_t peer_uid;
	struct timer timer;
	dial_done_t done;
	void *data;
};

bool dial_path_valid(const char *path)
{
	return path[0] == '/' && strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

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

struct dial *dial_new(const char *path, int64_t peer_uid, struct clock *clock, dial_done_t done,
		      void *data)
{
	struct dial *dial = g_new0(struct dial, 1);

	dial->path = g_strdup(path);
	dial->peer_uid = peer_uid;
	dial->done = done;
	dial->data = data;
	timer_init(&dial->timer, clock, dial_turn, dial);
	timer_arm_in(&dial->timer, 0);
	return dial;
}

struct dial *dial_free(struct dial *dial)
{
	if (!dial)
		return NULL;

	timer_deinit(&dial->timer);
	g_free(dial->path);
	g_free(dial);
	return NULL;
}
