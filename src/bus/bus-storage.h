/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.holdfast1.Storage: the queued storage of one area. Userdata: struct bus_area. */

#include <systemd/sd-bus.h>

extern const sd_bus_vtable bus_storage_vtable[];
