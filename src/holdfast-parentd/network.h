/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The networks that strangers come from, each with how many of them are here. Nobody is known yet
 * by more than an address, so it is by that that nobody may take the place of all others.
 */

#include <glib.h>

struct network {
	char *name;	      /* as struct peer has it */
	unsigned int members; /* it is forgotten with the last one */
	unsigned int threads; /* members that have one; whoever hands them out counts them */
};

/** networks_new() - Return: name → struct network; with g_hash_table_unref() it ends, empty. */
GHashTable *networks_new(void);

/** networks_join() - one more is here of the one with @name. Return: which is borrowed until … */
struct network *networks_join(GHashTable *networks, const char *name);

/** networks_leave() - … it is gone. */
void networks_leave(GHashTable *networks, struct network *network);

/** networks_members() - how many are here of the one with @name. */
unsigned int networks_members(GHashTable *networks, const char *name);
