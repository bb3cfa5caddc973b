/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One link at a time, over the parent's driver. All that belongs to it is in struct connection,
 * wiped by link_end(): no ping, pong or deadline of an old link can touch a new one. One timer
 * serves the deadline of the dial and then what core/heartbeat asks for.
 *
 * The owner may free the link from any callback, so each path ends with the callback it makes. The
 * one in the middle, welcome, is followed by a look at whether the same link still stands.
 */

#include "base/util.h"
#include "core/heartbeat.h"
#include "engine/link.h"

/* Bytes of a large line that moved this long ago say nothing of now. */
#define PROGRESS_USEC (500 * USEC_PER_MSEC)

enum phase {
	PHASE_DOWN,
	PHASE_DIALLING,
	PHASE_UP,	/* transport there, hello sent */
	PHASE_SESSION,	/* welcomed: pings go out */
	PHASE_READY,	/* a pong came */
};

struct connection {
	enum phase phase;
	uint64_t dialled_at;
	int64_t ping_base;		/* its pings carry ids above this one */
	struct heartbeat heartbeat;	/* from PHASE_SESSION on */
	bool *gone;			/* set when it ends, for who is in the middle of a call */
};

struct link {
	struct clock *clock;
	const struct config *config;
	const struct link_ops *ops;
	void *data;
	struct parent *parent;
	struct connection connection;
	struct timer timer;
	int64_t last_ping_id;		/* rises over all connections: none answers for another */
	struct latency latency;
	struct histogram round_trips;
	struct link_stats stats;	/* failed_pings: of the last connection */
};

/* After each change of phase and each turn of the heartbeat: the link always has a deadline. */
static void link_arm(struct link *link)
{
	switch (link->connection.phase) {
	case PHASE_DOWN:
		timer_disarm(&link->timer);
		break;
	case PHASE_DIALLING:
	case PHASE_UP:
		timer_arm(&link->timer, usec_add(link->connection.dialled_at,
						 link->config->parent_dial_timeout));
		break;
	case PHASE_SESSION:
	case PHASE_READY:
		timer_arm(&link->timer, heartbeat_deadline(&link->connection.heartbeat));
		break;
	}
}

bool link_is_down(const struct link *link)
{
	return link->connection.phase == PHASE_DOWN;
}

bool link_has_session(const struct link *link)
{
	return link->connection.phase >= PHASE_SESSION;
}

void link_dial(struct link *link)
{
	if (!link->parent || !link_is_down(link))
		return;
	link->connection = (struct connection){
		.phase = PHASE_DIALLING,
		.dialled_at = clock_monotonic(link->clock),
		.ping_base = link->last_ping_id,
	};
	link_arm(link);
	link->parent->ops->connect(link->parent);
}

/* The wipe comes before the driver's own end, so that nothing of the old link is in the way of
 * whoever dials again from a callback. */
void link_end(struct link *link)
{
	if (link_is_down(link))
		return;
	if (link_has_session(link))
		link->stats.failed_pings = link->connection.heartbeat.failed;
	if (link->connection.gone)
		*link->connection.gone = true;
	link->connection = (struct connection){ .phase = PHASE_DOWN };
	link_arm(link);
	link->parent->ops->disconnect(link->parent);
}

static void link_lose(struct link *link, enum parent_reason reason, const char *why,
		      uint64_t retry_after)
{
	link_end(link);
	link->ops->down(link->data, reason, why, retry_after);
}

/* ---- pings ---- */

static void link_ping(struct link *link)
{
	int64_t id = ++link->last_ping_id;

	link->stats.total_pings++;
	link->stats.last_ping_time = clock_realtime(link->clock);
	heartbeat_sent(&link->connection.heartbeat, id, clock_monotonic(link->clock));
	link->parent->ops->ping(link->parent, id);
}

void link_suspect(struct link *link)
{
	if (!link_has_session(link))
		return;
	if (heartbeat_open(&link->connection.heartbeat, clock_monotonic(link->clock)) ==
	    HEARTBEAT_PING)
		link_ping(link);
	link_arm(link);
}

/* A slow link that carries a large line has no room for pongs; progress shows that it lives. */
static bool link_busy(struct link *link, uint64_t now)
{
	uint64_t progress = 0;

	return link->parent->ops->busy(link->parent, &progress) &&
	       usec_sub(now, progress) <= link->config->heartbeat_timeout;
}

/* A large line that moves is a sign of life, too. */
uint64_t link_doubt_at(const struct link *link)
{
	uint64_t at = USEC_INFINITY, progress = 0;

	if (link_has_session(link))
		at = heartbeat_doubt_at(&link->connection.heartbeat);
	if (at != USEC_INFINITY && link->parent->ops->busy(link->parent, &progress))
		at = MAX(at, usec_add(progress, PROGRESS_USEC));
	return at;
}

static void link_lose_silent(struct link *link)
{
	g_autofree char *why = NULL;

	switch (link->connection.phase) {
	case PHASE_DOWN:
		return;
	case PHASE_DIALLING:
		why = g_strdup("the parent could not be reached within DialTimeout");
		break;
	case PHASE_UP:
		why = g_strdup("the parent said no welcome within DialTimeout");
		break;
	case PHASE_SESSION:
	case PHASE_READY:
		why = g_strdup_printf("the parent left %u pings in a row unanswered",
				      link->connection.heartbeat.failed);
		break;
	}
	link_lose(link, PARENT_REASON_TIMEOUT, why, 0);
}

/* The one timer. A loop that stood still finds several deadlines past: the heartbeat gives a window
 * that was opened late its full length, so a stopped daemon does not blame its parent. */
static void link_turn(void *data)
{
	struct link *link = data;
	uint64_t now = clock_monotonic(link->clock);

	if (!link_has_session(link)) {
		link_lose_silent(link);
		return;
	}
	switch (heartbeat_tick(&link->connection.heartbeat, now, link_busy(link, now))) {
	case HEARTBEAT_WAIT:
		break;
	case HEARTBEAT_FAILED:
		link->stats.total_failed++;
		link_ping(link);
		break;
	case HEARTBEAT_PING:
		link_ping(link);
		break;
	case HEARTBEAT_LOST:
		link->stats.total_failed++;
		link_lose_silent(link);
		return;
	}
	link_arm(link);
}

/* ---- what the driver says ---- */

static void driver_up(void *data)
{
	struct link *link = data;

	link->connection.phase = PHASE_UP;
	link->stats.failed_pings = 0;
	link->ops->up(link->data);
}

static struct heartbeat_params heartbeat_params(const struct config *config)
{
	return (struct heartbeat_params){
		.interval = config->heartbeat_interval,
		.timeout = config->heartbeat_timeout,
		.max_failed = config->heartbeat_max_failed,
	};
}

/* The session counts as there while the owner looks at it: what it notes belongs to this one. */
static void driver_welcome(void *data, const struct parent_welcome *welcome)
{
	struct link *link = data;
	struct heartbeat_params params = heartbeat_params(link->config);
	bool gone = false, go_on;

	link->connection.phase = PHASE_SESSION;
	heartbeat_init(&link->connection.heartbeat, &params);
	link_arm(link);
	link->connection.gone = &gone;
	go_on = link->ops->welcome(link->data, welcome);
	if (gone)
		return;
	link->connection.gone = NULL;
	if (go_on)
		link_suspect(link);
	else
		link_lose(link, PARENT_REASON_PROTOCOL, "the session cannot be used", 0);
}

/* An echo of a ping too old to be remembered, or answered already, gives no round trip: it only
 * shows that the peer lives. One that was never sent on this connection is an error. */
static void driver_pong(void *data, int64_t id)
{
	struct link *link = data;
	uint64_t now = clock_monotonic(link->clock), rtt;

	if (id <= link->connection.ping_base || id > link->last_ping_id) {
		link_lose(link, PARENT_REASON_PROTOCOL,
			  "the parent answered a ping that was not sent", 0);
		return;
	}
	link->stats.total_pongs++;
	link->stats.last_pong_time = clock_realtime(link->clock);
	if (heartbeat_pong(&link->connection.heartbeat, id, now, &rtt)) {
		latency_add(&link->latency, rtt);
		histogram_observe(&link->round_trips, rtt);
	} else {
		heartbeat_message(&link->connection.heartbeat, now);
	}
	link_arm(link);
	if (link->connection.phase == PHASE_READY)
		return;
	link->connection.phase = PHASE_READY;
	link->ops->ready(link->data);
}

static void driver_message(void *data)
{
	struct link *link = data;

	/* Before the first pong only a pong counts: design §6, column "connecting". */
	if (link->connection.phase != PHASE_READY)
		return;
	heartbeat_message(&link->connection.heartbeat, clock_monotonic(link->clock));
	link_arm(link);
}

static void driver_down(void *data, enum parent_reason reason, const char *why,
			uint64_t retry_after)
{
	link_lose(data, reason, why, retry_after);
}

static const struct parent_link_ops driver_ops = {
	.up = driver_up,
	.welcome = driver_welcome,
	.pong = driver_pong,
	.message = driver_message,
	.down = driver_down,
};

/* ---- life ---- */

struct link *link_new(struct clock *clock, const struct config *config, int64_t first_id,
		      const struct link_ops *ops, void *data)
{
	struct link *link = g_new0(struct link, 1);

	link->clock = clock;
	link->config = config;
	link->last_ping_id = first_id;
	link->ops = ops;
	link->data = data;
	timer_init(&link->timer, clock, link_turn, link);
	return link;
}

struct link *link_free(struct link *link)
{
	if (!link)
		return NULL;

	link_end(link);
	timer_deinit(&link->timer);
	g_free(link);
	return NULL;
}

void link_set_parent(struct link *link, struct parent *parent)
{
	link_end(link);
	link->parent = parent;
	link->latency = (struct latency){ 0 }; /* the next parent's is its own */
	if (parent) {
		parent->link = &driver_ops;
		parent->link_data = link;
	}
}

void link_reconfigured(struct link *link)
{
	struct heartbeat_params params = heartbeat_params(link->config);

	if (link_has_session(link))
		heartbeat_set_params(&link->connection.heartbeat, &params);
	link_arm(link);
}

void link_get_stats(const struct link *link, struct link_stats *ret_stats)
{
	*ret_stats = link->stats;
	ret_stats->average_latency = latency_mean(&link->latency);
	if (link_has_session(link))
		ret_stats->failed_pings = link->connection.heartbeat.failed;
}

const struct histogram *link_round_trips(const struct link *link)
{
	return &link->round_trips;
}
