/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Between a socket and TLS: a stream that notes how the peer's first answer begins. GIO tells with
 * the same error that a peer does not speak TLS and that it hung up in the middle of it, and for
 * who has to mend it these are different things.
 */

#include <gio/gio.h>

enum tap_heard {
	TAP_NOTHING,	 /* no byte came */
	TAP_OTHER,	 /* not the begin of a TLS record */
	TAP_TLS,	 /* the begin of one */
	TAP_TLS_THEN_END /* likewise, and then the peer hung up */
};

/** tap_new() - @connection: a reference is taken; closing the tap closes it. Return: to be unref'd. */
GIOStream *tap_new(GSocketConnection *connection);

/** tap_heard() - @tap: of tap_new(), with no operation under way. */
enum tap_heard tap_heard(GIOStream *tap);
