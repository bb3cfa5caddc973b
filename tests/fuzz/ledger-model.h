/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What holdfast-parentd's ledger must have done, told in the simplest words: items with all they
 * ever held, and of each client its last batch. It stands between the committer and the ledger
 * (linked with --wrap), so that it sees every request as it is applied, and can have the disk fail;
 * what it sees it judges at once, and keeps or forgets with the transaction.
 */

#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "holdfast-parentd/ledger.h"

/* How a request ended. */
struct fate {
	bool done;
	int error;		/* 0, or the disk's */
	struct outcome outcome;	/* with a copy of its own of the verdicts */
};

void fate_deinit(struct fate *fate);

/* The last version of an item at some revision. */
struct version {
	uint64_t revision;
	char *value;	/* NULL: removed */
};

struct kept {
	uint64_t number;
	char id[UTIL_ID_SIZE];
	uint64_t base;
	char *verdicts;
};

struct owner {
	char *name;
	GHashTable *items;	/* "area\nkey" → GArray of struct version, oldest first */
	GHashTable *clients;	/* id → struct kept */
	uint64_t keys, bytes;
};

struct ledger_model {
	struct plan_usage max;
	GHashTable *owners;	/* principal → struct owner */
	GHashTable *pending;	/* struct request → struct fate: those somebody waits for */
	GArray *undo;		/* struct change, of the transaction that is open */
	GPtrArray *attempted;	/* struct request, in it */
	bool one_by_one;	/* the round has failed as a whole */
	uint64_t revision;
	unsigned int fail_applies, fail_commits;	/* the next ones; 0: none */
	int fail_error;
	unsigned int applied, duplicates, rounds;
};

/** ledger_model_new() - of an empty store; there is one at a time. */
struct ledger_model *ledger_model_new(const struct plan_usage *max);
struct ledger_model *ledger_model_free(struct ledger_model *model);

/** ledger_model_expect() - somebody waits for @request: @fate tells how it ended. */
void ledger_model_expect(struct ledger_model *model, const struct request *request,
			 struct fate *fate);
/** ledger_model_forget() - nobody waits any more. */
void ledger_model_forget(struct ledger_model *model, const struct fate *fate);

/** ledger_model_last() - the number kept for a client, 0: none. */
uint64_t ledger_model_last(struct ledger_model *model, const char *principal, const char *client);

/** ledger_model_get() - what an item held at a revision; NULL: nothing. Borrowed. */
const char *ledger_model_get(struct ledger_model *model, const char *principal, const char *area,
			     const char *key, uint64_t revision);

/** ledger_model_check() - the database holds exactly this, no transaction being open. */
void ledger_model_check(struct ledger_model *model, sqlite3 *db);
