/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A recursive descent over the grammar of RFC 8259 in one pass, its recursion bounded by
 * LIMIT_JSON_DEPTH; see scan.h. It builds nothing: bytes in, a verdict out, and a patched copy in
 * the rare case that one is needed.
 *
 * Strings are most of the bytes, so they are skipped eight at a time.
 */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "core/limits.h"
#include "wire/scan.h"

/* A replacement must fit what it replaces: an unclean string, a fraction and an exponent are all at
 * least three bytes long. */
#define TEXT_UNCLEAN	 "0.5"
#define TEXT_NOT_INTEGER "1.5"
#define TEXT_NO_NAME	 "\"?\""

/* Of LIMIT_JSON_VALUES, kept for members that hold no others: the type may come last. */
#define PLAIN_VALUES 1024

struct scan {
	const char *text;
	const char *pos;
	const char *end;
	char *copy;	 /* made at the first replacement */
	size_t values;	 /* seen so far, without those that were left out */
	bool left_out;	 /* a member was, name and all */
	const char *why; /* what is wrong, where a function returned false */
};

/* Each scan_x() moves pos past an x, or returns false and leaves in `why` what is wrong. */
static bool scan_value(struct scan *s, unsigned int depth);

static bool fail(struct scan *s, const char *why)
{
	s->why = why;
	return false;
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Which bytes of @v are below 0x20, a quote or a backslash: their top bit is set in the result, and
 * sometimes that of bytes above such a one, so it only answers "none" and "look closer". */
static inline uint64_t special_bytes(uint64_t v)
{
	uint64_t quote = v ^ EACH_BYTE('"'), backslash = v ^ EACH_BYTE('\\');

	return (((v - EACH_BYTE(0x20)) & ~v) | ((quote - EACH_BYTE(1)) & ~quote) |
		((backslash - EACH_BYTE(1)) & ~backslash)) &
	       EACH_BYTE(0x80);
}

static inline bool is_special(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

/* Bytes that are plain ASCII. The word is looked at in any byte order: only whether a bit is set
 * counts. */
static size_t scan_plain(const char *text, size_t len)
{
	uint64_t word;
	size_t i = 0;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		if ((special_bytes(word) | word) & EACH_BYTE(0x80))
			break;
	}
	while (i < len && !is_special((unsigned char)text[i]) && (unsigned char)text[i] < 0x80)
		i++;
	return i;
}

/* For text of our own, known to be UTF-8: what is wide needs no look and no escape. */
size_t scan_unescaped(const char *text, size_t len)
{
	uint64_t word;
	size_t i = 0;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		if (special_bytes(word))
			break;
	}
	while (i < len && !is_special((unsigned char)text[i]))
		i++;
	return i;
}

/* Let json-glib read @with where [@from, pos) stands; the rest becomes spaces. */
static void replace(struct scan *s, const char *from, const char *with)
{
	size_t len = strlen(with);
	char *at;

	if (!s->copy)
		s->copy = g_memdup2(s->text, (size_t)(s->end - s->text));
	at = s->copy + (from - s->text);
	memset(at, ' ', (size_t)(s->pos - from));
	memcpy(at, with, len);
}

/* The four of RFC 8259; isspace() would take more, and its idea depends on the locale. */
static void skip_space(struct scan *s)
{
	while (s->pos < s->end &&
	       (*s->pos == ' ' || *s->pos == '\t' || *s->pos == '\r' || *s->pos == '\n'))
		s->pos++;
}

static bool next_is(const struct scan *s, char c)
{
	return s->pos < s->end && *s->pos == c;
}

/* Whether @c was there. */
static bool skip_char(struct scan *s, char c)
{
	if (!next_is(s, c))
		return false;
	s->pos++;
	return true;
}

/* The code unit of an escape \uXXXX that pos stands at, or -1 where there is none. */
static int peek_unit(const struct scan *s)
{
	int unit = 0, digit;

	if (s->end - s->pos < 6 || s->pos[0] != '\\' || s->pos[1] != 'u')
		return -1;
	for (unsigned int i = 2; i < 6; i++) {
		digit = g_ascii_xdigit_value(s->pos[i]);
		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

/*
 * An escaped code unit, or two that make up one character. A high surrogate without its low one is
 * unclean alone: what follows it is looked at for itself.
 */
static bool scan_unit(struct scan *s, bool *clean)
{
	int unit = peek_unit(s);

	if (unit < 0)
		return fail(s, "a string has an escape that is not JSON");
	s->pos += 6;
	if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
		*clean = false;
	} else if (unit >= 0xd800 && unit <= 0xdbff) {
		unit = peek_unit(s);
		if (unit >= 0xdc00 && unit <= 0xdfff)
			s->pos += 6;
		else
			*clean = false;
	}
	return true;
}

static bool scan_escape(struct scan *s, bool *clean)
{
	if (s->end - s->pos < 2)
		return fail(s, "it ends within a string");
	if (s->pos[1] == 'u')
		return scan_unit(s, clean);
	/* strchr() would find the NUL that ends its list. */
	if (s->pos[1] == '\0' || !strchr("\"\\/bfnrt", s->pos[1]))
		return fail(s, "a string has an escape that is not JSON");
	s->pos += 2;
	return true;
}

/* One character of several bytes. Of bad UTF-8 only one byte is passed over, so that a quote that
 * follows still ends the string. */
static void scan_wide(struct scan *s, bool *clean)
{
	gunichar c = g_utf8_get_char_validated(s->pos, s->end - s->pos);

	if (c == (gunichar)-1 || c == (gunichar)-2) {
		*clean = false;
		s->pos++;
	} else {
		s->pos = g_utf8_next_char(s->pos);
	}
}

/* A string; what json-glib reads for an unclean one is @unclean_as. */
static bool scan_string(struct scan *s, const char *unclean_as)
{
	const char *from = s->pos;
	bool clean = true;

	if (!skip_char(s, '"'))
		return fail(s, "a member has no name in quotes");
	for (;;) {
		s->pos += scan_plain(s->pos, (size_t)(s->end - s->pos));
		if (s->pos == s->end)
			return fail(s, "it ends within a string");
		if (skip_char(s, '"'))
			break;
		if ((unsigned char)*s->pos < 0x20)
			return fail(s, "a string has a raw control character");
		if (*s->pos != '\\')
			scan_wide(s, &clean);
		else if (!scan_escape(s, &clean))
			return false;
	}
	if (!clean)
		replace(s, from, unclean_as);
	return true;
}

/* At least one digit. */
static bool scan_digits(struct scan *s)
{
	const char *from = s->pos;

	while (s->pos < s->end && g_ascii_isdigit(*s->pos))
		s->pos++;
	return s->pos > from || fail(s, "a number is not written as JSON has it");
}

/* Whether the @len digits from @from on are at most 2^53. */
static bool fits_integer(const char *from, size_t len)
{
	uint64_t value = 0;

	/* More digits are more than 2^53, as none of them leads with 0, and could overflow. */
	if (len > 16)
		return false;
	for (size_t i = 0; i < len; i++)
		value = value * 10 + (uint64_t)(from[i] - '0');
	return value <= LIMIT_WIRE_INTEGER;
}

/*
 * json-glib wraps what is over 64 bits and reads large exponents as infinite. Nothing on the wire
 * uses fractions, so every number but a small integer may become the same one.
 */
static bool scan_number(struct scan *s)
{
	const char *from = s->pos, *digits;
	bool integer = true;

	skip_char(s, '-');
	digits = s->pos;
	if (!skip_char(s, '0') && !scan_digits(s))
		return false;
	if (!fits_integer(digits, (size_t)(s->pos - digits)))
		integer = false;
	if (skip_char(s, '.')) {
		integer = false;
		if (!scan_digits(s))
			return false;
	}
	if (skip_char(s, 'e') || skip_char(s, 'E')) {
		integer = false;
		if (!skip_char(s, '+'))
			skip_char(s, '-');
		if (!scan_digits(s))
			return false;
	}
	if (!integer)
		replace(s, from, TEXT_NOT_INTEGER);
	return true;
}

/* What follows is checked by whoever asked for a value: "trueish" fails there. */
static bool scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->pos) < len || memcmp(s->pos, word, len) != 0)
		return fail(s, "a value is not JSON");
	s->pos += len;
	return true;
}

/*
 * A tree has a price per value: two bytes on the wire are hundreds in memory. So what goes over the
 * bound does not get there: the value [@value, pos) if it holds others, else the whole member with
 * the comma before it.
 */
static void leave_out(struct scan *s, const char *comma, const char *value, size_t values_before)
{
	bool holds = s->values > values_before + 1;

	if (holds && s->values > LIMIT_JSON_VALUES - PLAIN_VALUES) {
		replace(s, value, TEXT_NOT_INTEGER);
		s->values = values_before + 1;
	}
	if (s->values > LIMIT_JSON_VALUES) {
		replace(s, comma, "");
		s->values = values_before;
		s->left_out = true;
	}
}

/* A name is replaced like a value, but by another name, as a number cannot stand there. */
static bool scan_member(struct scan *s, unsigned int depth)
{
	const char *comma = s->pos - 1, *value;
	size_t values = s->values;

	skip_space(s);
	if (!scan_string(s, TEXT_NO_NAME))
		return false;
	skip_space(s);
	if (!skip_char(s, ':'))
		return fail(s, "a member has no value");
	skip_space(s);
	value = s->pos;
	if (!scan_value(s, depth))
		return false;
	if (depth == 1)
		leave_out(s, comma, value, values);
	return true;
}

/* The inside of an object or array up to and with @close; pos stands after the opening. */
static bool scan_list(struct scan *s, char close, unsigned int depth)
{
	bool (*scan_item)(struct scan * s, unsigned int depth);

	if (depth > LIMIT_JSON_DEPTH)
		return fail(s, "it is nested too deep");
	scan_item = close == '}' ? scan_member : scan_value;
	skip_space(s);
	if (skip_char(s, close))
		return true;
	do {
		if (!scan_item(s, depth))
			return false;
		skip_space(s);
	} while (skip_char(s, ','));
	return skip_char(s, close) || fail(s, "an object or array is not closed");
}

static bool scan_value(struct scan *s, unsigned int depth)
{
	s->values++;
	skip_space(s);
	if (s->pos == s->end)
		return fail(s, "it ends too early");
	switch (*s->pos) {
	case '{':
		s->pos++;
		return scan_list(s, '}', depth + 1);
	case '[':
		s->pos++;
		return scan_list(s, ']', depth + 1);
	case '"':
		return scan_string(s, TEXT_UNCLEAN);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	case '-':
	case '0' ... '9':
		return scan_number(s);
	default:
		return fail(s, "a value is not JSON");
	}
}

/* A message is an object, so anything else is refused before its size can matter. */
static bool scan_whole(struct scan *s)
{
	skip_space(s);
	if (!next_is(s, '{'))
		return fail(s, "it is not a JSON object");
	if (!scan_value(s, 0))
		return false;
	skip_space(s);
	return s->pos == s->end || fail(s, "something follows the JSON object");
}

int scan_line(const char *text, size_t len, char **ret_copy, size_t *ret_values,
	      const char **ret_why)
{
	struct scan s = { .text = text, .pos = text, .end = text + len };

	if (len > LIMIT_LINE_BYTES)
		fail(&s, "it is too long");
	else if (scan_whole(&s)) {
		*ret_copy = s.copy;
		*ret_values = s.values;
		return s.left_out;
	}
	g_free(s.copy);
	*ret_why = s.why;
	return -EBADMSG;
}
