/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Group commit for all who change what is stored; see committer.h. */

#include <assert.h>

#include "engine/committer.h"
#include "engine/metrics.h"

struct committer {
	struct store *store;
	struct metrics *metrics;
	struct commit_member *first, *last;
	GQueue wants;
	GQueue alone;		/* those of them that want a transaction of their own */
	GQueue joined;		/* in the transaction under way */
	int last_error;		/* of the last transaction told */
	bool running;		/* a transaction is under way or being settled */
	void (*idle)(void *data);
	void *idle_data;
	void (*ended)(void *data, int result);
	void *ended_data;
};

struct committer *committer_new(struct store *store, struct metrics *metrics)
{
	struct committer *committer = g_new0(struct committer, 1);

	committer->store = store;
	committer->metrics = metrics;
	g_queue_init(&committer->wants);
	g_queue_init(&committer->alone);
	g_queue_init(&committer->joined);
	return committer;
}

struct committer *committer_free(struct committer *committer)
{
	if (!committer)
		return NULL;

	assert(!committer->running);
	g_free(committer);
	return NULL;
}

void commit_member_init(struct commit_member *member, bool (*plan)(void *, struct store_tx *),
			void (*settled)(void *, int), void *data)
{
	*member = (struct commit_member){ .plan = plan, .settled = settled, .data = data };
}

void committer_set_first(struct committer *committer, struct commit_member *member)
{
	committer->first = member;
}

void committer_set_last(struct committer *committer, struct commit_member *member)
{
	committer->last = member;
}

static void queue_push(GQueue *queue, GList *link, struct commit_member *member)
{
	link->data = member;
	g_queue_push_tail_link(queue, link);
}

static struct commit_member *queue_pop(GQueue *queue)
{
	GList *link = g_queue_pop_head_link(queue);
	struct commit_member *member;

	if (!link)
		return NULL;
	member = link->data;
	link->data = NULL;
	return member;
}

static void committer_ask(struct committer *committer, struct commit_member *member,
			  struct store_tx *tx)
{
	if (member->plan(member->data, tx))
		queue_push(&committer->joined, &member->joined, member);
}

static void committer_unlink_want(struct committer *committer, struct commit_member *member)
{
	if (!member->wants.data)
		return;
	/* It is in one of the two; unlinking from the other would harm its counts. */
	if (g_queue_index(&committer->alone, member) >= 0)
		g_queue_unlink(&committer->alone, &member->wants);
	else
		g_queue_unlink(&committer->wants, &member->wants);
	member->wants.data = NULL;
}

static void committer_gather(struct committer *committer, struct store_tx *tx)
{
	struct commit_member *member = queue_pop(&committer->alone);
	bool last_asked = false;
	unsigned int n;

	if (member) {
		committer_ask(committer, member, tx);
		return;
	}
	if (committer->first) {
		committer_unlink_want(committer, committer->first);
		committer_ask(committer, committer->first, tx);
	}
	/* A plan may make its member want again: that is for the next cycle. */
	n = committer->wants.length;
	while (n-- > 0) {
		member = queue_pop(&committer->wants);
		if (!member)
			break;
		if (member == committer->last) {
			last_asked = true;
			continue;
		}
		committer_ask(committer, member, tx);
	}
	if (committer->last && (last_asked || committer->joined.length > 0))
		committer_ask(committer, committer->last, tx);
}

static void committer_tell(struct committer *committer, int result)
{
	struct commit_member *member;
	unsigned int n = committer->joined.length;

	while (n-- > 0 && (member = queue_pop(&committer->joined)))
		member->settled(member->data, result);
}

static bool committer_wanted(const struct committer *committer)
{
	return committer->wants.length > 0 || committer->alone.length > 0;
}

static void committer_done(void *data, int result);

/* Run cycles until one has to wait for the disk or nothing is wanted. */
static void committer_run(struct committer *committer)
{
	struct store_tx *tx;
	void (*idle)(void *data);

	if (committer->running)
		return;
	committer->running = true;
	while (committer_wanted(committer)) {
		tx = store_tx_new();
		committer_gather(committer, tx);
		if (!store_tx_is_empty(tx)) {
			store_submit(committer->store, tx, committer_done, committer);
			return;
		}
		/* Nothing for the disk (Durability=memory, or all of it refused). */
		store_tx_free(tx);
		committer_tell(committer, 0);
	}
	committer->running = false;

	idle = committer->idle;
	committer->idle = NULL;
	if (idle)
		idle(committer->idle_data);
}

static void committer_done(void *data, int result)
{
	struct committer *committer = data;

	committer->last_error = result;
	metrics_count_commit(committer->metrics, result, store_commit_time(committer->store));
	if (committer->ended)
		committer->ended(committer->ended_data, result);
	/* Still `running` while they are told, so that a want made by one of them joins all the
	 * others' wants in the next transaction. */
	committer_tell(committer, result);
	committer->running = false;
	committer_run(committer);
}

void committer_want(struct committer *committer, struct commit_member *member)
{
	if (!member->wants.data)
		queue_push(&committer->wants, &member->wants, member);
	committer_run(committer);
}

void committer_want_alone(struct committer *committer, struct commit_member *member)
{
	if (!member->wants.data)
		queue_push(&committer->alone, &member->wants, member);
	committer_run(committer);
}

void committer_forget(struct committer *committer, struct commit_member *member)
{
	assert(!member->joined.data);
	committer_unlink_want(committer, member);
	if (committer->first == member)
		committer->first = NULL;
	if (committer->last == member)
		committer->last = NULL;
}

const char *committer_problem(const struct committer *committer)
{
	if (store_is_damaged(committer->store))
		return "the database is damaged; restart holdfastd";
	return committer->last_error < 0 ? g_strerror(-committer->last_error) : "";
}

void committer_watch(struct committer *committer, void (*func)(void *data, int result), void *data)
{
	committer->ended = func;
	committer->ended_data = data;
}

bool committer_is_idle(const struct committer *committer)
{
	return !committer->running && !committer_wanted(committer);
}

void committer_when_idle(struct committer *committer, void (*func)(void *data), void *data)
{
	if (committer_is_idle(committer)) {
		func(data);
		return;
	}
	assert(!committer->idle);
	committer->idle = func;
	committer->idle_data = data;
}
