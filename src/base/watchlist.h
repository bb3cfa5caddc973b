/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A list of listeners. A listener may remove itself or any other, add new ones, and even deinit
 * the list while it is being told: removal marks, and the mark is swept when the telling ends.
 * The owner embeds the list; each event is told by watchlist_notify() with a small function that
 * casts the callback and calls it.
 */

#include <stdbool.h>
#include <stdint.h>

struct watch;

struct watchlist {
	struct watch *first;
	uint32_t last_id;
	unsigned int telling;	/* depth of watchlist_notify() */
	bool *deinited;		/* set when the list goes away while it tells */
};

/** watchlist_call_t - casts @callback to the event's type and calls it with @data. */
typedef void (*watchlist_call_t)(void (*callback)(void), void *data, void *event);

void watchlist_init(struct watchlist *list);
void watchlist_deinit(struct watchlist *list);

/**
 * watchlist_add() - add a listener; it is told after those already there.
 * @callback: a function of the event's own type, cast
 * @data: its first argument
 *
 * Return: an id for watchlist_remove(), never 0.
 */
uint32_t watchlist_add(struct watchlist *list, void (*callback)(void), void *data);

/** watchlist_remove() - end a watch. Return: whether @id was one. */
bool watchlist_remove(struct watchlist *list, uint32_t id);

/** watchlist_notify() - tell every listener that was there when the telling began. */
void watchlist_notify(struct watchlist *list, watchlist_call_t call, void *event);
