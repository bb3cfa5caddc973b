/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The clients of a daemon: what they call, and what they demand of each answer. */

#include "engine/reader.h"
#include "sim-daemon.h"

enum call_kind {
	CALL_WRITE,
	CALL_GET,
	CALL_GET_MANY,
	CALL_AWAIT,
	CALL_FLUSH,
	CALL_DIRECT_GET,
	CALL_DIRECT_WRITE,
	CALL_DROP_REJECTED,
	_CALL_MAX,
};

struct sim_call {
	enum call_kind kind;
	struct sim_daemon *daemon;
	struct model_area *area;
	struct model_key *key;	/* GetItems: the first of those asked for */
	uint64_t arrival;	/* over all calls */
	uint64_t asked_at;	/* the daemon's monotonic usec */
	uint64_t world_asked;	/* the world's */
	uint64_t stalled, disk_stalled;	/* the daemon's then */
	uint64_t timeout;	/* usec; USEC_INFINITY: none */
	bool behind;		/* what it is about waits for the disk */
	bool settled;		/* Await, Flush: when it came, nothing was left to wait for */
	uint64_t serial;	/* Await */
	enum reader_source source;
	uint64_t floors[SIM_KEYS], seen[SIM_KEYS];	/* of the area's keys, when it came */
	GPtrArray *writes;	/* struct model_write */
	struct model_write *again;	/* the refused one that a retry or a drop is about */
	uint64_t id;		/* of what Direct writes; 0: a remove */
	char *value;
	bool must_fail;		/* Direct: a queued write stands before it */
	struct area_wait *wait;
	int error;		/* as it ended */
};

/** client_act() - one call of some client of @daemon, which runs. */
void client_act(struct sim_daemon *daemon);

/** client_read_all() - all keys, from the parent where it is there. */
void client_read_all(struct sim_daemon *daemon);
/** client_drop_rejected() - DropRejected of all there are. */
void client_drop_rejected(struct sim_daemon *daemon);

/** client_event() - as storage_event_t; @data: the daemon. */
void client_event(void *data, struct area *area, const struct area_event *event);

/** client_check() - what the calls that ended in this step may have ended with, now that the queue
 * was looked at; and that no call has waited too long. */
void client_check(struct sim_daemon *daemon);

/** client_sweep() - the daemon is gone: forget what was not looked at. */
void client_sweep(struct sim_daemon *daemon);

/** answer_* - the callbacks of calls; @data: the call. */
void answer_write(void *data, int error, const char *detail, uint64_t serial);
void answer_get(void *data, int error, const char *detail, const struct reader_item *item);
void answer_get_many(void *data, int error, const char *detail, GPtrArray *keys,
		     GPtrArray *values);
void answer_wait(void *data, int error, const char *detail);
void answer_direct_get(void *data, int error, const char *detail, const char *value);
void answer_direct_write(void *data, int error, const char *detail);
void answer_drop(void *data, int error, const char *detail);

void call_free(struct sim_call *call);
