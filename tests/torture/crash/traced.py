# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does crash-shim.c see every call? It replaces functions of the C library; strace sees beneath."""

import os
import re
import shutil
import subprocess

from harness import Skip, equal
from script import Session
from shim import CALLS
from world import World

# The last ones the shim does not know: nobody may call them.
UNKNOWN = ('pwritev', 'pwritev2', 'sendmmsg', 'sendfile', 'splice', 'copy_file_range', 'truncate',
           'fallocate', 'sync_file_range', 'msync', 'renameat', 'renameat2', 'unlinkat', 'link',
           'linkat', 'symlink', 'symlinkat', 'mkdirat', 'rmdir')
KNOWN = tuple(name for name in CALLS if name != 'create')
LINE = re.compile(r'^\d+ +(\w+)\(([^,)]*)')


# Not counted: a thread that wakes another, and lines of the log, which the C library writes itself.
INSIDE = re.compile(r'<anon_inode:\[eventfd\]>$|^2<')


def count(path):
    """Calls by name."""
    found = dict.fromkeys(KNOWN, 0)
    with open(path, errors='replace') as file:
        for line in file:
            match = LINE.match(line)
            if match and not INSIDE.search(match.group(2)):
                found[match.group(1)] = found.get(match.group(1), 0) + 1
    return found


def need_strace():
    if not shutil.which('strace'):
        raise Skip('strace is not there')
    if 'ASAN_OPTIONS' in os.environ:
        raise Skip('the leak checker does not run under a tracer')
    if subprocess.run(['strace', '-o', '/dev/null', 'true'], stderr=subprocess.DEVNULL).returncode:
        raise Skip('strace may not trace here')


def wrap(path, plan):
    """A command that runs another under strace, with the shim in it and not in strace."""
    command = ['strace', '-D', '-f', '-qq', '-y', '-o', path,
               '-e', 'trace=' + ','.join(KNOWN + UNKNOWN)]
    for item in plan.environ().items():
        command += ['-E', '%s=%s' % item]
    return command


def trace(bench):
    """A whole session, nobody killed: [(program, what the shim counted, what strace did)]."""
    world = World(bench.bus, bench.client, template=os.path.join(bench.folder, 'empty'))
    try:
        pairs = list(zip((world.d, world.p), bench.plans))
        for program, plan in pairs:
            plan.set()
            program.trace = os.path.join(world.dir, program.name + '.trace')
            program.wrap = wrap(program.trace, plan)
        # Scenes in which neither starts a second time: that would overwrite the trace.
        Session(world, 1, lambda: None, [None, None]).run(
            ('typing', 'pairs', 'crowd', 'straight', 'refused'))
        return [(program.name, plan.calls(), count(program.trace)) for program, plan in pairs]
    finally:
        world.end()


def check(bench):
    """Return: how many calls were compared. Raises Skip where there is no strace."""
    need_strace()
    total = 0
    for name, counted, traced in trace(bench):
        different = {call: (counted.get(call, 0), n) for call, n in traced.items()
                     if counted.get(call, 0) != n}
        equal(different, {}, '%s: calls as (counted, made)' % name)
        total += sum(traced.values())
    assert total > 300, 'only %d calls' % total
    return total
