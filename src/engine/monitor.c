/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The state machine of design §6: what the link says, what its users ask and the time become a
 * state with a reason, and the next dial. The line itself, with its pings, is engine/link.
 *
 * Whoever is told of a change may call anything here, monitor_free() included. So telling comes
 * last: each path first brings everything in order and ends with monitor_enter_state().
 */

#include <string.h>

#include "base/log-message.h"
#include "base/log.h"
#include "base/util.h"
#include "base/watchlist.h"
#include "core/backoff.h"
#include "core/limits.h"
#include "engine/link.h"
#include "engine/monitor.h"
#include "engine/reason.h"

/* A connection that stood this long was a good one: the next dial starts the backoff afresh. */
#define STABLE_USEC (10 * USEC_PER_SEC)

/* After the loss of a good connection: "at once", but not all daemons at the same instant. */
#define LOSS_JITTER_USEC (100 * USEC_PER_MSEC)

/* Between dials to a parent that does not want us: someone has to change something first. */
#define HOLD_USEC (60 * USEC_PER_SEC)

/* CheckConnection is anyone's to call; it must not become a way to flood the parent. */
#define CHECK_USEC (1 * USEC_PER_SEC)

/* A socket file is there before its owner listens: when to dial after it appeared. */
static const uint64_t appear_usec[] = { 0, 50 * USEC_PER_MSEC, 200 * USEC_PER_MSEC };

/* What lasts as long as the link. */
struct session {
	uint64_t connected_at;	/* in state connected */
	char *lost_data;	/* what the reason of "connected" will be; NULL: ok */
};

struct monitor {
	struct clock *clock;
	const struct config *config;
	GRand *rand;
	const struct monitor_ops *ops;
	void *data;
	struct link *link;
	struct parent *parent;	/* borrowed; NULL: none */
	char *address;		/* of it, to be shown */
	struct session session;

	unsigned int attempt;	/* dials that failed since the last good connection */
	uint64_t redial_at;	/* where disconnected; USEC_INFINITY: never */
	struct timer redial_timer;
	uint64_t appeared_at;
	unsigned int appear_step;
	struct timer appear_timer;
	uint64_t check_after;	/* CheckConnection has no effect before */
	bool hinted;		/* during a dial, which may have seen what was before */

	bool started;
	bool first_attempt;
	enum monitor_state state;
	char *reason;
	bool quoted;		/* the reason's sentence is the parent's own */
	bool lost;		/* a link that was up broke, and none is up since */
	bool away;		/* the first attempt just failed */
	char *last_error;
	enum parent_reason last_loss;	/* from connected */
	uint64_t connects, disconnects, lost_data;
	uint64_t state_since;	/* realtime usec */

	struct watchlist watches;
	GQueue events;		/* struct monitor_event, to be told in order */
	bool telling;		/* them: monitor_free() then leaves the struct itself … */
	bool dead;		/* … to who tells */
};

const char *monitor_state_to_string(enum monitor_state state)
{
	switch (state) {
	case MONITOR_CONNECTING:
		return "connecting";
	case MONITOR_CONNECTED:
		return "connected";
	case MONITOR_DISCONNECTED:
		return "disconnected";
	}
	return "";
}

/* ---- the state ---- */

static void set_string(char **string, const char *value)
{
	char *copy = g_strdup(value); /* @value may be *@string */

	g_free(*string);
	*string = copy;
}

static void call_watch(void (*callback)(void), void *data, void *event)
{
	((monitor_func_t)callback)(data, event);
}

/* A change made by a listener is told after the one it listens to: all hear the same order. */
static void monitor_tell(struct monitor *monitor, enum monitor_state old_state)
{
	struct monitor_event *event = g_new(struct monitor_event, 1);

	*event = (struct monitor_event){ old_state, monitor->state };
	g_queue_push_tail(&monitor->events, event);
	if (monitor->telling)
		return;

	monitor->telling = true;
	while (!monitor->dead && (event = g_queue_pop_head(&monitor->events))) {
		watchlist_notify(&monitor->watches, call_watch, event);
		g_free(event);
	}
	monitor->telling = false;
	if (monitor->dead)
		g_free(monitor);
}

/*
 * The timers that a state calls for. Redialling is for who is disconnected and is not dialling
 * already; the dials after a socket appeared go on beside it until a transport is up.
 */
static void monitor_arm(struct monitor *monitor)
{
	bool alone = monitor->started && monitor->parent &&
		     monitor->state == MONITOR_DISCONNECTED;

	if (alone && link_is_down(monitor->link))
		timer_arm(&monitor->redial_timer, monitor->redial_at);
	else
		timer_disarm(&monitor->redial_timer);
	if (!alone)
		timer_disarm(&monitor->appear_timer);
}

static void monitor_count(struct monitor *monitor)
{
	monitor->state_since = clock_realtime(monitor->clock);
	switch (monitor->state) {
	case MONITOR_CONNECTING:
		break;
	case MONITOR_CONNECTED:
		monitor->connects++;
		break;
	case MONITOR_DISCONNECTED:
		monitor->disconnects++;
		break;
	}
}

/* A parent that stays away, or fails each time in the same way, is logged once. */
static int monitor_log_level(const struct monitor *monitor, enum monitor_state state,
			     const char *reason)
{
	if (state == MONITOR_CONNECTED || monitor->state == MONITOR_CONNECTED)
		return LOG_NOTICE;
	if (state == MONITOR_CONNECTING || strcmp(reason, monitor->reason) == 0)
		return LOG_DEBUG;
	return LOG_NOTICE;
}

/* The message id of a change. What we ourselves end (a stop, another parent) is no loss. */
static const char *monitor_message_id(const struct monitor *monitor, enum monitor_state state)
{
	if (monitor->state == MONITOR_CONNECTED && state != MONITOR_CONNECTED)
		return monitor->lost ? LOG_MESSAGE_PARENT_LOST : NULL;
	if (monitor->state != MONITOR_CONNECTED && state == MONITOR_CONNECTED)
		return monitor->lost ? LOG_MESSAGE_PARENT_RESTORED : NULL;
	return monitor->away ? LOG_MESSAGE_PARENT_AWAY : NULL;
}

/* A parent's own sentence may hold a value or our token: users see it, the log does not. */
static void monitor_log(const struct monitor *monitor, enum monitor_state state,
			const char *reason)
{
	const char *old = monitor_state_to_string(monitor->state);
	const char *new = monitor_state_to_string(state);
	int word = monitor->quoted ? (int)strcspn(reason, ":") : LIMIT_REASON_BYTES + 64;
	g_autofree char *text = g_strdup_printf("%.*s", word, reason);

	log_event(monitor_log_level(monitor, state, reason), monitor_message_id(monitor, state),
		  LOG_FIELDS(log_text("HOLDFAST_PARENT", monitor->address),
			     log_text("HOLDFAST_OLD_STATE", old), log_text("HOLDFAST_STATE", new),
			     log_text("HOLDFAST_REASON", text)),
		  "parent: %s%s%s (%s)", monitor->state == state ? "still " : old,
		  monitor->state == state ? "" : " -> ", new, text);
}

/*
 * The only place that changes the state or its reason. It may end with the monitor freed: nothing
 * may follow a call of it.
 */
static void monitor_enter_state(struct monitor *monitor, enum monitor_state state,
				const char *reason)
{
	enum monitor_state old = monitor->state;

	if (old == state && strcmp(reason, monitor->reason) == 0) {
		monitor_arm(monitor);
		return;
	}
	monitor_log(monitor, state, reason);
	monitor->away = false;
	if (state == MONITOR_CONNECTED)
		monitor->lost = false;
	monitor->state = state;
	set_string(&monitor->reason, reason);
	if (old != state)
		monitor_count(monitor);
	monitor_arm(monitor);
	monitor_tell(monitor, old);
}

/* ---- dialling and losing ---- */

static void monitor_dial(struct monitor *monitor)
{
	link_dial(monitor->link);
	monitor_arm(monitor);
}

static void session_end(struct session *session)
{
	g_free(session->lost_data);
	*session = (struct session){ 0 };
}

/*
 * How long to wait before the next dial. A line that falls again within seconds of each success
 * must not be dialled at full speed for ever, so only one that stood resets the backoff.
 */
static uint64_t monitor_redial_delay(struct monitor *monitor, enum parent_reason reason,
				     uint64_t lasted, uint64_t retry_after)
{
	const struct config *config = monitor->config;
	uint64_t delay;

	if (lasted >= STABLE_USEC)
		monitor->attempt = 0;
	if (!config->heartbeat_auto_recover)
		return USEC_INFINITY;
	/* A token or a certificate that was replaced while the dial was under way is worth another. */
	if ((reason == PARENT_REASON_AUTH || reason == PARENT_REASON_VERSION) && !monitor->hinted)
		return HOLD_USEC;

	if (lasted >= STABLE_USEC)
		delay = backoff_jitter(monitor->rand, LOSS_JITTER_USEC, LOSS_JITTER_USEC, 0);
	else
		delay = backoff_jitter(monitor->rand, config->reconnect_initial_delay,
				       config->reconnect_max_delay, monitor->attempt++);
	return MAX(delay, retry_after);
}

/* The link, or the attempt to have one, came to an end. Nothing may follow a call of it. */
static void monitor_lose(struct monitor *monitor, enum parent_reason reason, const char *why,
			 uint64_t retry_after)
{
	uint64_t now = clock_monotonic(monitor->clock), lasted = 0;
	g_autofree char *text = reason_make(reason, why);

	if (monitor->state == MONITOR_CONNECTED) {
		lasted = usec_sub(now, monitor->session.connected_at);
		monitor->last_loss = reason;
	}
	session_end(&monitor->session);
	monitor->lost |= monitor->state == MONITOR_CONNECTED;
	monitor->away = monitor->first_attempt;
	monitor->first_attempt = false;
	monitor->redial_at =
		usec_add(now, monitor_redial_delay(monitor, reason, lasted, retry_after));
	monitor->hinted = false;
	set_string(&monitor->last_error, text);
	monitor_enter_state(monitor, MONITOR_DISCONNECTED, text);
}

static void monitor_redial(void *data)
{
	monitor_dial(data);
}

/* A dial that is refused here counts for the backoff too: then the socket is not the news. */
static void monitor_appear_turn(void *data)
{
	struct monitor *monitor = data;

	if (++monitor->appear_step < G_N_ELEMENTS(appear_usec))
		timer_arm(&monitor->appear_timer,
			  usec_add(monitor->appeared_at, appear_usec[monitor->appear_step]));
	monitor_dial(monitor);
}

/* ---- what the link says ---- */

static void monitor_link_up(void *data)
{
	struct monitor *monitor = data;

	/* Why it was away stays the reason, until it is back or something else is wrong. */
	monitor_enter_state(monitor, MONITOR_CONNECTING, monitor->reason);
}

static bool monitor_link_welcome(void *data, const struct parent_welcome *welcome)
{
	struct monitor *monitor = data;

	if (!monitor->ops || !monitor->ops->welcome)
		return true;
	return monitor->ops->welcome(monitor->data, welcome);
}

static void monitor_link_ready(void *data)
{
	struct monitor *monitor = data;
	const char *lost_data = monitor->session.lost_data;
	g_autofree char *reason =
		lost_data ? reason_make(PARENT_REASON_LOST_DATA, lost_data)
			  : reason_make(PARENT_REASON_OK, "");

	monitor->first_attempt = false;
	monitor->hinted = false;
	monitor->quoted = false;
	monitor->session.connected_at = clock_monotonic(monitor->clock);
	monitor_enter_state(monitor, MONITOR_CONNECTED, reason);
}

static void monitor_link_down(void *data, enum parent_reason reason, const char *why,
			      uint64_t retry_after)
{
	struct monitor *monitor = data;

	monitor->quoted = monitor->parent && monitor->parent->quoting;
	monitor_lose(monitor, reason, why, retry_after);
}

static const struct link_ops monitor_link_ops = {
	.up = monitor_link_up,
	.welcome = monitor_link_welcome,
	.ready = monitor_link_ready,
	.down = monitor_link_down,
};

/* ---- life ---- */

struct monitor *monitor_new(struct clock *clock, const struct config *config, GRand *rand,
			    const struct monitor_ops *ops, void *data)
{
	struct monitor *monitor = g_new0(struct monitor, 1);

	monitor->clock = clock;
	monitor->config = config;
	monitor->rand = rand;
	monitor->ops = ops;
	monitor->data = data;
	monitor->state = MONITOR_DISCONNECTED;
	monitor->reason = reason_make(PARENT_REASON_STOPPED, "");
	monitor->last_error = g_strdup("");
	monitor->redial_at = USEC_INFINITY;
	monitor->state_since = clock_realtime(clock);
	/* A random start: a parent that answers from memory of another daemon is found out. */
	monitor->link = link_new(clock, config, g_rand_int(rand), &monitor_link_ops, monitor);
	watchlist_init(&monitor->watches);
	g_queue_init(&monitor->events);
	timer_init(&monitor->redial_timer, clock, monitor_redial, monitor);
	timer_init(&monitor->appear_timer, clock, monitor_appear_turn, monitor);
	return monitor;
}

struct monitor *monitor_free(struct monitor *monitor)
{
	if (!monitor)
		return NULL;

	link_free(monitor->link);
	session_end(&monitor->session);
	timer_deinit(&monitor->redial_timer);
	timer_deinit(&monitor->appear_timer);
	watchlist_deinit(&monitor->watches);
	g_queue_clear_full(&monitor->events, g_free);
	g_free(monitor->address);
	g_free(monitor->reason);
	g_free(monitor->last_error);
	monitor->dead = true;
	if (!monitor->telling)
		g_free(monitor);
	return NULL;
}

void monitor_set_parent(struct monitor *monitor, struct parent *parent)
{
	g_autofree char *reason = reason_make(PARENT_REASON_CLOSED, "another parent is to be used");

	if (monitor->state == MONITOR_CONNECTED)
		monitor->last_loss = PARENT_REASON_CLOSED;
	link_set_parent(monitor->link, parent);
	session_end(&monitor->session);
	if (monitor->state != MONITOR_DISCONNECTED)
		monitor->quoted = false;
	monitor->parent = parent;
	monitor->attempt = 0;
	monitor->first_attempt = false;
	monitor->redial_at = USEC_INFINITY;
	if (monitor->started)
		monitor_dial(monitor);
	/* The dial is under way; telling comes last. Who was away already has nothing to tell. */
	monitor_enter_state(monitor, MONITOR_DISCONNECTED,
			    monitor->state == MONITOR_DISCONNECTED ? monitor->reason : reason);
}

void monitor_name_parent(struct monitor *monitor, const char *address)
{
	set_string(&monitor->address, address);
}

void monitor_start(struct monitor *monitor)
{
	g_autofree char *reason = reason_make(PARENT_REASON_START, "");

	if (monitor->started)
		return;
	monitor->started = true;
	monitor->quoted = false;
	monitor->first_attempt = monitor->parent != NULL;
	monitor->attempt = 0;
	monitor_dial(monitor);
	monitor_enter_state(monitor,
			    monitor->parent ? MONITOR_CONNECTING : MONITOR_DISCONNECTED, reason);
}

void monitor_stop(struct monitor *monitor)
{
	g_autofree char *reason = reason_make(PARENT_REASON_STOPPED, "");

	monitor->started = false;
	monitor->first_attempt = false;
	monitor->quoted = false;
	monitor->lost = false;
	link_end(monitor->link);
	session_end(&monitor->session);
	monitor_enter_state(monitor, MONITOR_DISCONNECTED, reason);
}

void monitor_reconfigured(struct monitor *monitor)
{
	link_reconfigured(monitor->link);
	if (!monitor->config->heartbeat_auto_recover) {
		monitor->redial_at = USEC_INFINITY;
		timer_disarm(&monitor->appear_timer);
	} else if (monitor->started && monitor->redial_at == USEC_INFINITY) {
		/* Left alone by AutoRecover=no until now; nothing where there is a link. */
		monitor_dial(monitor);
	}
	monitor_arm(monitor);
}

/* ---- nudges ---- */

/* "Ping now, or dial now". A dial under way is left alone: DialTimeout ends it soon enough. */
static void monitor_nudge(struct monitor *monitor)
{
	if (link_is_down(monitor->link))
		monitor_dial(monitor);
	else
		link_suspect(monitor->link);
}

void monitor_check(struct monitor *monitor)
{
	uint64_t now = clock_monotonic(monitor->clock);

	if (!monitor->started || now < monitor->check_after)
		return;
	monitor->check_after = usec_add(now, CHECK_USEC);
	monitor_nudge(monitor);
}

void monitor_hint(struct monitor *monitor)
{
	if (!monitor->started || !monitor->config->heartbeat_auto_recover)
		return;
	monitor->hinted = !link_is_down(monitor->link) && !monitor_ready(monitor);
	monitor_nudge(monitor);
}

void monitor_socket_appeared(struct monitor *monitor)
{
	if (!monitor->started || !monitor->config->heartbeat_auto_recover ||
	    monitor->state != MONITOR_DISCONNECTED)
		return;
	monitor->appear_step = 0;
	monitor->appeared_at = clock_monotonic(monitor->clock);
	monitor_appear_turn(monitor);
}

void monitor_probe(struct monitor *monitor)
{
	link_suspect(monitor->link);
}

uint64_t monitor_doubt_at(const struct monitor *monitor)
{
	return link_doubt_at(monitor->link);
}

void monitor_drop(struct monitor *monitor, enum parent_reason reason, const char *why)
{
	if (link_is_down(monitor->link))
		return;
	link_end(monitor->link);
	monitor->quoted = false;
	monitor_lose(monitor, reason, why, 0);
}

void monitor_note_lost_data(struct monitor *monitor, const char *why)
{
	g_autofree char *reason = reason_make(PARENT_REASON_LOST_DATA, why);

	monitor->lost_data++;
	if (monitor->state == MONITOR_CONNECTED)
		monitor_enter_state(monitor, MONITOR_CONNECTED, reason);
	else if (link_has_session(monitor->link))
		set_string(&monitor->session.lost_data, why);
}

/* ---- looking ---- */

enum monitor_state monitor_state(const struct monitor *monitor)
{
	return monitor->state;
}

bool monitor_ready(const struct monitor *monitor)
{
	return monitor->state == MONITOR_CONNECTED;
}

bool monitor_first_attempt(const struct monitor *monitor)
{
	return monitor->first_attempt;
}

const char *monitor_reason(const struct monitor *monitor)
{
	return monitor->reason;
}

void monitor_get_stats(const struct monitor *monitor, struct monitor_stats *ret_stats)
{
	struct link_stats link;

	link_get_stats(monitor->link, &link);
	*ret_stats = (struct monitor_stats){
		.last_ping_time = link.last_ping_time,
		.last_pong_time = link.last_pong_time,
		.total_pings = link.total_pings,
		.total_pongs = link.total_pongs,
		.total_failed = link.total_failed,
		.average_latency = link.average_latency,
		.failed_pings = link.failed_pings,
		.connects = monitor->connects,
		.disconnects = monitor->disconnects,
		.lost_data = monitor->lost_data,
		.state_since = monitor->state_since,
	};
}

enum parent_reason monitor_last_loss(const struct monitor *monitor)
{
	return monitor->last_loss;
}

const struct histogram *monitor_round_trips(const struct monitor *monitor)
{
	return link_round_trips(monitor->link);
}

const char *monitor_last_error(const struct monitor *monitor)
{
	return monitor->last_error;
}

uint32_t monitor_add_watch(struct monitor *monitor, monitor_func_t func, void *data)
{
	return watchlist_add(&monitor->watches, (void (*)(void))func, data);
}

void monitor_remove_watch(struct monitor *monitor, uint32_t id)
{
	watchlist_remove(&monitor->watches, id);
}
