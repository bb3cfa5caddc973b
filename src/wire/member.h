/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Members of a JSON object, each taken with its type and range checked. The line they come from has
 * passed scan_line().
 *
 * Every function returns false where the member is not as it must be, and leaves in reader->why the
 * phrase given. Missing is not as it must be; what may be missing is asked for with member_given()
 * first. Strings and arrays are borrowed from the object.
 */

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

struct member_reader {
	const char *why; /* what is wrong, where a function returned false */
	bool unclean;	 /* a text was not clean, and passed as NULL */
};

/* A name and its phrase, built at compile time, so that it is static. */
#define TEXT(name)     name, "'" name "' is not a string of clean text"
#define ID(name)       name, "'" name "' is not 32 lower-case hex digits"
#define INTEGER(name)  name, "'" name "' is not an integer in range"
#define BOOLEAN(name)  name, "'" name "' is not true or false"
#define ARRAY(name)    name, "'" name "' is not an array"
#define ANY_TEXT(name) name, "'" name "' is not a string or null"
#define WORDS(name)    name, "'" name "' is not an array of strings"

/** member_fail() - set reader->why. Return: false. */
bool member_fail(struct member_reader *reader, const char *why);

/** member_given() - whether it is there: what may be missing may as well be null. */
bool member_given(JsonObject *object, const char *name);

bool member_text(struct member_reader *reader, JsonObject *object, const char *name,
		 const char *why, const char **ret);

/** member_optional() - text that may be missing, or null: NULL. */
bool member_optional(struct member_reader *reader, JsonObject *object, const char *name,
		     const char *why, const char **ret);

/**
 * member_any_text() - text that may be unclean: reader->unclean is set and it is NULL.
 * @null: null is allowed, and is NULL
 */
bool member_any_text(struct member_reader *reader, JsonObject *object, const char *name,
		     const char *why, bool null, const char **ret);

/** member_id() - as util_id_valid() has it. */
bool member_id(struct member_reader *reader, JsonObject *object, const char *name, const char *why,
	       const char **ret);

/** member_signed() - an integer within ±2^53. */
bool member_signed(struct member_reader *reader, JsonObject *object, const char *name,
		   const char *why, int64_t *ret);

/** member_integer() - one that counts something: not negative. */
bool member_integer(struct member_reader *reader, JsonObject *object, const char *name,
		    const char *why, uint64_t *ret);

bool member_boolean(struct member_reader *reader, JsonObject *object, const char *name,
		    const char *why, bool *ret);

bool member_array(struct member_reader *reader, JsonObject *object, const char *name,
		  const char *why, JsonArray **ret);

/** member_words() - an array of strings. @ret: set to true if one is @word, else untouched */
bool member_words(struct member_reader *reader, JsonObject *object, const char *name,
		  const char *why, const char *word, bool *ret);

/** member_element() - element @i of @array if it is an object, else NULL. */
JsonObject *member_element(JsonArray *array, unsigned int i);
