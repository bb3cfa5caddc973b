/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The driver of the test's parent and the parent's side of the line; see engine-parent.h.
 *
 * A line is two queues of events, each with the time it arrives. One timer delivers them one by
 * one. What is under way dies with the connection, as it does on a socket.
 */

#include <errno.h>
#include <string.h>

#include "engine-parent-store.h"

enum event_kind {
	/* to the parent */
	EVENT_HELLO,
	EVENT_PING,
	EVENT_GET,
	EVENT_WRITE,
	EVENT_BATCH,
	/* to the daemon */
	EVENT_UP,
	EVENT_REFUSED,
	EVENT_WELCOME,
	EVENT_PONG,
	EVENT_GOT,
	EVENT_WROTE,
	EVENT_SENT,
	EVENT_ACK,
};

struct event {
	enum event_kind kind;
	uint64_t due;
	uint64_t tag;
	int64_t ping;
	char *area, *key, *value;
	uint64_t revision;
	bool is_error;
	enum wire_class class;
	uint64_t retry_after;
	bool unclean;
	struct fake_batch *batch;
	bool duplicate, has_results;
	char id[UTIL_ID_SIZE];		/* the ack's, or of the epoch */
	struct fake_result *results;
	size_t n_results;
};

struct fake {
	struct parent parent;
	struct fake_world *world;
	bool linked, welcomed;
	bool batch_asked;		/* one batch is unanswered */
	char client[UTIL_ID_SIZE];	/* as hello said */
	GQueue to_parent, to_daemon;	/* struct event */
	uint64_t parent_due, daemon_due; /* when the last of them arrives; late answers apart */
	struct timer timer;
};

static struct fake_world *newest_world;

static struct fake *to_fake(struct parent *parent)
{
	return (struct fake *)parent;
}

static void event_free(void *data)
{
	struct event *event = data;

	g_free(event->area);
	g_free(event->key);
	g_free(event->value);
	g_free(event->results);
	fake_batch_free(event->batch);
	g_free(event);
}

/* ---- the line ---- */

static void fake_arm(struct fake *fake)
{
	const struct event *up = g_queue_peek_head(&fake->to_parent);
	const struct event *down = g_queue_peek_head(&fake->to_daemon);
	uint64_t due = down ? down->due : USEC_INFINITY;

	if (up && !fake->world->frozen)
		due = MIN(due, up->due);
	timer_arm(&fake->timer, due);
}

/* Into its place by time; what it holds is taken over. */
static void fake_push(struct fake *fake, GQueue *queue, const struct event *event, uint64_t due)
{
	GList *before = queue->tail;

	while (before && ((const struct event *)before->data)->due > due)
		before = before->prev;
	g_queue_insert_after(queue, before, g_memdup2(event, sizeof(*event)));
	((struct event *)(before ? before->next : queue->head)->data)->due = due;
	fake_arm(fake);
}

static uint64_t line_due(const struct fake *fake, uint64_t last)
{
	return MAX(last, clock_monotonic(fake->world->clock) + fake->world->latency);
}

static void fake_ask(struct fake *fake, const struct event *event)
{
	fake->parent_due = line_due(fake, fake->parent_due);
	fake_push(fake, &fake->to_parent, event, fake->parent_due);
}

static void fake_tell(struct fake *fake, const struct event *event)
{
	fake->daemon_due = line_due(fake, fake->daemon_due);
	fake_push(fake, &fake->to_daemon, event, fake->daemon_due);
}

static void fake_clear(struct fake *fake)
{
	fake->linked = fake->welcomed = fake->batch_asked = false;
	fake->parent_due = fake->daemon_due = 0;
	g_queue_clear_full(&fake->to_parent, event_free);
	g_queue_clear_full(&fake->to_daemon, event_free);
	timer_disarm(&fake->timer);
}

/* ---- the parent's side ---- */

static bool take_one(unsigned int *count)
{
	return *count > 0 && (*count)--;
}

static void parent_note_arrival(struct fake_world *world)
{
	uint64_t now = clock_monotonic(world->clock);

	g_array_append_val(world->arrivals, now);
}

static struct event error_to(const struct fake_world *world, enum event_kind kind, uint64_t tag)
{
	return (struct event){
		.kind = kind,
		.tag = tag,
		.is_error = true,
		.class = world->refuse_class,
		.retry_after = world->refuse_after,
	};
}

static void parent_hello(struct fake *fake)
{
	struct event welcome = { .kind = EVENT_WELCOME };

	fake->world->hellos++;
	g_strlcpy(fake->world->last_client, fake->client, sizeof(fake->world->last_client));
	g_strlcpy(welcome.id, fake_store_epoch(fake->world->store), sizeof(welcome.id));
	welcome.tag = fake_store_client(fake->world->store, fake->client)->last;
	fake_tell(fake, &welcome);
}

static void parent_get(struct fake *fake, const struct event *get)
{
	struct fake_world *world = fake->world;
	struct event got = { .kind = EVENT_GOT, .tag = get->tag };

	world->gets++;
	parent_note_arrival(world);
	if (world->mute_gets)
		return;
	if (take_one(&world->refuse_gets)) {
		got = error_to(world, EVENT_GOT, get->tag);
	} else {
		got.unclean = world->unclean;
		if (!got.unclean)
			got.value = g_strdup(fake_store_get(world->store, get->area, get->key));
		got.revision = fake_store_revision(world->store);
	}
	fake_push(fake, &fake->to_daemon, &got, line_due(fake, fake->daemon_due) + world->late_gets);
}

static void parent_write(struct fake *fake, const struct event *write)
{
	struct fake_world *world = fake->world;
	struct event wrote = { .kind = EVENT_WROTE, .tag = write->tag };

	world->writes++;
	if (take_one(&world->refuse_writes)) {
		wrote = error_to(world, EVENT_WROTE, write->tag);
	} else {
		wrote.revision = fake_store_put(world->store, write->area, write->key,
						write->value);
	}
	fake_tell(fake, &wrote);
}

static bool is_poisoned(const struct fake_batch *batch)
{
	for (size_t i = 0; i < batch->n_ops; i++)
		if (batch->ops[i].value && g_str_has_prefix(batch->ops[i].value, "poison"))
			return true;
	return false;
}

static void parent_log(struct fake_world *world, const struct fake_batch *batch)
{
	world->batches++;
	world->last_number = batch->number;
	g_strlcpy(world->last_id, batch->id, sizeof(world->last_id));
	parent_note_arrival(world);
	if (world->log->len > 65536)
		g_string_truncate(world->log, 0);
	for (size_t i = 0; i < batch->n_ops; i++)
		g_string_append_printf(world->log, "%s/%s=%s;", batch->ops[i].area,
				       batch->ops[i].key,
				       batch->ops[i].value ? batch->ops[i].value : "(gone)");
}

static void ack_take(struct fake_world *world, struct event *ack, const struct fake_client *kept)
{
	g_strlcpy(ack->id, kept->id, sizeof(ack->id));
	ack->has_results = true;
	ack->n_results = kept->n_results;
	ack->results = g_memdup2(kept->results, kept->n_results * sizeof(*kept->results));
	if (world->short_results && ack->n_results > 0)
		ack->n_results--;
}

static void parent_duplicate(struct fake_world *world, struct event *ack,
			     const struct fake_client *kept)
{
	world->duplicates++;
	ack->duplicate = true;
	ack_take(world, ack, kept);
	ack->has_results = !world->without_results;
	if (world->other_id)
		util_random_id(ack->id);
}

static void parent_apply(struct fake *fake, struct event *ack)
{
	struct fake_world *world = fake->world;

	fake_store_apply(world->store, fake->client, ack->batch);
	world->applied_ops += (unsigned int)ack->batch->n_ops;
	ack_take(world, ack, fake_store_client(world->store, fake->client));
	for (size_t i = 0; world->terse && i < ack->n_results; i++)
		if (!fake_op_error(&ack->batch->ops[i]))
			ack->results[i].error = WIRE_OP_OK;
}

/* The number is compared before any other check. */
static void parent_batch(struct fake *fake, struct event *asked)
{
	struct fake_world *world = fake->world;
	struct event ack = { .kind = EVENT_ACK, .batch = g_steal_pointer(&asked->batch) };
	const struct fake_client *kept = fake_store_client(world->store, fake->client);

	parent_log(world, ack.batch);
	if (ack.batch->number <= kept->last && !world->refuse_known) {
		parent_duplicate(world, &ack, kept);
	} else if (take_one(&world->refuse_batches)) {
		ack.is_error = true;
		ack.class = world->refuse_class;
		ack.retry_after = world->refuse_after;
	} else if (world->refuse_known || is_poisoned(ack.batch)) {
		ack.is_error = true;
		ack.class = WIRE_PERMANENT;
	} else {
		parent_apply(fake, &ack);
	}
	if (take_one(&world->lose_acks))
		fake_batch_free(ack.batch), g_free(ack.results);
	else
		fake_tell(fake, &ack);
}

static void parent_take(struct fake *fake, struct event *event)
{
	struct event pong = { .kind = EVENT_PONG, .ping = event->ping };

	if (event->kind >= EVENT_GET && take_one(&fake->world->swallow))
		return;
	if (event->kind == EVENT_HELLO) {
		parent_hello(fake);
	} else if (event->kind == EVENT_PING) {
		fake->world->pings++;
		fake_tell(fake, &pong);
	} else if (event->kind == EVENT_GET) {
		parent_get(fake, event);
	} else if (event->kind == EVENT_WRITE) {
		parent_write(fake, event);
	} else {
		parent_batch(fake, event);
	}
}

/* ---- what the daemon hears ---- */

static void daemon_welcome(struct fake *fake, const struct event *event)
{
	const struct parent_welcome welcome = { .epoch = event->id, .last_batch = event->tag };

	fake->welcomed = true;
	fake->parent.link->welcome(fake->parent.link_data, &welcome);
}

static void daemon_ack(struct fake *fake, const struct event *event)
{
	const struct parent_error error = {
		.class = event->class,
		.message = "the test's parent will not have it",
		.retry_after = event->retry_after,
	};
	g_autofree struct wire_result *results = g_new0(struct wire_result, event->n_results + 1);
	const struct message ack = {
		.type = MESSAGE_BATCH_ACK,
		.batch_ack = {
			.number = event->batch->number,
			.id = event->id,
			.duplicate = event->duplicate,
			.has_results = event->has_results,
			.results = results,
			.n_results = event->n_results,
		},
	};

	for (size_t i = 0; i < event->n_results; i++) {
		results[i].error = event->results[i].error;
		results[i].revision = event->results[i].revision;
		results[i].message = event->results[i].error ? "not this one" : NULL;
	}
	fake->batch_asked = false;
	fake->parent.data->applied(fake->parent.data_data, event->is_error ? &error : NULL,
				   event->is_error ? NULL : &ack);
}

static void daemon_answer(struct fake *fake, const struct event *event)
{
	const struct parent_data_ops *data = fake->parent.data;
	const struct parent_error error = {
		.class = event->class,
		.message = "the test's parent will not say",
		.retry_after = event->retry_after,
	};
	const struct parent_error *given = event->is_error ? &error : NULL;

	if (event->kind == EVENT_GOT)
		data->got(fake->parent.data_data, event->tag, given, event->value, event->unclean,
			  event->revision);
	else if (event->kind == EVENT_WROTE)
		data->wrote(fake->parent.data_data, event->tag, given, event->revision);
	else
		daemon_ack(fake, event);
}

/* Each callback may end the connection or free the driver: nothing follows it. */
static void daemon_hear(struct fake *fake, const struct event *event)
{
	const struct parent_link_ops *link = fake->parent.link;
	struct fake_world *world = fake->world;
	struct event hello = { .kind = EVENT_HELLO };

	if (event->kind == EVENT_UP) {
		fake_ask(fake, &hello);
		link->up(fake->parent.link_data);
	} else if (event->kind == EVENT_REFUSED) {
		fake_clear(fake);
		link->down(fake->parent.link_data, PARENT_REASON_REFUSED, "nobody listens", 0);
	} else if (event->kind == EVENT_WELCOME) {
		daemon_welcome(fake, event);
	} else if (event->kind == EVENT_PONG) {
		link->pong(fake->parent.link_data, event->ping);
	} else if (event->kind == EVENT_SENT) {
		fake->parent.data->batch_sent(fake->parent.data_data);
	} else {
		link->message(fake->parent.link_data);
		if (world->fake == fake && fake->linked)
			daemon_answer(fake, event);
	}
}

static void fake_turn(void *data)
{
	struct fake *fake = data;
	uint64_t now = clock_monotonic(fake->world->clock);
	struct event *event = g_queue_peek_head(&fake->to_daemon);

	if (event && event->due <= now) {
		g_queue_pop_head(&fake->to_daemon);
		fake_arm(fake);
		daemon_hear(fake, event);
		event_free(event);
		return;
	}
	event = g_queue_peek_head(&fake->to_parent);
	if (event && event->due <= now && !fake->world->frozen) {
		g_queue_pop_head(&fake->to_parent);
		parent_take(fake, event);
		event_free(event);
	}
	fake_arm(fake);
}

/* ---- the driver ---- */

static void fake_connect(struct parent *parent)
{
	struct fake *fake = to_fake(parent);
	struct event event = { .kind = fake->world->away ? EVENT_REFUSED : EVENT_UP };

	g_assert_false(fake->linked);
	if (fake->world->dead)
		return;
	fake_clear(fake);
	fake->linked = true;
	fake->world->dials++;
	g_strlcpy(fake->client, parent->client, sizeof(fake->client));
	if (!fake->world->silent)
		fake_tell(fake, &event);
}

static void fake_disconnect(struct parent *parent)
{
	fake_clear(to_fake(parent));
}

static void fake_ping(struct parent *parent, int64_t id)
{
	struct event ping = { .kind = EVENT_PING, .ping = id };

	if (to_fake(parent)->linked)
		fake_ask(to_fake(parent), &ping);
}

static int fake_request(struct parent *parent, enum event_kind kind, uint64_t tag,
			const char *area, const char *key, const char *value)
{
	struct fake *fake = to_fake(parent);
	struct event event = { .kind = kind, .tag = tag };

	if (fake->world->refuse_requests)
		return fake->world->refuse_requests;
	if (!fake->welcomed)
		return -ENOTCONN;
	event.area = g_strdup(area);
	event.key = g_strdup(key);
	event.value = g_strdup(value);
	fake_ask(fake, &event);
	return 0;
}

static int fake_ask_get(struct parent *parent, uint64_t tag, const char *area, const char *key)
{
	return fake_request(parent, EVENT_GET, tag, area, key, NULL);
}

static int fake_ask_write(struct parent *parent, uint64_t tag, const char *area, const char *key,
			  const char *value)
{
	return fake_request(parent, EVENT_WRITE, tag, area, key, value);
}

static void fake_apply(struct parent *parent, const struct parent_batch *batch)
{
	struct fake *fake = to_fake(parent);
	struct fake_world *world = fake->world;
	struct event event = { .kind = EVENT_BATCH };
	struct event sent = { .kind = EVENT_SENT };

	if (world->dead)
		return;
	g_assert_true(fake->welcomed);
	g_assert_false(fake->batch_asked);
	fake->batch_asked = true;
	event.batch = fake_batch_copy(batch);
	fake_ask(fake, &event);
	if (!world->untaken)
		fake_tell(fake, &sent);
}

static bool fake_busy(struct parent *parent, uint64_t *ret_progress)
{
	(void)parent;
	*ret_progress = 0;
	return false;
}

static const char *fake_path(struct parent *parent)
{
	(void)parent;
	return NULL;
}

static void fake_free(struct parent *parent)
{
	struct fake *fake = to_fake(parent);

	fake_clear(fake);
	timer_deinit(&fake->timer);
	if (fake->world->fake == fake)
		fake->world->fake = NULL;
	g_free(fake);
}

static const struct parent_ops fake_ops = {
	.connect = fake_connect,
	.disconnect = fake_disconnect,
	.ping = fake_ping,
	.get = fake_ask_get,
	.write = fake_ask_write,
	.apply = fake_apply,
	.busy = fake_busy,
	.path = fake_path,
	.free = fake_free,
};

int fake_make(const struct parent_params *params, struct parent **ret_parent)
{
	struct fake *fake;

	if (newest_world->local)
		return parent_new(&(struct parent_params){ .address = "local:",
							   .client = params->client,
							   .peer_uid = -1,
							   .clock = params->clock },
				  ret_parent);
	fake = g_new0(struct fake, 1);
	fake->parent.ops = &fake_ops;
	fake->world = newest_world;
	fake->world->fake = fake;
	g_strlcpy(fake->parent.client, params->client, sizeof(fake->parent.client));
	g_queue_init(&fake->to_parent);
	g_queue_init(&fake->to_daemon);
	timer_init(&fake->timer, params->clock, fake_turn, fake);
	*ret_parent = &fake->parent;
	return 0;
}

/* ---- the world ---- */

struct fake_world *fake_world_new(struct clock *clock)
{
	struct fake_world *world = g_new0(struct fake_world, 1);

	world->clock = clock;
	world->store = fake_store_new();
	world->latency = 500;
	world->log = g_string_new(NULL);
	world->arrivals = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	newest_world = world;
	return world;
}

struct fake_world *fake_world_free(struct fake_world *world)
{
	fake_store_free(world->store);
	g_string_free(world->log, TRUE);
	g_array_unref(world->arrivals);
	g_free(world);
	return NULL;
}

void fake_cut(struct fake_world *world, enum parent_reason reason)
{
	struct fake *fake = world->fake;

	if (!fake || !fake->linked)
		return;
	fake_clear(fake);
	fake->parent.link->down(fake->parent.link_data, reason, "cut by the test", 0);
}

bool fake_is_linked(const struct fake_world *world)
{
	return world->fake && world->fake->linked;
}

void fake_thaw(struct fake_world *world)
{
	world->frozen = false;
	if (world->fake)
		fake_arm(world->fake);
}
