/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One call of an actor: what it asks, and what the answer must be.
 */

#include "actor.h"

struct shot {
	struct actor *actor;
	const struct shot_kind *kind;
	uint64_t number;	/* of the actor's calls, from 1 */
	uint64_t sent_at;	/* usec */
	unsigned int key;
	uint32_t version;	/* written by it, or newest own one that a read must show */
	uint32_t own[OWN_KEYS]; /* the own area as of the calls sent before */
	unsigned int changes;	/* how many changes those made */
};

struct shot_kind {
	const char *name;
	unsigned int weight; /* of how often it is chosen */
	/* The message; changes what the actor knows as the call will. */
	sd_bus_message *(*make)(struct shot *shot);
	/* Judges an answer that is no error. NULL: it must be an error. */
	void (*judge)(struct shot *shot, sd_bus_message *reply);
	/* The error it must answer with; NULL: none, unless judge_error says otherwise. */
	const char *error;
	/* Whether an error of this name is right. NULL: see error. */
	bool (*judge_error)(const struct shot *shot, const char *name);
	/* dbus-daemon takes 2 KiB of each client in turn, so that among hundreds of them a message
	 * of 1 MiB is on its way for seconds: no fault of who answers. */
	bool large;
};

/** shot_choose() - a kind, by the actor's dice and the weights. */
const struct shot_kind *shot_choose(struct actor *actor);

/** shot_fail() - the answer is wrong; ends the program and says where. */
G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN
void shot_fail(const struct shot *shot, const char *format, ...);

/** shot_judge() - look at an answer; ends the program if it is wrong. */
void shot_judge(struct shot *shot, sd_bus_message *reply);
