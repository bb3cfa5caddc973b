/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parent's end of the line; see parent-end.h. It takes the place of parent/dial. */

#include <string.h>

#include "base/clock.h"
#include "engine/area-inner.h"
#include "engine/monitor.h"
#include "parent-end.h"
#include "parent-expect.h"
#include "parent/dial.h"

#define TURNS_MAX 20000 /* of the main loop at one instant */

static struct parent_end *the_end;

static void said_free(void *said)
{
	said_answer_free(said);
}

static void answers_clear(struct parent_end *end)
{
	g_queue_clear_full(&end->answers, said_free);
	g_queue_init(&end->answers);
}

static void asked_free(void *data)
{
	g_free(((struct asked *)data)->key);
	g_free(data);
}

/* ---- dialling ---- */

struct dial {
	struct timer timer;
	dial_done_t done;
	void *data;
};

static void end_connected(struct parent_end *end)
{
	g_clear_object(&end->stream);
	end->stream = memory_stream_new();
	g_string_truncate(end->partial, 0);
	g_ptr_array_set_size(end->asked, 0);
	answers_clear(end);
	end->cut = end->hello = end->welcomed = end->batch_open = false;
	end->welcome_last = 0;
	end->first_ping = end->last_ping = 0;
}

static void dial_turn(void *data)
{
	struct dial *dial = data;

	switch (the_end->dials) {
	case DIALS_ACCEPTED:
		end_connected(the_end);
		dial->done(dial->data, G_IO_STREAM(the_end->stream), PARENT_REASON_OK, "");
		break;
	case DIALS_REFUSED:
		dial->done(dial->data, NULL, PARENT_REASON_REFUSED, "refused by the test");
		break;
	case DIALS_FOREIGN:
		dial->done(dial->data, NULL, PARENT_REASON_AUTH, "somebody else's");
		break;
	case DIALS_HUNG:
	case _DIALS_MAX:
		break;
	}
}

struct dial *dial_new(const struct dial_params *params, dial_done_t done, void *data)
{
	struct dial *dial = g_new0(struct dial, 1);

	dial->done = done;
	dial->data = data;
	timer_init(&dial->timer, params->clock, dial_turn, dial);
	timer_arm_in(&dial->timer, 0);
	return dial;
}

struct dial *dial_free(struct dial *dial)
{
	if (!dial)
		return NULL;
	timer_deinit(&dial->timer);
	g_free(dial);
	return NULL;
}

bool dial_uid_allowed(uid_t peer, uid_t own, int64_t extra)
{
	return peer == own || (int64_t)peer == extra;
}

/* ---- what the engine asks of the driver ---- */

static struct asked *end_asked(struct parent_end *end, enum asked_kind kind, const char *key)
{
	struct asked *asked = g_new0(struct asked, 1);

	asked->kind = kind;
	asked->key = g_strdup(key);
	g_snprintf(asked->id, sizeof(asked->id), "r%u", ++end->requests);
	g_ptr_array_add(end->asked, asked);
	return asked;
}

static int end_get(struct parent *parent, uint64_t tag, const char *area, const char *key)
{
	int r = the_end->ops->get(parent, tag, area, key);

	if (r == 0)
		end_asked(the_end, ASKED_GET, key);
	return r;
}

static int end_write(struct parent *parent, uint64_t tag, const char *area, const char *key,
		     const char *value)
{
	int r = the_end->ops->write(parent, tag, area, key, value);

	if (r == 0)
		end_asked(the_end, ASKED_WRITE, NULL);
	return r;
}

static void batch_free(struct sent_batch *batch)
{
	for (size_t i = 0; batch && i < batch->n_ops; i++) {
		g_free(batch->ops[i].key);
		g_free(batch->ops[i].value);
	}
	if (batch)
		g_free(batch->ops);
	g_free(batch);
}

static struct sent_batch *batch_copy(const struct parent_batch *batch)
{
	struct sent_batch *copy = g_new0(struct sent_batch, 1);

	copy->number = batch->number;
	g_strlcpy(copy->id, batch->id, sizeof(copy->id));
	copy->n_ops = batch->n_ops;
	copy->ops = g_new0(struct sent_op, batch->n_ops);
	for (size_t i = 0; i < batch->n_ops; i++) {
		copy->ops[i].area = truth_area(batch->ops[i].area);
		copy->ops[i].key = g_strdup(batch->ops[i].key);
		copy->ops[i].value = g_strdup(batch->ops[i].value);
		copy->ops[i].group = batch->ops[i].grouped ? batch->ops[i].group : 0;
	}
	return copy;
}

/* Name the operations by their serials: of each area the batch is what is in flight, in order. */
static void batch_name(const struct parent_end *end, struct sent_batch *batch)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		const struct outbox_entry *entry = outbox_first(area_outbox(end->calls->areas[a]));

		for (size_t i = 0; i < batch->n_ops; i++) {
			if (batch->ops[i].area != a)
				continue;
			g_assert_nonnull(entry);
			g_assert_cmpint(entry->state, ==, OUTBOX_IN_FLIGHT);
			batch->ops[i].serial = entry->serial;
			entry = outbox_next(entry);
		}
		g_assert_true(!entry || entry->state == OUTBOX_PENDING);
	}
}

/* Sent again it is the same, and a number is never used twice. */
static void batch_check_again(const struct sent_batch *before, const struct sent_batch *batch)
{
	g_assert_cmpuint(batch->number, >=, before->number);
	if (batch->number > before->number)
		return;
	g_assert_cmpstr(batch->id, ==, before->id);
	g_assert_cmpuint(batch->n_ops, ==, before->n_ops);
	for (size_t i = 0; i < batch->n_ops; i++) {
		g_assert_cmpuint(batch->ops[i].serial, ==, before->ops[i].serial);
		g_assert_cmpuint(batch->ops[i].group, ==, before->ops[i].group);
		g_assert_cmpstr(batch->ops[i].key, ==, before->ops[i].key);
		g_assert_cmpstr(batch->ops[i].value, ==, before->ops[i].value);
	}
}

/* It is on disk before it is sent. */
static void batch_check_stored(const struct parent_end *end, const struct sent_batch *batch)
{
	const struct bench *bench = end->calls->bench;
	struct store_state state;

	if (bench->config.storage_durability == CONFIG_DURABILITY_MEMORY)
		return;
	g_assert_cmpint(store_load_state(bench->store, &state), ==, 0);
	g_assert_cmpuint(state.batch_number, ==, batch->number);
	g_assert_cmpstr(state.batch_id, ==, batch->id);
}

static void end_take_batch(struct parent_end *end, const struct parent_batch *given)
{
	struct sent_batch *batch = batch_copy(given);

	batch_name(end, batch);
	batch_check_stored(end, batch);
	if (end->batch)
		batch_check_again(end->batch, batch);
	if (end->batch && end->batch->number == batch->number) {
		batch_free(end->batch);
	} else {
		batch_free(end->before);
		end->before = end->batch;
	}
	end->batch = batch;
}

/* It is asked of a session only, and never while the one before is unanswered. */
static void end_apply(struct parent *parent, const struct parent_batch *batch)
{
	struct parent_end *end = the_end;

	g_assert_true(end->welcomed && !end->batch_open);
	end_take_batch(end, batch);
	end->batch_open = true;
	end_asked(end, ASKED_BATCH, NULL);
	end->ops->apply(parent, batch);
}

static void end_ping(struct parent *parent, int64_t id)
{
	struct parent_end *end = the_end;

	g_assert_true(end->welcomed);
	g_assert_cmpint(id, >, end->last_ping);
	end->last_ping = id;
	end->first_ping = end->first_ping ? end->first_ping : id;
	end->ops->ping(parent, id);
}

/* ---- what the driver tells the engine ---- */

static void end_got(void *data, uint64_t tag, const struct parent_error *error, const char *value,
		    bool unclean, uint64_t revision)
{
	struct said_answer *answer = g_queue_pop_head(&the_end->answers);

	g_assert_nonnull(answer);
	g_assert_true(answer->error == !!error);
	g_assert_true(answer->unclean == unclean);
	g_assert_cmpstr(answer->value, ==, value);
	g_assert_cmpuint(answer->revision, ==, revision);
	said_answer_free(answer);
	the_end->data->got(data, tag, error, value, unclean, revision);
}

static void end_wrote(void *data, uint64_t tag, const struct parent_error *error, uint64_t revision)
{
	the_end->data->wrote(data, tag, error, revision);
}

static void end_batch_sent(void *data)
{
	the_end->data->batch_sent(data);
}

static bool is_one_group(const struct sent_batch *batch)
{
	for (size_t i = 1; i < batch->n_ops; i++)
		if (!batch->ops[0].group || batch->ops[i].group != batch->ops[0].group)
			return false;
	return true;
}

/* What became of an operation; of a group that has an error all is refused. */
static bool is_refused(const struct sent_batch *batch, const struct message *ack, size_t i)
{
	bool refused = ack->batch_ack.results[i].error;

	for (size_t j = 0; batch->ops[i].group && j < batch->n_ops; j++)
		refused |= batch->ops[j].group == batch->ops[i].group &&
			   ack->batch_ack.results[j].error;
	return refused;
}

/* @ack: NULL: all of it is refused. */
static void end_tell(struct parent_end *end, const struct message *ack)
{
	for (size_t i = 0; i < end->batch->n_ops; i++) {
		const struct sent_op *op = &end->batch->ops[i];
		struct model_write *write =
			model_find(&end->calls->model->areas[op->area], op->serial);

		g_assert_nonnull(write);
		g_assert_cmpstr(write->key->name, ==, op->key);
		g_assert_cmpstr(write->value, ==, op->value);
		write->refused = !ack || is_refused(end->batch, ack, i);
		write->told = !write->refused;
	}
}

/* Return: whether the ack is one of the batch that was sent. */
static bool end_note_ack(struct parent_end *end, const struct message *ack)
{
	if (strcmp(ack->batch_ack.id, end->batch->id) != 0 || !ack->batch_ack.has_results ||
	    ack->batch_ack.n_results != end->batch->n_ops)
		return false;
	end_tell(end, ack);
	end->acks++;
	return true;
}

/* Return: whether it may leave the connection as it is. */
static bool end_note_error(struct parent_end *end, const struct parent_error *error)
{
	g_assert_cmpint(error->class, !=, WIRE_AUTH);
	g_assert_cmpuint(error->retry_after, <=, LIMIT_RETRY_AFTER_MSEC * MSEC);
	if (error->class != WIRE_PERMANENT)
		return true;
	if (end->batch->number <= end->welcome_last)
		return false;
	if (is_one_group(end->batch))
		end_tell(end, NULL);
	return true;
}

static void end_applied(void *data, const struct parent_error *error, const struct message *ack)
{
	struct parent_end *end = the_end;
	bool fine;

	g_assert_true(end->batch_open && !error == !!ack);
	end->batch_open = false;
	g_assert_true(!ack || ack->batch_ack.number == end->batch->number);
	fine = ack ? end_note_ack(end, ack) : end_note_error(end, error);
	end->data->applied(data, error, ack);
	if (!fine)
		g_assert_false(parent_end_is_up(end));
}

static void end_connect(struct parent *parent)
{
	static const struct parent_data_ops data = {
		.got = end_got,
		.wrote = end_wrote,
		.batch_sent = end_batch_sent,
		.applied = end_applied,
	};

	if (parent->data != &data)
		the_end->data = parent->data;
	parent->data = &data;
	the_end->ops->connect(parent);
}

static void end_free(struct parent *parent)
{
	the_end->parent = NULL;
	the_end->ops->free(parent);
}

static int end_make(const struct parent_params *params, struct parent **ret_parent)
{
	static struct parent_ops wrapped;
	int r = parent_new(params, ret_parent);

	g_assert_cmpint(r, ==, 0);
	the_end->parent = *ret_parent;
	the_end->requests = 0;
	the_end->ops = (*ret_parent)->ops;
	wrapped = *the_end->ops;
	wrapped.connect = end_connect;
	wrapped.get = end_get;
	wrapped.write = end_write;
	wrapped.apply = end_apply;
	wrapped.ping = end_ping;
	wrapped.free = end_free;
	(*ret_parent)->ops = &wrapped;
	return 0;
}

/* ---- the line ---- */

static void end_check(const struct parent_end *end, enum expect expect, const MemoryStream *stream)
{
	static const char *const words[] = {
		[EXPECT_PROTOCOL] = "protocol",
		[EXPECT_AUTH] = "auth",
		[EXPECT_VERSION] = "version",
		[EXPECT_REFUSED] = "refused",
	};
	const char *error = monitor_last_error(storage_monitor(end->calls->bench->storage));
	bool up = parent_end_is_up(end) && end->stream == stream;

	if (expect == EXPECT_UP && !up)
		g_error("a right answer ended the connection: %s", error);
	if (!words[expect])
		return;
	if (up)
		g_error("the connection should have ended with %s", words[expect]);
	/* A dial in this instant may have failed in its own way. */
	if (end->dials == DIALS_ACCEPTED && !g_str_has_prefix(error, words[expect]))
		g_error("the connection ended with '%s', not %s", error, words[expect]);
}

bool parent_end_is_up(const struct parent_end *end)
{
	return end->parent && end->stream && !memory_stream_is_closed(end->stream);
}

enum expect parent_end_say(struct parent_end *end, const char *bytes, size_t len)
{
	enum expect expect = EXPECT_ANY;
	const char *newline;

	if (!parent_end_is_up(end) || end->cut)
		return EXPECT_ANY;
	memory_stream_say(end->stream, bytes, len);
	while ((newline = memchr(bytes, '\n', len))) {
		size_t n = (size_t)(newline - bytes);

		g_string_append_len(end->partial, bytes, (gssize)n);
		expect = parent_expect(end, end->partial->str, end->partial->len);
		g_string_truncate(end->partial, 0);
		bytes += n + 1;
		len -= n + 1;
	}
	g_string_append_len(end->partial, bytes, (gssize)len);
	return expect;
}

void parent_end_settle(struct parent_end *end)
{
	bench_run(end->calls->bench, 0);
}

void parent_end_tell(struct parent_end *end, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline ? (size_t)(newline - bytes) + 1 : len;
		g_autoptr(MemoryStream) stream = end->stream ? g_object_ref(end->stream) : NULL;
		enum expect expect = parent_end_say(end, bytes, n);

		parent_end_settle(end);
		if (newline)
			end_check(end, expect, stream);
		bytes += n;
		len -= n;
	}
}

void parent_end_cut(struct parent_end *end, bool reset)
{
	if (!end->stream)
		return;
	end->cut = true;
	if (reset)
		memory_stream_reset(end->stream);
	else
		memory_stream_end(end->stream);
}

void parent_end_shut(struct parent_end *end)
{
	if (end->stream)
		memory_stream_shut(end->stream);
	end->cut = true;
}

/* ---- what the daemon says ---- */

static void end_check_said(struct parent_end *end, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_HELLO:
		g_assert_false(end->hello);
		end->hello = true;
		break;
	case MESSAGE_PING:
		g_assert_true(end->welcomed);
		g_assert_cmpint(m->ping.time, >=, end->first_ping);
		g_assert_cmpint(m->ping.time, <=, end->last_ping);
		break;
	case MESSAGE_GET:
	case MESSAGE_SAVE:
	case MESSAGE_REMOVE:
	case MESSAGE_BATCH:
		g_assert_true(end->welcomed);
		break;
	case MESSAGE_ERROR:
		break;
	case MESSAGE_WELCOME:
	case MESSAGE_PONG:
	case MESSAGE_RESPONSE:
	case MESSAGE_BATCH_ACK:
	case MESSAGE_ACK:
	case MESSAGE_WATCH:
	case MESSAGE_WATCHING:
	case MESSAGE_ITEM_CHANGED:
	case MESSAGE_UNKNOWN:
		g_assert_not_reached();
	}
	g_assert_true(end->hello);
}

bool parent_end_asks(struct parent_end *end, const char *request_id)
{
	return parent_expect_asked(end, request_id);
}

static void end_hear(struct parent_end *end)
{
	g_autoptr(MemoryStream) stream = end->stream ? g_object_ref(end->stream) : NULL;
	GString *heard = stream ? memory_stream_heard(stream) : NULL;
	const char *newline;

	while (stream && end->stream == stream &&
	       (newline = memchr(heard->str, '\n', heard->len))) {
		g_autofree char *line = g_strndup(heard->str, (size_t)(newline - heard->str));
		struct message m;

		g_string_erase(heard, 0, (gssize)(newline - heard->str) + 1);
		g_assert_cmpint(message_parse(line, strlen(line), &m, NULL, NULL), ==, 0);
		g_assert_false(m.unclean);
		end_check_said(end, &m);
		end->heard(end->heard_data, &m);
		message_deinit(&m);
	}
}

static bool end_turn(struct bench *bench)
{
	unsigned int turns = 0;

	(void)bench;
	while (g_main_context_iteration(NULL, FALSE))
		g_assert_cmpuint(++turns, <, TURNS_MAX);
	end_hear(the_end);
	return turns > 0;
}

/* ---- life ---- */

void parent_end_init(struct parent_end *end, struct daemon_calls *calls)
{
	*end = (struct parent_end){ .calls = calls };
	end->partial = g_string_new(NULL);
	end->asked = g_ptr_array_new_with_free_func(asked_free);
	g_queue_init(&end->answers);
	calls->bench->make_parent = end_make;
	calls->bench->turn = end_turn;
	the_end = end;
}

void parent_end_deinit(struct parent_end *end)
{
	g_clear_object(&end->stream);
	g_string_free(end->partial, TRUE);
	g_ptr_array_unref(end->asked);
	answers_clear(end);
	batch_free(end->batch);
	batch_free(end->before);
	the_end = NULL;
}
