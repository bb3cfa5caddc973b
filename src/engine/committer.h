/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The committer: one transaction at a time, into which everybody who waits for the disk goes.
 *
 * Whoever changes what is stored is a member. A member that wants something asked for; when the
 * disk is free the committer lets every such member plan its changes into one transaction, submits
 * it, and tells those that joined how it ended. While a transaction runs, wants gather for the
 * next: that is group commit, and it also means that no two plans are ever under way at once.
 *
 * The opener is the first member: it is asked in every cycle, before the others, so that an area is
 * on disk no later than what it holds. The sender is the last one: it is asked after the others, so
 * that what they just planned can go into a batch by the same commit.
 */

#include <glib.h>
#include <stdbool.h>

#include "store/store.h"

struct committer;
struct metrics;

/* Embedded in its owner; every field is the committer's. */
struct commit_member {
	/** plan - add changes to @tx. Return: whether it joins: then settled follows, once */
	bool (*plan)(void *data, struct store_tx *tx);
	/** settled - @result: 0, or a negative errno and nothing was changed */
	void (*settled)(void *data, int result);
	void *data;
	GList wants;	/* in the list of those that want a commit; data set while in it */
	GList joined;	/* in the list of those that joined; data set while in it */
};

/** committer_new() - @metrics: its commits are counted there. */
struct committer *committer_new(struct store *store, struct metrics *metrics);
/** committer_free() - no transaction may be under way. Return: NULL. */
struct committer *committer_free(struct committer *committer);

/** commit_member_init() - prepare a member. */
void commit_member_init(struct commit_member *member, bool (*plan)(void *, struct store_tx *),
			void (*settled)(void *, int), void *data);

/** committer_set_first() - the member that is asked first in every cycle but those that are one
 * member's alone; NULL: none. */
void committer_set_first(struct committer *committer, struct commit_member *member);

/** committer_set_last() - the member that is asked last in every cycle; NULL: none. */
void committer_set_last(struct committer *committer, struct commit_member *member);

/** committer_want() - @member has something: at once where the disk is free, else next time. */
void committer_want(struct committer *committer, struct commit_member *member);

/** committer_want_alone() - as above, but in a transaction of its own, so that what others put in
 * cannot make it fail. */
void committer_want_alone(struct committer *committer, struct commit_member *member);

/** committer_forget() - @member goes away; it must not have joined. */
void committer_forget(struct committer *committer, struct commit_member *member);

/** committer_problem() - what keeps the disk from being written or read, a clause; "": nothing. */
const char *committer_problem(const struct committer *committer);

/** committer_watch() - hear how each transaction ended, before its members do. */
void committer_watch(struct committer *committer, void (*func)(void *data, int result), void *data);

/** committer_is_idle() - nothing under way and nothing wanted. */
bool committer_is_idle(const struct committer *committer);

/** committer_when_idle() - call @func once when idle, perhaps before this returns. One at a time. */
void committer_when_idle(struct committer *committer, void (*func)(void *data), void *data);
