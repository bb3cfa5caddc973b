/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Signals that the bus may still refuse; see dispatch.h.
 *
 * The bus reads what we send in order, and what it says about it comes in that order, too. So when
 * it answers a call, whatever it had to say about the signals before that call has come. Every
 * so many signals it is asked something, and its answer is when they are forgotten. There is one
 * such question at a time: a burst, however long, takes a handful.
 */

#include <glib.h>
#include <stddef.h>

#include "bus/dispatch.h"
#include "core/limits.h"

/* Signals remembered over which the bus is asked: 16 KiB, and a thousandth more of messages. */
#define ASK_OVER 1024

struct dispatch {
	sd_bus *bus;	      /* borrowed */
	GArray *sent;	      /* struct sent, oldest first; cookies rise */
	sd_bus_slot *asked;   /* NULL: no question is unanswered */
	unsigned int covered; /* signals, the oldest ones, that went out before that question */
};

struct sent {
	uint64_t cookie;
	uint64_t who;
};

static GArray *sent_new(void)
{
	return g_array_new(FALSE, FALSE, sizeof(struct sent));
}

struct dispatch *dispatch_new(sd_bus *bus)
{
	struct dispatch *dispatch = g_new0(struct dispatch, 1);

	dispatch->bus = bus;
	dispatch->sent = sent_new();
	return dispatch;
}

struct dispatch *dispatch_free(struct dispatch *dispatch)
{
	if (!dispatch)
		return NULL;

	sd_bus_slot_unref(dispatch->asked);
	g_array_unref(dispatch->sent);
	g_free(dispatch);
	return NULL;
}

bool dispatch_is_full(const struct dispatch *dispatch)
{
	return dispatch->sent->len >= LIMIT_UNSURE_SIGNALS;
}

static void dispatch_ask(struct dispatch *dispatch);

/* Forget the @n oldest; in an array of its own, as one keeps the memory of its longest day. */
static void dispatch_forget(struct dispatch *dispatch, unsigned int n)
{
	GArray *left = sent_new();

	g_array_append_vals(left, &g_array_index(dispatch->sent, struct sent, n),
			    dispatch->sent->len - n);
	g_array_unref(dispatch->sent);
	dispatch->sent = left;
}

/* An error is an answer, too: the call has no time limit, so it is the bus that says it, or the
 * connection is gone. */
static int on_answer(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct dispatch *dispatch = data;

	(void)message;
	(void)error;
	dispatch->asked = sd_bus_slot_unref(dispatch->asked);
	dispatch_forget(dispatch, dispatch->covered);
	dispatch_ask(dispatch);
	return 1;
}

static void dispatch_ask(struct dispatch *dispatch)
{
	sd_bus_message *question = NULL;
	int r;

	if (dispatch->asked || dispatch->sent->len < ASK_OVER)
		return;
	r = sd_bus_message_new_method_call(dispatch->bus, &question, "org.freedesktop.DBus",
					   "/org/freedesktop/DBus", "org.freedesktop.DBus",
					   "GetId");
	if (r >= 0)
		r = sd_bus_call_async(dispatch->bus, &dispatch->asked, question, on_answer,
				      dispatch, UINT64_MAX);
	sd_bus_message_unref(question);
	/* Where it could not be asked it will be with the next signal. */
	if (r >= 0)
		dispatch->covered = dispatch->sent->len;
}

void dispatch_note(struct dispatch *dispatch, sd_bus_message *signal, uint64_t who)
{
	struct sent sent = { .who = who };

	if (sd_bus_message_get_cookie(signal, &sent.cookie) < 0)
		return;
	g_array_append_val(dispatch->sent, sent);
	dispatch_ask(dispatch);
}

static int sent_compare(const void *a, const void *b)
{
	const struct sent *x = a, *y = b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

uint64_t dispatch_find(const struct dispatch *dispatch, uint64_t cookie)
{
	const struct sent wanted = { .cookie = cookie };
	unsigned int place;

	if (!g_array_binary_search(dispatch->sent, &wanted, sent_compare, &place))
		return 0;
	return g_array_index(dispatch->sent, struct sent, place).who;
}
