/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Everything we are on one connection: its callers, subscriptions and objects. Made when a
 * connection is opened, freed when it ends; calls under way are then orphans (call.h).
 */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "bus/bus-manager.h"

struct bus;
struct clock;
struct config;
struct storage;

struct bus_params {
	sd_bus *bus;
	bool system; /* of many users, each with areas of their own */
	struct clock *clock;
	struct storage *storage;
	const struct config *config; /* may change; bus_reconfigured() then */
	const struct bus_manager_ops *ops;
	void *data; /* of @ops */
};

/** bus_new() - put the objects on the connection. Everything in @params is borrowed. Return: 0 or a
 * negative errno. */
int bus_new(const struct bus_params *params, struct bus **ret_bus);

/** bus_free() - take them off. Return: NULL. */
struct bus *bus_free(struct bus *bus);

/** bus_reconfigured() - tell that the configuration changed. */
void bus_reconfigured(struct bus *bus);

/**
 * bus_introspect() - what clients see of BUS_PATH, from the same tables, without a bus.
 * @ret_xml: D-Bus introspection data, to be released with g_free()
 *
 * Return: 0 or a negative errno.
 */
int bus_introspect(char **ret_xml);
