/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The accounts of the store: applies batches and single writes, keeps for each client its last
 * batch's number, id and results, and forgets the clients that were away longest. All of it in
 * transactions the caller ends, and all of it on the worker thread; only ledger_new() and
 * ledger_free() are called where that thread has nothing to do.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "database.h"
#include "plan.h"

#define LEDGER_CLIENTS 1024	/* remembered per principal: a few KiB each at most */

enum request_kind {
	REQUEST_BATCH,	/* a numbered batch */
	REQUEST_SINGLE,	/* one write of its own (Direct) */
	REQUEST_ARRIVE,	/* the client is connected: never forgotten until … */
	REQUEST_DEPART,	/* … it is not any more */
};

/* The answer to a request, once its transaction is durable. */
struct outcome {
	bool duplicate;		/* the number was applied before; nothing was done now */
	bool has_results;	/* verdicts are those of this number */
	bool refused;		/* the number is new and the batch a bad one; nothing was done */
	char id[UTIL_ID_SIZE];	/* as it was applied; "" where not known */
	uint64_t base;		/* the applied operations have the revisions from base + 1 on */
	char *verdicts;		/* letters of enum verdict */
};

/* Operations are borrowed and must live until the answer. */
struct request {
	enum request_kind kind;
	const char *principal;
	const char *client;	/* 32 hex */
	uint64_t number;	/* REQUEST_BATCH */
	const char *id;		/* REQUEST_BATCH */
	bool bad;		/* REQUEST_BATCH: no operations can be made of it; n_ops is 0 */
	const struct wire_op *ops;
	size_t n_ops;
	struct outcome outcome;
};

struct ledger;

/**
 * ledger_new() - open the accounts.
 * @db: must outlive the ledger
 * @max: quota of each principal
 */
int ledger_new(struct database *db, const struct plan_usage *max, struct ledger **ret);
struct ledger *ledger_free(struct ledger *ledger);

/**
 * ledger_apply() - do what @request asks, in the transaction that is open.
 *
 * Return: 0 with its outcome filled, or a negative errno: the transaction must be undone.
 */
int ledger_apply(struct ledger *ledger, struct request *request);

/** ledger_note() - a client comes or goes, whatever becomes of the transaction. */
void ledger_note(struct ledger *ledger, const struct request *request);

/** outcome_deinit() - release it; an all-zero outcome is fine, and is what is left. */
void outcome_deinit(struct outcome *outcome);
