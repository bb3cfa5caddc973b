/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The truth about the parent: what each key held, and since when, whoever changed it, losses of the
 * parent included. Every value written in a simulation begins with a number of its own, which is
 * what is kept of it here. It is the judge's, and outlives the parent's stores.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SIM_DAEMONS 2
#define SIM_AREAS   3
#define SIM_KEYS    6

struct truth;

struct truth *truth_new(void);
struct truth *truth_free(struct truth *truth);

/** truth_area(), truth_key() - places of names. */
unsigned int truth_area(const char *name);
unsigned int truth_key(const char *name);
const char *truth_area_name(unsigned int area);

/** truth_id() - the number of a value; 0 of NULL. */
uint64_t truth_id(const char *value);

/** truth_put() - the key holds @id since @now. Return: the version's place, from 1 on, rising. */
uint64_t truth_put(struct truth *truth, unsigned int area, unsigned int key, uint64_t id,
		   uint64_t now);

/** truth_now() - what it holds. */
uint64_t truth_now(const struct truth *truth, unsigned int area, unsigned int key);

/** truth_held() - whether the key held @id in a version at or after place @from, at some time in
 * @since … now. Of what was pruned, that is believed where @since is 0. */
bool truth_held(const struct truth *truth, unsigned int area, unsigned int key, uint64_t id,
		uint64_t from, uint64_t since);

/** truth_place() - the first version at or after place @from in which the key held @id; 0: none. */
uint64_t truth_place(const struct truth *truth, unsigned int area, unsigned int key, uint64_t id,
		     uint64_t from);

/** truth_last() - the place of the newest version. */
uint64_t truth_last(const struct truth *truth, unsigned int area, unsigned int key);

/** truth_prune() - nobody can hold anything but the newest versions any more. */
void truth_prune(struct truth *truth);

/** truth_memory() - bytes of the heap that the versions take. */
uint64_t truth_memory(const struct truth *truth);

/** truth_show() - the newest versions of a key, for a report; to be freed. */
char *truth_show(const struct truth *truth, unsigned int area, unsigned int key);
