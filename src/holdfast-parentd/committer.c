/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The main loop owns `waiting`; `round` belongs to the worker thread while `running`. A round that
 * fails as a whole is tried again request by request, so that one that the disk has no room for
 * does not take the others with it.
 */

#include <glib.h>

#include "committer.h"

struct entry {
	struct request *request;
	committer_done_t done;
	void *data;
	int result;
};

struct committer {
	struct worker *worker;
	struct ledger *ledger;
	struct database *db;
	GQueue waiting;		/* struct entry */
	GPtrArray *round;	/* struct entry */
	bool running;
	int error;		/* of the last round that wrote */
	void (*changed)(void *data, int error);
	void *changed_data;
};

struct committer *committer_new(struct worker *worker, struct ledger *ledger, struct database *db)
{
	struct committer *committer = g_new0(struct committer, 1);

	committer->worker = worker;
	committer->ledger = ledger;
	committer->db = db;
	committer->round = g_ptr_array_new();
	g_queue_init(&committer->waiting);
	return committer;
}

struct committer *committer_free(struct committer *committer)
{
	if (!committer)
		return NULL;

	/* The end of a round starts the next. */
	worker_drain(committer->worker);
	g_ptr_array_unref(committer->round);
	g_free(committer);
	return NULL;
}

void committer_watch(struct committer *committer, void (*changed)(void *data, int error),
		     void *data)
{
	committer->changed = changed;
	committer->changed_data = data;
}

/* ---- on the worker thread ---- */

static int round_commit(struct committer *committer, guint first, guint n)
{
	int r = database_begin(committer->db);

	for (guint i = first; r >= 0 && i < first + n; i++) {
		struct entry *entry = committer->round->pdata[i];

		r = ledger_apply(committer->ledger, entry->request);
	}
	if (r < 0) {
		database_end(committer->db, false);
		return r;
	}
	return database_end(committer->db, true);
}

static int round_run(void *job)
{
	struct committer *committer = job;
	GPtrArray *round = committer->round;

	for (guint i = 0; i < round->len; i++)
		ledger_note(committer->ledger, ((struct entry *)round->pdata[i])->request);
	if (round_commit(committer, 0, round->len) == 0)
		return 0;
	/* The log may have taken all the room there was, and may have nothing left to keep. */
	database_shrink(committer->db);
	for (guint i = 0; i < round->len; i++)
		((struct entry *)round->pdata[i])->result = round_commit(committer, i, 1);
	return 0;
}

/* ---- on the main loop ---- */

static void committer_start(struct committer *committer);

static void committer_set_error(struct committer *committer, int error)
{
	if (committer->error == error)
		return;
	committer->error = error;
	if (committer->changed)
		committer->changed(committer->changed_data, error);
}

static void round_done(void *job, int result)
{
	struct committer *committer = job;
	GPtrArray *ended = committer->round;
	bool wrote = false;
	int error = 0;

	committer->round = g_ptr_array_new();
	committer->running = false;
	/* The disk goes on working while the answers are written. */
	committer_start(committer);
	for (guint i = 0; i < ended->len; i++) {
		struct entry *entry = ended->pdata[i];

		/* The worker's own error: the round has not run. */
		if (result < 0)
			entry->result = result;
		error = error ? error : entry->result;
		wrote |= entry->request->n_ops > 0 && !entry->request->outcome.duplicate;
		entry->done(entry->data, entry->request, entry->result);
		g_free(entry);
	}
	g_ptr_array_unref(ended);
	/* A round that had nothing to write says nothing about the disk. */
	if (error < 0 || wrote)
		committer_set_error(committer, error);
}

static void committer_start(struct committer *committer)
{
	size_t ops = 0;

	if (committer->running || g_queue_is_empty(&committer->waiting))
		return;
	while (!g_queue_is_empty(&committer->waiting)) {
		struct entry *entry = g_queue_peek_head(&committer->waiting);

		ops += entry->request->n_ops;
		if (committer->round->len > 0 &&
		    (ops > COMMITTER_OPS || committer->round->len >= COMMITTER_REQUESTS))
			break;
		g_ptr_array_add(committer->round, g_queue_pop_head(&committer->waiting));
	}
	committer->running = true;
	worker_submit(committer->worker, round_run, round_done, committer);
}

void committer_submit(struct committer *committer, struct request *request, committer_done_t done,
		      void *data)
{
	struct entry *entry = g_new0(struct entry, 1);

	entry->request = request;
	entry->done = done;
	entry->data = data;
	g_queue_push_tail(&committer->waiting, entry);
	committer_start(committer);
}
