/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hints that the parent may be back: its socket appeared, a network came up, the machine woke, our
 * token or whom we trust changed. None of them is proof of anything; each makes the monitor look
 * now, not later.
 */

struct clock;
struct config;
struct hints;
struct storage;

/** hints_new() - start listening, for as long as it lives. Arguments are borrowed; @config may
 * change, hints_reconfigured() then. */
struct hints *hints_new(struct storage *storage, struct clock *clock, const struct config *config);
struct hints *hints_free(struct hints *hints);

/** hints_reconfigured() - the parent, the token or whom we trust may be another now. */
void hints_reconfigured(struct hints *hints);
