/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Our connection to the bus, and our name on it. A user bus that goes is waited for: what is
 * queued goes on to the parent meanwhile. A system bus that goes is the end.
 */

#include <glib.h>
#include <stdbool.h>

#include "bus/bus-manager.h"

struct bus_link;
struct clock;
struct config;
struct storage;

struct bus_link_ops {
	/** up - the name is ours, for the first time or again */
	void (*up)(void *data);
	/** failed - we cannot be on the bus, which was logged; may not free the link */
	void (*failed)(void *data);
	struct bus_manager_ops manager;
};

struct bus_link_params {
	bool system;
	struct clock *clock;
	GRand *rand; /* jitter of reconnects */
	struct storage *storage;
	const struct config *config;
	const struct bus_link_ops *ops;
	void *data;
};

/** bus_link_new() - nothing is opened yet. What @params points to is borrowed. */
struct bus_link *bus_link_new(const struct bus_link_params *params);

/** bus_link_free() - send what waits, 1 s at most; close. Return: NULL. */
struct bus_link *bus_link_free(struct bus_link *link);

/** bus_link_open() - connect and ask for the name; ops->up or ops->failed follows. */
void bus_link_open(struct bus_link *link);

/**
 * bus_link_release() - give the name back.
 * @done: no call to the name comes any more; told once, perhaps from within
 */
void bus_link_release(struct bus_link *link, void (*done)(void *data), void *data);

/** bus_link_withdraw() - take our objects off: no call reaches storage any more. Answers already
 * given are still sent, by bus_link_free(). */
void bus_link_withdraw(struct bus_link *link);

/** bus_link_reconfigured() - tell clients that the configuration changed. */
void bus_link_reconfigured(struct bus_link *link);
