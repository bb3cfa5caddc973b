/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a message to a request for the ledger, and from its outcome to a line; see answer.h. */

#include <errno.h>
#include <string.h>

#include "answer.h"

struct answer *answer_new(struct session *session, const char *principal, const char *client,
			  struct message *message)
{
	struct answer *answer = g_new0(struct answer, 1);

	answer->state = ANSWER_DUE;
	answer->session = session;
	answer->principal = g_strdup(principal);
	answer->client = g_strdup(client);
	answer->bytes = sizeof(*answer) + message->held;
	answer->message = *message;
	memset(message, 0, sizeof(*message));
	return answer;
}

struct answer *answer_free(struct answer *answer)
{
	if (!answer)
		return NULL;

	outcome_deinit(&answer->request.outcome);
	message_deinit(&answer->message);
	if (answer->line)
		g_string_free(answer->line, TRUE);
	g_free(answer->principal);
	g_free(answer->client);
	g_free(answer);
	return NULL;
}

static void answer_fill_single(struct answer *answer)
{
	const struct message *message = &answer->message;

	answer->op.area = message->item.area;
	answer->op.key = message->item.key;
	answer->op.value = message->type == MESSAGE_SAVE ? message->item.value : NULL;
	answer->request.kind = REQUEST_SINGLE;
	answer->request.ops = &answer->op;
	answer->request.n_ops = 1;
}

bool answer_is_request(struct answer *answer)
{
	const struct message *message = &answer->message;
	struct request *request = &answer->request;

	request->principal = answer->principal;
	request->client = answer->client;
	if (answer->line)
		return false;
	if (message->type == MESSAGE_HELLO) {
		request->kind = REQUEST_ARRIVE;
		return true;
	}
	if (message->type == MESSAGE_BATCH) {
		request->kind = REQUEST_BATCH;
		request->number = message->batch.number;
		request->id = message->batch.id;
		request->bad = message->batch.bad != NULL;
		request->ops = message->batch.ops;
		request->n_ops = message->batch.n_ops;
		return true;
	}
	if (message->type == MESSAGE_SAVE || message->type == MESSAGE_REMOVE) {
		answer_fill_single(answer);
		return true;
	}
	return false;
}

static void format_failure(const struct answer *answer, int error, uint64_t retry_after,
			   GString *out)
{
	enum wire_class class = error == -ENOSPC ? WIRE_CAPACITY : WIRE_TRANSIENT;
	const char *text = error == -ENOSPC ? "The parent's disk is full; nothing was applied." :
					      "The parent's disk failed; nothing was applied.";

	message_format_error(out, answer->message.request_id, class, text, retry_after);
}

static void format_batch(const struct answer *answer, GString *out)
{
	const struct outcome *outcome = &answer->request.outcome;
	g_autofree struct wire_result *results = NULL;
	uint64_t revision = outcome->base;
	size_t n = 0;

	if (outcome->refused) {
		message_format_error(out, answer->message.request_id, WIRE_PERMANENT,
				     answer->message.batch.bad, 0);
		return;
	}
	if (outcome->has_results) {
		n = strlen(outcome->verdicts);
		results = g_new0(struct wire_result, n + 1);
	}
	for (size_t i = 0; i < n; i++) {
		results[i].error = verdict_error(outcome->verdicts[i]);
		results[i].message = verdict_message(outcome->verdicts[i]);
		if (results[i].error == WIRE_OP_OK)
			results[i].revision = ++revision;
	}
	message_format_batch_ack(out, answer->message.request_id, answer->request.number,
				 outcome->id, outcome->duplicate, results, n);
}

static void format_single(const struct answer *answer, GString *out)
{
	const struct outcome *outcome = &answer->request.outcome;
	const char *id = answer->message.request_id;
	char verdict = outcome->verdicts[0];

	switch (verdict_error(verdict)) {
	case WIRE_OP_OK:
		message_format_ack(out, id, outcome->base + 1);
		break;
	case WIRE_OP_REJECTED:
		message_format_error(out, id, WIRE_PERMANENT, verdict_message(verdict), 0);
		break;
	case WIRE_OP_QUOTA:
		message_format_error(out, id, WIRE_CAPACITY, verdict_message(verdict), 0);
		break;
	}
}

static void format_get(struct answer *answer, struct reader *reader, uint64_t retry_after,
		       GString *out)
{
	const struct message *message = &answer->message;
	g_autofree char *value = NULL;
	uint64_t revision;
	int r;

	r = reader_get(reader, answer->principal, message->item.area, message->item.key, &value,
		       &revision);
	answer->read_error = r;
	if (r < 0)
		message_format_error(out, message->request_id, WIRE_TRANSIENT,
				     "The parent cannot read its store.", retry_after);
	else
		message_format_response(out, message->request_id, message->item.key, value,
					revision);
}

/* The touch of the client's row may have failed; it may come in all the same. */
static void format_welcome(struct answer *answer, struct reader *reader, const char *epoch,
			   uint64_t retry_after, GString *out)
{
	uint64_t last;
	int r = reader_last_batch(reader, answer->principal, answer->client, &last);

	answer->read_error = r;
	if (r < 0) {
		message_format_error(out, NULL, WIRE_TRANSIENT, "The parent cannot read its store.",
				     retry_after);
		answer->last = true;
	} else {
		message_format_welcome(out, epoch, last, false);
	}
}

GString *answer_line(struct answer *answer, struct reader *reader, const char *epoch,
		     uint64_t retry_after)
{
	GString *out;

	if (answer->line)
		return g_steal_pointer(&answer->line);
	out = g_string_new(NULL);
	if (answer->message.type == MESSAGE_HELLO)
		format_welcome(answer, reader, epoch, retry_after, out);
	else if (answer->message.type == MESSAGE_GET)
		format_get(answer, reader, retry_after, out);
	else if (answer->error < 0)
		format_failure(answer, answer->error, retry_after, out);
	else if (answer->message.type == MESSAGE_BATCH)
		format_batch(answer, out);
	else
		format_single(answer, out);
	return out;
}
