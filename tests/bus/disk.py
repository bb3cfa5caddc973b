# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that a test makes slow or fail: slow-disk.c, preloaded into a daemon."""

import os
import struct

from harness import Skip
from waiting import SLOW


class Disk:
    """How long a sync takes, or that it fails."""

    def __init__(self, t):
        library = os.environ.get('HOLDFAST_SLOW_DISK')
        if not library:
            raise Skip('HOLDFAST_SLOW_DISK does not name the library')
        self.path = os.path.join(t.dir, 'disk')
        with open(self.path, 'wb') as file:
            file.write(bytes(8))
        asan = os.environ.get('ASAN_OPTIONS', '')
        self.environ = {'LD_PRELOAD': library, 'HOLDFAST_TEST_DISK': self.path,
                        'ASAN_OPTIONS': asan + (asan and ':') + 'verify_asan_link_order=0'}

    def _write(self, value):
        with open(self.path, 'r+b') as file:
            file.write(struct.pack('=q', value))

    def slow(self, milliseconds):
        self._write(round(milliseconds * SLOW))

    def fail(self):
        self._write(-1)

    def heal(self):
        self._write(0)
