/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One of a crowd of clients, and what it knows must be true. It has an area of its own, in which a
 * read shows every call that it sent before it, and may show those that it sent between the read and
 * the answer; and it takes part in one that all share, where it knows less.
 *
 * A value tells who wrote it, to which key, as the how-manieth write: "<actor>/<key>/<version>/" and
 * some padding. So each answer can be judged alone.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#define OWN_KEYS    20
#define SHARED_KEYS 10
#define VALUE_SIZE  512

/* What a call does to a key of the own area. */
struct change {
	unsigned int key;
	uint32_t version; /* 0: removed */
};

struct actor {
	struct crowd *crowd;
	unsigned int id;
	sd_bus *bus;
	GRand *rand;
	char *own_name, *own_path, *shared_path;
	uint32_t own[OWN_KEYS];	      /* versions after the calls sent; 0: absent */
	GArray *changes;	      /* struct change, in the order of the calls */
	uint32_t versions;	      /* given out for the own area */
	uint32_t shared_versions;     /* … for the shared one */
	uint32_t shared_acked[SHARED_KEYS]; /* the newest of those that was answered */
	uint32_t *seen;		      /* [other actor][shared key]: the newest version it has read */
	bool reads_shared;	      /* one such read at a time, or "newer" would mean nothing */
	uint64_t serial;	      /* the last one answered, own area */
	uint64_t calls;		      /* sent */
	uint64_t left, under_way;     /* calls not sent yet, and sent without an answer */
};

/**
 * value_text() - what @actor writes to @key (an own or a shared one) as @version.
 * @ret: the text
 */
void value_text(unsigned int actor, const char *key, uint32_t version, char ret[static VALUE_SIZE]);

/**
 * value_parse() - whose text a value is.
 * Return: whether @value is exactly what value_text() makes for @key
 */
bool value_parse(const char *value, const char *key, unsigned int *ret_actor,
		 uint32_t *ret_version);

/** own_key(), shared_key() - the name of a key; valid for the program's life. */
const char *own_key(unsigned int key);
const char *shared_key(unsigned int key);

/**
 * actor_init() - connect and open both areas.
 * @seed: of its choices; the same one makes the same calls
 * @prefix: of the names of the areas
 * @crowd_size: how many actors there are
 */
void actor_init(struct actor *actor, struct crowd *crowd, unsigned int id, uint32_t seed,
		const char *prefix, unsigned int crowd_size);
void actor_deinit(struct actor *actor);

/** actor_change() - the next call makes @key of the own area @version (0: removes it). */
void actor_change(struct actor *actor, unsigned int key, uint32_t version);
