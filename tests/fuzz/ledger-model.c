/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See ledger-model.h. */

#include <string.h>

#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "ledger-model.h"

static struct ledger_model *the_model;

/* What the linker puts before the real ones. */
int __real_ledger_apply(struct ledger *ledger, struct request *request);
int __wrap_ledger_apply(struct ledger *ledger, struct request *request);
void __real_ledger_note(struct ledger *ledger, const struct request *request);
void __wrap_ledger_note(struct ledger *ledger, const struct request *request);
int __real_database_end(struct database *db, bool commit);
int __wrap_database_end(struct database *db, bool commit);
void __real_database_shrink(struct database *db);
void __wrap_database_shrink(struct database *db);

/* A change to be undone should the transaction fail: of an item, or of a client. */
struct change {
	struct owner *owner;
	char *item;		/* "area\nkey", NULL: */
	char *client;
	struct kept *before;	/* of the client; NULL: it was not known */
	uint64_t revision, keys, bytes;	/* as they were */
};

/* ---- owners ---- */

static void versions_free(void *versions)
{
	g_array_unref(versions);
}

static void version_clear(void *version)
{
	g_free(((struct version *)version)->value);
}

static void kept_free(void *kept)
{
	if (kept)
		g_free(((struct kept *)kept)->verdicts);
	g_free(kept);
}

static void owner_free(void *data)
{
	struct owner *owner = data;

	g_hash_table_unref(owner->items);
	g_hash_table_unref(owner->clients);
	g_free(owner->name);
	g_free(owner);
}

static struct owner *find_owner(struct ledger_model *model, const char *principal)
{
	struct owner *owner = g_hash_table_lookup(model->owners, principal);

	if (owner)
		return owner;
	owner = g_new0(struct owner, 1);
	owner->name = g_strdup(principal);
	owner->items = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, versions_free);
	owner->clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, kept_free);
	g_hash_table_insert(model->owners, owner->name, owner);
	return owner;
}

static struct version *last_version(GArray *versions)
{
	return versions && versions->len ? &g_array_index(versions, struct version,
							  versions->len - 1) : NULL;
}

static const char *item_value(const struct owner *owner, const char *item)
{
	struct version *last = last_version(g_hash_table_lookup(owner->items, item));

	return last ? last->value : NULL;
}

static size_t item_bytes(const char *item, const char *value)
{
	return value ? strlen(strchr(item, '\n') + 1) + strlen(value) : 0;
}

static void item_put(struct ledger_model *model, struct owner *owner, const char *item,
		     const char *value)
{
	GArray *versions = g_hash_table_lookup(owner->items, item);
	const struct change change = {
		.owner = owner,
		.item = g_strdup(item),
		.revision = model->revision,
		.keys = owner->keys,
		.bytes = owner->bytes,
	};
	const struct version version = { model->revision + 1, g_strdup(value) };
	const char *before = item_value(owner, item);

	g_array_append_val(model->undo, change);
	owner->bytes += item_bytes(item, value) - item_bytes(item, before);
	owner->keys += (value ? 1 : 0) - (before ? 1 : 0);
	model->revision++;
	if (!versions) {
		versions = g_array_new(FALSE, FALSE, sizeof(struct version));
		g_array_set_clear_func(versions, version_clear);
		g_hash_table_insert(owner->items, g_strdup(item), versions);
	}
	g_array_append_val(versions, version);
}

static void client_put(struct ledger_model *model, struct owner *owner,
		       const struct request *request)
{
	struct kept *kept = g_new0(struct kept, 1);
	struct change change = {
		.owner = owner,
		.client = g_strdup(request->client),
		.revision = model->revision,
		.keys = owner->keys,
		.bytes = owner->bytes,
	};
	void *key;

	kept->number = request->number;
	g_strlcpy(kept->id, request->id, sizeof(kept->id));
	kept->base = request->outcome.base;
	kept->verdicts = g_strdup(request->outcome.verdicts);
	if (g_hash_table_steal_extended(owner->clients, request->client, &key,
					(void **)&change.before))
		g_free(key);
	g_array_append_val(model->undo, change);
	g_hash_table_insert(owner->clients, g_strdup(request->client), kept);
}

/* ---- what must come of operations ---- */

static char *op_item(const struct wire_op *op)
{
	return g_strdup_printf("%s\n%s", op->area, op->key);
}

static bool op_valid(const struct wire_op *op)
{
	return area_full_name_valid(op->area) && op->key && key_check(op->key) == HF_OK &&
	       (!op->value || value_check(op->value, LIMIT_VALUE_BYTES) == HF_OK);
}

static bool same_group(const struct wire_op *a, const struct wire_op *b)
{
	return a->grouped && b->grouped && a->group == b->group;
}

/* Refused as what it is: not valid, or of a group of which one is not. */
static bool must_reject(const struct request *request, size_t i)
{
	if (!op_valid(&request->ops[i]))
		return true;
	for (size_t j = 0; j < request->n_ops; j++)
		if (same_group(&request->ops[i], &request->ops[j]) && !op_valid(&request->ops[j]))
			return true;
	return false;
}

static bool is_applied(const struct request *request, size_t i)
{
	return verdict_error(request->outcome.verdicts[i]) == WIRE_OP_OK;
}

/* A group is applied whole or not at all; what is wrong is rejected, what is right is not. */
static void check_verdicts(const struct request *request)
{
	g_assert_cmpuint(strlen(request->outcome.verdicts), ==, request->n_ops);
	for (size_t i = 0; i < request->n_ops; i++) {
		enum wire_op_error error = verdict_error(request->outcome.verdicts[i]);

		g_assert_true(must_reject(request, i) == (error == WIRE_OP_REJECTED));
		g_assert_true(!error == !verdict_message(request->outcome.verdicts[i]));
		for (size_t j = 0; j < request->n_ops; j++)
			if (same_group(&request->ops[i], &request->ops[j]))
				g_assert_true(is_applied(request, i) == is_applied(request, j));
	}
}

/* Over a quota: it has to grow, and then there has to be no room. A group is not looked at, for
 * which of its members is to blame depends on the others. */
static void check_quota(const struct ledger_model *model, const struct owner *owner,
			const struct wire_op *op, bool applied)
{
	g_autofree char *item = op_item(op);
	const char *before = item_value(owner, item);
	size_t old = item_bytes(item, before), new = item_bytes(item, op->value);
	bool keys = !before && owner->keys >= model->max.keys;
	bool bytes = new > old && owner->bytes + (new - old) > model->max.bytes;

	if (applied)
		g_assert_false(op->value && (keys || bytes));
	else if (!op->grouped)
		g_assert_true(op->value && (keys || bytes));
}

static void judge_ops(struct ledger_model *model, const struct request *request)
{
	struct owner *owner = find_owner(model, request->principal);

	g_assert_true(request->outcome.has_results);
	g_assert_false(request->outcome.duplicate || request->outcome.refused);
	g_assert_cmpuint(request->outcome.base, ==, model->revision);
	check_verdicts(request);
	for (size_t i = 0; i < request->n_ops; i++) {
		const struct wire_op *op = &request->ops[i];
		g_autofree char *item = NULL;

		if (!must_reject(request, i))
			check_quota(model, owner, op, is_applied(request, i));
		if (!is_applied(request, i))
			continue;
		item = op_item(op);
		item_put(model, owner, item, op->value);
	}
}

static void judge_duplicate(struct ledger_model *model, const struct request *request,
			    const struct kept *kept)
{
	const struct outcome *outcome = &request->outcome;

	g_assert_true(outcome->duplicate && !outcome->refused);
	g_assert_cmpstr(outcome->id, ==, kept->id);
	g_assert_true(outcome->has_results == (request->number == kept->number));
	if (outcome->has_results) {
		g_assert_cmpuint(outcome->base, ==, kept->base);
		g_assert_cmpstr(outcome->verdicts, ==, kept->verdicts);
	}
	model->duplicates++;
}

static void judge_batch(struct ledger_model *model, const struct request *request)
{
	struct owner *owner = find_owner(model, request->principal);
	const struct kept *kept = g_hash_table_lookup(owner->clients, request->client);

	if (kept && request->number <= kept->number) {
		judge_duplicate(model, request, kept);
		return;
	}
	if (request->bad) {
		g_assert_true(request->outcome.refused && !request->outcome.has_results);
		return;
	}
	judge_ops(model, request);
	g_assert_cmpstr(request->outcome.id, ==, request->id);
	client_put(model, owner, request);
	model->applied++;
}

static void judge(struct ledger_model *model, const struct request *request)
{
	switch (request->kind) {
	case REQUEST_BATCH:
		judge_batch(model, request);
		break;
	case REQUEST_SINGLE:
		judge_ops(model, request);
		break;
	case REQUEST_ARRIVE:
	case REQUEST_DEPART:
		break;
	}
}

/* ---- transactions ---- */

static void change_forget(struct change *change)
{
	g_free(change->item);
	g_free(change->client);
	kept_free(change->before);
}

static void change_undo(struct ledger_model *model, struct change *change)
{
	struct owner *owner = change->owner;

	if (change->item) {
		GArray *versions = g_hash_table_lookup(owner->items, change->item);

		g_array_set_size(versions, versions->len - 1);
	} else if (change->before) {
		g_hash_table_replace(owner->clients, g_strdup(change->client),
				     g_steal_pointer(&change->before));
	} else {
		g_hash_table_remove(owner->clients, change->client);
	}
	model->revision = change->revision;
	owner->keys = change->keys;
	owner->bytes = change->bytes;
}

static void model_end(struct ledger_model *model, bool committed)
{
	for (unsigned int i = model->undo->len; i-- > 0;) {
		struct change *change = &g_array_index(model->undo, struct change, i);

		if (!committed)
			change_undo(model, change);
		change_forget(change);
	}
	g_array_set_size(model->undo, 0);
}

static void model_settle(struct ledger_model *model, const struct request *request, int error)
{
	struct fate *fate = g_hash_table_lookup(model->pending, request);

	if (!fate)
		return;
	g_assert_false(fate->done);
	fate->done = true;
	fate->error = error;
	fate->outcome = request->outcome;
	fate->outcome.verdicts = g_strdup(request->outcome.verdicts);
	g_hash_table_remove(model->pending, request);
}

int __wrap_ledger_apply(struct ledger *ledger, struct request *request)
{
	struct ledger_model *model = the_model;
	int r;

	g_ptr_array_add(model->attempted, request);
	if (model->fail_applies > 0) {
		model->fail_applies--;
		return model->fail_error;
	}
	r = __real_ledger_apply(ledger, request);
	g_assert_cmpint(r, ==, 0);
	judge(model, request);
	return 0;
}

void __wrap_ledger_note(struct ledger *ledger, const struct request *request)
{
	the_model->one_by_one = false;
	__real_ledger_note(ledger, request);
}

void __wrap_database_shrink(struct database *db)
{
	the_model->one_by_one = true;
	__real_database_shrink(db);
}

int __wrap_database_end(struct database *db, bool commit)
{
	struct ledger_model *model = the_model;
	bool fails = commit && model->fail_commits > 0;
	int r = __real_database_end(db, commit && !fails);

	g_assert_cmpint(r, ==, 0);
	if (fails) {
		model->fail_commits--;
		r = model->fail_error;
	}
	model_end(model, commit && !fails);
	model->rounds++;
	for (unsigned int i = 0; i < model->attempted->len; i++) {
		if (commit && !fails)
			model_settle(model, model->attempted->pdata[i], 0);
		else if (model->one_by_one)
			model_settle(model, model->attempted->pdata[i], model->fail_error);
	}
	g_ptr_array_set_size(model->attempted, 0);
	return r;
}

/* ---- asking ---- */

void fate_deinit(struct fate *fate)
{
	outcome_deinit(&fate->outcome);
}

void ledger_model_expect(struct ledger_model *model, const struct request *request,
			 struct fate *fate)
{
	g_hash_table_insert(model->pending, (void *)request, fate);
}

static gboolean is_fate(void *request, void *fate, void *data)
{
	(void)request;
	return fate == data;
}

void ledger_model_forget(struct ledger_model *model, const struct fate *fate)
{
	g_hash_table_foreach_remove(model->pending, is_fate, (void *)fate);
}

uint64_t ledger_model_last(struct ledger_model *model, const char *principal, const char *client)
{
	const struct kept *kept =
		g_hash_table_lookup(find_owner(model, principal)->clients, client);

	return kept ? kept->number : 0;
}

const char *ledger_model_get(struct ledger_model *model, const char *principal, const char *area,
			     const char *key, uint64_t revision)
{
	g_autofree char *item = g_strdup_printf("%s\n%s", area, key);
	const GArray *versions = g_hash_table_lookup(find_owner(model, principal)->items, item);

	for (unsigned int i = versions ? versions->len : 0; i-- > 0;) {
		const struct version *version = &g_array_index(versions, struct version, i);

		if (version->revision <= revision)
			return version->value;
	}
	return NULL;
}

/* ---- the database ---- */

static sqlite3_stmt *query(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;

	g_assert_cmpint(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), ==, SQLITE_OK);
	return stmt;
}

static const char *text(sqlite3_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt, column);
}

static unsigned int count_items(struct ledger_model *model)
{
	GHashTableIter i, j;
	void *owner, *versions;
	unsigned int n = 0;

	g_hash_table_iter_init(&i, model->owners);
	while (g_hash_table_iter_next(&i, NULL, &owner)) {
		unsigned int keys = 0;

		g_hash_table_iter_init(&j, ((struct owner *)owner)->items);
		while (g_hash_table_iter_next(&j, NULL, &versions))
			keys += last_version(versions) && last_version(versions)->value;
		g_assert_cmpuint(keys, ==, ((struct owner *)owner)->keys);
		n += keys;
	}
	return n;
}

static void check_items(struct ledger_model *model, sqlite3 *db)
{
	sqlite3_stmt *stmt = query(db, "SELECT name,area,key,revision,value FROM item JOIN "
				       "principal ON principal.id=item.principal");
	unsigned int n = 0;

	for (; sqlite3_step(stmt) == SQLITE_ROW; n++) {
		const struct owner *owner = find_owner(model, text(stmt, 0));
		g_autofree char *item = g_strdup_printf("%s\n%s", text(stmt, 1), text(stmt, 2));
		const struct version *last =
			last_version(g_hash_table_lookup(owner->items, item));

		g_assert_nonnull(last);
		g_assert_cmpstr(last->value, ==, text(stmt, 4));
		g_assert_cmpuint(last->revision, ==, (uint64_t)sqlite3_column_int64(stmt, 3));
	}
	sqlite3_finalize(stmt);
	g_assert_cmpuint(n, ==, count_items(model));
}

static void check_clients(struct ledger_model *model, sqlite3 *db)
{
	sqlite3_stmt *stmt = query(db, "SELECT name,client,batch,client.id,base,verdicts FROM "
				       "client JOIN principal ON principal.id=client.principal");

	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const struct owner *owner = find_owner(model, text(stmt, 0));
		const struct kept *kept = g_hash_table_lookup(owner->clients, text(stmt, 1));

		g_assert_nonnull(kept);
		g_assert_cmpuint(kept->number, ==, (uint64_t)sqlite3_column_int64(stmt, 2));
		g_assert_cmpstr(kept->id, ==, text(stmt, 3));
		g_assert_cmpuint(kept->base, ==, (uint64_t)sqlite3_column_int64(stmt, 4));
		g_assert_cmpstr(kept->verdicts, ==, text(stmt, 5));
	}
	sqlite3_finalize(stmt);
}

static void check_owners(struct ledger_model *model, sqlite3 *db)
{
	sqlite3_stmt *stmt = query(db, "SELECT name,keys,bytes,(SELECT count(*) FROM client WHERE "
				       "principal=principal.id),(SELECT revision FROM store) "
				       "FROM principal");

	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const struct owner *owner = find_owner(model, text(stmt, 0));

		g_assert_cmpuint(owner->keys, ==, (uint64_t)sqlite3_column_int64(stmt, 1));
		g_assert_cmpuint(owner->bytes, ==, (uint64_t)sqlite3_column_int64(stmt, 2));
		g_assert_cmpuint(g_hash_table_size(owner->clients), ==,
				 (uint64_t)sqlite3_column_int64(stmt, 3));
		g_assert_cmpuint(model->revision, ==, (uint64_t)sqlite3_column_int64(stmt, 4));
	}
	sqlite3_finalize(stmt);
}

void ledger_model_check(struct ledger_model *model, sqlite3 *db)
{
	g_assert_cmpuint(model->undo->len, ==, 0);
	check_items(model, db);
	check_clients(model, db);
	check_owners(model, db);
}

/* ---- life ---- */

struct ledger_model *ledger_model_new(const struct plan_usage *max)
{
	struct ledger_model *model = g_new0(struct ledger_model, 1);

	model->max = *max;
	model->owners = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, owner_free);
	model->pending = g_hash_table_new(NULL, NULL);
	model->undo = g_array_new(FALSE, FALSE, sizeof(struct change));
	model->attempted = g_ptr_array_new();
	the_model = model;
	return model;
}

struct ledger_model *ledger_model_free(struct ledger_model *model)
{
	g_assert_cmpuint(g_hash_table_size(model->pending), ==, 0);
	g_hash_table_unref(model->owners);
	g_hash_table_unref(model->pending);
	g_array_unref(model->undo);
	g_ptr_array_unref(model->attempted);
	g_free(model);
	the_model = NULL;
	return NULL;
}
