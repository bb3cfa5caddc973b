/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The secret that says who we are, in a file of its own so that no configuration shows it.
 */

/**
 * token_read() - the token in the file @path: its first line, without the space around it.
 * @ret_why: on failure a sentence, to be freed; else untouched
 *
 * Return: to be freed; NULL where the file cannot be read or holds no token.
 */
char *token_read(const char *path, char **ret_why);
