# SPDX-License-Identifier: LGPL-2.1-or-later
"""A test's machine, seen from the host: may we have one, boot it, run the test in it.

HOLDFAST_TEST_BOOT=required makes a failure of what would be a skip otherwise.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
DEADLINE = 60       # seconds a boot may take; a second is usual

# What init.sh will do, tried: namespaces, and mounts in them.
TRIAL = '''mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/u /run/w /run/r &&
mount -t overlay -o lowerdir=/,upperdir=/run/u,workdir=/run/w overlay /run/r &&
mount -t proc proc /run/r/proc && mount -t sysfs -o ro sysfs /run/r/sys &&
mount -t cgroup2 cgroup2 /run/r/sys/fs/cgroup'''
NAMESPACES = ['--mount', '--pid', '--uts', '--ipc', '--cgroup', '--net', '--fork']


def why_not():
    """Why no machine can be had here: a sentence without its stop; or None."""
    if os.geteuid() != 0:
        return 'only root can boot a machine'
    for path in ('/lib/systemd/systemd', '/usr/bin/dbus-broker-launch'):
        if not os.path.exists(path):
            return path + ' is missing'
    for name in ('unshare', 'nsenter', 'ip', 'setpriv'):
        if shutil.which(name) is None:
            return name + ' is missing'
    done = subprocess.run(['unshare', *NAMESPACES, 'sh', '-c', TRIAL], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        return 'no namespaces of our own: ' + ' '.join(done.stdout.split())
    return None


class Machine:
    """A booted machine; it ends with stop() or with this process, however that ends."""

    def __init__(self, dirs):
        self.log = tempfile.TemporaryFile('w+')
        self.keeper = subprocess.Popen(
            ['unshare', '--mount', '--propagation', 'private', sys.executable,
             os.path.join(HERE, 'keeper.py'), *dirs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            start_new_session=True)
        self.pid = self.keeper.stdout.readline().strip()
        assert self.pid, 'no machine started:\n' + self.said()

    def said(self):
        """What came out of the machine's start."""
        self.log.seek(0)
        return self.log.read()

    def enter(self, *argv):
        """The command line that runs another within."""
        return ['nsenter', '--target', self.pid, '--all', '--', *argv]

    def wait_until_up(self):
        end = time.monotonic() + DEADLINE
        while True:
            done = subprocess.run(self.enter('systemctl', 'is-system-running', '--wait'),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
            state = done.stdout.strip()
            if state in ('running', 'degraded'):
                return state
            assert self.keeper.poll() is None, 'the machine died:\n' + self.said()
            assert time.monotonic() < end, 'the machine does not get up (%s):\n%s' % (
                state, self.said())
            time.sleep(0.02)

    def run(self, environ, *argv):
        """Run a program as a service of the machine, its output being ours; its exit status."""
        sets = ['--setenv=%s=%s' % item for item in environ.items()]
        return subprocess.run(self.enter(
            'systemd-run', '--quiet', '--pipe', '--wait', '--collect', '--service-type=exec',
            '--unit=boot-test', *sets, '--', *argv), stdin=subprocess.DEVNULL).returncode

    def stop(self):
        self.keeper.stdin.close()
        self.keeper.wait()
        self.keeper.stdout.close()
        self.log.close()


def missing():
    """Say in TAP that there can be no machine here. The exit status."""
    if os.environ.get('HOLDFAST_TEST_BOOT') == 'required':
        print('1..1\nnot ok 1 - a machine can be booted # ' + why_not())
        return 1
    print('1..0 # SKIP ' + why_not())
    return 0


def run(path):
    """Run a test file in a machine of its own; its TAP is ours. The exit status."""
    if why_not():
        return missing()
    began = time.monotonic()
    build = os.path.realpath(os.environ['HOLDFAST_BUILD'])
    machine = Machine([TOP] + ([] if build.startswith(TOP + '/') else [build]))
    try:
        state = machine.wait_until_up()
        print('# up after %.2f s (%s)' % (time.monotonic() - began, state), flush=True)
        environ = {k: v for k, v in os.environ.items() if k.startswith('HOLDFAST')}
        environ.update(HOLDFAST_IN_MACHINE='1', PYTHONDONTWRITEBYTECODE='1', HOLDFAST_BUILD=build)
        return machine.run(environ, sys.executable, os.path.abspath(path), *sys.argv[1:])
    finally:
        machine.stop()
