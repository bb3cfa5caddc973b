/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.holdfast1.Manager: areas, and the daemon itself. Userdata: struct bus_manager. */

#include <systemd/sd-bus.h>

struct callers;
struct storage;

/* What the daemon does for it. */
struct bus_manager_ops {
	/**
	 * reload - read the configuration again
	 * @ret_detail: where it failed, a sentence to be released with g_free()
	 *
	 * Return: 0, an enum hf_error or a negative errno.
	 */
	int (*reload)(void *data, char **ret_detail);
};

struct bus_manager {
	struct storage *storage;
	struct callers *callers;
	const struct bus_manager_ops *ops;
	void *data;
};

extern const sd_bus_vtable bus_manager_vtable[];
