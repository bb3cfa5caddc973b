/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An area as the rest of the engine sees it; the faces above use area.h alone. */

#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"
#include "core/outbox.h"
#include "engine/engine.h"

struct waitlist;

/**
 * area_new() - an area with an empty outbox.
 * @id: the store's; @name: the wire's, copied
 * @next_serial: past every serial that may have been given out
 */
struct area *area_new(struct engine *engine, int64_t id, const char *name, uint64_t next_serial);
/** area_free() - nothing of it may be under way. Return: NULL. */
struct area *area_free(struct area *area);

int64_t area_id(const struct area *area);
struct engine *area_engine(const struct area *area);
/** area_settings() - the config as it is for this area. */
const struct config_area *area_settings(const struct area *area);
struct outbox *area_outbox(const struct area *area);

/** area_owner() - the uid of the user it belongs to; -1: there is only one user. */
int64_t area_owner(const struct area *area);

/** area_is_stored() - whether the disk knows it; until it does nothing of it is there either. */
bool area_is_stored(const struct area *area);
void area_note_stored(struct area *area);

/** area_planned_bytes() - what will be queued, or added to the items of a local store, once the
 * plan under way is settled. */
uint64_t area_planned_bytes(const struct area *area);

/** area_takes_rejected() - whether the plan under way takes the refused entry @serial away. */
bool area_takes_rejected(const struct area *area, uint64_t serial);

/** area_reconfigured() - the config changed. */
void area_reconfigured(struct area *area);

/** area_drain() - there is no parent any more but the store itself: give it what is queued. */
void area_drain(struct area *area);

/** area_trimmed() - entries left the outbox, or wait again: end waits, tell listeners, look for
 * what is due. */
void area_trimmed(struct area *area);

/** area_key_is_settled() - whether no write of @key is on its way to the disk. */
bool area_key_is_settled(const struct area *area, const char *key);

/** area_when_key_settled() - run @func once every write of @key received so far is settled; one is
 * under way. */
void area_when_key_settled(struct area *area, const char *key, void (*func)(void *data),
			   void *data);

/** area_emit() - tell listeners. */
void area_emit(struct area *area, const struct area_event *event);

/** area_waits() - who waits for its outbox. */
struct waitlist *area_waits(const struct area *area);

/** area_end_waits() - we stop: every Await and Flush ends with @error. */
void area_end_waits(struct area *area, int error);
