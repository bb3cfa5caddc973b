# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every method there is, and the calls made of them."""

from gi.repository import GLib

from arguments import AREAS, MIB
from busclient import NAME, ROOT

FDO = 'org.freedesktop.DBus.'
LOG_CONTROL = '/org/freedesktop/LogControl1'

# Letters as in Arguments.body(): s key, V value, A area, t number, K keys, I items, O options.
METHODS = {
    NAME + '.Storage': {
        'GetItem': 's', 'GetItemFull': 'sO', 'GetItems': 'K', 'ListKeys': 's', 'SetItem': 'sV',
        'SetItems': 'I', 'RemoveItem': 's', 'Await': 'tt', 'Flush': 't', 'ListQueue': '',
        'ListRejected': '', 'GetRejected': 't', 'RetryRejected': 't', 'DropRejected': 't',
        'Subscribe': '', 'Unsubscribe': ''},
    NAME + '.Direct': {'GetItem': 's', 'SetItem': 'sV', 'RemoveItem': 's'},
    NAME + '.Monitor': {'CheckConnection': '', 'GetStats': ''},
    NAME + '.Manager': {'OpenArea': 'A', 'ListAreas': '', 'Reload': '', 'GetMetrics': ''},
    FDO + 'Peer': {'Ping': '', 'GetMachineId': ''},
    FDO + 'Introspectable': {'Introspect': ''},
    FDO + 'Properties': {'Get': 'PP', 'GetAll': 'P', 'Set': 'PPv'},
    FDO + 'ObjectManager': {'GetManagedObjects': ''},
}
# What is asked most, so that much of a run gets past the checks.
WEIGHTS = {'SetItem': 6, 'GetItem': 4, 'GetItemFull': 3, 'RemoveItem': 3, 'SetItems': 3,
           'Reload': 0.2, 'GetMetrics': 0.5, 'OpenArea': 0.5}
INTERFACES = [NAME + '.Storage', NAME + '.Direct', NAME + '.Monitor', NAME + '.Manager',
              'org.freedesktop.LogControl1', FDO + 'Properties', NAME + '.Nothing', '', 'a' * 255,
              'a' * 300, 'a' * MIB, '\uffff', 'a\ufdd0']
PROPERTIES = ['Area', 'QueueSize', 'QueueBytes', 'State', 'Reason', 'Parent', 'AutoRecover',
              'Version', 'LogLevel', 'LogTarget', 'SyslogIdentifier', '', 'x' * 255, 'x' * 300, 'x' * MIB,
              'No.Such', '\uffff', '\u00e9']
# A run must not talk itself out of its log, nor drown in it.
HARMLESS = ['info', 'warning', '', 'loud', 'x' * 300, 'nowhere', '\uffff']


def area_path(name):
    """Of an area's object: sd_bus_path_encode(), as the contract says."""
    label = ''.join(c if c.isascii() and (c.isalpha() or c.isdigit() and i) else '_%02x' % b
                    for i, c in enumerate(name) for b in c.encode()[:1])
    return ROOT + '/area/' + (label or '_')


PATHS = ([ROOT] * 25 + [area_path('fuzz-%d' % i) for i in (1, 2, 3)] * 8 +
         [area_path(a) for a in AREAS] +
         [LOG_CONTROL, '/', '/org', ROOT + '/area', ROOT + '/area/_', ROOT + '/area/a/b',
          ROOT + '/area/_2', ROOT + '/area/' + 'x' * 2000, '/no/such/object'])


class Call:
    """One call, before it is sent."""

    def __init__(self, path, interface, member, body):
        self.path, self.interface, self.member, self.body = path, interface, member, body
        self.no_reply = False

    def __repr__(self):
        body = self.body.print_(True) if self.body is not None else '()'
        return '%s %s.%s%s' % (self.path[:60], self.interface, self.member, body[:200])

    def waits(self):
        """Whether it may go unanswered for as long as it asks for."""
        return self.member in ('Await', 'Flush')


class Calls:
    """A source of calls."""

    def __init__(self, rng, arguments):
        self.rng, self.arguments = rng, arguments
        self.methods = [(i, m, s) for i, members in METHODS.items() for m, s in members.items()]
        self.weights = [WEIGHTS.get(m, 1) for _, m, _ in self.methods]

    def _properties_body(self, letters):
        rng = self.rng
        interface, name = rng.choice(INTERFACES), rng.choice(PROPERTIES)
        values = {'GetAll': (interface,), 'Get': (interface, name)}
        if letters != 'Set':
            return GLib.Variant('(%s)' % ('s' * len(values[letters])), values[letters])
        value = (GLib.Variant('s', rng.choice(HARMLESS)) if rng.random() < 0.6 else
                 self.arguments.of(rng.choice('ybnqiuxtd') if name.startswith('Log') else
                                   self.arguments.signature()))
        return GLib.Variant('(ssv)', (interface, name, value))

    def next(self):
        rng = self.rng
        interface, member, letters = rng.choices(self.methods, self.weights)[0]
        path = rng.choice(PATHS)
        kind = rng.random()
        if kind < 0.2:
            body = self.arguments.any_body()
        elif 'P' in letters:
            body = self._properties_body(member)
        else:
            body = self.arguments.body(letters)
        if kind > 0.97:
            member = rng.choice(['NoSuchMethod', 'getItem', member + 'X', 'x' * 255])
        call = Call(path, interface if kind < 0.99 else None, member, body)
        call.no_reply = rng.random() < 0.03
        return call
