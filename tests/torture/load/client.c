/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connections to the bus; see client.h. */

#include <glib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

void fatal(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	exit(1);
}

sd_bus *client_open(void)
{
	sd_bus *bus = NULL;
	int r = sd_bus_open_user(&bus);

	if (r < 0)
		fatal("cannot reach the bus: %s", g_strerror(-r));
	return bus;
}

char *client_open_area(sd_bus *bus, const char *name)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const char *path = NULL;
	char *copy;

	if (sd_bus_call_method(bus, HF_NAME, HF_ROOT, HF_MANAGER, "OpenArea", &error, &reply, "s",
			       name) < 0)
		fatal("OpenArea %s: %s: %s", name, error.name, error.message);
	if (sd_bus_message_read(reply, "o", &path) <= 0)
		fatal("OpenArea %s: no path", name);
	copy = strdup(path);
	sd_bus_message_unref(reply);
	return copy;
}

sd_bus_message *client_call(sd_bus *bus, const char *path, const char *member)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(bus, &m, HF_NAME, path, HF_STORAGE, member);

	if (r < 0)
		fatal("%s: %s", member, g_strerror(-r));
	return m;
}

const char *option_text(char **args, const char *name, const char *otherwise)
{
	size_t n = strlen(name);

	for (; *args; args++)
		if (strncmp(*args, name, n) == 0 && (*args)[n] == '=')
			return *args + n + 1;
	return otherwise;
}

uint64_t option_number(char **args, const char *name, uint64_t otherwise)
{
	const char *text = option_text(args, name, NULL);

	return text ? g_ascii_strtoull(text, NULL, 10) : otherwise;
}
