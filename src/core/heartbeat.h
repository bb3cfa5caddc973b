/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The failure detector of one connection: ping windows, as pure bookkeeping.
 *
 * A ping opens a window of min(timeout, max(1 s, 4 × smoothed round trip)). While nothing answers,
 * the ping is repeated within it, at most 3 probes in all, evenly spaced. A window that ends
 * without any answer is a failed ping; the next opens at once; max_failed in a row mean the peer is
 * lost. A matching pong closes the window, gives a round trip and clears the count; any other
 * complete message closes it and clears the count too. With no window open, the next ping is due
 * one interval after the last one was opened. The smoothed round trip is RFC 6298's SRTT (alpha
 * 1/8), in usec.
 *
 * The struct belongs to one connection and dies with it. Nothing here reads a clock: `now` is
 * CLOCK_MONOTONIC in usec, given by the caller, who sends the pings and arms one timer.
 */

#include <stdbool.h>
#include <stdint.h>

#define HEARTBEAT_PROBES      3	 /* pings within one window */
#define HEARTBEAT_LATENCIES   10 /* round trips behind the average; the origin's number */
#define HEARTBEAT_PINGS	      16 /* sent pings remembered, so that a late pong still matches */

struct heartbeat_params {
	uint64_t interval;	 /* usec */
	uint64_t timeout;	 /* usec */
	unsigned int max_failed; /* windows in a row */
};

struct heartbeat {
	struct heartbeat_params params;
	struct {
		int64_t id;	  /* what the pong must echo; 0 = free slot */
		uint64_t sent_at;
	} pings[HEARTBEAT_PINGS];
	unsigned int next_ping;		/* slot the next ping takes */
	uint64_t window_opened;		/* 0 = no window open */
	uint64_t window_length;
	unsigned int probes;		/* sent in the open window */
	unsigned int failed;		/* windows in a row */
	uint64_t last_window;		/* when the last one was opened; 0 = nothing is due */
	uint64_t srtt;			/* 0 = none measured yet */
};

/* The last round trips, over all connections: what AverageLatency shows. */
struct latency {
	uint64_t sample[HEARTBEAT_LATENCIES]; /* usec */
	unsigned int count, next;
};

enum heartbeat_verdict {
	HEARTBEAT_WAIT,	  /* nothing to do before heartbeat_deadline() */
	HEARTBEAT_PING,	  /* send a ping: heartbeat_sent() must follow */
	HEARTBEAT_FAILED, /* a window failed (failed counts it); a new one opened: send a ping */
	HEARTBEAT_LOST,	  /* the max_failed-th window in a row failed */
};

/** heartbeat_init() - a new connection; no window is open, nothing is due until heartbeat_open(). */
void heartbeat_init(struct heartbeat *hb, const struct heartbeat_params *params);

/** heartbeat_set_params() - take new bounds; an open window keeps its length. */
void heartbeat_set_params(struct heartbeat *hb, const struct heartbeat_params *params);

/**
 * heartbeat_open() - a ping is wanted now (connect, interval, CheckConnection, suspicion).
 *
 * Return: HEARTBEAT_PING; or HEARTBEAT_WAIT where a window is already open, whose probes go on.
 */
enum heartbeat_verdict heartbeat_open(struct heartbeat *hb, uint64_t now);

/** heartbeat_sent() - a ping carrying @id went out in the open window. @id is not 0. */
void heartbeat_sent(struct heartbeat *hb, int64_t id, uint64_t now);

/**
 * heartbeat_pong() - a pong came.
 * @ret_rtt: its round trip in usec, at least 1
 *
 * Return: true where it answers a ping of this connection (each ping counts once); else nothing
 * changed.
 */
bool heartbeat_pong(struct heartbeat *hb, int64_t id, uint64_t now, uint64_t *ret_rtt);

/** heartbeat_message() - any other complete message came: the peer lives. */
void heartbeat_message(struct heartbeat *hb, uint64_t now);

/**
 * heartbeat_tick() - time has come to heartbeat_deadline().
 * @busy: a large line is under way with progress, so an expired window does not fail but is
 *        opened anew
 */
enum heartbeat_verdict heartbeat_tick(struct heartbeat *hb, uint64_t now, bool busy);

/** heartbeat_deadline() - when heartbeat_tick() is next to be called; UINT64_MAX = never. */
uint64_t heartbeat_deadline(const struct heartbeat *hb);

/**
 * heartbeat_doubt_at() - from when on it is doubtful that the peer still answers, if nothing comes
 * until then: its ping is repeated. In the past where it is; UINT64_MAX where no ping is unanswered.
 */
uint64_t heartbeat_doubt_at(const struct heartbeat *hb);

/** latency_add() - one more round trip in usec. */
void latency_add(struct latency *latency, uint64_t rtt);

/** latency_mean() - of the last 10, rounded; 0 where there is none. */
uint64_t latency_mean(const struct latency *latency);
