/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Something that happened, in words and as fields: a signal of the daemon, or what this program
 * saw of the daemon itself.
 */

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "holdfastctl/output.h"

#define EVENT_MAX_FIELDS 8

struct event {
	const char *name;	/* the signal's, or a word of ours: DaemonGone, DaemonBack, … */
	uint64_t time;		/* usec of CLOCK_REALTIME when it was heard of */
	struct field fields[EVENT_MAX_FIELDS];	/* texts borrowed from the message */
	size_t n_fields;
	char *text;		/* the line for a person, as it came: not yet cleaned */
};

/** event_init() - an event of our own, without fields. @text is taken over. */
void event_init(struct event *event, const char *name, char *text);
void event_deinit(struct event *event);

/**
 * event_read() - an event of a signal of Storage or Monitor. It lives no longer than @m.
 *
 * Return: 1, and the event is to be deinitialized; 0 where the signal is not known here, or a
 * negative errno where it cannot be read: then there is no event.
 */
int event_read(struct event *event, sd_bus_message *m);

/** event_init_state() - how the line is. @old_state: NULL where it did not change now */
void event_init_state(struct event *event, const char *old_state, const char *state,
		      const char *reason);

/**
 * event_print() - print it on standard output, and flush: the reader of a pipe wants it now.
 *
 * Return: 0, or a negative errno where it cannot be written.
 */
int event_print(const struct event *event, enum output_mode mode);
