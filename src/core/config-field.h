/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A key of the configuration as data: what it is called, what it may be, and where its value
 * stands. Private to config.c, which has the table of them and owns the memory behind each place.
 */

#include <stddef.h>
#include <stdint.h>

enum field_type {
	FIELD_STRING,	  /* char *, NULL for empty */
	FIELD_BOOL,	  /* bool */
	FIELD_TIME,	  /* uint64_t, usec */
	FIELD_SIZE,	  /* uint64_t, bytes */
	FIELD_COUNT,	  /* unsigned int */
	FIELD_FACTOR,	  /* double */
	FIELD_OVERFLOW,	  /* enum config_overflow */
	FIELD_DURABILITY, /* enum config_durability */
};

struct field {
	const char *section, *key;
	enum field_type type;
	size_t offset;		/* in struct config */
	uint64_t min, max;	/* both allowed; not looked at for strings and words */
};

/**
 * field_set() - read @text as the field's value.
 * @place: takes the value; untouched on failure. A string there is freed.
 *
 * Return: 0, -EINVAL where it is nothing of the field's type, -ERANGE where it is not allowed.
 */
int field_set(const struct field *f, const char *text, void *place);

/** field_copy() - take the value at @from; not for strings, which have one owner. */
void field_copy(const struct field *f, void *place, const void *from);

/** field_text() - the value at @place as a file would have it; a string, which may be a secret or
 * long, only as "what was set before". Return: to be freed. */
char *field_text(const struct field *f, const void *place);

/** field_range_text() - "from 1 to 10", for "it must be …". Return: to be freed. */
char *field_range_text(const struct field *f);

/** field_type_text() - what a value is called, for "is not …". */
const char *field_type_text(const struct field *f);
