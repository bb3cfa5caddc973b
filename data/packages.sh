# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034
# Sourced by data/quickstart.sh and tests/run.sh: install what is missing, on Debian and its kin.

# What it takes to build and to run on a private bus.
PACKAGES_BUILD="gcc libc6-dev meson ninja-build pkg-config libsystemd-dev libglib2.0-dev
libjson-glib-dev libsqlite3-dev dbus-daemon systemd"
# What the tests take on top.
PACKAGES_TEST="python3 python3-gi gir1.2-glib-2.0 libglib2.0-bin mandoc man-db binutils
universal-ctags glib-networking openssl prometheus python3-prometheus-client bash bash-completion
zsh fish dbus-broker dbus-user-session libpam-systemd util-linux iproute2 strace"
# What tests/run.sh --long takes on top: the fuzzers are built with clang.
PACKAGES_LONG="clang libclang-rt-dev"

missing_packages() {
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
			grep -qx installed || printf '%s\n' "$package"
	done
}

# install_packages LOG PACKAGE...: install those that are missing; the output goes to LOG.
install_packages() {
	log=$1
	shift
	missing=$(missing_packages "$@" | tr '\n' ' ')
	[ -n "$missing" ] || return 0

	as_root=
	if [ "$(id -u)" != 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "These packages are missing; install them as root: $missing" >&2
			return 1
		fi
		as_root=sudo
	fi
	echo "Installing: $missing"
	# shellcheck disable=SC2086
	if ! {
		$as_root apt-get update &&
			$as_root env DEBIAN_FRONTEND=noninteractive \
				apt-get install -y --no-install-recommends $missing
	} >>"$log" 2>&1; then
		echo "Installing failed; the last lines of $log:" >&2
		tail -n 15 "$log" >&2
		return 1
	fi
}
