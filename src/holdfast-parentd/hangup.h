/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Closing a connection must not wait for its peer. */

#include <gio/gio.h>
#include <stdbool.h>

/**
 * hangup_prepare() - see to it that closing @stream does not block; to be called right before.
 * @clean: no write to it was left half done
 *
 * A TLS connection says goodbye when it is closed, and would wait until the peer's side took that.
 * Where there is no room for it, its socket is shut down first, and it goes without a word.
 */
void hangup_prepare(GIOStream *stream, bool clean);
