/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A batch costs one read and one write each of the principal's, the store's and the client's row,
 * and per operation a look at the item's size and the write. Nothing is cached between requests, so
 * a transaction that is undone leaves nothing here to undo but `seen`, which only has to rise.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "ledger.h"

struct ledger {
	struct database *db;
	struct plan_usage max;
	GHashTable *connected;	/* "client principal" */
	int64_t seen;		/* the last one given; a count, since wall clocks jump */
};

struct account {
	int64_t id;
	struct plan_usage usage;
};

int ledger_new(struct database *db, const struct plan_usage *max, struct ledger **ret)
{
	sqlite3_stmt *seen = database_statement(db, STATEMENT_CLIENT_SEEN);
	struct ledger *ledger;
	int r;

	r = database_step(seen);
	if (r < 0)
		return r;
	ledger = g_new0(struct ledger, 1);
	ledger->db = db;
	ledger->max = *max;
	ledger->seen = sqlite3_column_int64(seen, 0);
	ledger->connected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sqlite3_reset(seen);
	*ret = ledger;
	return 0;
}

struct ledger *ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return NULL;

	g_hash_table_unref(ledger->connected);
	g_free(ledger);
	return NULL;
}

void outcome_deinit(struct outcome *outcome)
{
	g_free(outcome->verdicts);
	memset(outcome, 0, sizeof(*outcome));
}

static void bind_text(sqlite3_stmt *statement, int column, const char *text)
{
	sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

static char *connected_name(const char *principal, const char *client)
{
	return g_strconcat(client, " ", principal, NULL);
}

/* ---- accounts ---- */

/* Return: 1 found, 0 not known, or a negative errno. */
static int account_find(struct ledger *ledger, const char *principal, enum statement which,
			struct account *ret)
{
	sqlite3_stmt *statement = database_statement(ledger->db, which);
	int r;

	bind_text(statement, 1, principal);
	r = database_step(statement);
	if (r > 0) {
		ret->id = sqlite3_column_int64(statement, 0);
		ret->usage.keys = (uint64_t)sqlite3_column_int64(statement, 1);
		ret->usage.bytes = (uint64_t)sqlite3_column_int64(statement, 2);
		sqlite3_reset(statement);
	}
	return r;
}

static int account_open(struct ledger *ledger, const char *principal, struct account *ret)
{
	int r = account_find(ledger, principal, STATEMENT_PRINCIPAL_READ, ret);

	if (r == 0)
		r = account_find(ledger, principal, STATEMENT_PRINCIPAL_ADD, ret);
	return r < 0 ? r : 0;
}

static int account_write(struct ledger *ledger, const struct account *account)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_PRINCIPAL_WRITE);

	sqlite3_bind_int64(statement, 1, account->id);
	sqlite3_bind_int64(statement, 2, (int64_t)account->usage.keys);
	sqlite3_bind_int64(statement, 3, (int64_t)account->usage.bytes);
	return database_step(statement);
}

static int revision_read(struct ledger *ledger, uint64_t *ret)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_REVISION_READ);
	int r = database_step(statement);

	if (r <= 0)
		return r < 0 ? r : -EUCLEAN;
	*ret = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return 0;
}

static int revision_write(struct ledger *ledger, uint64_t revision)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_REVISION_WRITE);

	sqlite3_bind_int64(statement, 1, (int64_t)revision);
	return database_step(statement);
}

/* ---- items ---- */

static void item_bind(sqlite3_stmt *statement, const struct account *account,
		      const struct wire_op *op)
{
	sqlite3_bind_int64(statement, 1, account->id);
	bind_text(statement, 2, op->area);
	bind_text(statement, 3, op->key);
}

struct size_query {
	struct ledger *ledger;
	const struct account *account;
};

static int item_size(void *data, const struct wire_op *op, int64_t *ret_size)
{
	struct size_query *query = data;
	sqlite3_stmt *statement = database_statement(query->ledger->db, STATEMENT_ITEM_SIZE);
	int r;

	item_bind(statement, query->account, op);
	r = database_step(statement);
	if (r < 0)
		return r;
	*ret_size = r > 0 ? sqlite3_column_int64(statement, 0) : -1;
	sqlite3_reset(statement);
	return 0;
}

static int item_apply(struct ledger *ledger, const struct account *account,
		      const struct wire_op *op, uint64_t revision)
{
	sqlite3_stmt *statement = database_statement(
		ledger->db, op->value ? STATEMENT_ITEM_WRITE : STATEMENT_ITEM_REMOVE);

	item_bind(statement, account, op);
	if (op->value) {
		size_t len = strlen(op->value);

		sqlite3_bind_int64(statement, 4, (int64_t)revision);
		sqlite3_bind_int64(statement, 5, (int64_t)(strlen(op->key) + len));
		sqlite3_bind_text(statement, 6, op->value, (int)len, SQLITE_STATIC);
	}
	return database_step(statement);
}

/* Judge and apply the operations; the outcome has base and verdicts afterwards. */
static int ops_apply(struct ledger *ledger, struct request *request, struct account *account)
{
	struct size_query query = { ledger, account };
	struct outcome *outcome = &request->outcome;
	uint64_t revision;
	int r;

	r = revision_read(ledger, &revision);
	if (r < 0)
		return r;
	outcome->base = revision;
	outcome->has_results = true;
	outcome->verdicts = g_malloc(request->n_ops + 1);
	r = plan_decide(request->ops, request->n_ops, &account->usage, &ledger->max, item_size,
			&query, outcome->verdicts);
	for (size_t i = 0; r >= 0 && i < request->n_ops; i++)
		if (outcome->verdicts[i] == VERDICT_APPLIED)
			r = item_apply(ledger, account, &request->ops[i], ++revision);
	if (r >= 0 && revision > outcome->base)
		r = revision_write(ledger, revision);
	if (r >= 0 && revision > outcome->base)
		r = account_write(ledger, account);
	return r;
}

/* ---- clients ---- */

static int client_list(struct ledger *ledger, const struct account *account, GPtrArray *ret)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_CLIENT_LIST);
	int r;

	sqlite3_bind_int64(statement, 1, account->id);
	while ((r = database_step(statement)) > 0)
		g_ptr_array_add(ret, g_strdup((const char *)sqlite3_column_text(statement, 0)));
	return r;
}

static int client_forget(struct ledger *ledger, const struct account *account, const char *client)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_CLIENT_FORGET);

	sqlite3_bind_int64(statement, 1, account->id);
	bind_text(statement, 2, client);
	return database_step(statement);
}

/* A client never seen before wants a place: take it from the one longest away. */
static int clients_make_room(struct ledger *ledger, const struct account *account,
			     const char *principal)
{
	sqlite3_stmt *count = database_statement(ledger->db, STATEMENT_CLIENT_COUNT);
	g_autoptr(GPtrArray) clients = NULL;
	int64_t over;
	int r;

	sqlite3_bind_int64(count, 1, account->id);
	r = database_step(count);
	if (r < 0)
		return r;
	over = sqlite3_column_int64(count, 0) - (LEDGER_CLIENTS - 1);
	sqlite3_reset(count);
	if (over <= 0)
		return 0;

	clients = g_ptr_array_new_with_free_func(g_free);
	r = client_list(ledger, account, clients);
	for (guint i = 0; r >= 0 && over > 0 && i < clients->len; i++) {
		g_autofree char *name = connected_name(principal, clients->pdata[i]);

		if (g_hash_table_contains(ledger->connected, name))
			continue;
		r = client_forget(ledger, account, clients->pdata[i]);
		over--;
	}
	return r;
}

/* Return: 1 where the number was applied before, with the outcome filled; 0 where the number is
 * new; -ENOENT where the client is. */
static int client_compare(struct ledger *ledger, const struct account *account,
			  struct request *request)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_CLIENT_READ);
	struct outcome *outcome = &request->outcome;
	uint64_t last;
	int r;

	sqlite3_bind_int64(statement, 1, account->id);
	bind_text(statement, 2, request->client);
	r = database_step(statement);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	last = (uint64_t)sqlite3_column_int64(statement, 0);
	outcome->duplicate = request->number <= last;
	/* The id is that of the last batch even for an older number: a client that sends one of
	 * those was rolled back, and by the foreign id it learns so. */
	if (outcome->duplicate)
		g_strlcpy(outcome->id, (const char *)sqlite3_column_text(statement, 1),
			  sizeof(outcome->id));
	if (request->number == last) {
		outcome->base = (uint64_t)sqlite3_column_int64(statement, 2);
		outcome->verdicts = g_strdup((const char *)sqlite3_column_text(statement, 3));
		outcome->has_results = true;
	}
	sqlite3_reset(statement);
	return outcome->duplicate;
}

static int client_write(struct ledger *ledger, const struct account *account,
			const struct request *request)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_CLIENT_WRITE);

	sqlite3_bind_int64(statement, 1, account->id);
	bind_text(statement, 2, request->client);
	sqlite3_bind_int64(statement, 3, (int64_t)request->number);
	bind_text(statement, 4, request->id);
	sqlite3_bind_int64(statement, 5, (int64_t)request->outcome.base);
	bind_text(statement, 6, request->outcome.verdicts);
	sqlite3_bind_int64(statement, 7, ++ledger->seen);
	return database_step(statement);
}

static int client_touch(struct ledger *ledger, const struct request *request)
{
	sqlite3_stmt *statement = database_statement(ledger->db, STATEMENT_CLIENT_TOUCH);

	bind_text(statement, 1, request->principal);
	bind_text(statement, 2, request->client);
	sqlite3_bind_int64(statement, 3, ++ledger->seen);
	return database_step(statement);
}

/* ---- requests ---- */

static int batch_apply(struct ledger *ledger, struct request *request)
{
	struct account account;
	int r;

	r = account_open(ledger, request->principal, &account);
	if (r < 0)
		return r;
	/* Before any other check: a batch applied once is answered as it was then. */
	r = client_compare(ledger, &account, request);
	if (r > 0)
		return 0;
	if (request->bad && (r == 0 || r == -ENOENT)) {
		request->outcome.refused = true;
		return 0;
	}
	if (r == -ENOENT)
		r = clients_make_room(ledger, &account, request->principal);
	if (r < 0)
		return r;
	r = ops_apply(ledger, request, &account);
	if (r < 0)
		return r;
	g_strlcpy(request->outcome.id, request->id, sizeof(request->outcome.id));
	return client_write(ledger, &account, request);
}

static int single_apply(struct ledger *ledger, struct request *request)
{
	struct account account;
	int r = account_open(ledger, request->principal, &account);

	return r < 0 ? r : ops_apply(ledger, request, &account);
}

int ledger_apply(struct ledger *ledger, struct request *request)
{
	outcome_deinit(&request->outcome);
	switch (request->kind) {
	case REQUEST_BATCH:
		return batch_apply(ledger, request);
	case REQUEST_SINGLE:
		return single_apply(ledger, request);
	case REQUEST_ARRIVE:
	case REQUEST_DEPART:
		return client_touch(ledger, request);
	}
	return -EINVAL;
}

void ledger_note(struct ledger *ledger, const struct request *request)
{
	char *name = connected_name(request->principal, request->client);

	if (request->kind == REQUEST_ARRIVE) {
		g_hash_table_add(ledger->connected, name);
		return;
	}
	if (request->kind == REQUEST_DEPART)
		g_hash_table_remove(ledger->connected, name);
	g_free(name);
}
