/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A parent in the test's hand: a store that keeps the last number, id and results of each client as
 * design §5 asks, behind a driver whose line has a latency and can be cut, and a list of ways to
 * misbehave. The store outlives drivers, connections and daemons; a test may wipe or rewind it.
 *
 * Values say what the parent thinks of them: one that begins with "bad" is rejected, "big" is over
 * a quota, and a batch with a "poison" is refused as a whole, for good.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "parent/parent.h"

struct fake_op {
	char *area, *key, *value;
	uint32_t group;
};

struct fake_result {
	enum wire_op_error error;
	uint64_t revision;
};

struct fake_batch {
	uint64_t number;
	char id[UTIL_ID_SIZE];
	struct fake_op *ops;
	size_t n_ops;
};

struct fake;

/* All but `fake`, `store` and the counters are the test's to set at any time. */
struct fake_world {
	struct clock *clock;
	struct fake *fake;	/* the driver in use; NULL: none */
	struct fake_store *store;
	bool local;		/* make a driver of the local kind instead */

	bool dead;		/* whoever calls is a ghost: nothing has an effect */
	bool away;		/* dials are refused */
	bool silent;		/* dials are not answered */
	bool frozen;		/* what was sent waits */
	uint64_t latency;	/* usec, one way */
	unsigned int refuse_batches;	/* the next ones get an error of this class … */
	unsigned int refuse_gets;
	unsigned int refuse_writes;
	enum wire_class refuse_class;
	uint64_t refuse_after;	/* … with this retryAfter, usec */
	unsigned int swallow;	/* the next requests are not looked at */
	unsigned int lose_acks;	/* the next batches are applied and not answered */
	bool mute_gets;		/* never answered */
	uint64_t late_gets;	/* usec that they are answered later, others overtaking them */
	bool without_results;	/* duplicates come without results */
	bool other_id;		/* duplicates come with another id */
	bool terse;		/* of a refused group only the culprit is told to be refused */
	bool short_results;	/* acks come with one result too few */
	bool refuse_known;	/* a number it has applied is refused for good */
	bool unclean;		/* gets find what is no text */
	bool untaken;		/* the last byte of a batch is not taken */
	int refuse_requests;	/* get and write are this errno, as -EBUSY; 0: taken */

	unsigned int dials, hellos, pings, gets, writes, batches, duplicates, applied_ops;
	uint64_t last_number;	/* of the last batch that reached it */
	char last_id[UTIL_ID_SIZE];
	char last_client[UTIL_ID_SIZE];
	GString *log;		/* "area/key=value;" of each op of each batch that reached it */
	GArray *arrivals;	/* uint64_t: when each get or batch reached it */
};

struct fake_world *fake_world_new(struct clock *clock);
struct fake_world *fake_world_free(struct fake_world *world);

/** fake_make() - as parent_new(), for the world last made. */
int fake_make(const struct parent_params *params, struct parent **ret_parent);

/** fake_cut() - the connection is lost with all that is under way. */
void fake_cut(struct fake_world *world, enum parent_reason reason);
bool fake_is_linked(const struct fake_world *world);
/** fake_thaw() - no longer frozen: what waits is looked at. */
void fake_thaw(struct fake_world *world);

/* ---- the store ---- */

/** fake_store_copy() - to rewind to; fake_store_restore() - takes it over. */
struct fake_store *fake_store_copy(const struct fake_store *store);
void fake_store_restore(struct fake_world *world, struct fake_store *store);
struct fake_store *fake_store_free(struct fake_store *store);
/** fake_wipe() - another store, of another epoch. */
void fake_wipe(struct fake_world *world);

/** fake_get() - what it holds; NULL: absent. Borrowed. */
const char *fake_get(const struct fake_world *world, const char *area, const char *key);
/** fake_put() - somebody else writes. */
void fake_put(struct fake_world *world, const char *area, const char *key, const char *value);
/** fake_count() - values it holds. */
unsigned int fake_count(const struct fake_world *world);
uint64_t fake_revision(const struct fake_world *world);
/** fake_last_batch() - the number kept for a client. */
uint64_t fake_last_batch(const struct fake_world *world, const char *client);
/** fake_set_last_batch() - claim that this was applied for @client. */
void fake_set_last_batch(struct fake_world *world, const char *client, uint64_t number);
