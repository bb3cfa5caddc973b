/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A parent store as the engine sees it. One driver per kind of parent implements struct
 * parent_ops; the engine gives it two sets of callbacks: the link's (for the monitor) and the
 * data's (for storage).
 *
 * A driver has at most one connection. It keeps what it asked on a connection in that connection
 * and forgets it with it: after link->down (or ops->disconnect) no answer of it is told any more,
 * so the asker gives up all it waits for. It never retries and never decides; it times nothing but
 * the completion of lines.
 *
 * Callbacks may call any op, disconnect and free included.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/util.h"
#include "wire/message.h"

struct parent;

/* Why a connection ended or could not be had; also the Monitor's Reason (design §4). */
enum parent_reason {
	PARENT_REASON_START,
	PARENT_REASON_OK,
	PARENT_REASON_REFUSED,
	PARENT_REASON_CLOSED,
	PARENT_REASON_TIMEOUT,
	PARENT_REASON_PROTOCOL,
	PARENT_REASON_AUTH,
	PARENT_REASON_VERSION,
	PARENT_REASON_LOST_DATA,
	PARENT_REASON_STOPPED,
};

/** parent_reason_to_string() - the word of design §4: start, ok, refused … */
const char *parent_reason_to_string(enum parent_reason reason);

struct parent_welcome {
	const char *epoch;	/* 32 hex; "" of a parent without one (local) */
	uint64_t last_batch;
};

/* What the monitor hears. */
struct parent_link_ops {
	/** up - the transport is there, hello went out */
	void (*up)(void *data);
	/** welcome - the session is there */
	void (*welcome)(void *data, const struct parent_welcome *welcome);
	/** pong - @id as it came; whether it answers a ping is the monitor's to say */
	void (*pong)(void *data, int64_t id);
	/** message - any other complete, asked-for message came */
	void (*message)(void *data);
	/**
	 * down - the connection ended or could not be made; told once per connect
	 * @why: a sentence
	 * @retry_after: usec the parent asked us to wait (error transient or capacity before
	 *               welcome); 0: it did not
	 */
	void (*down)(void *data, enum parent_reason reason, const char *why, uint64_t retry_after);
};

/* An answer that is an error message; NULL where the answer is what was asked for. */
struct parent_error {
	enum wire_class class;	/* never WIRE_AUTH: that takes the link down */
	const char *message;
	uint64_t retry_after;	/* usec; 0: not given */
};

/* What storage hears. @tag is what it gave with the request. */
struct parent_data_ops {
	/** got - @value NULL: absent; @unclean: not valid text, @value is NULL */
	void (*got)(void *data, uint64_t tag, const struct parent_error *error, const char *value,
		    bool unclean, uint64_t revision);
	/** wrote - the answer to a single write (Direct) */
	void (*wrote)(void *data, uint64_t tag, const struct parent_error *error,
		      uint64_t revision);
	/** batch_sent - the last byte of the batch was taken */
	void (*batch_sent)(void *data);
	/**
	 * applied - the answer to the batch
	 * @ack: number, id, duplicate, results as they came; the number is the batch's own.
	 *       NULL with @error
	 */
	void (*applied)(void *data, const struct parent_error *error, const struct message *ack);
};

struct parent_batch {
	uint64_t number;
	const char *id;
	const struct wire_op *ops;
	size_t n_ops;
};

struct parent_ops {
	/** connect - dial; up, welcome or down follow, never from within the call */
	void (*connect)(struct parent *parent);
	/** disconnect - end the connection or the dialling; nothing is told. Fine when there is
	 * none. */
	void (*disconnect)(struct parent *parent);
	/** ping - @id is not 0 */
	void (*ping)(struct parent *parent, int64_t id);
	/** get - Return: 0; -EBUSY where LIMIT_PARENT_REQUESTS are unanswered or
	 * LIMIT_PARENT_UNSENT_BYTES not taken; -EDQUOT where the user whose area it is has its
	 * share of these under way; -ENOTCONN where there is no session */
	int (*get)(struct parent *parent, uint64_t tag, const char *area, const char *key);
	/** write - one write outside any batch; @value NULL: remove. Return: as get */
	int (*write)(struct parent *parent, uint64_t tag, const char *area, const char *key,
		     const char *value);
	/** apply - send the one batch under way */
	void (*apply)(struct parent *parent, const struct parent_batch *batch);
	/** busy - whether a line over 64 KiB is under way; @ret_progress: monotonic usec of the
	 * last byte that moved in its direction */
	bool (*busy)(struct parent *parent, uint64_t *ret_progress);
	/** path - the file whose appearing means "dial now" (a unix socket), or NULL */
	const char *(*path)(struct parent *parent);
	void (*free)(struct parent *parent);
};

/* Embedded first in each driver's own struct. */
struct parent {
	const struct parent_ops *ops;
	const struct parent_link_ops *link;
	void *link_data;
	const struct parent_data_ops *data;
	void *data_data;
	char client[UTIL_ID_SIZE]; /* what hello says; storage may change it while not connected */
	bool quoting;	/* what link->down told last are the peer's own words: none for a log */
	bool local;	/* the store itself is the parent: nothing queues */
};

/* What a driver is made with. Strings are copied. */
struct parent_params {
	const char *address;	/* "unix:/path", "tls:host:port", "local:" … */
	const char *client;	/* our id, 32 hex: struct parent's client */
	const char *token_file;	/* as token_new() takes it */
	const char *ca_file;	/* as trust_new() takes it */
	int64_t peer_uid;	/* ParentUser=: a peer accepted besides root and ourselves; -1: none */
	struct clock *clock;
	GMainContext *context;	/* NULL: the default */
};

/**
 * parent_new() - make the driver for an address (parent-driver.c, the one list of kinds).
 * @ret_parent: not connected; set the callbacks before ops->connect
 *
 * Return: 0; -EINVAL where the address is malformed; -EPROTONOSUPPORT where its kind is not known.
 */
int parent_new(const struct parent_params *params, struct parent **ret_parent);

/** parent_free() - disconnects. NULL is fine. Return: NULL. */
struct parent *parent_free(struct parent *parent);

/** parent_check_address() - whether parent_new() would take it; same errors. */
int parent_check_address(const char *address);
