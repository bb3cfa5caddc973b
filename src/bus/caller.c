/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The callers of a connection, in a hash by unique name. A call needs its caller more than once, so
 * the last one found is remembered: one lookup per call.
 *
 * sd_bus_track is not used, as adding a name to one asks the bus for its owner and blocks for the
 * answer. One match on names that lose their owner serves all callers instead. It cannot miss one:
 * the bus delivers a client's last call before the news that the client went.
 *
 * A bus that does not read from us lets answers pile up here. Each caller has a share of that
 * memory: one over it is refused, with a small error instead of a large answer, and the others feel
 * nothing. libsystemd does not tell when a message has left its queue, only how many are in it; but
 * it numbers what it sends (the cookie), so the last number and the length of the queue say which
 * of our messages are still there.
 */

#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "bus/bus-error.h"
#include "bus/caller.h"
#include "bus/identity.h"
#include "bus/pace.h"
#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"

/* What a message takes besides its strings: header, signature, queue. */
#define MESSAGE_OVERHEAD 256

#define DEFAULT_AREA "default"

/* Bytes of an answer that is never put off: what waits takes memory. */
#define LARGE_ANSWER 4096

struct caller {
	struct callers *callers;
	struct caller_tie ties; /* head of a ring */
	unsigned int calls;	/* unanswered */
	unsigned int refs;	/* of the hash, and of each struct sent */
	uint64_t backlog;	/* bytes for it that the bus has not taken */
	bool identified;	/* the bus told of @identity */
	struct identity identity;
	void *home; /* borrowed */
	char name[];
};

struct callers {
	sd_bus *bus; /* borrowed */
	bool system;
	struct pace *pace;
	sd_bus_slot *vanished;
	sd_bus_slot *probe; /* the bus is deaf: it has this to answer before it is waited for again */
	GHashTable *by_name; /* char * within the caller → struct caller */
	struct caller *last; /* the one found last; NULL: look */
	GQueue sent;	     /* struct sent, oldest first: what may still be in our queue */
	uint64_t cookie;     /* of the newest of them */
	uint64_t backlog;    /* bytes of them all */
};

/* A message to a caller that went into our queue to the bus. */
struct sent {
	struct caller *caller;
	uint64_t cookie;
	size_t bytes;
};

static void caller_unref(struct caller *caller)
{
	if (--caller->refs > 0)
		return;
	identity_clear(&caller->identity);
	g_free(caller);
}

static void caller_free(void *data)
{
	struct caller *caller = data;
	struct caller_tie *tie;

	if (caller->callers->last == caller)
		caller->callers->last = NULL;
	while ((tie = caller->ties.next) != &caller->ties) {
		caller_untie(tie);
		tie->gone(tie);
	}
	caller_unref(caller);
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

int callers_new(sd_bus *bus, struct clock *clock, bool system, struct callers **ret_callers)
{
	struct callers *callers = g_new0(struct callers, 1);
	int r;

	callers->bus = bus;
	callers->system = system;
	callers->pace = pace_new(clock);
	g_queue_init(&callers->sent);
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

/* Forget what left the queue, of which @queued messages are left. */
static void callers_forget(struct callers *callers, uint64_t queued)
{
	struct sent *sent;

	/* Each of those behind a message in the queue is in it, too. */
	while ((sent = g_queue_peek_head(&callers->sent)) &&
	       callers->cookie - sent->cookie >= queued) {
		g_queue_pop_head(&callers->sent);
		callers->backlog -= sent->bytes;
		sent->caller->backlog -= sent->bytes;
		caller_unref(sent->caller);
		g_free(sent);
	}
}

struct callers *callers_free(struct callers *callers)
{
	if (!callers)
		return NULL;

	sd_bus_slot_unref(callers->vanished);
	sd_bus_slot_unref(callers->probe);
	/* Without a bus nobody hears them, and they go with their callers. */
	if (sd_bus_is_open(callers->bus) > 0)
		pace_send_all(callers->pace);
	g_hash_table_unref(callers->by_name);
	pace_free(callers->pace);
	callers_forget(callers, 0);
	g_free(callers);
	return NULL;
}

static struct caller *caller_new(struct callers *callers, const char *name)
{
	size_t size = strlen(name) + 1;
	struct caller *caller = g_malloc0(sizeof(*caller) + size);

	caller->callers = callers;
	caller->refs = 1;
	caller->ties.prev = caller->ties.next = &caller->ties;
	memcpy(caller->name, name, size);
	g_hash_table_insert(callers->by_name, caller->name, caller);
	return caller;
}

struct caller *callers_get(struct callers *callers, sd_bus_message *message)
{
	const char *name = sd_bus_message_get_sender(message);
	struct caller *caller = callers->last;

	if (!name)
		name = ""; /* a connection without a bus has one peer */
	if (caller && strcmp(caller->name, name) == 0)
		return caller;
	caller = g_hash_table_lookup(callers->by_name, name);
	callers->last = caller ? caller : caller_new(callers, name);
	return callers->last;
}

bool callers_are_many(const struct callers *callers)
{
	return callers->system;
}

const char *caller_name(const struct caller *caller)
{
	return caller->name;
}

/* ---- what it may ---- */

static int on_heard(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct callers *callers = data;

	(void)message; /* an answer, or that none came in 25 s */
	(void)error;
	callers->probe = sd_bus_slot_unref(callers->probe);
	return 0;
}

/* The bus did not answer in time. A second for each call that is here already would hold the loop
 * up for minutes; so until there is a sign of the bus, whoever is not known yet is denied at once. */
static void callers_probe(struct callers *callers)
{
	sd_bus_call_method_async(callers->bus, &callers->probe, "org.freedesktop.DBus",
				 "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", on_heard,
				 callers, NULL);
}

/* Where the bus does not tell in time this is not the last word: it is asked again when it is back. */
static const struct identity *caller_identity(struct caller *caller)
{
	struct callers *callers = caller->callers;
	int r;

	if (caller->identified || caller->name[0] == '\0' || callers->probe)
		return &caller->identity;
	r = identity_ask(callers->bus, caller->name, &caller->identity);
	caller->identified = r >= 0;
	/* A caller that has left is no news. */
	if (r == -ETIMEDOUT) {
		log_warning("The bus does not tell who %s is; until it does, callers that are not "
			    "known yet are denied: %s", caller->name, g_strerror(-r));
		callers_probe(callers);
	}
	return &caller->identity;
}

static int refuse_unknown(sd_bus_error *error)
{
	return bus_error_set(error, HF_ACCESS_DENIED,
			     "It cannot be told who calls; call from a process that made its "
			     "connection itself and whose /proc entry and cgroup can be read.");
}

/* The owner that the caller's areas have in their full names. */
static int64_t caller_owner(const struct caller *caller)
{
	return caller->callers->system ? (int64_t)caller->identity.uid : -1;
}

/* Whether @name is the app's own, or one below: not just one that starts like it. */
static bool is_of_app(const char *app, const char *name)
{
	size_t n = strlen(app);

	return strncmp(name, app, n) == 0 && (name[n] == '\0' || name[n] == '.');
}

bool caller_is_sandboxed(struct caller *caller)
{
	return caller_identity(caller)->kind == IDENTITY_SANDBOXED;
}

int caller_may_reach(struct caller *caller, const char *full_name, sd_bus_error *error)
{
	const struct identity *identity = caller_identity(caller);
	bool own = full_name && identity->kind != IDENTITY_UNKNOWN &&
		   area_full_name_owner(full_name) == caller_owner(caller);

	switch (identity->kind) {
	case IDENTITY_PLAIN:
		return own;
	case IDENTITY_SANDBOXED:
		if (own && is_of_app(identity->app, area_full_name_own(full_name)))
			return 1;
		/* Whether it exists or not: that, too, is none of the app's business. */
		return bus_error_set(error, HF_ACCESS_DENIED,
				     "An app in a sandbox reaches the area that is named as the "
				     "app, and those named so with a dot and more behind; use one "
				     "of these.");
	case IDENTITY_UNKNOWN:
		break;
	}
	return refuse_unknown(error);
}

int caller_may_look(struct caller *caller, sd_bus_error *error)
{
	switch (caller_identity(caller)->kind) {
	case IDENTITY_PLAIN:
		return 1;
	case IDENTITY_SANDBOXED:
		return bus_error_set(error, HF_ACCESS_DENIED,
				     "An app in a sandbox may use the Monitor, OpenArea and areas "
				     "of its own only; ask from outside of the sandbox.");
	case IDENTITY_UNKNOWN:
		break;
	}
	return refuse_unknown(error);
}

int caller_may_manage(struct caller *caller, sd_bus_error *error)
{
	int r = caller_may_look(caller, error);

	if (r < 0 || caller->identity.uid == 0 || caller->identity.uid == geteuid())
		return r;
	return bus_error_set(error, HF_ACCESS_DENIED,
			     "Only root and the user that holdfastd runs as may do this; call as "
			     "one of them.");
}

int caller_area(struct caller *caller, const char *name, char **ret_full_name, sd_bus_error *error)
{
	const struct identity *identity = caller_identity(caller);

	if (identity->kind == IDENTITY_UNKNOWN)
		return refuse_unknown(error);
	if (!name)
		name = identity->kind == IDENTITY_SANDBOXED ? identity->app : DEFAULT_AREA;
	*ret_full_name = caller->callers->system ?
				 g_strdup_printf("%u/%s", (unsigned int)identity->uid, name) :
				 g_strdup(name);
	return 0;
}

void *caller_home(const struct caller *caller)
{
	return caller->home;
}

void caller_set_home(struct caller *caller, void *home)
{
	caller->home = home;
}

/* ---- what ends with it ---- */

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

/* Return: the messages our queue to the bus holds, with everything else about it up to date. */
static uint64_t callers_update(struct callers *callers)
{
	uint64_t queued;

	if (sd_bus_get_n_queued_write(callers->bus, &queued) < 0)
		queued = 0;
	callers_forget(callers, queued);
	return queued;
}

/* Whether what the bus has not taken for @caller is more than its share. */
static bool caller_congested(struct caller *caller)
{
	struct callers *callers = caller->callers;

	if (caller->backlog == 0)
		return false;
	callers_update(callers);
	return caller->backlog > (callers->backlog > LIMIT_BACKLOG_BYTES ?
					  LIMIT_BULK_REPLY_BYTES :
					  LIMIT_CALLER_BACKLOG_BYTES);
}

bool caller_begin_call(struct caller *caller)
{
	if (caller->calls >= LIMIT_CALLS_PER_CALLER || caller_congested(caller))
		return false;
	caller->calls++;
	pace_note_call(caller->callers->pace, caller, caller->calls);
	return true;
}

void caller_end_call(struct caller *caller)
{
	caller->calls--;
	pace_note_end(caller->callers->pace, caller, caller->calls);
}

bool caller_put_off(struct caller *caller, size_t bytes, bool refused, struct pace_entry *entry,
		    void (*send)(struct pace_entry *entry))
{
	/* Refusals are ready at once, so that their caller never has many calls under way here. */
	unsigned int under_way = refused ? UINT_MAX : caller->calls;

	return bytes <= LARGE_ANSWER &&
	       pace_put_off(caller->callers->pace, caller, under_way, entry, send);
}

void caller_note_sent(struct caller *caller, sd_bus_message *message, size_t bytes)
{
	struct callers *callers = caller->callers;
	struct sent *sent;
	uint64_t cookie;

	/* Where the bus keeps up, which is nearly always, there is nothing to note. */
	if (sd_bus_message_get_cookie(message, &cookie) < 0)
		return;
	callers->cookie = cookie;
	if (callers_update(callers) == 0)
		return;
	sent = g_new(struct sent, 1);
	*sent = (struct sent){ caller, cookie, bytes + MESSAGE_OVERHEAD };
	g_queue_push_tail(&callers->sent, sent);
	caller->refs++;
	caller->backlog += sent->bytes;
	callers->backlog += sent->bytes;
}
