/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Areas in the making. An area is usable as soon as somebody takes it; the disk hears of it in the
 * next transaction, before anything it holds. Who opens one waits for that, so that an object path
 * a client got outlives the daemon.
 */

#include <stdint.h>

#include "engine/engine.h"

struct area_set;
struct opener;

/** opener_done_t - @area: only with @error 0 */
typedef void (*opener_done_t)(void *data, int error, const char *detail, struct area *area);

/**
 * opener_new() - nothing is in the making yet.
 * @areas: those there are; borrowed
 * @next_id: past the id of every one of them
 * @add: an area is made known: it goes into @areas
 */
struct opener *opener_new(struct engine *engine, const struct area_set *areas, int64_t next_id,
			  void (*add)(void *data, struct area *area), void *data);
struct opener *opener_free(struct opener *opener);

/**
 * opener_take() - find or make the area of a valid full name.
 *
 * Return: 0, or HF_QUOTA_EXCEEDED where its owner has AreasPerUser of them.
 */
int opener_take(struct opener *opener, const char *name, struct area **ret_area,
		const char **ret_detail);

/** opener_open() - as above, and wait until the disk has it: HF_QUOTA_EXCEEDED, or a negative errno
 * of the disk, and then no area was made. */
void opener_open(struct opener *opener, const char *name, opener_done_t done, void *data);
