/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What can be wrong with a call, as a positive value; 0 is success and a negative value is an
 * errno (the disk's, mostly). bus/bus-error.c has the one table from these to D-Bus names.
 */
enum hf_error {
	HF_OK = 0,
	HF_NO_SUCH_ITEM,
	HF_UNAVAILABLE,
	HF_INVALID_KEY,
	HF_INVALID_VALUE,
	HF_TOO_LARGE,
	HF_QUOTA_EXCEEDED,
	HF_TIMEOUT,
	HF_REJECTED,
	HF_INVALID_ARGS,	/* org.freedesktop.DBus.Error.InvalidArgs */
	HF_ACCESS_DENIED,	/* org.freedesktop.DBus.Error.AccessDenied */
	HF_LIMITS_EXCEEDED,	/* org.freedesktop.DBus.Error.LimitsExceeded */
	_HF_ERROR_MAX,
};
