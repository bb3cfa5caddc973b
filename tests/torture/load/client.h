/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A connection of a load program's own, to the bus of DBUS_SESSION_BUS_ADDRESS, and the names of
 * what stands there.
 */

#include <glib.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#define HF_NAME	   "org.holdfast1"
#define HF_ROOT	   "/org/holdfast1"
#define HF_STORAGE "org.holdfast1.Storage"
#define HF_MANAGER "org.holdfast1.Manager"
#define HF_ERROR   "org.holdfast1.Error."
#define DBUS_ERROR "org.freedesktop.DBus.Error."

/* What a client gives up after, in usec; the longest that sd-bus or GDBus would wait by default. */
#define CALL_TIMEOUT (25 * G_USEC_PER_SEC)

/** fatal() - end the program with status 1 and a line on stdout (as a TAP diagnostic). */
G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN void fatal(const char *format, ...);

/** client_open() - a new connection; fatal() without one. */
sd_bus *client_open(void);

/** client_open_area() - OpenArea(@name): its object's path, to be freed with free(). */
char *client_open_area(sd_bus *bus, const char *name);

/** client_call() - a message to a method of Storage at @path, without its arguments. */
sd_bus_message *client_call(sd_bus *bus, const char *path, const char *member);

/**
 * option_number() - the number behind "--name=" among the arguments.
 * Return: it, or @otherwise where there is none
 */
uint64_t option_number(char **args, const char *name, uint64_t otherwise);

/** option_text() - as option_number(), the text. */
const char *option_text(char **args, const char *name, const char *otherwise);
