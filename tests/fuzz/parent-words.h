/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a parent says: the answers of one that means well, to whatever it is set to answer, and
 * messages of every type whose members are right, wrong or missing as the fuzzer chooses.
 */

#include "maker.h"
#include "parent-end.h"

/* What is answered as it should be; bits. */
enum oblige {
	OBLIGE_HELLO = 1,
	OBLIGE_PING = 2,
	OBLIGE_GET = 4,
	OBLIGE_WRITE = 8,
	OBLIGE_BATCH = 16,
	OBLIGE_ALL = 31,
};

struct parent_words {
	struct parent_end *end;
	struct input *input;
	unsigned int oblige;
	/* The store of the one that means well. */
	char client[UTIL_ID_SIZE];	/* who is there */
	char last_id[UTIL_ID_SIZE];
	uint64_t last, revision;
	unsigned int epoch;
	struct maker maker;
};

/** parent_words_init() - be the voice of @end. */
void parent_words_init(struct parent_words *words, struct parent_end *end, struct input *input);

/** parent_words_message() - Return: a line with its newline, to be freed. */
GString *parent_words_message(struct parent_words *words);

/** parent_words_ack() - the right answer to the batch under way, should there be one. */
GString *parent_words_ack(struct parent_words *words);
