/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Readers in wait; see parking.h. Bounded by the calls their callers may leave unanswered. */

#include <assert.h>
#include <glib.h>

#include "engine/parking.h"

struct parked {
	uint64_t number;
	void (*func)(void *data);
	void *data;
};

struct parking {
	GQueue queue;
};

struct parking *parking_new(void)
{
	struct parking *parking = g_new0(struct parking, 1);

	g_queue_init(&parking->queue);
	return parking;
}

struct parking *parking_free(struct parking *parking)
{
	if (!parking)
		return NULL;

	assert(parking->queue.length == 0);
	g_free(parking);
	return NULL;
}

void parking_add(struct parking *parking, uint64_t number, void (*func)(void *data), void *data)
{
	struct parked *parked = g_new0(struct parked, 1);

	parked->number = number;
	parked->func = func;
	parked->data = data;
	g_queue_push_tail(&parking->queue, parked);
}

void parking_run(struct parking *parking, uint64_t upto)
{
	GQueue ready = G_QUEUE_INIT;
	struct parked *parked;
	GList *link, *next;

	/* Taken off first: what runs may park anew. */
	for (link = parking->queue.head; link; link = next) {
		next = link->next;
		parked = link->data;
		if (parked->number > upto)
			continue;
		g_queue_unlink(&parking->queue, link);
		g_queue_push_tail_link(&ready, link);
	}
	while ((parked = g_queue_pop_head(&ready))) {
		parked->func(parked->data);
		g_free(parked);
	}
}
