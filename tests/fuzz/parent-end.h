/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The parent's end of a daemon's line (daemon-calls.h): the driver of the wire protocol is
 * the real one, dials end at a stream in memory, and what is said there is held against what was
 * asked. It stands between the driver and the engine on both sides, so that it knows which answers
 * are right, whatever the driver thinks of them: only right ones may take a write off the queue.
 */

#include "core/limits.h"
#include "daemon-calls.h"
#include "memory-stream.h"
#include "wire/message.h"

enum asked_kind {
	ASKED_GET,
	ASKED_WRITE,
	ASKED_BATCH,
	_ASKED_MAX,
};

struct asked {
	enum asked_kind kind;
	char id[24];	/* the requestId */
	char *key;	/* of a get */
};

/* A batch as it was handed to the driver. */
struct sent_batch {
	uint64_t number;
	char id[UTIL_ID_SIZE];
	size_t n_ops;
	struct sent_op {
		unsigned int area;
		char *key, *value;
		uint64_t group;		/* 0: none */
		uint64_t serial;	/* as the daemon calls it */
	} *ops;
};

/* What must become of the connection when a line was read. */
enum expect {
	EXPECT_ANY,
	EXPECT_UP,
	EXPECT_PROTOCOL,
	EXPECT_AUTH,
	EXPECT_VERSION,
	EXPECT_REFUSED,
};

enum dials {
	DIALS_ACCEPTED,
	DIALS_REFUSED,
	DIALS_FOREIGN,	/* somebody else's socket */
	DIALS_HUNG,
	_DIALS_MAX,
};

struct parent_end {
	struct daemon_calls *calls;
	struct parent *parent;			/* the driver; NULL: none */
	const struct parent_ops *ops;		/* its own */
	const struct parent_data_ops *data;	/* the engine's own */
	enum dials dials;
	/* The connection, the last one where there is none. */
	MemoryStream *stream;
	GString *partial;	/* said since the last newline */
	bool cut, hello, welcomed;
	uint64_t welcome_last;
	unsigned int requests;	/* requestIds the driver gave out */
	GPtrArray *asked;	/* struct asked, unanswered */
	GQueue answers;		/* struct said_answer, not told to the engine yet */
	struct sent_batch *batch;	/* the newest, of any connection; NULL: none yet */
	struct sent_batch *before;	/* the one before it */
	bool batch_open;	/* asked on this connection and not answered */
	int64_t first_ping, last_ping;	/* on this connection; 0: none */
	unsigned int acks;	/* right ones, ever */
	/** heard - a whole message of the daemon, in order */
	void (*heard)(void *data, const struct message *message);
	void *heard_data;
};

/** parent_end_init() - be the parent of the one daemon there is. */
void parent_end_init(struct parent_end *end, struct daemon_calls *calls);
void parent_end_deinit(struct parent_end *end);

/** parent_end_is_up() - there is a connection, as far as the daemon is concerned. */
bool parent_end_is_up(const struct parent_end *end);

/** parent_end_asks() - a request is unanswered: it may have been answered before it was heard. */
bool parent_end_asks(struct parent_end *end, const char *request_id);

/** parent_end_say() - bytes, with or without a newline; nothing where there is no connection.
 * Return: what must become of it, of what was completed last. */
enum expect parent_end_say(struct parent_end *end, const char *bytes, size_t len);

/** parent_end_settle() - let the daemon take what was said, at this instant. */
void parent_end_settle(struct parent_end *end);

/** parent_end_tell() - say and settle, line by line, and see that what must be is. */
void parent_end_tell(struct parent_end *end, const char *bytes, size_t len);

/** parent_end_cut() - @reset: with an error in place of an end. */
void parent_end_cut(struct parent_end *end, bool reset);

/** parent_end_shut() - it says nothing more and cannot be written to; what was said is heard. */
void parent_end_shut(struct parent_end *end);
