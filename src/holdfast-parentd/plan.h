/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What becomes of each operation of a batch, decided before any of it touches the store. Pure: the
 * operations, what the principal uses and a way to ask for the size of what is stored in; one
 * verdict per operation out.
 *
 * Operations with an equal group are all applied or none is; they need not stand together. Bytes
 * are those of keys and values, the same that the daemon counts.
 */

#include <stddef.h>
#include <stdint.h>

#include "wire/message.h"

/* Letters, because the verdicts of a client's last batch are kept in the database as a string. */
enum verdict {
	VERDICT_APPLIED = '.',
	VERDICT_AREA = 'a',		/* not an area's name */
	VERDICT_KEY = 'k',		/* not a key */
	VERDICT_VALUE = 'v',		/* not text, or over LIMIT_VALUE_BYTES */
	VERDICT_GROUP = 'g',		/* a member of its group was refused */
	VERDICT_MAX_KEYS = 'K',		/* quota */
	VERDICT_MAX_BYTES = 'B',	/* quota */
	VERDICT_GROUP_QUOTA = 'Q',	/* a member of its group was over the quota */
};

/* What a principal holds, and what it may hold. */
struct plan_usage {
	uint64_t keys;
	uint64_t bytes;
};

/**
 * plan_size_t - how many bytes (key + value) the store holds for the item @op names.
 * @ret_size: -1 where there is no such item
 *
 * Return: 0 or a negative errno.
 */
typedef int (*plan_size_t)(void *data, const struct wire_op *op, int64_t *ret_size);

/**
 * plan_decide() - judge @n operations in order.
 * @usage: of the principal; brought up to date with what is to be applied
 * @max: its quota; usage above it is left alone but cannot grow
 * @ret_verdicts: @n letters of enum verdict and a NUL
 *
 * Return: 0, or what @size returned, with @usage untouched.
 */
int plan_decide(const struct wire_op *ops, size_t n, struct plan_usage *usage,
		const struct plan_usage *max, plan_size_t size, void *data, char *ret_verdicts);

/** verdict_error() - the wire's word for @verdict. A letter we never wrote counts as rejected. */
enum wire_op_error verdict_error(char verdict);

/** verdict_message() - a sentence for people; NULL for VERDICT_APPLIED. */
const char *verdict_message(char verdict);
