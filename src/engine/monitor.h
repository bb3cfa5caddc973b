/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The connection monitor: dials the parent, greets it, pings it, and says what state the line is in
 * (design §6). It owns the link's state, the reconnect backoff and the heartbeat; it does not own
 * the data. One function changes the state: monitor_enter_state().
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "core/config.h"
#include "core/histogram.h"
#include "parent/parent.h"

struct monitor;

enum monitor_state {
	MONITOR_CONNECTING,
	MONITOR_CONNECTED,
	MONITOR_DISCONNECTED,
};

const char *monitor_state_to_string(enum monitor_state state);

struct monitor_stats {
	uint64_t last_ping_time;	/* realtime usec; 0 = never */
	uint64_t last_pong_time;	/* realtime usec; 0 = never */
	uint64_t total_pings;
	uint64_t total_pongs;
	uint64_t total_failed;		/* windows without an answer */
	uint64_t average_latency;	/* usec; 0 = none measured */
	uint32_t failed_pings;		/* windows in a row */
	uint64_t connects;		/* times the state became connected */
	uint64_t disconnects;		/* times it became disconnected */
	uint64_t lost_data;		/* times the parent had lost acked data */
	uint64_t state_since;		/* realtime usec of the last change of state */
};

/* An event told to listeners, after the state changed and before anything else happens. */
struct monitor_event {
	enum monitor_state old_state, state;	/* equal where only the reason changed */
};
typedef void (*monitor_func_t)(void *data, const struct monitor_event *event);

/**
 * struct monitor_ops - what the floor above does on the link's events
 * @welcome: a session is there but not ready; called before the first ping. Returns false where
 *           the session must not go on (it then called monitor_drop())
 */
struct monitor_ops {
	bool (*welcome)(void *data, const struct parent_welcome *welcome);
};

/**
 * monitor_new() - a monitor that is not started.
 * @config: heartbeat, reconnect and dial settings are read from it whenever needed; must outlive
 *          the monitor and may change between calls
 * @rand: jitter; must outlive the monitor
 * @ops: may be NULL
 */
struct monitor *monitor_new(struct clock *clock, const struct config *config, GRand *rand,
			    const struct monitor_ops *ops, void *data);
struct monitor *monitor_free(struct monitor *monitor);

/** monitor_set_parent() - the driver to use, borrowed; NULL: none. A connection to the one before
 * is ended first (→ disconnected where it was connected), and if the monitor was started the new
 * one is dialled at once. The driver's link callbacks are set here. A driver in use must not be
 * freed: give another one, or NULL, before. */
void monitor_set_parent(struct monitor *monitor, struct parent *parent);

/** monitor_name_parent() - how the log calls the driver's parent: its address, copied. */
void monitor_name_parent(struct monitor *monitor, const char *address);

/** monitor_start() - first attempt; state connecting, reason "start". */
void monitor_start(struct monitor *monitor);

/** monitor_stop() - end the connection; state disconnected, reason "stopped". Nothing restarts it
 * but monitor_start(). */
void monitor_stop(struct monitor *monitor);

/** monitor_check() - CheckConnection: ping now, or dial now. At most once per second has an effect.
 */
void monitor_check(struct monitor *monitor);

/** monitor_hint() - something says the line may be back (a network came up, we resumed, a config
 * was reloaded): ping now or dial now, without check's rate limit. Ignored with AutoRecover=no. */
void monitor_hint(struct monitor *monitor);

/** monitor_socket_appeared() - the parent's socket file was made: dial now, and again after 50 and
 * 200 ms. Ignored with AutoRecover=no, and when not disconnected. */
void monitor_socket_appeared(struct monitor *monitor);

/** monitor_probe() - an answer is late: open a ping window now if none is open. */
void monitor_probe(struct monitor *monitor);

/** monitor_doubt_at() - as link_doubt_at(). */
uint64_t monitor_doubt_at(const struct monitor *monitor);

/** monitor_drop() - the floor above found the connection unusable: end it now; reconnect follows
 * the state table for @reason. @why: a sentence. */
void monitor_drop(struct monitor *monitor, enum parent_reason reason, const char *why);

/** monitor_note_lost_data() - the parent lost acked data: the Reason says so until the state
 * next changes to connected afresh. */
void monitor_note_lost_data(struct monitor *monitor, const char *why);

/** monitor_reconfigured() - the config changed: take new intervals and bounds at once. */
void monitor_reconfigured(struct monitor *monitor);

enum monitor_state monitor_state(const struct monitor *monitor);
/** monitor_ready() - connected: requests may be sent. */
bool monitor_ready(const struct monitor *monitor);
/** monitor_first_attempt() - still in the first attempt after start. */
bool monitor_first_attempt(const struct monitor *monitor);
/** monitor_reason() - a word, and ": " and a sentence where there is one. Borrowed. */
const char *monitor_reason(const struct monitor *monitor);
void monitor_get_stats(const struct monitor *monitor, struct monitor_stats *ret_stats);

/** monitor_last_loss() - why the state last ceased to be connected; START where it never did. */
enum parent_reason monitor_last_loss(const struct monitor *monitor);

/** monitor_round_trips() - of all pings since the start; borrowed. */
const struct histogram *monitor_round_trips(const struct monitor *monitor);

/** monitor_last_error() - why the line was last lost or could not be had: as monitor_reason();
 * "" where it never was. Borrowed. */
const char *monitor_last_error(const struct monitor *monitor);

/** monitor_add_watch() - hear every change of state or reason. Return: id for
 * monitor_remove_watch(). */
uint32_t monitor_add_watch(struct monitor *monitor, monitor_func_t func, void *data);
void monitor_remove_watch(struct monitor *monitor, uint32_t id);
