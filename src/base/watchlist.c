/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Listeners that may vanish while being told; see watchlist.h. */

#include <glib.h>

#include "base/watchlist.h"

struct watch {
	struct watch *next;
	uint32_t id;		/* 0: removed while the list tells; freed by the sweep */
	void (*callback)(void);
	void *data;
};

void watchlist_init(struct watchlist *list)
{
	*list = (struct watchlist){ 0 };
}

void watchlist_deinit(struct watchlist *list)
{
	struct watch *w;

	if (list->deinited)
		*list->deinited = true;
	while ((w = list->first)) {
		list->first = w->next;
		g_free(w);
	}
	*list = (struct watchlist){ 0 };
}

uint32_t watchlist_add(struct watchlist *list, void (*callback)(void), void *data)
{
	struct watch **tail = &list->first;
	struct watch *w = g_new0(struct watch, 1);

	if (++list->last_id == 0)
		++list->last_id;
	w->id = list->last_id;
	w->callback = callback;
	w->data = data;

	while (*tail)
		tail = &(*tail)->next;
	*tail = w;
	return w->id;
}

static void watchlist_sweep(struct watchlist *list)
{
	struct watch **link = &list->first;
	struct watch *w;

	while ((w = *link)) {
		if (w->id == 0) {
			*link = w->next;
			g_free(w);
		} else {
			link = &w->next;
		}
	}
}

bool watchlist_remove(struct watchlist *list, uint32_t id)
{
	if (id == 0)
		return false;

	for (struct watch *w = list->first; w; w = w->next) {
		if (w->id != id)
			continue;
		w->id = 0;
		if (list->telling == 0)
			watchlist_sweep(list);
		return true;
	}
	return false;
}

void watchlist_notify(struct watchlist *list, watchlist_call_t call, void *event)
{
	bool deinited = false;
	bool *outer = list->deinited;
	struct watch *last = list->first;

	if (!last)
		return;
	while (last->next)
		last = last->next;

	list->deinited = &deinited;
	list->telling++;
	for (struct watch *w = list->first; w; w = w->next) {
		if (w->id != 0)
			call(w->callback, w->data, event);
		if (deinited) {
			/* The list is gone; an outer telling must learn it too. */
			if (outer)
				*outer = true;
			return;
		}
		if (w == last)
			break;
	}
	list->deinited = outer;
	if (--list->telling == 0)
		watchlist_sweep(list);
}
