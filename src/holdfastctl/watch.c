/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * watch; see watch.h.
 *
 * A subscription ends with the daemon, so the owner of its name is watched too: when it goes that
 * is an event like any other, and when it comes back the area is opened and subscribed again. What
 * happened in between is not told; the line about the daemon's return says that it may be so.
 *
 * Signals are taken only from the name's present owner: any peer may send us a signal directly.
 */

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "holdfastctl/format.h"
#include "holdfastctl/watch.h"

struct watch {
	struct client *client;
	sd_event *event;
	enum output_mode mode;
	char *owner;		/* unique name of the daemon; NULL while it is gone */
	int result;		/* of the verb, once the loop ends */
};

/* ---- telling ---- */

/* One event: the first two fields, time and name, are everyone's. Each line is flushed, for the
 * reader of a pipe wants it now. */
static void tell(struct watch *watch, const char *event, const struct field *fields, size_t n,
		 const char *text)
{
	uint64_t now = (uint64_t)g_get_real_time();

	if (watch->mode == OUTPUT_TEXT) {
		g_autofree char *time = format_time(now);
		g_autofree char *clean = format_clean(text);

		printf("%s  %s\n", time, clean);
	} else {
		g_autofree struct field *all = g_new0(struct field, n + 2);

		all[0] = (struct field){ "event", FIELD_TEXT, event };
		all[1] = (struct field){ "time", FIELD_TIME, .number = now };
		for (size_t i = 0; i < n; i++)
			all[i + 2] = fields[i];
		output_record(watch->mode, all, n + 2);
	}
	fflush(stdout);
}

static int tell_changed(struct watch *watch, sd_bus_message *m)
{
	const char *key, *origin;
	int r;

	r = sd_bus_message_read(m, "ss", &key, &origin);
	if (r <= 0)
		return r;

	g_autofree char *text = g_strdup_printf("changed   %s (%s)", key, origin);
	const struct field fields[] = {
		{ "key", FIELD_TEXT, key },
		{ "origin", FIELD_TEXT, origin },
	};
	tell(watch, "ItemChanged", fields, G_N_ELEMENTS(fields), text);
	return 0;
}

static int tell_rejected(struct watch *watch, sd_bus_message *m)
{
	const char *key, *error, *message;
	uint64_t serial;
	int r;

	r = sd_bus_message_read(m, "tsss", &serial, &key, &error, &message);
	if (r <= 0)
		return r;

	g_autofree char *text = g_strdup_printf("rejected  %s (serial %" PRIu64 "): %s: %s", key,
						serial, error, message);
	const struct field fields[] = {
		{ "serial", FIELD_NUMBER, .number = serial },
		{ "key", FIELD_TEXT, key },
		{ "error", FIELD_TEXT, error },
		{ "message", FIELD_TEXT, message },
	};
	tell(watch, "ItemRejected", fields, G_N_ELEMENTS(fields), text);
	return 0;
}

static int tell_dropped(struct watch *watch, sd_bus_message *m)
{
	const char *key;
	uint64_t serial;
	int r;

	r = sd_bus_message_read(m, "ts", &serial, &key);
	if (r <= 0)
		return r;

	g_autofree char *text = g_strdup_printf("dropped   %s (serial %" PRIu64 ")", key, serial);
	const struct field fields[] = {
		{ "serial", FIELD_NUMBER, .number = serial },
		{ "key", FIELD_TEXT, key },
	};
	tell(watch, "ItemDropped", fields, G_N_ELEMENTS(fields), text);
	return 0;
}

static int tell_queue(struct watch *watch, sd_bus_message *m)
{
	uint32_t size;
	uint64_t bytes;
	int r;

	r = sd_bus_message_read(m, "ut", &size, &bytes);
	if (r <= 0)
		return r;

	g_autofree char *queue = format_queue(size, bytes);
	g_autofree char *text = g_strdup_printf("queue     %s", queue);
	const struct field fields[] = {
		{ "size", FIELD_NUMBER, .number = size },
		{ "bytes", FIELD_NUMBER, .number = bytes },
	};
	tell(watch, "QueueChanged", fields, G_N_ELEMENTS(fields), text);
	return 0;
}

static void tell_state(struct watch *watch, const char *old_state, const char *state,
		       const char *reason)
{
	g_autofree char *text =
		old_state ? g_strdup_printf("state     %s -> %s (%s)", old_state, state, reason) :
			    g_strdup_printf("state     %s (%s)", state, reason);
	const struct field fields[] = {
		{ "state", FIELD_TEXT, state },
		{ "oldState", FIELD_TEXT, old_state },
		{ "reason", FIELD_TEXT, reason },
	};

	tell(watch, "ConnectionStateChanged", fields, G_N_ELEMENTS(fields), text);
}

static int tell_state_changed(struct watch *watch, sd_bus_message *m)
{
	const char *state, *name, *old_state = "?", *reason = "?";
	int r;

	r = sd_bus_message_read(m, "s", &state);
	if (r > 0)
		r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &name);
		if (r <= 0)
			break;
		if (strcmp(name, "old-state") == 0)
			r = sd_bus_message_read(m, "v", "s", &old_state);
		else if (strcmp(name, "reason") == 0)
			r = sd_bus_message_read(m, "v", "s", &reason);
		else
			r = sd_bus_message_skip(m, "v");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	if (r < 0)
		return r;
	tell_state(watch, old_state, state, reason);
	return 0;
}

/* ---- hearing ---- */

static int on_signal(sd_bus_message *m, void *data, sd_bus_error *error)
{
	static const struct {
		const char *member;
		int (*tell)(struct watch *watch, sd_bus_message *m);
	} table[] = {
		{ "ItemChanged", tell_changed },	{ "ItemRejected", tell_rejected },
		{ "ItemDropped", tell_dropped },	{ "QueueChanged", tell_queue },
		{ "ConnectionStateChanged", tell_state_changed },
	};
	struct watch *watch = data;
	const char *path = sd_bus_message_get_path(m);

	(void)error;
	if (g_strcmp0(sd_bus_message_get_sender(m), watch->owner) != 0)
		return 0;
	if (strcmp(sd_bus_message_get_interface(m), CLIENT_STORAGE) == 0 &&
	    strcmp(path, client_path(watch->client)) != 0)
		return 0;
	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (strcmp(sd_bus_message_get_member(m), table[i].member) == 0)
			return table[i].tell(watch, m);
	return 0;
}

/* ---- subscribing ---- */

static int tell_current_state(struct watch *watch)
{
	g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
	sd_bus *bus = client_bus(watch->client);
	g_autofree char *state = NULL, *reason = NULL;
	int r;

	r = sd_bus_get_property_string(bus, CLIENT_NAME, CLIENT_ROOT, CLIENT_MONITOR, "State",
				       &error, &state);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, CLIENT_NAME, CLIENT_ROOT, CLIENT_MONITOR,
					       "Reason", &error, &reason);
	if (r < 0)
		return sd_bus_error_is_set(&error) ?
			       client_fail_bus(watch->client, &error) :
			       client_fail_reply(watch->client, "State", r);
	tell_state(watch, NULL, state, reason);
	return 0;
}

static int subscribe(struct watch *watch)
{
	int r;

	r = client_reopen(watch->client);
	if (r >= 0)
		r = client_call(watch->client, CLIENT_STORAGE, "Subscribe", 0, NULL, "");
	if (r >= 0)
		r = tell_current_state(watch);
	return r;
}

/* Waiting for replies in here is fine: nothing else needs this program meanwhile, and signals that
 * come with them are queued by the bus library. If the daemon is gone again by then, its next owner
 * is told like this one. */
static int on_owner_changed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct watch *watch = data;
	const char *name, *old_owner, *new_owner;
	int r;

	(void)error;
	r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
	if (r <= 0 || g_strcmp0(watch->owner, new_owner) == 0)
		return r < 0 ? r : 0;

	g_free(watch->owner);
	watch->owner = *new_owner ? g_strdup(new_owner) : NULL;
	if (!watch->owner) {
		tell(watch, "DaemonGone", NULL, 0, "daemon    gone");
		return 0;
	}
	tell(watch, "DaemonBack", NULL, 0, "daemon    back (changes meanwhile were not seen)");
	r = subscribe(watch);
	if (r < 0 && client_exit_status(watch->client) != CLIENT_EXIT_ABSENT) {
		watch->result = r;
		return sd_event_exit(watch->event, 0);
	}
	return 0;
}

static int on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct watch *watch = data;

	(void)source;
	(void)info;
	watch->result = 0;
	return sd_event_exit(watch->event, 0);
}

static int find_owner(struct watch *watch)
{
	g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
	g_autoptr(sd_bus_message) reply = NULL;
	const char *owner;
	int r;

	r = sd_bus_call_method(client_bus(watch->client), "org.freedesktop.DBus",
			       "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner",
			       &error, &reply, "s", CLIENT_NAME);
	if (r < 0)
		return client_fail_bus(watch->client, &error);
	r = sd_bus_message_read(reply, "s", &owner);
	if (r <= 0)
		return client_fail_reply(watch->client, "GetNameOwner", r);
	watch->owner = g_strdup(owner);
	return 0;
}

static int listen_to_bus(struct watch *watch)
{
	sd_bus *bus = client_bus(watch->client);
	int r;

	r = sd_bus_match_signal(bus, NULL, CLIENT_NAME, NULL, CLIENT_STORAGE, NULL, on_signal,
				watch);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, CLIENT_NAME, CLIENT_ROOT, CLIENT_MONITOR, NULL,
					on_signal, watch);
	if (r >= 0)
		r = sd_bus_add_match(bus, NULL,
				     "type='signal',sender='org.freedesktop.DBus',"
				     "path='/org/freedesktop/DBus',"
				     "interface='org.freedesktop.DBus',"
				     "member='NameOwnerChanged',arg0='" CLIENT_NAME "'",
				     on_owner_changed, watch);
	return r;
}

static int set_up_loop(struct watch *watch)
{
	sd_bus *bus = client_bus(watch->client);
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL); /* as sd_event_add_signal(3) wants it */

	r = sd_event_new(&watch->event);
	if (r >= 0)
		r = sd_event_add_signal(watch->event, NULL, SIGINT, on_interrupt, watch);
	if (r >= 0)
		r = sd_event_add_signal(watch->event, NULL, SIGTERM, on_interrupt, watch);
	if (r >= 0)
		r = sd_bus_attach_event(bus, watch->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_set_exit_on_disconnect(bus, true);
	if (r >= 0)
		r = listen_to_bus(watch);
	return r < 0 ? client_fail(watch->client, "cannot listen to the bus: %s", g_strerror(-r)) :
		       0;
}

int watch_run(struct client *client, const struct options *options)
{
	struct watch watch = { .client = client, .mode = options->mode };
	int r;

	/* A call first: it starts a daemon that the bus can start, and fails where there is none. */
	r = client_call(client, CLIENT_STORAGE, "Subscribe", 0, NULL, "");
	if (r >= 0)
		r = set_up_loop(&watch);
	if (r >= 0)
		r = find_owner(&watch);
	if (r >= 0)
		r = subscribe(&watch);
	if (r >= 0) {
		watch.result =
			client_fail_absent(client, "the connection to the bus was lost");
		r = sd_event_loop(watch.event);
		r = r < 0 ? client_fail(client, "cannot wait: %s", g_strerror(-r)) : watch.result;
	}
	sd_bus_detach_event(client_bus(client));
	sd_event_unref(watch.event);
	g_free(watch.owner);
	return r;
}
