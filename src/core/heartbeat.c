/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Ping windows, counted; see heartbeat.h for the rules and who drives them. The struct is the
 * connection's; it holds no memory of its own, so there is nothing to release.
 *
 * An open window is window_opened != 0. Everything that is due follows from three facts: when the
 * window was opened, when the last probe went out, and when the last window was opened.
 */

#include <glib.h>

#include "base/util.h"
#include "core/heartbeat.h"

/* A window is never shorter than this (but for Timeout): a parent may be slow once. */
#define HEARTBEAT_WINDOW_MIN (1 * USEC_PER_SEC)

/* The window spans so many smoothed round trips where that is more. */
#define HEARTBEAT_WINDOW_SRTTS 4

void heartbeat_init(struct heartbeat *hb, const struct heartbeat_params *params)
{
	*hb = (struct heartbeat){ .params = *params };
}

void heartbeat_set_params(struct heartbeat *hb, const struct heartbeat_params *params)
{
	hb->params = *params;
	hb->failed = MIN(hb->failed, params->max_failed);
}

static void window_open(struct heartbeat *hb, uint64_t now)
{
	uint64_t wanted = MAX(HEARTBEAT_WINDOW_MIN, HEARTBEAT_WINDOW_SRTTS * hb->srtt);

	hb->window_opened = MAX(now, 1); /* 0 says "none" */
	hb->window_length = MIN(hb->params.timeout, wanted);
	hb->last_window = hb->window_opened;
	hb->probes = 0;
}

/* An answer, of whatever kind: the count of failures in a row starts anew. */
static void window_close(struct heartbeat *hb)
{
	hb->window_opened = 0;
	hb->probes = 0;
	hb->failed = 0;
}

static uint64_t window_end(const struct heartbeat *hb)
{
	return usec_add(hb->window_opened, hb->window_length);
}

/*
 * Counted from the last probe and not from the opening: a loop that stood still does not send
 * what it missed in one burst, which would ask the same instant of the network three times.
 */
static uint64_t next_probe(const struct heartbeat *hb)
{
	unsigned int last = (hb->next_ping + HEARTBEAT_PINGS - 1) % HEARTBEAT_PINGS;

	if (hb->probes == 0)
		return hb->window_opened;
	return usec_add(hb->pings[last].sent_at, hb->window_length / HEARTBEAT_PROBES);
}

enum heartbeat_verdict heartbeat_open(struct heartbeat *hb, uint64_t now)
{
	if (hb->window_opened)
		return HEARTBEAT_WAIT;
	window_open(hb, now);
	return HEARTBEAT_PING;
}

void heartbeat_sent(struct heartbeat *hb, int64_t id, uint64_t now)
{
	hb->pings[hb->next_ping].id = id;
	hb->pings[hb->next_ping].sent_at = now;
	hb->next_ping = (hb->next_ping + 1) % HEARTBEAT_PINGS;
	if (hb->window_opened)
		hb->probes++;
}

/* RFC 6298, 2.2 and 2.3. Microseconds of any clock leave the top bits free: 7 × cannot wrap. */
static void srtt_update(struct heartbeat *hb, uint64_t rtt)
{
	hb->srtt = hb->srtt ? (7 * hb->srtt + rtt) / 8 : rtt;
}

/*
 * Looks at every remembered ping, not only at those of the open window: an answer that took longer
 * than its window still proves that the peer lives. Each probe has an id of its own, so a round
 * trip is never measured against a repeated ping (Karn's problem does not arise).
 */
bool heartbeat_pong(struct heartbeat *hb, int64_t id, uint64_t now, uint64_t *ret_rtt)
{
	uint64_t rtt;

	for (unsigned int i = 0; id != 0 && i < HEARTBEAT_PINGS; i++) {
		if (hb->pings[i].id != id)
			continue;
		hb->pings[i].id = 0;
		rtt = MAX(usec_sub(now, hb->pings[i].sent_at), 1);
		srtt_update(hb, rtt);
		window_close(hb);
		*ret_rtt = rtt;
		return true;
	}
	return false;
}

void heartbeat_message(struct heartbeat *hb, uint64_t now)
{
	(void)now; /* what is due next counts from the last window, not from the answer */
	window_close(hb);
}

/* Nothing is due any more after the last failure: the connection is about to be dropped. */
static enum heartbeat_verdict window_fail(struct heartbeat *hb, uint64_t now)
{
	if (hb->failed < hb->params.max_failed)
		hb->failed++;
	if (hb->failed < hb->params.max_failed) {
		window_open(hb, now);
		return HEARTBEAT_FAILED;
	}
	hb->window_opened = 0;
	hb->last_window = 0;
	return HEARTBEAT_LOST;
}

enum heartbeat_verdict heartbeat_tick(struct heartbeat *hb, uint64_t now, bool busy)
{
	if (now < heartbeat_deadline(hb))
		return HEARTBEAT_WAIT;
	if (!hb->window_opened)
		return heartbeat_open(hb, now);
	if (now < window_end(hb))
		return HEARTBEAT_PING; /* the next probe */
	/* The next window starts now, not at the end of the last: being late counts once. */
	if (!busy)
		return window_fail(hb, now);
	window_open(hb, now);
	return HEARTBEAT_PING;
}

uint64_t heartbeat_deadline(const struct heartbeat *hb)
{
	if (!hb->window_opened)
		return hb->last_window ? usec_add(hb->last_window, hb->params.interval)
				       : USEC_INFINITY;
	if (hb->probes >= HEARTBEAT_PROBES)
		return window_end(hb);
	return MIN(next_probe(hb), window_end(hb));
}

uint64_t heartbeat_doubt_at(const struct heartbeat *hb)
{
	if (hb->failed > 0)
		return 0;
	if (!hb->window_opened)
		return USEC_INFINITY;
	return usec_add(hb->window_opened, hb->window_length / HEARTBEAT_PROBES);
}

void latency_add(struct latency *latency, uint64_t rtt)
{
	latency->sample[latency->next] = rtt;
	latency->next = (latency->next + 1) % HEARTBEAT_LATENCIES;
	latency->count = MIN(latency->count + 1, HEARTBEAT_LATENCIES);
}

uint64_t latency_mean(const struct latency *latency)
{
	uint64_t sum = 0;

	if (latency->count == 0)
		return 0;
	for (unsigned int i = 0; i < latency->count; i++)
		sum += latency->sample[i];
	return (sum + latency->count / 2) / latency->count;
}
