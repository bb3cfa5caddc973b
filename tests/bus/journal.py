# SPDX-License-Identifier: LGPL-2.1-or-later
"""A journald of our own: what a daemon sends it, as dictionaries.

The socket's path is fixed, so the daemon runs in a mount namespace where our socket stands there:
that takes root.
"""

import os
import re
import shutil
import socket
import threading

from harness import Daemon, Skip, wait_for

CATALOG = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       '../../data/systemd/holdfast.catalog')
IDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../src/base/log-message.h')
# Where there is a journald its directory is covered; /run may hold the bus and is left as it is.
MOUNT = ('[ -d /run/systemd/journal ] || '
         '{ mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal; } && '
         'mount --bind "$0" /run/systemd/journal && exec "$@"')


def message_ids():
    """name -> id, of base/log-message.h."""
    with open(IDS) as file:
        return dict(re.findall(r'#define LOG_MESSAGE_(\w+)\s+"([0-9a-f]{32})"', file.read()))


def catalog_fields():
    """id -> the fields that its entry of the catalogue shows."""
    with open(CATALOG) as file:
        entries = re.findall(r'^-- (\w+)\n(.*?)(?=^-- |\Z)', file.read(), re.M | re.S)
    return {ident: set(re.findall(r'@(\w+)@', text)) for ident, text in entries}


class Journal:
    """The socket, read by a thread: the kernel keeps ten datagrams for a slow reader."""

    def __init__(self, t):
        if os.geteuid() != 0 or not shutil.which('unshare'):
            raise Skip('a journal of our own takes root and unshare')
        self.dir = os.path.join(t.dir, 'journal')
        os.mkdir(self.dir)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(os.path.join(self.dir, 'socket'))
        self.lock = threading.Lock()
        self.reading = threading.Event()
        self.reading.set()
        self.entries = []
        self.ids = message_ids()
        t.closers.append(self.close)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                data = self.sock.recv(65536)
            except OSError:
                return
            with self.lock:
                self.entries.append(dict(
                    line.split('=', 1) for line in data.decode().splitlines()))
            self.reading.wait()

    def close(self):
        self.reading.set()
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def hang(self):
        """Take at most one entry more, until wake()."""
        self.reading.clear()

    def wake(self):
        self.reading.set()

    def all(self):
        with self.lock:
            return list(self.entries)

    def of(self, name):
        """Entries with this MESSAGE_ID."""
        return [e for e in self.all() if e.get('MESSAGE_ID') == self.ids[name]]

    def one(self, name, deadline=None):
        """The one entry with this MESSAGE_ID, once it is there."""
        found = wait_for(lambda: self.of(name), 'the event ' + name, deadline)
        assert len(found) == 1, '%s came %d times: %r' % (name, len(found), found)
        return found[0]

    def text(self):
        return '\n'.join('%s=%s' % item for e in self.all() for item in e.items())

    def daemon(self, t, conf=None, start=True, **kwargs):
        """A holdfastd whose standard error is this journal's stream."""
        daemon = Daemon(t, conf, wrap=['unshare', '--mount', 'sh', '-c', MOUNT, self.dir], **kwargs)
        with open(daemon.log_path, 'ab') as file:
            stat = os.fstat(file.fileno())
        daemon.environ['JOURNAL_STREAM'] = '%d:%d' % (stat.st_dev, stat.st_ino)
        return daemon.start() if start else daemon

    def check_fields(self):
        """Everything the catalogue shows of an event was sent with it."""
        shown = catalog_fields()
        for entry in self.all():
            missing = shown.get(entry.get('MESSAGE_ID'), set()) - set(entry)
            assert not missing, '%s lacks %s' % (entry, missing)
