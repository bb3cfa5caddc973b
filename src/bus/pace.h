/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How fast callers are answered, that one with many calls under way leaves room for the others.
 *
 * Such a caller sends as many calls anew as it gets answers, as fast as they come. The bus serves
 * its clients in turn, but what goes to the daemon and back stands in one queue: somebody who makes
 * one call at a time then waits behind dozens of others' at every place on the way. So while such a
 * caller is about, answers to the ones with many calls under way are put off, and go out at a pace
 * that leaves most of the bus free. Nobody is put off who is alone, or among his like.
 *
 * The work itself is not put off, nor an answer by more than a quarter of a second.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct clock;
struct pace;

/* An answer, embedded in what sends it; every field is the pace's. */
struct pace_entry {
	GList link;
	struct pace *pace; /* NULL: not put off */
	const void *who;
	void (*send)(struct pace_entry *entry);
	uint64_t since; /* monotonic usec */
};

struct pace *pace_new(struct clock *clock);

/** pace_free() - what is put off still must not be there any more. Return: NULL. */
struct pace *pace_free(struct pace *pace);

/**
 * pace_note_call() - a call came.
 * @who: its caller; compared, never touched
 * @under_way: the calls it has not been answered, this one included
 */
void pace_note_call(struct pace *pace, const void *who, unsigned int under_way);

/** pace_note_end() - @who was answered; @under_way: the calls that are left. */
void pace_note_end(struct pace *pace, const void *who, unsigned int under_way);

/**
 * pace_put_off() - an answer is ready; perhaps it is to wait.
 * @under_way: as above
 * @send: called once, later, unless pace_drop() comes first; never from within pace_put_off()
 *
 * Return: whether it is put off. Otherwise it is to be sent now.
 */
bool pace_put_off(struct pace *pace, const void *who, unsigned int under_way,
		  struct pace_entry *entry, void (*send)(struct pace_entry *entry));

/** pace_drop() - nobody wants the answer any more; fine where it is not put off. */
void pace_drop(struct pace_entry *entry);

/** pace_send_all() - whatever is put off, now. */
void pace_send_all(struct pace *pace);
