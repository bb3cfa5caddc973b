/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Time spans, sizes and booleans as people write them; declared in config.h. Each parser takes the
 * whole text (blanks around it are fine) or nothing: its result is untouched on failure.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "core/config-value.h"

#define DIGITS "0123456789"
#define BLANKS " \t"

struct unit {
	const char *name;
	uint64_t scale;
};

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEAR   (365 * DAY + 6 * HOUR) /* systemd.time(7): 365.25 days; a month is 1/12 of it */
#define MONTH  (YEAR / 12)

/* All names of systemd.time(7); mind "m" and "M". A number without a unit is seconds. */
static const struct unit time_units[] = {
	{ "", USEC_PER_SEC },	   { "us", 1 },		    { "usec", 1 },
	{ "µs", 1 },		   { "μs", 1 },		    { "ms", USEC_PER_MSEC },
	{ "msec", USEC_PER_MSEC }, { "s", USEC_PER_SEC },   { "sec", USEC_PER_SEC },
	{ "second", USEC_PER_SEC }, { "seconds", USEC_PER_SEC }, { "m", MINUTE },
	{ "min", MINUTE },	   { "minute", MINUTE },    { "minutes", MINUTE },
	{ "h", HOUR },		   { "hr", HOUR },	    { "hour", HOUR },
	{ "hours", HOUR },	   { "d", DAY },	    { "day", DAY },
	{ "days", DAY },	   { "w", 7 * DAY },	    { "week", 7 * DAY },
	{ "weeks", 7 * DAY },	   { "M", MONTH },	    { "month", MONTH },
	{ "months", MONTH },	   { "y", YEAR },	    { "year", YEAR },
	{ "years", YEAR },
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "K", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
};

/* Takes the digits at *p, which may be none; what does not fit 64 bits becomes UINT64_MAX. */
static uint64_t take_digits(const char **p)
{
	uint64_t number = 0;

	for (; g_ascii_isdigit(**p); (*p)++) {
		unsigned int digit = (unsigned int)(**p - '0');

		if (number > (UINT64_MAX - digit) / 10)
			number = UINT64_MAX;
		else
			number = number * 10 + digit;
	}
	return number;
}

/* Takes the unit at *p, which may be preceded by blanks: all up to the next digit or blank. */
static const struct unit *take_unit(const char **p, const struct unit *units, size_t n_units)
{
	const char *start = *p + strspn(*p, BLANKS);
	size_t len = strcspn(start, DIGITS "." BLANKS);

	*p = start + len;
	for (size_t i = 0; i < n_units; i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, start, len) == 0)
			return &units[i];
	return NULL;
}

/* Digits after the point, as a part of the unit; what is below 1 us is cut off. */
static uint64_t fraction(const char *digits, size_t len, uint64_t scale)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		scale /= 10;
		sum += (uint64_t)(digits[i] - '0') * scale;
	}
	return sum;
}

/*
 * Takes one "1.5min" at *p and adds it to *sum. The order is systemd's: digits, a point and more
 * digits, blanks, a unit; nothing is signed.
 */
static int take_span(const char **p, uint64_t *sum)
{
	const char *start = *p, *decimals = *p;
	const struct unit *unit;
	uint64_t whole, rest;
	size_t n_decimals = 0;

	whole = take_digits(p);
	if (*p == start)
		return -EINVAL;
	if (**p == '.') {
		decimals = *p + 1;
		n_decimals = strspn(decimals, DIGITS);
		*p = decimals + n_decimals;
		if (n_decimals == 0)
			return -EINVAL;
	}
	unit = take_unit(p, time_units, G_N_ELEMENTS(time_units));
	if (!unit)
		return -EINVAL;

	/* The largest value means "infinity": no sum of spans may reach it by accident. */
	rest = fraction(decimals, n_decimals, unit->scale);
	if (whole > USEC_INFINITY / unit->scale)
		return -ERANGE;
	*sum = usec_add(*sum, usec_add(whole * unit->scale, rest));
	return *sum == USEC_INFINITY ? -ERANGE : 0;
}

/* "infinity" stands alone: a sum with it would be a mistake. */
int config_parse_time(const char *text, uint64_t *ret_usec)
{
	g_autofree char *copy = g_strstrip(g_strdup(text));
	const char *p = copy;
	uint64_t sum = 0;
	int r;

	if (strcmp(copy, "infinity") == 0) {
		*ret_usec = USEC_INFINITY;
		return 0;
	}
	do {
		r = take_span(&p, &sum);
		if (r < 0)
			return r;
		p += strspn(p, BLANKS);
	} while (*p);
	*ret_usec = sum;
	return 0;
}

/* No fractions and no lower-case suffixes: "1.5m" is more likely a slip than a size. */
int config_parse_size(const char *text, uint64_t *ret_bytes)
{
	g_autofree char *copy = g_strstrip(g_strdup(text));
	const struct unit *unit;
	const char *p = copy;
	uint64_t number;

	number = take_digits(&p);
	if (p == copy)
		return -EINVAL;
	unit = take_unit(&p, size_units, G_N_ELEMENTS(size_units));
	if (!unit || *p)
		return -EINVAL;
	if (number == UINT64_MAX || number > UINT64_MAX / unit->scale)
		return -ERANGE;
	*ret_bytes = number * unit->scale;
	return 0;
}

int config_parse_bool(const char *text, bool *ret)
{
	/* The index is the meaning. */
	static const char *const words[][4] = {
		{ "no", "false", "off", "0" },
		{ "yes", "true", "on", "1" },
	};
	g_autofree char *copy = g_strstrip(g_strdup(text));

	for (unsigned int truth = 0; truth < 2; truth++) {
		for (unsigned int i = 0; i < G_N_ELEMENTS(words[truth]); i++) {
			if (g_ascii_strcasecmp(copy, words[truth][i]) == 0) {
				*ret = truth;
				return 0;
			}
		}
	}
	return -EINVAL;
}
