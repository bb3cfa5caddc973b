/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A parent that speaks the wire: bytes in, bytes out. It serves the protocol of design §5 and is in
 * one of many moods. What it applies is judged as it comes: each write once, in its order, whole.
 */

#include "sim-net.h"
#include "sim-store.h"
#include "sim.h"

/* Faults; all of it to be set at any time. */
struct sim_mood {
	uint64_t down_until;	/* nobody listens */
	bool frozen;		/* it reads nothing */
	bool stale_pongs;	/* pings are never answered */
	bool mute_gets;		/* nor gets */
	uint64_t delay;		/* usec that answers come later, at most */
	uint64_t late_gets;	/* usec that answers to gets come later still, others overtaking */
	unsigned int refuse_batches, refuse_gets, refuse_writes; /* the next ones … */
	enum wire_class refuse_class;	/* … with an error of this class … */
	uint64_t refuse_after;		/* … and this retryAfter, ms */
	unsigned int swallow;		/* the next requests are not looked at */
	unsigned int lose_replies;	/* the next requests are done and not answered … */
	unsigned int double_replies;	/* … or answered twice */
	unsigned int replay_replies;	/* an answer to an older request comes once more */
	unsigned int garbage;		/* the next answers are none */
	unsigned int late_pongs;	/* the next welcomes come with a pong for the connection before */
	unsigned int strangers;		/* messages of an unknown type come before the next answers */
	unsigned int refuse_hellos;	/* with an error of hello_class … */
	enum wire_class hello_class;
	unsigned int other_protocol;	/* … or with another protocol's welcome */
	unsigned int other_ids;		/* acks come with another id */
	unsigned int no_results;	/* duplicates come without results */
};

struct sim_parent {
	struct sim *sim;
	struct sim_store *store, *snapshot;
	GPtrArray *sessions;	/* struct session */
	struct sim_mood mood;
	uint64_t lost_at;	/* data, since all was last well; 0: never */
};

struct sim_parent *sim_parent_new(struct sim *sim);
struct sim_parent *sim_parent_free(struct sim_parent *parent);

/** sim_parent_accept() - as struct sim_path's; @data: the parent. */
bool sim_parent_accept(void *data, struct sim_path *path, struct sim_end *end);

/** sim_parent_wake() - it was frozen: read on. */
void sim_parent_wake(struct sim_parent *parent);

/** sim_parent_restart() - all connections end, and nobody listens for @usec. @vanish: its machine
 * loses its power, so that nobody hears of it. */
void sim_parent_restart(struct sim_parent *parent, uint64_t usec, bool vanish);

/** sim_parent_lose() - it is as it was at the last snapshot, or @wipe: new. To be restarted. */
void sim_parent_lose(struct sim_parent *parent, bool wipe);

/** sim_parent_may_be_connected() - not where it never answered a ping on the newest line. */
bool sim_parent_may_be_connected(const struct sim_parent *parent, const struct sim_daemon *daemon);
/** sim_parent_has() - whether it is: a ping of its was answered on this very line. */
bool sim_parent_has(const struct sim_parent *parent, const struct sim_daemon *daemon);

/** sim_parent_note_client() - a daemon sends under a new id: of each area its writes from @first on
 * may come a second time. */
void sim_parent_note_client(struct sim_parent *parent, unsigned int daemon,
			    const uint64_t first[static SIM_AREAS]);
