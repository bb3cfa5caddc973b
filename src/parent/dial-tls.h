/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One attempt to reach a parent over TLS: trust, name, connection, handshake, none of which holds up
 * the loop. What comes out is a stream to a peer whose certificate was verified, or a reason.
 */

#include <gio/gio.h>

#include "parent/parent.h"

struct address;
struct dial_tls;
struct trust;

/** dial_tls_done_t - as dial_done_t (parent/dial.h) */
typedef void (*dial_tls_done_t)(void *data, GIOStream *stream, enum parent_reason reason,
				const char *why);

/**
 * dial_tls_new() - start.
 * @address: of kind ADDRESS_TLS; copied
 * @trust: outlives the dial
 * @context: where it is told; NULL: the default main context
 */
struct dial_tls *dial_tls_new(const struct address *address, struct trust *trust,
			      GMainContext *context, dial_tls_done_t done, void *data);

/** dial_tls_free() - cancel; nothing is told any more. Return: NULL. */
struct dial_tls *dial_tls_free(struct dial_tls *dial);

/**
 * dial_tls_flaws() - what is wrong with a certificate, in words.
 * @flags: not 0
 *
 * Return: to be freed.
 */
char *dial_tls_flaws(GTlsCertificateFlags flags);
