/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The face of the connection monitor. ConnectionStateChanged goes out at once, once per real
 * change of state. PropertiesChanged is coalesced: a change sets bits, and one idle source tells
 * what the properties have come to. Counters tell nothing: who wants them asks.
 *
 * Where the bus does not take our messages both wait for it: a timer looks until there is room, and
 * the change from the state last told to the one that it has come to goes out as one.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "bus/bus-monitor.h"
#include "bus/names.h"
#include "core/config.h"
#include "core/limits.h"
#include "engine/monitor.h"
#include "engine/storage.h"

#define ROOM_CHECK (100 * USEC_PER_MSEC) /* so often it is looked whether the bus takes messages */

/* Properties that emit, as bits of the dirty mask. */
enum {
	DIRTY_STATE = 1 << 0,
	DIRTY_REASON = 1 << 1,
	DIRTY_SETTINGS = 1 << 2,
};

struct bus_monitor {
	sd_bus *bus; /* borrowed */
	struct storage *storage;
	struct monitor *monitor;
	const struct config *config;
	GSource *idle; /* NULL: nothing is dirty */
	unsigned int dirty;
	struct timer room; /* armed: what changed waits for the bus */
	bool missed;	   /* a change of state, from this state, too */
	enum monitor_state missed_from;
	uint32_t watch;
};

/* ---- what the statistics say ---- */

static int append_t(sd_bus_message *m, const char *key, uint64_t value)
{
	return sd_bus_message_append(m, "{sv}", key, "t", value);
}

static int append_s(sd_bus_message *m, const char *key, const char *value)
{
	return sd_bus_message_append(m, "{sv}", key, "s", value);
}

/* Room the parent lacks is no error of the line, but what holds the queue up all the same. */
static const char *last_error(const struct bus_monitor *self)
{
	if (storage_parent_is_full(self->storage) && monitor_ready(self->monitor))
		return "capacity: the parent has no room, and refuses what is sent until it has";
	return monitor_last_error(self->monitor);
}

static int append_stats(sd_bus_message *m, const struct bus_monitor *self)
{
	struct monitor_stats stats;
	int r;

	monitor_get_stats(self->monitor, &stats);
	r = append_t(m, "last-ping-time", stats.last_ping_time);
	if (r >= 0)
		r = append_t(m, "last-pong-time", stats.last_pong_time);
	if (r >= 0)
		r = append_t(m, "total-pings", stats.total_pings);
	if (r >= 0)
		r = append_t(m, "total-pongs", stats.total_pongs);
	if (r >= 0)
		r = append_t(m, "average-latency", stats.average_latency);
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "failed-pings", "u", stats.failed_pings);
	if (r >= 0)
		r = append_t(m, "connects", stats.connects);
	if (r >= 0)
		r = append_t(m, "disconnects", stats.disconnects);
	if (r >= 0)
		r = append_t(m, "state-since", stats.state_since);
	if (r >= 0)
		r = append_s(m, "last-error", last_error(self));
	if (r >= 0)
		r = append_s(m, "storage-error", storage_last_error(self->storage));
	return r;
}

/* ---- telling ---- */

static bool congested(sd_bus *bus)
{
	uint64_t queued;

	return sd_bus_get_n_queued_write(bus, &queued) >= 0 && queued > LIMIT_QUEUED_SIGNALS;
}

static int fill_state_changed(sd_bus_message *m, const struct bus_monitor *self,
			      enum monitor_state old_state, enum monitor_state state)
{
	int r;

	r = sd_bus_message_append(m, "s", monitor_state_to_string(state));
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r >= 0)
		r = append_stats(m, self);
	if (r >= 0)
		r = append_s(m, "old-state", monitor_state_to_string(old_state));
	if (r >= 0)
		r = append_s(m, "reason", monitor_reason(self->monitor));
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r;
}

static void emit_state_changed(struct bus_monitor *self, enum monitor_state old_state,
			       enum monitor_state state)
{
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_signal(self->bus, &m, BUS_PATH, BUS_MONITOR,
				      "ConnectionStateChanged");
	if (r >= 0)
		r = fill_state_changed(m, self, old_state, state);
	if (r >= 0)
		r = sd_bus_send(self->bus, m, NULL);
	if (r < 0)
		log_debug("Cannot tell that the state changed: %s", g_strerror(-r));
	sd_bus_message_unref(m);
}

static void emit_properties_changed(struct bus_monitor *self)
{
	unsigned int dirty = self->dirty;
	const char *names[8];
	size_t n = 0;
	int r;

	self->dirty = 0;
	if (dirty & DIRTY_STATE)
		names[n++] = "State";
	if (dirty & DIRTY_REASON)
		names[n++] = "Reason";
	if (dirty & DIRTY_SETTINGS) {
		names[n++] = "HeartbeatInterval";
		names[n++] = "HeartbeatTimeout";
		names[n++] = "MaxFailedPings";
		names[n++] = "AutoRecover";
		names[n++] = "Parent";
	}
	names[n] = NULL;
	r = sd_bus_emit_properties_changed_strv(self->bus, BUS_PATH, BUS_MONITOR, (char **)names);
	if (r < 0)
		log_debug("Cannot tell that properties changed: %s", g_strerror(-r));
}

static void wait_for_room(struct bus_monitor *self)
{
	if (timer_is_armed(&self->room))
		return;
	log_warning("The bus does not take our messages; the state is told when it does");
	timer_arm_in(&self->room, ROOM_CHECK);
}

static void on_room(void *data)
{
	struct bus_monitor *self = data;
	enum monitor_state state = monitor_state(self->monitor);

	if (congested(self->bus)) {
		timer_arm_in(&self->room, ROOM_CHECK);
		return;
	}
	if (self->missed && state != self->missed_from)
		emit_state_changed(self, self->missed_from, state);
	self->missed = false;
	if (self->dirty)
		emit_properties_changed(self);
}

static gboolean on_idle(void *data)
{
	struct bus_monitor *self = data;

	self->idle = NULL;
	if (timer_is_armed(&self->room) || congested(self->bus))
		wait_for_room(self);
	else
		emit_properties_changed(self);
	return G_SOURCE_REMOVE;
}

static void mark(struct bus_monitor *self, unsigned int dirty)
{
	self->dirty |= dirty;
	if (self->idle || timer_is_armed(&self->room))
		return;

	self->idle = g_idle_source_new();
	/* Not the default of idle sources: a busy bus must not hold it back for ever. */
	g_source_set_priority(self->idle, G_PRIORITY_DEFAULT);
	g_source_set_callback(self->idle, on_idle, self, NULL);
	g_source_attach(self->idle, NULL);
	g_source_unref(self->idle); /* the context keeps it until it ran or is destroyed */
}

static void state_changed(struct bus_monitor *self, const struct monitor_event *event)
{
	if (!timer_is_armed(&self->room) && !congested(self->bus)) {
		emit_state_changed(self, event->old_state, event->state);
		return;
	}
	if (!self->missed)
		self->missed_from = event->old_state;
	self->missed = true;
	wait_for_room(self);
}

static void on_event(void *data, const struct monitor_event *event)
{
	struct bus_monitor *self = data;

	if (event->old_state != event->state) {
		state_changed(self, event);
		mark(self, DIRTY_STATE);
	}
	mark(self, DIRTY_REASON);
}

void bus_monitor_reconfigured(struct bus_monitor *self)
{
	mark(self, DIRTY_SETTINGS);
}

/* ---- methods ---- */

static int method_check_connection(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_monitor *self = userdata;

	(void)error;
	monitor_check(self->monitor);
	return sd_bus_reply_method_return(m, NULL);
}

static int method_get_stats(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_monitor *self = userdata;
	sd_bus_message *reply = NULL;
	int r;

	(void)error;
	r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "{sv}");
	if (r >= 0)
		r = append_stats(reply, self);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

/* ---- properties ---- */

/* sd-bus gives every getter the same seven arguments; most need three of them. */
#define GETTER(name)                                                                               \
	static int name(sd_bus *bus G_GNUC_UNUSED, const char *path G_GNUC_UNUSED,                 \
			const char *interface G_GNUC_UNUSED, const char *property G_GNUC_UNUSED,   \
			sd_bus_message *reply, void *userdata, sd_bus_error *error G_GNUC_UNUSED)

GETTER(get_state)
{
	struct bus_monitor *self = userdata;

	return sd_bus_message_append(reply, "s",
				     monitor_state_to_string(monitor_state(self->monitor)));
}

GETTER(get_reason)
{
	struct bus_monitor *self = userdata;

	return sd_bus_message_append(reply, "s", monitor_reason(self->monitor));
}

GETTER(get_parent)
{
	struct bus_monitor *self = userdata;
	/* A path need not be text; but one property that cannot be sent would hide all the others. */
	g_autofree char *address = util_make_valid(storage_parent_address(self->storage), SIZE_MAX);

	return sd_bus_message_append(reply, "s", address);
}

GETTER(get_last_ping_time)
{
	struct bus_monitor *self = userdata;
	struct monitor_stats stats;

	monitor_get_stats(self->monitor, &stats);
	return sd_bus_message_append(reply, "t", stats.last_ping_time);
}

GETTER(get_last_pong_time)
{
	struct bus_monitor *self = userdata;
	struct monitor_stats stats;

	monitor_get_stats(self->monitor, &stats);
	return sd_bus_message_append(reply, "t", stats.last_pong_time);
}

GETTER(get_failed_pings)
{
	struct bus_monitor *self = userdata;
	struct monitor_stats stats;

	monitor_get_stats(self->monitor, &stats);
	return sd_bus_message_append(reply, "u", stats.failed_pings);
}

GETTER(get_total_pings)
{
	struct bus_monitor *self = userdata;
	struct monitor_stats stats;

	monitor_get_stats(self->monitor, &stats);
	return sd_bus_message_append(reply, "t", stats.total_pings);
}

GETTER(get_average_latency)
{
	struct bus_monitor *self = userdata;
	struct monitor_stats stats;

	monitor_get_stats(self->monitor, &stats);
	return sd_bus_message_append(reply, "t", stats.average_latency);
}

GETTER(get_heartbeat_interval)
{
	struct bus_monitor *self = userdata;

	return sd_bus_message_append(reply, "t", self->config->heartbeat_interval);
}

GETTER(get_heartbeat_timeout)
{
	struct bus_monitor *self = userdata;

	return sd_bus_message_append(reply, "t", self->config->heartbeat_timeout);
}

GETTER(get_max_failed_pings)
{
	struct bus_monitor *self = userdata;

	return sd_bus_message_append(reply, "u", self->config->heartbeat_max_failed);
}

GETTER(get_auto_recover)
{
	struct bus_monitor *self = userdata;

	return sd_bus_message_append(reply, "b", self->config->heartbeat_auto_recover);
}

const sd_bus_vtable bus_monitor_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("CheckConnection", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
				method_check_connection, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetStats", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", stats),
				method_get_stats, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL_WITH_ARGS("ConnectionStateChanged", SD_BUS_ARGS("s", state, "a{sv}", stats),
				0),
	SD_BUS_PROPERTY("State", "s", get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Reason", "s", get_reason, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("LastPingTime", "t", get_last_ping_time, 0, 0),
	SD_BUS_PROPERTY("LastPongTime", "t", get_last_pong_time, 0, 0),
	SD_BUS_PROPERTY("FailedPings", "u", get_failed_pings, 0, 0),
	SD_BUS_PROPERTY("TotalPings", "t", get_total_pings, 0, 0),
	SD_BUS_PROPERTY("AverageLatency", "t", get_average_latency, 0, 0),
	SD_BUS_PROPERTY("HeartbeatInterval", "t", get_heartbeat_interval, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("HeartbeatTimeout", "t", get_heartbeat_timeout, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("MaxFailedPings", "u", get_max_failed_pings, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("AutoRecover", "b", get_auto_recover, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Parent", "s", get_parent, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_VTABLE_END,
};

struct bus_monitor *bus_monitor_new(sd_bus *bus, struct clock *clock, struct storage *storage,
				    const struct config *config)
{
	struct bus_monitor *self = g_new0(struct bus_monitor, 1);

	self->bus = bus;
	self->storage = storage;
	self->monitor = storage_monitor(storage);
	self->config = config;
	timer_init(&self->room, clock, on_room, self);
	self->watch = monitor_add_watch(self->monitor, on_event, self);
	return self;
}

struct bus_monitor *bus_monitor_free(struct bus_monitor *self)
{
	if (!self)
		return NULL;

	monitor_remove_watch(self->monitor, self->watch);
	timer_deinit(&self->room);
	if (self->idle)
		g_source_destroy(self->idle);
	g_free(self);
	return NULL;
}
