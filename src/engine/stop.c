/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stopping in order; see stop.h. Nothing is ended from within a call of somebody else: a timer
 * does it, for whoever noticed may be in the middle of what the end would pull away. */

#include "base/log-message.h"
#include "base/log.h"
#include "base/util.h"
#include "core/error.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/committer.h"
#include "engine/copies.h"
#include "engine/monitor.h"
#include "engine/sender.h"
#include "engine/stop.h"
#include "store/store.h"

#define FLUSH_AT_MOST (2 * USEC_PER_SEC) /* the outbox has this long to be sent */
#define CHECK_AGAIN   (5 * USEC_PER_MSEC) /* how often it looks whether the disk is done */

static void end_area_waits(void *data, struct area *area)
{
	(void)data;
	area_end_waits(area, HF_UNAVAILABLE);
}

static void reserve_exactly(void *data, struct area *area)
{
	if (area_is_stored(area))
		store_tx_reserve_serials(data, area_id(area),
					 outbox_last_serial(area_outbox(area)) + 1);
}

static void stop_closed(void *data, int result)
{
	struct stop *stop = data;

	(void)result; /* then the serials skip to the end of their block, as after a crash */
	stop->done(stop->data);
}

/* The last transaction: the serials go on where they stand, so that none that was never given out
 * can be taken for one that was. */
static void stop_committed(void *data)
{
	struct stop *stop = data;
	struct store_tx *tx = store_tx_new();

	/* Once more: some waited for what was being committed. */
	area_set_each(stop->areas, end_area_waits, NULL);
	area_set_each(stop->areas, reserve_exactly, tx);
	store_tx_require_sync(tx);
	store_submit(stop->engine->store, tx, stop_closed, stop);
}

static void stop_warn_lost(const struct stop *stop)
{
	uint64_t queued = area_set_queued(stop->areas);

	if (queued > 0 && stop->engine->durability == CONFIG_DURABILITY_MEMORY)
		log_event(LOG_WARNING, LOG_MESSAGE_QUEUE_LOST,
			  LOG_FIELDS(log_number("HOLDFAST_QUEUE_ENTRIES", queued)),
			  "%" G_GUINT64_FORMAT " queued writes are lost: Durability=memory", queued);
}

/* What is queued went out, or had its time. */
static void stop_end(struct stop *stop)
{
	stop->flushing = false;
	timer_disarm(&stop->deadline);
	timer_disarm(&stop->check);
	stop_warn_lost(stop);
	monitor_stop(stop->engine->monitor);
	sender_stop(stop->sender);
	copies_stop(stop->engine->copies);
	area_set_each(stop->areas, end_area_waits, NULL);
	committer_when_idle(stop->engine->committer, stop_committed, stop);
}

static void deadline_timer(void *data)
{
	stop_end(data);
}

static void check_timer(void *data)
{
	struct stop *stop = data;

	if (!monitor_ready(stop->engine->monitor))
		stop_end(stop);
	else if (area_set_queued(stop->areas) > 0)
		return; /* told again when that changes */
	else if (committer_is_idle(stop->engine->committer))
		stop_end(stop);
	else
		timer_arm_in(&stop->check, CHECK_AGAIN);
}

void stop_init(struct stop *stop, struct engine *engine, const struct area_set *areas)
{
	*stop = (struct stop){ .engine = engine, .areas = areas };
	timer_init(&stop->deadline, engine->clock, deadline_timer, stop);
	timer_init(&stop->check, engine->clock, check_timer, stop);
}

void stop_deinit(struct stop *stop)
{
	timer_deinit(&stop->deadline);
	timer_deinit(&stop->check);
}

void stop_begin(struct stop *stop, struct sender *sender, void (*done)(void *data), void *data)
{
	stop->sender = sender;
	stop->done = done;
	stop->data = data;
	stop->engine->stopping = true;
	stop->flushing = true;
	timer_arm_in(&stop->deadline, FLUSH_AT_MOST);
	timer_arm_in(&stop->check, 0);
}

void stop_area_due(struct stop *stop, struct area *area)
{
	if (!stop->flushing)
		return;
	outbox_force(area_outbox(area));
	stop_check(stop);
}

void stop_check(struct stop *stop)
{
	if (stop->flushing)
		timer_arm_in(&stop->check, 0);
}
