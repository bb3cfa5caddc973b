/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The secret that says who we are, in a file of its own so that no configuration shows it: what
 * TokenFile= names, absolute or in $CREDENTIALS_DIRECTORY; without TokenFile= the credential
 * "holdfast.token", where there is one.
 */

struct token;

/** token_new() - @file: of TokenFile=; NULL: not set. Nothing is read yet. */
struct token *token_new(const char *file);
struct token *token_free(struct token *token);

/**
 * token_path() - the file that a token is read from, for who wants to watch it.
 * @file: as for token_new()
 *
 * Return: to be freed; NULL where there is none.
 */
char *token_path(const char *file);

/**
 * token_read() - read it: the first line, without the space around it.
 * @ret_secret: to be freed; NULL: we have none. Untouched on failure
 * @ret_why: on failure a sentence, to be freed; else untouched
 *
 * Warns once per change of the file where others may read it.
 *
 * Return: 0; -EINVAL where the file should be there and cannot be read or holds no token.
 */
int token_read(struct token *token, char **ret_secret, char **ret_why);
