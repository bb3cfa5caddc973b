/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The proxy: a listener, its links, the tapes of some that are over, and what can be done to them
 * all. What is set (faults, refusing, muteness) holds for the links there are and those to come.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"
#include "link.h"

#define PROXY_LINKS 64 /* at a time; over it the oldest is closed */
#define PROXY_TAPES 8  /* of links that are over */

enum refusal {
	REFUSE_NOBODY,
	REFUSE_ALL,	/* not listening */
	REFUSE_GONE,	/* and the socket's file is away */
};

struct proxy;

/** proxy_new() - listening. Return: 0, or a negative errno. */
int proxy_new(const struct endpoint *listen, const struct endpoint *parent, uint32_t seed,
	      struct proxy **ret);
struct proxy *proxy_free(struct proxy *proxy);

/** proxy_prepare() - append what to poll() for to @fds (struct pollfd). */
void proxy_prepare(struct proxy *proxy, uint64_t now, GArray *fds);
uint64_t proxy_deadline(struct proxy *proxy, uint64_t now);
/** proxy_turn() - @fds: those appended by the last proxy_prepare(), polled. */
void proxy_turn(struct proxy *proxy, uint64_t now, const struct pollfd *fds);

/** proxy_faults() - what is wrong with a direction, to be changed. */
struct flow_faults *proxy_faults(struct proxy *proxy, enum direction direction);

/* Each to all links with two sides. Return: to how many. */
unsigned int proxy_cut(struct proxy *proxy);
unsigned int proxy_reset(struct proxy *proxy);
unsigned int proxy_shut(struct proxy *proxy, enum direction direction);
unsigned int proxy_add(struct proxy *proxy, uint64_t now, enum direction direction,
		       const char *data, size_t len, bool at_line);
unsigned int proxy_add_random(struct proxy *proxy, uint64_t now, enum direction direction,
			      size_t len);
unsigned int proxy_add_filler(struct proxy *proxy, uint64_t now, enum direction direction,
			      uint64_t len);

/**
 * proxy_replay() - send again some lines of what went by.
 * @older: of a link that is over; false: of each link's own
 */
unsigned int proxy_replay(struct proxy *proxy, uint64_t now, enum direction direction, bool older);

/** proxy_replay_anew() - all that a daemon said on a link, to the parent on a connection of its
 * own. Return: 1, or 0 where there is nothing to say or nobody there. */
unsigned int proxy_replay_anew(struct proxy *proxy, uint64_t now, bool older);

/** proxy_refuse() - Return: 0, or a negative errno where listening again failed. */
int proxy_refuse(struct proxy *proxy, enum refusal refusal);

/** proxy_mute() - those that connect are taken and never answered. */
void proxy_mute(struct proxy *proxy, bool mute);

/** proxy_heal() - nothing is wrong any more. Return: as proxy_refuse(). */
int proxy_heal(struct proxy *proxy);

/** proxy_stats() - counters as "name=value name=value". */
void proxy_stats(const struct proxy *proxy, GString *text);
