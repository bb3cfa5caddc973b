/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The one sender; see sender.h.
 *
 *	IDLE ──form──> FORMING ──persisted──> HELD ──session ready──> SENT
 *	  ^                                    ^                        │ transient, capacity
 *	  │                                    │ link lost              ├──────> WAITING ──> SENT
 *	  │                                    └────────────────────────┤
 *	  └──trimmed── SETTLING <──────────────────── acked or refused ─┤
 *	                HELD <──first half persisted── SPLITTING <──────┘ permanent
 *
 * FORMING, SETTLING and SPLITTING want a commit: sender_plan() says what goes into it and
 * sender_settled() goes on. When that fails, the sender rests, with growing delays, and asks for a
 * transaction of its own, so that other people's writes cannot make it fail again. The trim of one
 * batch and the forming of the next share a commit.
 */

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log-message.h"
#include "base/log.h"
#include "base/util.h"
#include "core/backoff.h"
#include "core/config.h"
#include "core/outbox.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/batch.h"
#include "engine/committer.h"
#include "engine/lineage.h"
#include "engine/monitor.h"
#include "engine/numbers.h"
#include "engine/rejects.h"
#include "engine/sender.h"
#include "store/store.h"

#define SUSPECT_AFTER	(500 * USEC_PER_MSEC) /* unanswered for this long: the monitor pings */
#define RESEND_AT_LEAST (10 * USEC_PER_MSEC)  /* a refused batch waits, whatever the parent asks */

enum sender_state {
	SENDER_IDLE,	  /* no batch */
	SENDER_HELD,	  /* persisted, not sent on this connection */
	SENDER_SENT,	  /* the parent is to answer */
	SENDER_WAITING,	  /* refused for now: sent again when the timer fires */
	SENDER_SETTLING,  /* answered; the answer is to be committed */
	SENDER_SPLITTING, /* refused as a whole: to be parted */
};

/* What the sender put into the commit under way. */
enum sender_plan {
	PLAN_FORM,
	PLAN_SETTLE,	/* and perhaps form */
	PLAN_SPLIT,
	PLAN_RENEW,
};

struct sender {
	struct engine *engine;
	const struct sender_ops *ops;
	void *ops_data;
	GPtrArray *areas;
	unsigned int next_area;		/* who is served first next time */
	enum sender_state state;
	struct batch *batch;
	struct batch *next;		/* being formed by the commit under way */
	struct rejects *rejects;	/* being planned by the commit under way */
	enum sender_plan plan;
	bool renew;			/* a new client id is wanted */
	bool stopped;			/* nothing is begun any more */
	char client[UTIL_ID_SIZE];	/* the new one, in the commit under way */
	struct commit_member member;
	struct timer due_timer;		/* IDLE: when something becomes due */
	struct timer answer_timer;	/* SENT: suspicion, then BatchTimeout; WAITING: the wait */
	struct timer rest_timer;	/* a commit failed */
	uint64_t sent_at;		/* monotonic usec */
	uint64_t taken_at;		/* when its last byte was; 0 = not yet */
	bool suspected;
	unsigned int refusals;		/* of this batch, transient or capacity */
	unsigned int failures;		/* commits in a row */
	struct numbers numbers;
};

static bool sender_plan(void *data, struct store_tx *tx);
static void sender_settled(void *data, int result);
static void sender_answer_timer(void *data);
static void sender_kick(struct sender *sender);
static void sender_due_timer(void *data)
{
	sender_kick(data);
}

static void sender_rest_timer(void *data)
{
	struct sender *sender = data;

	committer_want_alone(sender->engine->committer, &sender->member);
}

struct sender *sender_new(struct engine *engine, const struct store_state *state,
			  const struct sender_ops *ops, void *data)
{
	struct sender *sender = g_new0(struct sender, 1);

	sender->engine = engine;
	sender->ops = ops;
	sender->ops_data = data;
	sender->areas = g_ptr_array_new();
	numbers_init(&sender->numbers, MAX(state->batch_reserved, state->batch_high + 1));
	commit_member_init(&sender->member, sender_plan, sender_settled, sender);
	committer_set_last(engine->committer, &sender->member);
	timer_init(&sender->due_timer, engine->clock, sender_due_timer, sender);
	timer_init(&sender->answer_timer, engine->clock, sender_answer_timer, sender);
	timer_init(&sender->rest_timer, engine->clock, sender_rest_timer, sender);
	return sender;
}

void sender_stop(struct sender *sender)
{
	sender->stopped = true;
	timer_disarm(&sender->due_timer);
	timer_disarm(&sender->answer_timer);
	timer_disarm(&sender->rest_timer);
}

struct sender *sender_free(struct sender *sender)
{
	if (!sender)
		return NULL;

	committer_forget(sender->engine->committer, &sender->member);
	sender_stop(sender);
	batch_free(sender->batch);
	g_ptr_array_unref(sender->areas);
	g_free(sender);
	return NULL;
}

void sender_add_area(struct sender *sender, struct area *area)
{
	g_ptr_array_add(sender->areas, area);
}

void sender_resume(struct sender *sender, struct batch *batch)
{
	assert(sender->state == SENDER_IDLE);
	sender->batch = batch;
	sender->state = SENDER_HELD;
}

static bool sender_is_resting(const struct sender *sender)
{
	return timer_is_armed(&sender->rest_timer);
}

static void sender_want(struct sender *sender)
{
	if (!sender_is_resting(sender) && !sender->stopped)
		committer_want(sender->engine->committer, &sender->member);
}

/* ---- what is due ---- */

static bool sender_may_send(const struct sender *sender)
{
	return monitor_ready(sender->engine->monitor) && !sender->engine->parent->local &&
	       !sender->renew;
}

static uint64_t sender_next_due(struct sender *sender)
{
	uint64_t now = clock_monotonic(sender->engine->clock);
	uint64_t due = USEC_INFINITY;

	for (unsigned int i = 0; i < sender->areas->len; i++)
		due = MIN(due, outbox_next_due(area_outbox(sender->areas->pdata[i]), now));
	return due;
}

/* Nothing is under way: see when something is to be. */
static void sender_kick(struct sender *sender)
{
	uint64_t due;

	if (sender->state != SENDER_IDLE || !sender_may_send(sender))
		return;
	due = sender_next_due(sender);
	if (due <= clock_monotonic(sender->engine->clock)) {
		timer_disarm(&sender->due_timer);
		sender_want(sender);
	} else {
		timer_arm(&sender->due_timer, due);
	}
}

void sender_area_due(struct sender *sender, struct area *area)
{
	uint64_t now, due;

	if (sender->state != SENDER_IDLE || !sender_may_send(sender))
		return;
	now = clock_monotonic(sender->engine->clock);
	due = outbox_next_due(area_outbox(area), now);
	if (due <= now)
		sender_want(sender);
	else if (due < timer_deadline(&sender->due_timer))
		timer_arm(&sender->due_timer, due);
}

/* ---- sending ---- */

static void sender_arm_answer(struct sender *sender)
{
	const struct config *config = sender->engine->config;
	uint64_t deadline = USEC_INFINITY;

	if (!sender->suspected)
		deadline = sender->sent_at + MIN(SUSPECT_AFTER, config->parent_request_timeout);
	if (sender->taken_at)
		deadline = MIN(deadline, usec_add(sender->taken_at, config->parent_batch_timeout));
	timer_arm(&sender->answer_timer, deadline);
}

static void sender_send(struct sender *sender)
{
	sender->state = SENDER_SENT;
	sender->sent_at = clock_monotonic(sender->engine->clock);
	sender->taken_at = 0;
	sender->suspected = false;
	sender_arm_answer(sender);
	log_debug("batch %" G_GUINT64_FORMAT ": sent", batch_number(sender->batch));
	batch_send(sender->batch, sender->engine->parent);
}

void sender_batch_sent(struct sender *sender)
{
	if (sender->state != SENDER_SENT)
		return;
	sender->taken_at = clock_monotonic(sender->engine->clock);
	sender_arm_answer(sender);
}

static void sender_answer_timer(void *data)
{
	struct sender *sender = data;
	struct engine *engine = sender->engine;
	uint64_t timeout = engine->config->parent_batch_timeout;

	if (sender->state == SENDER_WAITING) {
		sender_send(sender);
	} else if (sender->taken_at &&
		   clock_monotonic(engine->clock) >= usec_add(sender->taken_at, timeout)) {
		monitor_drop(engine->monitor, PARENT_REASON_TIMEOUT,
			     "a batch was not answered within BatchTimeout");
	} else {
		sender->suspected = true;
		sender_arm_answer(sender);
		monitor_probe(engine->monitor);
	}
}

/* With a new client id wanted nothing goes out: the session may still be the old one's. */
static void sender_go_on(struct sender *sender)
{
	if (sender->renew)
		sender_want(sender);
	else if (sender->state == SENDER_HELD && sender_may_send(sender))
		sender_send(sender);
	else
		sender_kick(sender);
}

void sender_link_up(struct sender *sender)
{
	sender->refusals = 0;
	sender->engine->parent_full = false;
	sender_go_on(sender);
}

void sender_link_down(struct sender *sender)
{
	timer_disarm(&sender->due_timer);
	timer_disarm(&sender->answer_timer);
	if (sender->state == SENDER_SENT || sender->state == SENDER_WAITING)
		sender->state = SENDER_HELD;
}

/* ---- answers ---- */

static void sender_settle(struct sender *sender)
{
	timer_disarm(&sender->answer_timer);
	sender->state = SENDER_SETTLING;
	sender->refusals = 0;
	sender_want(sender);
}

static void sender_refused(struct sender *sender, const struct parent_error *error)
{
	const struct config *config = sender->engine->config;
	uint64_t wait = error->retry_after;

	if (!wait)
		wait = backoff_delay(config->retry_initial_delay, config->retry_max_delay,
				     config->retry_multiplier, sender->refusals);
	wait = MAX(wait, RESEND_AT_LEAST);
	batch_note_refusal(sender->batch, error->class, sender->refusals++ == 0);
	sender->state = SENDER_WAITING;
	timer_arm_in(&sender->answer_timer, wait);
}

static void sender_refused_for_good(struct sender *sender, const struct parent_error *error)
{
	struct engine *engine = sender->engine;

	/* It has applied this number already, it said: then it cannot refuse it. */
	if (batch_number(sender->batch) <= lineage_last_batch(engine->lineage)) {
		monitor_drop(engine->monitor, PARENT_REASON_PROTOCOL,
			     "the parent refused a batch it says it has applied");
		return;
	}
	if (batch_units(sender->batch) == 1) {
		batch_refuse(sender->batch, error->message);
		sender_settle(sender);
		return;
	}
	timer_disarm(&sender->answer_timer);
	sender->state = SENDER_SPLITTING;
	sender_want(sender);
}

static void sender_acked(struct sender *sender, const struct message *ack)
{
	struct engine *engine = sender->engine;
	const char *wrong;
	uint64_t first;

	if (ack->batch_ack.duplicate && strcmp(ack->batch_ack.id, batch_id(sender->batch)) != 0) {
		sender_renew_client(sender);
		return;
	}
	wrong = batch_take_ack(sender->batch, ack);
	if (wrong) {
		monitor_drop(engine->monitor, PARENT_REASON_PROTOCOL, wrong);
		return;
	}
	/* A duplicate's revisions are of then, not of now. */
	first = ack->batch_ack.duplicate ? 0 : batch_first_revision(sender->batch);
	if (first) {
		if (!lineage_revision(engine->lineage, first))
			engine->ops->lost_data(engine->ops_data);
		lineage_revision(engine->lineage, batch_last_revision(sender->batch));
	}
	/* Noted now: by the time the disk has taken it we may talk to another parent. */
	lineage_acked(engine->lineage, batch_number(sender->batch));
	batch_settle(sender->batch, engine);
	sender_settle(sender);
}

void sender_applied(struct sender *sender, const struct parent_error *error,
		    const struct message *ack)
{
	if (sender->state != SENDER_SENT)
		return;
	if (!error)
		sender_acked(sender, ack);
	else if (error->class == WIRE_PERMANENT)
		sender_refused_for_good(sender, error);
	else
		sender_refused(sender, error);
}

void sender_renew_client(struct sender *sender)
{
	sender->renew = true;
	timer_disarm(&sender->answer_timer);
	/* Whatever the old id's session says now is of no use; nothing of it may be trimmed. */
	monitor_drop(sender->engine->monitor, PARENT_REASON_CLOSED,
		     "our store was rolled back or our client id is shared; taking a new one");
	sender_want(sender);
}

/* ---- planning a commit ---- */

static bool plan_persist(struct sender *sender, struct store_tx *tx)
{
	if (sender->engine->durability != CONFIG_DURABILITY_MEMORY)
		batch_plan_persist(sender->next, tx);
	return true;
}

static bool plan_form(struct sender *sender, struct store_tx *tx)
{
	if (!sender_may_send(sender))
		return false;
	sender->next = batch_form(sender->areas, sender->next_area++,
				  clock_monotonic(sender->engine->clock));
	if (!sender->next)
		return false;
	batch_set_number(sender->next, numbers_take(&sender->numbers, tx));
	return plan_persist(sender, tx);
}

static bool plan_settle(struct sender *sender, struct store_tx *tx)
{
	struct engine *engine = sender->engine;
	int r;

	sender->rejects = rejects_new(engine);
	r = batch_plan_trim(sender->batch, engine, tx, sender->rejects);
	if (r < 0)
		log_warning("making room for refused entries failed: %s", g_strerror(-r));
	lineage_plan(engine->lineage, tx);
	plan_form(sender, tx);
	return true;
}

static bool plan_split(struct sender *sender, struct store_tx *tx)
{
	sender->next = batch_first_half(sender->batch, numbers_take(&sender->numbers, tx));
	return plan_persist(sender, tx);
}

static bool plan_renew(struct sender *sender, struct store_tx *tx)
{
	util_random_id(sender->client);
	store_tx_client(tx, sender->client);
	store_tx_end_batch(tx);
	store_tx_require_sync(tx);
	return true;
}

/* An answer that came is settled before all else: it is true whatever came after it. */
static bool sender_plan(void *data, struct store_tx *tx)
{
	struct sender *sender = data;

	numbers_begin(&sender->numbers);
	if (sender_is_resting(sender) || sender->stopped)
		return false;
	if (sender->state == SENDER_SETTLING) {
		sender->plan = PLAN_SETTLE;
		return plan_settle(sender, tx);
	}
	if (sender->renew) {
		sender->plan = PLAN_RENEW;
		return plan_renew(sender, tx);
	}
	if (sender->state == SENDER_SPLITTING) {
		sender->plan = PLAN_SPLIT;
		return plan_split(sender, tx);
	}
	sender->plan = PLAN_FORM;
	return sender->state == SENDER_IDLE && plan_form(sender, tx);
}

/* ---- settling it ---- */

static void area_commit(void *data, struct area *area)
{
	(void)data;
	outbox_commit(area_outbox(area));
}

static void area_rollback(void *data, struct area *area)
{
	(void)data;
	outbox_rollback(area_outbox(area));
}

static void area_told(void *data, struct area *area)
{
	(void)data;
	area_trimmed(area);
}

/* The next batch, if one was formed, is the batch now. */
static void sender_take_next(struct sender *sender)
{
	sender->batch = g_steal_pointer(&sender->next);
	sender->state = sender->batch ? SENDER_HELD : SENDER_IDLE;
	if (sender->batch)
		lineage_persisted(sender->engine->lineage, batch_number(sender->batch));
}

static void settled_trim(struct sender *sender)
{
	struct batch *done = sender->batch;
	struct rejects *rejects = g_steal_pointer(&sender->rejects);

	batch_trim(done, sender->engine);
	if (sender->next)
		batch_each_area(sender->next, area_commit, NULL);
	sender_take_next(sender);
	rejects_tell(rejects);
	rejects_free(rejects);
	batch_each_area(done, area_told, NULL);
	batch_free(done);
}

static void settled_split(struct sender *sender)
{
	struct batch *whole = sender->batch;

	batch_release(whole, batch_length(sender->next));
	sender_take_next(sender);
	batch_free(whole);
}

static void settled_form(struct sender *sender)
{
	batch_each_area(sender->next, area_commit, NULL);
	sender_take_next(sender);
}

static void settled_renew(struct sender *sender)
{
	log_event(LOG_WARNING, LOG_MESSAGE_NEW_CLIENT,
		  LOG_FIELDS(log_text("HOLDFAST_REASON", "our store was rolled back or the id is shared")),
		  "took a new client id: what was in flight may be applied a second time");
	sender->renew = false;
	sender->engine->metrics.client_renewals++;
	lineage_reset_client(sender->engine->lineage);
	if (sender->batch)
		batch_release(sender->batch, 0);
	sender->batch = batch_free(sender->batch);
	sender->state = SENDER_IDLE;
	sender->ops->new_client(sender->ops_data, sender->client);
}

static void sender_commit_failed(struct sender *sender, int error)
{
	const struct config *config = sender->engine->config;
	uint64_t rest = backoff_delay(config->retry_initial_delay, config->retry_max_delay,
				      config->retry_multiplier, sender->failures++);

	log_debug("the sender rests %" G_GUINT64_FORMAT " ms: a commit failed: %s",
		    rest / USEC_PER_MSEC, g_strerror(-error));
	if (sender->next)
		batch_each_area(sender->next, area_rollback, NULL);
	sender->next = batch_free(sender->next);
	sender->rejects = rejects_free(sender->rejects);
	lineage_unsaved(sender->engine->lineage);
	if (!sender->stopped)
		timer_arm_in(&sender->rest_timer, MAX(rest, USEC_PER_MSEC));
}

static void sender_settled(void *data, int result)
{
	struct sender *sender = data;

	if (result < 0) {
		sender_commit_failed(sender, result);
		return;
	}
	sender->failures = 0;
	numbers_settled(&sender->numbers);
	switch (sender->plan) {
	case PLAN_FORM:
		settled_form(sender);
		break;
	case PLAN_SETTLE:
		settled_trim(sender);
		break;
	case PLAN_SPLIT:
		settled_split(sender);
		break;
	case PLAN_RENEW:
		settled_renew(sender);
		break;
	}
	sender_go_on(sender);
}

bool sender_is_sound(struct sender *sender)
{
	bool working = sender_is_resting(sender) || !committer_is_idle(sender->engine->committer);

	switch (sender->state) {
	case SENDER_IDLE:
		return working || !sender_may_send(sender) || timer_is_armed(&sender->due_timer) ||
		       sender_next_due(sender) == USEC_INFINITY;
	case SENDER_HELD:
		return working || !sender_may_send(sender);
	case SENDER_SENT:
		return sender_may_send(sender);
	case SENDER_WAITING:
		return timer_is_armed(&sender->answer_timer);
	case SENDER_SETTLING:
	case SENDER_SPLITTING:
		return working;
	}
	return false;
}
