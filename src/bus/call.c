/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deferred answers; see call.h. A call belongs to the engine's callback, which always comes but
 * for a wait: that can last for ever, so the caller's end cancels and frees it.
 */

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/bus-error.h"
#include "bus/call.h"
#include "bus/caller.h"
#include "bus/pace.h"
#include "core/error.h"
#include "core/limits.h"
#include "engine/area.h"

#define DETAIL_NO_ANSWER "The answer could not be made; try again."

struct call {
	struct caller_tie tie; /* not tied: an orphan */
	sd_bus_message *message; /* NULL: its answer is put off */
	void *data;
	struct area_wait *wait; /* NULL: none */
	struct pace_entry put_off; /* while it is, … */
	sd_bus_message *reply;	   /* … this is to be sent */
	size_t bytes;		   /* of its strings */
};

static void call_free(struct call *call)
{
	sd_bus_message_unref(call->message);
	sd_bus_message_unref(call->reply);
	g_free(call);
}

static void call_gone(struct caller_tie *tie)
{
	struct call *call = (struct call *)tie;

	if (call->reply)
		pace_drop(&call->put_off);
	else if (call->wait)
		area_wait_cancel(call->wait);
	else
		return; /* the engine will end it */
	call_free(call);
}

int call_new(struct callers *callers, sd_bus_message *message, void *data, struct call **ret_call,
	     sd_bus_error *error)
{
	struct caller *caller = callers_get(callers, message);
	struct call *call;

	if (!caller_begin_call(caller))
		return bus_error_set(error, HF_LIMITS_EXCEEDED, NULL);

	call = g_new0(struct call, 1);
	call->message = sd_bus_message_ref(message);
	call->data = data;
	caller_tie(caller, &call->tie, call_gone);
	*ret_call = call;
	return 0;
}

void *call_data(const struct call *call)
{
	return call->data;
}

sd_bus_message *call_message(const struct call *call)
{
	return call->message;
}

void call_set_wait(struct call *call, struct area_wait *wait)
{
	if (wait)
		call->wait = wait;
}

/* The answer went out, or nobody wants one. */
static void call_end(struct call *call, int r)
{
	struct caller *caller = call->tie.caller;

	if (caller) {
		caller_untie(&call->tie);
		caller_end_call(caller);
		if (r < 0)
			log_warning("Cannot answer %s to %s: %s",
				    call->message ? sd_bus_message_get_member(call->message) :
						    "a call that waited",
				    caller_name(caller), g_strerror(-r));
	}
	call_free(call);
}

static void call_send(struct pace_entry *entry)
{
	struct call *call = (struct call *)((char *)entry - offsetof(struct call, put_off));
	sd_bus_message *reply = g_steal_pointer(&call->reply);
	bool is_error = sd_bus_message_is_method_error(reply, NULL) > 0;
	int r = sd_bus_send(NULL, reply, NULL);

	if (r >= 0)
		caller_note_sent(call->tie.caller, reply, call->bytes);
	sd_bus_message_unref(reply);
	/* Not the disk's fault, but as little the caller's: it gets an answer all the same. One that
	 * was put off is short, and what the bus does not take then is for want of a bus. */
	if (r < 0 && !is_error && call->message)
		call_fail(call, r, DETAIL_NO_ANSWER);
	else
		call_end(call, r);
}

/* Takes over @reply. @refused: the caller is over its quota. */
static void call_answer(struct call *call, sd_bus_message *reply, size_t bytes, bool refused)
{
	/* The engine is done with it, whatever becomes of the caller. */
	call->wait = NULL;
	call->reply = reply;
	call->bytes = bytes;
	/* What waits is small, but the call may have brought a value as large as they get. */
	if (caller_put_off(call->tie.caller, bytes, refused, &call->put_off, call_send))
		call->message = sd_bus_message_unref(call->message);
	else
		call_send(&call->put_off);
}

/* @detail may be a parent's own words: of any length, and not all of them characters. */
void call_fail(struct call *call, int error, const char *detail)
{
	g_autofree char *sentence = util_make_valid(detail ? detail : bus_error_sentence(error),
						    LIMIT_REASON_BYTES);
	sd_bus_message *reply = NULL;
	int r = 0;

	if (call->tie.caller)
		r = sd_bus_message_new_method_errorf(call->message, &reply, bus_error_name(error),
						     "%s", sentence);
	if (reply)
		call_answer(call, reply, strlen(sentence), error == HF_QUOTA_EXCEEDED);
	else
		call_end(call, r);
}

void call_done(void *data, int error, const char *detail)
{
	struct call *call = data;

	if (error)
		call_fail(call, error, detail);
	else
		call_reply(call, 0, NULL);
}

sd_bus_message *call_start_reply(struct call *call)
{
	sd_bus_message *reply = NULL;

	if (call->tie.caller)
		sd_bus_message_new_method_return(call->message, &reply);
	return reply;
}

void call_finish_reply(struct call *call, sd_bus_message *reply, int r, size_t bytes)
{
	if (r >= 0 && reply) {
		call_answer(call, reply, bytes, false);
		return;
	}
	sd_bus_message_unref(reply);
	if (r == -EINVAL)
		call_fail(call, HF_INVALID_VALUE,
			  "A text in the answer has characters that no message can carry, such as "
			  "U+FFFF; write it anew without them.");
	else
		call_fail(call, r < 0 ? r : -ENOMEM, DETAIL_NO_ANSWER);
}

void call_reply(struct call *call, size_t bytes, const char *types, ...)
{
	sd_bus_message *reply = call_start_reply(call);
	va_list args;
	int r = 0;

	if (reply && types) {
		va_start(args, types);
		r = sd_bus_message_appendv(reply, types, args);
		va_end(args);
	}
	call_finish_reply(call, reply, r, bytes);
}
