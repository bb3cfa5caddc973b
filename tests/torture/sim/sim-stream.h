/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An end of a simulated line as the pollable GIOStream that wire/channel takes. */

#include <gio/gio.h>

#include "sim-net.h"

/** sim_stream_new() - @end: taken over; closed with the stream. */
GIOStream *sim_stream_new(struct sim_end *end);
