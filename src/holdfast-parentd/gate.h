/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where peers from elsewhere come in: TLS, by the certificate we show, and the tokens that say who
 * they are. Keeps what it has read in force until what stands in the files now was found good, and
 * reads them again when they change. Logs that.
 */

#include <gio/gio.h>

#include "base/clock.h"
#include "handshake.h"
#include "tokens.h"

struct gate_files {
	const char *certificate;
	const char *key;
	const char *tokens;
};

struct gate;

/**
 * gate_new() - read the files and try them out. For the start only: runs the main loop.
 * @files: strings that outlive the gate
 * @done: a peer has shaken hands; who it is it has yet to say
 * @changed: other tokens are in force now
 * @ret_why: on failure a sentence, to be freed
 *
 * Return: NULL on failure.
 */
struct gate *gate_new(const struct gate_files *files, struct clock *clock, handshake_done_t done,
		      void (*changed)(void *data), void *data, char **ret_why);

/** gate_free() - at the stop only: runs the main loop until what was under way is ended. */
struct gate *gate_free(struct gate *gate);

/** gate_accept() - let a listener's connection in, if it is one of TLS. */
void gate_accept(struct gate *gate, GSocketConnection *connection);

/** gate_tokens() - those in force; borrowed until @changed is told. */
const struct tokens *gate_tokens(const struct gate *gate);

/** gate_reload() - read all files anew. */
void gate_reload(struct gate *gate);
