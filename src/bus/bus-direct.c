/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The face of engine/direct.h; see there. */

#include <string.h>

#include "bus/bus-area.h"
#include "bus/bus-direct.h"
#include "bus/bus-error.h"
#include "bus/call.h"
#include "engine/direct.h"

static void got(void *data, int error, const char *detail, const char *value)
{
	struct call *call = data;

	if (error)
		call_fail(call, error, detail);
	else
		call_reply(call, strlen(value), "s", value);
}

static int method_get_item(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	struct call *call;
	const char *key;
	int r;

	r = sd_bus_message_read(m, "s", &key);
	if (r < 0)
		return bus_error_unread(error, r);
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	direct_get(self->area, key, got, call);
	return 1;
}

static int method_set_item(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	const char *key, *value;
	struct call *call;
	int r;

	r = sd_bus_message_read(m, "ss", &key, &value);
	if (r < 0)
		return bus_error_unread(error, r);
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	direct_write(self->area, key, value, call_done, call);
	return 1;
}

static int method_remove_item(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_area *self = userdata;
	struct call *call;
	const char *key;
	int r;

	r = sd_bus_message_read(m, "s", &key);
	if (r < 0)
		return bus_error_unread(error, r);
	r = call_new(self->callers, m, NULL, &call, error);
	if (r < 0)
		return r;
	direct_write(self->area, key, NULL, call_done, call);
	return 1;
}

const sd_bus_vtable bus_direct_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("GetItem", SD_BUS_ARGS("s", key), SD_BUS_RESULT("s", value),
				method_get_item,
				SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
	SD_BUS_METHOD_WITH_ARGS("SetItem", SD_BUS_ARGS("s", key, "s", value), SD_BUS_NO_RESULT,
				method_set_item,
				SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
	SD_BUS_METHOD_WITH_ARGS("RemoveItem", SD_BUS_ARGS("s", key), SD_BUS_NO_RESULT,
				method_remove_item, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};
