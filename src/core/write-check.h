/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What may be written at all, before any quota: one item, or a group of them. */

#include <stdbool.h>
#include <stddef.h>

#include "core/outbox.h"

/**
 * write_check() - whether writes are well-formed and within the fixed limits.
 * @group: they are a group (SetItems): 1–LIMIT_GROUP_ITEMS of at most LIMIT_GROUP_BYTES
 * @max_value: bytes a value may have
 * @ret_detail: a sentence better than the error's usual one; untouched where there is none
 *
 * Return: HF_OK, HF_INVALID_KEY, HF_INVALID_VALUE, HF_TOO_LARGE, or HF_INVALID_ARGS for an empty
 * group.
 */
int write_check(const struct outbox_write *writes, size_t n, bool group, size_t max_value,
		const char **ret_detail);
