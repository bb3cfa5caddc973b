/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One connection through the proxy: two sockets, a flow each way, a tape of what went by. A side
 * may be missing: of a connection that is taken and never answered the parent's, of old bytes that
 * are sent to the parent again the daemon's.
 *
 * The owner polls: link_prepare() says what to wait for, link_turn() does what can be done.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "flow.h"
#include "tape.h"

enum side {
	DAEMON,
	PARENT,
	SIDES,
};

/* What is wrong, and what happened, over all links. */
struct link_shared {
	struct flow_faults faults[DIRECTIONS];
	struct flow_count count[DIRECTIONS];
	uint64_t unread_resets;	/* sockets closed with unread bytes or with RST */
	uint64_t replay_answers; /* lines that the parent sent in answer to a replay */
	uint64_t duplicates;	/* of them, acks of batches it knew */
	GRand *rand;
};

struct link;

/** link_new() - takes over both sockets; -1: there is none. @shared is borrowed. */
struct link *link_new(int daemon, int parent, struct link_shared *shared);

/** link_free() - closes what is open. */
struct link *link_free(struct link *link);

/** link_prepare() - what to poll() for, in a struct pollfd of each side. */
void link_prepare(struct link *link, uint64_t now, struct pollfd *fds);

/** link_deadline() - when link_turn() is due without any event. */
uint64_t link_deadline(struct link *link, uint64_t now);

/** link_turn() - read and write. Return: false where the link is over and to be freed. */
bool link_turn(struct link *link, uint64_t now, const struct pollfd *fds);

/**
 * link_reset() - end it the hard way: RST on TCP; on a unix socket a close while something is
 * unread, which takes something to read first, so this waits for it in link_turn().
 */
void link_reset(struct link *link);

/** link_shut() - no more in a direction, its reader sees the end; the other goes on. */
void link_shut(struct link *link, enum direction direction);

/** link_add(), link_add_filler() - as of a flow. */
bool link_add(struct link *link, uint64_t now, enum direction direction, const char *data,
	      size_t len, bool at_line);
void link_add_filler(struct link *link, uint64_t now, enum direction direction, uint64_t len);

/** link_is_whole() - whether it has both sides. */
bool link_is_whole(const struct link *link);

/** link_tape() - what went by; link_steal_tape() - that, to be freed by the caller. */
const struct tape *link_tape(const struct link *link);
struct tape *link_steal_tape(struct link *link);
