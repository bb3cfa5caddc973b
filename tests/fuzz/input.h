/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A fuzzer's bytes as choices. Where they have run out every choice is the first, so an input that
 * is cut still means the same up to there.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *data;
	size_t left;
};

static inline uint8_t input_byte(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->data++;
}

/** input_pick() - one of @n, at most 2^24. */
static inline unsigned int input_pick(struct input *input, unsigned int n)
{
	unsigned int value = input_byte(input);

	for (unsigned int top = 0x100; top < n; top <<= 8)
		value = value << 8 | input_byte(input);
	return value % n;
}

/** input_number() - an integer as a peer may send it: small, at an edge, or any. */
static inline int64_t input_number(struct input *input)
{
	static const int64_t edges[] = {
		0, -1, INT32_MAX, UINT32_MAX, INT64_C(1) << 53, (INT64_C(1) << 53) + 1,
		-(INT64_C(1) << 53), INT64_MAX, INT64_MIN, 1000, 3600000, 3600001,
	};
	unsigned int kind = input_pick(input, 64);
	int64_t value = 0;

	if (kind < G_N_ELEMENTS(edges))
		return edges[kind];
	if (kind < 60)
		return kind - (int64_t)G_N_ELEMENTS(edges);
	for (unsigned int i = 0; i < 8; i++)
		value = (int64_t)((uint64_t)value << 8 | input_byte(input));
	return value;
}

/** input_rest() - at most @most of the bytes that are left; @ret_len: how many. */
static inline const uint8_t *input_rest(struct input *input, size_t most, size_t *ret_len)
{
	const uint8_t *data = input->data;

	*ret_len = MIN(most, input->left);
	input->data += *ret_len;
	input->left -= *ret_len;
	return data;
}
