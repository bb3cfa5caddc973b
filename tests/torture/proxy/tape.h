/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What went by on one connection, from its first byte on, to be sent again later: hello and the
 * batches, welcome and the acks. Bounded: of each direction the first TAPE_BYTES.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define TAPE_BYTES (32 * 1024)

enum direction {
	UP,	/* from the daemon to the parent */
	DOWN,
	DIRECTIONS,
};

struct tape;

struct tape *tape_new(void);
struct tape *tape_free(struct tape *tape);

void tape_record(struct tape *tape, enum direction direction, const char *data, size_t len);

/**
 * tape_whole() - all that is on it of a direction, up to the end of its last whole line.
 * @ret_data: borrowed until the next record
 *
 * Return: its length; of what has no line at all (TLS) everything.
 */
size_t tape_whole(const struct tape *tape, enum direction direction, const char **ret_data);

/** tape_excerpt() - as tape_whole(), but from a line chosen at random on, and at most 8 lines. */
size_t tape_excerpt(const struct tape *tape, enum direction direction, GRand *rand,
		    const char **ret_data);
