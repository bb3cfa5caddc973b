/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the store holds, back into areas and the batch that was under way. */

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "store/store.h"

struct batch;

struct loader {
	struct engine *engine;
	const struct store_state *state;
	bool dissolve;		/* the batch under way is not to be taken up again */
	/** add - told each area, loaded */
	void (*add)(void *data, struct area *area);
	void *data;
	struct batch *ret_batch; /* the batch to resume, or NULL; the caller's to free. NULL though
				  * one was under way and not to be dissolved: it was not whole */
	int64_t ret_next_id;	 /* past the id of every area; loader_init_store() may raise it */
};

/**
 * loader_run() - load every area with its outbox.
 * @loader: filled in by the caller, but for the ret_ fields
 *
 * Return: 0, or a negative errno of the store; areas told so far stay the caller's.
 */
int loader_run(struct loader *loader);

/**
 * loader_init_store() - put on disk what must be there before the first hello, and wait for it.
 * @client: a new client id; NULL: none to be kept. A batch under way that is not resumed ends.
 * @area: the name of a new area, which is told; NULL: none
 *
 * Return: 0, or a negative errno of the disk.
 */
int loader_init_store(struct loader *loader, const char *client, const char *area);
