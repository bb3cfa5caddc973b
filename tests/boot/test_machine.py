#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machines themselves, seen from the host: nothing of one is left, however its test ends."""

import signal

from boot import *

# A test as machine.run() makes one; it says the machine's process id and its keeper's.
OWNER = '''
import sys
sys.path.insert(0, %r)
import machine
m = machine.Machine([])
m.wait_until_up()
print(m.pid, m.keeper.pid, flush=True)
sys.stdin.read()
m.stop()
''' % machine.HERE


class Owner:
    """A process that has a machine."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, '-c', OWNER], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.pid, self.keeper = map(int, self.process.stdout.readline().split())
        with open('/proc/%d/cgroup' % self.pid) as file:
            self.leaf = re.search(r'^0::.*/(holdfast-boot-[^/\n]+)', file.read(), re.M).group(1)

    def finish(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def leaves():
    """The machines' cgroups there are."""
    return set(sh('unshare', '--mount', '--propagation', 'private', 'sh', '-c',
                  'mount -t cgroup2 cgroup2 /run && find /run -maxdepth 4 -name "holdfast-boot-*"'
                  ' -printf "%f "').split())


def mounts():
    with open('/proc/self/mountinfo') as file:
        return file.read()


def gone(pid):
    return not os.path.exists('/proc/%d' % pid)


@test
def a_test_that_ends_leaves_nothing():
    before = mounts(), sorted(os.listdir('/tmp'))
    owner = Owner()
    assert owner.leaf in leaves()
    equal(mounts(), before[0])
    owner.finish()
    assert gone(owner.pid), 'it runs on'
    assert owner.leaf not in leaves(), 'its cgroup is still there'
    equal((mounts(), owner.process.returncode), (before[0], 0))


@test
def a_test_that_is_killed_leaves_nothing():
    before = mounts()
    owner = Owner()
    os.kill(owner.process.pid, signal.SIGKILL)
    began = time.monotonic()
    wait_for(lambda: gone(owner.pid) and gone(owner.keeper) and owner.leaf not in leaves(),
             'the end of the machine')
    note('gone %.0f ms after SIGKILL' % ((time.monotonic() - began) * 1000))
    equal(mounts(), before)
    owner.finish()


@test
def a_keeper_that_is_killed_takes_its_machine_along():
    owner = Owner()
    os.kill(owner.keeper, signal.SIGKILL)
    wait_for(lambda: gone(owner.pid), 'the end of the machine')
    # All but its empty cgroup, which the next one removes.
    other = Owner()
    assert owner.leaf not in leaves()
    other.finish()
    owner.process.kill()
    owner.finish()


@test
def machines_do_not_know_of_each_other():
    owners = [Owner(), Owner()]
    for owner, other in (owners, reversed(owners)):
        names = sh('nsenter', '--target', str(owner.pid), '--all', '--', 'find', '/sys/fs/cgroup',
                   '-name', 'holdfast-boot-*')
        equal(names, '')
        equal(sh('nsenter', '--target', str(owner.pid), '--all', '--', 'ip', '-o', 'link').count(
            'link/'), 1)
        assert os.readlink('/proc/%d/ns/net' % owner.pid) != os.readlink(
            '/proc/%d/ns/net' % other.pid)
    owners[0].finish()
    equal(sh('nsenter', '--target', str(owners[1].pid), '--all', '--', 'systemctl',
             'is-system-running'), 'running')
    owners[1].finish()


if __name__ == '__main__':
    sys.exit(machine.missing() if machine.why_not() else run_here(lambda: None, None))
