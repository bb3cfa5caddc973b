/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A hostile client of holdfast-parentd, one connection of it: what it has said, what must be
 * answered to that and in which order, and whether what comes is that.
 */

#include "holdfast-parentd/committer.h"
#include "ledger-model.h"
#include "memory-stream.h"
#include "wire/message.h"

struct peer_world {
	struct ledger_model *model;
	const char *epoch;
	uint64_t now;		/* monotonic usec */
	GPtrArray *peers;	/* struct client_peer, in the order they came */
	GHashTable *tokens;	/* token → principal, those in force */
	unsigned int answers;	/* ever */
};

struct client_peer {
	struct peer_world *world;
	MemoryStream *stream;
	char *principal;	/* NULL: its hello is to tell */
	char *client;		/* NULL: no hello yet */
	char *token;		/* that let it in, NULL: none */
	bool closing;		/* it has to be sent away */
	bool may_close;		/* it may be */
	bool told;		/* why, out of turn */
	bool closed;		/* it was */
	bool cut;		/* by us */
	uint64_t since;		/* when it came, monotonic usec */
	uint64_t partial_since;	/* when the line under way began; 0: none */
	uint64_t deaf_since;	/* when it ceased to take all; 0: it takes all */
	uint64_t floor;		/* no answer may be of an earlier revision */
	GString *partial;	/* said since the last newline */
	GQueue expected;	/* struct expected: answers in turn */
	GQueue pings;		/* int64_t: pongs, which come when they like, but in turn */
};

/** client_peer_new() - @principal: NULL: a guest. Added to @world. */
struct client_peer *client_peer_new(struct peer_world *world, const char *principal);
void client_peer_free(struct client_peer *peer);

/** client_peer_say() - bytes, with or without newlines. */
void client_peer_say(struct client_peer *peer, const char *bytes, size_t len);

/** client_peer_cut() - it goes; @reset: with an error in place of an end. */
void client_peer_cut(struct client_peer *peer, bool reset);

/** client_peer_tokens_changed() - other tokens are in force: it may have to go. */
void client_peer_tokens_changed(struct client_peer *peer);

/** client_peer_hear() - take what has come, and see that it is right; and that it lives if it has
 * to. */
void client_peer_hear(struct client_peer *peer);

/** client_peer_finish() - all it asked must have been answered. */
void client_peer_finish(struct client_peer *peer);

/** client_peer_next() - the number its next batch should have. */
uint64_t client_peer_next(const struct client_peer *peer);
