#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Run by `meson install` into a prefix where the running system looks (not into a DESTDIR): make the
# users, and tell systemd, the journal and the system bus what is new. What cannot be done is said
# and left: the files are in place, and a reboot does all of it. Without its users the system's
# instance does not run, so that ends with an error, after all else.
#
# usage: post-install.sh system|user SYSUSERS-FILE

[ "$(id -u)" = 0 ] || exit 0
[ -z "${DESTDIR:-}" ] || exit 0
status=0

# attempt WHAT PROGRAM ARGUMENT...: nothing where there is no such program.
attempt() {
	what=$1
	shift
	command -v "$1" >/dev/null || return 0
	echo "$what"
	"$@" && return 0
	echo "$what failed (exit status $?); do it by hand: $*" >&2
	return 1
}

# The users first: a bus that reads its policy does not know them later.
[ "$1" != system ] || attempt "Making the users of holdfast" systemd-sysusers "$2" || status=1
attempt "Updating the journal's message catalogue" journalctl --update-catalog
if [ -d /run/systemd/system ]; then
	attempt "Reloading systemd" systemctl daemon-reload
fi
if [ "$1" = system ] && [ -S /run/dbus/system_bus_socket ]; then
	attempt "Reloading the system bus" busctl --system --quiet --timeout=10 call \
		org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus ReloadConfig
fi
exit $status
