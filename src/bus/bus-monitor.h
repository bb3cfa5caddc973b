/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.holdfast1.Monitor: the state of the line to the parent. Userdata: struct bus_monitor. */

#include <systemd/sd-bus.h>

struct bus_monitor;
struct clock;
struct config;
struct storage;

/** bus_monitor_new() - all arguments are borrowed and outlive it. */
struct bus_monitor *bus_monitor_new(sd_bus *bus, struct clock *clock, struct storage *storage,
				    const struct config *config);
struct bus_monitor *bus_monitor_free(struct bus_monitor *monitor);

/** bus_monitor_reconfigured() - tell that the configuration changed. */
void bus_monitor_reconfigured(struct bus_monitor *monitor);

extern const sd_bus_vtable bus_monitor_vtable[];
