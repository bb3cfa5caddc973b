/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The feed of events; see feed.h.
 *
 * To subscribe is up to three calls, one after the other: OpenArea where an area was named,
 * Subscribe, and Monitor's properties for how the line is now. They go to the owner's unique name,
 * so that none of them starts a daemon that was stopped.
 *
 * Signals are taken only from the name's present owner: any peer may send us a signal directly.
 */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "holdfastctl/feed.h"
#include "holdfastctl/overview.h"

struct feed {
	struct client *client;
	const struct feed_ops *ops;
	void *data;
	char *owner;		/* unique name of the daemon; NULL while it is gone */
	sd_bus_slot *slots[3];	/* of the matches */
	sd_bus_slot *call;	/* the one under way, if any */
};

static void subscribe(struct feed *feed);

const char *feed_owner(const struct feed *feed)
{
	return feed->owner;
}

/* ---- hearing ---- */

static void tell_own(struct feed *feed, const char *name, const char *text)
{
	struct event event;

	event_init(&event, name, g_strdup(text));
	feed->ops->event(feed->data, &event);
	event_deinit(&event);
}

static int on_signal(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct feed *feed = data;
	struct event event;
	int r;

	(void)error;
	if (g_strcmp0(sd_bus_message_get_sender(m), feed->owner) != 0)
		return 0;
	if (strcmp(sd_bus_message_get_interface(m), CLIENT_STORAGE) == 0 &&
	    strcmp(sd_bus_message_get_path(m), client_path(feed->client)) != 0)
		return 0;
	r = event_read(&event, m);
	if (r <= 0)
		return r;
	feed->ops->event(feed->data, &event);
	event_deinit(&event);
	return 0;
}

/* ---- subscribing ---- */

static void fail(struct feed *feed, int r)
{
	feed->ops->failed(feed->data, r);
}

/*
 * An answer, or a failure to get one. A daemon that went meanwhile is no failure: its next owner is
 * subscribed to like this one. One that is too busy to answer is asked again.
 *
 * Return: whether it was an answer.
 */
static bool take_answer(struct feed *feed, sd_bus_message *m)
{
	int r;

	feed->call = sd_bus_slot_unref(feed->call);
	if (!sd_bus_message_is_method_error(m, NULL))
		return true;
	r = client_fail_bus(feed->client, sd_bus_message_get_error(m));
	if (client_error_is(feed->client, SD_BUS_ERROR_NO_REPLY))
		subscribe(feed);
	else if (client_exit_status(feed->client) != CLIENT_EXIT_ABSENT)
		fail(feed, r);
	return false;
}

static void ask(struct feed *feed, const struct client_question *question,
		sd_bus_message_handler_t handler)
{
	int r;

	r = client_ask(feed->client, &feed->call, question, handler, feed);
	if (r < 0)
		fail(feed, r);
}

static int on_state(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct overview overview = { 0 };
	struct feed *feed = data;
	struct event event;
	int r;

	(void)error;
	if (!take_answer(feed, m))
		return 0;
	r = overview_read(&overview, m);
	if (r >= 0 && overview.state && overview.reason) {
		event_init_state(&event, NULL, overview.state, overview.reason);
		feed->ops->event(feed->data, &event);
		event_deinit(&event);
	} else {
		fail(feed, client_fail_reply(feed->client, "GetAll", r));
	}
	overview_deinit(&overview);
	return 0;
}

static int on_subscribed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct feed *feed = data;

	(void)error;
	if (take_answer(feed, m))
		ask(feed, &(struct client_question){ feed->owner, CLIENT_MONITOR, "GetAll" },
		    on_state);
	return 0;
}

static int on_opened(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct feed *feed = data;
	int r;

	(void)error;
	if (!take_answer(feed, m))
		return 0;
	r = client_take_area(feed->client, m);
	if (r < 0)
		fail(feed, r);
	else
		ask(feed, &(struct client_question){ feed->owner, CLIENT_STORAGE, "Subscribe" },
		    on_subscribed);
	return 0;
}

static void subscribe(struct feed *feed)
{
	const char *area = client_area(feed->client);

	if (area)
		ask(feed, &(struct client_question){ feed->owner, CLIENT_MANAGER, "OpenArea", area },
		    on_opened);
	else
		ask(feed, &(struct client_question){ feed->owner, CLIENT_STORAGE, "Subscribe" },
		    on_subscribed);
}

static int on_owner_changed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	const char *name, *old_owner, *new_owner;
	struct feed *feed = data;
	bool was_there = feed->owner;
	int r;

	(void)error;
	r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
	if (r <= 0 || g_strcmp0(feed->owner, new_owner) == 0)
		return r < 0 ? r : 0;

	feed->call = sd_bus_slot_unref(feed->call);
	g_free(feed->owner);
	feed->owner = *new_owner ? g_strdup(new_owner) : NULL;
	if (!feed->owner) {
		if (was_there)
			tell_own(feed, "DaemonGone", "daemon    gone");
		return 0;
	}
	tell_own(feed, "DaemonBack", "daemon    back (changes meanwhile were not seen)");
	subscribe(feed);
	return 0;
}

/* ---- setting up ---- */

static int add_matches(struct feed *feed)
{
	sd_bus *bus = client_bus(feed->client);
	int r;

	r = sd_bus_match_signal(bus, &feed->slots[0], CLIENT_NAME, NULL, CLIENT_STORAGE, NULL,
				on_signal, feed);
	if (r >= 0)
		r = sd_bus_match_signal(bus, &feed->slots[1], CLIENT_NAME, CLIENT_ROOT,
					CLIENT_MONITOR, NULL, on_signal, feed);
	if (r >= 0)
		r = sd_bus_add_match(bus, &feed->slots[2],
				     "type='signal',sender='org.freedesktop.DBus',"
				     "path='/org/freedesktop/DBus',"
				     "interface='org.freedesktop.DBus',"
				     "member='NameOwnerChanged',arg0='" CLIENT_NAME "'",
				     on_owner_changed, feed);
	return r < 0 ? client_fail(feed->client, "cannot listen to the bus: %s", g_strerror(-r)) : 0;
}

static int find_owner(struct feed *feed)
{
	g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
	g_autoptr(sd_bus_message) reply = NULL;
	const char *owner;
	int r;

	r = sd_bus_call_method(client_bus(feed->client), "org.freedesktop.DBus",
			       "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner",
			       &error, &reply, "s", CLIENT_NAME);
	if (r < 0)
		return client_fail_bus(feed->client, &error);
	r = sd_bus_message_read(reply, "s", &owner);
	if (r <= 0)
		return client_fail_reply(feed->client, "GetNameOwner", r);
	feed->owner = g_strdup(owner);
	return 0;
}

int feed_new(struct feed **ret_feed, struct client *client, const struct feed_ops *ops, void *data)
{
	struct feed *feed = g_new0(struct feed, 1);
	int r;

	feed->client = client;
	feed->ops = ops;
	feed->data = data;
	r = add_matches(feed);
	if (r >= 0)
		r = find_owner(feed);
	if (r < 0) {
		feed_free(feed);
		return r;
	}
	subscribe(feed);
	*ret_feed = feed;
	return 0;
}

struct feed *feed_free(struct feed *feed)
{
	if (!feed)
		return NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(feed->slots); i++)
		sd_bus_slot_unref(feed->slots[i]);
	sd_bus_slot_unref(feed->call);
	g_free(feed->owner);
	g_free(feed);
	return NULL;
}
