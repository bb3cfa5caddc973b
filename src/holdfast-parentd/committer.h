/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Group commit: while one transaction runs on the worker thread, the requests of all connections
 * gather, and go into the next together. Each is told once, in the order submitted, after its
 * transaction is durable or has failed.
 */

#include "base/worker.h"
#include "ledger.h"

/* One transaction takes no more than these, so that those behind it do not wait for ever. */
#define COMMITTER_REQUESTS 256		/* requests */
#define COMMITTER_OPS	   16000	/* their operations; always at least one request */

struct committer;

/**
 * committer_done_t - @error: 0, or the negative errno of database.h: nothing of it was applied.
 * The request is the callee's again.
 */
typedef void (*committer_done_t)(void *data, struct request *request, int error);

struct committer *committer_new(struct worker *worker, struct ledger *ledger, struct database *db);

/** committer_free() - end what runs and what waits, telling each. Return: NULL. */
struct committer *committer_free(struct committer *committer);

/** committer_watch() - @changed hears of it when writing begins to fail (@error) and when it works
 * again (0). */
void committer_watch(struct committer *committer, void (*changed)(void *data, int error),
		     void *data);

/** committer_submit() - queue @request; it must live until @done has been told. */
void committer_submit(struct committer *committer, struct request *request, committer_done_t done,
		      void *data);
