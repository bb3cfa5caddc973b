/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What may be written to a terminal, if it is one. */

#include <stdbool.h>

/** terminal_can_draw() - whether @fd is a terminal that knows escape sequences: TERM does not say
 * "dumb". Without TERM it is taken for one that does, as all have for decades. */
bool terminal_can_draw(int fd);

/** terminal_has_style() - whether bold and colours are welcome on @fd: it can draw, and NO_COLOR is
 * not set, or is empty (no-color.org). */
bool terminal_has_style(int fd);

/** terminal_is_utf8() - whether the locale's characters are UTF-8. setlocale(3) must have run. */
bool terminal_is_utf8(void);
