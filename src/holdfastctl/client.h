/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The connection to the daemon: the bus, the object of the chosen area, calls, and the one place
 * where an error becomes a sentence and an exit status.
 *
 * Functions that can fail return 0 or a negative errno and leave the sentence in the client; nobody
 * prints it but main(). Calls wait for their reply.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(sd_bus_error, sd_bus_error_free)

#define CLIENT_NAME    "org.holdfast1"
#define CLIENT_ROOT    "/org/holdfast1"
#define CLIENT_STORAGE "org.holdfast1.Storage"
#define CLIENT_MONITOR "org.holdfast1.Monitor"
#define CLIENT_MANAGER "org.holdfast1.Manager"
#define CLIENT_PROPERTIES "org.freedesktop.DBus.Properties"
#define CLIENT_ERROR   "org.holdfast1.Error."

/* Exit statuses, as holdfastctl(1) promises them. */
enum client_exit {
	CLIENT_EXIT_OK = 0,
	CLIENT_EXIT_ERROR = 1,
	CLIENT_EXIT_USAGE = 2,
	CLIENT_EXIT_NO_SUCH_ITEM = 3,
	CLIENT_EXIT_UNAVAILABLE = 4,
	CLIENT_EXIT_ABSENT = 5,
};

struct client;

/* What becomes of an area that was named on the command line. */
enum client_area_use {
	CLIENT_AREA_UNUSED,	/* nothing: the calls are not about an area */
	CLIENT_AREA_LOOK,	/* it must be there: to look must not make it, it would stay for good */
	CLIENT_AREA_MAKE,	/* it is made if need be: it may be new, or known to the parent only */
};

/** client_new() - not connected; good for client_fail() and client_connect(). */
struct client *client_new(void);
struct client *client_free(struct client *client);

/**
 * client_connect() - join the bus and find the area's object.
 * @system: the system bus, else the user's
 * @area: opened on the daemon as @use says; NULL: the caller's default area, and no call is made
 * @start: whether calls let the bus start the daemon where it does not run
 */
int client_connect(struct client *client, bool system, const char *area, enum client_area_use use,
		   bool start);

/** client_area() - the area as given to client_connect(). Borrowed; NULL: the default one. */
const char *client_area(const struct client *client);

/** client_command() - @command as this user would type it: with --system and --area= where they were
 * given. To be freed. */
char *client_command(const struct client *client, const char *command);

/** client_take_area() - take the object that an answer to OpenArea names. */
int client_take_area(struct client *client, sd_bus_message *reply);

/** client_bus(), client_path() - borrowed: for matches and calls that do not wait. */
sd_bus *client_bus(struct client *client);
const char *client_path(const struct client *client);

/**
 * client_call() - call a method and wait for its reply.
 * @interface: CLIENT_STORAGE goes to the area's object, everything else to the root
 * @timeout: usec to wait; 0: the bus library's 25 s; USEC_INFINITY: for ever
 * @ret_reply: may be NULL
 * @types: as sd_bus_message_append(3) takes them, with its arguments
 */
int client_call(struct client *client, const char *interface, const char *member,
		uint64_t timeout, sd_bus_message **ret_reply, const char *types, ...);

/** client_get_all() - all properties of @interface: the reply stands before an a{sv}. */
int client_get_all(struct client *client, const char *interface, sd_bus_message **ret_reply);

/* A call that does not wait. */
struct client_question {
	const char *owner;	/* unique name: asks this very process; NULL: the daemon */
	const char *interface;	/* CLIENT_STORAGE goes to the area's object */
	const char *member;	/* "GetAll": all properties of the interface */
	const char *argument;	/* one string; NULL: none */
	uint64_t timeout;	/* usec; 0: the bus library's 25 s */
};

/**
 * client_ask() - call a method, and have the answer come to @handler.
 * @ret_slot: unref it, and no answer comes
 */
int client_ask(struct client *client, sd_bus_slot **ret_slot, const struct client_question *question,
	       sd_bus_message_handler_t handler, void *data);

/** client_fail() - remember a sentence as the reason of a failure. Return: -EINVAL. */
int client_fail(struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** client_fail_bus() - remember the error of a call that did not wait. Return: -EIO. */
int client_fail_bus(struct client *client, const sd_bus_error *error);

/** client_fail_output() - remember that what was to be printed could not be; @r: a negative errno.
 * Return: -EINVAL. */
int client_fail_output(struct client *client, int r);

/** client_fail_absent() - remember that the bus or the daemon went away. Return: -ENOTCONN. */
int client_fail_absent(struct client *client, const char *sentence);

/** client_fail_reply() - remember that a reply was not as documented; @r: what reading it gave, 0
 * for its end. Return: -EBADMSG. */
int client_fail_reply(struct client *client, const char *member, int r);

/** client_error() - the sentence of the last failure. Borrowed. */
const char *client_error(const struct client *client);

/** client_error_is() - whether the last failure was an error of this D-Bus name. */
bool client_error_is(const struct client *client, const char *name);

/** client_exit_status() - the exit status of the last failure. */
enum client_exit client_exit_status(const struct client *client);
