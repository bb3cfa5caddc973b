/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checks of what comes in; see write-check.h. */

#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "core/write-check.h"

static int group_check(const struct outbox_write *writes, size_t n, const char **ret_detail)
{
	size_t bytes = 0;

	if (n == 0) {
		*ret_detail = "A group needs at least one item.";
		return HF_INVALID_ARGS;
	}
	for (size_t i = 0; i < n && i < LIMIT_GROUP_ITEMS; i++)
		bytes += outbox_write_bytes(&writes[i]);
	if (n > LIMIT_GROUP_ITEMS || bytes > LIMIT_GROUP_BYTES) {
		*ret_detail = "A group takes at most 1000 items and 1 MiB of keys and values; "
			      "split it.";
		return HF_TOO_LARGE;
	}
	return HF_OK;
}

int write_check(const struct outbox_write *writes, size_t n, bool group, size_t max_value,
		const char **ret_detail)
{
	int error = group ? group_check(writes, n, ret_detail) : HF_OK;

	for (size_t i = 0; !error && i < n; i++) {
		error = key_check(writes[i].key);
		if (!error && writes[i].op == OUTBOX_SET)
			error = value_check(writes[i].value, max_value);
		if (error == HF_TOO_LARGE)
			*ret_detail = "The value is larger than [Storage] MaxValueSize allows.";
	}
	return error;
}
