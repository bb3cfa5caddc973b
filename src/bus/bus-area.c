/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From an object's path to its area. Areas are never closed, so what was found once is kept by its
 * path: a call costs one lookup instead of a decoding. Only canonical paths are found, or the
 * aliases of one area could fill the memory.
 */

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus-area.h"
#include "bus/names.h"
#include "engine/storage.h"

#define DEFAULT_AREA "default"

struct bus_areas {
	struct storage *storage;
	GHashTable *by_path;   /* path → struct bus_area */
	struct bus_area proto; /* what they share */
	struct bus_area standard;
};

struct bus_areas *bus_areas_new(struct storage *storage, struct callers *callers,
				struct subscriptions *subscriptions)
{
	struct bus_areas *areas = g_new0(struct bus_areas, 1);

	areas->storage = storage;
	areas->by_path = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	areas->proto.callers = callers;
	areas->proto.subscriptions = subscriptions;
	areas->standard = areas->proto;
	areas->standard.area = storage_find_area(storage, DEFAULT_AREA);
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

struct bus_area *bus_areas_default(struct bus_areas *areas)
{
	return &areas->standard;
}

int bus_area_path(const char *name, char **ret_path)
{
	int r = sd_bus_path_encode(BUS_AREA_PREFIX, name, ret_path);

	return r < 0 ? r : 0;
}

/* Return: as sd_bus_object_find_t: 1 found, 0 not there. */
static int bus_areas_look_up(struct bus_areas *areas, const char *path, struct area **ret_area)
{
	char *name = NULL, *canonical = NULL;
	struct area *area = NULL;
	int r;

	r = sd_bus_path_decode(path, BUS_AREA_PREFIX, &name);
	if (r > 0)
		r = bus_area_path(name, &canonical);
	if (canonical && strcmp(canonical, path) == 0)
		area = storage_find_area(areas->storage, name);
	free(canonical);
	free(name);
	if (r < 0)
		return r;
	*ret_area = area;
	return area ? 1 : 0;
}

int bus_areas_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
		   void **ret_found, sd_bus_error *error)
{
	struct bus_areas *areas = userdata;
	struct bus_area *found = g_hash_table_lookup(areas->by_path, path);
	struct area *area;
	int r;

	(void)bus;
	(void)interface;
	(void)error;
	if (!found) {
		r = bus_areas_look_up(areas, path, &area);
		if (r <= 0)
			return r;
		found = g_memdup2(&areas->proto, sizeof(areas->proto));
		found->area = area;
		g_hash_table_insert(areas->by_path, g_strdup(path), found);
	}
	*ret_found = found;
	return 1;
}

struct node_list {
	char **nodes;
	size_t n;
	int r;
};

static void add_node(void *data, struct area *area)
{
	struct node_list *list = data;

	if (list->r < 0)
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

	(void)bus;
	(void)prefix;
	(void)error;
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
