/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a client of holdfast-parentd says, right, wrong or odd as the fuzzer chooses. */

#include "client-peer.h"
#include "maker.h"

/** client_words_hello() - a right one; @which client, of a few. Return: a line, to be freed. */
GString *client_words_hello(unsigned int which, const char *token);

/** client_words_message() - whatever comes to its mind. Return: a line, to be freed. */
GString *client_words_message(const struct client_peer *peer, struct input *input);

extern const char *const client_words_tokens[4];
