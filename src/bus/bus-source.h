/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A bus connection as a GSource: GLib's loop polls its socket and its time limits, and the source
 * processes what came.
 */

#include <glib.h>
#include <systemd/sd-bus.h>

/** bus_source_lost_t - the connection ended; @error: a negative errno. Told once, last of all. */
typedef void (*bus_source_lost_t)(void *data, int error);

/**
 * bus_source_new() - a source for @bus, of which it holds a reference; not attached yet.
 * @lost: may destroy the source
 *
 * Destroy it before closing the connection: GLib must not poll a closed socket.
 */
GSource *bus_source_new(sd_bus *bus, bus_source_lost_t lost, void *data);
