/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A client that stops reading; see lurker.h. It knows that the daemon has its calls when the answer
 * to a later one comes: what one connection sends arrives in order.
 */

#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "lurker.h"

/* The start of a call of 200 bytes of header and 1 MiB of body, and no more of it. */
static const uint8_t half_a_call[] = {
	'l', 1, 0, 1, 0, 0, 16, 0, 77, 0, 0, 0, 200, 0, 0, 0, 1, 1, 'o', 0,
};

static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	(void)reply;
	(void)data;
	(void)error;
	return 0;
}

/* Takes over @m. */
static void start(sd_bus *bus, sd_bus_message *m)
{
	if (sd_bus_call_async(bus, NULL, m, on_reply, NULL, UINT64_MAX) < 0)
		fatal("cannot call %s", sd_bus_message_get_member(m));
	sd_bus_message_unref(m);
}

static uint64_t write_once(sd_bus *bus, const char *path)
{
	sd_bus_message *m = client_call(bus, path, "SetItem"), *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	uint64_t serial = 0;

	sd_bus_message_append(m, "ss", "lurker", "value");
	if (sd_bus_call(bus, m, CALL_TIMEOUT, &error, &reply) < 0)
		fatal("SetItem: %s: %s", error.name, error.message);
	sd_bus_message_read(reply, "t", &serial);
	sd_bus_message_unref(m);
	sd_bus_message_unref(reply);
	return serial;
}

static void make_calls(sd_bus *bus, const char *path, char **args)
{
	uint64_t awaits = option_number(args, "--await", 0);
	uint64_t serial = awaits ? write_once(bus, path) : 0;
	sd_bus_message *m;

	if (option_number(args, "--subscribe", 0))
		start(bus, client_call(bus, path, "Subscribe"));
	for (uint64_t i = 0; i < awaits; i++) {
		m = client_call(bus, path, "Await");
		sd_bus_message_append(m, "tt", serial, UINT64_MAX);
		start(bus, m);
	}
	for (uint64_t i = 0; i < option_number(args, "--flush", 0); i++) {
		m = client_call(bus, path, "Flush");
		sd_bus_message_append(m, "t", UINT64_MAX);
		start(bus, m);
	}
	for (uint64_t i = 0; i < option_number(args, "--get", 0); i++) {
		m = client_call(bus, path, "GetItem");
		sd_bus_message_append(m, "s", option_text(args, "--key", "held"));
		start(bus, m);
	}
}

static void wait_until_heard(sd_bus *bus)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	if (sd_bus_call_method(bus, HF_NAME, HF_ROOT, "org.freedesktop.DBus.Peer", "Ping", &error,
			       NULL, NULL) < 0)
		fatal("Ping: %s: %s", error.name, error.message);
}

int lurker_main(char **args)
{
	sd_bus *bus = client_open();
	char *path = client_open_area(bus, option_text(args, "--area", "lurker"));
	const char *name = NULL;

	make_calls(bus, path, args);
	wait_until_heard(bus);
	if (option_number(args, "--half", 0) &&
	    write(sd_bus_get_fd(bus), half_a_call, sizeof(half_a_call)) != sizeof(half_a_call))
		fatal("cannot write half a call");
	sd_bus_get_unique_name(bus, &name);
	printf("ready %s\n", name);
	fflush(stdout);
	for (;;)
		pause();
}
