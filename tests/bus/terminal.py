# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program on a terminal: a pseudoterminal of its own, and what a person would see on it."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios

from programs import SANITIZER
from waiting import SLOW, equal, wait_for

SEQUENCE = re.compile(r'\x1b\[(\??)([0-9;]*)([A-Za-z])')


class Screen:
    """What the escape sequences of our programs make of a screen. Any other is an error."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.modes = {'25': True, '7': True, '1049': False}
        self.styles = []
        self.pending = ''
        self.settled = True     # whether all was drawn since the size changed
        self.writes = 0
        self.clear()

    def clear(self):
        self.cells = {}
        self.row = self.column = 0

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.settled = False

    def lines(self):
        return [''.join(self.cells.get((r, c), ' ') for c in range(self.columns)).rstrip()
                for r in range(self.rows)]

    def text(self):
        return '\n'.join(self.lines())

    def feed(self, text):
        text = self.pending + text
        self.pending = ''
        while text:
            if text[0] != '\x1b':
                self.put(text[0])
                text = text[1:]
                continue
            found = SEQUENCE.match(text)
            if not found:
                assert len(text) < 16, 'an unknown sequence: %r' % text[:30]
                self.pending = text
                return
            self.obey(*found.groups())
            text = text[found.end():]

    def put(self, char):
        if char == '\r':
            self.column = 0
        elif char == '\n':
            self.row += 1
        else:
            assert char.isprintable(), 'a control character on the screen: %r' % char
            inside = self.row < self.rows and self.column < self.columns
            assert inside or not self.settled or not self.modes['1049'], \
                'written outside of the screen: row %d, column %d' % (self.row, self.column)
            self.cells[self.row, self.column] = char
            self.column += 1
            self.writes += 1

    def obey(self, private, numbers, command):
        if private:
            self.modes[numbers] = command == 'h'
        elif command == 'H':
            row, _, column = numbers.partition(';')
            self.row, self.column = int(row or 1) - 1, int(column or 1) - 1
        elif command == 'J' and numbers == '2':
            self.cells = {}
            self.settled = True
        elif command == 'K' and not numbers:
            for column in range(self.column, self.columns):
                self.cells.pop((self.row, column), None)
        elif command == 'm':
            self.styles.append(numbers)
        else:
            raise AssertionError('an unknown sequence: ESC [ %s %s' % (numbers, command))


class Terminal:
    """A program that has a terminal of @rows by @columns as its controlling one."""

    def __init__(self, argv, environ, rows=24, columns=80, stdin=True, drawn=True):
        """@drawn: the output is ours to understand; that of a shell with its line editor is not."""
        self.master, self.slave = pty.openpty()
        self.screen = Screen(rows, columns) if drawn else None
        self.raw = b''
        self.decoded = 0
        self._set_size(rows, columns)
        self.before = termios.tcgetattr(self.slave)

        def become_leader():
            os.setsid()
            fcntl.ioctl(1, termios.TIOCSCTTY, 0)
            # As in a login; whoever runs the tests may ignore some of them (nohup, a script's &).
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM,
                           signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
                signal.signal(number, signal.SIG_DFL)

        self.process = subprocess.Popen(argv, env=environ, stdout=self.slave, stderr=self.slave,
                                        stdin=self.slave if stdin else subprocess.DEVNULL,
                                        preexec_fn=become_leader)
        os.set_blocking(self.master, False)

    def _set_size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self):
        """Everything that was written since, onto the screen."""
        while True:
            try:
                data = os.read(self.master, 65536)
            except (BlockingIOError, OSError):
                break
            if not data:
                break
            self.raw += data
        whole = self.raw[self.decoded:]
        try:
            text = whole.decode()
        except UnicodeDecodeError as error:
            assert error.start >= len(whole) - 4, 'not UTF-8: %r' % whole
            whole = whole[:error.start]
            text = whole.decode()
        self.decoded += len(whole)
        if self.screen is None:
            return self.raw.decode(errors='replace')
        self.screen.feed(text)
        return self.screen.text()

    def shows(self, *texts, deadline=None):
        def check():
            shown = self.read()
            return all(text in shown for text in texts)
        try:
            wait_for(check, deadline=deadline)
        except AssertionError:
            raise AssertionError('%r is not on the screen:\n%s' % (texts, self.screen.text()))

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        self._set_size(rows, columns)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def is_stopped(self):
        with open('/proc/%d/stat' % self.process.pid) as file:
            return file.read().rsplit(')', 1)[1].split()[0] == 'T'

    def ended(self, status=0):
        """It ends, and the terminal is as it was."""
        def over():
            self.read()
            return self.process.poll() is not None
        wait_for(over, 'the end of the program', 10 * SLOW)
        self.read()
        equal(self.process.returncode, status, 'exit status (%s)' % self.screen.text())
        assert SANITIZER.search(self.raw.decode()) is None, self.raw.decode()
        self.is_restored()
        self.close()

    def is_restored(self):
        equal(termios.tcgetattr(self.slave), self.before, 'settings of the terminal')
        equal(self.screen.modes, {'25': True, '7': True, '1049': False}, 'modes of the terminal')

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for fd in (self.master, self.slave):
            if fd is not None:
                os.close(fd)
        self.master = self.slave = None
