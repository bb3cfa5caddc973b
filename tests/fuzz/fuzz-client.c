/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-parentd whose clients are the fuzzer: server, sessions, committer, ledger and database
 * as they are, on a clock and a disk that the input moves, and up to PEERS connections at once, of
 * users and of strangers with tokens. Each answer must be the one that ledger-model.h says, after
 * the disk has it and in turn; a connection lives unless it gave a reason; and in the end the
 * database holds exactly what it should.
 */

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/log.h"
#include "client-words.h"
#include "core/limits.h"
#include "holdfast-parentd/server.h"
#include "holdfast-parentd/session.h"
#include "setup.h"

#define PEERS	  6
#define STEPS_MAX 400
#define TURNS_MAX 200000
#define SECOND	  USEC_PER_SEC

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once: to open a database takes longer than to play. */
struct stage {
	struct clock *clock;
	struct worker *worker;
	struct database *db;
	struct ledger *ledger;
	struct reader *reader;
	struct committer *committer;
	sqlite3 *look;		/* to look at the database, and to empty it */
	struct tokens *tokens[2];
	char *dir;
	uint64_t now;
};

static const struct plan_usage quota = { .keys = 6, .bytes = 600 };
static struct stage stage;

struct play {
	struct input input;
	struct server *server;
	struct peer_world world;
	unsigned int tokens;	/* which are in force */
	bool idle_disk;		/* it does nothing by itself */
	GPtrArray *crowd;	/* MemoryStream: connections that say nothing */
};

static const char *const users[] = { "uid:1", "uid:2", NULL, NULL };

/* ---- the stage ---- */

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

static void add_token(GString *text, const char *token, const char *principal)
{
	char hash[TOKENS_HASH_SIZE];

	tokens_hash(token, hash);
	g_string_append_printf(text, "sha256:%s %s\n", hash, principal);
}

static struct tokens *load_tokens(const char *alpha, const char *beta)
{
	g_autofree char *path = g_build_filename(stage.dir, "tokens", NULL);
	g_autoptr(GString) text = g_string_new("# tokens\n");
	struct tokens *tokens;
	char *why = NULL;

	add_token(text, client_words_tokens[0], alpha);
	if (beta)
		add_token(text, client_words_tokens[1], beta);
	add_token(text, client_words_tokens[2], "uid:1");
	g_assert_true(g_file_set_contents(path, text->str, (gssize)text->len, NULL));
	g_assert_cmpint(tokens_load(path, false, &tokens, &why), ==, 0);
	g_remove(path);
	return tokens;
}

static void stage_end(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

	committer_free(stage.committer);
	reader_free(stage.reader);
	ledger_free(stage.ledger);
	sqlite3_close(stage.look);
	database_close(stage.db);
	worker_free(stage.worker);
	clock_free(stage.clock);
	tokens_free(stage.tokens[0]);
	tokens_free(stage.tokens[1]);
	for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *file = g_strconcat(stage.dir, "/db", suffixes[i], NULL);

		g_remove(file);
	}
	g_rmdir(stage.dir);
	g_free(stage.dir);
}

static void stage_begin(void)
{
	static const struct clock_ops ops = { .now = stage_now, .set_alarm = stage_alarm };
	g_autofree char *path = NULL;
	char *aside;

	fuzz_setup();
	log_set_max_level(LOG_CRIT);
	stage.dir = fuzz_directory();
	path = g_build_filename(stage.dir, "db", NULL);
	stage.now = 1000 * SECOND;
	stage.clock = clock_new(&ops, &stage);
	stage.worker = worker_new_manual();
	g_assert_cmpint(database_open(path, 0, &stage.db, &aside), ==, 0);
	g_assert_cmpint(ledger_new(stage.db, &quota, &stage.ledger), ==, 0);
	g_assert_cmpint(reader_new(stage.db, &stage.reader), ==, 0);
	stage.committer = committer_new(stage.worker, stage.ledger, stage.db);
	g_assert_cmpint(sqlite3_open(path, &stage.look), ==, SQLITE_OK);
	stage.tokens[0] = load_tokens("alice", "bob");
	stage.tokens[1] = load_tokens("carol", NULL);
	atexit(stage_end);
}

static void stage_empty(void)
{
	g_assert_cmpint(sqlite3_exec(stage.look,
				     "BEGIN; DELETE FROM item; DELETE FROM client; "
				     "DELETE FROM principal; UPDATE store SET revision=0; COMMIT",
				     NULL, NULL, NULL), ==, SQLITE_OK);
}

/* ---- turns ---- */

static void play_settle(struct play *play)
{
	unsigned int turns = 0;

	do {
		while (g_main_context_iteration(NULL, FALSE))
			g_assert_cmpuint(++turns, <, TURNS_MAX);
		clock_dispatch(stage.clock);
	} while (g_main_context_pending(NULL));
	for (unsigned int i = 0; i < play->world.peers->len; i++)
		client_peer_hear(play->world.peers->pdata[i]);
}

static bool play_commit(struct play *play)
{
	bool did = worker_step(stage.worker, 0);

	play_settle(play);
	return did;
}

static void play_on(struct play *play)
{
	unsigned int rounds = 0;

	play_settle(play);
	while (!play->idle_disk && play_commit(play))
		g_assert_cmpuint(++rounds, <, TURNS_MAX);
}

static struct client_peer *play_peer(struct play *play)
{
	unsigned int n = play->world.peers->len;

	return n ? play->world.peers->pdata[input_pick(&play->input, n)] : NULL;
}

/* ---- steps ---- */

/* Make room for one more: the oldest goes, if it has not gone yet. */
static void play_make_room(struct play *play)
{
	struct client_peer *oldest;

	if (play->world.peers->len < PEERS)
		return;
	oldest = play->world.peers->pdata[0];
	client_peer_cut(oldest, true);
	/* While the disk has too much of it nothing is read, and its end is not seen. */
	play->idle_disk = false;
	play_on(play);
	g_assert_true(oldest->closed);
	g_ptr_array_remove_index(play->world.peers, 0);
}

static void play_accept(struct play *play, MemoryStream *stream, unsigned int kind)
{
	const struct peer from = { (char *)"[::1]:7", (char *)(kind == 2 ? "::1" : "::2") };

	if (users[kind])
		server_accepted(play->server, G_IO_STREAM(stream), users[kind]);
	else
		server_accepted_guest(play->server, G_IO_STREAM(stream), &from);
}

static void step_connect(struct play *play)
{
	unsigned int n = input_byte(&play->input);
	const char *user = users[n % 4];
	struct client_peer *peer;
	g_autoptr(GString) hello = NULL;

	play_make_room(play);
	peer = client_peer_new(&play->world, user);
	/* It may find no place, or lose it before it has said who it is. */
	peer->may_close = play->crowd->len > 0;
	play_accept(play, peer->stream, n % 4);
	if (n & 128)
		return;
	hello = client_words_hello(n / 4 % 4, user ? NULL : client_words_tokens[n / 16 % 4]);
	client_peer_say(peer, hello->str, hello->len);
}

/*
 * Very many that say nothing: no more of them than there may be are kept, strangers of one network
 * at most so many, and nobody who is known goes for them.
 */
static void step_crowd(struct play *play)
{
	unsigned int n = input_byte(&play->input), kind = n % 4, open = 0;
	unsigned int most = users[kind] ? SERVER_CONNECTIONS_EACH : SERVER_STRANGERS_EACH;

	for (unsigned int i = 0; i < play->world.peers->len; i++) {
		struct client_peer *peer = play->world.peers->pdata[i];

		peer->may_close |= !peer->client;
	}
	for (unsigned int i = 0; i < (n < 128 ? 40 : 270); i++) {
		MemoryStream *stream = memory_stream_new();

		g_object_set_data(G_OBJECT(stream), "kind", GUINT_TO_POINTER(kind));
		g_ptr_array_add(play->crowd, stream);
		play_accept(play, stream, kind);
	}
	play_settle(play);
	for (unsigned int i = 0; i < play->crowd->len; i++) {
		MemoryStream *stream = play->crowd->pdata[i];

		open += g_object_get_data(G_OBJECT(stream), "kind") == GUINT_TO_POINTER(kind) &&
			!memory_stream_is_closed(stream);
	}
	g_assert_cmpuint(open, <=, most);
}

static void step_message(struct play *play)
{
	struct client_peer *peer = play_peer(play);
	g_autoptr(GString) line = NULL;

	if (!peer)
		return;
	line = client_words_message(peer, &play->input);
	client_peer_say(peer, line->str, line->len);
}

/* Several at once, the last of them perhaps cut; rarely one, more often than may be unanswered. */
static void step_burst(struct play *play)
{
	struct client_peer *peer = play_peer(play);
	unsigned int n = input_byte(&play->input), times = n >= 240 ? (n - 239) * 40 : 1;
	unsigned int messages = times > 1 ? 1 : 2 + n % 8;

	for (unsigned int i = 0; peer && i < messages; i++) {
		g_autoptr(GString) line = client_words_message(peer, &play->input);

		for (unsigned int j = 0; j < times && j * line->len < 200000; j++)
			client_peer_say(peer, line->str, line->len);
		if (n & 64)
			client_peer_say(peer, line->str, line->len / 2);
	}
}

static void step_damage(struct play *play)
{
	struct client_peer *peer = play_peer(play);
	g_autoptr(GString) line = NULL;
	size_t at;

	if (!peer)
		return;
	line = client_words_message(peer, &play->input);
	at = input_pick(&play->input, (unsigned int)line->len - 1);
	line->str[at] = (char)(line->str[at] ^ input_byte(&play->input));
	client_peer_say(peer, line->str, line->len);
}

static void step_bytes(struct play *play)
{
	struct client_peer *peer = play_peer(play);
	size_t len;
	const uint8_t *bytes = input_rest(&play->input, 1 + input_pick(&play->input, 128), &len);

	if (!peer)
		return;
	client_peer_say(peer, (const char *)bytes, len);
	if (input_pick(&play->input, 2))
		client_peer_say(peer, "\n", 1);
}

/* Lines of lengths that something depends on; the longest rarely, as it takes long. */
static void step_long(struct play *play)
{
	static const size_t sizes[] = {
		100, SESSION_HELLO_BYTES - 20, SESSION_HELLO_BYTES + 1, 100000, 200000,
	};
	struct client_peer *peer = play_peer(play);
	unsigned int n = input_byte(&play->input);
	g_autofree char *text = NULL;
	size_t size = n == 255 ? LIMIT_LINE_BYTES + 1 : sizes[n % G_N_ELEMENTS(sizes)];

	if (!peer)
		return;
	text = g_strnfill(size, 'x');
	client_peer_say(peer, "{\"type\":\"", 9);
	client_peer_say(peer, text, size);
	if (n & 8)
		client_peer_say(peer, "\"}\n", 3);
}

static void step_peer(struct play *play)
{
	struct client_peer *peer = play_peer(play);
	unsigned int n = input_byte(&play->input);

	if (!peer)
		return;
	switch (n % 4) {
	case 0:
	case 1:
		client_peer_cut(peer, n % 4);
		break;
	case 2:
		memory_stream_set_room(peer->stream, n & 4 ? 0 : n);
		peer->deaf_since = peer->deaf_since ? peer->deaf_since : stage.now;
		break;
	case 3:
		memory_stream_set_room(peer->stream, SIZE_MAX);
		peer->deaf_since = 0;
		break;
	}
}

static void step_disk(struct play *play)
{
	struct ledger_model *model = play->world.model;
	unsigned int n = input_byte(&play->input);

	model->fail_error = n & 8 ? -ENOSPC : -EIO;
	switch (n % 4) {
	case 0:
		play->idle_disk = !play->idle_disk;
		break;
	case 1:
		model->fail_applies = n / 16;
		break;
	case 2:
		model->fail_commits = n / 16;
		break;
	case 3:
		play_commit(play);
		break;
	}
}

static void step_time(struct play *play)
{
	static const uint64_t spans[] = {
		1000, 500000, SECOND, 2 * SECOND, 9 * SECOND, 11 * SECOND, 31 * SECOND,
		3600 * SECOND,
	};

	stage.now += spans[input_pick(&play->input, G_N_ELEMENTS(spans))];
	play->world.now = stage.now;
}

static void play_tokens(struct play *play)
{
	static const char *const principals[2][3] = {
		{ "alice", "bob", "uid:1" },
		{ "carol", NULL, "uid:1" },
	};

	g_hash_table_remove_all(play->world.tokens);
	for (unsigned int i = 0; i < 3; i++)
		if (principals[play->tokens][i])
			g_hash_table_insert(play->world.tokens, (char *)client_words_tokens[i],
					    (char *)principals[play->tokens][i]);
	for (unsigned int i = 0; i < play->world.peers->len; i++)
		client_peer_tokens_changed(play->world.peers->pdata[i]);
	server_use_tokens(play->server, stage.tokens[play->tokens]);
}

static void play_step(struct play *play)
{
	unsigned int what = input_pick(&play->input, 32);

	if (what < 4)
		step_connect(play);
	else if (what < 17)
		step_message(play);
	else if (what < 20)
		input_pick(&play->input, 32) ? step_burst(play) : step_crowd(play);
	else if (what < 21)
		step_damage(play);
	else if (what < 23)
		step_bytes(play);
	else if (what < 24)
		step_long(play);
	else if (what < 26)
		step_peer(play);
	else if (what < 29)
		step_disk(play);
	else if (what < 31)
		step_time(play);
	else {
		play->tokens = !play->tokens;
		play_tokens(play);
	}
	play_on(play);
}

/* All is well: whoever is there and takes its answers has them all. */
static void play_end(struct play *play)
{
	struct ledger_model *model = play->world.model;

	model->fail_applies = model->fail_commits = 0;
	play->idle_disk = false;
	for (unsigned int i = 0; i < play->world.peers->len; i++) {
		struct client_peer *peer = play->world.peers->pdata[i];

		memory_stream_set_room(peer->stream, SIZE_MAX);
	}
	play_on(play);
	for (unsigned int i = 0; i < play->world.peers->len; i++)
		client_peer_finish(play->world.peers->pdata[i]);
	server_free(play->server);
	worker_drain(stage.worker);
	ledger_model_check(model, stage.look);
	g_assert_cmpuint(clock_next(stage.clock), ==, USEC_INFINITY);
}

static void free_peer(void *peer)
{
	client_peer_free(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play play = { .input = { data, size } };

	if (!stage.clock)
		stage_begin();
	stage_empty();
	play.world.model = ledger_model_new(&quota);
	play.world.epoch = database_epoch(stage.db);
	play.world.now = stage.now;
	play.world.peers = g_ptr_array_new_with_free_func(free_peer);
	play.world.tokens = g_hash_table_new(g_str_hash, g_str_equal);
	play.crowd = g_ptr_array_new_with_free_func(g_object_unref);
	play.server = server_new(stage.clock, stage.committer, stage.reader, play.world.epoch);
	play_tokens(&play);
	for (unsigned int i = 0; i < STEPS_MAX && play.input.left > 0; i++)
		play_step(&play);
	play_end(&play);
	g_ptr_array_unref(play.crowd);
	g_ptr_array_unref(play.world.peers);
	g_hash_table_unref(play.world.tokens);
	ledger_model_free(play.world.model);
	return 0;
}
