/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One connection as the protocol sees it (design §5): hello first, then requests, answered in the
 * order they came. Who may connect, and who else is connected, is the host's business.
 *
 * Nothing a peer does makes a session grow without bound: past the limits below nothing more is
 * read from it until some of what it asked was answered and taken.
 */

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "committer.h"
#include "reader.h"

#define SESSION_HELLO_USEC    (2 * USEC_PER_SEC)  /* until hello, design §5 */
#define SESSION_STALL_USEC    (30 * USEC_PER_SEC) /* twice without a byte taken ends it */
#define SESSION_ANSWERS	      512		  /* requests unanswered */
#define SESSION_REQUEST_BYTES ((size_t)4 << 20)	  /* their lines; one more may pass it */
#define SESSION_UNSENT_BYTES  ((size_t)1 << 20)	  /* answers not taken; one more may pass it */
#define SESSION_RETRY_MSEC    1000		  /* retryAfter of what the disk refused */

struct session;

struct session_ops {
	/** hello - @session has named its client; an older connection of the same is to end now */
	void (*hello)(void *data, struct session *session);
	/** ended - told once; @why is a sentence; session_free() is to follow, at once or later */
	void (*ended)(void *data, struct session *session, const char *why);
	/** read_failed - the store could not be read: a negative errno of database.h */
	void (*read_failed)(void *data, int error);
};

/* What sessions work with; all of it outlives them. */
struct session_env {
	struct clock *clock;
	struct committer *committer;
	struct reader *reader;
	const char *epoch;
	const struct session_ops *ops;
	void *data;	/* of the ops */
};

/**
 * session_new() - serve a connection.
 * @principal: who the peer is, however that was found out: "uid:1000"
 */
struct session *session_new(const struct session_env *env, GIOStream *stream,
			    const char *principal);

/** session_free() - drop the connection; what was submitted goes on, unanswered. Return: NULL. */
struct session *session_free(struct session *session);

const char *session_principal(const struct session *session);

/** session_client() - 32 hex digits, NULL before hello. */
const char *session_client(const struct session *session);
