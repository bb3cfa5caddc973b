/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A path is ours to replace only if it is a socket that refuses connections. What is unlinked at
 * the end is checked to be the socket made at the start: another server may have replaced it
 * meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "listener.h"

#define UNIX_PREFIX "unix:"

struct listener {
	GSocket *socket;
	GSource *source;	/* NULL while it rests */
	struct clock *clock;
	struct timer rest;
	listener_accepted_t accepted;
	void *data;
	char *path;		/* of a socket of our own, else NULL */
	dev_t device;
	ino_t inode;
};

bool listener_address_check(const char *address)
{
	return g_str_has_prefix(address, UNIX_PREFIX "/") &&
	       strlen(address) - strlen(UNIX_PREFIX) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

/* ---- accepting ---- */

static char *peer_principal(GSocket *socket)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return NULL;
	return g_strdup_printf("uid:%u", (unsigned int)peer.uid);
}

static void listener_hand_on(struct listener *listener, GSocket *socket)
{
	g_autoptr(GSocketConnection) connection = NULL;
	g_autofree char *principal = peer_principal(socket);

	if (!principal) {
		log_warning("A connection without credentials was closed.");
		return;
	}
	connection = g_socket_connection_factory_create_connection(socket);
	listener->accepted(listener->data, G_IO_STREAM(connection), principal);
}

static void listener_take_rest(struct listener *listener, const char *why)
{
	log_warning("Cannot accept a connection: %s", why);
	g_source_destroy(listener->source);
	g_clear_pointer(&listener->source, g_source_unref);
	timer_arm_in(&listener->rest, LISTENER_REST_USEC);
}

static gboolean listener_on_ready(GSocket *socket, GIOCondition condition, gpointer data)
{
	struct listener *listener = data;

	(void)condition;
	for (int i = 0; i < LISTENER_TURN; i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GSocket) accepted = g_socket_accept(socket, NULL, &error);

		if (accepted) {
			listener_hand_on(listener, accepted);
			continue;
		}
		if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
			break;
		/* The peer's own failure costs us nothing; ours would come again at once. */
		if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
			continue;
		listener_take_rest(listener, error->message);
		return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

static void listener_start(void *data)
{
	struct listener *listener = data;

	listener->source = g_socket_create_source(listener->socket, G_IO_IN, NULL);
	g_source_set_callback(listener->source, G_SOURCE_FUNC(listener_on_ready), listener, NULL);
	g_source_attach(listener->source, NULL);
}

/* ---- a socket of our own ---- */

/* Return: 0 where @path is free now; -EADDRINUSE where somebody answers; -ENOTSOCK where it is
 * something else. */
static int path_clear(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, r = 0;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN)
		r = -EADDRINUSE;
	else if (errno != ECONNREFUSED)
		r = -errno;
	close(fd);
	if (r == 0 && unlink(address->sun_path) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

static int socket_listen(const char *path, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, r;

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	r = path_clear(&address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Everybody may knock, whatever the umask says: who it is decides the kernel's word. */
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(path, 0666) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static char *listen_why(const char *path, int error)
{
	switch (error) {
	case -EADDRINUSE:
		return g_strdup_printf("%s: another server listens there.", path);
	case -ENOTSOCK:
		return g_strdup_printf("%s: there is a file that is not a socket.", path);
	default:
		return g_strdup_printf("%s: cannot listen: %s", path, g_strerror(-error));
	}
}

int listener_new(const char *address, struct clock *clock, listener_accepted_t accepted, void *data,
		 struct listener **ret, char **ret_why)
{
	const char *path = address + strlen(UNIX_PREFIX);
	struct listener *listener;
	struct stat st;
	int fd = -1, r;

	if (!listener_address_check(address)) {
		*ret_why = g_strdup_printf("%s: not an address; use unix:/PATH.", address);
		return -EINVAL;
	}
	r = socket_listen(path, &fd);
	if (r < 0) {
		*ret_why = listen_why(path, r);
		return r;
	}
	r = listener_new_fd(fd, clock, accepted, data, &listener, ret_why);
	if (r < 0) {
		close(fd);
		unlink(path);
		return r;
	}
	listener->path = g_strdup(path);
	if (stat(path, &st) == 0) {
		listener->device = st.st_dev;
		listener->inode = st.st_ino;
	}
	*ret = listener;
	return 0;
}

int listener_new_fd(int fd, struct clock *clock, listener_accepted_t accepted, void *data,
		    struct listener **ret, char **ret_why)
{
	g_autoptr(GError) error = NULL;
	struct listener *listener;
	GSocket *socket;

	if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0) {
		*ret_why = g_strdup("What was handed over is not a listening unix socket.");
		return -EINVAL;
	}
	socket = g_socket_new_from_fd(fd, &error);
	if (!socket) {
		*ret_why = g_strdup_printf("Cannot use a socket: %s", error->message);
		return -EIO;
	}
	g_socket_set_blocking(socket, FALSE);
	listener = g_new0(struct listener, 1);
	listener->socket = socket;
	listener->clock = clock;
	listener->accepted = accepted;
	listener->data = data;
	timer_init(&listener->rest, clock, listener_start, listener);
	listener_start(listener);
	*ret = listener;
	return 0;
}

struct listener *listener_free(struct listener *listener)
{
	struct stat st;

	if (!listener)
		return NULL;

	timer_deinit(&listener->rest);
	if (listener->source) {
		g_source_destroy(listener->source);
		g_source_unref(listener->source);
	}
	if (listener->path && lstat(listener->path, &st) == 0 &&
	    st.st_dev == listener->device && st.st_ino == listener->inode)
		unlink(listener->path);
	g_object_unref(listener->socket);
	g_free(listener->path);
	g_free(listener);
	return NULL;
}
