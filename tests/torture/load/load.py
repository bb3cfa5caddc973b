# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the load tests share: the load generator as a process, and what a daemon takes up."""

import os
import subprocess
import threading

from harness import DEADLINE, SLOW, Bus, wait_for

BUSLOAD = os.environ.get('HOLDFAST_BUSLOAD', 'busload')


class Load:
    """busload as a process: what it prints is in .lines, as it comes."""

    def __init__(self, t, *args, bus=None):
        self.lines = []
        self.process = subprocess.Popen(
            [BUSLOAD] + [str(a) for a in args],
            env=dict(os.environ, DBUS_SESSION_BUS_ADDRESS=(bus or t.bus).address),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        t.closers.append(self.kill)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip('\n'))

    def kill(self):
        """SIGKILL, and gone when it returns."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def has_ended(self):
        return self.process.poll() is not None

    def said(self, word):
        """The rest of the last line that begins with a word, or None."""
        for line in reversed(self.lines):
            if line.startswith(word + ' '):
                return line[len(word) + 1:]
        return None

    def number(self, word):
        return int(self.said(word))

    def wait_for(self, word, deadline=DEADLINE):
        """The rest of the line that begins with a word, when it has come."""
        def said():
            assert not self.has_ended() or self.said(word), '\n'.join(self.lines[-5:])
            return self.said(word)
        return wait_for(said, 'the load generator to say ' + word, deadline)

    def finish(self, deadline):
        """It ends by itself, with status 0, by the deadline (in seconds, stretched)."""
        wait_for(self.has_ended, 'the end of the load', deadline * SLOW)
        self.reader.join()
        assert self.process.returncode == 0, 'status %d: %s' % (
            self.process.returncode, '\n'.join(self.lines[-5:]))
        return self


class NarrowBus(Bus):
    """A bus with limits of a system bus, small ones, in bytes."""

    def __init__(self, **limits):
        self.limits = limits
        super().__init__()

    def config(self):
        text = super().config()
        limits = ''.join('  <limit name="%s">%d</limit>\n' % each for each in self.limits.items())
        return text.replace('</busconfig>', limits + '</busconfig>')


def private_memory(program):
    """KiB that are the process's alone and would be written to swap: private dirty pages."""
    with open('/proc/%d/smaps_rollup' % program.process.pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith('Private_Dirty:'))


def descriptors(program):
    return len(os.listdir('/proc/%d/fd' % program.process.pid))


def metrics(client):
    """GetMetrics as {name with labels: number}."""
    rows = (line.rsplit(' ', 1) for line in client.manager.GetMetrics().splitlines()
            if line and not line.startswith('#'))
    return {name: float(value) for name, value in rows}


def check_parent(parentd, path):
    """The parent holds what busload --expected wrote to @path. The number of keys."""
    client = parentd.client()
    keys = 0
    with open(path) as file:
        for line in file:
            area, key, value = line.rstrip('\n').split('\t')
            got = client.value(key, area)
            assert got == (value or None), '%s/%s at the parent: %r, wanted %r' % (
                area, key, got, value)
            keys += 1
    return keys


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
