/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A method call that is answered later, exactly once. It holds the message, whose strings so live
 * as long as the call does. A handler makes one, hands it to the engine as the callback's data and
 * returns 1; the callback ends it with one of the functions below, perhaps before the handler
 * returns.
 *
 * When the caller vanishes or the connection ends, the call becomes an orphan: the callback still
 * comes and ends it, and nothing is sent. A wait is cancelled instead.
 */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

struct area_wait;
struct call;
struct callers;

/**
 * call_new() - take on a call.
 * @data: whatever the callback needs besides; see call_data()
 * @error: filled where that is refused
 *
 * Return: 0, or a negative errno to be returned by the handler: the caller has too many.
 */
int call_new(struct callers *callers, sd_bus_message *message, void *data, struct call **ret_call,
	     sd_bus_error *error);

void *call_data(const struct call *call);

/** call_message() - what was asked, to read arguments again. */
sd_bus_message *call_message(const struct call *call);

/** call_set_wait() - @wait ends with the caller. NULL, the wait being over: then @call is not
 * touched. */
void call_set_wait(struct call *call, struct area_wait *wait);

/* ---- ending it ---- */

/**
 * call_reply() - answer.
 * @bytes: about how much the strings of the answer hold
 * @types: as sd_bus_message_append(3)
 */
void call_reply(struct call *call, size_t bytes, const char *types, ...);

/** call_fail() - answer with an error; as bus_error_set(). */
void call_fail(struct call *call, int error, const char *detail);

/** call_done() - answer with nothing, or with an error where @error is not 0: an area_done_t. */
void call_done(void *call, int error, const char *detail);

/**
 * call_start_reply() - an empty answer, to be filled by hand.
 *
 * Return: NULL where nobody waits any more or there is no memory; call_finish_reply() takes it.
 */
sd_bus_message *call_start_reply(struct call *call);

/**
 * call_finish_reply() - send @reply, which is taken over.
 * @r: what filling it came to; where negative, an error goes out instead
 */
void call_finish_reply(struct call *call, sd_bus_message *reply, int r, size_t bytes);
