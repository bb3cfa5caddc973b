/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Signals that the bus may still refuse. It takes one from us and says later, by an error, that it
 * could not deliver it; of each it is remembered who it was for, until the bus can have no more to
 * say about it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

struct dispatch;

/** dispatch_new() - nothing was sent yet. @bus: the connection, which outlives it */
struct dispatch *dispatch_new(sd_bus *bus);
struct dispatch *dispatch_free(struct dispatch *dispatch);

/** dispatch_is_full() - LIMIT_UNSURE_SIGNALS are remembered: none may be sent. */
bool dispatch_is_full(const struct dispatch *dispatch);

/** dispatch_note() - @signal was just sent. @who: whom it was for, not 0 */
void dispatch_note(struct dispatch *dispatch, sd_bus_message *signal, uint64_t who);

/** dispatch_find() - whom the signal with this cookie was for. Return: 0 where it was none, or is
 * known to have been delivered. */
uint64_t dispatch_find(const struct dispatch *dispatch, uint64_t cookie);
