#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The first program of a test machine. It starts as PID 1 of fresh namespaces, makes itself a root
# of which nothing is shared with the host but files to read, and becomes systemd.
#
# usage: init.sh DIR...		directories to have at the same place, writable, as copies

set -eu

# Whatever is mounted here is seen here alone, and gone with the last process. /run is a place that
# every host has and nothing below needs.
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
root=/run/root
mkdir "$root"

# copy_of DIR PLACE: DIR at PLACE, writable; what is written stays in memory.
copies=0
copy_of() {
	copies=$((copies + 1))
	mkdir -p "/run/$copies/upper" "/run/$copies/work" "$2"
	mount -t overlay overlay \
		-o "lowerdir=$1,upperdir=/run/$copies/upper,workdir=/run/$copies/work" "$2"
}

copy_of / "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
for dir in "$@"; do
	copy_of "$dir" "$root$dir"
done

# What the machine changed of the host's root, for tests of what an installation leaves.
mkdir -p "$root/run/layers/host" "$root/run/layers/machine"
mount --bind / "$root/run/layers/host"
mount -o remount,bind,ro "$root/run/layers/host"
mount --bind /run/1/upper "$root/run/layers/machine"
mount -o remount,bind,ro "$root/run/layers/machine"

# The kernel's own file systems.
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for node in null zero full random urandom tty; do
	: >"$root/dev/$node"
	mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# A machine of its own: nothing of what this host's administrator set up.
rm -rf "$root"/etc/systemd/system/* "$root"/etc/systemd/user/* \
	"$root"/etc/holdfast "$root"/var/lib/*holdfast* "$root"/var/log/journal
: >"$root/etc/fstab"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
echo holdfast-test >"$root/etc/hostname"

# dbus-broker is the system's bus, and the users'.
ln -s /lib/systemd/system/dbus-broker.service "$root/etc/systemd/system/dbus.service"
ln -s /usr/lib/systemd/user/dbus-broker.service "$root/etc/systemd/user/dbus.service"

# What is for hardware, for terminals or for later.
mkdir -p "$root/run/systemd/system"
for unit in getty.target tmp.mount systemd-binfmt.service systemd-modules-load.service \
	systemd-sysctl.service systemd-firstboot.service systemd-tmpfiles-clean.timer \
	systemd-udevd.service systemd-udev-trigger.service systemd-networkd.service \
	systemd-resolved.service systemd-timesyncd.service systemd-random-seed.service \
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-repart.service \
	proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount \
	sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount \
	sys-kernel-tracing.mount kmod-static-nodes.service; do
	ln -s /dev/null "$root/run/systemd/system/$unit"
done

ip link set lo up
cd "$root"
mkdir run/host
pivot_root . run/host
umount -l run/host
# As systemd does it itself where it is not in a container: what it mounts for a service, its
# credentials first of all, must get there.
mount --make-rshared /
exec /usr/bin/env -i container=holdfast-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=multi-user.target
