/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The one table from what can be wrong with a call to what its caller is told; org.holdfast1(5)
 * lists the same. What a disk can do has one D-Bus name, as a client can only do one thing about
 * it, but sentences of its own.
 */

#include <errno.h>
#include <glib.h>

#include "base/util.h"
#include "bus/bus-error.h"
#include "bus/names.h"
#include "core/error.h"

struct error_row {
	const char *name;
	const char *sentence;
};

static const struct error_row rows[_HF_ERROR_MAX] = {
	[HF_NO_SUCH_ITEM] = {
		BUS_ERROR_PREFIX "NoSuchItem",
		"No item has this key; write it with SetItem first.",
	},
	[HF_UNAVAILABLE] = {
		BUS_ERROR_PREFIX "Unavailable",
		"The parent cannot be reached and nothing is known of this here; try again when "
		"the Monitor's State is \"connected\".",
	},
	[HF_INVALID_KEY] = {
		BUS_ERROR_PREFIX "InvalidKey",
		"A key is 1 to 512 bytes of UTF-8 without control characters; use another key.",
	},
	[HF_INVALID_VALUE] = {
		BUS_ERROR_PREFIX "InvalidValue",
		"The value is not valid text, or the serial is not one this area gave out; check "
		"what you pass.",
	},
	[HF_TOO_LARGE] = {
		BUS_ERROR_PREFIX "TooLarge",
		"The value is over [Storage] MaxValueSize or 1 MiB, or the answer over 8 MiB; use a "
		"smaller value, or ask for less in one call.",
	},
	[HF_QUOTA_EXCEEDED] = {
		BUS_ERROR_PREFIX "QuotaExceeded",
		"A limit on what may wait in the queue or be kept is reached; wait until the parent "
		"has taken what is queued (Flush), or remove items where it is space that lacks.",
	},
	[HF_TIMEOUT] = {
		BUS_ERROR_PREFIX "Timeout",
		"The parent has not answered or acknowledged this in the time given; what is queued "
		"stays queued, so wait or ask again.",
	},
	[HF_REJECTED] = {
		BUS_ERROR_PREFIX "Rejected",
		"The parent refused this write; look at ListRejected, then use RetryRejected or "
		"DropRejected.",
	},
	[HF_INVALID_ARGS] = {
		BUS_STD_ERROR_PREFIX "InvalidArgs",
		"An argument is not one this method takes; see org.holdfast1(5).",
	},
	[HF_ACCESS_DENIED] = {
		BUS_STD_ERROR_PREFIX "AccessDenied",
		"You may not do this; use an area of your own.",
	},
	[HF_LIMITS_EXCEEDED] = {
		BUS_STD_ERROR_PREFIX "LimitsExceeded",
		"Too many calls wait for an answer; wait for some of them before making more.",
	},
};

static const struct error_row disk_full = {
	BUS_STD_ERROR_PREFIX "IOError",
	"The disk is full and nothing was changed; free some space, then try again.",
};
static const struct error_row disk_damaged = {
	BUS_STD_ERROR_PREFIX "IOError",
	"The database is damaged and nothing was changed; restart holdfastd, which sets it aside "
	"and keeps what can be read.",
};
static const struct error_row disk_failed = {
	BUS_STD_ERROR_PREFIX "IOError",
	"The disk failed and nothing was changed; see the log of holdfastd, then try again.",
};

static const struct error_row *error_row(int error)
{
	if (error > 0 && error < _HF_ERROR_MAX)
		return &rows[error];
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		return &disk_full;
	case -EUCLEAN:
		return &disk_damaged;
	default:
		return &disk_failed;
	}
}

const char *bus_error_name(int error)
{
	return error_row(error)->name;
}

const char *bus_error_sentence(int error)
{
	return error_row(error)->sentence;
}

int bus_error_set(sd_bus_error *ret, int error, const char *detail)
{
	const struct error_row *row = error_row(error);
	g_autofree char *valid = detail ? util_make_valid(detail, SIZE_MAX) : NULL;

	/* What sd-bus does not take for text it would not send, and the caller would wait in vain. */
	return sd_bus_error_set(ret, row->name, valid ? valid : row->sentence);
}

int bus_error_unread(sd_bus_error *ret, int r)
{
	if (r != -EBADMSG)
		return r;
	return bus_error_set(ret, HF_INVALID_ARGS,
			     "A text has characters that no message can carry, such as U+FFFF; "
			     "leave them out.");
}
