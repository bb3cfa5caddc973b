/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tests of channels share: a channel on one end of a socket pair; the test holds the other
 * end as a bare descriptor, and the clock. Nothing waits for time to pass: the loop is turned until
 * something happened or until it has nothing to do.
 */

#include <gio/gio.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/util.h"
#include "wire/channel.h"

#define SECOND UINT64_C(1000000)

struct end_of {
	struct channel *channel;
	struct clock *clock;
	uint64_t now;
	int peer;     /* the other end; -1: closed */
	GString *log; /* what was told, one word each */
	unsigned int lines;
	size_t bytes; /* of lines */
	unsigned int ends;
	enum channel_end end;
	void (*on_line)(struct end_of *e);
	void (*on_sent)(struct end_of *e);
	void (*on_ended)(struct end_of *e);
};

extern const struct clock_ops fake_clock;
extern const struct channel_ops ops;

/** settle() - turn the loop until it has nothing to do; a busy loop fails. Return: the turns. */
unsigned int settle(void);

void peer_write(struct end_of *e, const char *text);

/** peer_write_some() - as much of @len bytes as the socket takes. */
size_t peer_write_some(struct end_of *e, const char *bytes, size_t len);

/** peer_read() - what is there, appended to @into (NULL: dropped). */
size_t peer_read(struct end_of *e, GString *into);

void peer_close(struct end_of *e);

/** advance() - let @usec pass on the clock. */
void advance(struct end_of *e, uint64_t usec);

/** assert_ended() - it was told once, so, and nothing of the channel is left on the loop. */
void assert_ended(struct end_of *e, enum channel_end end);

/** add() - add a test that gets a channel of its own. */
void add(const char *path, void (*test)(struct end_of *e, gconstpointer unused));
