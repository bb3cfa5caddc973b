/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One direction of a connection: bytes that came from one side and go on to the other, late,
 * slowly, in crumbs, with something added, or never. It does no I/O: whoever has the sockets pushes
 * what was read and takes what may be written. Times are CLOCK_MONOTONIC in usec.
 *
 * What it holds is bounded: it says how much it has room for, and what is added to it has a bound
 * of its own.
 */

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_BYTES     (256 * 1024) /* read and not yet written, per direction */
#define FLOW_ADD_BYTES (128 * 1024) /* added and not yet written, per direction */
#define FLOW_NEVER     UINT64_MAX

enum flow_hole {
	FLOW_OPEN,
	FLOW_STOPPED,	 /* nothing is read and nothing written; it goes on when opened again */
	FLOW_SWALLOWING, /* what comes is read and thrown away, what is held stays */
};

/* What is wrong with a direction; all 0: nothing. Shared by all flows of a direction. */
struct flow_faults {
	enum flow_hole hole;
	uint64_t rate;	       /* bytes/s; 0: as fast as it goes */
	uint64_t delay;	       /* usec that each byte is held at least … */
	uint64_t jitter;       /* … and this much longer at most; the order stays */
	unsigned int dribble;  /* at most so many bytes at a time, a time each ms; 0: all there is */
};

/* What happened, over all flows of a direction. */
struct flow_count {
	uint64_t passed;    /* bytes of the peer that went on */
	uint64_t swallowed; /* bytes of the peer that did not */
	uint64_t added;	    /* bytes that the peer never sent */
	uint64_t held_most; /* bytes in memory at a time, in one flow */
};

struct flow;

/** flow_new() - all three are borrowed and outlive it; @faults may change at any time. */
struct flow *flow_new(const struct flow_faults *faults, struct flow_count *count, GRand *rand);
struct flow *flow_free(struct flow *flow);

/** flow_room() - how many bytes may be pushed now; 0: do not read. */
size_t flow_room(const struct flow *flow);

/** flow_push() - @data was read. */
void flow_push(struct flow *flow, uint64_t now, const char *data, size_t len);

/**
 * flow_add() - send bytes that the peer did not.
 * @at_line: not in the middle of a line of the peer's: at the end of the one that passes
 *
 * Return: false where they do not fit the bound; then nothing was added.
 */
bool flow_add(struct flow *flow, uint64_t now, const char *data, size_t len, bool at_line);

/** flow_add_filler() - as flow_add() in the middle of whatever passes, with @len times 'x'. */
void flow_add_filler(struct flow *flow, uint64_t now, uint64_t len);

/**
 * flow_ready() - what may be written now.
 * @ret_data: borrowed until the next call
 *
 * Return: its length, 0: nothing.
 */
size_t flow_ready(struct flow *flow, uint64_t now, const char **ret_data);

/** flow_taken() - @len bytes of what was ready were written. */
void flow_taken(struct flow *flow, uint64_t now, size_t len);

/** flow_deadline() - when flow_ready() will have more than now; FLOW_NEVER: not by itself. */
uint64_t flow_deadline(struct flow *flow, uint64_t now);

/** flow_is_empty() - whether all that came has gone on. */
bool flow_is_empty(const struct flow *flow);
