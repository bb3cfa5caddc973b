/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A whole engine on a bench: a real store in a directory of its own whose disk is stepped by hand,
 * a clock that the test moves, a parent in its hand (engine-parent.h). Nothing sleeps.
 *
 * Each call of a client is a struct reply, which stays the bench's until bench_free(); an answer
 * that comes twice stops the test.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/util.h"
#include "base/worker.h"
#include "core/config.h"
#include "core/error.h"
#include "engine-parent.h"
#include "engine/reader.h"
#include "engine/storage.h"
#include "store/store.h"

#define SEC  USEC_PER_SEC
#define MSEC USEC_PER_MSEC

struct reply;

struct bench {
	char *dir, *path;
	uint64_t now;
	uint64_t suspended;	/* what CLOCK_BOOTTIME is ahead by */
	uint64_t stepped;	/* what the wall clock was set forward by, modulo 2^64 */
	struct clock *clock;
	struct worker *worker;
	struct store *store;
	struct store_recovery recovery;
	struct config config;
	GRand *rand;
	struct fake_world *world;
	struct storage *storage;
	struct area *area;	/* "default" */
	bool held;		/* the disk does nothing by itself */
	int disk_error;		/* 0, or what every commit ends with */
	unsigned int commits;	/* jobs the disk did or refused */
	bool stopped;
	GString *events;	/* "changed k local;dropped 3 k;rejected 4 k;" without queue changes */
	unsigned int queue_events;
	GPtrArray *replies;
	/* parent_new(), fake_make() … */
	int (*make_parent)(const struct parent_params *params, struct parent **ret_parent);
	/* In each turn of the loop; NULL: nothing to do. Return: whether there was; then time
	 * stands. */
	bool (*turn)(struct bench *bench);
};

struct reply {
	struct bench *bench;
	bool done;
	int error;
	char *detail;
	uint64_t asked_at, done_at;	/* monotonic usec */
	uint64_t serial;
	char *value, *source;
	bool stale, pending;
	uint64_t revision, age;
	char **keys, **values;		/* of a bulk get, or of a group: what was given */
	char *key, *given;		/* what was given */
	struct area_wait *wait;
};

/** bench_new() - a bench with @config (text of a file, NULL: defaults), not started. */
struct bench *bench_new(const char *config);
/** bench_free() - stops what runs. */
struct bench *bench_free(struct bench *bench);

/** bench_open() - open the store and make the engine. bench_start() - that, start it, and let it
 * connect (100 ms). */
void bench_open(struct bench *bench);
void bench_start(struct bench *bench);
/** bench_stop() - a clean stop; everything must have been answered by then. Return: usec it took. */
uint64_t bench_stop(struct bench *bench);
/** bench_crash() - what is on disk now is what the next bench_open() finds; calls that wait are
 * answered into the void. */
void bench_crash(struct bench *bench);
/** bench_restart() - a crash and a start. */
void bench_restart(struct bench *bench);
/** bench_sweep() - free the replies that were answered. */
void bench_sweep(struct bench *bench);
/** bench_set_config() - more config, and tell the engine. */
void bench_set_config(struct bench *bench, const char *text);

/** bench_run() - let @usec pass, with the disk working unless held. */
void bench_run(struct bench *bench, uint64_t usec);
/** bench_disk() - let the disk do all it was asked. */
void bench_disk(struct bench *bench);
/** bench_step() - one job of the disk. Return: whether there was one. */
bool bench_step(struct bench *bench, int error);
/** bench_wait() - run until @reply is answered; stops the test after @at_most. Return: usec. */
uint64_t bench_wait(struct bench *bench, struct reply *reply, uint64_t at_most);
/** bench_drain() - run until the queue of the default area is empty. Return: usec. */
uint64_t bench_drain(struct bench *bench, uint64_t at_most);

/* ---- calls; each returns at once ---- */

struct reply *bench_set(struct bench *bench, const char *key, const char *value);
struct reply *bench_remove(struct bench *bench, const char *key);
/** bench_group() - SetItems of "k=v k2=v2". */
struct reply *bench_group(struct bench *bench, const char *items);
struct reply *bench_get(struct bench *bench, const char *key);
struct reply *bench_get_full(struct bench *bench, const char *key, enum reader_source source,
			     uint64_t timeout);
/** bench_get_many() - of "k k2 k3". */
struct reply *bench_get_many(struct bench *bench, const char *keys);
struct reply *bench_await(struct bench *bench, uint64_t serial, uint64_t timeout);
struct reply *bench_flush(struct bench *bench, uint64_t timeout);
struct reply *bench_retry(struct bench *bench, uint64_t serial);
struct reply *bench_forget(struct bench *bench, uint64_t serial);
struct reply *bench_direct_get(struct bench *bench, const char *key);
/** bench_direct_set() - @value NULL: remove. */
struct reply *bench_direct_set(struct bench *bench, const char *key, const char *value);

/* The same for another area than the default one. */
struct reply *bench_write_to(struct bench *bench, struct area *area, const char *key,
			     const char *value);
struct reply *bench_group_to(struct bench *bench, struct area *area, const char *items);
struct reply *bench_get_from(struct bench *bench, struct area *area, const char *key,
			     enum reader_source source, uint64_t timeout);
struct reply *bench_await_in(struct bench *bench, struct area *area, uint64_t serial,
			     uint64_t timeout);
struct area *bench_open_area(struct bench *bench, const char *name);

/* ---- looking ---- */

/** bench_queue() - "3:k=v 4:k2" in order, a remove without "="; borrowed until the next. */
const char *bench_queue(struct bench *bench);
/** bench_rejected() - serials of the refused, as "3 4"; borrowed until the next. */
const char *bench_rejected(struct bench *bench);
unsigned int bench_queue_size(struct bench *bench);
/** bench_disk_rows() - rows of the default area's outbox on disk. */
unsigned int bench_disk_rows(struct bench *bench);
/** bench_take_events() - what was told since the last call; to be freed. */
char *bench_take_events(struct bench *bench);
/** bench_is() - assert that @reply was answered with a value of this source. */
void bench_is(const struct reply *reply, const char *value, const char *source);
