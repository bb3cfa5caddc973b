/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One answer a session owes: the message it answers, which for a write lends the committer its
 * strings, and the line it becomes. It may outlive its session while the committer has its request.
 */

#include <glib.h>
#include <stdbool.h>

#include "ledger.h"
#include "reader.h"
#include "wire/message.h"

enum answer_state {
	ANSWER_WAITS,	/* the committer has it */
	ANSWER_DUE,	/* can be made */
};

struct answer {
	enum answer_state state;
	struct message message;	/* the one it answers; a MESSAGE_ERROR of ours for a refusal */
	char *principal;
	char *client;
	struct wire_op op;	/* of a single write */
	struct request request;
	size_t bytes;		/* of memory, with its message's */
	int error;		/* how the request ended */
	int read_error;		/* what reading for the line came to */
	GString *line;		/* made beforehand, or NULL */
	bool last;		/* the connection ends with it */
	struct session *session; /* NULL: nobody waits for it any more */
};

/** answer_new() - takes over @message, which is left empty. */
struct answer *answer_new(struct session *session, const char *principal, const char *client,
			  struct message *message);
struct answer *answer_free(struct answer *answer);

/** answer_is_request() - whether it needs the committer; its request is then filled. */
bool answer_is_request(struct answer *answer);

/**
 * answer_line() - make the line, newline included.
 * @retry_after: ms, told with what the disk refused
 */
GString *answer_line(struct answer *answer, struct reader *reader, const char *epoch,
		     uint64_t retry_after);
