/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Gets on their way to the parent; see fetcher.h.
 *
 * A fetch is one key asked for, with everybody who waits for it. It is found by (area, key) while
 * it may be joined, and by the tag of its request while one is unanswered. One timer takes it from
 * step to step: ask, be suspicious (the monitor pings), give the attempt up, wait, ask again. It is
 * freed when it ended; a waiter that cancelled only leaves it.
 */

#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "core/backoff.h"
#include "core/config.h"
#include "core/limits.h"
#include "engine/copies.h"
#include "engine/fetcher.h"
#include "engine/lineage.h"
#include "engine/monitor.h"

#define SUSPECT_AFTER (500 * USEC_PER_MSEC) /* unanswered for this long: the monitor pings */

struct fetch {
	struct fetcher *fetcher;
	int64_t area;
	char *area_name;
	char *key;
	GQueue waiters;
	struct timer timer;
	uint64_t tag;		/* of the request under way; 0 = none: waiting to ask again */
	uint64_t asked_at;	/* monotonic usec, of this attempt */
	uint64_t give_up_at;	/* monotonic usec, of all attempts */
	unsigned int attempts, max_attempts;
	GList blocked;		/* waits for others' answers to be asked; data set while it does */
	enum metrics_retry retry; /* why the last attempt came to nothing */
	bool suspected;		/* the monitor was told about this attempt */
	bool touched;		/* the key changed here since: nobody joins, nothing is filled */
};

struct fetch_waiter {
	struct fetch *fetch;
	GList link;
	fetch_done_t done;
	void *data;
};

struct fetcher {
	struct engine *engine;
	GHashTable *by_key;	/* set of struct fetch that may be joined */
	GHashTable *by_tag;	/* &fetch->tag → struct fetch, while a request is under way */
	GQueue all;		/* every struct fetch */
	GQueue blocked;		/* those the parent takes no request for, too many being unanswered */
	fetch_changed_t changed;
	void *changed_data;
};

static unsigned int fetch_hash(const void *data)
{
	const struct fetch *fetch = data;

	return g_str_hash(fetch->key) ^ (unsigned int)fetch->area * 0x9e3779b1u;
}

static int fetch_equal(const void *a, const void *b)
{
	const struct fetch *x = a, *y = b;

	return x->area == y->area && strcmp(x->key, y->key) == 0;
}

struct fetcher *fetcher_new(struct engine *engine, fetch_changed_t changed, void *data)
{
	struct fetcher *fetcher = g_new0(struct fetcher, 1);

	fetcher->engine = engine;
	fetcher->by_key = g_hash_table_new(fetch_hash, fetch_equal);
	fetcher->by_tag = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_queue_init(&fetcher->all);
	g_queue_init(&fetcher->blocked);
	fetcher->changed = changed;
	fetcher->changed_data = data;
	return fetcher;
}

static struct fetch *fetch_find(struct fetcher *fetcher, int64_t area, const char *key)
{
	struct fetch probe = { .area = area, .key = (char *)key };

	return g_hash_table_lookup(fetcher->by_key, &probe);
}

/* Whoever still finds it by its key or tag finds it no more. */
static void fetch_unlist(struct fetch *fetch)
{
	struct fetcher *fetcher = fetch->fetcher;

	if (fetch_find(fetcher, fetch->area, fetch->key) == fetch)
		g_hash_table_remove(fetcher->by_key, fetch);
	if (fetch->tag)
		g_hash_table_remove(fetcher->by_tag, &fetch->tag);
	fetch->tag = 0;
	if (fetch->blocked.data)
		g_queue_unlink(&fetcher->blocked, &fetch->blocked);
	fetch->blocked.data = NULL;
}

static void fetch_free(struct fetch *fetch)
{
	fetch_unlist(fetch);
	timer_deinit(&fetch->timer);
	g_queue_remove(&fetch->fetcher->all, fetch);
	g_free(fetch->area_name);
	g_free(fetch->key);
	g_free(fetch);
}

struct fetcher *fetcher_free(struct fetcher *fetcher)
{
	if (!fetcher)
		return NULL;

	while (fetcher->all.head)
		fetch_free(fetcher->all.head->data);
	g_hash_table_unref(fetcher->by_key);
	g_hash_table_unref(fetcher->by_tag);
	g_free(fetcher);
	return NULL;
}

/* Unlisted first, so that a waiter that asks anew starts a fetch of its own. */
static void fetch_finish(struct fetch *fetch, const struct fetch_result *result)
{
	struct fetch_waiter *waiter;
	GList *link;

	fetch_unlist(fetch);
	timer_disarm(&fetch->timer);
	while ((link = g_queue_pop_head_link(&fetch->waiters))) {
		waiter = link->data;
		waiter->done(waiter->data, result);
		g_free(waiter);
	}
	fetch_free(fetch);
}

static void fetch_fail(struct fetch *fetch, const char *message)
{
	const struct fetch_result result = { .end = FETCH_FAILED, .message = message };

	fetch_finish(fetch, &result);
}

static uint64_t attempt_deadline(const struct fetch *fetch)
{
	uint64_t timeout = fetch->fetcher->engine->config->parent_request_timeout;

	return MIN(usec_add(fetch->asked_at, timeout), fetch->give_up_at);
}

static void fetch_arm(struct fetch *fetch)
{
	uint64_t deadline = attempt_deadline(fetch);

	if (!fetch->suspected)
		deadline = MIN(deadline, fetch->asked_at + SUSPECT_AFTER);
	timer_arm(&fetch->timer, deadline);
}

/* The attempt came to nothing: wait and ask again, or give up. */
static void fetch_again(struct fetch *fetch, enum metrics_retry why, uint64_t retry_after,
			const char *message)
{
	const struct config *config = fetch->fetcher->engine->config;
	uint64_t now = clock_monotonic(fetch->fetcher->engine->clock);
	uint64_t wait = retry_after;

	if (fetch->tag)
		g_hash_table_remove(fetch->fetcher->by_tag, &fetch->tag);
	fetch->tag = 0;
	fetch->retry = why;
	if (!wait)
		wait = backoff_delay(config->retry_initial_delay, config->retry_max_delay,
				     config->retry_multiplier, fetch->attempts - 1);
	if (fetch->attempts >= fetch->max_attempts || usec_add(now, wait) >= fetch->give_up_at)
		fetch_fail(fetch, message);
	else
		timer_arm(&fetch->timer, now + wait);
}

static void fetch_ask(struct fetch *fetch)
{
	struct engine *engine = fetch->fetcher->engine;
	struct parent *parent = engine->parent;

	fetch->attempts++;
	fetch->asked_at = clock_monotonic(engine->clock);
	fetch->suspected = false;
	fetch->tag = ++engine->last_tag;
	if (parent->ops->get(parent, fetch->tag, fetch->area_name, fetch->key) < 0) {
		fetch->tag = 0;
		fetch->attempts--;
		fetch->blocked.data = fetch;
		g_queue_push_tail_link(&fetch->fetcher->blocked, &fetch->blocked);
		timer_arm(&fetch->timer, fetch->give_up_at);
		return;
	}
	engine->metrics.fetches++;
	if (fetch->attempts > 1)
		engine->metrics.fetch_retries[fetch->retry]++;
	g_hash_table_insert(fetch->fetcher->by_tag, &fetch->tag, fetch);
	fetch_arm(fetch);
}

static void fetch_timer(void *data)
{
	struct fetch *fetch = data;
	struct engine *engine = fetch->fetcher->engine;
	bool probe = false;

	if (fetch->tag && clock_monotonic(engine->clock) < attempt_deadline(fetch)) {
		probe = true;
		fetch->suspected = true;
		fetch_arm(fetch);
	} else if (fetch->tag) {
		probe = !fetch->suspected;
		fetch_again(fetch, METRICS_RETRY_TIMEOUT, 0, "the parent did not answer in time");
	} else if (fetch->blocked.data) {
		fetch_fail(fetch, "too many requests to the parent are unanswered");
	} else {
		fetch_ask(fetch);
	}
	/* Last, and not through the fetch, which may be gone. */
	if (probe)
		monitor_probe(engine->monitor);
}

static struct fetch *fetch_new(struct fetcher *fetcher, int64_t area, const char *area_name,
			       const char *key, unsigned int attempts)
{
	struct fetch *fetch = g_new0(struct fetch, 1);

	fetch->fetcher = fetcher;
	fetch->area = area;
	fetch->area_name = g_strdup(area_name);
	fetch->key = g_strdup(key);
	fetch->max_attempts = attempts;
	fetch->give_up_at = clock_monotonic(fetcher->engine->clock) + LIMIT_GET_USEC;
	g_queue_init(&fetch->waiters);
	timer_init(&fetch->timer, fetcher->engine->clock, fetch_timer, fetch);
	g_queue_push_tail(&fetcher->all, fetch);
	g_hash_table_add(fetcher->by_key, fetch);
	return fetch;
}

struct fetch_waiter *fetcher_get(struct fetcher *fetcher, int64_t area, const char *area_name,
				 const char *key, unsigned int attempts, fetch_done_t done,
				 void *data)
{
	struct fetch *fetch = fetch_find(fetcher, area, key);
	struct fetch_waiter *waiter = g_new0(struct fetch_waiter, 1);
	bool joined = fetch;

	if (!joined)
		fetch = fetch_new(fetcher, area, area_name, key, attempts);
	waiter->fetch = fetch;
	waiter->done = done;
	waiter->data = data;
	waiter->link.data = waiter;
	g_queue_push_tail_link(&fetch->waiters, &waiter->link);
	if (!joined)
		fetch_ask(fetch);
	return waiter;
}

void fetcher_cancel(struct fetch_waiter *waiter)
{
	g_queue_unlink(&waiter->fetch->waiters, &waiter->link);
	g_free(waiter);
}

void fetcher_touch(struct fetcher *fetcher, int64_t area, const char *key)
{
	struct fetch *fetch = fetch_find(fetcher, area, key);

	if (!fetch)
		return;
	fetch->touched = true;
	g_hash_table_remove(fetcher->by_key, fetch);
}

static enum fetch_end fetch_fill(struct fetch *fetch, const char *value, uint64_t revision)
{
	struct fetcher *fetcher = fetch->fetcher;

	if (fetch->touched)
		return FETCH_OVERTAKEN;
	switch (copies_fill(fetcher->engine->copies, fetch->area, fetch->key, value, revision)) {
	case COPIES_OLDER:
		return FETCH_OVERTAKEN;
	case COPIES_CHANGED:
		fetcher->changed(fetcher->changed_data, fetch->area, fetch->key);
		break;
	case COPIES_OWN:
		return FETCH_OWN;
	case COPIES_FILLED:
		break;
	}
	return FETCH_ANSWERED;
}

void fetcher_room(struct fetcher *fetcher)
{
	GList *link = g_queue_pop_head_link(&fetcher->blocked);
	struct fetch *fetch;

	if (!link)
		return;
	fetch = link->data;
	link->data = NULL;
	fetch_ask(fetch);
}

bool fetcher_got(struct fetcher *fetcher, uint64_t tag, const struct parent_error *error,
		 const char *value, bool unclean, uint64_t revision)
{
	struct fetch *fetch = g_hash_table_lookup(fetcher->by_tag, &tag);
	struct fetch_result result = { .value = value, .revision = revision };

	if (!fetch)
		return false;

	if (error && error->class == WIRE_PERMANENT) {
		fetch_fail(fetch, error->message);
	} else if (error) {
		fetch_again(fetch,
			    error->class == WIRE_CAPACITY ? METRICS_RETRY_CAPACITY
							  : METRICS_RETRY_TRANSIENT,
			    error->retry_after, error->message);
	} else if (unclean) {
		result.end = FETCH_UNCLEAN;
		fetch_finish(fetch, &result);
	} else {
		result.end = fetch_fill(fetch, value, revision);
		fetch_finish(fetch, &result);
	}
	return true;
}

void fetcher_link_down(struct fetcher *fetcher)
{
	/* Waiters may ask anew while they are told; what they start is none of this. */
	GQueue failed = fetcher->all;
	struct fetch *fetch;

	g_queue_init(&fetcher->all);
	while ((fetch = g_queue_peek_head(&failed))) {
		g_queue_pop_head(&failed);
		g_queue_push_tail(&fetcher->all, fetch);
		fetch_fail(fetch, "the connection to the parent was lost");
	}
}
