/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server's part in TLS, without TLS: guests are connections whose hello has to say who they
 * are, by a token. Over socket pairs, on a clock that stands still and a disk that works at once.
 */

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "holdfast-parentd/server.h"
#include "holdfast-parentd/session.h"
#include "holdfast-parentd/throttle.h"

#define ANNE "anne's token"
#define BERT "bert's token"
#define CARL "carl's token"
#define DORA "dora's token"

struct stage {
	char *directory;
	char *path;
	char *tokens_path;
	uint64_t now;
	struct clock *clock;
	struct worker *worker;
	struct database *db;
	struct ledger *ledger;
	struct reader *reader;
	struct committer *committer;
	struct server *server;
	struct tokens *tokens;
	unsigned int connections; /* as told last */
	GArray *peers;		  /* their ends */
};

static uint64_t stage_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct stage *)data)->now;
}

static void stage_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

static const struct clock_ops stage_clock = { .now = stage_now, .set_alarm = stage_alarm };

static void on_counted(void *data, unsigned int connections)
{
	((struct stage *)data)->connections = connections;
}

static void settle(struct stage *stage)
{
	do {
		while (g_main_context_iteration(NULL, FALSE))
			;
	} while (worker_step(stage->worker, 0));
}

/* Whom the tokens name; NULL: nobody. */
static void stage_use_tokens(struct stage *stage, const char *anne, const char *bert)
{
	const char *const named[][2] = { { ANNE, anne }, { BERT, bert }, { CARL, "carl" },
					 { DORA, "dora" } };
	struct tokens *before = stage->tokens;
	g_autoptr(GString) text = g_string_new(NULL);
	char hash[TOKENS_HASH_SIZE];
	char *why = NULL;

	for (unsigned int i = 0; i < G_N_ELEMENTS(named); i++) {
		tokens_hash(named[i][0], hash);
		if (named[i][1])
			g_string_append_printf(text, "sha256:%s %s\n", hash, named[i][1]);
	}
	g_assert_true(g_file_set_contents(stage->tokens_path, text->str, -1, NULL));
	g_assert_cmpint(tokens_load(stage->tokens_path, false, &stage->tokens, &why), ==, 0);
	server_use_tokens(stage->server, stage->tokens);
	tokens_free(before);
}

static void stage_set_up(struct stage *stage, gconstpointer unused)
{
	const struct plan_usage max = { 1000000, 1 << 30 };
	char *set_aside;

	(void)unused;
	stage->now = 1000 * USEC_PER_SEC;
	stage->directory = g_dir_make_tmp("parentd-XXXXXX", NULL);
	stage->path = g_build_filename(stage->directory, "db", NULL);
	stage->tokens_path = g_build_filename(stage->directory, "tokens", NULL);
	stage->peers = g_array_new(FALSE, FALSE, sizeof(int));
	stage->clock = clock_new(&stage_clock, stage);
	stage->worker = worker_new_manual();
	g_assert_cmpint(database_open(stage->path, 0, &stage->db, &set_aside), ==, 0);
	g_assert_cmpint(ledger_new(stage->db, &max, &stage->ledger), ==, 0);
	g_assert_cmpint(reader_new(stage->db, &stage->reader), ==, 0);
	stage->committer = committer_new(stage->worker, stage->ledger, stage->db);
	stage->server = server_new(stage->clock, stage->committer, stage->reader,
				   database_epoch(stage->db));
	server_watch_count(stage->server, on_counted, stage);
	stage_use_tokens(stage, "anne", "bert");
}

static void stage_tear_down(struct stage *stage, gconstpointer unused)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

	(void)unused;
	server_free(stage->server);
	settle(stage);
	g_assert_cmpuint(stage->connections, ==, 0);
	for (guint i = 0; i < stage->peers->len; i++)
		close(g_array_index(stage->peers, int, i));
	g_array_unref(stage->peers);
	committer_free(stage->committer);
	worker_free(stage->worker);
	reader_free(stage->reader);
	ledger_free(stage->ledger);
	database_close(stage->db);
	clock_free(stage->clock);
	tokens_free(stage->tokens);
	for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *name = g_strconcat(stage->path, suffixes[i], NULL);

		g_unlink(name);
	}
	g_unlink(stage->tokens_path);
	g_assert_cmpint(g_rmdir(stage->directory), ==, 0);
	g_free(stage->directory);
	g_free(stage->path);
	g_free(stage->tokens_path);
}

/* ---- peers ---- */

/* Return: our end of a new connection; @network NULL: of a unix socket. */
static int stage_accept(struct stage *stage, const char *principal, char *network)
{
	const struct peer peer = { .name = network, .network = network };
	g_autoptr(GSocketConnection) connection = NULL;
	g_autoptr(GSocket) socket = NULL;
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			==, 0);
	socket = g_socket_new_from_fd(pair[0], NULL);
	g_socket_set_blocking(socket, FALSE);
	connection = g_socket_connection_factory_create_connection(socket);
	if (network)
		server_accepted_guest(stage->server, G_IO_STREAM(connection), &peer);
	else
		server_accepted(stage->server, G_IO_STREAM(connection), principal);
	g_array_append_val(stage->peers, pair[1]);
	return pair[1];
}

/* @principal NULL: of a guest. */
static int stage_connect(struct stage *stage, const char *principal)
{
	char somewhere[] = "somewhere";

	return stage_accept(stage, principal, principal ? NULL : somewhere);
}

/* Of a guest, from the network that has @number. */
static int stage_connect_from(struct stage *stage, unsigned int number)
{
	g_autofree char *network = g_strdup_printf("network %u", number);

	return stage_accept(stage, NULL, network);
}

static void peer_say(struct stage *stage, int peer, const char *text)
{
	g_assert_cmpint(write(peer, text, strlen(text)), ==, (gssize)strlen(text));
	settle(stage);
}

/* Whether what @peer has to read contains @what. */
static bool peer_hears(struct stage *stage, int peer, const char *what)
{
	char text[4096];
	ssize_t n;

	settle(stage);
	n = read(peer, text, sizeof(text) - 1);
	text[MAX(n, 0)] = '\0';
	return strstr(text, what);
}

static bool peer_is_closed(struct stage *stage, int peer)
{
	char byte;

	settle(stage);
	return read(peer, &byte, 1) == 0;
}

static void peer_hello(struct stage *stage, int peer, unsigned int client, const char *token)
{
	g_autofree char *hello = g_strdup_printf("{\"type\":\"hello\",\"protocol\":1,"
						 "\"client\":\"%032x\",\"token\":\"%s\"}\n",
						 client, token);

	peer_say(stage, peer, hello);
}

static bool peer_lives(struct stage *stage, int peer)
{
	peer_say(stage, peer, "{\"type\":\"ping\",\"pingTime\":7}\n");
	return peer_hears(stage, peer, "\"pong\"");
}

/* ---- tests ---- */

/* Return: whether it is told that there are too many, and ended. */
static bool peer_is_sent_away(struct stage *stage, int peer)
{
	return peer_hears(stage, peer, "\"capacity\"") && peer_is_closed(stage, peer);
}

/* Those that say nothing take no place from those that are known. */
static void test_strangers(struct stage *stage, gconstpointer unused)
{
	unsigned int networks = SERVER_STRANGERS / SERVER_STRANGERS_EACH;
	int strangers[SERVER_STRANGERS], local, known;

	(void)unused;
	known = stage_connect(stage, NULL);
	peer_hello(stage, known, 1, ANNE);
	g_assert_true(peer_hears(stage, known, "\"welcome\""));
	for (unsigned int i = 0; i < SERVER_STRANGERS; i++)
		strangers[i] = stage_connect_from(stage, i % networks);
	g_assert_cmpuint(stage->connections, ==, SERVER_STRANGERS + 1);
	local = stage_connect(stage, "uid:1");
	peer_hello(stage, local, 1, "ignored");
	g_assert_true(peer_hears(stage, local, "\"welcome\""));
	g_assert_true(peer_lives(stage, known));
	/* None of them had to go for that. */
	g_assert_cmpuint(stage->connections, ==, SERVER_STRANGERS + 2);
	for (unsigned int i = 0; i < SERVER_STRANGERS; i++) {
		peer_hello(stage, strangers[i], i + 10, i % 2 ? ANNE : BERT);
		g_assert_true(peer_hears(stage, strangers[i], "\"welcome\""));
	}
}

/* Those of one network take no place from those of others, nor for ever from each other. */
static void test_strangers_of_a_network(struct stage *stage, gconstpointer unused)
{
	int many[SERVER_STRANGERS_EACH], other = stage_connect_from(stage, 2), more;

	(void)unused;
	for (unsigned int i = 0; i < SERVER_STRANGERS_EACH; i++)
		many[i] = stage_connect_from(stage, 1);
	g_assert_cmpuint(stage->connections, ==, SERVER_STRANGERS_EACH + 1);
	more = stage_connect_from(stage, 1);
	g_assert_true(peer_is_sent_away(stage, many[0]));
	g_assert_cmpuint(stage->connections, ==, SERVER_STRANGERS_EACH + 1);
	/* One that says who it is makes room for another, and so does one that is refused. */
	peer_hello(stage, more, 1, ANNE);
	g_assert_true(peer_hears(stage, more, "\"welcome\""));
	peer_hello(stage, many[1], 2, "a guess");
	g_assert_true(peer_hears(stage, many[1], "\"auth\""));
	g_assert_true(peer_is_closed(stage, many[1]));
	stage_connect_from(stage, 1);
	stage_connect_from(stage, 1);
	g_assert_cmpuint(stage->connections, ==, SERVER_STRANGERS_EACH + 2);
	for (unsigned int i = 2; i < SERVER_STRANGERS_EACH; i++) {
		peer_hello(stage, many[i], i + 1, BERT);
		g_assert_true(peer_hears(stage, many[i], "\"welcome\""));
	}
	peer_hello(stage, other, 99, BERT);
	g_assert_true(peer_hears(stage, other, "\"welcome\""));
}

/* Where all places are taken, who has just come gets one of the network that has most of them. */
static void test_strangers_of_many_networks(struct stage *stage, gconstpointer unused)
{
	int strangers[SERVER_STRANGERS], more;

	(void)unused;
	for (unsigned int i = 0; i < SERVER_STRANGERS - 2; i++)
		strangers[i] = stage_connect_from(stage, 100 + i);
	for (unsigned int i = SERVER_STRANGERS - 2; i < SERVER_STRANGERS; i++)
		strangers[i] = stage_connect_from(stage, 1);
	more = stage_connect_from(stage, 2);
	g_assert_true(peer_is_sent_away(stage, strangers[SERVER_STRANGERS - 2]));
	peer_hello(stage, more, 1, ANNE);
	g_assert_true(peer_hears(stage, more, "\"welcome\""));
	/* One is free. Once that is taken, and nobody has more than others, the oldest goes. */
	stage_connect_from(stage, 3);
	more = stage_connect_from(stage, 4);
	g_assert_true(peer_is_sent_away(stage, strangers[0]));
	for (unsigned int i = 1; i < SERVER_STRANGERS; i++) {
		if (i == SERVER_STRANGERS - 2)
			continue;
		peer_hello(stage, strangers[i], i + 1, i % 2 ? ANNE : BERT);
		g_assert_true(peer_hears(stage, strangers[i], "\"welcome\""));
	}
	peer_hello(stage, more, 999, BERT);
	g_assert_true(peer_hears(stage, more, "\"welcome\""));
}

static void test_network_names(void)
{
	static const char *const names[][2] = {
		{ "192.0.2.7", "192.0.2.7" },
		{ "::ffff:192.0.2.7", "192.0.2.7" },
		{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64" },
		{ "2001:db8:1:2:ffff::", "2001:db8:1:2::/64" },
		{ "2001:db8:1:3::6", "2001:db8:1:3::/64" },
		{ "::1", "::/64" },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autoptr(GInetAddress) address = g_inet_address_new_from_string(names[i][0]);
		g_autofree char *name = peer_network_name(address);

		g_assert_cmpstr(name, ==, names[i][1]);
	}
}

/* A principal's share is the same, whichever way its connections come in. */
static void test_share_of_a_principal(struct stage *stage, gconstpointer unused)
{
	int peer, first = -1;

	(void)unused;
	stage_use_tokens(stage, "uid:1", "bert");
	for (unsigned int i = 0; i < SERVER_CONNECTIONS_EACH; i++) {
		peer = stage_connect(stage, i % 2 ? "uid:1" : NULL);
		peer_hello(stage, peer, i + 1, ANNE);
		g_assert_true(peer_hears(stage, peer, "\"welcome\""));
		first = first < 0 ? peer : first;
	}
	peer = stage_connect(stage, NULL);
	peer_hello(stage, peer, 1000, ANNE);
	g_assert_true(peer_hears(stage, peer, "\"capacity\""));
	g_assert_true(peer_is_closed(stage, peer));
	peer = stage_connect(stage, "uid:1");
	g_assert_true(peer_hears(stage, peer, "\"capacity\""));
	peer = stage_connect(stage, NULL);
	peer_hello(stage, peer, 1000, BERT);
	g_assert_true(peer_hears(stage, peer, "\"welcome\""));
	g_assert_true(peer_lives(stage, first));
}

/* However many tokens there are, those of this machine come in. */
static void test_share_of_this_machine(struct stage *stage, gconstpointer unused)
{
	static const char *const tokens[] = { ANNE, BERT, CARL };
	int peer, first = -1;

	(void)unused;
	for (unsigned int i = 0; i < SERVER_CONNECTIONS - SERVER_CONNECTIONS_LOCAL; i++) {
		peer = stage_connect(stage, NULL);
		peer_hello(stage, peer, i + 1, tokens[i / SERVER_CONNECTIONS_EACH]);
		g_assert_true(peer_hears(stage, peer, "\"welcome\""));
		first = first < 0 ? peer : first;
	}
	peer = stage_connect(stage, NULL);
	peer_hello(stage, peer, 1, DORA);
	g_assert_true(peer_hears(stage, peer, "\"capacity\""));
	g_assert_true(peer_is_closed(stage, peer));
	for (unsigned int i = 0; i < SERVER_CONNECTIONS_LOCAL; i++) {
		peer = stage_connect(stage, i % 2 ? "uid:1" : "uid:2");
		peer_hello(stage, peer, i + 1, "ignored");
		g_assert_true(peer_hears(stage, peer, "\"welcome\""));
	}
	peer = stage_connect(stage, "uid:3");
	g_assert_true(peer_hears(stage, peer, "\"capacity\""));
	/* A guest that goes makes room for another. */
	g_assert_cmpint(shutdown(first, SHUT_RDWR), ==, 0);
	settle(stage);
	peer = stage_connect(stage, NULL);
	peer_hello(stage, peer, 1, DORA);
	g_assert_true(peer_hears(stage, peer, "\"welcome\""));
}

static void test_other_tokens(struct stage *stage, gconstpointer unused)
{
	int anne = stage_connect(stage, NULL), bert = stage_connect(stage, NULL);
	int stranger = stage_connect(stage, NULL), local = stage_connect(stage, "anne");

	(void)unused;
	peer_hello(stage, anne, 1, ANNE);
	g_assert_true(peer_hears(stage, anne, "\"welcome\""));
	peer_hello(stage, bert, 1, BERT);
	g_assert_true(peer_hears(stage, bert, "\"welcome\""));
	peer_hello(stage, local, 2, ANNE);
	g_assert_true(peer_hears(stage, local, "\"welcome\""));
	stage_use_tokens(stage, "carl", "bert");
	/* It may come again at once, as somebody else. */
	g_assert_true(peer_hears(stage, anne, "\"transient\""));
	g_assert_true(peer_is_closed(stage, anne));
	g_assert_true(peer_lives(stage, bert));
	/* Whom the kernel vouches for, and who has not said anything, stays. */
	g_assert_true(peer_lives(stage, local));
	peer_hello(stage, stranger, 1, ANNE);
	g_assert_true(peer_hears(stage, stranger, "\"welcome\""));
	g_assert_cmpuint(stage->connections, ==, 3);
	/* A token that is gone is gone for good. */
	stage_use_tokens(stage, "carl", NULL);
	g_assert_true(peer_hears(stage, bert, "\"auth\""));
	g_assert_true(peer_is_closed(stage, bert));
	g_assert_true(peer_lives(stage, stranger));
	g_assert_true(peer_lives(stage, local));
	g_assert_cmpuint(stage->connections, ==, 2);
}

/* Only of a stranger: of a client a line may be as long as the protocol has it. */
static void test_long_hello(struct stage *stage, gconstpointer unused)
{
	g_autofree char *text = g_strnfill(SESSION_HELLO_BYTES + 1, 'x');
	int stranger = stage_connect(stage, NULL), known = stage_connect(stage, NULL);

	(void)unused;
	for (size_t sent = 0; sent < strlen(text); settle(stage)) {
		ssize_t n = write(stranger, text + sent, strlen(text) - sent);

		sent += n > 0 ? (size_t)n : 0;
	}
	g_assert_true(peer_hears(stage, stranger, "\"transient\""));
	g_assert_true(peer_is_closed(stage, stranger));
	peer_hello(stage, known, 1, ANNE);
	g_assert_true(peer_hears(stage, known, "\"welcome\""));
	peer_say(stage, known, text);
	peer_say(stage, known, "\n");
	g_assert_true(peer_hears(stage, known, "\"error\""));
}

static void test_throttle(void)
{
	struct throttle throttle = { 0 };
	uint64_t now = 5;
	unsigned int untold = 99;

	for (unsigned int i = 0; i < THROTTLE_LINES; i++) {
		g_assert_true(throttle_allows(&throttle, now + i, &untold));
		g_assert_cmpuint(untold, ==, 0);
	}
	for (unsigned int i = 0; i < 7; i++)
		g_assert_false(throttle_allows(&throttle, now + THROTTLE_USEC - 1, &untold));
	g_assert_true(throttle_allows(&throttle, now + THROTTLE_USEC, &untold));
	g_assert_cmpuint(untold, ==, 7);
	g_assert_true(throttle_allows(&throttle, now + THROTTLE_USEC, &untold));
	g_assert_cmpuint(untold, ==, 0);
}

static void add(const char *path, void (*test)(struct stage *stage, gconstpointer unused))
{
	g_test_add(path, struct stage, NULL, stage_set_up, test, stage_tear_down);
}

int main(int argc, char **argv)
{
	struct rlimit files;

	g_test_init(&argc, &argv, NULL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 4096) {
		files.rlim_cur = MIN(files.rlim_max, 4096);
		setrlimit(RLIMIT_NOFILE, &files);
	}
	add("/parentd/guests/strangers", test_strangers);
	add("/parentd/guests/strangers-of-a-network", test_strangers_of_a_network);
	add("/parentd/guests/strangers-of-many-networks", test_strangers_of_many_networks);
	add("/parentd/guests/share-of-a-principal", test_share_of_a_principal);
	add("/parentd/guests/share-of-this-machine", test_share_of_this_machine);
	add("/parentd/guests/other-tokens", test_other_tokens);
	add("/parentd/guests/long-hello", test_long_hello);
	g_test_add_func("/parentd/peer/network-names", test_network_names);
	g_test_add_func("/parentd/throttle", test_throttle);
	return g_test_run();
}
