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
 * Accounts stay when their last connection has gone, so that coming and going does not bring a new
 * line in the log each time; there are no more of them than users.
 */

#include <string.h>

#include "base/log.h"
#include "server.h"
#include "session.h"
#include "wire/message.h"

/* A principal. */
struct account {
	unsigned int connections;
	struct session_held held;	/* by all of them */
	bool on_hold;
	uint64_t logged;		/* when the last line about it was written; 0: never */
	unsigned int unlogged;		/* what has happened since without a line */
};

struct server {
	struct session_env env;
	struct timer timer;	/* to evict */
	GHashTable *sessions;	/* struct session, as a set */
	GHashTable *clients;	/* "client principal" → struct session */
	GHashTable *accounts;	/* principal → struct account */
	void (*failed)(void *data, int error);
	void *failed_data;
};

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

static void server_hold(struct server *server, struct account *account, bool hold)
{
	GHashTableIter iter;
	gpointer session;

	if (account->on_hold == hold)
		return;
	account->on_hold = hold;
	g_hash_table_iter_init(&iter, server->sessions);
	while (g_hash_table_iter_next(&iter, &session, NULL))
		if (server_account(server, session_principal(session)) == account)
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

	server_count_held(server, server_account(server, session_principal(session)), then, now);
}

/* Forget @session, which is to be freed now. */
static void server_remove(struct server *server, struct session *session)
{
	static const struct session_held nothing;
	struct account *account = server_account(server, session_principal(session));

	if (session_client(session)) {
		g_autofree char *name = client_name(session);

		if (g_hash_table_lookup(server->clients, name) == session)
			g_hash_table_remove(server->clients, name);
	}
	g_hash_table_remove(server->sessions, session);
	account->connections--;
	server_count_held(server, account, session_held(session), &nothing);
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
		if (server_account(server, session_principal(session)) == account &&
		    (!hog || session_held(session)->traffic > session_held(hog)->traffic))
			hog = session;
	return hog;
}

static void server_evict(void *data)
{
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
			session_evict(hog, SERVER_RETRY_MSEC);
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
	const char *client = session_client(session);

	log_debug("Connection of %s, client %s, ended: %s", session_principal(session),
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

/* One write that the kernel takes or not: nobody waits for a peer that is not let in. */
static void server_refuse(struct server *server, GIOStream *stream, const char *principal)
{
	g_autoptr(GString) line = g_string_new(NULL);
	GPollableOutputStream *out =
		G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(stream));

	server_complain(server, principal, "was refused: too many");
	message_format_error(line, NULL, WIRE_CAPACITY, "The parent has too many connections.",
			     SERVER_RETRY_MSEC);
	g_pollable_output_stream_write_nonblocking(out, line->str, line->len, NULL, NULL);
	g_io_stream_close(stream, NULL, NULL);
}

void server_accepted(void *data, GIOStream *stream, const char *principal)
{
	struct server *server = data;
	struct account *account = server_account(server, principal);
	struct session *session;

	if (g_hash_table_size(server->sessions) >= SERVER_CONNECTIONS ||
	    account->connections >= SERVER_CONNECTIONS_EACH) {
		server_refuse(server, stream, principal);
		return;
	}
	account->connections++;
	session = session_new(&server->env, stream, principal);
	session_hold(session, account->on_hold);
	g_hash_table_add(server->sessions, session);
}

struct server *server_new(struct clock *clock, struct committer *committer, struct reader *reader,
			  const char *epoch)
{
	static const struct session_ops ops = {
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
	server->sessions = g_hash_table_new(NULL, NULL);
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
	g_hash_table_unref(server->clients);
	g_hash_table_unref(server->accounts);
	timer_deinit(&server->timer);
	g_free(server);
	return NULL;
}
