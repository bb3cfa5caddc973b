/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A path is ours to replace only if it is a socket that refuses connections. What is unlinked at
 * the end is checked to be the socket made at the start: another server may have replaced it
 * meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#define TLS_PREFIX  "tls:"
#define PORT_MAX    65535

struct listener {
	GSocket *socket;
	GSource *source;	/* NULL while it rests */
	struct clock *clock;
	struct timer rest;
	listener_accepted_t accepted;
	void *data;
	bool inet;		/* else unix */
	char *path;		/* of a unix socket of our own, else NULL */
	dev_t device;
	ino_t inode;
};

/* Return: where the port begins in "HOST:PORT" or "[v6]:PORT"; NULL: it is neither. */
static const char *inet_port(const char *host)
{
	const char *colon = strrchr(host, ':');
	guint64 port;

	if (!colon || colon == host ||
	    !g_ascii_string_to_unsigned(colon + 1, 10, 0, PORT_MAX, &port, NULL))
		return NULL;
	/* Colons within the host need brackets, or nobody knows where it ends. */
	if (host[0] == '[')
		return colon[-1] == ']' && colon - host > 2 ? colon + 1 : NULL;
	return strchr(host, ':') == colon ? colon + 1 : NULL;
}

bool listener_address_is_tls(const char *address)
{
	return g_str_has_prefix(address, TLS_PREFIX) && inet_port(address + strlen(TLS_PREFIX));
}

static bool address_is_unix(const char *address)
{
	return g_str_has_prefix(address, UNIX_PREFIX "/") &&
	       strlen(address) - strlen(UNIX_PREFIX) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

bool listener_address_check(const char *address)
{
	return address_is_unix(address) || listener_address_is_tls(address);
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

/* An answer must not wait for the one after it; and of a machine that has gone without a word, as
 * laptops do, nothing would ever be heard. */
static void socket_set_up_tcp(GSocket *socket)
{
	g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
	g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, LISTENER_ALIVE_IDLE_SEC, NULL);
	g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, LISTENER_ALIVE_PROBE_SEC, NULL);
	g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, LISTENER_ALIVE_PROBES, NULL);
	g_socket_set_keepalive(socket, TRUE);
}

static void listener_hand_on(struct listener *listener, GSocket *socket)
{
	g_autoptr(GSocketConnection) connection = NULL;
	g_autofree char *principal = NULL;

	if (listener->inet) {
		socket_set_up_tcp(socket);
	} else {
		principal = peer_principal(socket);
		if (!principal) {
			log_warning("A connection without credentials was closed.");
			return;
		}
	}
	g_socket_set_blocking(socket, FALSE);
	connection = g_socket_connection_factory_create_connection(socket);
	listener->accepted(listener->data, connection, principal);
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

static char *listen_why(const char *where, int error)
{
	switch (error) {
	case -EADDRINUSE:
		return g_strdup_printf("%s: another server listens there.", where);
	case -ENOTSOCK:
		return g_strdup_printf("%s: there is a file that is not a socket.", where);
	default:
		return g_strdup_printf("%s: cannot listen: %s", where, g_strerror(-error));
	}
}

static int listen_on_unix(const char *path, const struct listener_env *env, GPtrArray *listeners,
			  char **ret_why)
{
	struct listener *listener;
	struct stat st;
	int fd = -1, r;

	r = socket_listen(path, &fd);
	if (r < 0) {
		*ret_why = listen_why(path, r);
		return r;
	}
	r = listener_add_fd(fd, env, listeners, ret_why);
	if (r < 0) {
		close(fd);
		unlink(path);
		return r;
	}
	listener = listeners->pdata[listeners->len - 1];
	listener->path = g_strdup(path);
	if (stat(path, &st) == 0) {
		listener->device = st.st_dev;
		listener->inode = st.st_ino;
	}
	return 0;
}

/* ---- TCP ---- */

static int inet_listen(const struct addrinfo *where, int *ret_fd)
{
	int on = 1, r;
	int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* What a server before us has closed may linger in the kernel. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, where->ai_addr, where->ai_addrlen) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* @host is as in the address, with brackets around IPv6. For the start only: it may ask DNS. */
static int inet_resolve(const char *host, const char *port, struct addrinfo **ret)
{
	const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	g_autofree char *name = NULL;

	if (host[0] == '[')
		name = g_strndup(host + 1, (gsize)(port - host) - 3);
	else
		name = g_strndup(host, (gsize)(port - host) - 1);
	return getaddrinfo(name, port, &hints, ret);
}

/* All addresses the name stands for; those of a kind this machine does not have are passed over,
 * if any is left. */
static int inet_listen_on_all(const char *address, const struct addrinfo *all,
			      const struct listener_env *env, GPtrArray *listeners,
			      char **ret_why)
{
	int last = -EADDRNOTAVAIL, fd = -1, r;
	bool any = false;

	for (const struct addrinfo *i = all; i; i = i->ai_next) {
		r = inet_listen(i, &fd);
		if (r == 0) {
			r = listener_add_fd(fd, env, listeners, ret_why);
			if (r < 0) {
				close(fd);
				return r;
			}
			any = true;
		} else if (r != -EADDRNOTAVAIL && r != -EAFNOSUPPORT) {
			*ret_why = listen_why(address, r);
			return r;
		} else {
			last = r;
		}
	}
	if (!any)
		*ret_why = listen_why(address, last);
	return any ? 0 : last;
}

static int listen_on_tls(const char *address, const struct listener_env *env, GPtrArray *listeners,
			 char **ret_why)
{
	const char *host = address + strlen(TLS_PREFIX);
	struct addrinfo *all = NULL;
	int r = inet_resolve(host, inet_port(host), &all);

	if (r != 0) {
		*ret_why = g_strdup_printf("%s: %s.", address, gai_strerror(r));
		return -EADDRNOTAVAIL;
	}
	r = inet_listen_on_all(address, all, env, listeners, ret_why);
	freeaddrinfo(all);
	return r;
}

/* ---- life ---- */

int listener_add(const char *address, const struct listener_env *env, GPtrArray *listeners,
		 char **ret_why)
{
	if (address_is_unix(address))
		return listen_on_unix(address + strlen(UNIX_PREFIX), env, listeners, ret_why);
	if (listener_address_is_tls(address))
		return listen_on_tls(address, env, listeners, ret_why);
	*ret_why = g_strdup_printf("%s: not an address; use unix:/PATH or tls:HOST:PORT.", address);
	return -EINVAL;
}

/* Return: the family of a listening stream socket that we can serve, else AF_UNSPEC. */
static int fd_family(int fd)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };

	for (unsigned int i = 0; i < G_N_ELEMENTS(families); i++)
		if (sd_is_socket(fd, families[i], SOCK_STREAM, 1) > 0)
			return families[i];
	return AF_UNSPEC;
}

int listener_add_fd(int fd, const struct listener_env *env, GPtrArray *listeners, char **ret_why)
{
	g_autoptr(GError) error = NULL;
	int family = fd_family(fd);
	struct listener *listener;
	GSocket *socket;

	if (family == AF_UNSPEC) {
		*ret_why = g_strdup("What was handed over is not a listening unix or TCP socket.");
		return -EINVAL;
	}
	if (family != AF_UNIX && !env->tls) {
		*ret_why = g_strdup("A TCP socket was handed over, and that is served with TLS "
				    "only: give --tls-cert, --tls-key and --tokens.");
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
	listener->inet = family != AF_UNIX;
	listener->clock = env->clock;
	listener->accepted = env->accepted;
	listener->data = env->data;
	timer_init(&listener->rest, env->clock, listener_start, listener);
	listener_start(listener);
	g_ptr_array_add(listeners, listener);
	return 0;
}

char *listener_name(const struct listener *listener)
{
	g_autoptr(GSocketAddress) address = g_socket_get_local_address(listener->socket, NULL);
	g_autofree char *name = NULL;

	if (!address)
		return g_strdup("an unknown address");
	name = g_socket_connectable_to_string(G_SOCKET_CONNECTABLE(address));
	return g_strconcat(listener->inet ? TLS_PREFIX : UNIX_PREFIX, name, NULL);
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
