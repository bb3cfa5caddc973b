/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The callers of a connection, in a hash by unique name: one lookup per call.
 *
 * sd_bus_track is not used, as adding a name to one asks the bus for its owner and blocks for the
 * answer. One match on names that lose their owner serves all callers instead. It cannot miss one:
 * the bus delivers a client's last call before the news that the client went.
 *
 * A caller that does not read its answers makes the bus stop reading from us, so that answers pile
 * up here. Calls are then refused until the pile is gone, with a small error instead of a large
 * answer; libsystemd bounds the number of those.
 */

#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "bus/caller.h"
#include "core/limits.h"

struct caller {
	struct callers *callers;
	struct caller_tie ties; /* head of a ring */
	unsigned int calls;	/* unanswered */
	char name[];
};

struct callers {
	sd_bus *bus; /* borrowed */
	sd_bus_slot *vanished;
	GHashTable *by_name; /* char * within the caller → struct caller */
	uint64_t backlog;    /* bytes answered since our queue to the bus was last empty */
};

static void caller_free(void *data)
{
	struct caller *caller = data;
	struct caller_tie *tie;

	while ((tie = caller->ties.next) != &caller->ties) {
		caller_untie(tie);
		tie->gone(tie);
	}
	g_free(caller);
}

static int on_vanished(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct callers *callers = data;
	const char *name;

	(void)error;
	if (sd_bus_message_read(message, "s", &name) > 0)
		g_hash_table_remove(callers->by_name, name);
	return 0;
}

int callers_new(sd_bus *bus, struct callers **ret_callers)
{
	struct callers *callers = g_new0(struct callers, 1);
	int r;

	callers->bus = bus;
	callers->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, caller_free);
	/* Without a handler of its own for the answer, a refused match ends the connection. */
	r = sd_bus_add_match_async(bus, &callers->vanished,
				   "type='signal',sender='org.freedesktop.DBus',"
				   "path='/org/freedesktop/DBus',"
				   "interface='org.freedesktop.DBus',"
				   "member='NameOwnerChanged',arg2=''",
				   on_vanished, NULL, callers);
	if (r < 0) {
		callers_free(callers);
		return r;
	}
	*ret_callers = callers;
	return 0;
}

struct callers *callers_free(struct callers *callers)
{
	if (!callers)
		return NULL;

	sd_bus_slot_unref(callers->vanished);
	g_hash_table_unref(callers->by_name);
	g_free(callers);
	return NULL;
}

struct caller *callers_get(struct callers *callers, sd_bus_message *message)
{
	const char *name = sd_bus_message_get_sender(message);
	struct caller *caller;
	size_t size;

	if (!name)
		name = ""; /* a connection without a bus has one peer */
	caller = g_hash_table_lookup(callers->by_name, name);
	if (caller)
		return caller;

	size = strlen(name) + 1;
	caller = g_malloc0(sizeof(*caller) + size);
	caller->callers = callers;
	caller->ties.prev = caller->ties.next = &caller->ties;
	memcpy(caller->name, name, size);
	g_hash_table_insert(callers->by_name, caller->name, caller);
	return caller;
}

const char *caller_name(const struct caller *caller)
{
	return caller->name;
}

void caller_tie(struct caller *caller, struct caller_tie *tie, void (*gone)(struct caller_tie *tie))
{
	tie->caller = caller;
	tie->gone = gone;
	tie->next = &caller->ties;
	tie->prev = caller->ties.prev;
	tie->prev->next = tie;
	tie->next->prev = tie;
}

void caller_untie(struct caller_tie *tie)
{
	if (!tie->caller)
		return;

	tie->prev->next = tie->next;
	tie->next->prev = tie->prev;
	tie->prev = tie->next = NULL;
	tie->caller = NULL;
}

/* Whether answers that the bus has not taken hold more memory than we grant. */
static bool callers_congested(struct callers *callers)
{
	uint64_t queued;

	if (sd_bus_get_n_queued_write(callers->bus, &queued) < 0 || queued == 0)
		callers->backlog = 0;
	return callers->backlog > LIMIT_BACKLOG_BYTES;
}

bool caller_begin_call(struct caller *caller)
{
	if (caller->calls >= LIMIT_CALLS_PER_CALLER || callers_congested(caller->callers))
		return false;
	caller->calls++;
	return true;
}

void caller_end_call(struct caller *caller, size_t bytes)
{
	caller->calls--;
	caller->callers->backlog += bytes;
}
