/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sizes of the items a batch names are asked for once each and kept in slots; two operations on
 * one item share a slot. Then the batch is played on the slots alone. A group that turns out not to
 * fit is struck out and the play starts again, since what came before it in the group had been
 * counted as applied; each play strikes out one group more, so it ends.
 */

#include <glib.h>
#include <string.h>

#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "plan.h"

struct plan_slot {
	int64_t stored;	/* bytes in the store, -1: absent */
	int64_t size;	/* the same as the play goes on */
};

struct plan {
	const struct wire_op *ops;
	size_t n;
	struct plan_slot *slots;
	size_t n_slots;
	size_t *slot_of;	/* operation → slot */
	char *verdicts;
	struct plan_usage usage;
};

static const struct {
	char verdict;
	enum wire_op_error error;
	const char *message;
} verdict_table[] = {
	{ VERDICT_APPLIED, WIRE_OP_OK, NULL },
	{ VERDICT_AREA, WIRE_OP_REJECTED,
	  "Not an area: 1 to 255 bytes of A-Z a-z 0-9 . _ -, not starting with a dot." },
	{ VERDICT_KEY, WIRE_OP_REJECTED,
	  "Not a key: 1 to 512 bytes of UTF-8 without control characters." },
	{ VERDICT_VALUE, WIRE_OP_REJECTED, "Not a value: at most 1 MiB of UTF-8 without NUL." },
	{ VERDICT_GROUP, WIRE_OP_REJECTED, "Another operation of its group was rejected." },
	{ VERDICT_MAX_KEYS, WIRE_OP_QUOTA,
	  "The parent keeps no more keys for this user; remove some first." },
	{ VERDICT_MAX_BYTES, WIRE_OP_QUOTA,
	  "The parent keeps no more bytes for this user; remove something first." },
	{ VERDICT_GROUP_QUOTA, WIRE_OP_QUOTA,
	  "Another operation of its group was over the quota." },
};

enum wire_op_error verdict_error(char verdict)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verdict_table); i++)
		if (verdict_table[i].verdict == verdict)
			return verdict_table[i].error;
	return WIRE_OP_REJECTED;
}

const char *verdict_message(char verdict)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verdict_table); i++)
		if (verdict_table[i].verdict == verdict)
			return verdict_table[i].message;
	return "Refused.";
}

static char op_check(const struct wire_op *op)
{
	if (!area_full_name_valid(op->area))
		return VERDICT_AREA;
	if (!op->key || key_check(op->key) != HF_OK)
		return VERDICT_KEY;
	if (op->value && value_check(op->value, LIMIT_VALUE_BYTES) != HF_OK)
		return VERDICT_VALUE;
	return VERDICT_APPLIED;
}

static int64_t op_size(const struct wire_op *op)
{
	return (int64_t)(strlen(op->key) + strlen(op->value));
}

/* Every member of @group that still counts as applied goes with the one that was refused. */
static void plan_strike_group(struct plan *plan, uint64_t group, char verdict)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->ops[i].grouped && plan->ops[i].group == group &&
		    plan->verdicts[i] == VERDICT_APPLIED)
			plan->verdicts[i] = verdict;
}

static void plan_check(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		plan->verdicts[i] = op_check(&plan->ops[i]);
	for (size_t i = 0; i < plan->n; i++)
		if (plan->ops[i].grouped && plan->verdicts[i] != VERDICT_APPLIED &&
		    plan->verdicts[i] != VERDICT_GROUP)
			plan_strike_group(plan, plan->ops[i].group, VERDICT_GROUP);
}

static guint item_hash(gconstpointer data)
{
	const struct wire_op *op = data;

	return g_str_hash(op->area) * 31 + g_str_hash(op->key);
}

static gboolean item_equal(gconstpointer a, gconstpointer b)
{
	const struct wire_op *x = a, *y = b;

	return strcmp(x->key, y->key) == 0 && strcmp(x->area, y->area) == 0;
}

static int plan_load(struct plan *plan, plan_size_t size, void *data)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(item_hash, item_equal);

	for (size_t i = 0; i < plan->n; i++) {
		gpointer slot;
		int r;

		if (plan->verdicts[i] != VERDICT_APPLIED)
			continue;
		if (g_hash_table_lookup_extended(seen, &plan->ops[i], NULL, &slot)) {
			plan->slot_of[i] = GPOINTER_TO_SIZE(slot);
			continue;
		}
		r = size(data, &plan->ops[i], &plan->slots[plan->n_slots].stored);
		if (r < 0)
			return r;
		plan->slot_of[i] = plan->n_slots++;
		g_hash_table_insert(seen, (void *)&plan->ops[i],
				    GSIZE_TO_POINTER(plan->slot_of[i]));
	}
	return 0;
}

/* What a set of @size bytes over @slot would be refused for; a set that does not grow never is. */
static char plan_quota(const struct plan *plan, const struct plan_slot *slot, int64_t size,
		       const struct plan_usage *max)
{
	int64_t grown = size - MAX(slot->size, 0);

	if (slot->size < 0 && plan->usage.keys >= max->keys)
		return VERDICT_MAX_KEYS;
	if (grown > 0 && plan->usage.bytes + (uint64_t)grown > max->bytes)
		return VERDICT_MAX_BYTES;
	return VERDICT_APPLIED;
}

/* Make @slot hold @size bytes, -1: nothing. */
static void plan_put(struct plan *plan, struct plan_slot *slot, int64_t size)
{
	plan->usage.keys += (uint64_t)((size >= 0) - (slot->size >= 0));
	plan->usage.bytes += (uint64_t)(MAX(size, 0) - MAX(slot->size, 0));
	slot->size = size;
}

/* Return: true where a group was struck out and the play has to start again. */
static bool plan_play(struct plan *plan, const struct plan_usage *max)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct wire_op *op = &plan->ops[i];
		struct plan_slot *slot = &plan->slots[plan->slot_of[i]];
		char verdict;

		if (plan->verdicts[i] != VERDICT_APPLIED)
			continue;
		if (!op->value) {
			plan_put(plan, slot, -1);
			continue;
		}
		verdict = plan_quota(plan, slot, op_size(op), max);
		if (verdict == VERDICT_APPLIED) {
			plan_put(plan, slot, op_size(op));
			continue;
		}
		plan->verdicts[i] = verdict;
		if (op->grouped) {
			plan_strike_group(plan, op->group, VERDICT_GROUP_QUOTA);
			return true;
		}
	}
	return false;
}

/* As before the first operation, but for what was struck out with its group. */
static void plan_rewind(struct plan *plan, const struct plan_usage *usage)
{
	plan->usage = *usage;
	for (size_t i = 0; i < plan->n_slots; i++)
		plan->slots[i].size = plan->slots[i].stored;
	for (size_t i = 0; i < plan->n; i++)
		if (!plan->ops[i].grouped && verdict_error(plan->verdicts[i]) == WIRE_OP_QUOTA)
			plan->verdicts[i] = VERDICT_APPLIED;
}

int plan_decide(const struct wire_op *ops, size_t n, struct plan_usage *usage,
		const struct plan_usage *max, plan_size_t size, void *data, char *ret_verdicts)
{
	g_autofree struct plan_slot *slots = g_new0(struct plan_slot, n + 1);
	g_autofree size_t *slot_of = g_new0(size_t, n + 1);
	struct plan plan = {
		.ops = ops,
		.n = n,
		.slots = slots,
		.slot_of = slot_of,
		.verdicts = ret_verdicts,
	};
	int r;

	plan_check(&plan);
	ret_verdicts[n] = '\0';
	r = plan_load(&plan, size, data);
	if (r < 0)
		return r;
	do
		plan_rewind(&plan, usage);
	while (plan_play(&plan, max));
	*usage = plan.usage;
	return 0;
}
