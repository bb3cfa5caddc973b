/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A connection is counted from the moment it is accepted, before any hello, so that peers that say
 * nothing are bounded too. One too many is told so and closed at once; no session is made for it.
 */

#include <string.h>

#include "base/log.h"
#include "server.h"
#include "session.h"
#include "wire/message.h"

struct server {
	struct session_env env;
	GHashTable *sessions;	/* struct session, as a set */
	GHashTable *clients;	/* "client principal" → struct session */
	GHashTable *counts;	/* principal → connections */
	void (*failed)(void *data, int error);
	void *failed_data;
};

static char *client_name(const struct session *session)
{
	return g_strconcat(session_client(session), " ", session_principal(session), NULL);
}

static unsigned int server_count(struct server *server, const char *principal)
{
	return GPOINTER_TO_UINT(g_hash_table_lookup(server->counts, principal));
}

static void server_set_count(struct server *server, const char *principal, unsigned int count)
{
	if (count > 0)
		g_hash_table_insert(server->counts, g_strdup(principal), GUINT_TO_POINTER(count));
	else
		g_hash_table_remove(server->counts, principal);
}

static void server_drop(struct server *server, struct session *session)
{
	if (session_client(session)) {
		g_autofree char *name = client_name(session);

		if (g_hash_table_lookup(server->clients, name) == session)
			g_hash_table_remove(server->clients, name);
	}
	server_set_count(server, session_principal(session),
			 server_count(server, session_principal(session)) - 1);
	g_hash_table_remove(server->sessions, session);
	session_free(session);
}

static void server_on_hello(void *data, struct session *session)
{
	struct server *server = data;
	char *name = client_name(session);
	struct session *older = g_hash_table_lookup(server->clients, name);

	if (older) {
		log_info("Client %s of %s connected anew; its older connection ends.",
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
static void server_refuse(GIOStream *stream, const char *principal)
{
	g_autoptr(GString) line = g_string_new(NULL);
	GPollableOutputStream *out =
		G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(stream));

	log_info("A connection of %s was refused: too many.", principal);
	message_format_error(line, NULL, WIRE_CAPACITY, "The parent has too many connections.",
			     SERVER_RETRY_MSEC);
	g_pollable_output_stream_write_nonblocking(out, line->str, line->len, NULL, NULL);
	g_io_stream_close(stream, NULL, NULL);
}

void server_accepted(void *data, GIOStream *stream, const char *principal)
{
	struct server *server = data;
	unsigned int count = server_count(server, principal);

	if (g_hash_table_size(server->sessions) >= SERVER_CONNECTIONS ||
	    count >= SERVER_CONNECTIONS_EACH) {
		server_refuse(stream, principal);
		return;
	}
	server_set_count(server, principal, count + 1);
	g_hash_table_add(server->sessions, session_new(&server->env, stream, principal));
}

struct server *server_new(struct clock *clock, struct committer *committer, struct reader *reader,
			  const char *epoch)
{
	static const struct session_ops ops = {
		.hello = server_on_hello,
		.ended = server_on_ended,
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
	server->counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
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
	g_hash_table_unref(server->counts);
	g_free(server);
	return NULL;
}
