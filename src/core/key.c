/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The one place that says what a key, a value and an area's name may be; see key.h. Everything
 * that comes from a client, a parent or an old database passes here before it is believed.
 */

#include <glib.h>
#include <string.h>

#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"

#define AREA_NAME_CHARS                                                                            \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/*
 * Control characters of valid UTF-8: C0 and DEL are bytes of their own; C1 (U+0080–9F) is 0xC2
 * followed by 0x80–9F. They would let a key forge lines in a log or a terminal.
 */
static bool has_control(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
			return true;
	return false;
}

int key_check(const char *key)
{
	size_t len = key ? strnlen(key, LIMIT_KEY_BYTES + 1) : 0;

	if (len < 1 || len > LIMIT_KEY_BYTES)
		return HF_INVALID_KEY;
	if (!g_utf8_validate(key, (gssize)len, NULL) || has_control(key))
		return HF_INVALID_KEY;
	return HF_OK;
}

int value_check(const char *value, size_t max_bytes)
{
	size_t len;

	if (!value)
		return HF_INVALID_VALUE;
	/* The length first: what is too large is not worth a walk. */
	len = strlen(value);
	if (len > max_bytes)
		return HF_TOO_LARGE;
	return g_utf8_validate(value, (gssize)len, NULL) ? HF_OK : HF_INVALID_VALUE;
}

bool area_name_valid(const char *name)
{
	size_t len = name ? strnlen(name, LIMIT_AREA_NAME_BYTES + 1) : 0;

	return len >= 1 && len <= LIMIT_AREA_NAME_BYTES && name[0] != '.' &&
	       strspn(name, AREA_NAME_CHARS) == len;
}

/* The length of "<uid>/" in front, as we write it: without zeros in front; 0: there is none. */
static size_t owner_length(const char *full)
{
	size_t digits = strspn(full, "0123456789");

	if (digits < 1 || digits > 10 || full[digits] != '/' || (full[0] == '0' && digits > 1))
		return 0;
	return g_ascii_strtoull(full, NULL, 10) <= UINT32_MAX ? digits + 1 : 0;
}

bool area_full_name_valid(const char *full)
{
	return full && area_name_valid(full + owner_length(full));
}

const char *area_full_name_own(const char *full)
{
	return full + owner_length(full);
}

int64_t area_full_name_owner(const char *full)
{
	return owner_length(full) > 0 ? (int64_t)g_ascii_strtoull(full, NULL, 10) : -1;
}
