/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Values of each type, to and from text; see config-field.h. Everything but strings and factors is
 * handled as a 64-bit number with a range; only number_store() and number_load() know how wide the
 * place is.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "core/config-field.h"
#include "core/config-value.h"

static const char *const type_texts[] = {
	[FIELD_STRING] = "a text (a \\ starts \\s \\n \\t \\r or \\\\)",
	[FIELD_BOOL] = "yes or no",
	[FIELD_TIME] = "a time span such as 5s, 300ms or 1min 30s",
	[FIELD_SIZE] = "a size such as 512K, 16M or 1G",
	[FIELD_COUNT] = "a whole number",
	[FIELD_FACTOR] = "a number",
	[FIELD_OVERFLOW] = "reject or drop-oldest",
	[FIELD_DURABILITY] = "full, normal or memory",
};

static const char *const overflow_words[] = {
	[CONFIG_OVERFLOW_REJECT] = "reject",
	[CONFIG_OVERFLOW_DROP_OLDEST] = "drop-oldest",
	NULL,
};

static const char *const durability_words[] = {
	[CONFIG_DURABILITY_FULL] = "full",
	[CONFIG_DURABILITY_NORMAL] = "normal",
	[CONFIG_DURABILITY_MEMORY] = "memory",
	NULL,
};

/*
 * The switch is over types, not keys: a new key is a row of the table, and a new type does not
 * compile before every switch here knows it.
 */
static void number_store(enum field_type type, void *place, uint64_t number)
{
	switch (type) {
	case FIELD_BOOL:
		*(bool *)place = number;
		break;
	case FIELD_TIME:
	case FIELD_SIZE:
		*(uint64_t *)place = number;
		break;
	case FIELD_COUNT:
		*(unsigned int *)place = (unsigned int)number;
		break;
	case FIELD_OVERFLOW:
		*(enum config_overflow *)place = (enum config_overflow)number;
		break;
	case FIELD_DURABILITY:
		*(enum config_durability *)place = (enum config_durability)number;
		break;
	case FIELD_STRING:
	case FIELD_FACTOR:
		g_assert_not_reached();
	}
}

static uint64_t number_load(enum field_type type, const void *place)
{
	switch (type) {
	case FIELD_BOOL:
		return *(const bool *)place;
	case FIELD_TIME:
	case FIELD_SIZE:
		return *(const uint64_t *)place;
	case FIELD_COUNT:
		return *(const unsigned int *)place;
	case FIELD_OVERFLOW:
		return *(const enum config_overflow *)place;
	case FIELD_DURABILITY:
		return *(const enum config_durability *)place;
	case FIELD_STRING:
	case FIELD_FACTOR:
		break;
	}
	g_assert_not_reached();
}

/* Words are case-sensitive, as keys are. */
static int word_parse(const char *const words[], const char *text, uint64_t *ret)
{
	for (unsigned int i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int count_parse(const char *text, uint64_t *ret)
{
	/* A count is a size without a suffix; a sign or a point is none of either. */
	if (strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	return config_parse_size(text, ret);
}

static int number_parse(enum field_type type, const char *text, uint64_t *ret)
{
	bool truth = false;
	int r;

	switch (type) {
	case FIELD_BOOL:
		r = config_parse_bool(text, &truth);
		*ret = truth;
		return r;
	case FIELD_TIME:
		return config_parse_time(text, ret);
	case FIELD_SIZE:
		return config_parse_size(text, ret);
	case FIELD_COUNT:
		return count_parse(text, ret);
	case FIELD_OVERFLOW:
		return word_parse(overflow_words, text, ret);
	case FIELD_DURABILITY:
		return word_parse(durability_words, text, ret);
	case FIELD_STRING:
	case FIELD_FACTOR:
		break;
	}
	g_assert_not_reached();
}

/* Without the check strtod() would take "inf", "nan" and "0x1p3". */
static int factor_set(const struct field *f, const char *text, double *place)
{
	char *end;
	double number;

	if (!*text || strspn(text, "0123456789.") != strlen(text))
		return -EINVAL;
	number = g_ascii_strtod(text, &end);
	if (*end)
		return -EINVAL;
	if (!(number >= (double)f->min && number < (double)f->max))
		return -ERANGE;
	*place = number;
	return 0;
}

/*
 * GKeyFile's escapes: \s is the only way to a blank at either end. Built aside, so that a bad
 * escape at the end leaves the old text. The terminating NUL must not pass for a letter: strchr()
 * would find it.
 */
static int string_set(const char *text, char **place)
{
	static const char letters[] = "sntr\\", meanings[] = " \n\t\r\\";
	g_autofree char *plain = g_malloc(strlen(text) + 1);
	const char *letter;
	char *out = plain;

	for (; *text; text++) {
		*out = *text;
		if (*text == '\\') {
			letter = text[1] ? strchr(letters, text[1]) : NULL;
			if (!letter)
				return -EINVAL;
			*out = meanings[letter - letters];
			text++;
		}
		out++;
	}
	*out = '\0';
	g_free(*place);
	*place = *plain ? g_steal_pointer(&plain) : NULL;
	return 0;
}

/* The range is checked in one place, after the type's own parser and before anything changes. */
int field_set(const struct field *f, const char *text, void *place)
{
	uint64_t number;
	int r;

	if (f->type == FIELD_STRING)
		return string_set(text, place);
	if (f->type == FIELD_FACTOR)
		return factor_set(f, text, place);

	r = number_parse(f->type, text, &number);
	if (r < 0)
		return r;
	if (number < f->min || number > f->max)
		return -ERANGE;
	number_store(f->type, place, number);
	return 0;
}

/* In the largest unit that shows @number whole. */
static char *unit_text(uint64_t number, uint64_t step, const char *const units[])
{
	/* 90s stays 90s and does not become 1.5min: what is shown can be written back. */
	while (units[1] && number && number % step == 0) {
		number /= step;
		units++;
	}
	return g_strdup_printf("%" G_GUINT64_FORMAT "%s", number, *units);
}

static char *number_text(enum field_type type, uint64_t number)
{
	static const char *const times[] = { "us", "ms", "s", NULL };
	static const char *const sizes[] = { "", "K", "M", "G", NULL };

	switch (type) {
	case FIELD_BOOL:
		return g_strdup(number ? "yes" : "no");
	case FIELD_TIME:
		return number == USEC_INFINITY ? g_strdup("infinity")
					       : unit_text(number, 1000, times);
	case FIELD_SIZE:
		return unit_text(number, 1024, sizes);
	case FIELD_OVERFLOW:
		return g_strdup(overflow_words[number]);
	case FIELD_DURABILITY:
		return g_strdup(durability_words[number]);
	case FIELD_STRING:
	case FIELD_COUNT:
	case FIELD_FACTOR:
		break;
	}
	return g_strdup_printf("%" G_GUINT64_FORMAT, number);
}

/* For a complaint, which goes to the log: no text, as an address may hold a password one day. */
char *field_text(const struct field *f, const void *place)
{
	if (f->type == FIELD_STRING)
		return g_strdup("what was set before");
	if (f->type == FIELD_FACTOR)
		return g_strdup_printf("%g", *(const double *)place);
	return number_text(f->type, number_load(f->type, place));
}

char *field_range_text(const struct field *f)
{
	g_autofree char *min = number_text(f->type, f->min);
	g_autofree char *max = number_text(f->type, f->max);

	if (f->max == UINT64_MAX)
		return g_strdup_printf("at least %s and below 2^64", min);
	return g_strdup_printf("from %s to %s", min, max);
}

void field_copy(const struct field *f, void *place, const void *from)
{
	if (f->type == FIELD_FACTOR)
		*(double *)place = *(const double *)from;
	else
		number_store(f->type, place, number_load(f->type, from));
}

const char *field_type_text(const struct field *f)
{
	return type_texts[f->type];
}
