#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The main job of holdfast in a minute: builds it, starts a bus, a parent and the daemon in a
# temporary directory, loses the parent, kills the daemon, brings both back, and checks each step.
# Leaves nothing running and nothing behind but the build directory. Exits 0 only if each step held.
#
# usage: sh data/quickstart.sh
#	BUILD=DIR	where to build (default: build/plain in the source tree)

set -u
cd "$(dirname "$0")/.." || exit 1
. data/packages.sh

build=${BUILD:-build/plain}
mkdir -p "$build" || exit 1
build=$(cd "$build" && pwd)
log=$build/quickstart.log
: >"$log"
dir=
bus_pid=
parent_pid=
daemon_pid=
reader_pid=

STORAGE="org.holdfast1 /org/holdfast1 org.holdfast1.Storage"
MONITOR="org.holdfast1 /org/holdfast1 org.holdfast1.Monitor"

# ---- telling ----

step() {
	printf '\n%s\n' "$1"
}

say() {
	printf '    %s\n' "$1"
}

die() {
	printf '\nThis step did not hold: %s\n' "$1" >&2
	for file in "$log" ${dir:+"$dir/daemon.log" "$dir/parent.log"}; do
		[ -s "$file" ] && printf -- '-- %s\n' "${file##*/}" && tail -n 15 "$file"
	done >&2
	exit 1
}

# ---- processes ----

# end PID SIGNAL
end() {
	[ -n "$1" ] || return 0
	kill "-$2" "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

clean_up() {
	status=$?
	trap - EXIT INT TERM
	end "$daemon_pid" TERM
	end "$reader_pid" TERM
	end "$parent_pid" TERM
	end "$bus_pid" TERM
	[ -n "$dir" ] && rm -rf "$dir"
	exit "$status"
}

start_bus() {
	cat >"$dir/bus.conf" <<CONF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=$dir/bus</listen>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>
<allow own="*"/></policy></busconfig>
CONF
	dbus-daemon --nofork --config-file="$dir/bus.conf" 2>>"$log" &
	bus_pid=$!
	DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/bus
	XDG_RUNTIME_DIR=$dir
	export DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR
	until_true 5 test -S "$dir/bus" || die "the bus does not start"
}

start_parent() {
	"$build/src/holdfast-parentd/holdfast-parentd" --listen "unix:$dir/parent.sock" \
		--database "$dir/parent.db" 2>>"$dir/parent.log" &
	parent_pid=$!
}

start_daemon() {
	"$build/src/holdfastd/holdfastd" --config "$dir/holdfastd.conf" --state-dir "$dir/state" \
		--parent "unix:$dir/parent.sock" 2>>"$dir/daemon.log" &
	daemon_pid=$!
	until_true 5 get_state || die "holdfastd does not start"
}

# ---- asking ----

# until_true SECONDS COMMAND...: poll until it succeeds.
until_true() {
	deadline=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -le "$deadline" ] || return 1
		sleep 0.02
	done
}

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

storage() {
	# shellcheck disable=SC2086
	busctl --user call $STORAGE "$@" 2>>"$log"
}

get_state() {
	# shellcheck disable=SC2086
	busctl --user get-property $MONITOR State 2>/dev/null
}

state_is() {
	[ "$(get_state)" = "s \"$1\"" ]
}

queue_size() {
	# shellcheck disable=SC2086
	busctl --user get-property $STORAGE QueueSize | cut -d' ' -f2
}

queue_is() {
	[ "$(queue_size)" = "$1" ]
}

# value_of KEY: as the daemon answers it.
value_of() {
	storage GetItem s "$1" | sed -n 's/^s "\(.*\)"$/\1/p'
}

# shown COMMAND...: show a command a reader can repeat, run it, show what it printed.
shown() {
	printf '    $ %s\n' "$*"
	"$@" >"$dir/shown" 2>&1 || die "$(cat "$dir/shown")"
	sed 's/^/      /' "$dir/shown"
}

# each_call NAME COMMAND...: the mean of 20 calls, each a process of its own.
each_call() {
	name=$1
	shift
	begin=$(now_ms)
	i=0
	while [ $i -lt 20 ]; do
		"$@" >/dev/null 2>>"$log" || die "$name failed"
		i=$((i + 1))
	done
	say "$name: $((($(now_ms) - begin) * 1000 / 20)) us a call, starting busctl included"
}

# ---- the story ----

prepare() {
	step "Building holdfast"
	# shellcheck disable=SC2086
	install_packages "$log" $PACKAGES_BUILD || die "packages are missing"
	[ -f "$build/build.ninja" ] || meson setup "$build" >>"$log" 2>&1 ||
		die "meson setup failed"
	ninja -C "$build" src/holdfastd/holdfastd src/holdfast-parentd/holdfast-parentd \
		src/holdfastctl/holdfastctl >>"$log" 2>&1 || die "the build failed"
	dir=$(mktemp -d) || exit 1
	printf '[Heartbeat]\nInterval=1s\n' >"$dir/holdfastd.conf"
}

connect() {
	step "1. A private bus, a parent store and the daemon"
	start_bus
	start_parent
	start_daemon
	until_true 5 state_is connected || die "no connection to the parent"
	# shellcheck disable=SC2086
	shown busctl --user get-property $MONITOR State
}

set_and_get() {
	step "2. An app sets and gets"
	# shellcheck disable=SC2086
	shown busctl --user call $STORAGE SetItem ss theme dark
	# shellcheck disable=SC2086
	shown busctl --user call $STORAGE GetItem s theme
	[ "$(value_of theme)" = dark ] || die "theme is not dark"
	storage Flush t 5000000 >/dev/null || die "the parent did not ack"
	say "and the parent has acked it (Flush)"
	# shellcheck disable=SC2086
	each_call GetItem busctl --user call $STORAGE GetItem s theme
	# shellcheck disable=SC2086
	each_call SetItem busctl --user call $STORAGE SetItem ss burst x
	say "20 sets of one key within the debounce go out as few writes; round trip to the parent:"
	storage Flush t 5000000 >/dev/null || die "the parent did not ack"
	# shellcheck disable=SC2086
	shown busctl --user get-property $MONITOR AverageLatency
}

# revision_of_parent: how many writes the parent has ever applied.
revision_of_parent() {
	storage GetItemFull 'sa{sv}' theme 1 source s parent |
		sed -n 's/.*"revision" t \([0-9]*\).*/\1/p'
}

lose_parent() {
	step "3. The parent is killed"
	applied=$(revision_of_parent)
	begin=$(now_ms)
	end "$parent_pid" KILL
	parent_pid=
	until_true 5 state_is disconnected || die "the loss goes unnoticed"
	say "disconnected after $(($(now_ms) - begin)) ms, polling with busctl included"
	i=1
	while [ $i -le 10 ]; do
		storage SetItem ss "draft-$i" "text $i" >/dev/null || die "a set was not answered"
		i=$((i + 1))
	done
	storage RemoveItem s burst >/dev/null || die "a remove was not answered"
	say "10 sets and a remove were answered: each is safe on this disk"
	[ "$(value_of theme)" = dark ] || die "a value the parent held cannot be read"
	[ "$(value_of draft-7)" = "text 7" ] || die "a queued value cannot be read"
	[ -z "$(value_of burst)" ] || die "a removed value can still be read"
	queue_is 11 || die "the queue holds $(queue_size) entries, not 11"
	say "old and new values are read, the removed one is gone, 11 writes are queued"
}

kill_daemon() {
	step "4. holdfastd is killed with -9 and started again"
	storage ListQueue | tr -d '"' >"$dir/before"
	end "$daemon_pid" KILL
	start_daemon
	storage ListQueue | tr -d '"' >"$dir/after"
	# Whether an entry was held or pending, and how often it was tried, may differ.
	sed -i 's/ held / pending /g' "$dir/before" "$dir/after"
	cmp -s "$dir/before" "$dir/after" || die "the queue is not what it was"
	[ "$(value_of draft-3)" = "text 3" ] || die "a queued value is lost"
	say "the queue is intact: $(queue_size) entries, the same serials, keys and times"
	shown "$build/src/holdfastctl/holdfastctl" --user status
}

bring_back() {
	step "5. The parent comes back"
	begin=$(now_ms)
	start_parent
	until_true 10 state_is connected || die "no reconnect"
	until_true 10 queue_is 0 || die "the queue is not sent"
	say "connected and 11 queued writes acked after $(($(now_ms) - begin)) ms"
	once=$(($(revision_of_parent) - applied))
	[ "$once" = 11 ] || die "the parent applied $once writes, not 11"
	say "the parent applied $once writes for the 11 that were queued: each exactly once"
}

# Another client of the same parent, with a state of its own: it sees only what the parent holds.
read_elsewhere() {
	step "6. A second daemon, with a state of its own, reads the same parent"
	end "$daemon_pid" TERM
	daemon_pid=
	"$build/src/holdfastd/holdfastd" --config "$dir/holdfastd.conf" --state-dir "$dir/other" \
		--parent "unix:$dir/parent.sock" 2>>"$dir/daemon.log" &
	reader_pid=$!
	until_true 5 state_is connected || die "the second daemon does not connect"
	[ "$(value_of theme)" = dark ] || die "theme is not at the parent"
	[ -z "$(value_of burst)" ] || die "the removed value is still at the parent"
	i=1
	while [ $i -le 10 ]; do
		[ "$(value_of "draft-$i")" = "text $i" ] || die "draft-$i is not at the parent"
		i=$((i + 1))
	done
	say "it finds all 11 values and not the removed one"
}

trap clean_up EXIT
trap 'exit 130' INT TERM
prepare
connect
set_and_get
lose_parent
kill_daemon
bring_back
read_elsewhere
printf '\nEvery step held. Nothing is left running.\n'
