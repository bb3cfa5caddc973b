/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The queued storage as a whole; see storage.h. It owns what engine.h shares, hears the parent and
 * the monitor, and passes on what they say to the part it concerns. Policy lives in the parts.
 */

#include <errno.h>
#include <string.h>

#include "base/log-message.h"
#include "base/log.h"
#include "base/util.h"
#include "base/watchlist.h"
#include "core/error.h"
#include "core/key.h"
#include "engine/area-inner.h"
#include "engine/area-set.h"
#include "engine/area.h"
#include "engine/committer.h"
#include "engine/copies.h"
#include "engine/direct.h"
#include "engine/event-log.h"
#include "engine/fetcher.h"
#include "engine/lineage.h"
#include "engine/loader.h"
#include "engine/opener.h"
#include "engine/parent-source.h"
#include "engine/reader.h"
#include "engine/sender.h"
#include "engine/stop.h"
#include "engine/storage.h"

struct storage {
	struct engine engine;
	struct storage_params params;
	char *default_address;
	struct parent_source source;
	char client[UTIL_ID_SIZE];
	struct area_set areas;
	struct event_log *log;
	struct opener *opener;
	struct sender *sender;
	struct watchlist watches;
	uint32_t monitor_watch;
	bool was_ready;			/* the link was up when the monitor last spoke */
	struct stop stop;
};

/* ---- areas ---- */

static void storage_add_area(void *data, struct area *area)
{
	struct storage *storage = data;

	area_set_add(&storage->areas, area);
	copies_add_area(storage->engine.copies, area_id(area), area_owner(area));
	sender_add_area(storage->sender, area);
}

struct area *storage_find_area(struct storage *storage, const char *name)
{
	return area_set_find(&storage->areas, name);
}

/* Return: HF_OK where an area called @name may be made now. */
static int storage_check_new(const struct storage *storage, const char *name, const char **ret_detail)
{
	if (storage->engine.stopping) {
		*ret_detail = "holdfastd stops; try again when it is back.";
		return HF_UNAVAILABLE;
	}
	if (!area_full_name_valid(name)) {
		*ret_detail = "An area's name has 1-255 bytes of A-Z a-z 0-9 . _ - and no dot in "
			      "front.";
		return HF_INVALID_ARGS;
	}
	return HF_OK;
}

int storage_take_area(struct storage *storage, const char *name, struct area **ret_area,
		      const char **ret_detail)
{
	struct area *area = storage_find_area(storage, name);
	int error;

	if (area) {
		*ret_area = area;
		return HF_OK;
	}
	error = storage_check_new(storage, name, ret_detail);
	return error ? error : opener_take(storage->opener, name, ret_area, ret_detail);
}

void storage_open_area(struct storage *storage, const char *name, storage_opened_t done, void *data)
{
	const char *detail = NULL;
	int error = storage_find_area(storage, name) ? HF_OK :
						       storage_check_new(storage, name, &detail);

	if (error)
		done(data, error, detail, NULL);
	else
		opener_open(storage->opener, name, done, data);
}

void storage_each_area(struct storage *storage, void (*func)(void *data, struct area *area),
		       void *data)
{
	area_set_each(&storage->areas, func, data);
}

/* ---- events ---- */

struct told {
	struct area *area;
	const struct area_event *event;
};

static void tell_watch(void (*callback)(void), void *data, void *event)
{
	const struct told *told = event;

	((storage_event_t)callback)(data, told->area, told->event);
}

static void storage_area_event(void *data, struct area *area, const struct area_event *event)
{
	struct storage *storage = data;
	struct told told = { area, event };

	event_log_area(storage->log, area, event);
	watchlist_notify(&storage->watches, tell_watch, &told);
}

uint32_t storage_add_watch(struct storage *storage, storage_event_t func, void *data)
{
	return watchlist_add(&storage->watches, (void (*)(void))func, data);
}

void storage_remove_watch(struct storage *storage, uint32_t id)
{
	watchlist_remove(&storage->watches, id);
}

static void storage_changed(void *data, int64_t id, const char *key)
{
	struct storage *storage = data;
	const struct area_event event = { .type = AREA_ITEM_CHANGED, .key = key };
	struct area *area = area_set_find_id(&storage->areas, id);

	if (area)
		area_emit(area, &event);
}

/* ---- room ---- */

static uint64_t storage_room(void *data, int64_t owner)
{
	struct storage *storage = data;

	return area_set_room(&storage->areas, &storage->engine, owner);
}

static uint64_t storage_items_limit(void *data, int64_t area)
{
	struct storage *storage = data;

	return area_set_items_limit(&storage->areas, &storage->engine, area);
}

/* ---- the parent and the monitor ---- */

static void storage_distrust(struct storage *storage, const char *message_id, const char *what)
{
	copies_distrust(storage->engine.copies);
	log_event(LOG_WARNING, message_id,
		  LOG_FIELDS(log_text("HOLDFAST_PARENT", storage->source.address)),
		  "the parent %s; copies are read anew", what);
}

static void storage_lost_data(void *data)
{
	struct storage *storage = data;

	storage_distrust(storage, LOG_MESSAGE_PARENT_LOST_DATA, "lost data it had acked");
	monitor_note_lost_data(storage->engine.monitor, "the parent lost data it had acked");
}

static void storage_got(void *data, uint64_t tag, const struct parent_error *error,
			const char *value, bool unclean, uint64_t revision)
{
	struct storage *storage = data;

	if (!error && !lineage_revision(storage->engine.lineage, revision))
		storage_lost_data(storage);
	if (!fetcher_got(storage->engine.fetcher, tag, error, value, unclean, revision))
		direct_got(storage->engine.direct, tag, error, value, unclean, revision);
	fetcher_room(storage->engine.fetcher);
}

static void storage_wrote(void *data, uint64_t tag, const struct parent_error *error,
			  uint64_t revision)
{
	struct storage *storage = data;

	direct_wrote(storage->engine.direct, tag, error, revision);
	fetcher_room(storage->engine.fetcher);
}

static void storage_batch_sent(void *data)
{
	struct storage *storage = data;

	sender_batch_sent(storage->sender);
	fetcher_room(storage->engine.fetcher);
}

static void storage_applied(void *data, const struct parent_error *error,
			    const struct message *ack)
{
	sender_applied(((struct storage *)data)->sender, error, ack);
}

static const struct parent_data_ops storage_data_ops = {
	.got = storage_got,
	.wrote = storage_wrote,
	.batch_sent = storage_batch_sent,
	.applied = storage_applied,
};

static bool storage_welcome(void *data, const struct parent_welcome *welcome)
{
	struct storage *storage = data;
	enum lineage_verdict verdict;
	int r;

	if (storage->engine.parent->local)
		return true;
	r = lineage_welcome(storage->engine.lineage, storage->engine.parent->client,
			    welcome->epoch, welcome->last_batch, &verdict);
	if (r < 0) {
		monitor_drop(storage->engine.monitor, PARENT_REASON_CLOSED,
			     "our own store cannot be read");
		return false;
	}
	switch (verdict) {
	case LINEAGE_SAME:
		return true;
	case LINEAGE_OTHER:
		storage_distrust(storage, LOG_MESSAGE_PARENT_OTHER,
				 "is another store than last time");
		return true;
	case LINEAGE_LOST_DATA:
		storage_lost_data(storage);
		return true;
	case LINEAGE_ROLLED_BACK:
		sender_renew_client(storage->sender);
		return false;
	}
	return false;
}

static void storage_monitor_event(void *data, const struct monitor_event *event)
{
	struct storage *storage = data;
	struct engine *engine = &storage->engine;
	bool ready = monitor_ready(engine->monitor);

	(void)event;
	if (storage->was_ready && !ready) {
		storage->was_ready = false;
		sender_link_down(storage->sender);
		fetcher_link_down(engine->fetcher);
		direct_link_down(engine->direct);
	} else if (!storage->was_ready && ready) {
		storage->was_ready = true;
		sender_link_up(storage->sender);
	}
	reader_state_changed(engine->reader);
	stop_check(&storage->stop);
}

static void storage_area_due(void *data, struct area *area)
{
	struct storage *storage = data;

	stop_area_due(&storage->stop, area);
	sender_area_due(storage->sender, area);
}

static void storage_new_client(void *data, const char *client)
{
	struct storage *storage = data;

	g_strlcpy(storage->client, client, sizeof(storage->client));
	g_strlcpy(storage->engine.parent->client, client, sizeof(storage->engine.parent->client));
	/* A session made meanwhile is the old id's. */
	monitor_drop(storage->engine.monitor, PARENT_REASON_CLOSED, "a new client id is in force");
}

static const struct engine_ops storage_engine_ops = {
	.area_due = storage_area_due,
	.area_event = storage_area_event,
	.room = storage_room,
	.items_limit = storage_items_limit,
	.lost_data = storage_lost_data,
};

static const struct sender_ops storage_sender_ops = { .new_client = storage_new_client };

static const struct monitor_ops storage_monitor_ops = { .welcome = storage_welcome };

/* ---- which parent ---- */

static int make_parent(struct storage *storage, const struct parent_source *source,
		       struct parent **ret_parent)
{
	const struct parent_params params = {
		.address = source->address,
		.client = storage->client,
		.token_file = source->token_file,
		.ca_file = source->ca_file,
		.peer_uid = parent_source_uid(source),
		.clock = storage->engine.clock,
		.context = storage->params.context,
	};
	struct parent *parent;
	int r = storage->params.make_parent(&params, &parent);

	if (r < 0)
		return r;
	parent->data = &storage_data_ops;
	parent->data_data = storage;
	*ret_parent = parent;
	return 0;
}

static void use_parent(struct storage *storage, struct parent *parent)
{
	struct parent *old = storage->engine.parent;

	/* The monitor lets go of the old one first, which still gets what that brings about. */
	monitor_set_parent(storage->engine.monitor, NULL);
	storage->engine.parent = parent;
	monitor_name_parent(storage->engine.monitor, storage->source.address);
	monitor_set_parent(storage->engine.monitor, parent);
	parent_free(old);
}

static int storage_change_parent(struct storage *storage)
{
	struct parent_source source = { 0 };
	struct parent *parent;
	int r;

	parent_source_set(&source, storage->engine.config, storage->default_address);
	if (parent_source_equal(&source, &storage->source)) {
		parent_source_clear(&source);
		return 0;
	}
	r = make_parent(storage, &source, &parent);
	if (r == 0 && parent->local != storage->engine.parent->local) {
		/* What is queued and what is a copy changes its meaning: not while running. */
		parent_free(parent);
		r = -EOPNOTSUPP;
	}
	if (r < 0) {
		parent_source_clear(&source);
		return r;
	}
	parent_source_clear(&storage->source);
	storage->source = source;
	use_parent(storage, parent);
	return 0;
}

static void reconfigure_area(void *data, struct area *area)
{
	(void)data;
	area_reconfigured(area);
}

int storage_reconfigured(struct storage *storage)
{
	int r = storage_change_parent(storage);

	if (r < 0)
		return r;
	if (storage->engine.durability != storage->engine.config->storage_durability)
		log_notice("Durability= changes at the next start");
	copies_reconfigured(storage->engine.copies);
	storage_each_area(storage, reconfigure_area, NULL);
	monitor_reconfigured(storage->engine.monitor);
	monitor_hint(storage->engine.monitor); /* whoever reloads wants to know now: no hold */
	return 0;
}

const char *storage_last_error(struct storage *storage)
{
	return committer_problem(storage->engine.committer);
}

bool storage_parent_is_full(const struct storage *storage)
{
	return storage->engine.parent_full;
}

const struct engine *storage_engine(const struct storage *storage)
{
	return &storage->engine;
}

struct monitor *storage_monitor(struct storage *storage)
{
	return storage->engine.monitor;
}

const char *storage_parent_address(struct storage *storage)
{
	return storage->source.address;
}

const char *storage_parent_path(struct storage *storage)
{
	return storage->engine.parent->ops->path(storage->engine.parent);
}

bool storage_is_sound(struct storage *storage)
{
	return sender_is_sound(storage->sender);
}

/* ---- life ---- */

static void storage_new_id(struct storage *storage)
{
	char client[UTIL_ID_SIZE];

	util_random_id(client);
	lineage_reset_client(storage->engine.lineage);
	storage_new_client(storage, client);
}

static int storage_load(struct storage *storage)
{
	struct engine *engine = &storage->engine;
	struct store_state state;
	struct loader loader = {
		.engine = engine,
		.state = &state,
		.add = storage_add_area,
		.data = storage,
	};
	const char *new_area = storage->params.default_area;
	bool new_client, keep_client;
	int r;

	r = store_load_state(engine->store, &state);
	if (r < 0)
		return r;
	new_client = !state.client[0] || storage->params.salvaged ||
		     engine->durability == CONFIG_DURABILITY_MEMORY;
	engine->lineage = lineage_new(engine->store, state.generation, state.batch_high);
	if (new_client)
		storage_new_id(storage);
	else
		storage_new_client(storage, state.client);
	storage->sender = sender_new(engine, &state, &storage_sender_ops, storage);
	loader.dissolve = new_client || engine->parent->local;
	r = loader_run(&loader);
	if (r < 0)
		return r;
	if (loader.ret_batch)
		sender_resume(storage->sender, loader.ret_batch);
	else if (state.batch_number && !loader.dissolve && (new_client = true))
		storage_new_id(storage);
	if (new_client && state.batch_number)
		log_event(LOG_WARNING, LOG_MESSAGE_NEW_CLIENT,
			  LOG_FIELDS(log_text("HOLDFAST_REASON", "our store lost the batch in flight")),
			  "a new client id: what was in flight may be applied a second time");
	if (new_area && storage_find_area(storage, new_area))
		new_area = NULL;
	/* An id of Durability=memory is this start's alone. */
	keep_client = new_client && engine->durability != CONFIG_DURABILITY_MEMORY;
	r = loader_init_store(&loader, keep_client ? storage->client : NULL, new_area);
	storage->opener = opener_new(engine, &storage->areas, loader.ret_next_id, storage_add_area,
				     storage);
	return r;
}

static void storage_committed(void *data, int result)
{
	event_log_commit(((struct storage *)data)->log, result);
}

static int storage_make(struct storage *storage)
{
	struct engine *engine = &storage->engine;
	int r;

	watchlist_init(&storage->watches);
	stop_init(&storage->stop, engine, &storage->areas);
	parent_source_set(&storage->source, engine->config, storage->default_address);
	engine->ops = &storage_engine_ops;
	engine->ops_data = storage;
	engine->committer = committer_new(engine->store, &engine->metrics);
	storage->log = event_log_new(engine->clock);
	committer_watch(engine->committer, storage_committed, storage);
	engine->copies = copies_new(engine);
	engine->fetcher = fetcher_new(engine, storage_changed, storage);
	engine->reader = reader_new(engine);
	engine->direct = direct_new(engine);
	engine->monitor = monitor_new(engine->clock, engine->config, storage->params.rand,
				      &storage_monitor_ops, storage);
	storage->monitor_watch =
		monitor_add_watch(engine->monitor, storage_monitor_event, storage);
	r = make_parent(storage, &storage->source, &engine->parent);
	if (r < 0)
		return r;
	monitor_name_parent(engine->monitor, storage->source.address);
	monitor_set_parent(engine->monitor, engine->parent);
	return storage_load(storage);
}

int storage_new(const struct storage_params *params, struct storage **ret_storage)
{
	struct storage *storage = g_new0(struct storage, 1);
	int r;

	storage->params = *params;
	storage->default_address = g_strdup(params->default_address);
	storage->engine.clock = params->clock;
	storage->engine.config = params->config;
	storage->engine.durability = params->config->storage_durability;
	storage->engine.store = params->store;
	storage->engine.metrics.started_at = clock_realtime(params->clock);
	storage->engine.wall_offset =
		storage->engine.metrics.started_at - clock_boottime(params->clock);
	r = storage_make(storage);
	if (r < 0) {
		storage_free(storage);
		return r;
	}
	*ret_storage = storage;
	return 0;
}

struct storage *storage_free(struct storage *storage)
{
	struct engine *engine;

	if (!storage)
		return NULL;

	engine = &storage->engine;
	stop_deinit(&storage->stop);
	monitor_free(engine->monitor);
	storage->log = event_log_free(storage->log); /* it names areas */
	area_set_deinit(&storage->areas);
	opener_free(storage->opener);
	sender_free(storage->sender);
	direct_free(engine->direct);
	reader_free(engine->reader);
	fetcher_free(engine->fetcher);
	copies_free(engine->copies);
	lineage_free(engine->lineage);
	committer_free(engine->committer);
	parent_free(engine->parent);
	parent_source_clear(&storage->source);
	watchlist_deinit(&storage->watches);
	g_free(storage->default_address);
	g_free(storage);
	return NULL;
}

static void drain_area(void *data, struct area *area)
{
	(void)data;
	area_drain(area);
}

void storage_start(struct storage *storage)
{
	/* A store that had a parent and is its own now takes what was queued. */
	if (storage->engine.parent->local)
		storage_each_area(storage, drain_area, NULL);
	monitor_start(storage->engine.monitor);
}

static void flush_area(void *data, struct area *area)
{
	storage_area_due(data, area);
}

void storage_stop(struct storage *storage, void (*done)(void *data), void *data)
{
	stop_begin(&storage->stop, storage->sender, done, data);
	storage_each_area(storage, flush_area, storage);
}
