/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the dials of the daemons go; see sim-dial.c. */

#include "base/clock.h"
#include "sim-net.h"

/** sim_dial_register() - whoever dials with @clock takes @path; NULL: nobody. */
void sim_dial_register(unsigned int index, struct clock *clock, struct sim_path *path);
