/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The objects of areas: BUS_AREA_PREFIX/<label> for each, and BUS_PATH for the default one of
 * whoever calls. Who calls decides what is there: areas of others are not (caller.h).
 */

#include <systemd/sd-bus.h>

struct area;
struct bus_areas;
struct callers;
struct storage;
struct subscriptions;

/* What a method or property of an area's object is given as userdata. */
struct bus_area {
	struct area *area;
	struct callers *callers;
	struct subscriptions *subscriptions;
};

/** bus_areas_new() - all arguments are borrowed and outlive it. */
struct bus_areas *bus_areas_new(struct storage *storage, struct callers *callers,
				struct subscriptions *subscriptions);
struct bus_areas *bus_areas_free(struct bus_areas *areas);

/** bus_areas_find() - an sd_bus_object_find_t; userdata is the struct bus_areas. */
int bus_areas_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
		   void **ret_found, sd_bus_error *error);

/** bus_areas_find_default() - the same for what is at BUS_PATH itself and nowhere below. */
int bus_areas_find_default(sd_bus *bus, const char *path, const char *interface, void *userdata,
			   void **ret_found, sd_bus_error *error);

/** bus_areas_enumerate() - an sd_bus_node_enumerator_t; userdata as above. */
int bus_areas_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
			sd_bus_error *error);

/** bus_area_path() - the object of an area. @ret_path: to be released with free(). Return: 0 or a
 * negative errno. */
int bus_area_path(const char *full_name, char **ret_path);
