/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From an object's path, and who calls, to an area. Areas are never closed, so what was found once
 * is kept by its path: a call costs one lookup instead of a decoding, and a caller's default area,
 * kept with the caller, none. Only canonical paths are found, or the aliases of one area could fill
 * the memory. That something is kept says nothing about who may have it: each call is checked.
 *
 * sd-bus does not tell these functions who calls, but which message it is at.
 */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus-area.h"
#include "bus/bus-error.h"
#include "bus/caller.h"
#include "bus/names.h"
#include "engine/area.h"
#include "engine/storage.h"

struct bus_areas {
	struct storage *storage;
	GHashTable *by_path;   /* path → struct bus_area */
	struct bus_area proto; /* what they share; its area is NULL */
};

struct bus_areas *bus_areas_new(struct storage *storage, struct callers *callers,
				struct subscriptions *subscriptions)
{
	struct bus_areas *areas = g_new0(struct bus_areas, 1);

	areas->storage = storage;
	areas->by_path = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	areas->proto.callers = callers;
	areas->proto.subscriptions = subscriptions;
	return areas;
}

struct bus_areas *bus_areas_free(struct bus_areas *areas)
{
	if (!areas)
		return NULL;

	g_hash_table_unref(areas->by_path);
	g_free(areas);
	return NULL;
}

int bus_area_path(const char *full_name, char **ret_path)
{
	int r = sd_bus_path_encode(BUS_AREA_PREFIX, full_name, ret_path);

	return r < 0 ? r : 0;
}

/* The object of @area at @path, which is its own. */
static struct bus_area *bus_areas_get(struct bus_areas *areas, const char *path, struct area *area)
{
	struct bus_area *found = g_hash_table_lookup(areas->by_path, path);

	if (!found) {
		found = g_memdup2(&areas->proto, sizeof(areas->proto));
		found->area = area;
		g_hash_table_insert(areas->by_path, g_strdup(path), found);
	}
	return found;
}

/* ---- an area by its path ---- */

/* The full name that @path is the canonical path of. Return: 1, 0 of none, or a negative errno. */
static int decode(const char *path, char **ret_full_name)
{
	char *name = NULL, *canonical = NULL;
	int r;

	r = sd_bus_path_decode(path, BUS_AREA_PREFIX, &name);
	if (r > 0)
		r = bus_area_path(name, &canonical);
	if (r >= 0)
		r = canonical && strcmp(canonical, path) == 0;
	free(canonical);
	if (r > 0)
		*ret_full_name = name;
	else
		free(name);
	return r;
}

/* A caller's default area is there from the start: it is made by being asked for. */
static int take_default(struct bus_areas *areas, struct caller *caller, const char *full_name,
			struct area **ret_area, sd_bus_error *error)
{
	g_autofree char *own = NULL;
	const char *detail = NULL;
	int r;

	r = caller_area(caller, NULL, &own, error);
	if (r < 0 || (full_name && strcmp(own, full_name) != 0))
		return r;
	r = storage_take_area(areas->storage, own, ret_area, &detail);
	return r ? bus_error_set(error, r, detail) : 1;
}

static int look_up(struct bus_areas *areas, struct caller *caller, const char *path,
		   struct bus_area **ret_found, sd_bus_error *error)
{
	struct area *area = NULL;
	char *name = NULL;
	int r;

	r = decode(path, &name);
	if (r >= 0)
		r = caller_may_reach(caller, name, error);
	if (r > 0) {
		area = storage_find_area(areas->storage, name);
		r = area ? 1 : take_default(areas, caller, name, &area, error);
	}
	free(name);
	if (r > 0)
		*ret_found = bus_areas_get(areas, path, area);
	return r;
}

int bus_areas_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
		   void **ret_found, sd_bus_error *error)
{
	struct bus_areas *areas = userdata;
	struct bus_area *found = g_hash_table_lookup(areas->by_path, path);
	struct caller *caller;
	int r;

	(void)interface;
	if (strcmp(path, BUS_AREA_PREFIX) == 0)
		return 0; /* nothing is there but the list of what is below */
	caller = callers_get(areas->proto.callers, sd_bus_get_current_message(bus));
	if (found)
		r = caller_may_reach(caller, area_name(found->area), error);
	else
		r = look_up(areas, caller, path, &found, error);
	if (r > 0)
		*ret_found = found;
	return r;
}

/* ---- the default area ---- */

static int find_home(struct bus_areas *areas, struct caller *caller, sd_bus_error *error)
{
	struct area *area;
	char *path = NULL;
	int r;

	r = take_default(areas, caller, NULL, &area, error);
	if (r < 0)
		return r;
	r = bus_area_path(area_name(area), &path);
	if (r < 0)
		return r;
	caller_set_home(caller, bus_areas_get(areas, path, area));
	free(path);
	return 1;
}

/*
 * Whether @message only wants to know that @interface is there, or is about another one. sd-bus
 * asks for the userdata of every interface all the same; but what all may know, such as all about
 * the Monitor, is not to depend on who calls, or wait for the bus to tell.
 */
static bool needs_no_area(sd_bus_message *message, const char *interface)
{
	const char *wanted = "";

	if (sd_bus_message_is_method_call(message, BUS_INTROSPECTABLE, "Introspect") > 0)
		return true;
	if (sd_bus_message_is_method_call(message, BUS_PROPERTIES, "GetAll") <= 0)
		return false;
	/* sd-bus has read it already, and reads it anew where it wants it again. */
	return sd_bus_message_rewind(message, true) >= 0 &&
	       sd_bus_message_read(message, "s", &wanted) > 0 && wanted[0] != '\0' &&
	       strcmp(wanted, interface) != 0;
}

int bus_areas_find_default(sd_bus *bus, const char *path, const char *interface, void *userdata,
			   void **ret_found, sd_bus_error *error)
{
	sd_bus_message *message = sd_bus_get_current_message(bus);
	struct bus_areas *areas = userdata;
	struct caller *caller;
	int r;

	if (strcmp(path, BUS_PATH) != 0)
		return 0;
	if (needs_no_area(message, interface)) {
		*ret_found = NULL;
		return 1;
	}
	caller = callers_get(areas->proto.callers, message);
	if (!caller_home(caller)) {
		r = find_home(areas, caller, error);
		if (r < 0)
			return r;
	}
	*ret_found = caller_home(caller);
	return 1;
}

/* ---- which there are ---- */

struct node_list {
	struct caller *caller;
	char **nodes;
	size_t n;
	int r;
};

static void add_node(void *data, struct area *area)
{
	struct node_list *list = data;

	if (list->r < 0 || caller_may_reach(list->caller, area_name(area), NULL) <= 0)
		return;
	/* sd-bus releases the list with free(), so none of it may come from another allocator. */
	list->nodes = realloc(list->nodes, (list->n + 2) * sizeof(char *));
	if (!list->nodes)
		abort();
	list->nodes[list->n] = list->nodes[list->n + 1] = NULL;
	list->r = bus_area_path(area_name(area), &list->nodes[list->n]);
	list->n++;
}

int bus_areas_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
			sd_bus_error *error)
{
	struct bus_areas *areas = userdata;
	struct node_list list = { 0 };
	g_autofree char *own = NULL;
	int r;

	(void)prefix;
	list.caller = callers_get(areas->proto.callers, sd_bus_get_current_message(bus));
	/* Of whom nothing is known is told so, instead of that there are none. */
	r = caller_area(list.caller, NULL, &own, error);
	if (r < 0)
		return r;
	storage_each_area(areas->storage, add_node, &list);
	if (list.r < 0) {
		for (size_t i = 0; i < list.n; i++)
			free(list.nodes[i]);
		free(list.nodes);
		return list.r;
	}
	*ret_nodes = list.nodes;
	return 0;
}
