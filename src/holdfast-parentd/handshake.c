/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * glib-networking runs each handshake on a thread of GLib's task pool, and a peer that falls silent
 * in the middle of it keeps that thread. The pool has ten, and adds to them only for a while and
 * only when tasks begin, so that whoever holds those ten stops everybody else's handshakes, and all
 * else that GIO does on threads. Hence three bounds:
 *
 * A handshake is not begun before the peer's first record is there in full. The kernel wakes us for
 * it (SO_RCVLOWAT), so whoever sends nothing, half of it, or no TLS at all never gets a thread.
 *
 * Fewer handshakes than the pool has threads are in it at a time, and only some of one network. The
 * others are ready and wait here. The next thread is for one of the network that has the fewest of
 * them, and of those for the newest: those that hang were there before. While a network waits for
 * its first, whoever has had a thread longest has to give it up after a while: peers that hang come
 * from many networks, too.
 *
 * What has no thread is held by bounds on how many there may be. One more is let in all the same,
 * and the oldest of the network that has most is given up: who has just come is more likely to go
 * on than who has been silent longest.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "handshake.h"
#include "network.h"
#include "throttle.h"

#define RECORD_HEADER_BYTES 5	      /* type, version (2), length (2) */
#define RECORD_HANDSHAKE    22	      /* the type of a client's first record … */
#define CLIENT_HELLO	    1	      /* … and the first byte of its content */
#define RECORD_MAX_BYTES    (1 << 14) /* of its content, RFC 8446 5.1 */

struct handshakes {
	struct clock *clock;
	handshake_done_t done;
	void *data;
	GTlsCertificate *certificate;
	GHashTable *networks; /* name → struct network, of those under way */
	GQueue under_way;     /* struct handshake, oldest first */
	unsigned int threads; /* that they have */
	struct timer turn;    /* while some wait for a thread that others have to give up */
	struct throttle log;
};

/* First it waits for its record, then for a thread, then for the thread to end. */
struct handshake {
	struct handshakes *owner;
	GSocketConnection *connection;
	struct peer peer;
	struct network *network;
	GList link; /* of those under way */
	struct timer deadline;
	GSource *readable;	   /* until its first record is there, then NULL */
	GCancellable *cancellable; /* NULL: it has no thread */
	bool awaits_record;	   /* its header has been seen */
	uint64_t began;		   /* monotonic usec: when it got its thread */
	const char *cut;	   /* why its thread was told to end; NULL: it was not */
};

static void complain(struct handshakes *handshakes, const char *peer, const char *why)
{
	unsigned int untold;

	if (throttle_allows(&handshakes->log, clock_monotonic(handshakes->clock), &untold))
		log_info("No TLS connection with %s: %s (%u more since the last such line).", peer,
			 why, untold);
}

static void handshake_free(struct handshake *handshake)
{
	struct handshakes *owner = handshake->owner;

	if (handshake->cancellable) {
		owner->threads--;
		handshake->network->threads--;
	}
	networks_leave(owner->networks, handshake->network);
	g_queue_unlink(&owner->under_way, &handshake->link);
	timer_deinit(&handshake->deadline);
	if (handshake->readable) {
		g_source_destroy(handshake->readable);
		g_source_unref(handshake->readable);
	}
	g_clear_object(&handshake->cancellable);
	g_object_unref(handshake->connection);
	peer_deinit(&handshake->peer);
	g_free(handshake);
}

static void handshake_fail(struct handshake *handshake, const char *why)
{
	complain(handshake->owner, handshake->peer.name, why);
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

/* Return: NULL, or why there is no connection. */
static const char *handshake_outcome(const struct handshake *handshake, GTlsConnection *connection,
				     GAsyncResult *result, GError **error)
{
	if (!g_tls_connection_handshake_finish(connection, result, error))
		return handshake->cut ? handshake->cut : (*error)->message;
	if (!version_fine(connection))
		return "its version is older than TLS 1.3";
	return NULL;
}

static void handshakes_hand_out(struct handshakes *handshakes);

static void handshake_on_done(GObject *source, GAsyncResult *result, gpointer data)
{
	struct handshake *handshake = data;
	struct handshakes *owner = handshake->owner;
	g_autoptr(GError) error = NULL;
	const char *why = handshake_outcome(handshake, G_TLS_CONNECTION(source), result, &error);

	if (why) {
		handshake_fail(handshake, why);
	} else {
		struct peer peer = handshake->peer;

		handshake->peer = (struct peer){ 0 };
		handshake_free(handshake);
		owner->done(owner->data, G_IO_STREAM(source), &peer);
		peer_deinit(&peer);
	}
	handshakes_hand_out(owner);
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
	owner->threads++;
	handshake->network->threads++;
	handshake->began = clock_monotonic(owner->clock);
	g_tls_connection_handshake_async(G_TLS_CONNECTION(stream), G_PRIORITY_DEFAULT,
					 handshake->cancellable, handshake_on_done, handshake);
}

static bool handshake_is_ready(const struct handshake *handshake)
{
	return !handshake->readable && !handshake->cancellable;
}

/* Return: which is to have the next thread; NULL: none may. */
static struct handshake *handshakes_next(const struct handshakes *handshakes)
{
	unsigned int fewest = HANDSHAKE_THREADS_EACH;
	struct handshake *next = NULL;

	for (GList *i = handshakes->under_way.tail; i; i = i->prev) {
		struct handshake *handshake = i->data;

		if (!handshake_is_ready(handshake) || handshake->network->threads >= fewest)
			continue;
		fewest = handshake->network->threads;
		next = handshake;
	}
	return next;
}

static void handshake_cut(struct handshake *handshake, const char *why)
{
	if (handshake->cut)
		return;
	handshake->cut = why;
	g_cancellable_cancel(handshake->cancellable);
}

/* Return: which has had a thread longest; NULL: one is about to give its own up. */
static struct handshake *handshakes_longest(const struct handshakes *handshakes)
{
	struct handshake *longest = NULL;

	for (GList *i = handshakes->under_way.head; i; i = i->next) {
		struct handshake *handshake = i->data;

		if (handshake->cut)
			return NULL;
		if (handshake->cancellable && (!longest || handshake->began < longest->began))
			longest = handshake;
	}
	return longest;
}

static void handshakes_take_turns(void *data)
{
	struct handshakes *handshakes = data;
	const struct handshake *next = handshakes_next(handshakes);
	struct handshake *longest = handshakes_longest(handshakes);
	uint64_t until;

	timer_disarm(&handshakes->turn);
	if (!next || next->network->threads > 0 || !longest)
		return;
	until = usec_add(longest->began, HANDSHAKE_TURN_USEC);
	if (clock_monotonic(handshakes->clock) >= until)
		handshake_cut(longest, "it took too long while others waited");
	else
		timer_arm(&handshakes->turn, until);
}

static void handshakes_hand_out(struct handshakes *handshakes)
{
	struct handshake *next;

	while (handshakes->threads < HANDSHAKE_THREADS && (next = handshakes_next(handshakes)))
		handshake_start(next);
	handshakes_take_turns(handshakes);
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
	handshakes_hand_out(handshake->owner);
	return G_SOURCE_REMOVE;
}

static void handshake_on_deadline(void *data)
{
	struct handshake *handshake = data;

	if (handshake->cancellable)
		handshake_cut(handshake, "it took too long");
	else
		handshake_fail(handshake, "it took too long");
}

/*
 * Those with a thread have to be told, and their threads to end, before they are gone; and there
 * are always some without, as fewer may have one than may be under way.
 *
 * Return: the oldest of @network, NULL: of the one that has most.
 */
static struct handshake *handshakes_surplus(const struct handshakes *handshakes,
					    const char *network)
{
	struct handshake *surplus = NULL;

	for (GList *i = handshakes->under_way.head; i; i = i->next) {
		struct handshake *handshake = i->data;

		if (handshake->cancellable ||
		    (network && strcmp(handshake->network->name, network) != 0))
			continue;
		if (!surplus || handshake->network->members > surplus->network->members)
			surplus = handshake;
	}
	return surplus;
}

static void handshakes_make_room(struct handshakes *handshakes, const char *network)
{
	G_STATIC_ASSERT(HANDSHAKES_EACH > HANDSHAKE_THREADS_EACH);
	G_STATIC_ASSERT(HANDSHAKES > HANDSHAKE_THREADS);

	if (networks_members(handshakes->networks, network) >= HANDSHAKES_EACH)
		handshake_fail(handshakes_surplus(handshakes, network),
			       "too many others from its address are at it");
	else if (handshakes->under_way.length >= HANDSHAKES)
		handshake_fail(handshakes_surplus(handshakes, NULL), "too many others are at it");
}

void handshakes_begin(struct handshakes *handshakes, GSocketConnection *connection)
{
	GSocket *socket = g_socket_connection_get_socket(connection);
	struct handshake *handshake = g_new0(struct handshake, 1);

	handshake->owner = handshakes;
	handshake->connection = g_object_ref(connection);
	peer_init(&handshake->peer, connection);
	handshakes_make_room(handshakes, handshake->peer.network);
	handshake->network = networks_join(handshakes->networks, handshake->peer.network);
	handshake->link.data = handshake;
	g_queue_push_tail_link(&handshakes->under_way, &handshake->link);
	timer_init(&handshake->deadline, handshakes->clock, handshake_on_deadline, handshake);
	timer_arm_in(&handshake->deadline, HANDSHAKE_USEC);
	await_bytes(g_socket_get_fd(socket), RECORD_HEADER_BYTES + 1);
	handshake->readable = g_socket_create_source(socket, G_IO_IN, NULL);
	g_source_set_callback(handshake->readable, G_SOURCE_FUNC(handshake_on_readable), handshake,
			      NULL);
	g_source_attach(handshake->readable, NULL);
}

/* ---- life ---- */

struct handshakes *handshakes_new(struct clock *clock, handshake_done_t done, void *data)
{
	struct handshakes *handshakes = g_new0(struct handshakes, 1);

	handshakes->clock = clock;
	handshakes->done = done;
	handshakes->data = data;
	handshakes->networks = networks_new();
	timer_init(&handshakes->turn, clock, handshakes_take_turns, handshakes);
	g_queue_init(&handshakes->under_way);
	return handshakes;
}

struct handshakes *handshakes_free(struct handshakes *handshakes)
{
	GList *next;

	if (!handshakes)
		return NULL;

	for (GList *i = handshakes->under_way.head; i; i = next) {
		struct handshake *handshake = i->data;

		next = i->next;
		if (handshake->cancellable)
			g_cancellable_cancel(handshake->cancellable);
		else
			handshake_free(handshake);
	}
	while (handshakes->under_way.length > 0)
		g_main_context_iteration(NULL, TRUE);
	timer_deinit(&handshakes->turn);
	g_hash_table_unref(handshakes->networks);
	g_clear_object(&handshakes->certificate);
	g_free(handshakes);
	return NULL;
}

void handshakes_use(struct handshakes *handshakes, GTlsCertificate *certificate)
{
	g_set_object(&handshakes->certificate, certificate);
}
