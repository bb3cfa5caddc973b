/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Signals of areas, unicast: a key's name is nobody's business but the subscribers'. An area with
 * subscribers has a topic; events of the others cost one lookup.
 *
 * QueueChanged is coalesced: an event marks the topic, and one idle source for all topics sends
 * what the queues have come to. The other signals go out at once, in order.
 *
 * Where the bus does not take our messages the subscription ends with a warning, before memory
 * does: a subscriber that saw some of the signals and not others would believe in a wrong state.
 * So it does where the bus takes them, but not the subscriber, whose queue there is full: the bus
 * then answers the signal with an error, which comes any number of signals later (dispatch.h).
 */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/caller.h"
#include "bus/dispatch.h"
#include "bus/names.h"
#include "bus/subscription.h"
#include "core/limits.h"
#include "engine/storage.h"

struct subscriptions {
	sd_bus *bus; /* borrowed */
	sd_bus_slot *refused;
	struct storage *storage;
	struct dispatch *dispatch; /* who is told by the id of the subscription */
	uint64_t last_id;
	GHashTable *topics; /* struct area → struct topic */
	GSource *idle;	    /* NULL: no queue changed */
	uint32_t watch;
};

struct topic {
	struct area *area;
	GHashTable *members; /* struct caller → struct subscription */
	bool queue_changed;
};

struct subscription {
	struct caller_tie tie;
	struct subscriptions *owner;
	struct topic *topic;
	struct caller *caller;
	char *path;
	uint64_t id; /* never used again, so that news of an older one cannot be meant for it */
};

static void subscription_free(void *data)
{
	struct subscription *sub = data;

	caller_untie(&sub->tie);
	g_free(sub->path);
	g_free(sub);
}

static void topic_free(void *data)
{
	struct topic *topic = data;

	g_hash_table_unref(topic->members);
	g_free(topic);
}

static struct topic *topic_get(struct subscriptions *subs, struct area *area)
{
	struct topic *topic = g_hash_table_lookup(subs->topics, area);

	if (topic)
		return topic;

	topic = g_new0(struct topic, 1);
	topic->area = area;
	topic->members = g_hash_table_new_full(NULL, NULL, NULL, subscription_free);
	g_hash_table_insert(subs->topics, area, topic);
	return topic;
}

static void topic_remove(struct subscriptions *subs, struct topic *topic, struct caller *caller)
{
	g_hash_table_remove(topic->members, caller);
	if (g_hash_table_size(topic->members) == 0)
		g_hash_table_remove(subs->topics, topic->area);
}

static int append_event(sd_bus_message *signal, const struct topic *topic,
			const struct area_event *event)
{
	/* One that a damaged store gave back must not end the subscription. */
	g_autofree char *key = event->key ? util_make_valid(event->key, SIZE_MAX) : NULL;

	switch (event->type) {
	case AREA_ITEM_CHANGED:
		return sd_bus_message_append(signal, "ss", key, event->local ? "local" : "parent");
	case AREA_ITEM_REJECTED:
		return sd_bus_message_append(signal, "tsss", event->serial, key, event->error,
					     event->message);
	case AREA_ITEM_DROPPED:
		return sd_bus_message_append(signal, "ts", event->serial, key);
	case AREA_QUEUE_CHANGED:
		return sd_bus_message_append(signal, "ut", area_queue_size(topic->area),
					     area_queue_bytes(topic->area));
	case AREA_QUOTA_REACHED:
		break;
	}
	return -EINVAL;
}

static const char *event_member(enum area_event_type type)
{
	switch (type) {
	case AREA_ITEM_CHANGED:
		return "ItemChanged";
	case AREA_ITEM_REJECTED:
		return "ItemRejected";
	case AREA_ITEM_DROPPED:
		return "ItemDropped";
	case AREA_QUEUE_CHANGED:
		return "QueueChanged";
	case AREA_QUOTA_REACHED:
		break; /* its caller has the error */
	}
	return NULL;
}

static int subscription_send(struct subscription *sub, const struct area_event *event)
{
	sd_bus *bus = sub->owner->bus;
	sd_bus_message *signal = NULL;
	uint64_t queued = 0;
	int r;

	r = sd_bus_get_n_queued_write(bus, &queued);
	if (r >= 0 &&
	    (queued > LIMIT_QUEUED_SIGNALS || dispatch_is_full(sub->owner->dispatch)))
		r = -ENOBUFS;
	if (r >= 0)
		r = sd_bus_message_new_signal(bus, &signal, sub->path, BUS_STORAGE,
					      event_member(event->type));
	if (r >= 0)
		r = append_event(signal, sub->topic, event);
	if (r >= 0)
		r = sd_bus_message_set_destination(signal, caller_name(sub->caller));
	if (r >= 0)
		r = sd_bus_send(bus, signal, NULL);
	if (r >= 0) {
		dispatch_note(sub->owner->dispatch, signal, sub->id);
		caller_note_sent(sub->caller, signal, event->key ? strlen(event->key) : 0);
	}
	sd_bus_message_unref(signal);
	return r;
}

/* May free the topic. */
static void topic_tell(struct subscriptions *subs, struct topic *topic,
		       const struct area_event *event)
{
	GHashTableIter iter;
	void *caller, *sub;
	int r;

	g_hash_table_iter_init(&iter, topic->members);
	while (g_hash_table_iter_next(&iter, &caller, &sub)) {
		r = subscription_send(sub, event);
		if (r >= 0)
			continue;
		log_warning("The subscription of %s to area %s ends: cannot send %s: %s",
			    caller_name(caller), area_name(topic->area), event_member(event->type),
			    g_strerror(-r));
		g_hash_table_iter_remove(&iter);
	}
	if (g_hash_table_size(topic->members) == 0)
		g_hash_table_remove(subs->topics, topic->area);
}

static gboolean on_idle(void *data)
{
	static const struct area_event event = { .type = AREA_QUEUE_CHANGED };
	struct subscriptions *subs = data;
	g_autoptr(GList) topics = g_hash_table_get_values(subs->topics);

	subs->idle = NULL;
	for (GList *l = topics; l; l = l->next) {
		struct topic *topic = l->data;

		if (!topic->queue_changed)
			continue;
		topic->queue_changed = false;
		topic_tell(subs, topic, &event);
	}
	return G_SOURCE_REMOVE;
}

static void queue_changed(struct subscriptions *subs, struct topic *topic)
{
	topic->queue_changed = true;
	if (subs->idle)
		return;

	subs->idle = g_idle_source_new();
	/* Not the default of idle sources: a busy bus must not hold it back for ever. */
	g_source_set_priority(subs->idle, G_PRIORITY_DEFAULT);
	g_source_set_callback(subs->idle, on_idle, subs, NULL);
	g_source_attach(subs->idle, NULL);
	g_source_unref(subs->idle); /* the context keeps it until it ran or is destroyed */
}

static void on_event(void *data, struct area *area, const struct area_event *event)
{
	struct subscriptions *subs = data;
	struct topic *topic = g_hash_table_lookup(subs->topics, area);

	if (!topic || event->type == AREA_QUOTA_REACHED)
		return;
	if (event->type == AREA_QUEUE_CHANGED)
		queue_changed(subs, topic);
	else
		topic_tell(subs, topic, event);
}

/* ---- signals that the bus could not deliver ---- */

static struct subscription *find_subscription(struct subscriptions *subs, uint64_t id)
{
	GHashTableIter topics, members;
	void *topic, *sub;

	g_hash_table_iter_init(&topics, subs->topics);
	while (g_hash_table_iter_next(&topics, NULL, &topic)) {
		g_hash_table_iter_init(&members, ((struct topic *)topic)->members);
		while (g_hash_table_iter_next(&members, NULL, &sub))
			if (((struct subscription *)sub)->id == id)
				return sub;
	}
	return NULL;
}

/* Of all messages that are no answer to a call: calls pass here, too. Any client of a session bus may
 * send an error that answers nothing; only the bus's own counts. */
static int on_message(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *refusal = sd_bus_message_get_error(message);
	struct subscriptions *subs = data;
	struct subscription *sub;
	uint64_t cookie, id;

	(void)error;
	if (!refusal || sd_bus_message_get_reply_cookie(message, &cookie) < 0 ||
	    g_strcmp0(sd_bus_message_get_sender(message), "org.freedesktop.DBus") != 0)
		return 0;
	id = dispatch_find(subs->dispatch, cookie);
	if (id == 0)
		return 0;
	sub = find_subscription(subs, id);
	if (!sub)
		return 1; /* it ended meanwhile */
	log_warning("The subscription of %s to area %s ends: the bus cannot deliver its signals: "
		    "%s", caller_name(sub->caller), area_name(sub->topic->area), refusal->name);
	topic_remove(subs, sub->topic, sub->caller);
	return 1;
}

int subscriptions_new(sd_bus *bus, struct storage *storage, struct subscriptions **ret_subs)
{
	struct subscriptions *subs = g_new0(struct subscriptions, 1);
	int r;

	subs->bus = bus;
	subs->storage = storage;
	subs->dispatch = dispatch_new(bus);
	subs->topics = g_hash_table_new_full(NULL, NULL, NULL, topic_free);
	subs->watch = storage_add_watch(storage, on_event, subs);
	r = sd_bus_add_filter(bus, &subs->refused, on_message, subs);
	if (r < 0) {
		subscriptions_free(subs);
		return r;
	}
	*ret_subs = subs;
	return 0;
}

struct subscriptions *subscriptions_free(struct subscriptions *subs)
{
	if (!subs)
		return NULL;

	sd_bus_slot_unref(subs->refused);
	storage_remove_watch(subs->storage, subs->watch);
	if (subs->idle)
		g_source_destroy(subs->idle);
	g_hash_table_unref(subs->topics);
	dispatch_free(subs->dispatch);
	g_free(subs);
	return NULL;
}

static void subscriber_gone(struct caller_tie *tie)
{
	struct subscription *sub = (struct subscription *)tie;

	topic_remove(sub->owner, sub->topic, sub->caller);
}

void subscription_add(struct subscriptions *subs, struct caller *caller, struct area *area,
		      const char *path)
{
	struct topic *topic = topic_get(subs, area);
	struct subscription *sub;

	if (g_hash_table_contains(topic->members, caller))
		return;

	sub = g_new0(struct subscription, 1);
	sub->owner = subs;
	sub->id = ++subs->last_id;
	sub->topic = topic;
	sub->caller = caller;
	sub->path = g_strdup(path);
	caller_tie(caller, &sub->tie, subscriber_gone);
	g_hash_table_insert(topic->members, caller, sub);
}

void subscription_remove(struct subscriptions *subs, struct caller *caller, struct area *area)
{
	struct topic *topic = g_hash_table_lookup(subs->topics, area);

	if (topic)
		topic_remove(subs, topic, caller);
}
