/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A connection is counted from the moment it is accepted, before any hello, so that peers that say
 * nothing are bounded too. One too many is told so and closed at once; no session is made for it.
 *
 * What the sessions hold is added up by principal as they tell it. Requests that wait for the disk
 * only need patience: no more are read meanwhile. But lines that never end and answers that are not
 * taken would stay, so there a session has to go. That is a timer's to do, in the next turn of the
 * loop, since the session that tells must not be freed.
 *
 * A guest came in by TLS: who it is its hello tells, by a token. Until then it is a stranger, in no
 * account, and strangers have a bound of their own, so that they take no place from those who are
 * known, and one for each network, so that they take none from strangers who come from elsewhere.
 * One too many is let in, and the one that has been silent longest goes. The hash of its token stays with it: when other tokens come into force, it is asked for
 * again.
 *
 * Accounts stay when their last connection has gone, so that coming and going does not bring a new
 * line in the log each time; there are no more of them than users and principals in tokens files.
 */

#include <string.h>

#include "base/log.h"
#include "network.h"
#include "server.h"
#include "session.h"
#include "throttle.h"
#include "wire/message.h"

/* A principal. */
struct account {
	unsigned int connections;
	struct session_held held;	/* by all of them */
	bool on_hold;
	uint64_t logged;		/* when the last line about it was written; 0: never */
	unsigned int unlogged;		/* what has happened since without a line */
};

/* What is known of a connection by TLS. */
struct guest {
	struct peer peer;
	struct session *session;
	struct network *network; /* of a stranger; NULL: it has said who it is */
	GList link;		/* of a stranger, among them */
	char token[TOKENS_HASH_SIZE]; /* the hash of the one that let it in */
};

struct server {
	struct session_env env;
	struct timer timer;	/* to evict */
	GHashTable *sessions;	/* struct session → struct guest, NULL of a unix socket */
	GQueue strangers;	/* struct guest: those of them without a principal, oldest first */
	GHashTable *networks;	/* name → struct network, of the strangers */
	unsigned int guests;	/* those by TLS with a principal */
	const struct tokens *tokens;
	struct throttle refusals; /* of strangers, in the log */
	GHashTable *clients;	/* "client principal" → struct session */
	GHashTable *accounts;	/* principal → struct account */
	void (*failed)(void *data, int error);
	void *failed_data;
	void (*counted)(void *data, unsigned int connections);
	void *counted_data;
};

static void guest_free(gpointer data)
{
	struct guest *guest = data;

	if (!guest)
		return;
	peer_deinit(&guest->peer);
	g_free(guest);
}

/* It has said who it is, or it goes. */
static void server_forget_stranger(struct server *server, struct guest *guest)
{
	g_queue_unlink(&server->strangers, &guest->link);
	networks_leave(server->networks, g_steal_pointer(&guest->network));
}

static void server_count(struct server *server)
{
	if (server->counted)
		server->counted(server->counted_data, g_hash_table_size(server->sessions));
}

static char *client_name(const struct session *session)
{
	return g_strconcat(session_client(session), " ", session_principal(session), NULL);
}

static struct account *server_account(struct server *server, const char *principal)
{
	struct account *account = g_hash_table_lookup(server->accounts, principal);

	if (!account) {
		account = g_new0(struct account, 1);
		g_hash_table_insert(server->accounts, g_strdup(principal), account);
	}
	return account;
}

/* One line, and then for a while none, however often @what happens. */
static void server_complain(struct server *server, const char *principal, const char *what)
{
	struct account *account = server_account(server, principal);
	uint64_t now = clock_monotonic(server->env.clock);

	if (account->logged && now < usec_add(account->logged, SERVER_LOG_USEC)) {
		account->unlogged++;
		return;
	}
	log_warning("A connection of %s %s; %u more since the last such line.", principal, what,
		    account->unlogged);
	account->logged = now;
	account->unlogged = 0;
}

/* ---- what a principal's connections hold ---- */

static bool server_is_of(struct server *server, const struct session *session,
			 const struct account *account)
{
	const char *principal = session_principal(session);

	return principal && server_account(server, principal) == account;
}

static void server_hold(struct server *server, struct account *account, bool hold)
{
	GHashTableIter iter;
	gpointer session;

	if (account->on_hold == hold)
		return;
	account->on_hold = hold;
	g_hash_table_iter_init(&iter, server->sessions);
	while (g_hash_table_iter_next(&iter, &session, NULL))
		if (server_is_of(server, session, account))
			session_hold(session, hold);
}

static void server_count_held(struct server *server, struct account *account,
			      const struct session_held *then, const struct session_held *now)
{
	account->held.requests += now->requests - then->requests;
	account->held.traffic += now->traffic - then->traffic;
	if (account->held.requests > SERVER_REQUEST_BYTES)
		server_hold(server, account, true);
	else if (account->held.requests <= SERVER_REQUEST_BYTES / 2)
		server_hold(server, account, false);
	if (account->held.traffic > SERVER_TRAFFIC_BYTES)
		timer_arm_in(&server->timer, 0);
}

static void server_on_held(void *data, struct session *session, const struct session_held *then,
			   const struct session_held *now)
{
	struct server *server = data;
	const char *principal = session_principal(session);

	/* What a stranger may hold is bounded by its session. */
	if (principal)
		server_count_held(server, server_account(server, principal), then, now);
}

/* Forget @session, which is to be freed now. */
static void server_remove(struct server *server, struct session *session)
{
	static const struct session_held nothing;
	const char *principal = session_principal(session);
	struct guest *guest = g_hash_table_lookup(server->sessions, session);

	if (session_client(session)) {
		g_autofree char *name = client_name(session);

		if (g_hash_table_lookup(server->clients, name) == session)
			g_hash_table_remove(server->clients, name);
	}
	if (guest && guest->network)
		server_forget_stranger(server, guest);
	else if (guest)
		server->guests--;
	g_hash_table_remove(server->sessions, session);
	if (principal) {
		struct account *account = server_account(server, principal);

		account->connections--;
		server_count_held(server, account, session_held(session), &nothing);
	}
	server_count(server);
}

static void server_drop(struct server *server, struct session *session)
{
	server_remove(server, session);
	session_free(session);
}

/* The session of @account that holds most. */
static struct session *server_hog(struct server *server, const struct account *account)
{
	struct session *hog = NULL;
	GHashTableIter iter;
	gpointer session;

	g_hash_table_iter_init(&iter, server->sessions);
	while (g_hash_table_iter_next(&iter, &session, NULL))
		if (server_is_of(server, session, account) &&
		    (!hog || session_held(session)->traffic > session_held(hog)->traffic))
			hog = session;
	return hog;
}

static void server_evict(void *data)
{
	static const struct session_refusal too_much = {
		.class = WIRE_CAPACITY,
		.why = "This user's connections hold too much of the parent's memory.",
		.retry_after = SERVER_RETRY_MSEC,
	};
	struct server *server = data;
	GHashTableIter iter;
	gpointer principal, value;

	g_hash_table_iter_init(&iter, server->accounts);
	while (g_hash_table_iter_next(&iter, &principal, &value)) {
		struct account *account = value;

		while (account->held.traffic > SERVER_TRAFFIC_BYTES) {
			struct session *hog = server_hog(server, account);

			server_complain(server, principal, "was ended: they hold too much memory");
			server_remove(server, hog);
			session_evict(hog, &too_much);
		}
	}
}

/* ---- what the sessions tell ---- */

static void server_on_hello(void *data, struct session *session)
{
	struct server *server = data;
	char *name = client_name(session);
	struct session *older = g_hash_table_lookup(server->clients, name);

	if (older) {
		log_debug("Client %s of %s connected anew; its older connection ends.",
			  session_client(session), session_principal(session));
		server_drop(server, older);
	} else {
		log_debug("Client %s of %s connected.", session_client(session),
			  session_principal(session));
	}
	g_hash_table_insert(server->clients, name, session);
}

static void server_on_ended(void *data, struct session *session, const char *why)
{
	struct server *server = data;
	const struct guest *guest = g_hash_table_lookup(server->sessions, session);
	const char *principal = session_principal(session);
	const char *client = session_client(session);

	log_debug("Connection of %s, client %s, ended: %s", principal ? principal : guest->peer.name,
		  client ? client : "unknown", why);
	server_drop(server, session);
}

static void server_on_read_failed(void *data, int error)
{
	struct server *server = data;

	if (server->failed)
		server->failed(server->failed_data, error);
}

void server_watch(struct server *server, void (*failed)(void *data, int error), void *data)
{
	server->failed = failed;
	server->failed_data = data;
}

/* ---- coming in ---- */

/* One write that the kernel takes or not: nobody waits for a peer that is not let in. */
static void server_refuse(GIOStream *stream)
{
	g_autoptr(GString) line = g_string_new(NULL);
	GPollableOutputStream *out =
		G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(stream));

	message_format_error(line, NULL, WIRE_CAPACITY, "The parent has too many connections.",
			     SERVER_RETRY_MSEC);
	g_pollable_output_stream_write_nonblocking(out, line->str, line->len, NULL, NULL);
	g_io_stream_close(stream, NULL, NULL);
}

/* Strangers do not count: they have a bound of their own. */
static bool server_is_full(const struct server *server, const struct account *account)
{
	return g_hash_table_size(server->sessions) - server->strangers.length >=
		       SERVER_CONNECTIONS ||
	       account->connections >= SERVER_CONNECTIONS_EACH;
}

/* With four tokens all places could be had. */
static bool server_is_full_of_guests(const struct server *server)
{
	return server->guests >= SERVER_CONNECTIONS - SERVER_CONNECTIONS_LOCAL;
}

void server_accepted(struct server *server, GIOStream *stream, const char *principal)
{
	struct account *account = server_account(server, principal);
	struct session *session;

	if (server_is_full(server, account)) {
		server_complain(server, principal, "was refused: too many");
		server_refuse(stream);
		return;
	}
	account->connections++;
	session = session_new(&server->env, stream, principal);
	session_hold(session, account->on_hold);
	g_hash_table_insert(server->sessions, session, NULL);
	server_count(server);
}

/* A line about a stranger, if there were not too many such. */
static void server_complain_of(struct server *server, const char *peer, const char *why)
{
	unsigned int untold;

	if (throttle_allows(&server->refusals, clock_monotonic(server->env.clock), &untold))
		log_warning("A connection from %s was refused: %s; %u more since the last such "
			    "line.",
			    peer, why, untold);
}

static void server_end_stranger(struct server *server, struct guest *guest, const char *why)
{
	static const struct session_refusal too_many = {
		.class = WIRE_CAPACITY,
		.why = "The parent has too many connections.",
		.retry_after = SERVER_RETRY_MSEC,
	};
	struct session *session = guest->session;

	server_complain_of(server, guest->peer.name, why);
	server_remove(server, session);
	session_evict(session, &too_many);
}

/* Return: the oldest stranger of @network, NULL: of the one that has most. */
static struct guest *server_surplus(const struct server *server, const char *network)
{
	struct guest *surplus = NULL;

	for (GList *i = server->strangers.head; i; i = i->next) {
		struct guest *guest = i->data;

		if (network && strcmp(guest->network->name, network) != 0)
			continue;
		if (!surplus || guest->network->members > surplus->network->members)
			surplus = guest;
	}
	return surplus;
}

static void server_make_room(struct server *server, const char *network)
{
	if (networks_members(server->networks, network) >= SERVER_STRANGERS_EACH)
		server_end_stranger(server, server_surplus(server, network),
				    "too many from its address that have not said who they are");
	else if (server->strangers.length >= SERVER_STRANGERS)
		server_end_stranger(server, server_surplus(server, NULL),
				    "too many that have not said who they are");
}

void server_accepted_guest(struct server *server, GIOStream *stream, const struct peer *peer)
{
	struct guest *guest = g_new0(struct guest, 1);

	server_make_room(server, peer->network);
	peer_copy(&guest->peer, peer);
	guest->session = session_new(&server->env, stream, NULL);
	guest->network = networks_join(server->networks, peer->network);
	guest->link.data = guest;
	g_queue_push_tail_link(&server->strangers, &guest->link);
	g_hash_table_insert(server->sessions, guest->session, guest);
	server_count(server);
}

/* Return: whom the token names, borrowed; else NULL and why. */
static const char *server_identify(const struct server *server, struct guest *guest,
				   const char *token, struct session_refusal *ret_refusal)
{
	const char *principal = NULL;

	ret_refusal->class = WIRE_AUTH;
	ret_refusal->why = token ? "This parent does not know the token."
				 : "This parent asks for a token; set TokenFile=.";
	if (token && server->tokens) {
		tokens_hash(token, guest->token);
		principal = tokens_principal(server->tokens, guest->token);
	}
	return principal;
}

static char *server_on_admit(void *data, struct session *session, const char *token,
			     struct session_refusal *ret_refusal)
{
	struct server *server = data;
	struct guest *guest = g_hash_table_lookup(server->sessions, session);
	const char *principal = server_identify(server, guest, token, ret_refusal);
	struct account *account;

	if (!principal) {
		server_complain_of(server, guest->peer.name, token ? "unknown token" : "no token");
		return NULL;
	}
	account = server_account(server, principal);
	if (server_is_full(server, account) || server_is_full_of_guests(server)) {
		server_complain(server, principal, "was refused: too many");
		ret_refusal->class = WIRE_CAPACITY;
		ret_refusal->why = "The parent has too many connections.";
		ret_refusal->retry_after = SERVER_RETRY_MSEC;
		return NULL;
	}
	server_forget_stranger(server, guest);
	server->guests++;
	account->connections++;
	account->held.requests += session_held(session)->requests;
	account->held.traffic += session_held(session)->traffic;
	session_hold(session, account->on_hold);
	return g_strdup(principal);
}

/* ---- tokens ---- */

/*
 * Return: NULL where @session may stay, else why it may not. Only a token that is gone is a matter
 * of "auth", which clients do not try again soon; with one that names somebody else they come in.
 */
static const struct session_refusal *guest_check(const struct session *session,
						 const struct guest *guest,
						 const struct tokens *tokens)
{
	static const struct session_refusal withdrawn = {
		.class = WIRE_AUTH,
		.why = "The token was withdrawn.",
	};
	static const struct session_refusal renamed = {
		.class = WIRE_TRANSIENT,
		.why = "The token names somebody else now.",
	};
	const char *principal = session_principal(session);
	const char *named;

	/* Of a unix socket, or a stranger still. */
	if (!guest || !principal)
		return NULL;
	named = tokens_principal(tokens, guest->token);
	if (!named)
		return &withdrawn;
	return strcmp(named, principal) == 0 ? NULL : &renamed;
}

void server_use_tokens(struct server *server, const struct tokens *tokens)
{
	g_autoptr(GList) sessions = g_hash_table_get_keys(server->sessions);

	server->tokens = tokens;
	for (GList *i = sessions; i; i = i->next) {
		struct session *session = i->data;
		const struct guest *guest = g_hash_table_lookup(server->sessions, session);
		const struct session_refusal *refusal = guest_check(session, guest, tokens);

		if (!refusal)
			continue;
		log_notice("A connection of %s from %s was ended: %s", session_principal(session),
			   guest->peer.name, refusal->why);
		server_remove(server, session);
		session_evict(session, refusal);
	}
}

/* ---- life ---- */

void server_watch_count(struct server *server,
			void (*counted)(void *data, unsigned int connections), void *data)
{
	server->counted = counted;
	server->counted_data = data;
}

struct server *server_new(struct clock *clock, struct committer *committer, struct reader *reader,
			  const char *epoch)
{
	static const struct session_ops ops = {
		.admit = server_on_admit,
		.hello = server_on_hello,
		.ended = server_on_ended,
		.held = server_on_held,
		.read_failed = server_on_read_failed,
	};
	struct server *server = g_new0(struct server, 1);

	server->env.clock = clock;
	server->env.committer = committer;
	server->env.reader = reader;
	server->env.epoch = epoch;
	server->env.ops = &ops;
	server->env.data = server;
	g_queue_init(&server->strangers);
	server->networks = networks_new();
	server->sessions = g_hash_table_new_full(NULL, NULL, NULL, guest_free);
	server->clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	server->accounts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	timer_init(&server->timer, clock, server_evict, server);
	return server;
}

struct server *server_free(struct server *server)
{
	g_autoptr(GList) sessions = NULL;

	if (!server)
		return NULL;

	sessions = g_hash_table_get_keys(server->sessions);
	for (GList *i = sessions; i; i = i->next)
		server_drop(server, i->data);
	g_hash_table_unref(server->sessions);
	g_hash_table_unref(server->networks);
	g_hash_table_unref(server->clients);
	g_hash_table_unref(server->accounts);
	timer_deinit(&server->timer);
	g_free(server);
	return NULL;
}
