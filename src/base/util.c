/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Identifiers and saturating time arithmetic; see util.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"

void util_random_id(char ret_id[static UTIL_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[UTIL_ID_LEN / 2];
	ssize_t n;

	/* Requests of up to 256 bytes are never cut short once the pool is ready (getrandom(2)). */
	do
		n = getrandom(bytes, sizeof(bytes), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(bytes))
		abort(); /* an identifier that is not random would break exactly-once */

	for (size_t i = 0; i < sizeof(bytes); i++) {
		ret_id[2 * i] = digits[bytes[i] >> 4];
		ret_id[2 * i + 1] = digits[bytes[i] & 0xf];
	}
	ret_id[UTIL_ID_LEN] = '\0';
}

bool util_id_valid(const char *id)
{
	return id && strlen(id) == UTIL_ID_LEN && strspn(id, "0123456789abcdef") == UTIL_ID_LEN;
}

static bool is_noncharacter(gunichar c)
{
	return (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
}

bool util_text_valid(const char *text)
{
	if (!g_utf8_validate(text, -1, NULL))
		return false;
	for (const char *at = text; *at; at = g_utf8_next_char(at))
		if (is_noncharacter(g_utf8_get_char(at)))
			return false;
	return true;
}

char *util_make_valid(const char *text, size_t max)
{
	size_t len = strnlen(text, max);
	bool cut = len == max;
	char *valid, *next;

	/* Not in the middle of a character. */
	while (cut && len > 0 && (text[len] & 0xc0) == 0x80)
		len--;
	valid = g_utf8_make_valid(text, (gssize)len);
	for (char *at = valid; *at; at = next) {
		next = g_utf8_next_char(at);
		if (is_noncharacter(g_utf8_get_char(at)))
			memset(at, '?', (size_t)(next - at));
	}
	return valid;
}

uint64_t usec_add(uint64_t a, uint64_t b)
{
	return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

uint64_t usec_sub(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}
