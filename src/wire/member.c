/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The types and ranges of members, and what scan.c put in place of what json-glib would misread;
 * see member.h. Every member is asked for its type before its value: json-glib's getters do not
 * fail, they complain and return zero.
 */

#include <string.h>

#include "base/util.h"
#include "wire/member.h"
#include "wire/scan.h"

/* A member as it stands in the tree. */
enum member {
	MEMBER_ABSENT,
	MEMBER_NULL,
	MEMBER_TEXT,
	MEMBER_UNCLEAN, /* text we must not pass on */
	MEMBER_INTEGER, /* within ±2^53 */
	MEMBER_BOOLEAN,
	MEMBER_ARRAY,
	MEMBER_OTHER, /* an object, or a number that is no such integer */
};

bool member_fail(struct member_reader *reader, const char *why)
{
	reader->why = why;
	return false;
}

static enum member classify_value(JsonNode *node)
{
	switch (json_node_get_value_type(node)) {
	case G_TYPE_STRING:
		return MEMBER_TEXT;
	case G_TYPE_INT64:
		return MEMBER_INTEGER;
	case G_TYPE_BOOLEAN:
		return MEMBER_BOOLEAN;
	case G_TYPE_DOUBLE:
		/* Exact: only scan.c puts fractions into what json-glib reads. */
		return json_node_get_double(node) == SCAN_UNCLEAN ? MEMBER_UNCLEAN : MEMBER_OTHER;
	default:
		return MEMBER_OTHER;
	}
}

static enum member classify(JsonNode *node)
{
	if (!node)
		return MEMBER_ABSENT;
	switch (json_node_get_node_type(node)) {
	case JSON_NODE_OBJECT:
		return MEMBER_OTHER;
	case JSON_NODE_ARRAY:
		return MEMBER_ARRAY;
	case JSON_NODE_NULL:
		return MEMBER_NULL;
	case JSON_NODE_VALUE:
		return classify_value(node);
	}
	return MEMBER_OTHER;
}

bool member_given(JsonObject *object, const char *name)
{
	JsonNode *node = json_object_get_member(object, name);

	return node && !JSON_NODE_HOLDS_NULL(node);
}

/* A missing member is of the wrong type: classify() has a word for it. */
bool member_text(struct member_reader *reader, JsonObject *object, const char *name,
		 const char *why, const char **ret)
{
	JsonNode *node = json_object_get_member(object, name);

	if (classify(node) != MEMBER_TEXT)
		return member_fail(reader, why);
	*ret = json_node_get_string(node);
	return true;
}

bool member_optional(struct member_reader *reader, JsonObject *object, const char *name,
		     const char *why, const char **ret)
{
	*ret = NULL;
	return !member_given(object, name) || member_text(reader, object, name, why, ret);
}

bool member_any_text(struct member_reader *reader, JsonObject *object, const char *name,
		     const char *why, bool null, const char **ret)
{
	JsonNode *node = json_object_get_member(object, name);
	enum member member = classify(node);

	if (member == MEMBER_TEXT) {
		*ret = json_node_get_string(node);
		return true;
	}
	if (member != MEMBER_UNCLEAN && !(null && member == MEMBER_NULL))
		return member_fail(reader, why);
	if (member == MEMBER_UNCLEAN)
		reader->unclean = true;
	*ret = NULL;
	return true;
}

/* One form only, so that equal identifiers are equal strings. */
bool member_id(struct member_reader *reader, JsonObject *object, const char *name, const char *why,
	       const char **ret)
{
	return member_text(reader, object, name, why, ret) &&
	       (util_id_valid(*ret) || member_fail(reader, why));
}

/* The range of ±2^53 was checked by scan.c: what is outside is no integer here. */
bool member_signed(struct member_reader *reader, JsonObject *object, const char *name,
		   const char *why, int64_t *ret)
{
	JsonNode *node = json_object_get_member(object, name);

	if (classify(node) != MEMBER_INTEGER)
		return member_fail(reader, why);
	*ret = json_node_get_int(node);
	return true;
}

bool member_integer(struct member_reader *reader, JsonObject *object, const char *name,
		    const char *why, uint64_t *ret)
{
	int64_t value;

	if (!member_signed(reader, object, name, why, &value))
		return false;
	if (value < 0)
		return member_fail(reader, why);
	*ret = (uint64_t)value;
	return true;
}

bool member_boolean(struct member_reader *reader, JsonObject *object, const char *name,
		    const char *why, bool *ret)
{
	JsonNode *node = json_object_get_member(object, name);

	if (classify(node) != MEMBER_BOOLEAN)
		return member_fail(reader, why);
	*ret = json_node_get_boolean(node);
	return true;
}

bool member_array(struct member_reader *reader, JsonObject *object, const char *name,
		  const char *why, JsonArray **ret)
{
	JsonNode *node = json_object_get_member(object, name);

	if (classify(node) != MEMBER_ARRAY)
		return member_fail(reader, why);
	*ret = json_node_get_array(node);
	return true;
}

bool member_words(struct member_reader *reader, JsonObject *object, const char *name,
		  const char *why, const char *word, bool *ret)
{
	enum member member;
	JsonArray *array;
	JsonNode *node;

	if (!member_array(reader, object, name, why, &array))
		return false;
	for (unsigned int i = 0; i < json_array_get_length(array); i++) {
		node = json_array_get_element(array, i);
		member = classify(node);
		if (member != MEMBER_TEXT && member != MEMBER_UNCLEAN)
			return member_fail(reader, why);
		if (member == MEMBER_TEXT && strcmp(json_node_get_string(node), word) == 0)
			*ret = true;
	}
	return true;
}

JsonObject *member_element(JsonArray *array, unsigned int i)
{
	JsonNode *node = json_array_get_element(array, i);

	return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}
