#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole bus suite again, on dbus-broker: each file on buses of its own, two files at a time."""

import concurrent.futures
import glob
import re
import subprocess

from boot import *

SUITE = os.path.join(machine.TOP, 'tests', 'bus')
AT_ONCE = 2
# What takes longest comes first.
SLOWEST = ('service', 'ctl_monitor', 'origin', 'faults', 'monitor', 'tls', 'limits', 'disk',
           'sharing', 'durability', 'sandbox', 'system', 'completion', 'holes')
REQUIRED = os.environ.get('HOLDFAST_TEST_BOOT') == 'required'
RESULT = re.compile(r'(not )?ok \d+ - (.*)')


def files():
    """The suite's files as meson runs them, the slowest first."""
    names = [re.search(r'test_(\w+)\.py', f).group(1) for f in glob.glob(SUITE + '/test_*.py')]
    return sorted(names, key=lambda n: (SLOWEST.index(n) if n in SLOWEST else len(SLOWEST), n))


def run_file(name):
    """One file: its name, its TAP lines, its exit status, the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, os.path.join(SUITE, 'test_%s.py' % name)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
        env=dict(os.environ, HOLDFAST_TEST_BUS='dbus-broker'))
    return name, done.stdout.splitlines(), done.returncode, time.monotonic() - began


class Report:
    """The files' results as one TAP stream."""

    def __init__(self):
        self.count = self.bad = 0

    def result(self, failed, title):
        self.count += 1
        failed = failed or REQUIRED and '# SKIP' in title
        self.bad += failed
        print('%sok %d - %s' % ('not ' if failed else '', self.count, title))

    def file(self, name, lines, status, seconds):
        bad, seen = self.bad, 0
        for line in lines:
            found = RESULT.match(line)
            if found:
                seen += 1
                self.result(found.group(1) is not None, '%s: %s' % (name, found.group(2)))
            elif not line.startswith('1..'):
                print(line if line.startswith('#') else '# ' + line)
        if status != 0 and self.bad == bad or seen == 0:
            self.result(True, '%s: ended with status %d' % (name, status))
        note('bus-%s: %d tests, %.1f s' % (name, seen, seconds))


def run_suite():
    chosen = [n for n in files() if len(sys.argv) < 2 or n in sys.argv[1:]]
    report = Report()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_file, n) for n in chosen]):
            report.file(*done.result())
    brokers = sh('journalctl', '--no-pager', '-t', 'dbus-broker-launch', '-u', 'hf-bus-*', '-g',
                 '^Ready', '-o', 'cat').count('Ready')
    note('%d brokers served %d files' % (brokers, len(chosen)))
    report.result(brokers < len(chosen), 'every file had a dbus-broker of its own')
    print('1..%d' % report.count, flush=True)
    return 1 if report.bad else 0


if __name__ == '__main__':
    if 'HOLDFAST_IN_MACHINE' in os.environ:
        sys.exit(run_suite())
    sys.exit(machine.run(sys.argv[0]))
