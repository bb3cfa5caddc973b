# SPDX-License-Identifier: LGPL-2.1-or-later
"""What crash-shim.c follows (crash-plan.h): where to die, what was counted, the journal."""

import mmap
import os
import struct

BEFORE, AFTER, HALF = range(3)
MODES = ('before', 'after', 'half')
CALLS = ('write', 'writev', 'pwrite64', 'sendto', 'sendmsg', 'ftruncate', 'fsync', 'fdatasync',
         'create', 'rename', 'unlink', 'mkdir')
DATA, CREATE, RENAME, UNLINK, MKDIR = range(5)
OF_FILE, OF_DIRECTORY, OF_PARENT = range(3)     # the sync that makes it durable

HEADER = 4096
SIZE = 64 << 20         # the file is sparse: only what is used costs memory
HEAD = struct.Struct('=QIIQQQII%dQ512s' % len(CALLS))
ENTRY = struct.Struct('=IIIIQQQQIIII')
OVERFLOW = 2 ** 64 - 1


class Entry:
    """A change of the recorded directory."""

    def __init__(self, data, at):
        (self.size, self.change, self.durable, self.sync, self.inode, self.offset, self.size_before,
         self.size_after, before, after, name, name2) = ENTRY.unpack_from(data, at)
        at += ENTRY.size
        self.before = data[at:at + before]
        self.after = data[at + before:at + before + after]
        at += before + after
        self.name = data[at:at + name].decode()
        self.name2 = data[at + name:at + name + name2].decode()


class Plan:
    """One file, used by one process after the other; set() begins anew."""

    def __init__(self, path):
        self.path = path
        with open(path, 'wb') as file:
            file.truncate(SIZE)
        with open(path, 'r+b') as file:
            self.map = mmap.mmap(file.fileno(), SIZE)
        self.set()

    def set(self, kill_at=0, mode=BEFORE, directory='', lie=0):
        """@directory: whose files are recorded. @lie: the call from which on syncs do nothing."""
        self.directory = directory
        if directory:
            assert directory == os.path.realpath(directory)
            os.makedirs(self.saved, exist_ok=True)
        self.map[:HEAD.size] = HEAD.pack(kill_at, mode, lie, SIZE, 0, 0, 0, 0, *[0] * len(CALLS),
                                         directory.encode())

    def again(self, kill_at, mode):
        """Die once more, @kill_at calls from now (0: not); the journal goes on."""
        head = list(self._head())
        head[0], head[1], head[6] = kill_at and head[5] + kill_at, mode, 0
        self.map[:HEAD.size] = HEAD.pack(*head)

    @property
    def saved(self):
        """Where files are kept that lost their names."""
        return self.directory + '.saved'

    def _head(self):
        return HEAD.unpack_from(self.map, 0)

    @property
    def count(self):
        return self._head()[5]

    @property
    def fired(self):
        """The name of the call that killed, or None."""
        number = self._head()[6]
        return CALLS[number - 1] if number else None

    def calls(self):
        return dict(zip(CALLS, self._head()[8:8 + len(CALLS)]))

    def settle(self):
        """All that was recorded is durable, but for the directory itself."""
        at = HEADER
        for entry in self.entries():
            if entry.sync != OF_PARENT:
                struct.pack_into('=I', self.map, at + 8, 1)
            at += entry.size

    def entries(self):
        used = self._head()[4]
        assert used != OVERFLOW, 'the journal could not record what was written'
        found, at = [], HEADER
        while at < HEADER + used:
            found.append(Entry(self.map, at))
            at += found[-1].size
        return found

    def environ(self):
        """What a program needs to follow it."""
        asan = os.environ.get('ASAN_OPTIONS', '')
        return {'LD_PRELOAD': os.environ['HOLDFAST_CRASH_SHIM'], 'HOLDFAST_TEST_CRASH': self.path,
                'ASAN_OPTIONS': asan + (asan and ':') + 'verify_asan_link_order=0'}
