# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of holdfastd on a private bus."""

import re
import time

from gi.repository import Gio, GLib

from privatebus import Bus  # noqa: F401
from waiting import CALL, drain, wait_for

NAME = 'org.holdfast1'
ROOT = '/org/holdfast1'
ERR = 'org.holdfast1.Error.'
FDO = 'org.freedesktop.DBus.Error.'


class BusError(Exception):
    """A D-Bus error reply: its name, and its sentence."""

    def __init__(self, error):
        self.name = Gio.DBusError.get_remote_error(error) or 'local.' + str(error.code)
        self.message = re.sub(r'^GDBus\.Error:[^:]*: ', '', error.message)
        super().__init__('%s: %s' % (self.name, self.message))


class Pending:
    """A call that is under way: done, then result or error."""

    def __init__(self):
        self.done = False
        self.result = None
        self.error = None
        self.ended_at = None

    def wait(self, deadline=None):
        wait_for(lambda: self.done, 'the reply to a pending call', deadline or CALL)
        if self.error is not None:
            raise self.error
        return self.result


class Signal:
    def __init__(self, path, interface, member, args):
        self.path, self.interface, self.member, self.args = path, interface, member, args
        self.at = time.monotonic()

    def __repr__(self):
        return '%s%r at %s' % (self.member, self.args, self.path)


def unpack_reply(variant):
    values = variant.unpack()
    if len(values) == 0:
        return None
    return values[0] if len(values) == 1 else values


class Client:
    """One connection to the bus. c.storage.SetItem('k', 'v') calls; c.signals gathers what comes."""

    def __init__(self, bus):
        self.conn = Gio.DBusConnection.new_for_address_sync(
            bus.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
            Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.conn.set_exit_on_close(False)
        self.signals = []
        self.conn.signal_subscribe(None, None, None, None, None, Gio.DBusSignalFlags.NO_MATCH_RULE,
                                   self._signal)
        self.storage = Iface(self, ROOT, NAME + '.Storage')
        self.direct = Iface(self, ROOT, NAME + '.Direct')
        self.monitor = Iface(self, ROOT, NAME + '.Monitor')
        self.manager = Iface(self, ROOT, NAME + '.Manager')

    def close(self):
        try:
            self.conn.close_sync(None)
        except GLib.Error as error:
            # The bus may have gone first.
            if not error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CLOSED):
                raise

    def _signal(self, conn, sender, path, interface, member, args):
        if interface != 'org.freedesktop.DBus':
            self.signals.append(Signal(path, interface, member, args.unpack()))

    def match(self, rule):
        """Ask the bus for broadcast signals too."""
        self.conn.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                            'AddMatch', GLib.Variant('(s)', (rule,)), None, 0, -1, None)

    def listen(self):
        """Hear the Monitor's broadcasts and PropertiesChanged."""
        self.match("type='signal',sender='%s'" % NAME)
        return self

    def heard(self, member, path=None):
        """The arguments of all signals of a name that have come so far."""
        drain()
        return [s.args for s in self.signals
                if s.member == member and (path is None or s.path == path)]

    def area(self, name):
        """Open an area; its Storage (and .direct on it)."""
        path = self.manager.OpenArea(name)
        iface = Iface(self, path, NAME + '.Storage')
        iface.direct = Iface(self, path, NAME + '.Direct')
        return iface

    def barrier(self):
        """Everything the daemon sent before now has arrived here."""
        self.call(ROOT, 'org.freedesktop.DBus.Peer', 'Ping', None)
        drain()

    def _args(self, path, interface, member, body, destination=NAME):
        return (destination, path, interface, member, body, None, Gio.DBusCallFlags.NO_AUTO_START,
                int(CALL * 1000))

    def call(self, path, interface, member, body):
        try:
            reply = self.conn.call_sync(*self._args(path, interface, member, body), None)
        except GLib.Error as error:
            raise BusError(error) from None
        return unpack_reply(reply)

    def start_call(self, path, interface, member, body, timeout=None, destination=NAME):
        pending = Pending()

        def ended(conn, result):
            try:
                pending.result = unpack_reply(conn.call_finish(result))
            except GLib.Error as error:
                pending.error = BusError(error)
            pending.done = True
            pending.ended_at = time.monotonic()
        args = list(self._args(path, interface, member, body, destination))
        args[-1] = int((timeout or CALL) * 1000)
        self.conn.call(*args, None, ended)
        return pending


# Arguments of every method, so that a test writes plain Python values.
SIGNATURES = {
    'GetItem': '(s)', 'GetItemFull': '(sa{sv})', 'GetItems': '(as)', 'ListKeys': '(s)',
    'SetItem': '(ss)', 'SetItems': '(a{ss})', 'RemoveItem': '(s)', 'Await': '(tt)', 'Flush': '(t)',
    'ListQueue': None, 'ListRejected': None, 'GetRejected': '(t)', 'RetryRejected': '(t)',
    'DropRejected': '(t)', 'Subscribe': None, 'Unsubscribe': None, 'CheckConnection': None,
    'GetStats': None, 'OpenArea': '(s)', 'ListAreas': None, 'Reload': None, 'GetMetrics': None,
}


class Iface:
    """Methods (and, through get(), properties) of one interface of one object."""

    def __init__(self, client, path, interface):
        self.client, self.path, self.interface = client, path, interface

    def _body(self, member, args):
        signature = SIGNATURES[member]
        return GLib.Variant(signature, args) if signature else None

    def __getattr__(self, member):
        if member not in SIGNATURES:
            raise AttributeError(member)
        return lambda *args: self.client.call(self.path, self.interface, member,
                                              self._body(member, args))

    def start(self, member, *args, timeout=None):
        """Call without waiting: a Pending."""
        return self.client.start_call(self.path, self.interface, member, self._body(member, args),
                                      timeout)

    def raw(self, member, signature, args):
        """Call with a body of the test's own choice."""
        return self.client.call(self.path, self.interface, member,
                                GLib.Variant(signature, args) if signature else None)

    def full(self, key, **options):
        """GetItemFull: (value, info)."""
        wrapped = {}
        for name, value in options.items():
            wrapped[name] = value if isinstance(value, GLib.Variant) else GLib.Variant(
                's' if isinstance(value, str) else 't', value)
        return self.GetItemFull(key, wrapped)

    def get(self, name):
        return self.client.call(self.path, 'org.freedesktop.DBus.Properties', 'Get',
                                GLib.Variant('(ss)', (self.interface, name)))

    def all(self):
        return self.client.call(self.path, 'org.freedesktop.DBus.Properties', 'GetAll',
                                GLib.Variant('(s)', (self.interface,)))

    def reads(self, key):
        """GetItem as a value, or the short name of its error."""
        try:
            return self.GetItem(key)
        except BusError as error:
            return error.name.rsplit('.', 1)[1]

    def queue(self):
        """ListQueue as (operation, key, state) triples."""
        return [(row[1], row[2], row[3]) for row in self.ListQueue()]

    def state_is(self, wanted, deadline=None):
        """Wait until the Monitor says so."""
        wait_for(lambda: self.get('State') == wanted, 'state ' + wanted, deadline)

    def reason(self):
        """The word of Reason."""
        return self.get('Reason').split(':')[0]


def fails(name, call, *args):
    """call(*args) must answer with an error of one of these names, and a sentence. The error."""
    names = name if isinstance(name, tuple) else (name,)
    names = tuple(n if '.' in n else ERR + n for n in names)
    try:
        value = call(*args)
    except BusError as error:
        assert error.name in names, 'got %s, wanted %s' % (error, ' or '.join(names))
        assert ' ' in error.message.strip(), 'not a sentence: %r' % error.message
        return error
    raise AssertionError('answered %r, wanted error %s' % (value, ' or '.join(names)))
