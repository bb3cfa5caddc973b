/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parent's side of the wire; see sim-parent.h. A session reads lines, does what they ask at
 * once, and queues its answers, each with the time it may go out.
 */

#include <errno.h>
#include <string.h>

#include "core/limits.h"
#include "sim-daemon.h"
#include "sim-judge.h"
#include "sim-parent.h"
#include "wire/frame.h"

#define HELLO_USEC (2 * SEC)

struct answer {
	uint64_t due;
	GString *line;
};

struct session {
	struct sim_parent *parent;
	struct sim_daemon *daemon;
	struct sim_end *end;
	struct frame *frame;
	char client[UTIL_ID_SIZE];	/* "" before hello */
	uint64_t hello_by;
	GQueue answers;		/* struct answer, by time */
	uint64_t last_due;	/* of those that keep their order */
	size_t head_sent;
	char *newest;		/* the last answer to a request */
	unsigned int pongs;	/* that it sent */
	struct timer timer;
};

static bool take_one(unsigned int *count)
{
	return *count > 0 && (*count)--;
}

static void answer_free(void *data)
{
	g_string_free(((struct answer *)data)->line, TRUE);
	g_free(data);
}

static void session_free(void *data)
{
	struct session *session = data;

	timer_deinit(&session->timer);
	g_queue_clear_full(&session->answers, answer_free);
	frame_free(session->frame);
	sim_end_unref(session->end);
	g_free(session->newest);
	g_free(session);
}

/* Nothing of it may be touched afterwards. */
static void session_end(struct session *session, bool vanish)
{
	sim_trace(session->parent->sim, "p ends d%u", session->daemon->index);
	if (vanish)
		sim_end_vanish(session->end);
	g_ptr_array_remove(session->parent->sessions, session);
}

/* ---- answers ---- */

static void session_arm(struct session *session)
{
	const struct answer *head = g_queue_peek_head(&session->answers);
	uint64_t due = session->client[0] ? USEC_INFINITY : session->hello_by;

	/* One that is due waits for room, which the end tells of. */
	if (head && head->due > session->parent->sim->now)
		due = MIN(due, head->due);
	timer_arm(&session->timer, due);
}

static void session_flush(struct session *session)
{
	struct answer *head;
	ssize_t n;

	while ((head = g_queue_peek_head(&session->answers)) &&
	       head->due <= session->parent->sim->now) {
		n = sim_end_write(session->end, head->line->str + session->head_sent,
				  head->line->len - session->head_sent);
		if (n < 0)
			break;
		session->head_sent += (size_t)n;
		if (session->head_sent < head->line->len)
			continue;
		session->head_sent = 0;
		answer_free(g_queue_pop_head(&session->answers));
	}
	session_arm(session);
}

/* Into its place by time, but never before the one that is half sent. */
static void session_push(struct session *session, const char *line, size_t len, uint64_t due)
{
	struct answer *answer = g_new(struct answer, 1);
	GList *before = session->answers.tail;

	while (before && before->prev && ((const struct answer *)before->data)->due > due)
		before = before->prev;
	if (before && session->head_sent == 0 && ((const struct answer *)before->data)->due > due)
		before = NULL;
	*answer = (struct answer){ due, g_string_new_len(line, (gssize)len) };
	if (before)
		g_queue_insert_after(&session->answers, before, answer);
	else
		g_queue_push_head(&session->answers, answer);
}

static void session_say_strange(struct session *session)
{
	static const char strange[] = "{\"type\":\"weather\",\"requestId\":\"w\",\"sky\":[1,{}]}\n";

	session_push(session, strange, strlen(strange), session->last_due);
}

/* Moods spoil what is said. */
static void session_say(struct session *session, GString *line, uint64_t later)
{
	struct sim_parent *parent = session->parent;
	struct sim_mood *mood = &parent->mood;
	struct sim *sim = parent->sim;
	uint64_t due = sim->now;

	if (mood->delay > 0)
		due += sim_pick(sim, (unsigned int)mood->delay);
	session->last_due = MAX(session->last_due, due);
	if (take_one(&mood->strangers))
		session_say_strange(session);
	if (take_one(&mood->garbage))
		line->str[0] = (char)('!' + sim_pick(sim, 64));
	session_push(session, line->str, line->len, session->last_due + later);
	if (take_one(&mood->double_replies))
		session_push(session, line->str, line->len, session->last_due + later);
	if (session->newest && take_one(&mood->replay_replies))
		session_push(session, session->newest, strlen(session->newest), session->last_due);
	g_free(session->newest);
	session->newest = g_string_free(line, FALSE);
}

static void session_refuse(struct session *session, const struct message *msg,
			   enum wire_class class, uint64_t retry_after)
{
	GString *line = g_string_new(NULL);

	message_format_error(line, msg->request_id, class, "the parent is in a mood", retry_after);
	session_say(session, line, 0);
}

static void session_pong(struct session *session, int64_t id)
{
	GString *line = g_string_new(NULL);

	message_format_pong(line, id);
	session_say(session, line, 0);
}

/* ---- requests ---- */

/* The older connection of a client ends, its unread bytes discarded. */
static void session_hello(struct session *session, const struct message *msg)
{
	struct sim_parent *parent = session->parent;
	GString *line;

	if (take_one(&parent->mood.refuse_hellos)) {
		session_refuse(session, msg, parent->mood.hello_class, parent->mood.refuse_after);
		return;
	}
	for (unsigned int i = parent->sessions->len; i-- > 0;) {
		struct session *other = parent->sessions->pdata[i];

		if (other != session && strcmp(other->client, msg->hello.client) == 0)
			session_end(other, false);
	}
	g_strlcpy(session->client, msg->hello.client, sizeof(session->client));
	line = g_string_new(NULL);
	message_format_welcome(line, parent->store->epoch,
			       sim_store_client(parent->store, session->client)->last, false);
	if (take_one(&parent->mood.other_protocol)) {
		char *protocol = strstr(line->str, "\"protocol\":1");

		protocol[strlen("\"protocol\":")] = '2';
	}
	session_say(session, line, 0);
	if (session->daemon->last_ping && take_one(&parent->mood.late_pongs))
		session_pong(session, session->daemon->last_ping);
}

static void session_get(struct session *session, const struct message *msg)
{
	struct sim_parent *parent = session->parent;
	GString *line;

	if (parent->mood.mute_gets || take_one(&parent->mood.lose_replies))
		return;
	if (take_one(&parent->mood.refuse_gets)) {
		session_refuse(session, msg, parent->mood.refuse_class, parent->mood.refuse_after);
		return;
	}
	sim_trace(parent->sim, "p says d%u: %s/%s has %.12s, revision %" G_GUINT64_FORMAT,
		  session->daemon->index, msg->item.area, msg->item.key,
		  parent->store->items[truth_area(msg->item.area)][truth_key(msg->item.key)],
		  parent->store->revision);
	line = g_string_new(NULL);
	message_format_response(line, msg->request_id, msg->item.key,
				parent->store->items[truth_area(msg->item.area)]
						    [truth_key(msg->item.key)],
				parent->store->revision);
	session_say(session, line, parent->mood.late_gets);
}

static void session_write(struct session *session, const struct message *msg)
{
	struct sim_parent *parent = session->parent;
	unsigned int area = truth_area(msg->item.area), key = truth_key(msg->item.key);
	struct model_key *known = &session->daemon->model->areas[area].keys[key];
	const char *value = msg->type == MESSAGE_SAVE ? msg->item.value : NULL;
	GString *line;

	if (take_one(&parent->mood.refuse_writes)) {
		session_refuse(session, msg, parent->mood.refuse_class, parent->mood.refuse_after);
		return;
	}
	known->direct_version = sim_store_put(parent->sim, parent->store, area, key, value);
	known->direct = truth_id(value);
	if (take_one(&parent->mood.lose_replies))
		return;
	line = g_string_new(NULL);
	message_format_ack(line, msg->request_id, parent->store->revision);
	session_say(session, line, 0);
}

static void session_ack(struct session *session, const struct message *msg, bool duplicate)
{
	struct sim_mood *mood = &session->parent->mood;
	const struct store_client *kept =
		sim_store_client(session->parent->store, session->client);
	g_autofree struct wire_result *results = g_new0(struct wire_result, kept->n_results + 1);
	bool none = duplicate && take_one(&mood->no_results);
	char id[UTIL_ID_SIZE];
	GString *line;

	for (size_t i = 0; i < kept->n_results; i++)
		results[i] = (struct wire_result){ kept->results[i].error,
						   kept->results[i].revision, "the parent said no" };
	g_strlcpy(id, kept->id, sizeof(id));
	if (take_one(&mood->other_ids)) {
		session->daemon->clashed = true;
		util_random_id(id);
	}
	if (take_one(&mood->lose_replies))
		return;
	line = g_string_new(NULL);
	message_format_batch_ack(line, msg->request_id, msg->batch.number, id, duplicate,
				 none ? NULL : results, kept->n_results);
	session_say(session, line, 0);
}

/* The number is compared before any other check. */
static void session_batch(struct session *session, const struct message *msg)
{
	struct sim_parent *parent = session->parent;
	struct store_client *kept = sim_store_client(parent->store, session->client);
	const struct daemon_batch *batch = judge_batch(session->daemon, session->client, msg);

	parent->sim->count.batches++;
	if (msg->batch.number <= kept->last) {
		parent->sim->count.duplicates++;
		session_ack(session, msg, true);
	} else if (take_one(&parent->mood.refuse_batches)) {
		session_refuse(session, msg, parent->mood.refuse_class, parent->mood.refuse_after);
	} else if (sim_store_is_poisoned(msg)) {
		session_refuse(session, msg, WIRE_PERMANENT, 0);
	} else {
		sim_store_apply(parent->sim, parent->store, session->client, msg);
		parent->sim->count.applied += msg->batch.n_ops;
		if (batch)
			judge_apply(session->daemon, parent->store, batch, kept);
		session_ack(session, msg, false);
	}
}

static void session_ping(struct session *session, const struct message *msg)
{
	session->daemon->last_ping = msg->ping.time;
	if (session->parent->mood.stale_pongs)
		return;
	session->pongs++;
	session_pong(session, msg->ping.time);
}

static void session_message(struct session *session, const struct message *msg)
{
	bool request = msg->type == MESSAGE_GET || msg->type == MESSAGE_SAVE ||
		       msg->type == MESSAGE_REMOVE || msg->type == MESSAGE_BATCH;

	if (msg->type == MESSAGE_ERROR)
		return; /* it did not understand us */
	if (msg->type == MESSAGE_HELLO) {
		session_hello(session, msg);
		return;
	}
	g_assert_true(session->client[0]);
	if (request && take_one(&session->parent->mood.swallow))
		return;
	if (msg->type == MESSAGE_PING)
		session_ping(session, msg);
	else if (msg->type == MESSAGE_GET)
		session_get(session, msg);
	else if (msg->type == MESSAGE_BATCH)
		session_batch(session, msg);
	else if (request)
		session_write(session, msg);
	else
		g_error("the daemon sent a message of type %d", (int)msg->type);
}

static void session_line(struct session *session, const char *line, size_t len)
{
	struct message msg;
	const char *why;

	if (message_parse(line, len, &msg, &why, NULL) < 0)
		g_error("the daemon sent %s: %.*s", why, (int)MIN(len, 200), line);
	sim_trace(session->parent->sim, "p hears d%u: type %d, %zu bytes", session->daemon->index,
		  (int)msg.type, len);
	session_message(session, &msg);
	message_deinit(&msg);
}

/* ---- sessions ---- */

/* Return: false where the line has ended. */
static bool session_read(struct session *session)
{
	const char *line;
	char *to;
	size_t room, len;
	ssize_t n;

	for (;;) {
		to = frame_buffer(session->frame, &room);
		n = sim_end_read(session->end, to, room);
		if (n <= 0)
			return n == -EAGAIN;
		frame_added(session->frame, (size_t)n, session->parent->sim->now);
		while (frame_next(session->frame, &line, &len) > 0)
			session_line(session, line, len);
	}
}

static void session_ready(void *data)
{
	struct session *session = data;

	if (!session->parent->mood.frozen && !session_read(session)) {
		session_end(session, false);
		return;
	}
	session_flush(session);
}

static void session_timer(void *data)
{
	struct session *session = data;

	if (!session->client[0] && session->parent->sim->now >= session->hello_by)
		session_end(session, false);
	else
		session_flush(session);
}

bool sim_parent_accept(void *data, struct sim_path *path, struct sim_end *end)
{
	struct sim_parent *parent = data;
	struct session *session;

	if (parent->sim->now < parent->mood.down_until)
		return false;
	session = g_new0(struct session, 1);
	session->parent = parent;
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		if (&parent->sim->daemons[i]->path == path)
			session->daemon = parent->sim->daemons[i];
	session->end = end;
	session->frame = frame_new(LIMIT_LINE_BYTES);
	session->hello_by = parent->sim->now + HELLO_USEC;
	g_queue_init(&session->answers);
	timer_init(&session->timer, parent->sim->clock, session_timer, session);
	sim_end_watch(end, session_ready, session);
	g_ptr_array_add(parent->sessions, session);
	session_arm(session);
	sim_trace(parent->sim, "p accepts d%u", session->daemon->index);
	return true;
}

/* ---- the whole ---- */

/* Return: NULL: none any more. */
static const struct session *find_session(const struct sim_parent *parent,
					  const struct sim_daemon *daemon)
{
	for (unsigned int i = 0; i < parent->sessions->len; i++) {
		const struct session *session = parent->sessions->pdata[i];

		if (session->daemon == daemon && sim_end_is_of(session->end, daemon->path.line))
			return session;
	}
	return NULL;
}

bool sim_parent_may_be_connected(const struct sim_parent *parent, const struct sim_daemon *daemon)
{
	const struct session *session = find_session(parent, daemon);

	/* Where it ended it the daemon has not heard yet. */
	return !session || session->pongs > 0;
}

bool sim_parent_has(const struct sim_parent *parent, const struct sim_daemon *daemon)
{
	const struct session *session = find_session(parent, daemon);

	return session && session->pongs > 0;
}

void sim_parent_wake(struct sim_parent *parent)
{
	if (!parent->mood.frozen)
		return;
	parent->mood.frozen = false;
	/* A hello ends others. */
	for (unsigned int i = 0; i < parent->sessions->len; i++)
		session_ready(parent->sessions->pdata[i]);
}

void sim_parent_restart(struct sim_parent *parent, uint64_t usec, bool vanish)
{
	parent->sim->count.parent_restarts++;
	parent->mood.down_until = parent->sim->now + usec;
	parent->mood.frozen = false;
	while (parent->sessions->len > 0)
		session_end(parent->sessions->pdata[parent->sessions->len - 1], vanish);
}

void sim_parent_lose(struct sim_parent *parent, bool wipe)
{
	struct sim_store *store = wipe || !parent->snapshot ? sim_store_new()
							    : sim_store_copy(parent->snapshot);

	parent->sim->count.parent_losses++;
	parent->lost_at = parent->sim->now;
	sim_store_replace(parent->sim, parent->store, store);
	sim_store_free(parent->store);
	parent->store = store;
}

static void lower_serials(struct sim_store *store, unsigned int daemon, const uint64_t *first)
{
	for (unsigned int a = 0; store && a < SIM_AREAS; a++)
		store->serials[daemon][a] = MIN(store->serials[daemon][a], first[a] - 1);
}

void sim_parent_note_client(struct sim_parent *parent, unsigned int daemon,
			    const uint64_t first[static SIM_AREAS])
{
	lower_serials(parent->store, daemon, first);
	lower_serials(parent->snapshot, daemon, first);
}

struct sim_parent *sim_parent_new(struct sim *sim)
{
	struct sim_parent *parent = g_new0(struct sim_parent, 1);

	parent->sim = sim;
	parent->store = sim_store_new();
	parent->sessions = g_ptr_array_new_with_free_func(session_free);
	return parent;
}

struct sim_parent *sim_parent_free(struct sim_parent *parent)
{
	g_ptr_array_unref(parent->sessions);
	sim_store_free(parent->store);
	sim_store_free(parent->snapshot);
	g_free(parent);
	return NULL;
}
