/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Many clients at once, in one process: every call is answered, right and in time.
 */

#include <stdbool.h>
#include <stdint.h>

struct actor;
struct crowd;

/** crowd_size() - how many actors there are. crowd_actor() - one of them. */
unsigned int crowd_size(const struct crowd *crowd);
struct actor *crowd_actor(const struct crowd *crowd, unsigned int id);

/**
 * crowd_note_shared() - a write to a shared key was answered.
 * @serial: the answer
 * Return: whether nobody had this serial before
 */
bool crowd_note_shared(struct crowd *crowd, uint64_t serial, unsigned int actor, unsigned int key,
		       uint32_t version);

/**
 * crowd_main() - run a crowd as the options say; see main.c.
 * Return: an exit status
 */
int crowd_main(char **args);
