/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One attempt to reach a peer: an address becomes a connected stream to a peer that may be trusted,
 * or a reason why not. Cancelled by dial_free(), after which nothing is told.
 */

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "parent/parent.h"

struct address;
struct clock;
struct dial;
struct trust;

/**
 * dial_done_t - the attempt ended; told once, never from within dial_new()
 * @stream: borrowed; NULL where it failed
 * @reason, @why: only where it failed
 *
 * May call dial_free().
 */
typedef void (*dial_done_t)(void *data, GIOStream *stream, enum parent_reason reason,
			    const char *why);

/* Whom to reach, and who may be there. All of it outlives the dial. */
struct dial_params {
	const struct address *address;
	int64_t peer_uid;	/* unix: a peer accepted besides root and ourselves; -1: none */
	struct trust *trust;	/* tls: whose certificates are good */
	struct clock *clock;
	GMainContext *context;	/* NULL: the default */
};

/** dial_new() - start to connect. */
struct dial *dial_new(const struct dial_params *params, dial_done_t done, void *data);
struct dial *dial_free(struct dial *dial);

/**
 * dial_uid_allowed() - whom we let be our parent on a unix socket: whoever can make a socket at the
 * path could else read every value we send.
 * @peer: the user who listens; @own: our effective user; @extra: as @peer_uid above
 */
bool dial_uid_allowed(uid_t peer, uid_t own, int64_t extra);
