/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.holdfast1.Direct: one request to the parent, and nothing else. Userdata: struct bus_area. */

#include <systemd/sd-bus.h>

extern const sd_bus_vtable bus_direct_vtable[];
