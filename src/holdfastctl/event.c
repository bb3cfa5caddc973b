/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What happened; see event.h. */

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "holdfastctl/event.h"
#include "holdfastctl/format.h"

void event_init(struct event *event, const char *name, char *text)
{
	*event = (struct event){
		.name = name,
		.time = (uint64_t)g_get_real_time(),
		.text = text,
	};
}

void event_deinit(struct event *event)
{
	g_free(event->text);
}

static void add_text(struct event *event, const char *name, const char *text)
{
	g_assert(event->n_fields < EVENT_MAX_FIELDS);
	event->fields[event->n_fields++] = (struct field){ name, FIELD_TEXT, text };
}

static void add_number(struct event *event, const char *name, uint64_t number)
{
	g_assert(event->n_fields < EVENT_MAX_FIELDS);
	event->fields[event->n_fields++] = (struct field){ name, FIELD_NUMBER, .number = number };
}

static int read_changed(struct event *event, sd_bus_message *m)
{
	const char *key, *origin;
	int r;

	r = sd_bus_message_read(m, "ss", &key, &origin);
	if (r <= 0)
		return r;
	event_init(event, "ItemChanged", g_strdup_printf("changed   %s (%s)", key, origin));
	add_text(event, "key", key);
	add_text(event, "origin", origin);
	return 1;
}

static int read_rejected(struct event *event, sd_bus_message *m)
{
	const char *key, *error, *message;
	uint64_t serial;
	int r;

	r = sd_bus_message_read(m, "tsss", &serial, &key, &error, &message);
	if (r <= 0)
		return r;
	event_init(event, "ItemRejected",
		   g_strdup_printf("rejected  %s (serial %" PRIu64 "): %s: %s", key, serial, error,
				   message));
	add_number(event, "serial", serial);
	add_text(event, "key", key);
	add_text(event, "error", error);
	add_text(event, "message", message);
	return 1;
}

static int read_dropped(struct event *event, sd_bus_message *m)
{
	const char *key;
	uint64_t serial;
	int r;

	r = sd_bus_message_read(m, "ts", &serial, &key);
	if (r <= 0)
		return r;
	event_init(event, "ItemDropped",
		   g_strdup_printf("dropped   %s (serial %" PRIu64 ")", key, serial));
	add_number(event, "serial", serial);
	add_text(event, "key", key);
	return 1;
}

static int read_queue(struct event *event, sd_bus_message *m)
{
	g_autofree char *queue = NULL;
	uint32_t size;
	uint64_t bytes;
	int r;

	r = sd_bus_message_read(m, "ut", &size, &bytes);
	if (r <= 0)
		return r;
	queue = format_queue(size, bytes);
	event_init(event, "QueueChanged", g_strdup_printf("queue     %s", queue));
	add_number(event, "size", size);
	add_number(event, "bytes", bytes);
	return 1;
}

void event_init_state(struct event *event, const char *old_state, const char *state,
		      const char *reason)
{
	char *text = old_state ? g_strdup_printf("state     %s -> %s (%s)", old_state, state,
						 reason) :
				 g_strdup_printf("state     %s (%s)", state, reason);

	event_init(event, "ConnectionStateChanged", text);
	add_text(event, "state", state);
	add_text(event, "oldState", old_state);
	add_text(event, "reason", reason);
}

/* The two texts among the statistics that the signal brings. */
static int read_state_members(sd_bus_message *m, const char **old_state, const char **reason)
{
	const char *name;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &name);
		if (r <= 0)
			break;
		if (strcmp(name, "old-state") == 0)
			r = sd_bus_message_read(m, "v", "s", old_state);
		else if (strcmp(name, "reason") == 0)
			r = sd_bus_message_read(m, "v", "s", reason);
		else
			r = sd_bus_message_skip(m, "v");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r;
}

static int read_state(struct event *event, sd_bus_message *m)
{
	const char *state, *old_state = "?", *reason = "?";
	int r;

	r = sd_bus_message_read(m, "s", &state);
	if (r > 0)
		r = read_state_members(m, &old_state, &reason);
	if (r < 0)
		return r;
	event_init_state(event, old_state, state, reason);
	return 1;
}

int event_read(struct event *event, sd_bus_message *m)
{
	static const struct {
		const char *member;
		int (*read)(struct event *event, sd_bus_message *m);
	} table[] = {
		{ "ItemChanged", read_changed },
		{ "ItemRejected", read_rejected },
		{ "ItemDropped", read_dropped },
		{ "QueueChanged", read_queue },
		{ "ConnectionStateChanged", read_state },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (strcmp(sd_bus_message_get_member(m), table[i].member) == 0)
			return table[i].read(event, m);
	return 0;
}

/* The first two fields, the event's name and its time, are everyone's. */
static void print_json(const struct event *event, enum output_mode mode)
{
	struct field all[EVENT_MAX_FIELDS + 2] = {
		{ "event", FIELD_TEXT, event->name },
		{ "time", FIELD_TIME, .number = event->time },
	};

	memcpy(all + 2, event->fields, event->n_fields * sizeof(*all));
	output_record(mode, all, event->n_fields + 2);
}

int event_print(const struct event *event, enum output_mode mode)
{
	if (mode == OUTPUT_TEXT) {
		g_autofree char *time = format_time(event->time);
		g_autofree char *clean = format_clean(event->text);

		printf("%s  %s\n", time, clean);
	} else {
		print_json(event, mode);
	}
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno > 0 ? -errno : -EIO;
}
