/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * org.freedesktop.LogControl1(5), for `systemctl service-log-level` and `service-log-target`.
 * Anyone may look; only who may manage the daemon (caller_may_manage()) may set.
 */

#include <glib.h>
#include <systemd/sd-bus.h>

struct callers;

/**
 * bus_log_add() - put the object on the connection.
 * @callers: outlives the slots
 * @slots: of sd_bus_slot; the object is there until its slot goes
 *
 * Return: 0 or a negative errno.
 */
int bus_log_add(sd_bus *bus, struct callers *callers, GPtrArray *slots);
