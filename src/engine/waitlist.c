/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Await and Flush; see waitlist.h. A wait is removed from the list before its callback runs, and
 * the list is walked anew after each, so a callback may add and cancel what it likes.
 */

#include <glib.h>

#include "base/util.h"
#include "core/error.h"
#include "core/outbox.h"
#include "engine/waitlist.h"

struct wait {
	struct waitlist *list;
	GList link;
	struct timer timer;
	uint64_t serial;
	bool upto;		/* Flush: every serial up to it; else Await: this one */
	wait_done_t done;
	void *data;
};

struct waitlist {
	struct clock *clock;
	struct outbox *outbox;
	wait_outcome_t outcome;
	void *data;
	GQueue waits;
};

struct waitlist *waitlist_new(struct clock *clock, struct outbox *outbox, wait_outcome_t outcome,
			      void *data)
{
	struct waitlist *list = g_new0(struct waitlist, 1);

	list->clock = clock;
	list->outbox = outbox;
	list->outcome = outcome;
	list->data = data;
	g_queue_init(&list->waits);
	return list;
}

struct waitlist *waitlist_free(struct waitlist *list)
{
	if (!list)
		return NULL;

	waitlist_end(list, HF_UNAVAILABLE);
	g_free(list);
	return NULL;
}

void wait_cancel(struct wait *wait)
{
	timer_deinit(&wait->timer);
	g_queue_unlink(&wait->list->waits, &wait->link);
	g_free(wait);
}

static void wait_end(struct wait *wait, int error)
{
	wait_done_t done = wait->done;
	void *data = wait->data;

	wait_cancel(wait);
	done(data, error);
}

static void wait_timer(void *data)
{
	wait_end(data, HF_TIMEOUT);
}

static bool still_waits(struct waitlist *list, uint64_t serial, bool upto)
{
	return upto ? outbox_holds_upto(list->outbox, serial) : outbox_covers(list->outbox, serial);
}

/* A flush asks only that nothing is left; what became of each entry is told elsewhere. */
static int outcome_of(struct waitlist *list, uint64_t serial, bool upto)
{
	return upto ? HF_OK : list->outcome(list->data, serial);
}

static struct wait *waitlist_add(struct waitlist *list, uint64_t serial, bool upto,
				 uint64_t timeout, wait_done_t done, void *data)
{
	struct wait *wait;

	if (!still_waits(list, serial, upto)) {
		done(data, outcome_of(list, serial, upto));
		return NULL;
	}
	if (timeout == 0) {
		done(data, HF_TIMEOUT);
		return NULL;
	}

	wait = g_new0(struct wait, 1);
	wait->list = list;
	wait->serial = serial;
	wait->upto = upto;
	wait->done = done;
	wait->data = data;
	wait->link.data = wait;
	g_queue_push_tail_link(&list->waits, &wait->link);
	timer_init(&wait->timer, list->clock, wait_timer, wait);
	timer_arm_in(&wait->timer, timeout);
	return wait;
}

struct wait *waitlist_serial(struct waitlist *list, uint64_t serial, uint64_t timeout,
			     wait_done_t done, void *data)
{
	return waitlist_add(list, serial, false, timeout, done, data);
}

struct wait *waitlist_upto(struct waitlist *list, uint64_t limit, uint64_t timeout,
			   wait_done_t done, void *data)
{
	return waitlist_add(list, limit, true, timeout, done, data);
}

void waitlist_check(struct waitlist *list)
{
	GList *link = list->waits.head;

	while (link) {
		struct wait *wait = link->data;

		if (still_waits(list, wait->serial, wait->upto)) {
			link = link->next;
			continue;
		}
		wait_end(wait, outcome_of(list, wait->serial, wait->upto));
		link = list->waits.head;
	}
}

void waitlist_end(struct waitlist *list, int error)
{
	while (list->waits.head)
		wait_end(list->waits.head->data, error);
}
