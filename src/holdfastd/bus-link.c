/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opening, losing and reopening the bus. The name is asked for after the objects are there, and
 * given back before storage stops: so a call either finds everything or goes to whoever has the
 * name next, and none falls between.
 */

#include <errno.h>
#include <gio/gio.h>
#include <glib.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

#include "base/clock.h"
#include "base/log-message.h"
#include "base/log.h"
#include "base/util.h"
#include "bus/bus-source.h"
#include "bus/bus.h"
#include "bus/names.h"
#include "core/backoff.h"
#include "holdfastd/bus-link.h"

#define SYSTEM_BUS_ADDRESS   "unix:path=/run/dbus/system_bus_socket"
#define REOPEN_INITIAL_DELAY (100 * USEC_PER_MSEC)
#define REOPEN_MAX_DELAY     (5 * USEC_PER_SEC)
#define LAST_WORDS_TIME	     (1 * USEC_PER_SEC) /* what a bus that does not read can cost a stop */

struct bus_link {
	struct bus_link_params params;
	sd_bus *bus; /* NULL: not connected */
	GSource *source;
	struct bus *objects;
	sd_bus_slot *name; /* the request for it, or its release */
	struct timer reopen;
	struct timer release;
	unsigned int attempts; /* since the name was last ours */
	bool was_up;
	bool leaving;		      /* the name was given back, or will be: nothing reopens */
	void (*released)(void *data); /* NULL: not being released */
	void *released_data;
};

static void close_bus(struct bus_link *link)
{
	if (link->source) {
		g_source_destroy(link->source);
		g_source_unref(link->source);
		link->source = NULL;
	}
	link->name = sd_bus_slot_unref(link->name);
	link->objects = bus_free(link->objects);
	sd_bus_close(link->bus);
	link->bus = sd_bus_unref(link->bus);
}

static void finish_release(void *data)
{
	struct bus_link *link = data;
	void (*released)(void *) = link->released;

	if (!released)
		return;
	link->released = NULL;
	timer_disarm(&link->release);
	link->name = sd_bus_slot_unref(link->name);
	released(link->released_data);
}

/* The bus is gone, or will not have us; @why: a sentence without its stop. */
static void link_down(struct bus_link *link, const char *why)
{
	uint64_t delay;

	close_bus(link);
	if (link->leaving) {
		finish_release(link);
		return;
	}
	if (link->params.system || !link->was_up) {
		log_event(LOG_ERR, link->was_up ? LOG_MESSAGE_BUS_LOST : NULL,
			  LOG_FIELDS(log_text("HOLDFAST_REASON", why)),
			  "Cannot be on the %s bus: %s", link->params.system ? "system" : "user",
			  why);
		link->params.ops->failed(link->params.data);
		return;
	}
	delay = backoff_jitter(link->params.rand, REOPEN_INITIAL_DELAY, REOPEN_MAX_DELAY,
			       link->attempts);
	if (link->attempts++ == 0)
		log_event(LOG_WARNING, LOG_MESSAGE_BUS_LOST, LOG_FIELDS(log_text("HOLDFAST_REASON", why)),
			  "The user bus is gone: %s; what is queued is still sent", why);
	timer_arm_in(&link->reopen, delay);
}

static void on_lost(void *data, int error)
{
	link_down(data, g_strerror(-error));
}

static void on_up(struct bus_link *link)
{
	if (link->was_up)
		log_event(LOG_NOTICE, LOG_MESSAGE_BUS_RESTORED, NULL, "On the bus again as %s",
			  BUS_NAME);
	link->was_up = true;
	link->attempts = 0;
	link->params.ops->up(link->params.data);
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_link *link = userdata;
	const sd_bus_error *refused = sd_bus_message_get_error(m);
	uint32_t answer = 0;

	(void)error;
	link->name = sd_bus_slot_unref(link->name);
	if (refused) {
		link_down(link, refused->message ? refused->message : refused->name);
		return 0;
	}
	/* The answers of RequestName: 1 it is ours, 4 it was already; 3 another has it. */
	if (sd_bus_message_read(m, "u", &answer) > 0 && (answer == 1 || answer == 4))
		on_up(link);
	else
		link_down(link, "another holdfastd has the name " BUS_NAME);
	return 0;
}

/* Where sd_bus_open_system() and sd_bus_open_user() look. Return: NULL: nowhere. */
static char *bus_address(bool system)
{
	const char *address = secure_getenv(system ? "DBUS_SYSTEM_BUS_ADDRESS" :
						     "DBUS_SESSION_BUS_ADDRESS");
	g_autofree char *directory = NULL;

	if (address)
		return g_strdup(address);
	if (system)
		return g_strdup(SYSTEM_BUS_ADDRESS);
	address = secure_getenv("XDG_RUNTIME_DIR");
	if (!address)
		return NULL;
	directory = g_dbus_address_escape_value(address);
	return g_strdup_printf("unix:path=%s/bus", directory);
}

/* A call that waits keeps its message, and a message the files sent along with it: a few callers
 * could take all the descriptors we may have. No method wants any, so the bus is to refuse such a
 * message itself; that can be said only before the connection is begun. */
static int connect_bus(bool system, sd_bus **ret_bus)
{
	g_autofree char *address = bus_address(system);
	sd_bus *bus = NULL;
	int r;

	if (!address)
		return -ENOMEDIUM;
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_description(bus, "holdfastd");
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_negotiate_fds(bus, false);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		sd_bus_unref(bus);
	else
		*ret_bus = bus;
	return r;
}

static int open_bus(struct bus_link *link)
{
	const struct bus_link_params *params = &link->params;
	struct bus_params objects = {
		.system = params->system,
		.clock = params->clock,
		.storage = params->storage,
		.config = params->config,
		.ops = &params->ops->manager,
		.data = params->data,
	};
	int r;

	r = connect_bus(params->system, &link->bus);
	if (r < 0)
		return r;
	objects.bus = link->bus;
	r = bus_new(&objects, &link->objects);
	if (r < 0)
		return r;
	/* Without SD_BUS_NAME_QUEUE: two daemons with one name would be two truths. */
	r = sd_bus_request_name_async(link->bus, &link->name, BUS_NAME, 0, on_name, link);
	if (r < 0)
		return r;
	link->source = bus_source_new(link->bus, on_lost, link);
	g_source_attach(link->source, NULL);
	return 0;
}

void bus_link_open(struct bus_link *link)
{
	int r;

	r = open_bus(link);
	if (r < 0)
		link_down(link, g_strerror(-r));
}

static void on_reopen(void *data)
{
	bus_link_open(data);
}

static int on_released(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)m;
	(void)error;
	finish_release(userdata);
	return 0;
}

void bus_link_release(struct bus_link *link, void (*done)(void *data), void *data)
{
	link->leaving = true;
	link->released = done;
	link->released_data = data;
	timer_disarm(&link->reopen);
	link->name = sd_bus_slot_unref(link->name);
	if (!link->bus ||
	    sd_bus_release_name_async(link->bus, &link->name, BUS_NAME, on_released, link) < 0) {
		finish_release(link);
		return;
	}
	timer_arm_in(&link->release, LAST_WORDS_TIME);
}

void bus_link_withdraw(struct bus_link *link)
{
	link->objects = bus_free(link->objects);
}

void bus_link_reconfigured(struct bus_link *link)
{
	if (link->objects)
		bus_reconfigured(link->objects);
}

struct bus_link *bus_link_new(const struct bus_link_params *params)
{
	struct bus_link *link = g_new0(struct bus_link, 1);

	link->params = *params;
	timer_init(&link->reopen, params->clock, on_reopen, link);
	timer_init(&link->release, params->clock, finish_release, link);
	return link;
}

/* Answers may still wait for the bus to read; objects are gone, so nothing new is answered. */
static void send_last_words(struct bus_link *link)
{
	uint64_t now = clock_monotonic(link->params.clock);
	uint64_t deadline = now + LAST_WORDS_TIME;
	uint64_t queued;
	int r = 0;

	while (r >= 0 && now < deadline && sd_bus_get_n_queued_write(link->bus, &queued) >= 0 &&
	       queued > 0) {
		r = sd_bus_process(link->bus, NULL);
		if (r == 0)
			r = sd_bus_wait(link->bus, deadline - now);
		now = clock_monotonic(link->params.clock);
	}
}

struct bus_link *bus_link_free(struct bus_link *link)
{
	if (!link)
		return NULL;

	timer_deinit(&link->reopen);
	timer_deinit(&link->release);
	bus_link_withdraw(link);
	if (link->bus)
		send_last_words(link);
	close_bus(link);
	g_free(link);
	return NULL;
}
