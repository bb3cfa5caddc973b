/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bounded lists; see bulk.h. The first failure is kept and turns all later rows into nothing. */

#include <errno.h>
#include <stdarg.h>

#include "bus/bulk.h"
#include "bus/call.h"
#include "core/error.h"
#include "core/limits.h"

/* Lengths, terminators, padding and fixed-size members of a row, at most. */
#define ROW_OVERHEAD 64

void bulk_start(struct bulk *bulk, struct call *call, const char *row)
{
	int r;

	*bulk = (struct bulk){ .call = call, .reply = call_start_reply(call) };
	if (!bulk->reply)
		return;
	r = sd_bus_message_open_container(bulk->reply, 'a', row);
	if (r < 0)
		bulk->error = r;
}

void bulk_add(struct bulk *bulk, size_t bytes, const char *types, ...)
{
	va_list args;
	int r;

	if (!bulk->reply || bulk->error)
		return;
	bulk->bytes += bytes + ROW_OVERHEAD;
	if (bulk->bytes > LIMIT_BULK_REPLY_BYTES) {
		bulk->error = HF_TOO_LARGE;
		return;
	}
	va_start(args, types);
	r = sd_bus_message_appendv(bulk->reply, types, args);
	va_end(args);
	/* sd-bus refuses no type of ours, but text. */
	if (r < 0)
		bulk->error = r == -EINVAL ? HF_INVALID_VALUE : r;
}

void bulk_end(struct bulk *bulk, int error, const char *too_large)
{
	int r = 0;

	if (!error)
		error = bulk->error;
	if (error) {
		sd_bus_message_unref(bulk->reply);
		call_fail(bulk->call, error, error == HF_TOO_LARGE ? too_large : NULL);
		return;
	}
	if (bulk->reply)
		r = sd_bus_message_close_container(bulk->reply);
	call_finish_reply(bulk->call, bulk->reply, r, bulk->bytes);
}
