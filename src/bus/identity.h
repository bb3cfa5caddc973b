/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who is at the other end of the bus: a user, and an app where the process is in a sandbox. The bus
 * tells the user and the process; the process's cgroup and root directory tell the sandbox. What
 * cannot be told for certain is IDENTITY_UNKNOWN, and never taken for "no sandbox".
 */

#include <stddef.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

enum identity_kind {
	IDENTITY_UNKNOWN,   /* not determinable */
	IDENTITY_PLAIN,	    /* in no sandbox */
	IDENTITY_SANDBOXED, /* of Flatpak or Snap */
};

struct identity {
	enum identity_kind kind;
	uid_t uid; /* effective, of whoever connected; not with IDENTITY_UNKNOWN */
	char *app; /* only with IDENTITY_SANDBOXED: the app's id, a valid area name */
};

/**
 * identity_ask() - who has the unique name @name. Two synchronous calls to the bus, 1 s at most in
 * all, and a few reads below /proc.
 * @ret: to be released with identity_clear()
 *
 * Return: 0, or a negative errno where the bus did not tell: asking again may help.
 */
int identity_ask(sd_bus *bus, const char *name, struct identity *ret);

void identity_clear(struct identity *identity);

/**
 * identity_of_process() - who the process @pid is, of which the bus says that @uid runs it.
 * @ret: as above
 */
void identity_of_process(pid_t pid, uid_t uid, struct identity *ret);

/* ---- what files say; pure ---- */

/**
 * identity_parse_cgroup() - whether a process's cgroups are those of a sandboxed app.
 * @text: what /proc/<pid>/cgroup holds
 * @ret_app: with IDENTITY_SANDBOXED, to be released with g_free()
 */
enum identity_kind identity_parse_cgroup(const char *text, char **ret_app);

/**
 * identity_parse_flatpak_info() - whose sandbox it is that has this /.flatpak-info.
 * @ret_app: as above
 *
 * Return: IDENTITY_SANDBOXED or IDENTITY_UNKNOWN.
 */
enum identity_kind identity_parse_flatpak_info(const char *text, char **ret_app);

/**
 * identity_parse_status() - whether the process is alive and run by @uid.
 * @text: what /proc/<pid>/status holds
 *
 * Return: IDENTITY_PLAIN, as far as this goes, or IDENTITY_UNKNOWN.
 */
enum identity_kind identity_parse_status(const char *text, uid_t uid);
