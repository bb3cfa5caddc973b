/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parts of holdfast-parentd that wait, on a clock and a disk the test moves: a session at one
 * end of a socket pair, its committer on a worker that runs a transaction only when told to, or
 * fails it.
 */

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "holdfast-parentd/committer.h"
#include "holdfast-parentd/server.h"
#include "holdfast-parentd/session.h"

#define ONE "00000000000000000000000000000001"
#define HELLO "{\"type\":\"hello\",\"protocol\":1,\"client\":\"" ONE "\",\"features\":[]}\n"
#define GET "{\"type\":\"getFromParentStorage\",\"requestId\":\"g\",\"area\":\"a\",\"key\":\"k\"}\n"

struct stage {
	char *directory;
	char *path;
	uint64_t now;
	struct clock *clock;
	struct worker *worker;
	struct database *db;
	struct ledger *ledger;
	struct reader *reader;
	struct committer *committer;
	struct session_env env;
	struct session *session;
	int peer;
	unsigned int hellos;
	struct session_held held; /* as told last */
	char *ended;	/* why */
	int disk;	/* what the committer said last, 1: nothing yet */
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

static void on_hello(void *data, struct session *session)
{
	struct stage *stage = data;

	g_assert_true(session == stage->session);
	g_assert_cmpstr(session_client(session), ==, ONE);
	stage->hellos++;
}

static void on_ended(void *data, struct session *session, const char *why)
{
	struct stage *stage = data;

	g_assert_true(session == stage->session);
	g_assert_null(stage->ended);
	stage->ended = g_strdup(why);
	stage->session = session_free(session);
}

static void on_held(void *data, struct session *session, const struct session_held *then,
		    const struct session_held *now)
{
	struct stage *stage = data;

	g_assert_true(session == stage->session);
	g_assert_cmpmem(then, sizeof(*then), &stage->held, sizeof(stage->held));
	g_assert_cmpmem(now, sizeof(*now), session_held(session), sizeof(*now));
	stage->held = *now;
}

static void on_read_failed(void *data, int error)
{
	(void)data;
	g_error("reading failed: %d", error);
}

static const struct session_ops stage_ops = {
	.hello = on_hello,
	.ended = on_ended,
	.held = on_held,
	.read_failed = on_read_failed,
};

static void on_disk(void *data, int error)
{
	((struct stage *)data)->disk = error;
}

static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

/* Return: our end of a new connection, to be freed. */
static GSocketConnection *connect_pair(int *ret_peer)
{
	g_autoptr(GSocket) socket = NULL;
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			==, 0);
	socket = g_socket_new_from_fd(pair[0], NULL);
	g_assert_nonnull(socket);
	g_socket_set_blocking(socket, FALSE);
	*ret_peer = pair[1];
	return g_socket_connection_factory_create_connection(socket);
}

static void stage_connect(struct stage *stage)
{
	g_autoptr(GSocketConnection) connection = connect_pair(&stage->peer);

	memset(&stage->held, 0, sizeof(stage->held));
	stage->session = session_new(&stage->env, G_IO_STREAM(connection), "uid:1");
}

static void stage_set_up(struct stage *stage, gconstpointer unused)
{
	const struct plan_usage max = { 1000000, 1 << 30 };
	char *set_aside;

	(void)unused;
	stage->now = 1000 * USEC_PER_SEC;
	stage->disk = 1;
	stage->directory = g_dir_make_tmp("parentd-XXXXXX", NULL);
	stage->path = g_build_filename(stage->directory, "db", NULL);
	stage->clock = clock_new(&stage_clock, stage);
	stage->worker = worker_new_manual();
	g_assert_cmpint(database_open(stage->path, 0, &stage->db, &set_aside), ==, 0);
	g_assert_null(set_aside);
	g_assert_cmpint(ledger_new(stage->db, &max, &stage->ledger), ==, 0);
	g_assert_cmpint(reader_new(stage->db, &stage->reader), ==, 0);
	stage->committer = committer_new(stage->worker, stage->ledger, stage->db);
	committer_watch(stage->committer, on_disk, stage);
	stage->env = (struct session_env){
		.clock = stage->clock,
		.committer = stage->committer,
		.reader = stage->reader,
		.epoch = database_epoch(stage->db),
		.ops = &stage_ops,
		.data = stage,
	};
	stage_connect(stage);
}

static void stage_tear_down(struct stage *stage, gconstpointer unused)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

	(void)unused;
	session_free(stage->session);
	committer_free(stage->committer);
	worker_free(stage->worker);
	reader_free(stage->reader);
	ledger_free(stage->ledger);
	database_close(stage->db);
	clock_free(stage->clock);
	close(stage->peer);
	for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *file = g_strconcat(stage->path, suffixes[i], NULL);

		g_remove(file);
	}
	g_assert_cmpint(g_rmdir(stage->directory), ==, 0);
	g_free(stage->directory);
	g_free(stage->path);
	g_free(stage->ended);
}

static void stage_advance(struct stage *stage, uint64_t usec)
{
	stage->now += usec;
	clock_dispatch(stage->clock);
	settle();
}

static void peer_say(int peer, const char *text)
{
	g_assert_cmpint(write(peer, text, strlen(text)), ==, (ssize_t)strlen(text));
	settle();
}

static void stage_say(struct stage *stage, const char *text)
{
	peer_say(stage->peer, text);
}

/* What has come so far; "" for nothing. */
static char *peer_hear(int peer)
{
	char *text = g_malloc0(1 << 20);
	ssize_t n;

	settle();
	n = read(peer, text, (1 << 20) - 1);
	if (n < 0)
		g_assert_cmpint(errno, ==, EAGAIN);
	return text;
}

static char *stage_hear(struct stage *stage)
{
	return peer_hear(stage->peer);
}

static void assert_hears(struct stage *stage, const char *part)
{
	g_autofree char *text = stage_hear(stage);

	if (part ? !strstr(text, part) : text[0] != '\0')
		g_error("heard '%s', wanted '%s'", text, part ? part : "");
}

static void stage_commit(struct stage *stage, int inject)
{
	g_assert_true(worker_step(stage->worker, inject));
	settle();
}

static void stage_welcome(struct stage *stage)
{
	stage_say(stage, HELLO);
	stage_commit(stage, 0);
	assert_hears(stage, "\"welcome\"");
}

static char *batch_line(unsigned int number, const char *value)
{
	return g_strdup_printf("{\"type\":\"batch\",\"requestId\":\"b%u\",\"batch\":%u,"
			       "\"id\":\"%032x\",\"ops\":[{\"type\":\"saveToParentStorage\","
			       "\"area\":\"a\",\"key\":\"k\",\"value\":\"%s\"}]}\n",
			       number, number, number, value);
}

static void stage_say_batch(struct stage *stage, unsigned int number, const char *value)
{
	g_autofree char *line = batch_line(number, value);

	stage_say(stage, line);
}

/* ---- tests ---- */

static void test_no_hello(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_advance(stage, 2 * USEC_PER_SEC - 1);
	g_assert_null(stage->ended);
	stage_advance(stage, 1);
	g_assert_cmpstr(stage->ended, ==, "no hello in time");
	g_assert_cmpuint(stage->hellos, ==, 0);
}

static void test_hello_in_time(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_advance(stage, 2 * USEC_PER_SEC - 1);
	stage_say(stage, HELLO);
	g_assert_cmpuint(stage->hellos, ==, 1);
	/* The disk may take its time. */
	stage_advance(stage, 100 * USEC_PER_SEC);
	assert_hears(stage, NULL);
	stage_commit(stage, 0);
	assert_hears(stage, "\"lastBatch\":0");
	stage_advance(stage, 10000 * USEC_PER_SEC);
	g_assert_null(stage->ended);
}

static void test_welcome_whatever_the_disk(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_say(stage, HELLO);
	stage_commit(stage, -ENOSPC);
	assert_hears(stage, "\"lastBatch\":0");
}

static void test_ack_waits_for_the_disk(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_welcome(stage);
	stage_say_batch(stage, 1, "v");
	stage_say(stage, GET);
	assert_hears(stage, NULL);
	/* A pong does not wait. */
	stage_say(stage, "{\"type\":\"ping\",\"pingTime\":4}\n");
	assert_hears(stage, "\"pong\"");
	stage_commit(stage, 0);
	assert_hears(stage, "\"results\":[{\"revision\":1}]}\n{\"type\":\"storageResponse\"");
}

static void test_group_commit(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_welcome(stage);
	for (unsigned int i = 1; i <= 20; i++)
		stage_say_batch(stage, i, "v");
	/* The first went alone; all that came while it ran go together. */
	stage_commit(stage, 0);
	assert_hears(stage, "\"batch\":1,");
	stage_commit(stage, 0);
	assert_hears(stage, "\"batch\":20,");
	g_assert_false(worker_step(stage->worker, 0));
}

static void test_disk_failure(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_welcome(stage);
	stage_say_batch(stage, 1, "v");
	stage_commit(stage, -ENOSPC);
	assert_hears(stage, "\"requestId\":\"b1\",\"class\":\"capacity\"");
	g_assert_cmpint(stage->disk, ==, -ENOSPC);
	stage_say_batch(stage, 1, "v");
	stage_commit(stage, -EIO);
	assert_hears(stage, "\"class\":\"transient\"");
	g_assert_cmpint(stage->disk, ==, -EIO);
	stage_say(stage, GET);
	assert_hears(stage, "\"value\":null,\"revision\":0");
	stage_say_batch(stage, 1, "v");
	stage_commit(stage, 0);
	assert_hears(stage, "\"duplicate\":false");
	g_assert_cmpint(stage->disk, ==, 0);
}

/* What the disk has no room for does not take with it what came in the same transaction. */
static void test_disk_full_for_one(struct stage *stage, gconstpointer unused)
{
	g_autofree char *value = g_strnfill(100000, 'x');
	struct rlimit old, small;

	(void)unused;
	stage_welcome(stage);
	stage_say_batch(stage, 1, "v");
	stage_say_batch(stage, 2, value);
	stage_say(stage, "{\"type\":\"saveToParentStorage\",\"requestId\":\"s\","
			 "\"area\":\"a\",\"key\":\"k\",\"value\":\"small\"}\n");
	stage_commit(stage, 0);
	assert_hears(stage, "\"batch\":1,");

	g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
	small = (struct rlimit){ .rlim_cur = 80000, .rlim_max = old.rlim_max };
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
	stage_commit(stage, 0);
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
	assert_hears(stage, "\"requestId\":\"b2\",\"class\":\"capacity\"");
	g_assert_cmpint(stage->disk, ==, -ENOSPC);
	stage_say(stage, GET);
	assert_hears(stage, "\"value\":\"small\",\"revision\":2");
}

/* The peer of an older connection: what it submitted is applied, and nothing is told of it. */
static void test_freed_while_committing(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_welcome(stage);
	stage_say_batch(stage, 1, "v");
	stage->session = session_free(stage->session);
	close(stage->peer);
	stage_connect(stage);
	stage_say(stage, HELLO);
	stage_commit(stage, 0);
	assert_hears(stage, NULL);
	stage_commit(stage, 0);
	assert_hears(stage, "\"lastBatch\":1");
}

static void stage_fill(struct stage *stage)
{
	g_autofree char *value = g_strnfill(500000, 'x');

	/* More than a socket takes at once: it has to come in parts. */
	g_autofree char *line = batch_line(1, value);
	size_t sent = 0;

	while (sent < strlen(line)) {
		ssize_t n = write(stage->peer, line + sent, strlen(line) - sent);

		if (n > 0)
			sent += (size_t)n;
		settle();
	}
	stage_commit(stage, 0);
	assert_hears(stage, "\"batchAck\"");
	for (unsigned int i = 0; i < 10; i++)
		stage_say(stage, GET);
}

static void test_peer_does_not_read(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_welcome(stage);
	stage_fill(stage);
	/* The first look finds what the socket's buffer has taken. */
	stage_advance(stage, SESSION_STALL_USEC);
	stage_advance(stage, SESSION_STALL_USEC - 1);
	g_assert_null(stage->ended);
	stage_advance(stage, 1);
	g_assert_cmpstr(stage->ended, ==, "the peer does not read its answers");
}

static void test_peer_reads_slowly(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_welcome(stage);
	stage_fill(stage);
	for (unsigned int i = 0; i < 50; i++) {
		g_free(stage_hear(stage));
		stage_advance(stage, SESSION_STALL_USEC - 1);
		g_assert_null(stage->ended);
	}
	stage_advance(stage, 100 * SESSION_STALL_USEC);
	g_assert_null(stage->ended);
	stage_say(stage, GET);
	g_free(stage_hear(stage));
}

/* What a session holds is told as it comes and as it goes. */
static void test_tells_what_it_holds(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	stage_welcome(stage);
	g_assert_cmpuint(stage->held.requests, ==, 0);
	g_assert_cmpuint(stage->held.traffic, ==, 0);
	stage_say(stage, "{\"half\":");
	g_assert_cmpuint(stage->held.traffic, ==, strlen("{\"half\":"));
	stage_say(stage, "1}\n");
	g_free(stage_hear(stage));
	g_assert_cmpuint(stage->held.traffic, ==, 0);
	stage_say_batch(stage, 1, "v");
	/* A dozen values. */
	g_assert_cmpuint(stage->held.requests, >, 12 * 100);
	stage_commit(stage, 0);
	assert_hears(stage, "batchAck");
	g_assert_cmpuint(stage->held.requests, ==, 0);
	g_assert_cmpuint(stage->held.traffic, ==, 0);
}

/* On hold nothing is read but the hello, and afterwards all of it. */
static void test_on_hold(struct stage *stage, gconstpointer unused)
{
	(void)unused;
	session_hold(stage->session, true);
	stage_say(stage, HELLO "{\"type\":\"ping\",\"pingTime\":1}\n");
	stage_commit(stage, 0);
	assert_hears(stage, "\"welcome\"");
	assert_hears(stage, NULL);
	session_hold(stage->session, false);
	assert_hears(stage, "\"pong\"");
}

/* ---- many sessions ---- */

#define PEERS 6 /* the last one of another principal */

static char *heavy_line(unsigned int number)
{
	GString *line = g_string_new(NULL);

	/* Some twenty megabytes to json-glib. */
	g_string_printf(line, "{\"type\":\"batch\",\"requestId\":\"b\",\"batch\":%u,\"id\":\"" ONE
			      "\",\"ops\":[],\"x\":[0", number);
	for (unsigned int i = 0; i < 64000; i++)
		g_string_append(line, ",0");
	g_string_append(line, "]}\n");
	return g_string_free(line, FALSE);
}

static struct server *peers_connect(struct stage *stage, int *peers)
{
	struct server *server = server_new(stage->clock, stage->committer, stage->reader,
					   database_epoch(stage->db));

	for (unsigned int i = 0; i < PEERS; i++) {
		g_autoptr(GSocketConnection) connection = connect_pair(&peers[i]);
		g_autofree char *hello = g_strdup_printf(
			"{\"type\":\"hello\",\"protocol\":1,\"client\":\"%032x\"}\n", i + 1);
		g_autofree char *text = NULL;

		server_accepted(server, G_IO_STREAM(connection), i < PEERS - 1 ? "uid:1" : "uid:2");
		peer_say(peers[i], hello);
		stage_commit(stage, 0);
		text = peer_hear(peers[i]);
		g_assert_nonnull(strstr(text, "welcome"));
	}
	return server;
}

/* Whether a ping of @peer is answered. */
static bool peer_lives(int peer)
{
	g_autofree char *text = NULL;

	peer_say(peer, "{\"type\":\"ping\",\"pingTime\":1}\n");
	text = peer_hear(peer);
	return strstr(text, "pong");
}

/* Requests that wait for a slow disk are bounded by principal, however many ask. */
static void test_requests_of_a_principal(struct stage *stage, gconstpointer unused)
{
	g_autofree char *line = heavy_line(1);
	struct server *server;
	int peers[PEERS];
	unsigned int asked = 0;

	(void)unused;
	server = peers_connect(stage, peers);
	while (asked < PEERS - 1 && peer_lives(peers[PEERS - 2])) {
		for (size_t sent = 0; sent < strlen(line); settle()) {
			ssize_t n = write(peers[asked], line + sent, strlen(line) - sent);

			sent += n > 0 ? (size_t)n : 0;
		}
		asked++;
	}
	g_assert_cmpuint(asked, ==, 4);
	g_assert_true(peer_lives(peers[PEERS - 1]));
	while (worker_step(stage->worker, 0))
		settle();
	for (unsigned int i = 0; i < PEERS; i++) {
		g_autofree char *text = peer_hear(peers[i]);

		/* Empty batches: each was looked at, and refused. */
		g_assert_cmpint(!!strstr(text, "\"error\""), ==, i < asked);
		g_assert_true(i == PEERS - 2 || peer_lives(peers[i]));
	}
	server_free(server);
	while (worker_step(stage->worker, 0))
		settle();
	for (unsigned int i = 0; i < PEERS; i++)
		close(peers[i]);
}

static void add(const char *path, void (*test)(struct stage *stage, gconstpointer unused))
{
	g_test_add(path, struct stage, NULL, stage_set_up, test, stage_tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	signal(SIGXFSZ, SIG_IGN);
	add("/parentd/session/no-hello", test_no_hello);
	add("/parentd/session/hello-in-time", test_hello_in_time);
	add("/parentd/session/welcome-whatever-the-disk", test_welcome_whatever_the_disk);
	add("/parentd/session/ack-waits-for-the-disk", test_ack_waits_for_the_disk);
	add("/parentd/session/group-commit", test_group_commit);
	add("/parentd/session/disk-failure", test_disk_failure);
	add("/parentd/session/disk-full-for-one", test_disk_full_for_one);
	add("/parentd/session/freed-while-committing", test_freed_while_committing);
	add("/parentd/session/peer-does-not-read", test_peer_does_not_read);
	add("/parentd/session/peer-reads-slowly", test_peer_reads_slowly);
	add("/parentd/session/tells-what-it-holds", test_tells_what_it_holds);
	add("/parentd/session/on-hold", test_on_hold);
	add("/parentd/server/requests-of-a-principal", test_requests_of_a_principal);
	return g_test_run();
}
