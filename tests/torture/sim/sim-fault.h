/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What goes wrong: drawn by the world's seed. */

#include "sim.h"

/** fault_configure() - the settings of a daemon that does not run yet. */
void fault_configure(struct sim *sim, unsigned int daemon);

/** fault_act() - one more thing goes wrong, somewhere. */
void fault_act(struct sim *sim);

/** fault_pass() - most of what is wrong passes by itself. @percent: how likely each does now. */
void fault_pass(struct sim *sim, unsigned int percent);

/** fault_end() - nothing is wrong any more; whoever is down comes up. */
void fault_end(struct sim *sim);
