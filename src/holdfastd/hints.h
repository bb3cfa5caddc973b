/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hints that the parent may be back: its socket appeared, a network came up, the machine woke.
 * None of them is proof of anything; each makes the monitor look now instead of later.
 */

struct clock;
struct hints;
struct storage;

/** hints_new() - start listening, for as long as it lives. Arguments are borrowed. */
struct hints *hints_new(struct storage *storage, struct clock *clock);
struct hints *hints_free(struct hints *hints);

/** hints_reconfigured() - the parent may be another now. */
void hints_reconfigured(struct hints *hints);
