# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that is somebody else: a process of another user, in a sandbox, or both.

OtherClient starts this file as a program, which becomes who it is to be, connects, and then makes
the calls it reads from its input: the daemon under test judges a whole process, so that of the test
will not do.
"""

import errno
import json
import os
import subprocess
import sys
import tempfile

from gi.repository import Gio, GLib

from busclient import BusError, Client, Iface, NAME, ROOT, Signal, unpack_reply
from waiting import drain, wait_for

__all__ = ['OtherClient', 'Cgroup', 'encode']


def encode(text):
    """What sd_bus_path_encode makes of an ASCII name."""
    return ''.join(c if c.isalnum() and not (i == 0 and c.isdigit()) else '_%02x' % ord(c)
                   for i, c in enumerate(text))


class Cgroup:
    """A cgroup by the name of a unit, for processes to be put into; gone after close()."""

    def __init__(self, *names):
        top = self.mount_point()
        if top is None:
            raise OSError('no cgroup2 file system is mounted')
        self.made = [tempfile.mkdtemp(prefix='hf-test-', dir=top)]
        try:
            for name in names:
                self.made.append(os.path.join(self.made[-1], name))
                os.mkdir(self.made[-1])
        except OSError:
            self.close()
            raise
        self.path = self.made[-1]

    @staticmethod
    def mount_point():
        with open('/proc/self/mountinfo') as file:
            for line in file:
                fields = line.split()
                if fields[fields.index('-') + 1] == 'cgroup2':
                    return fields[4]
        return None

    def close(self):
        for path in reversed(self.made):
            wait_for(lambda: self._remove(path), 'the end of the last process in ' + path)

    @staticmethod
    def _remove(path):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True


class OtherClient:
    """As busclient.Client, but a process of its own: of a user, in a cgroup, with a root directory.

    late: the user it becomes when it is connected already, as a server that gives up privileges.
    """

    def __init__(self, bus, uid=0, cgroup=None, root=None, late=None):
        how = dict(address=bus.address, uid=uid, cgroup=cgroup, root=root, late=late)
        argv = [sys.executable, os.path.abspath(__file__), json.dumps(how)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert self._ask(['hello']) == 'connected', 'the other client does not connect'
        except Exception:
            self.close()
            raise
        self.uid = uid
        self.storage = Iface(self, ROOT, NAME + '.Storage')
        self.direct = Iface(self, ROOT, NAME + '.Direct')
        self.monitor = Iface(self, ROOT, NAME + '.Monitor')
        self.manager = Iface(self, ROOT, NAME + '.Manager')

    def _ask(self, request):
        self.process.stdin.write((json.dumps(request) + '\n').encode())
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        if reply[0] == 'error':
            raise OtherError(reply[1], reply[2])
        return reply[1]

    def call(self, path, interface, member, body, destination=NAME):
        body = body and [body.get_type_string(), body.print_(True)]
        kind, text = self._ask(['call', destination, path, interface, member, body])
        return unpack_reply(GLib.Variant.parse(GLib.VariantType(kind), text, None, None))

    def introspect(self, path):
        return self.call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect', None)

    def listen(self, rule="type='signal'"):
        """Hear whatever the bus lets it."""
        self.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'AddMatch',
                  GLib.Variant('(s)', (rule,)), destination='org.freedesktop.DBus')
        return self

    def heard(self, member=None):
        """The signals that have come so far, but those of the bus itself."""
        signals = [Signal(*s[:3], tuple(s[3])) for s in self._ask(['signals'])]
        return [s for s in signals if member is None or s.member == member]

    def area(self, name):
        path = self.manager.OpenArea(name)
        iface = Iface(self, path, NAME + '.Storage')
        iface.direct = Iface(self, path, NAME + '.Direct')
        return iface

    def at(self, path, interface='Storage'):
        return Iface(self, path, '%s.%s' % (NAME, interface))

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()


class OtherError(BusError):
    """A BusError that came from the other process."""

    def __init__(self, name, message):
        self.name, self.message = name, message
        Exception.__init__(self, '%s: %s' % (name, message))


# ---- the other process ----

class Plain:
    """A bus as Client wants it."""

    def __init__(self, address):
        self.address = address


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def connect(how):
    if how['cgroup']:
        with open(os.path.join(how['cgroup'], 'cgroup.procs'), 'w') as file:
            file.write(str(os.getpid()))
    if how['root'] is None:
        if how['uid'] != os.getuid():
            become(how['uid'])
        client = Client(Plain(how['address']))
    else:
        # The bus's socket is out of reach in there: as one connects before entering a sandbox.
        client = Client(Plain(how['address']))
        os.chroot(how['root'])
        os.chdir('/')
    if how['late'] is not None:
        become(how['late'])
    return client


def answer(client, request):
    if request[0] == 'hello':
        return 'connected'
    if request[0] == 'signals':
        drain()
        return [[s.path, s.interface, s.member, s.args] for s in client.signals]
    _, destination, path, interface, member, body = request
    body = body and GLib.Variant.parse(GLib.VariantType(body[0]), body[1], None, None)
    reply = client.conn.call_sync(destination, path, interface, member, body, None,
                                  Gio.DBusCallFlags.NO_AUTO_START, 60000, None)
    return [reply.get_type_string(), reply.print_(True)]


def main():
    client = connect(json.loads(sys.argv[1]))
    for line in sys.stdin:
        try:
            reply = ['ok', answer(client, json.loads(line))]
        except GLib.Error as error:
            error = BusError(error)
            reply = ['error', error.name, error.message]
        print(json.dumps(reply), flush=True)


if __name__ == '__main__':
    main()
