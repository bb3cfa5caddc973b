/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The queued storage as a whole: the areas, what they share (store, cache, committer, sender), the
 * parent's driver and the monitor, joined and kept in order from start to stop.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "core/config.h"
#include "engine/area.h"
#include "engine/monitor.h"
#include "parent/parent.h"
#include "store/store.h"

struct engine;
struct storage;

struct storage_params {
	struct clock *clock;
	const struct config *config;	/* may change; storage_reconfigured() then */
	struct store *store;		/* open; outlives the storage */
	GRand *rand;
	GMainContext *context;		/* NULL: the default */
	bool salvaged;			/* the store was: take a new client id */
	/* parent_new(), or a test's */
	int (*make_parent)(const struct parent_params *params, struct parent **ret_parent);
	const char *default_address;	/* where the config names none */
	const char *default_area;	/* made at the first start; NULL: none */
};

/**
 * storage_new() - load what the store holds; nothing is dialled yet.
 *
 * Return: 0, or a negative errno: the store's, -EINVAL or -EPROTONOSUPPORT for the parent's
 * address.
 */
int storage_new(const struct storage_params *params, struct storage **ret_storage);
struct storage *storage_free(struct storage *storage);

/** storage_start() - dial, send, answer. */
void storage_start(struct storage *storage);

/**
 * storage_stop() - flush the outbox while the parent is there (≤ 2 s), end the connection, settle
 * every pending call, finish what is being committed.
 * @done: called once, after which only storage_free() may be
 */
void storage_stop(struct storage *storage, void (*done)(void *data), void *data);

/** storage_reconfigured() - the config changed. Return: 0; or, with nothing taken over, -EINVAL or
 * -EPROTONOSUPPORT for the parent's address, -EOPNOTSUPP where it changes from or to local:. */
int storage_reconfigured(struct storage *storage);

/** storage_last_error() - committer_problem(). */
const char *storage_last_error(struct storage *storage);

/** storage_parent_is_full() - it refused what was sent last for want of room. */
bool storage_parent_is_full(const struct storage *storage);

struct monitor *storage_monitor(struct storage *storage);

/** storage_engine() - what its parts share, to be looked at by engine/exposition. */
const struct engine *storage_engine(const struct storage *storage);

/** storage_parent_address() - of the parent in use, no secrets. Borrowed. */
const char *storage_parent_address(struct storage *storage);

/** storage_parent_path() - the socket file to watch for, or NULL. Borrowed. */
const char *storage_parent_path(struct storage *storage);

/** storage_find_area() - by its full name; NULL where there is none. */
struct area *storage_find_area(struct storage *storage, const char *name);

/**
 * storage_take_area() - find or make an area, to be used at once. A new one reaches the disk with the
 * next transaction, before anything it holds.
 * @name: its full name
 * @ret_detail: a constant sentence, where it fails
 *
 * Return: 0; HF_INVALID_ARGS for a bad name; HF_QUOTA_EXCEEDED where its owner has AreasPerUser of
 * them; HF_UNAVAILABLE when stopping.
 */
int storage_take_area(struct storage *storage, const char *name, struct area **ret_area,
		      const char **ret_detail);

/** storage_opened_t - @area: only with @error 0 */
typedef void (*storage_opened_t)(void *data, int error, const char *detail, struct area *area);

/** storage_open_area() - as above, and wait until the disk has it; or a negative errno of the disk.
 */
void storage_open_area(struct storage *storage, const char *name, storage_opened_t done,
		       void *data);

/** storage_each_area() - in the order of their names. */
void storage_each_area(struct storage *storage, void (*func)(void *data, struct area *area),
		       void *data);

/** storage_event_t - something happened in @area; strings live for the call */
typedef void (*storage_event_t)(void *data, struct area *area, const struct area_event *event);
uint32_t storage_add_watch(struct storage *storage, storage_event_t func, void *data);
void storage_remove_watch(struct storage *storage, uint32_t id);

/** storage_is_sound() - whether the sender's invariant (design §3) holds; for tests. */
bool storage_is_sound(struct storage *storage);
