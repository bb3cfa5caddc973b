/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events of the log, as often as is good for it; see event-log.h. */

#include <glib.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/log-message.h"
#include "base/log.h"
#include "base/util.h"
#include "core/limits.h"
#include "engine/area.h"
#include "engine/event-log.h"

/* Commits must have worked for this long before that is told: on a disk that is nearly full small
 * ones work and large ones fail, in turn. */
#define WORKS_AFTER (10 * USEC_PER_SEC)

enum kind {
	KIND_QUOTA,
	KIND_DROPPED,
	KIND_REJECTED,
	_KIND_MAX,
};

/* One kind of event of one area, since the first one of the time that counts. */
struct tally {
	struct area *area;
	enum kind kind;
	struct timer window; /* armed: that time is not over */
	unsigned int told;
	uint64_t suppressed;
};

struct area_tallies {
	struct tally tally[_KIND_MAX];
};

struct event_log {
	struct clock *clock;
	GHashTable *areas; /* struct area * → struct area_tallies */
	struct timer works_timer;
	uint64_t failures; /* commits; 0: the disk works, and so was told */
};

/* ---- how often ---- */

static const char *const kind_ids[_KIND_MAX] = {
	[KIND_QUOTA] = LOG_MESSAGE_QUOTA,
	[KIND_DROPPED] = LOG_MESSAGE_DROPPED,
	[KIND_REJECTED] = LOG_MESSAGE_REJECTED,
};

static const char *const kind_summaries[_KIND_MAX] = {
	[KIND_QUOTA] = "more writes were refused: a quota is reached",
	[KIND_DROPPED] = "more writes were dropped for want of room",
	[KIND_REJECTED] = "more writes were refused by the parent",
};

static void tally_tell_suppressed(struct tally *tally)
{
	if (tally->suppressed == 0)
		return;
	log_event(LOG_WARNING, kind_ids[tally->kind],
		  LOG_FIELDS(log_text("HOLDFAST_AREA", area_name(tally->area)),
			     log_number("HOLDFAST_SUPPRESSED", tally->suppressed)),
		  "area %s: %" G_GUINT64_FORMAT " %s", area_name(tally->area), tally->suppressed,
		  kind_summaries[tally->kind]);
	tally->suppressed = 0;
}

static void tally_window_over(void *data)
{
	struct tally *tally = data;

	tally_tell_suppressed(tally);
	tally->told = 0;
}

/* Return: whether this one is to be logged; it is counted, either way. */
static bool tally_passes(struct tally *tally)
{
	if (!timer_is_armed(&tally->window))
		timer_arm_in(&tally->window, LIMIT_AREA_EVENTS_USEC);
	if (tally->told < LIMIT_AREA_EVENTS) {
		tally->told++;
		return true;
	}
	tally->suppressed++;
	return false;
}

static void tallies_free(void *data)
{
	struct area_tallies *tallies = data;

	for (int i = 0; i < _KIND_MAX; i++) {
		timer_deinit(&tallies->tally[i].window);
		tally_tell_suppressed(&tallies->tally[i]);
	}
	g_free(tallies);
}

static struct area_tallies *find_tallies(struct event_log *log, struct area *area)
{
	struct area_tallies *tallies = g_hash_table_lookup(log->areas, area);

	if (tallies)
		return tallies;
	tallies = g_new0(struct area_tallies, 1);
	for (int i = 0; i < _KIND_MAX; i++) {
		tallies->tally[i].area = area;
		tallies->tally[i].kind = (enum kind)i;
		timer_init(&tallies->tally[i].window, log->clock, tally_window_over,
			   &tallies->tally[i]);
	}
	g_hash_table_insert(log->areas, area, tallies);
	return tallies;
}

/* ---- writes ---- */

static void tell_quota(const char *area, const struct area_event *event)
{
	log_event(LOG_WARNING, LOG_MESSAGE_QUOTA,
		  LOG_FIELDS(log_text("HOLDFAST_AREA", area),
			     log_text("HOLDFAST_REASON", event->message),
			     log_number("HOLDFAST_SUPPRESSED", 0)),
		  "area %s: a write was refused: %s", area, event->message);
}

static void tell_dropped(const char *area, const struct area_event *event)
{
	log_event(LOG_WARNING, LOG_MESSAGE_DROPPED,
		  LOG_FIELDS(log_text("HOLDFAST_AREA", area),
			     log_number("HOLDFAST_SERIAL", event->serial),
			     log_number("HOLDFAST_SUPPRESSED", 0)),
		  "area %s: dropped the write with serial %" G_GUINT64_FORMAT
		  ": no room is left for it", area, event->serial);
}

/* Its message stays out: the parent may have put into it what it refused. */
static void tell_rejected(const char *area, const struct area_event *event)
{
	log_event(LOG_WARNING, LOG_MESSAGE_REJECTED,
		  LOG_FIELDS(log_text("HOLDFAST_AREA", area),
			     log_number("HOLDFAST_SERIAL", event->serial),
			     log_text("HOLDFAST_REASON", event->error),
			     log_number("HOLDFAST_SUPPRESSED", 0)),
		  "area %s: the parent refused the write with serial %" G_GUINT64_FORMAT
		  " (%s); what it said is in ListRejected", area, event->serial, event->error);
}

typedef void (*tell_t)(const char *area, const struct area_event *event);

static void event_log_tell(struct event_log *log, struct area *area, enum kind kind, tell_t tell,
			   const struct area_event *event)
{
	if (tally_passes(&find_tallies(log, area)->tally[kind]))
		tell(area_name(area), event);
}

void event_log_area(struct event_log *log, struct area *area, const struct area_event *event)
{
	switch (event->type) {
	case AREA_ITEM_CHANGED:
	case AREA_QUEUE_CHANGED:
		break;
	case AREA_QUOTA_REACHED:
		event_log_tell(log, area, KIND_QUOTA, tell_quota, event);
		break;
	case AREA_ITEM_DROPPED:
		event_log_tell(log, area, KIND_DROPPED, tell_dropped, event);
		break;
	case AREA_ITEM_REJECTED:
		event_log_tell(log, area, KIND_REJECTED, tell_rejected, event);
		break;
	}
}

/* ---- the disk ---- */

static void tell_works(void *data)
{
	struct event_log *log = data;

	log_event(LOG_NOTICE, LOG_MESSAGE_DISK_WORKS,
		  LOG_FIELDS(log_number("HOLDFAST_FAILURES", log->failures)),
		  "the disk takes commits again; %" G_GUINT64_FORMAT " had failed", log->failures);
	log->failures = 0;
}

void event_log_commit(struct event_log *log, int result)
{
	if (result < 0) {
		timer_disarm(&log->works_timer);
		if (log->failures++ == 0)
			log_event(LOG_ERR, LOG_MESSAGE_DISK_FAILED,
				  LOG_FIELDS(log_text("HOLDFAST_REASON", g_strerror(-result))),
				  "a commit failed: %s; writes are refused until the disk takes "
				  "them", g_strerror(-result));
	} else if (log->failures > 0 && !timer_is_armed(&log->works_timer)) {
		timer_arm_in(&log->works_timer, WORKS_AFTER);
	}
}

/* ---- life ---- */

struct event_log *event_log_new(struct clock *clock)
{
	struct event_log *log = g_new0(struct event_log, 1);

	log->clock = clock;
	log->areas = g_hash_table_new_full(NULL, NULL, NULL, tallies_free);
	timer_init(&log->works_timer, clock, tell_works, log);
	return log;
}

struct event_log *event_log_free(struct event_log *log)
{
	if (!log)
		return NULL;

	g_hash_table_unref(log->areas);
	timer_deinit(&log->works_timer);
	g_free(log);
	return NULL;
}
