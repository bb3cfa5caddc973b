/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * glib-networking runs each handshake on a thread of GLib's task pool, and a peer that falls silent
 * in the middle of it keeps that thread. The pool has ten, and grows by some ten a second while
 * others wait for one. Two things keep peers that hang from being in the way of those that do not:
 *
 * A handshake is not begun before the peer's first record is there in full. The kernel wakes us for
 * it (SO_RCVLOWAT), so whoever sends nothing, half of it, or no TLS at all never gets a thread.
 *
 * The newest goes first. Those that hang in the pool were there before, so a peer that has just
 * come gets the next thread there is, not the last.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "handshake.h"
#include "throttle.h"

#define RECORD_HEADER_BYTES 5	     /* type, version (2), length (2) */
#define RECORD_HANDSHAKE    22	     /* the type of a client's first record … */
#define CLIENT_HELLO	    1	     /* … and the first byte of its content */
#define RECORD_MAX_BYTES    (1 << 14) /* of its content, RFC 8446 5.1 */
#define NEWEST_WRAP	    (1 << 24) /* priorities are ints; by then the first ones have ended */

struct handshakes {
	struct clock *clock;
	handshake_done_t done;
	void *data;
	GTlsCertificate *certificate;
	GHashTable *under_way;	/* struct handshake, as a set */
	int newest;
	struct throttle log;
};

struct handshake {
	struct handshakes *owner;
	GSocketConnection *connection;
	char *peer;
	struct timer deadline;
	GSource *readable;	/* until its first record is there, then NULL … */
	GCancellable *cancellable; /* … and a thread has it */
	bool awaits_record;	/* its header has been seen */
	bool late;
};

static char *peer_name(GSocketConnection *connection)
{
	g_autoptr(GSocketAddress) address =
		g_socket_connection_get_remote_address(connection, NULL);

	if (!address)
		return g_strdup("an unknown address");
	return g_socket_connectable_to_string(G_SOCKET_CONNECTABLE(address));
}

static void complain(struct handshakes *handshakes, const char *peer, const char *why)
{
	unsigned int untold;

	if (throttle_allows(&handshakes->log, clock_monotonic(handshakes->clock), &untold))
		log_info("No TLS connection with %s: %s (%u more since the last such line).", peer,
			 why, untold);
}

static void handshake_free(struct handshake *handshake)
{
	g_hash_table_remove(handshake->owner->under_way, handshake);
	timer_deinit(&handshake->deadline);
	if (handshake->readable) {
		g_source_destroy(handshake->readable);
		g_source_unref(handshake->readable);
	}
	g_clear_object(&handshake->cancellable);
	g_object_unref(handshake->connection);
	g_free(handshake->peer);
	g_free(handshake);
}

static void handshake_fail(struct handshake *handshake, const char *why)
{
	complain(handshake->owner, handshake->peer, why);
	g_io_stream_close(G_IO_STREAM(handshake->connection), NULL, NULL);
	handshake_free(handshake);
}

/* ---- with a thread ---- */

/*
 * Where the administrator's own settings (G_TLS_GNUTLS_PRIORITY) would let an old one pass. In TLS
 * 1.2 a peer may begin another handshake at any time, without a token even. GIO gives it a thread
 * that nothing ends when the peer falls silent, and twenty such leave none for anybody else.
 */
static bool version_fine(GTlsConnection *connection)
{
	switch (g_tls_connection_get_protocol_version(connection)) {
	case G_TLS_PROTOCOL_VERSION_TLS_1_3:
		return true;
	case G_TLS_PROTOCOL_VERSION_UNKNOWN:
	case G_TLS_PROTOCOL_VERSION_SSL_3_0:
	case G_TLS_PROTOCOL_VERSION_TLS_1_0:
	case G_TLS_PROTOCOL_VERSION_TLS_1_1:
	case G_TLS_PROTOCOL_VERSION_TLS_1_2:
	case G_TLS_PROTOCOL_VERSION_DTLS_1_0:
	case G_TLS_PROTOCOL_VERSION_DTLS_1_2:
		break;
	}
	return false;
}

static void handshake_on_done(GObject *source, GAsyncResult *result, gpointer data)
{
	GTlsConnection *connection = G_TLS_CONNECTION(source);
	struct handshake *handshake = data;
	struct handshakes *owner = handshake->owner;
	g_autoptr(GError) error = NULL;
	g_autofree char *peer = NULL;

	if (!g_tls_connection_handshake_finish(connection, result, &error)) {
		handshake_fail(handshake, handshake->late ? "it took too long" : error->message);
		return;
	}
	if (!version_fine(connection)) {
		handshake_fail(handshake, "its version is older than TLS 1.3");
		return;
	}
	peer = g_steal_pointer(&handshake->peer);
	handshake_free(handshake);
	owner->done(owner->data, G_IO_STREAM(connection), peer);
}

/*
 * As g_tls_server_connection_new() does, but without the system's CAs: they would be loaded for
 * each connection anew, on this thread, which takes longer than the handshake, and no client is
 * asked for a certificate.
 */
static GIOStream *server_stream(GSocketConnection *base, GTlsCertificate *certificate,
				GError **error)
{
	GType type = g_tls_backend_get_server_connection_type(g_tls_backend_get_default());

	return g_initable_new(type, NULL, error, "base-io-stream", base, "certificate", certificate,
			      "database", NULL, NULL);
}

static void handshake_start(struct handshake *handshake)
{
	struct handshakes *owner = handshake->owner;
	g_autoptr(GError) error = NULL;
	g_autoptr(GIOStream) stream =
		server_stream(handshake->connection, owner->certificate, &error);

	if (!stream) {
		handshake_fail(handshake, error->message);
		return;
	}
	/* Lines say themselves whether they are complete. */
	g_tls_connection_set_require_close_notify(G_TLS_CONNECTION(stream), FALSE);
	handshake->cancellable = g_cancellable_new();
	owner->newest = (owner->newest + 1) % NEWEST_WRAP;
	g_tls_connection_handshake_async(G_TLS_CONNECTION(stream),
					 G_PRIORITY_DEFAULT - owner->newest,
					 handshake->cancellable, handshake_on_done, handshake);
}

/* ---- without a thread ---- */

static void await_bytes(int fd, int n)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &n, sizeof(n));
}

/* Return: NULL, or why this is not the beginning of TLS. */
static const char *first_check(const unsigned char *first, size_t n, int *ret_record)
{
	static const unsigned char start[] = { RECORD_HANDSHAKE, 3 };

	if (memcmp(first, start, MIN(n, sizeof(start))) != 0)
		return "it does not speak TLS";
	if (n <= RECORD_HEADER_BYTES)
		return "it closed the connection";
	*ret_record = first[3] << 8 | first[4];
	if (*ret_record == 0 || *ret_record > RECORD_MAX_BYTES ||
	    first[RECORD_HEADER_BYTES] != CLIENT_HELLO)
		return "it does not speak TLS";
	return NULL;
}

/* The first bytes, then the rest of the record; and whatever is there then, the thread judges. */
static gboolean handshake_on_readable(GSocket *socket, GIOCondition condition, gpointer data)
{
	struct handshake *handshake = data;
	unsigned char first[RECORD_HEADER_BYTES + 1];
	int fd = g_socket_get_fd(socket), record;
	const char *why;
	ssize_t n;

	(void)condition;
	n = recv(fd, first, sizeof(first), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n <= 0) {
		handshake_fail(handshake, n < 0 ? g_strerror(errno) : "it closed the connection");
		return G_SOURCE_REMOVE;
	}
	why = first_check(first, (size_t)n, &record);
	if (why) {
		handshake_fail(handshake, why);
		return G_SOURCE_REMOVE;
	}
	if (!handshake->awaits_record) {
		handshake->awaits_record = true;
		await_bytes(fd, RECORD_HEADER_BYTES + record);
		return G_SOURCE_CONTINUE;
	}
	await_bytes(fd, 1);
	g_clear_pointer(&handshake->readable, g_source_unref);
	handshake_start(handshake);
	return G_SOURCE_REMOVE;
}

static void handshake_on_deadline(void *data)
{
	struct handshake *handshake = data;

	handshake->late = true;
	if (handshake->cancellable)
		g_cancellable_cancel(handshake->cancellable);
	else
		handshake_fail(handshake, "it took too long");
}

void handshakes_begin(struct handshakes *handshakes, GSocketConnection *connection)
{
	GSocket *socket = g_socket_connection_get_socket(connection);
	g_autofree char *peer = peer_name(connection);
	struct handshake *handshake;

	if (g_hash_table_size(handshakes->under_way) >= HANDSHAKES) {
		complain(handshakes, peer, "too many others are at it");
		g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
		return;
	}
	handshake = g_new0(struct handshake, 1);
	handshake->owner = handshakes;
	handshake->connection = g_object_ref(connection);
	handshake->peer = g_steal_pointer(&peer);
	timer_init(&handshake->deadline, handshakes->clock, handshake_on_deadline, handshake);
	timer_arm_in(&handshake->deadline, HANDSHAKE_USEC);
	await_bytes(g_socket_get_fd(socket), RECORD_HEADER_BYTES + 1);
	handshake->readable = g_socket_create_source(socket, G_IO_IN, NULL);
	g_source_set_callback(handshake->readable, G_SOURCE_FUNC(handshake_on_readable), handshake,
			      NULL);
	g_source_attach(handshake->readable, NULL);
	g_hash_table_add(handshakes->under_way, handshake);
}

/* ---- life ---- */

struct handshakes *handshakes_new(struct clock *clock, handshake_done_t done, void *data)
{
	struct handshakes *handshakes = g_new0(struct handshakes, 1);

	handshakes->clock = clock;
	handshakes->done = done;
	handshakes->data = data;
	handshakes->under_way = g_hash_table_new(NULL, NULL);
	return handshakes;
}

struct handshakes *handshakes_free(struct handshakes *handshakes)
{
	g_autoptr(GList) under_way = NULL;

	if (!handshakes)
		return NULL;

	under_way = g_hash_table_get_keys(handshakes->under_way);
	for (GList *i = under_way; i; i = i->next) {
		struct handshake *handshake = i->data;

		if (handshake->cancellable)
			g_cancellable_cancel(handshake->cancellable);
		else
			handshake_free(handshake);
	}
	while (g_hash_table_size(handshakes->under_way) > 0)
		g_main_context_iteration(NULL, TRUE);
	g_hash_table_unref(handshakes->under_way);
	g_clear_object(&handshakes->certificate);
	g_free(handshakes);
	return NULL;
}

void handshakes_use(struct handshakes *handshakes, GTlsCertificate *certificate)
{
	g_set_object(&handshakes->certificate, certificate);
}
