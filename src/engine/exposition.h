/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The engine's numbers as OpenMetrics 1.0 text, for whoever watches it. */

#include <glib.h>

struct storage;

/**
 * exposition_write() - append all metrics to @text, "# EOF" last.
 *
 * Takes time in proportion to the areas, however much they hold. The same families and labels come
 * every time, and no key, area, address or token is in any of them.
 */
void exposition_write(struct storage *storage, GString *text);
