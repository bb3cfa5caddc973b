/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The tokens file: whose token is which, without the tokens. One "sha256:<64 hex digits> PRINCIPAL"
 * a line; blank lines and those that begin with '#' say nothing. Every line has its newline. A principal may have several
 * tokens, a token has one principal. Never changes: a file read anew is a new struct tokens.
 */

#include <stdbool.h>
#include <stddef.h>

#define TOKENS_BYTES	       ((size_t)1 << 20) /* of the file: it is read on the main loop */
#define TOKENS_ENTRIES	       8192		 /* tokens; what so large a file can hold */
#define TOKENS_PRINCIPAL_BYTES 255		 /* of a principal: it is kept with every item's owner */

#define TOKENS_HASH_LEN	 64
#define TOKENS_HASH_SIZE (TOKENS_HASH_LEN + 1)

struct tokens;

/**
 * tokens_load() - read the file.
 * @may_be_empty: take a file of 0 bytes for no tokens, not for one that is being written
 * @ret_why: on failure a sentence with the file and, where it is one line's fault, its number;
 *           to be freed. It holds neither a token nor a hash.
 *
 * Return: 0; -EBADMSG where it is not such a file; -EFBIG over a bound above; or another negative
 * errno, where it cannot be read.
 */
int tokens_load(const char *path, bool may_be_empty, struct tokens **ret, char **ret_why);
struct tokens *tokens_free(struct tokens *tokens);

/** tokens_count() - how many there are. */
unsigned int tokens_count(const struct tokens *tokens);

/** tokens_hash() - what a token is known by: the lower-case hex of its SHA-256. */
void tokens_hash(const char *token, char ret_hash[static TOKENS_HASH_SIZE]);

/** tokens_principal() - whose token has @hash; borrowed; NULL: nobody's. */
const char *tokens_principal(const struct tokens *tokens, const char *hash);
