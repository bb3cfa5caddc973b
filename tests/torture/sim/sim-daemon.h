/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One daemon on a machine of its own: the real engine over the real store, whose disk is simulated,
 * with a clock that may sleep, a wall clock that may be set, and a path to the parent. It may be
 * stopped, killed, or lose its power, and comes back with what its disk holds.
 */

#include "base/worker.h"
#include "core/config.h"
#include "core/outbox.h"
#include "engine/storage.h"
#include "sim-disk.h"
#include "sim-model.h"
#include "sim-net.h"
#include "sim.h"
#include "store/store.h"

struct sim_call;

enum daemon_end {
	DAEMON_CRASH,	    /* the process is killed */
	DAEMON_POWER_LOSS,  /* the machine stops: what was not synced may be lost */
};

/* A batch as it was handed to the driver. */
struct daemon_batch {
	uint64_t number;
	char id[UTIL_ID_SIZE];
	char client[UTIL_ID_SIZE];
	unsigned int life;	/* daemon->life then */
	size_t n_ops;
	struct daemon_op {
		unsigned int area, key;
		uint64_t serial;
		bool grouped;
		uint64_t group;
		uint32_t value_hash;	/* 0: a remove */
	} *ops;
};

struct sim_daemon {
	struct sim *sim;
	unsigned int index;
	char *dir, *database;
	struct config config;
	struct clock *clock;
	GMainContext *context;
	GRand *jitter;
	struct worker *worker;
	struct store *store;
	struct store_recovery recovery;
	struct storage *storage;	/* NULL: it does not run */
	struct area *areas[SIM_AREAS];
	struct sim_path path;
	struct model *model;

	/* Its clocks, relative to the world's. */
	uint64_t born;		/* when the machine was switched on */
	uint64_t slept;		/* since then, which CLOCK_MONOTONIC does not count */
	uint64_t wall;		/* what the wall clock was set forward by, modulo 2^64 */
	uint64_t ghost_time;	/* what a ghost has gone ahead by, to come to its end */
	uint64_t wakes_at;	/* sleeps, or is stopped, until then; 0: it is awake */
	bool stalls;		/* it is not the machine that sleeps, but the process */
	uint64_t starts_at;	/* it does not run until then; 0: it runs */

	/* Its disk. */
	struct sim_disk *disk;
	bool held;		/* does nothing … */
	uint64_t held_since;	/* … since then */
	int disk_error;		/* 0, or what every write ends with */
	int refusal;		/* the same negative, where no commit even begins */
	enum daemon_end dies_of;	/* what a disk that is about to die stands for */
	bool lost_power, was_killed;	/* since the last start */
	uint64_t disk_lag;	/* usec a commit takes, at most */
	uint64_t disk_due;	/* when the commit under way is done */
	bool disk_busy;
	uint64_t disk_bad_until;	/* since then it has worked */

	unsigned int life;	/* starts so far */
	bool ghost;		/* it was killed: what it still says is not heard */
	bool stopping, stopped;
	bool starts_again;	/* after the stop under way */
	uint64_t asked_at;	/* when a client last asked for what the parent has */
	uint64_t woken_at;	/* from the last sleep or stall that kept an answer waiting */
	uint64_t settled_at;	/* it was connected, and had sent all there was, last */
	int64_t last_ping;	/* that the parent heard of it */
	uint64_t ttl_was;	/* the longest TTL= that copies may still have come under */
	uint64_t stalled;	/* usec that it got no turn, in all */
	uint64_t disk_stalled;	/* usec that its disk did nothing, in all */
	unsigned int open;	/* calls without an answer */
	GPtrArray *waits;	/* struct sim_call of Await and Flush that ended in this step */
	GPtrArray *waiting;	/* struct sim_call of those under way */
	struct daemon_batch sent[8];	/* the newest ones */
	unsigned int n_sent;
	char client[UTIL_ID_SIZE];	/* as the newest batch was sent */
	uint64_t limit[SIM_AREAS];	/* the largest Limit= while it was not empty */
	uint64_t max_bytes[SIM_AREAS];
	/* What the queue may have come to since it was last looked at with no write under way. */
	uint64_t may_count[SIM_AREAS], may_bytes[SIM_AREAS];
	unsigned int writing[SIM_AREAS];	/* writes under way */
	bool reloaded[SIM_AREAS];	/* since the first of them came */
	bool clashed;		/* somebody used its client id, or an ack came with another's id */
};

struct sim_daemon *daemon_new(struct sim *sim, unsigned int index);
/** daemon_free() - it must have been stopped. */
struct sim_daemon *daemon_free(struct sim_daemon *daemon);

void daemon_start(struct sim_daemon *daemon);
/** daemon_stop() - begin a clean stop; with @again it is started soon after. */
void daemon_stop(struct sim_daemon *daemon, bool again);
/** daemon_kill() - now. */
void daemon_kill(struct sim_daemon *daemon, enum daemon_end end);
/** daemon_hold_disk() - it does nothing, or goes on. */
void daemon_hold_disk(struct sim_daemon *daemon, bool held);
/** daemon_disk_stalled() - usec that its disk did nothing, in all. */
uint64_t daemon_disk_stalled(const struct sim_daemon *daemon);
/** daemon_disk_fails() - the disk refuses from its @after-th operation on, or all commits with 0;
 * @error 0: it works again. */
void daemon_disk_fails(struct sim_daemon *daemon, unsigned int after, int error);
/** daemon_disk_dies() - kill it at the @after-th operation of its disk. */
void daemon_disk_dies(struct sim_daemon *daemon, unsigned int after, enum daemon_end end);
/** daemon_is_dead() - what it says is not heard. */
bool daemon_is_dead(const struct sim_daemon *daemon);
/** daemon_sleep() - a suspend, or with @stall a process that gets no turn, for @usec. */
void daemon_sleep(struct sim_daemon *daemon, uint64_t usec, bool stall);
/** daemon_configure() - more config, and tell it. */
void daemon_configure(struct sim_daemon *daemon, const char *text);

/** daemon_turn() - do what is to be done at this instant. Return: whether there was something. */
bool daemon_turn(struct sim_daemon *daemon);
/** daemon_next() - when there will be something, by the world's clock. */
uint64_t daemon_next(const struct sim_daemon *daemon);

/** daemon_runs() - it can be called. */
bool daemon_runs(const struct sim_daemon *daemon);

/** daemon_check() - what must hold between any two steps. */
void daemon_check(struct sim_daemon *daemon);

/** daemon_cache_bytes() - of its cache. */
uint64_t daemon_cache_bytes(const struct sim_daemon *daemon);

/** daemon_find_batch() - one that was handed to its driver, by id; NULL: none. */
const struct daemon_batch *daemon_find_batch(const struct sim_daemon *daemon, const char *id);

/** daemon_monotonic() - as its clock shows it. */
uint64_t daemon_monotonic(const struct sim_daemon *daemon);
