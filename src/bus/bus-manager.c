/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The face of the daemon as a whole; see bus-manager.h. */

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus-area.h"
#include "bus/bus-error.h"
#include "bus/bus-manager.h"
#include "bus/call.h"
#include "bus/caller.h"
#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "engine/area.h"
#include "engine/exposition.h"
#include "engine/storage.h"

static void opened(void *data, int error, const char *detail, struct area *area)
{
	struct call *call = data;
	char *path = NULL;

	if (error == 0)
		error = bus_area_path(area_name(area), &path);
	if (error)
		call_fail(call, error, detail);
	else
		call_reply(call, strlen(path), "o", path);
	free(path);
}

/* The full name of the area that the sender of @m calls @name, where it may open that. */
static int check_name(struct bus_manager *self, sd_bus_message *m, const char *name,
		      char **ret_full_name, sd_bus_error *error)
{
	struct caller *caller = callers_get(self->callers, m);
	g_autofree char *full_name = NULL;
	int r;

	r = caller_area(caller, name, &full_name, error);
	if (r < 0)
		return r;
	/* Of @name itself: only a full name has a slash, and whose it is follows from who calls. */
	if (!area_name_valid(name))
		return bus_error_set(error, HF_INVALID_ARGS,
				     "An area's name has 1-255 bytes of A-Z a-z 0-9 . _ - and no "
				     "dot in front.");
	r = caller_may_reach(caller, full_name, error);
	if (r < 0)
		return r;
	*ret_full_name = g_steal_pointer(&full_name);
	return 0;
}

struct area_count {
	struct caller *caller;
	unsigned int count;
};

static void count_area(void *data, struct area *area)
{
	struct area_count *count = data;

	count->count += caller_may_reach(count->caller, area_name(area), NULL) > 0;
}

/* An app in a sandbox has a limit of its own. What it opens is taken at once, so that it counts
 * before the disk has it, too. */
static int check_app(struct bus_manager *self, struct caller *caller, const char *full_name,
		     sd_bus_error *error)
{
	struct area_count count = { .caller = caller };
	const char *detail = NULL;
	struct area *area;
	int r;

	if (!caller_is_sandboxed(caller) || storage_find_area(self->storage, full_name))
		return 0;
	storage_each_area(self->storage, count_area, &count);
	if (count.count >= LIMIT_AREAS_PER_APP)
		return bus_error_set(error, HF_QUOTA_EXCEEDED,
				     "An app in a sandbox has 16 areas at most; use one of those.");
	r = storage_take_area(self->storage, full_name, &area, &detail);
	return r ? bus_error_set(error, r, detail) : 0;
}

static int method_open_area(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_manager *self = userdata;
	g_autofree char *full_name = NULL;
	struct call *call;
	const char *name;
	int r;

	r = bus_error_unread(error, sd_bus_message_read(m, "s", &name));
	if (r >= 0)
		r = check_name(self, m, name, &full_name, error);
	if (r >= 0)
		r = check_app(self, callers_get(self->callers, m), full_name, error);
	if (r < 0)
		return r;
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	storage_open_area(self->storage, full_name, opened, call);
	return 1;
}

struct name_list {
	struct caller *caller;
	sd_bus_message *reply;
	int r;
};

static void append_name(void *data, struct area *area)
{
	struct name_list *list = data;

	if (list->r >= 0 && caller_may_reach(list->caller, area_name(area), NULL) > 0)
		list->r = sd_bus_message_append(list->reply, "s",
						area_full_name_own(area_name(area)));
}

static int method_list_areas(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_manager *self = userdata;
	struct name_list list = { .caller = callers_get(self->callers, m) };
	struct call *call;

	list.r = caller_may_look(list.caller, error);
	if (list.r < 0)
		return list.r;
	list.r = call_new(self->callers, m, NULL, &call, error);
	if (list.r < 0)
		return list.r;
	list.reply = call_start_reply(call);
	if (list.reply)
		list.r = sd_bus_message_open_container(list.reply, 'a', "s");
	if (list.reply && list.r >= 0)
		storage_each_area(self->storage, append_name, &list);
	if (list.reply && list.r >= 0)
		list.r = sd_bus_message_close_container(list.reply);
	call_finish_reply(call, list.reply, list.r, 0);
	return 1;
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_manager *self = userdata;
	g_autofree char *detail = NULL;
	int r;

	r = caller_may_manage(callers_get(self->callers, m), error);
	if (r < 0)
		return r;
	r = self->ops->reload(self->data, &detail);
	if (r)
		return bus_error_set(error, r, detail);
	return sd_bus_reply_method_return(m, NULL);
}

static int method_get_metrics(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_manager *self = userdata;
	g_autoptr(GString) text = g_string_new(NULL);
	struct call *call;
	int r;

	r = caller_may_manage(callers_get(self->callers, m), error);
	if (r >= 0)
		r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	exposition_write(self->storage, text);
	call_reply(call, text->len, "s", text->str);
	return 1;
}

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct bus_manager *self = userdata;
	int r;

	(void)path;
	(void)interface;
	(void)property;
	r = caller_may_look(callers_get(self->callers, sd_bus_get_current_message(bus)), error);
	return r < 0 ? r : sd_bus_message_append(reply, "s", PACKAGE_VERSION);
}

const sd_bus_vtable bus_manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("OpenArea", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", area),
				method_open_area, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ListAreas", SD_BUS_NO_ARGS, SD_BUS_RESULT("as", names),
				method_list_areas, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetMetrics", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", text),
				method_get_metrics, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_VTABLE_END,
};
