/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first bytes are kept and not the last: a hello makes the rest of them mean something. */

#include <string.h>

#include "tape.h"

#define EXCERPT_LINES 8

struct tape {
	GByteArray *bytes[DIRECTIONS];
};

struct tape *tape_new(void)
{
	struct tape *tape = g_new0(struct tape, 1);

	for (int i = 0; i < DIRECTIONS; i++)
		tape->bytes[i] = g_byte_array_new();
	return tape;
}

struct tape *tape_free(struct tape *tape)
{
	if (!tape)
		return NULL;

	for (int i = 0; i < DIRECTIONS; i++)
		g_byte_array_unref(tape->bytes[i]);
	g_free(tape);
	return NULL;
}

void tape_record(struct tape *tape, enum direction direction, const char *data, size_t len)
{
	GByteArray *bytes = tape->bytes[direction];

	len = MIN(len, TAPE_BYTES - bytes->len);
	g_byte_array_append(bytes, (const guint8 *)data, (guint)len);
}

size_t tape_whole(const struct tape *tape, enum direction direction, const char **ret_data)
{
	const GByteArray *bytes = tape->bytes[direction];
	const char *data = (const char *)bytes->data;
	const char *end = bytes->len ? memrchr(data, '\n', bytes->len) : NULL;

	*ret_data = data;
	return end ? (size_t)(end + 1 - data) : bytes->len;
}

size_t tape_excerpt(const struct tape *tape, enum direction direction, GRand *rand,
		    const char **ret_data)
{
	const char *data, *start, *end, *line;
	size_t len = tape_whole(tape, direction, &data);
	int lines;

	if (len == 0)
		return 0;
	start = data + g_rand_int_range(rand, 0, (gint32)len);
	while (start > data && start[-1] != '\n')
		start--;
	lines = g_rand_int_range(rand, 1, EXCERPT_LINES + 1);
	for (end = start; lines > 0 && end < data + len; lines--) {
		line = memchr(end, '\n', (size_t)(data + len - end));
		end = line ? line + 1 : data + len;
	}
	*ret_data = start;
	return (size_t)(end - start);
}
