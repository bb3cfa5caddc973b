# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that calls anything, and keeps account: of every call until its answer, and of what its own
keys must hold."""

import os
import time

from gi.repository import Gio, GLib

from arguments import MIB, is_carried, key_is_valid, option_is_valid
from busclient import ERR, FDO, NAME, ROOT
from calls import area_path
from rawclient import RawClient, unpack
from waiting import secs

OWN_KEYS = 12
NAME_OF_BUS = 'org.freedesktop.DBus'
WINDOW = 90             # calls under way: below the 128 that the daemon allows a caller
NAMES = {ERR + n for n in ('NoSuchItem', 'Unavailable', 'InvalidKey', 'InvalidValue', 'TooLarge',
                           'QuotaExceeded', 'Timeout', 'Rejected')}
AREAS = {ROOT: 'default', area_path('fuzz-1'): 'fuzz-1', area_path('fuzz-2'): 'fuzz-2'}
SIGNATURES = {'GetItem': '(s)', 'SetItem': '(ss)', 'RemoveItem': '(s)', 'ListKeys': '(s)',
              'GetItemFull': '(sa{sv})', 'GetItems': '(as)', 'SetItems': '(a{ss})'}
READ = {'ok', ERR + 'NoSuchItem', ERR + 'Unavailable'}
ABSENT = None
# What a bare errno says: an error that nobody has thought of.
STRERRORS = {os.strerror(number) for number in range(1, 134)}


class Own:
    """A call about the caller's own keys: a write of items (key → value or ABSENT), or a read."""

    def __init__(self, path, items=None, key=None):
        self.path, self.items, self.key = path, items, key
        self.answer = None          # then ('ok', values) or (error name, sentence)
        self.until = None           # how many own calls had been made when it came


class Caller:
    def __init__(self, world, number):
        self.world, self.rng, self.number = world, world.rng, number
        self.pending = {}           # serial → (call, Own or None, when)
        self.own = []
        self.last = None            # the call sent last
        self.raw = RawClient(world.address, self._message)
        self.pending[self.raw.serial] = ('Hello', None, time.monotonic())

    # ---- what comes ----

    def _message(self, raw, message):
        kind = message.get_message_type()
        if kind == Gio.DBusMessageType.SIGNAL:
            return
        if kind == Gio.DBusMessageType.METHOD_CALL:
            self.world.find('the daemon called us: %s' % message.get_member())
            return
        found = self.pending.pop(message.get_reply_serial(), None)
        if found is None and message.get_sender() == NAME_OF_BUS:
            return      # the bus itself answers also where no answer is wanted
        if found is None:
            self.world.find('an answer that nobody waits for: %s %r' % (
                message.get_error_name(), unpack(message)))
            return
        call, own, since = found
        answer = (message.get_error_name() or 'ok', unpack(message))
        self.world.answered(call, answer, time.monotonic() - since)
        self._judge(call, answer)
        if own is not None:
            own.answer, own.until = answer, len(self.own)

    def _judge(self, call, answer):
        name, values = answer
        if call == 'Hello':
            return
        self.world.tally(name)
        if name != 'ok':
            if name not in NAMES and not name.startswith(FDO):
                self.world.find('%s answered by an unknown error: %s %r' % (call, name, values))
            if len(values) != 1 or ' ' not in values[0].strip():
                self.world.find('%s: no sentence with %s: %r' % (call, name, values))
            if values[0] in STRERRORS:
                self.world.find('%s: no help with %s: %r' % (call, name, values))
        wanted = expected(call)
        if wanted and name not in wanted:
            self.world.find('%s answered %s %r, wanted %s' % (call, name, values, wanted))

    # ---- what goes out ----

    def full(self):
        return len(self.pending) >= WINDOW

    def send(self, call, own=None):
        self.last = call
        message = self.raw.call(NAME, call.path, call.interface, call.member, call.body,
                                call.no_reply)
        serial = self.raw.send(message)
        if not call.no_reply:
            self.pending[serial] = (call, own, time.monotonic())
        if own is not None:
            self.own.append(own)

    def vanish(self):
        """Leave, perhaps in the middle of a message. What is under way may come to be or not."""
        if self.rng.random() < 0.5:
            self.raw.send(self.raw.call(NAME, ROOT, NAME + '.Storage', 'SetItem',
                                        GLib.Variant('(ss)', ('hostile', 'x' * MIB))),
                          self.rng.random())
        self.raw.close()
        self.pending.clear()

    def _value(self):
        length = self.rng.choice([0, 3, 30, 300]) if self.rng.random() < 0.98 else (
            self.rng.choice([65536, MIB]))
        text = '%d:%d:' % (self.number, self.rng.randrange(10 ** 9))
        return (text + 'v' * length)[:MIB]

    def own_key(self):
        return 'model/%d/%d' % (self.number, self.rng.randrange(OWN_KEYS))

    def own_call(self):
        """A valid call about own keys: (Call's parts, Own)."""
        rng = self.rng
        path, kind = rng.choice(list(AREAS)), rng.random()
        key, value = self.own_key(), self._value()
        if kind < 0.35:
            return (path, 'SetItem', GLib.Variant('(ss)', (key, value))), Own(path, {key: value})
        if kind < 0.5:
            return (path, 'RemoveItem', GLib.Variant('(s)', (key,))), Own(path, {key: ABSENT})
        if kind < 0.6:
            items = {self.own_key(): self._value()[:1000] for _ in range(rng.randrange(1, 6))}
            return (path, 'SetItems', GLib.Variant('(a{ss})', (items,))), Own(path, items)
        return (path, 'GetItem', GLib.Variant('(s)', (key,))), Own(path, key=key)

    # ---- what must be ----

    def late(self):
        """Calls that should have been answered by now."""
        now = time.monotonic()
        return [call for call, _, since in self.pending.values()
                if call != 'Hello' and not call.waits() and now - since > secs(5)]

    def settle(self):
        """What each own (path, key) may hold; reads are checked on the way."""
        may = {}
        for at, own in enumerate(self.own):
            if own.items is not None:
                self._write(may, own)
            elif own.answer is not None:
                # A write may have overtaken it that was made before it was answered.
                later = {other.items[own.key] for other in self.own[at:own.until]
                         if other.path == own.path and own.key in (other.items or ())}
                self._read(may.get((own.path, own.key), {ABSENT}), later, own)
        return may

    @staticmethod
    def _write(may, own):
        for key, value in own.items.items():
            if own.answer is None:
                may[own.path, key] = may.get((own.path, key), {ABSENT}) | {value}
            elif own.answer[0] == 'ok':
                may[own.path, key] = {value}

    def _read(self, before, later, own):
        name, values = own.answer
        may = before | later
        if name == 'ok' and values[0] not in may:
            self.world.find('%s of %s read %.60r, which is none of %.200r' % (
                own.key, own.path, values[0], may))
        if name == ERR + 'NoSuchItem' and ABSENT not in may:
            self.world.find('%s of %s read as absent, not as %.200r' % (own.key, own.path, may))
        if name not in ('ok', ERR + 'NoSuchItem') and not (
                name == ERR + 'Unavailable' and (before == {ABSENT} or self.world.evicts)):
            self.world.find('%s of %s could not be read: %s' % (own.key, own.path, name))


def expected(call):
    """The answers a call must have, where that is plain; else None."""
    signature = SIGNATURES.get(call.member)
    if not signature or call.interface != NAME + '.Storage' or call.path not in AREAS:
        return None
    if call.body is None or call.body.get_type_string() != signature:
        return {FDO + 'InvalidArgs'}
    if call.member in ('GetItems', 'SetItems'):
        return expected_of_many(call)
    values = call.body.unpack()
    if not all(is_carried(value) for value in values if isinstance(value, str)):
        return {FDO + 'InvalidArgs'}
    if call.member == 'GetItemFull' and not options_are_valid(call.body.get_child_value(1)):
        return {FDO + 'InvalidArgs'}
    if call.member == 'ListKeys':
        return {'ok', ERR + 'TooLarge'}
    if not key_is_valid(values[0]):
        return {ERR + 'InvalidKey'}
    if call.member == 'SetItem' and len(values[1].encode()) > MIB:
        return {ERR + 'TooLarge'}
    allowed = {'ok', ERR + 'QuotaExceeded', FDO + 'IOError'}
    return allowed if not call.member.startswith('Get') else READ


def options_are_valid(options):
    pairs = [options.get_child_value(i) for i in range(options.n_children())]
    return len(pairs) <= 2 and all(option_is_valid(pair.get_child_value(0).get_string(),
                               pair.get_child_value(1).get_variant()) for pair in pairs)


def expected_of_many(call):
    """Of GetItems and SetItems; where much is wrong with the arguments it may be any of that."""
    array = call.body.get_child_value(0)
    items = [array.get_child_value(i) for i in range(array.n_children())]
    if len(items) > 1000:
        return None
    if call.member == 'GetItems':
        keys = texts = [item.get_string() for item in items]
    else:
        keys = [item.get_child_value(0).get_string() for item in items]
        texts = keys + [item.get_child_value(1).get_string() for item in items]
    if not all(is_carried(text) for text in texts):
        return {FDO + 'InvalidArgs'}
    if not all(key_is_valid(key) for key in keys):
        return {ERR + 'InvalidKey', ERR + 'TooLarge', ERR + 'InvalidValue', ERR + 'Unavailable',
                FDO + 'InvalidArgs'}
    return None
