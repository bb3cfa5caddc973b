/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One connection as the protocol sees it (design §5): hello first, then requests, answered in the
 * order they came. Who may connect, and who else is connected, is the host's business.
 *
 * Nothing a peer does makes a session grow without bound: past the limits below nothing more is
 * read from it until some of what it asked was answered and taken. As a principal may have many
 * sessions, each tells the host how much it holds.
 */

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "committer.h"
#include "reader.h"
#include "wire/message.h"

#define SESSION_HELLO_USEC    (2 * USEC_PER_SEC)  /* until hello, design §5 */
#define SESSION_HELLO_BYTES   ((size_t)32 << 10)  /* of a stranger's: any token of 4 KiB fits */
#define SESSION_STALL_USEC    (30 * USEC_PER_SEC) /* twice without a byte taken ends it */
#define SESSION_ANSWERS	      512		  /* requests unanswered */
#define SESSION_REQUEST_BYTES ((size_t)4 << 20)	  /* of memory they take; one more may pass it */
#define SESSION_UNSENT_BYTES  ((size_t)1 << 20)	  /* answers not taken; one more may pass it */
#define SESSION_RETRY_MSEC    1000		  /* retryAfter of what the disk refused */

struct session;

/* Bytes of memory, about. */
struct session_held {
	size_t requests;	/* read and not answered: the disk's to finish */
	size_t traffic;		/* lines under way, answers not taken: the peer's to finish */
};

/* Why a peer is sent away. */
struct session_refusal {
	enum wire_class class;
	const char *why;	/* a sentence; static */
	uint64_t retry_after;	/* ms; 0: none */
};

struct session_ops {
	/**
	 * admit - only of a session made without a principal: its hello has come
	 * @token: NULL: it has none
	 * @ret_refusal: where it is not let in
	 *
	 * Return: its principal, to be freed; NULL: it is not let in.
	 */
	char *(*admit)(void *data, struct session *session, const char *token,
		       struct session_refusal *ret_refusal);
	/** hello - @session has named its client; an older connection of the same is to end now */
	void (*hello)(void *data, struct session *session);
	/** ended - told once; @why is a sentence; session_free() is to follow, at once or later */
	void (*ended)(void *data, struct session *session, const char *why);
	/** held - what it holds has changed from @then to @now; it may not be freed in this call */
	void (*held)(void *data, struct session *session, const struct session_held *then,
		     const struct session_held *now);
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
 * @stream: not blocking; a socket's or a GTlsConnection
 * @principal: who the peer is, if the socket said: "uid:1000"; NULL: its hello has to
 */
struct session *session_new(const struct session_env *env, GIOStream *stream,
			    const char *principal);

/** session_free() - drop the connection; what was submitted goes on, unanswered. Return: NULL. */
struct session *session_free(struct session *session);

/** session_evict() - drop the connection, its peer told why. Return: NULL. */
struct session *session_evict(struct session *session, const struct session_refusal *refusal);

/** session_hold() - read no more requests until it is told otherwise; its hello is still heard. */
void session_hold(struct session *session, bool hold);

/** session_held() - what it holds, as it told last. */
const struct session_held *session_held(const struct session *session);

/** session_principal() - NULL: not known yet. */
const char *session_principal(const struct session *session);

/** session_client() - 32 hex digits, NULL before hello. */
const char *session_client(const struct session *session);
