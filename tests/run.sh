#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Install what is missing, build, run all tests: once as users get the program, once under
# AddressSanitizer and UndefinedBehaviorSanitizer. The last line alone says how many tests passed,
# failed and were skipped; the exit status says the same.
#
# usage: sh tests/run.sh [--long] [--seed N]
#	--long		the tools of tests/torture at length instead of briefly (hours), and what
#			they measured at the end
#	--seed N	start every random test from N (default: a fixed one, with --long a new one)
#	BUILD=DIR	where to build (default: build in the source tree)
#	HOLDFAST_TEST_BOOT=required
#			the boot tests, which take root, fail where they would be skipped

set -u

usage() {
	echo "usage: sh tests/run.sh [--long] [--seed N]" >&2
	exit 2
}

long=0
seed=
while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 ;;
	--seed)
		[ $# -ge 2 ] || usage
		seed=$2
		shift
		;;
	*) usage ;;
	esac
	shift
done
case $seed in
*[!0-9]*) usage ;;
esac
[ "$long" = 0 ] || [ -n "$seed" ] || seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
if [ -n "$seed" ]; then
	echo "Seed $seed: --seed $seed runs the same again"
	export HOLDFAST_TEST_SEED="$seed"
fi

cd "$(dirname "$0")/.." || exit 1
. data/packages.sh

build=${BUILD:-build}
mkdir -p "$build" || exit 1
build=$(cd "$build" && pwd)
log=$build/run.log
: >"$log"

# fail WHAT: nothing could be tested; say so as one failed test.
fail() {
	echo "$1; the last lines of $log:" >&2
	tail -n 40 "$log" >&2
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}

# build_tree DIR OPTION...
build_tree() {
	dir=$1
	shift
	if [ ! -f "$dir/build.ninja" ]; then
		meson setup "$dir" -Dwerror=true "$@" >>"$log" 2>&1 || fail "meson setup failed"
	else
		# It may be quickstart's, or a developer's.
		meson configure "$dir" -Dwerror=true "$@" >>"$log" 2>&1 || fail "meson configure failed"
	fi
	ninja -C "$dir" >>"$log" 2>&1 || fail "The build failed"
}

# count FILE...: "passed failed skipped" of meson's reports; a program that died counts as failed.
count() {
	python3 - "$@" <<'PYTHON'
import sys
import xml.etree.ElementTree as xml

passed = failed = skipped = 0
for name in sys.argv[1:]:
    for suite in xml.parse(name).getroot():
        cases = suite.findall("testcase")
        bad = sum(1 for c in cases if c.find("failure") is not None or c.find("error") is not None)
        left = sum(1 for c in cases if c.find("skipped") is not None)
        passed += len(cases) - bad - left
        failed += bad
        skipped += left
        # A program may end badly after its last subtest has passed.
        if bad == 0 and int(suite.get("errors", 0)) + int(suite.get("failures", 0)) > 0:
            failed += 1
print(passed, failed, skipped)
PYTHON
}

# run_tests DIR TITLE PATIENCE SUITE...: run them, with time limits that many times as long (0: none);
# the report joins $reports.
run_tests() {
	dir=$1
	echo "== $2"
	patience=$3
	shift 3
	suites=
	for suite in "$@"; do suites="$suites --suite $suite"; done
	rm -f "$dir/meson-logs/testlog.junit.xml"
	# shellcheck disable=SC2086
	meson test -C "$dir" --no-rebuild --print-errorlogs \
		--timeout-multiplier "$patience" $suites || status=1
	report=$build/report-$((runs += 1)).xml
	mv "$dir/meson-logs/testlog.junit.xml" "$report" || fail "meson test left no report"
	reports="$reports $report"
}

status=0
# shellcheck disable=SC2086
install_packages "$log" $PACKAGES_BUILD $PACKAGES_TEST || fail "Packages are missing"
# shellcheck disable=SC2086
[ "$long" = 0 ] || install_packages "$log" $PACKAGES_LONG || fail "Packages are missing"

echo "Building"
build_tree "$build/plain" --prefix=/usr
build_tree "$build/sanitized" -Db_sanitize=address,undefined -Db_lundef=false

runs=0
reports=
run_tests "$build/plain" "as it is shipped" 2 unit wire bus house boot
if [ "$long" = 0 ]; then
	run_tests "$build/plain" "under faults" 2 torture
	run_tests "$build/sanitized" "under ASan and UBSan" 5 unit wire bus torture
else
	run_tests "$build/sanitized" "under ASan and UBSan" 5 unit wire bus
	# No time limit: some of these take an hour.
	HOLDFAST_TEST_LONG=1 run_tests "$build/plain" "under faults, at length" 0 torture
	echo "== what was measured"
	sed -n 's/^# figure: //p' "$build/plain/meson-logs/testlog.txt"
fi

# shellcheck disable=SC2086
count $reports >"$build/counts" || fail "No reports"
read -r passed failed skipped <"$build/counts"
# Whatever made meson unhappy and is no test of its own counts as one.
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
