/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Await and Flush of an area (area.h): each first waits for the writes received before it to be
 * settled, so that it sees their serials, and then in the area's wait list.
 */

#include "base/util.h"
#include "core/error.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/committer.h"
#include "engine/monitor.h"
#include "engine/waitlist.h"

struct area_wait {
	struct area *area;
	struct wait *wait;	/* NULL while earlier writes are being settled */
	uint64_t serial;	/* of Await */
	uint64_t timeout;
	bool flush;
	bool cancelled;		/* while `wait` was NULL */
	bool returned;		/* area_await() or area_flush() has: nobody else frees it */
	bool ended;		/* … before that */
	area_done_t done;
	void *data;
};

static void area_wait_end(struct area_wait *wait, int error, const char *detail)
{
	wait->wait = NULL;
	wait->done(wait->data, error, detail);
	if (wait->returned)
		g_free(wait);
	else
		wait->ended = true;
}

/* Without a parent it is the parent that is waited for, whatever the disk does. */
static bool is_held_by_disk(const struct engine *engine)
{
	return monitor_ready(engine->monitor) && *committer_problem(engine->committer);
}

static void area_wait_done(void *data, int error)
{
	struct area_wait *wait = data;
	const char *detail = NULL;

	if (error == HF_QUOTA_EXCEEDED)
		detail = "The write was dropped from a full queue before the parent had it.";
	else if (error == HF_INVALID_VALUE)
		detail = "The serial is of before a restart, over which Durability=memory keeps nothing.";
	else if (error == HF_TIMEOUT && is_held_by_disk(area_engine(wait->area)))
		detail = "The disk fails or is full, and nothing is sent before it is safe there; what "
			 "is queued stays queued: see storage-error of GetStats and the log of "
			 "holdfastd, then mend it or free some space.";
	else if (error == HF_UNAVAILABLE)
		detail = "holdfastd stops; what is queued is kept and sent when it is back.";
	area_wait_end(wait, error, detail);
}

/* The list may have ended the wait before it returns; then there is none any more. */
static void area_wait_listed(struct area_wait *wait, struct wait *listed)
{
	if (listed)
		wait->wait = listed;
}

static void area_wait_serial(struct area_wait *wait)
{
	if (wait->serial == 0 || wait->serial > outbox_last_serial(area_outbox(wait->area)))
		area_wait_end(wait, HF_INVALID_VALUE, "This area never gave out that serial.");
	else
		area_wait_listed(wait, waitlist_serial(area_waits(wait->area), wait->serial,
						       wait->timeout, area_wait_done, wait));
}

static void area_wait_flush(struct area_wait *wait)
{
	struct area *area = wait->area;
	struct engine *engine = area_engine(area);
	uint64_t limit = outbox_last_serial(area_outbox(area));

	outbox_force(area_outbox(area));
	area_wait_listed(wait, waitlist_upto(area_waits(area), limit, wait->timeout,
					     area_wait_done, wait));
	engine->ops->area_due(engine->ops_data, area);
}

static void area_wait_settled(void *data)
{
	struct area_wait *wait = data;

	if (wait->cancelled)
		g_free(wait);
	else if (wait->flush)
		area_wait_flush(wait);
	else
		area_wait_serial(wait);
}

static struct area_wait *area_wait_start(struct area_wait *wait)
{
	area_when_settled(wait->area, area_wait_settled, wait);
	wait->returned = true;
	if (!wait->ended)
		return wait;
	g_free(wait);
	return NULL;
}

struct area_wait *area_await(struct area *area, uint64_t serial, uint64_t timeout,
			     area_done_t done, void *data)
{
	struct area_wait *wait = g_new0(struct area_wait, 1);

	wait->area = area;
	wait->serial = serial;
	wait->timeout = timeout;
	wait->done = done;
	wait->data = data;
	return area_wait_start(wait);
}

struct area_wait *area_flush(struct area *area, uint64_t timeout, area_done_t done, void *data)
{
	struct area_wait *wait = g_new0(struct area_wait, 1);

	wait->area = area;
	wait->flush = true;
	wait->timeout = timeout;
	wait->done = done;
	wait->data = data;
	return area_wait_start(wait);
}

void area_wait_cancel(struct area_wait *wait)
{
	if (!wait->wait) {
		wait->cancelled = true;
		return;
	}
	wait_cancel(wait->wait);
	g_free(wait);
}
