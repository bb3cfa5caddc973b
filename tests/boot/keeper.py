#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts a test machine and makes an end of it.

usage: keeper.py DIR...        (run by machine.py, as root, under `unshare --mount`)

A machine is systemd as PID 1 of its own namespaces, in a cgroup of its own; init.sh makes its root.
The keeper prints the machine's process id and then waits for the end of its own input: however the
test ends, also by SIGKILL, that comes, and the machine is killed and its cgroup removed. Everything
else of the machine (mounts, files, network) lives in the namespaces and dies with them. Should the
keeper itself be killed, the kernel kills the machine, and the next keeper removes the cgroup.
"""

import ctypes
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import time

PREFIX = 'holdfast-boot-'
CGROUPS = '/run'        # in our own mount namespace: cgroup2 is mounted over it
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True)


def own_cgroup():
    """The directory of the cgroup we are in; the root's where that cannot be seen."""
    with open('/proc/self/cgroup') as file:
        for line in file:
            if line.startswith('0::/') and not line.startswith('0::/..'):
                return CGROUPS + line[3:].rstrip('\n').rstrip('/')
    return CGROUPS


def kill_all(path):
    """Kill what is in a cgroup; processes that another PID namespace hides show as 0."""
    try:
        with open(path + '/cgroup.procs') as file:
            for pid in file.read().split():
                if pid != '0':
                    os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass                    # it has just ended, or its cgroup is gone


def remove_cgroup(path):
    """Kill what is left in a cgroup and remove it with all below it."""
    for base, _, _ in os.walk(path, topdown=False):
        kill_all(base)
    end = time.monotonic() + 10
    for base, _, _ in os.walk(path, topdown=False):
        while True:
            try:
                os.rmdir(base)
                break
            except FileNotFoundError:
                break
            except OSError as error:
                # The kernel takes a moment to see that the last process is gone.
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)


def lock(path):
    """An open and locked directory, or None if another has the lock or it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def sweep(parent):
    """Remove the cgroups of machines whose keeper was killed."""
    for name in os.listdir(parent):
        if name.startswith(PREFIX):
            fd = lock(os.path.join(parent, name))
            if fd is not None:
                remove_cgroup(os.path.join(parent, name))
                os.close(fd)


def start(leaf, dirs):
    """Start the machine; unshare(1), whose only child it is."""
    def prepare():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with open(leaf + '/cgroup.procs', 'w') as file:
            file.write('0')
    init = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'init.sh')
    return subprocess.Popen(
        ['unshare', '--mount', '--pid', '--uts', '--ipc', '--cgroup', '--net', '--fork',
         '--kill-child=KILL', '/bin/sh', init] + dirs,
        stdin=subprocess.DEVNULL, stdout=2, preexec_fn=prepare)


def child_of(process):
    """The process id of the one child of a process."""
    path = '/proc/%d/task/%d/children' % (process.pid, process.pid)
    while process.poll() is None:
        with open(path) as file:
            children = file.read().split()
        if children:
            return int(children[0])
        time.sleep(0.005)
    sys.exit('unshare ended with status %d' % process.returncode)


def reap():
    """Wait for the end of unshare and of the machine that it leaves to us."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass


def keep(process):
    """Until our input or the machine ends."""
    while process.poll() is None:
        ready, _, _ = select.select([0], [], [], 0.2)
        if ready and not os.read(0, 1):
            return


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    subprocess.run(['mount', '-t', 'cgroup2', 'cgroup2', CGROUPS], check=True)
    parent = own_cgroup()
    sweep(parent)
    leaf = os.path.join(parent, PREFIX + '%d-%d' % (os.getpid(), time.monotonic_ns()))
    os.mkdir(leaf)
    held = lock(leaf)       # says to other keepers that this one is in use
    try:
        process = start(leaf, sys.argv[1:])
        print(child_of(process), flush=True)
        keep(process)
    finally:
        remove_cgroup(leaf)
        reap()
        os.close(held)


if __name__ == '__main__':
    main()
