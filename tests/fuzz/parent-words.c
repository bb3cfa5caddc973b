/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a parent says; see parent-words.h. */

#include <string.h>

#include "parent-words.h"

#define OTHER_ID "0123456789abcdef0123456789abcdef"

/* ---- meaning well ---- */

static void words_say(struct parent_words *words, GString *line)
{
	parent_end_say(words->end, line->str, line->len);
	g_string_free(line, TRUE);
}

static char *words_epoch(unsigned int epoch)
{
	return g_strdup_printf("%032x", 0xe00 + epoch);
}

static void oblige_hello(struct parent_words *words, const struct message *m)
{
	g_autofree char *epoch = words_epoch(words->epoch);
	GString *line = g_string_new(NULL);

	if (strcmp(words->client, m->hello.client) != 0) {
		g_strlcpy(words->client, m->hello.client, sizeof(words->client));
		words->last = 0;
		words->last_id[0] = '\0';
	}
	message_format_welcome(line, epoch, words->last, false);
	words_say(words, line);
}

/* Values say what becomes of them, as engine-parent.h has it. */
static enum wire_op_error op_error(const struct wire_op *op)
{
	if (op->value && g_str_has_prefix(op->value, "bad"))
		return WIRE_OP_REJECTED;
	return op->value && g_str_has_prefix(op->value, "big") ? WIRE_OP_QUOTA : WIRE_OP_OK;
}

static struct wire_result *judge_ops(struct parent_words *words, const struct wire_op *ops,
				     size_t n)
{
	struct wire_result *results = g_new0(struct wire_result, n + 1);

	for (size_t i = 0; i < n; i++) {
		results[i].error = op_error(&ops[i]);
		for (size_t j = 0; j < n; j++)
			if (ops[i].grouped && ops[j].grouped && ops[j].group == ops[i].group &&
			    op_error(&ops[j]))
				results[i].error = op_error(&ops[j]);
		if (!results[i].error)
			results[i].revision = ++words->revision;
	}
	return results;
}

static bool is_poisoned(const struct message *m)
{
	for (size_t i = 0; i < m->batch.n_ops; i++)
		if (m->batch.ops[i].value && g_str_has_prefix(m->batch.ops[i].value, "poison"))
			return true;
	return false;
}

static void oblige_batch(struct parent_words *words, const struct message *m)
{
	bool duplicate = m->batch.number <= words->last;
	g_autofree struct wire_result *results = NULL;
	GString *line = g_string_new(NULL);

	if (!duplicate && is_poisoned(m)) {
		message_format_error(line, m->request_id, WIRE_PERMANENT, "poison", 0);
		words_say(words, line);
		return;
	}
	if (!duplicate) {
		words->last = m->batch.number;
		g_strlcpy(words->last_id, m->batch.id, sizeof(words->last_id));
	}
	results = judge_ops(words, m->batch.ops, m->batch.n_ops);
	message_format_batch_ack(line, m->request_id, m->batch.number, words->last_id, duplicate,
				 results, m->batch.n_ops);
	words_say(words, line);
}

static void oblige_other(struct parent_words *words, const struct message *m)
{
	GString *line = g_string_new(NULL);

	if (m->type == MESSAGE_PING)
		message_format_pong(line, m->ping.time);
	else if (m->type == MESSAGE_GET)
		message_format_response(line, m->request_id, m->item.key,
					words->revision & 1 ? "p" : NULL, words->revision);
	else
		message_format_ack(line, m->request_id, ++words->revision);
	words_say(words, line);
}

static enum oblige oblige_of(enum message_type type)
{
	switch ((int)type) {
	case MESSAGE_HELLO:
		return OBLIGE_HELLO;
	case MESSAGE_PING:
		return OBLIGE_PING;
	case MESSAGE_GET:
		return OBLIGE_GET;
	case MESSAGE_SAVE:
	case MESSAGE_REMOVE:
		return OBLIGE_WRITE;
	case MESSAGE_BATCH:
		return OBLIGE_BATCH;
	default:
		return 0;
	}
}

static void words_heard(void *data, const struct message *m)
{
	struct parent_words *words = data;

	if (!(words->oblige & oblige_of(m->type)) ||
	    (m->request_id && !parent_end_asks(words->end, m->request_id)))
		return;
	if (m->type == MESSAGE_HELLO)
		oblige_hello(words, m);
	else if (m->type == MESSAGE_BATCH)
		oblige_batch(words, m);
	else
		oblige_other(words, m);
}

GString *parent_words_ack(struct parent_words *words)
{
	const struct sent_batch *batch = words->end->batch;
	g_autofree struct wire_result *results = NULL;
	GString *line = g_string_new(NULL);
	const char *id = "r1";

	for (unsigned int i = 0; i < words->end->asked->len; i++) {
		const struct asked *asked = words->end->asked->pdata[i];

		if (asked->kind == ASKED_BATCH)
			id = asked->id;
	}
	results = g_new0(struct wire_result, batch ? batch->n_ops : 1);
	for (size_t i = 0; batch && i < batch->n_ops; i++)
		results[i].revision = ++words->revision;
	message_format_batch_ack(line, id, batch ? batch->number : 1, batch ? batch->id : OTHER_ID,
				 false, results, batch ? batch->n_ops : 0);
	return line;
}

/* ---- meaning what the fuzzer likes ---- */

/* Which request is answered: one of @kind if there is one, or any, or none that ever was. Return:
 * it, or NULL. */
static const struct asked *make_request(struct parent_words *words, enum asked_kind kind)
{
	const GPtrArray *asked = words->end->asked;
	const struct asked *found = NULL;
	unsigned int how = input_pick(words->input, 8);
	g_autofree char *id = NULL;

	for (unsigned int i = 0; i < asked->len; i++) {
		const struct asked *one = asked->pdata[i];

		if ((how < 4 && one->kind == kind) || (how == 4 && !found) || how == 5)
			found = one;
	}
	if (how == 7)
		return NULL;
	id = how == 6 ? g_strdup_printf("r%u", input_pick(words->input, 12))
		      : g_strdup(found ? found->id : "r0");
	maker_text(&words->maker, "requestId", id);
	return found;
}

static const char *pick_value(struct parent_words *words)
{
	static const char *const values[] = {
		"p", NULL, "v1", "", "\\u0000", "\\ud800", "\xff", "\\n\\\"", "p2", "p3",
	};

	return values[input_pick(words->input, G_N_ELEMENTS(values))];
}

static uint64_t next_revision(struct parent_words *words)
{
	switch (input_pick(words->input, 4)) {
	case 0:
		return words->revision;
	case 1:
		return words->revision / 2;
	default:
		return ++words->revision;
	}
}

static void make_welcome(struct parent_words *words)
{
	const struct sent_batch *batch = words->end->batch;
	unsigned int which = input_pick(words->input, 8);
	g_autofree char *epoch = NULL;
	uint64_t last = words->last;

	if (input_pick(words->input, 8) == 7)
		words->epoch++;
	epoch = words_epoch(words->epoch);
	if (batch && which >= 4)
		last = batch->number + which - 5;
	maker_number(&words->maker, "protocol", 1);
	maker_text(&words->maker, "epoch", which == 3 ? OTHER_ID : epoch);
	maker_number(&words->maker, "lastBatch", last);
	maker_json(&words->maker, "features", which == 2 ? "[\"watch\",7]" : "[]");
}

static void make_pong(struct parent_words *words)
{
	bool first = input_pick(words->input, 2);

	maker_number(&words->maker, "pingTime",
		      (uint64_t)(first ? words->end->first_ping : words->end->last_ping));
}

static void make_response(struct parent_words *words)
{
	const struct asked *asked = make_request(words, ASKED_GET);
	const char *key = asked && asked->key ? asked->key : "k0";

	maker_text(&words->maker, "key", input_pick(words->input, 8) == 7 ? "k3" : key);
	maker_text(&words->maker, "value", pick_value(words));
	maker_number(&words->maker, "revision", next_revision(words));
}

static void make_result(struct parent_words *words, GString *out)
{
	static const char *const refusals[] = {
		"{\"error\":\"rejected\",\"message\":\"no\"}",
		"{\"error\":\"quota\"}",
		"{\"error\":\"rejected\",\"message\":\"\\u0000\"}",
		"{\"error\":\"quota\",\"message\":null,\"revision\":1}",
		"{\"error\":\"lost\"}",
		"{}",
		"7",
		"{\"revision\":-1}",
		"{\"revision\":9007199254740992}",
		"{\"revision\":0}",
	};
	unsigned int which = input_pick(words->input, 32);

	if (which < G_N_ELEMENTS(refusals))
		g_string_append(out, refusals[which]);
	else
		g_string_append_printf(out, "{\"revision\":%" G_GUINT64_FORMAT "}",
				       next_revision(words));
}

static char *make_results(struct parent_words *words, size_t n)
{
	GString *out = g_string_new("[");

	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			g_string_append_c(out, ',');
		make_result(words, out);
	}
	g_string_append_c(out, ']');
	return g_string_free(out, FALSE);
}

static void make_batch_ack(struct parent_words *words)
{
	const struct sent_batch *batch = words->end->batch;
	const struct sent_batch *meant = batch;
	unsigned int which = input_pick(words->input, 16), whose = input_pick(words->input, 16);
	size_t n = meant ? meant->n_ops : 1;
	g_autofree char *results = NULL;

	make_request(words, ASKED_BATCH);
	if (which == 1 && words->end->before)
		meant = words->end->before;
	if (which == 2)
		n = n > 0 ? n - 1 : 0;
	if (which == 3)
		n++;
	maker_number(&words->maker, "batch", meant ? meant->number + (which == 4) : 1);
	maker_text(&words->maker, "id",
		    whose == 1 ? OTHER_ID : whose == 2 ? words->last_id : meant ? meant->id : "");
	maker_json(&words->maker, "duplicate", which >= 8 ? "true" : "false");
	results = make_results(words, n);
	if (which != 5 && which != 13)
		maker_json(&words->maker, "results", results);
}

static void make_error(struct parent_words *words)
{
	static const char *const classes[] = {
		"transient", "capacity", "permanent", "auth", "permanent", "transient", "fatal", "",
	};

	make_request(words, (enum asked_kind)input_pick(words->input, _ASKED_MAX));
	maker_text(&words->maker, "class", classes[input_pick(words->input, 8)]);
	maker_text(&words->maker, "message", pick_value(words));
	if (input_pick(words->input, 2))
		maker_number(&words->maker, "retryAfter", input_pick(words->input, 2000));
}

static void make_item(struct parent_words *words)
{
	make_request(words, ASKED_WRITE);
	maker_text(&words->maker, "area", "default");
	maker_text(&words->maker, "key", "k0");
	maker_text(&words->maker, "value", pick_value(words));
	maker_number(&words->maker, "revision", next_revision(words));
	maker_number(&words->maker, "since", 0);
	maker_json(&words->maker, "gap", "false");
}

static void make_ack(struct parent_words *words)
{
	make_request(words, ASKED_WRITE);
	maker_number(&words->maker, "revision", next_revision(words));
}

static const struct {
	const char *type;
	void (*make)(struct parent_words *words);
} makers[] = {
	{ "batchAck", make_batch_ack },
	{ "welcome", make_welcome },
	{ "pong", make_pong },
	{ "storageResponse", make_response },
	{ "error", make_error },
	{ "storageAck", make_ack },
	{ "batchAck", make_batch_ack },
	{ "error", make_error },
	{ "storageResponse", make_response },
	{ "itemChanged", make_item },
	{ "watching", make_item },
	{ "saveToParentStorage", make_item },
	{ "getFromParentStorage", make_item },
	{ "ping", make_pong },
	{ "hello", make_welcome },
	{ "news", make_ack },
};

GString *parent_words_message(struct parent_words *words)
{
	unsigned int which = input_pick(words->input, G_N_ELEMENTS(makers));

	maker_begin(&words->maker, words->input, makers[which].type);
	makers[which].make(words);
	return maker_end(&words->maker);
}

void parent_words_init(struct parent_words *words, struct parent_end *end, struct input *input)
{
	*words = (struct parent_words){ .end = end, .input = input };
	end->heard = words_heard;
	end->heard_data = words;
}
