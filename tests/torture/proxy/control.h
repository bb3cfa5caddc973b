/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Commands to the proxy, a line each, answered with a line each: "ok …" or "error …". DIR is up
 * (to the parent), down or both.
 *
 *	cut				close every connection
 *	reset				the same, so that the peer reads ECONNRESET
 *	shut DIR			half-close: no more in that direction
 *	hole DIR stop|swallow|off	no byte passes, nothing closes
 *	throttle DIR BYTES		a second; 0: off
 *	delay DIR MSEC JITTER		0 0: off
 *	dribble DIR BYTES		1 to so many at a time; 0: off
 *	random DIR BYTES		add random bytes
 *	line DIR TEXT			add a line
 *	filler DIR BYTES		add a line's worth of x without an end
 *	replay DIR this|older		add some lines that went by on this connection, on another
 *	anew this|older			say all of a connection again on a new one to the parent
 *	refuse on|gone|off		do not listen; take the socket's file away, too
 *	mute on|off			take connections and say nothing
 *	heal				all that is set, off
 *	stats				counters
 *
 * The number in "ok N" is how many connections it was done to.
 */

#include <glib.h>
#include <stdint.h>

#include "proxy.h"

/** control_line() - do what @line says; the answer, without newline, goes to @answer. */
void control_line(struct proxy *proxy, uint64_t now, const char *line, GString *answer);
