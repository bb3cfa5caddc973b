/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One area and its write path; see area.h.
 *
 * A call is checked, numbered (`arrival`) and put on `calls`. When the disk is free the committer
 * lets the area plan: each call is staged in the outbox or refused, and what the outbox then wants
 * on disk goes into the transaction. When that is settled the plan is committed or rolled back and
 * the calls are answered. So at any moment the calls still unanswered are the newest ones, and a
 * reader that must see all before it waits for one number: it is "parked" until no older call is
 * left.
 *
 * With the store itself as parent (local:) a write takes the same way, but for the last step: it
 * goes to the items instead of the outbox's table and leaves the outbox as soon as it is committed.
 */

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "core/error.h"
#include "core/key.h"
#include "core/write-check.h"
#include "engine/area-call.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/committer.h"
#include "engine/fetcher.h"
#include "engine/local.h"
#include "engine/parking.h"
#include "engine/waitlist.h"
#include "parent/parent.h"

#define DETAIL_STOPPING	   "holdfastd stops; write again when it is back."
#define DETAIL_NO_REJECTED "No refused entry has this serial; see ListRejected."
#define DRAIN_RETRY	   (1 * USEC_PER_SEC)	/* a disk that refused is asked again after this */

struct area {
	struct engine *engine;
	int64_t id;
	char *name;
	int64_t owner;
	bool stored;
	struct config_area settings;
	struct outbox *outbox;
	struct waitlist *waits;
	struct commit_member member;
	GQueue calls;		/* struct call, not planned yet */
	GQueue planned;		/* struct call, in the transaction under way */
	GHashTable *unsettled;	/* key → arrival of its last unanswered write */
	struct parking *parking; /* readers that wait for calls before them */
	uint64_t arrivals;	/* calls that came */
	int64_t planned_growth;	/* bytes the plan adds to the items of a local store */
	bool drain;		/* what is queued is to be applied here, once … */
	struct timer drain_timer; /* … and again, while the disk refuses */
	uint64_t first_serial;	/* of this run */
	unsigned int told_count; /* queue size and bytes last told */
	uint64_t told_bytes;
};

/* ---- small things ---- */

const char *area_name(const struct area *area)
{
	return area->name;
}

int64_t area_owner(const struct area *area)
{
	return area->owner;
}

bool area_is_stored(const struct area *area)
{
	return area->stored;
}

void area_note_stored(struct area *area)
{
	area->stored = true;
}

int64_t area_id(const struct area *area)
{
	return area->id;
}

struct engine *area_engine(const struct area *area)
{
	return area->engine;
}

const struct config_area *area_settings(const struct area *area)
{
	return &area->settings;
}

struct outbox *area_outbox(const struct area *area)
{
	return area->outbox;
}

unsigned int area_queue_size(const struct area *area)
{
	return outbox_count(area->outbox);
}

uint64_t area_queue_bytes(const struct area *area)
{
	return outbox_bytes(area->outbox);
}

static bool area_is_local(const struct area *area)
{
	return area->engine->parent->local;
}

uint64_t area_planned_bytes(const struct area *area)
{
	/* A local store's writes pass through the outbox, but it is the items they grow. */
	return area_is_local(area) ? outbox_bytes(area->outbox) + (uint64_t)MAX(area->planned_growth, 0)
				   : outbox_planned_bytes(area->outbox);
}

void area_emit(struct area *area, const struct area_event *event)
{
	area->engine->ops->area_event(area->engine->ops_data, area, event);
}

static void area_tell_queue(struct area *area)
{
	const struct area_event event = { .type = AREA_QUEUE_CHANGED };

	if (area->told_count == outbox_count(area->outbox) &&
	    area->told_bytes == outbox_bytes(area->outbox))
		return;
	area->told_count = outbox_count(area->outbox);
	area->told_bytes = outbox_bytes(area->outbox);
	area_emit(area, &event);
}

static void area_configure(struct area *area)
{
	const bool local = area_is_local(area);
	struct config_area *c = &area->settings;
	struct outbox_params params;

	config_area(area->engine->config, area_full_name_own(area->name), c);
	params = (struct outbox_params){
		.limit = local ? UINT_MAX : c->queue_limit,
		.max_bytes = local ? UINT64_MAX : c->queue_max_bytes,
		.drop_oldest = c->queue_overflow == CONFIG_OVERFLOW_DROP_OLDEST,
		.delay = c->debounce_delay,
		.max_delay = c->debounce_max_delay,
	};
	outbox_set_params(area->outbox, &params);
}

void area_reconfigured(struct area *area)
{
	area_configure(area);
	area->engine->ops->area_due(area->engine->ops_data, area);
}

static int area_outcome(void *data, uint64_t serial)
{
	struct area *area = data;
	int r = store_find_outcome(area->engine->store, area->id, serial);

	if (r < 0)
		return r;
	switch ((enum store_outcome)r) {
	case STORE_OUTCOME_REJECTED:
		return HF_REJECTED;
	case STORE_OUTCOME_DROPPED:
		return HF_QUOTA_EXCEEDED;
	case STORE_OUTCOME_NONE:
		break;
	}
	/* Nothing is kept over a start with Durability=memory: it may be acked, and it may be lost. */
	if (area->engine->durability == CONFIG_DURABILITY_MEMORY && serial < area->first_serial)
		return HF_INVALID_VALUE;
	return HF_OK;
}

static void area_drain_again(void *data)
{
	struct area *area = data;

	committer_want(area->engine->committer, &area->member);
}

static bool area_plan(void *data, struct store_tx *tx);
static void area_settled(void *data, int result);

struct area *area_new(struct engine *engine, int64_t id, const char *name, uint64_t next_serial)
{
	const struct outbox_params none = { 0 };
	struct area *area = g_new0(struct area, 1);

	area->engine = engine;
	area->id = id;
	area->name = g_strdup(name);
	area->owner = area_full_name_owner(name);
	area->outbox = outbox_new(&none, next_serial);
	area->waits = waitlist_new(engine->clock, area->outbox, area_outcome, area);
	area->unsettled = g_hash_table_new(g_str_hash, g_str_equal);
	g_queue_init(&area->calls);
	g_queue_init(&area->planned);
	area->parking = parking_new();
	commit_member_init(&area->member, area_plan, area_settled, area);
	timer_init(&area->drain_timer, engine->clock, area_drain_again, area);
	area->first_serial = next_serial;
	area_configure(area);
	return area;
}

struct area *area_free(struct area *area)
{
	if (!area)
		return NULL;

	committer_forget(area->engine->committer, &area->member);
	timer_deinit(&area->drain_timer);
	waitlist_free(area->waits);
	parking_free(area->parking);
	outbox_free(area->outbox);
	g_hash_table_unref(area->unsettled);
	g_free(area->name);
	g_free(area);
	return NULL;
}

struct waitlist *area_waits(const struct area *area)
{
	return area->waits;
}

void area_end_waits(struct area *area, int error)
{
	timer_disarm(&area->drain_timer);
	waitlist_end(area->waits, error);
}

/* ---- what is settled ---- */

static uint64_t area_settled_upto(const struct area *area)
{
	const struct area_call *call = area->planned.head ? area->planned.head->data :
				  area->calls.head   ? area->calls.head->data :
						       NULL;

	return call ? call->arrival - 1 : area->arrivals;
}

void area_when_settled(struct area *area, void (*func)(void *data), void *data)
{
	if (area_settled_upto(area) == area->arrivals)
		func(data);
	else
		parking_add(area->parking, area->arrivals, func, data);
}

bool area_key_is_settled(const struct area *area, const char *key)
{
	return !g_hash_table_contains(area->unsettled, key);
}

void area_when_key_settled(struct area *area, const char *key, void (*func)(void *data),
			   void *data)
{
	const uint64_t *arrival = g_hash_table_lookup(area->unsettled, key);

	parking_add(area->parking, *arrival, func, data);
}

static void area_unpark(struct area *area)
{
	parking_run(area->parking, area_settled_upto(area));
}

/* ---- calls ---- */

/* The one write of a retried entry is known. */
static void call_note_write(struct area *area, struct area_call *call)
{
	if (call->n > 0)
		return;
	call->n = 1;
	area_call_note_keys(call, area->unsettled);
}

static void area_submit(struct area *area, struct area_call *call)
{
	g_queue_push_tail(&area->calls, call);
	committer_want(area->engine->committer, &area->member);
}

void area_write(struct area *area, const struct outbox_write *writes, size_t n, bool group,
		area_wrote_t done, void *data)
{
	const char *detail = NULL;
	struct area_call *call;
	int error = HF_OK;

	if (area->engine->stopping) {
		error = HF_UNAVAILABLE;
		detail = DETAIL_STOPPING;
	} else {
		error = write_check(writes, n, group, area->engine->config->storage_max_value_size,
				    &detail);
	}
	if (error) {
		metrics_count_write(&area->engine->metrics, error);
		done(data, error, detail, 0);
		return;
	}

	call = area_call_new(AREA_CALL_WRITE, ++area->arrivals, data);
	call->wrote = done;
	area_call_set_writes(call, writes, n, group);
	area_call_note_keys(call, area->unsettled);
	area_submit(area, call);
}

void area_retry_rejected(struct area *area, uint64_t serial, area_wrote_t done, void *data)
{
	struct area_call *call;

	if (area->engine->stopping) {
		done(data, HF_UNAVAILABLE, DETAIL_STOPPING, 0);
		return;
	}
	call = area_call_new(AREA_CALL_RETRY, ++area->arrivals, data);
	call->wrote = done;
	call->rejected = serial;
	/* Its key is wanted at once, so that a read that comes next waits for this write. */
	if (store_get_rejected(area->engine->store, area->id, serial, area_call_take_rejected, call) > 0)
		call_note_write(area, call);
	area_submit(area, call);
}

void area_drop_rejected(struct area *area, uint64_t serial, area_done_t done, void *data)
{
	struct area_call *call;

	if (area->engine->stopping) {
		done(data, HF_UNAVAILABLE, DETAIL_STOPPING);
		return;
	}
	call = area_call_new(AREA_CALL_FORGET, ++area->arrivals, data);
	call->done = done;
	call->rejected = serial;
	area_submit(area, call);
}

/* ---- planning ---- */

static int call_stage(struct area *area, struct area_call *call)
{
	return area_call_stage(call, area->engine, &(struct area_call_place){
		.area = area->id,
		.owner = area->owner,
		.outbox = area->outbox,
		.planned_growth = &area->planned_growth,
	});
}

/* Two calls in one plan must not both have the same row. */
bool area_takes_rejected(const struct area *area, uint64_t serial)
{
	for (const GList *link = area->planned.head; link; link = link->next) {
		const struct area_call *call = link->data;

		if (call->kind != AREA_CALL_WRITE && !call->error && call->rejected == serial)
			return true;
	}
	return false;
}

static int call_plan_rejected(struct area *area, struct area_call *call, struct store_tx *tx)
{
	int r;

	if (area_takes_rejected(area, call->rejected))
		return HF_INVALID_VALUE;
	r = store_get_rejected(area->engine->store, area->id, call->rejected, area_call_take_rejected,
			       call);
	if (r <= 0)
		return r < 0 ? r : HF_INVALID_VALUE;

	if (call->kind == AREA_CALL_RETRY) {
		call_note_write(area, call);
		r = call_stage(area, call);
		if (r)
			return r;
	}
	store_tx_delete_rejected(tx, area->id, call->rejected);
	return HF_OK;
}

/* Return: whether it wants the commit. */
static bool call_plan(struct area *area, struct area_call *call, struct store_tx *tx)
{
	if (call->kind == AREA_CALL_WRITE)
		call->error = call_stage(area, call);
	else
		call->error = call_plan_rejected(area, call, tx);
	if (call->error == HF_INVALID_VALUE)
		call->detail = DETAIL_NO_REJECTED;
	g_queue_push_tail(&area->planned, call);
	return !call->error;
}

static void plan_doomed(struct area *area, struct store_tx *tx)
{
	const GPtrArray *doomed = outbox_plan_doomed(area->outbox);

	for (unsigned int i = 0; i < doomed->len; i++) {
		const struct outbox_entry *entry = doomed->pdata[i];

		if (entry->stored)
			store_tx_delete_entry(tx, area->id, entry->serial);
		if (entry->dropped)
			store_tx_put_outcome(tx, area->id, outbox_entry_first(entry),
					     entry->serial, STORE_OUTCOME_DROPPED);
	}
}

static void plan_staged(struct area *area, struct store_tx *tx)
{
	const GPtrArray *staged = outbox_plan_staged(area->outbox);

	for (unsigned int i = 0; i < staged->len; i++) {
		struct outbox_entry *entry = staged->pdata[i];

		if (entry->doomed)
			continue;
		store_tx_put_entry(tx, area->id, entry);
		entry->stored = true;
	}
}

static void area_plan_rows(struct area *area, struct store_tx *tx)
{
	enum config_durability durability = area->engine->durability;
	uint64_t upto;

	plan_doomed(area, tx);
	if (area_is_local(area))
		local_plan(area->engine, area->id, area->outbox, tx);
	else if (durability != CONFIG_DURABILITY_MEMORY)
		plan_staged(area, tx);

	if (outbox_plan_reserve(area->outbox, &upto)) {
		store_tx_reserve_serials(tx, area->id, upto);
		store_tx_require_sync(tx);
	}
	if (durability == CONFIG_DURABILITY_FULL)
		store_tx_require_sync(tx);
}

static void area_answer(struct area *area, int result);

static bool area_plan(void *data, struct store_tx *tx)
{
	struct area *area = data;
	unsigned int n = area->calls.length;
	bool wanted = area->drain;

	area->planned_growth = 0;
	while (n-- > 0)
		wanted |= call_plan(area, g_queue_pop_head(&area->calls), tx);
	if (wanted) {
		area_plan_rows(area, tx);
		return true;
	}
	area_answer(area, HF_OK); /* all of them were refused */
	area_unpark(area);
	return false;
}

/* ---- settling ---- */

static void tell_dropped(struct area *area)
{
	const GPtrArray *doomed = outbox_plan_doomed(area->outbox);

	for (unsigned int i = 0; i < doomed->len; i++) {
		const struct outbox_entry *entry = doomed->pdata[i];
		const struct area_event event = {
			.type = AREA_ITEM_DROPPED,
			.key = entry->data,
			.serial = entry->serial,
		};

		if (!entry->dropped)
			continue;
		area->engine->metrics.drops++;
		area_emit(area, &event);
	}
}

static void tell_changed(struct area *area, const struct area_call *call)
{
	struct area_event event = { .type = AREA_ITEM_CHANGED, .local = true };

	for (size_t i = 0; i < call->n; i++) {
		event.key = call->writes[i].key;
		fetcher_touch(area->engine->fetcher, area->id, event.key);
		area_emit(area, &event);
	}
}

static void tell_quota(struct area *area, const struct area_call *call)
{
	const struct area_event event = { .type = AREA_QUOTA_REACHED, .message = call->detail };

	area_emit(area, &event);
}

/* Answer what was planned. @result: of the commit */
static void area_answer(struct area *area, int result)
{
	GQueue calls = area->planned;
	struct area_call *call;

	g_queue_init(&area->planned);
	while ((call = g_queue_pop_head(&calls))) {
		if (!call->error && result == 0)
			tell_changed(area, call);
		else if (call->error == HF_QUOTA_EXCEEDED)
			tell_quota(area, call);
		area_call_forget_keys(call, area->unsettled);
		if (!call->error)
			call->error = result;
		if (call->kind != AREA_CALL_FORGET)
			metrics_count_write(&area->engine->metrics, call->error);
		area_call_answer(call, call->error, call->detail);
	}
}

static void area_settled(void *data, int result)
{
	struct area *area = data;

	area->planned_growth = 0;
	if (result < 0) {
		outbox_rollback(area->outbox);
		if (area->drain)
			timer_arm_in(&area->drain_timer, DRAIN_RETRY);
	} else {
		tell_dropped(area);
		outbox_commit(area->outbox);
		area->drain = false;
		if (area_is_local(area))
			local_settle(area->engine, area->id, area->outbox);
	}
	area_answer(area, result);
	area_unpark(area);
	area_trimmed(area);
}

void area_trimmed(struct area *area)
{
	waitlist_check(area->waits);
	area_tell_queue(area);
	area->engine->ops->area_due(area->engine->ops_data, area);
}

void area_drain(struct area *area)
{
	if (outbox_count(area->outbox) == 0)
		return;
	log_warning("area %s: there is no parent (local:); %u queued writes are applied here instead",
		    area->name, outbox_count(area->outbox));
	area->drain = true;
	committer_want(area->engine->committer, &area->member);
}
