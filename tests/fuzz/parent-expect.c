/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What design §5 and §6 say of a line of the parent's; see parent-expect.h. */

#include <string.h>

#include "parent-expect.h"

void said_answer_free(struct said_answer *answer)
{
	g_free(answer->value);
	g_free(answer);
}

struct asked *parent_expect_asked(struct parent_end *end, const char *id)
{
	for (unsigned int i = 0; id && i < end->asked->len; i++) {
		struct asked *asked = end->asked->pdata[i];

		if (strcmp(asked->id, id) == 0)
			return asked;
	}
	return NULL;
}

static void end_answered(struct parent_end *end, const struct message *m)
{
	struct said_answer *answer = g_new0(struct said_answer, 1);

	answer->error = m->type == MESSAGE_ERROR;
	if (!answer->error) {
		answer->value = g_strdup(m->item.value);
		answer->unclean = m->unclean && !m->item.value;
		answer->revision = m->item.revision;
	}
	g_queue_push_tail(&end->answers, answer);
}

/* An answer of @kind to what was asked; where it was, it is not any more. */
static enum expect expect_answer(struct parent_end *end, const struct message *m,
				 enum asked_kind kind)
{
	struct asked *asked = parent_expect_asked(end, m->request_id);
	bool fits;

	if (!asked)
		return EXPECT_PROTOCOL;
	fits = asked->kind == kind;
	if (fits && kind == ASKED_GET)
		fits = g_strcmp0(asked->key, m->item.key) == 0;
	g_ptr_array_remove(end->asked, asked);
	if (fits && kind == ASKED_GET)
		end_answered(end, m);
	return fits ? EXPECT_UP : EXPECT_PROTOCOL;
}

static enum expect expect_ack(struct parent_end *end, const struct message *m)
{
	enum expect expect = expect_answer(end, m, ASKED_BATCH);

	if (expect != EXPECT_UP)
		return expect;
	if (m->batch_ack.number != end->batch->number)
		return EXPECT_PROTOCOL;
	/* Somebody else's batch under our number: a new client id, and nothing is trimmed. */
	if (m->batch_ack.duplicate && strcmp(m->batch_ack.id, end->batch->id) != 0)
		return EXPECT_ANY;
	if (strcmp(m->batch_ack.id, end->batch->id) != 0 || !m->batch_ack.has_results ||
	    m->batch_ack.n_results != end->batch->n_ops)
		return EXPECT_PROTOCOL;
	return EXPECT_UP;
}

static enum expect expect_error(struct parent_end *end, const struct message *m)
{
	struct asked *asked = parent_expect_asked(end, m->request_id);
	enum asked_kind kind;

	if (!end->welcomed)
		return m->error.class == WIRE_AUTH || m->error.class == WIRE_PERMANENT ?
			       EXPECT_AUTH : EXPECT_REFUSED;
	if (m->error.class == WIRE_AUTH)
		return EXPECT_AUTH;
	if (!asked)
		return EXPECT_PROTOCOL;
	kind = asked->kind;
	g_ptr_array_remove(end->asked, asked);
	if (kind == ASKED_GET)
		end_answered(end, m);
	if (kind == ASKED_BATCH && m->error.class == WIRE_PERMANENT &&
	    end->batch->number <= end->welcome_last)
		return EXPECT_PROTOCOL;
	return EXPECT_UP;
}

static enum expect expect_welcome(struct parent_end *end, const struct message *m)
{
	if (end->welcomed)
		return EXPECT_PROTOCOL;
	if (m->welcome.protocol != WIRE_PROTOCOL)
		return EXPECT_VERSION;
	end->welcomed = true;
	end->welcome_last = m->welcome.last_batch;
	return EXPECT_ANY;
}

static enum expect expect_message(struct parent_end *end, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_WELCOME:
		return expect_welcome(end, m);
	case MESSAGE_ERROR:
		return expect_error(end, m);
	case MESSAGE_UNKNOWN:
		/* There is a bound on the complaints that wait. */
		return EXPECT_ANY;
	case MESSAGE_PONG:
		return end->first_ping && m->pong.time >= end->first_ping &&
				       m->pong.time <= end->last_ping ? EXPECT_UP : EXPECT_PROTOCOL;
	case MESSAGE_RESPONSE:
		return expect_answer(end, m, ASKED_GET);
	case MESSAGE_BATCH_ACK:
		return expect_ack(end, m);
	case MESSAGE_ACK:
		return expect_answer(end, m, ASKED_WRITE);
	case MESSAGE_HELLO:
	case MESSAGE_PING:
	case MESSAGE_GET:
	case MESSAGE_BATCH:
	case MESSAGE_SAVE:
	case MESSAGE_REMOVE:
	case MESSAGE_WATCH:
	case MESSAGE_WATCHING:
	case MESSAGE_ITEM_CHANGED:
		return EXPECT_PROTOCOL;
	}
	return EXPECT_ANY;
}

enum expect parent_expect(struct parent_end *end, const char *line, size_t len)
{
	enum expect expect;
	struct message m;

	if (len > LIMIT_LINE_BYTES || message_parse(line, len, &m, NULL, NULL) < 0)
		return EXPECT_PROTOCOL;
	expect = expect_message(end, &m);
	message_deinit(&m);
	return expect;
}
