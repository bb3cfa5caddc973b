/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The outbox of one area: the writes the parent does not hold yet, in serial order.
 *
 * Life of an entry:
 *
 *	staged ──commit──> pending ──take──> in flight ──trim──> gone
 *	   └──rollback──> gone  └──replaced by a newer write of its key──> gone
 *
 * A change is first planned (outbox_stage_*, outbox_plan_take) while the store writes the same
 * change to disk, then settled by outbox_commit() or undone by outbox_rollback(). Between the two
 * an entry that the plan replaces or drops is "doomed": still counted, still found by nothing.
 * Only one plan is under way at a time, and nothing else changes the outbox meanwhile.
 *
 * Keys are ordered by their last writes: a newer write of a key, alone or in a group, takes the place
 * of a pending single entry, stands at the tail and inherits `first`, the oldest serial it stands
 * for. A group is never replaced, split or reordered. What is in flight is never touched.
 *
 * Debounce: an entry is due at `due`; one whose `max_due` has come makes all ahead of it due, as
 * does outbox_force(). Sending is strictly from the head, so an entry is sendable when it and all
 * ahead of it are due.
 *
 * Pure: no I/O, no clock. Times are CLOCK_MONOTONIC usec given by the caller, but for queued_at.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum outbox_op {
	OUTBOX_SET,
	OUTBOX_REMOVE,
};

enum outbox_state {
	OUTBOX_STAGED,	  /* planned, not on disk yet */
	OUTBOX_PENDING,	  /* on disk, waits */
	OUTBOX_IN_FLIGHT, /* part of the batch under way */
};

/* Read-only outside outbox.c. Key and value are never changed, so that a thread may read them. */
struct outbox_entry {
	struct outbox_entry *prev, *next;	/* in serial order */
	struct outbox_entry *older, *newer;	/* entries of the same key */
	uint64_t serial;
	uint64_t queued_at;	/* realtime usec of this write, to show */
	uint64_t due;		/* monotonic usec; 0 = not held */
	uint64_t max_due;	/* monotonic usec: MaxDelay after the first write it stands for */
	uint32_t back;		/* serial - first */
	uint32_t group_index;	/* 1-based place within its group; 0 = single */
	uint32_t value_len;
	uint32_t attempts;	/* times it was sent; the sender's to count */
	uint16_t key_len;
	uint8_t op;		/* enum outbox_op */
	uint8_t state;		/* enum outbox_state */
	bool doomed : 1;	/* the plan under way removes it … */
	bool dropped : 1;	/* … because the queue was full */
	bool spare : 1;		/* the write being staged replaces it, so it need not be dropped */
	bool taken : 1;		/* the plan under way puts it in flight */
	bool stored : 1;	/* it has a row on disk; the planner's to set */
	char data[];		/* key NUL value NUL */
};

struct outbox;

struct outbox_params {
	unsigned int limit;	/* entries */
	uint64_t max_bytes;	/* keys + values */
	bool drop_oldest;	/* on overflow; else the write is refused */
	uint64_t delay;		/* debounce of sets, usec */
	uint64_t max_delay;	/* its bound, usec */
};

/* One write as it comes in; the strings are copied. */
struct outbox_write {
	enum outbox_op op;
	const char *key;
	const char *value;	/* NULL for OUTBOX_REMOVE */
};

/** outbox_write_bytes() - what a write counts for in quotas: key + value. */
static inline size_t outbox_write_bytes(const struct outbox_write *write)
{
	return strlen(write->key) + (write->op == OUTBOX_SET ? strlen(write->value) : 0);
}

/**
 * outbox_new() - an empty outbox.
 * @next_serial: the first serial it may give out: past every one that ever was, at least 1
 */
struct outbox *outbox_new(const struct outbox_params *params, uint64_t next_serial);
struct outbox *outbox_free(struct outbox *outbox);

/** outbox_set_params() - new bounds; what is queued stays, whatever they say. */
void outbox_set_params(struct outbox *outbox, const struct outbox_params *params);

/**
 * outbox_load() - put back an entry the store kept. Call in rising serial order, before any plan.
 * @group_index: as in struct outbox_entry
 * @in_flight: it belongs to the persisted batch
 *
 * Return: the entry; not held by any debounce.
 */
struct outbox_entry *outbox_load(struct outbox *outbox, uint64_t serial, uint64_t first,
				 uint32_t group_index, const struct outbox_write *write,
				 uint64_t queued_at, bool in_flight);

static inline const char *outbox_entry_key(const struct outbox_entry *entry)
{
	return entry->data;
}

/** outbox_entry_value() - NULL for a remove. */
static inline const char *outbox_entry_value(const struct outbox_entry *entry)
{
	return entry->op == OUTBOX_SET ? entry->data + entry->key_len + 1 : NULL;
}

/** outbox_entry_first() - the oldest serial it stands for. */
static inline uint64_t outbox_entry_first(const struct outbox_entry *entry)
{
	return entry->serial - entry->back;
}

/** outbox_entry_bytes() - what it counts for in quotas: key + value. */
static inline size_t outbox_entry_bytes(const struct outbox_entry *entry)
{
	return (size_t)entry->key_len + entry->value_len;
}

/* ---- planning writes ---- */

/**
 * outbox_stage() - plan writes: one single write, or a group that stays whole.
 * @writes, @n: 1 write, or with @group 1–LIMIT_GROUP_ITEMS
 * @now: monotonic usec; @queued_at: realtime usec
 * @ret_serial: the serial of the last of them
 *
 * Return: HF_OK, or HF_QUOTA_EXCEEDED with nothing changed.
 */
int outbox_stage(struct outbox *outbox, const struct outbox_write *writes, size_t n, bool group,
		 uint64_t now, uint64_t queued_at, uint64_t *ret_serial);

/**
 * outbox_plan_reserve() - whether the plan uses serials past the block reserved on disk.
 * @ret_upto: every serial below it is to be reserved by this commit, which must be synced
 */
bool outbox_plan_reserve(const struct outbox *outbox, uint64_t *ret_upto);

/* The plan's entries in the order planned: staged (some of them doomed again), and doomed ones that
 * were on disk or staged. Borrowed until the plan ends. */
const GPtrArray *outbox_plan_staged(const struct outbox *outbox);
const GPtrArray *outbox_plan_doomed(const struct outbox *outbox);

/* ---- planning a batch ---- */

/* What a batch may still hold. */
struct outbox_room {
	size_t ops;
	size_t bytes;
	bool empty;	/* nothing in it yet: an entry or group larger than the room goes alone */
};

/**
 * outbox_take() - plan to put the sendable head into the batch being formed: pending entries and
 * entries staged in this same plan, groups whole.
 * @room: reduced by what was taken
 * @taken: struct outbox_entry * appended in order
 *
 * Return: true if it stopped for want of room.
 */
bool outbox_take(struct outbox *outbox, uint64_t now, struct outbox_room *room, GPtrArray *taken);

/* ---- ending a plan ---- */

/** outbox_commit() - the store has it: staged entries count, doomed ones are freed, taken ones are
 * in flight. */
void outbox_commit(struct outbox *outbox);

/** outbox_rollback() - the store refused: as if the plan had never been, but for serials used. */
void outbox_rollback(struct outbox *outbox);

/* ---- what became of a batch (no plan under way) ---- */

/** outbox_trim() - remove and free an entry in flight: acked, or moved to the rejected ones. */
void outbox_trim(struct outbox *outbox, struct outbox_entry *entry);

/** outbox_release() - an entry in flight waits again: its batch was dissolved. */
void outbox_release(struct outbox *outbox, struct outbox_entry *entry);

/* ---- due times ---- */

/** outbox_force() - Flush: all that is queued now is due at once. */
void outbox_force(struct outbox *outbox);

/**
 * outbox_next_due() - when the first entry not in flight may be sent.
 *
 * Return: monotonic usec; a time not after @now: something is sendable; UINT64_MAX: nothing waits.
 */
uint64_t outbox_next_due(struct outbox *outbox, uint64_t now);

/** outbox_first_held() - the first settled entry that waits for a debounce; all behind it wait for
 * it too. NULL where nothing is held. */
const struct outbox_entry *outbox_first_held(struct outbox *outbox, uint64_t now);

/* ---- reading: what is settled, never what is only staged ---- */

/** outbox_find() - the newest settled entry of @key, in flight or not; NULL if there is none. */
const struct outbox_entry *outbox_find(const struct outbox *outbox, const char *key);

/** outbox_first() - the oldest settled entry; outbox_next() - the one after @entry; or NULL. */
const struct outbox_entry *outbox_first(const struct outbox *outbox);
const struct outbox_entry *outbox_next(const struct outbox_entry *entry);

/** outbox_first_waiting() - the oldest settled entry that is not in flight; or NULL. */
const struct outbox_entry *outbox_first_waiting(const struct outbox *outbox);

/** outbox_covers() - whether a settled entry has first ≤ @serial ≤ its own serial. */
bool outbox_covers(const struct outbox *outbox, uint64_t serial);

/** outbox_holds_upto() - whether a settled entry has first ≤ @limit. */
bool outbox_holds_upto(const struct outbox *outbox, uint64_t limit);

/** outbox_count(), outbox_bytes() - settled entries and their keys + values. */
unsigned int outbox_count(const struct outbox *outbox);
uint64_t outbox_bytes(const struct outbox *outbox);

/** outbox_planned_bytes() - the same, as it will be once the plan under way is settled. */
uint64_t outbox_planned_bytes(const struct outbox *outbox);

/** outbox_last_serial() - the last serial given out, or the one before the first. */
uint64_t outbox_last_serial(const struct outbox *outbox);
