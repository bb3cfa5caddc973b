/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who calls: one struct caller per unique name, from its first call until the name vanishes from
 * the bus or the connection ends. What must end with the caller (a call under way, a subscription)
 * ties itself to it. What it may reach follows from who it is (identity.h), which is found out at
 * its first call that depends on it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

struct caller;
struct callers;
struct clock;
struct pace_entry;

/* Embedded in what ends with its caller; every field is the caller's. */
struct caller_tie {
	struct caller_tie *prev, *next;
	struct caller *caller; /* NULL: not tied */
	void (*gone)(struct caller_tie *tie);
};

/**
 * callers_new() - the callers on one connection.
 * @system: of many users, so that areas have owners and full names (core/key.h)
 *
 * Return: 0, or a negative errno of the connection.
 */
int callers_new(sd_bus *bus, struct clock *clock, bool system, struct callers **ret_callers);

/** callers_free() - every caller goes, as if it had vanished. Return: NULL. */
struct callers *callers_free(struct callers *callers);

/** callers_get() - who sent @message. */
struct caller *callers_get(struct callers *callers, sd_bus_message *message);

/** callers_are_many() - whether they may be of different users, who must not learn of each other. */
bool callers_are_many(const struct callers *callers);

/** caller_name() - the unique name. */
const char *caller_name(const struct caller *caller);

/* ---- what it may ---- */

/** caller_is_sandboxed() - whether it is known to be in a sandbox. */
bool caller_is_sandboxed(struct caller *caller);

/**
 * caller_may_reach() - whether the caller reaches the area called @full_name, were it there.
 * @full_name: NULL for what is no area's
 *
 * Return: 1 it does; 0 it is to find that there is none; a negative errno with @error filled: it is
 * denied.
 */
int caller_may_reach(struct caller *caller, const char *full_name, sd_bus_error *error);

/**
 * caller_may_look() - whether the caller may have what concerns all areas or the daemon.
 *
 * Return: 1, or a negative errno with @error filled: it is in a sandbox, or not known.
 */
int caller_may_look(struct caller *caller, sd_bus_error *error);

/**
 * caller_may_manage() - whether the caller may tell the daemon what to do: root or the daemon's own
 * user, in no sandbox.
 *
 * Return: 1, or a negative errno with @error filled.
 */
int caller_may_manage(struct caller *caller, sd_bus_error *error);

/**
 * caller_area() - the full name of the area that the caller calls @name.
 * @name: NULL for its default area
 * @ret_full_name: to be released with g_free()
 *
 * Return: 0, or a negative errno with @error filled: it is not known who calls.
 */
int caller_area(struct caller *caller, const char *name, char **ret_full_name, sd_bus_error *error);

/** caller_home() - what caller_set_home() set, and NULL before. */
void *caller_home(const struct caller *caller);

/** caller_set_home() - keep @home, which is borrowed, with the caller. */
void caller_set_home(struct caller *caller, void *home);

/* ---- what ends with it ---- */

/**
 * caller_tie() - call @gone when the caller goes.
 * @gone: @tie is untied already; may free it, and tie or untie others
 */
void caller_tie(struct caller *caller, struct caller_tie *tie,
		void (*gone)(struct caller_tie *tie));

/** caller_untie() - fine when it is not tied. */
void caller_untie(struct caller_tie *tie);

/**
 * caller_begin_call() - count one more unanswered call.
 *
 * Return: false where it has too many, or too much of what was sent to it is still here: not
 * counted.
 */
bool caller_begin_call(struct caller *caller);

/** caller_end_call() - it was answered. */
void caller_end_call(struct caller *caller);

/**
 * caller_put_off() - an answer to the caller is ready; perhaps it is to wait (pace.h).
 * @bytes: about how much its strings hold
 * @refused: it says that the caller's quota is used up
 *
 * Return: whether @send comes later. Otherwise it is to be sent now.
 */
bool caller_put_off(struct caller *caller, size_t bytes, bool refused, struct pace_entry *entry,
		    void (*send)(struct pace_entry *entry));

/**
 * caller_note_sent() - @message was just sent to the caller, whose share of memory it takes up
 * until the bus has it.
 * @bytes: about how much its strings hold
 */
void caller_note_sent(struct caller *caller, sd_bus_message *message, size_t bytes);
