# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is done to a daemon while it, or its parent, is killed: a session, and all that it wrote.

A session is the same for the same number: scenes in an order of its own. Every value is written
once, so that what the parent applied twice shows.
"""

import random

from harness import FOREVER, Iface, SLOW, wait_for
from world import BIG

GONE = ('org.freedesktop.DBus.Error.NoReply', 'org.freedesktop.DBus.Error.ServiceUnknown',
        'org.freedesktop.DBus.Error.NameHasNoOwner')
UNAVAILABLE = 'org.holdfast1.Error.Unavailable'
TIMEOUT = 'org.holdfast1.Error.Timeout'
REJECTED = 'org.holdfast1.Error.Rejected'
QUOTA = 'org.holdfast1.Error.QuotaExceeded'


class Dead(Exception):
    """The daemon is no more: the session is over."""


class Write:
    """A call that changes something: @items {key: value, or None for a removal}."""

    def __init__(self, number, area, items, call, direct=False):
        self.number, self.area, self.items, self.call = number, area, items, call
        self.direct = direct
        self.group = len(items) > 1

    @property
    def acked(self):
        return self.call.done and self.call.error is None

    @property
    def refused(self):
        """Told that nothing was done."""
        return self.call.done and self.call.error is not None and \
            self.call.error.name in (UNAVAILABLE, QUOTA)

    @property
    def serial(self):
        return None if self.direct or not self.acked else self.call.result

    def __repr__(self):
        told = 'serial %s' % self.serial if self.acked else \
            str(self.call.error)[:60] if self.call.done else 'no answer'
        items = {k: v if v is None else v[:12] for k, v in self.items.items()}
        return '#%d %s %r (%s)' % (self.number, self.area, items, told)


class Session:
    """@on_tick is called while something is awaited: it notices deaths and may raise Dead."""

    def __init__(self, world, number, on_tick, plans):
        self.world, self.number, self.on_tick = world, number, on_tick
        self.plans = plans      # of the daemon and of the parent, or None
        self.rand = random.Random(number)
        self.writes = []
        self.calls = []
        self.areas = {'default': world.c.storage}
        self.extra_removes = 0          # of the oracle

    # -- calls --

    def call(self, iface, member, *args):
        pending = iface.start(member, *args)
        self.calls.append(pending)
        return pending

    def write(self, area, member, items, *args, direct=False):
        iface = self.world.c.direct if direct else self.areas[area]
        write = Write(len(self.writes), area, items, self.call(iface, member, *args), direct)
        self.writes.append(write)
        return write

    def value(self, size=8):
        text = 'v%d.' % len(self.writes)
        return text + 'x' * self.rand.randrange(size) + '.%d' % len(self.writes)

    def set(self, key, area='default', size=8):
        value = self.value(size)
        return self.write(area, 'SetItem', {key: value}, key, value)

    def remove(self, key, area='default'):
        return self.write(area, 'RemoveItem', {key: None}, key)

    def group(self, *keys, area='default'):
        items = {key: self.value() + key for key in keys}
        return self.write(area, 'SetItems', items, items)

    def wait(self, *calls):
        """Until all these, or all so far, are answered."""
        calls = [getattr(c, 'call', c) for c in calls] or self.calls

        def settled():
            self.on_tick()
            return all(c.done for c in calls)
        wait_for(settled, 'answers', 15 * SLOW)
        self.on_tick()
        for call in calls:
            if call.error is not None and call.error.name in GONE:
                self.gone()
        return calls[0]

    def gone(self):
        """The daemon's name went: so must it."""
        def tick():
            self.on_tick()
        wait_for(tick, 'the death of a daemon that does not answer', 15 * SLOW)

    def flush(self):
        for iface in list(self.areas.values()):
            self.wait(self.call(iface, 'Flush', FOREVER))

    # -- the scenes; each leaves daemon and parent running --

    def typing(self):
        for _ in range(6):
            self.set('t')
        self.wait()

    def pairs(self):
        self.wait(self.group('g1', 'g2', 'g3'))
        self.set('g2')
        self.group('g1', 'g4')
        self.wait()

    def crowd(self):
        self.set('a')
        self.remove('b')
        self.group('g1', 'g5')
        self.set('a')
        self.set('b')
        self.set('c', size=3000)
        self.remove('t')
        self.wait()

    def one_by_one(self):
        for key in ('o1', 'o2', 'o1'):
            self.wait(self.set(key))
        self.wait(self.remove('never-there'))

    def reads(self):
        storage = self.areas['default']
        for key in ('a', 'b', 'unknown', 'g1'):
            self.call(storage, 'GetItem', key)
        self.wait(self.call(storage, 'GetItems', ['a', 'o1', 'g2']),
                  self.call(storage, 'ListKeys', ''))
        self.wait()

    def straight(self):
        self.flush()
        for member, key in (('SetItem', 'd1'), ('SetItem', 'd2'), ('RemoveItem', 'd1')):
            value = self.value() if member == 'SetItem' else None
            args = (key, value) if value else (key,)
            self.wait(self.write('default', member, {key: value}, *args, direct=True))
        self.wait(self.call(self.world.c.direct, 'GetItem', 'd2'))

    def refused(self):
        value = self.value() + 'y' * BIG
        self.wait(self.write('default', 'SetItem', {'big': value}, 'big', value))
        self.set('after-big')
        self.flush()
        rows = self.wait(self.call(self.areas['default'], 'ListRejected')).result
        if rows and self.rand.random() < 0.5:
            self.wait(self.call(self.areas['default'], 'RetryRejected', rows[0][0]))
            self.flush()

    def away(self):
        """The parent goes and comes back; meanwhile work goes on."""
        self.stop(self.world.p)
        self.set('a')
        self.wait(self.group('g3', 'w1'))
        self.remove('o1')
        self.set('w2', area='other')
        self.wait()
        self.call(self.areas['default'], 'GetItem', 'c')
        self.wait()
        self.start(self.world.p)
        self.set('w1')
        self.wait()

    def rest(self):
        """The daemon ends as it should, and starts again."""
        self.set('r1')
        self.wait(self.remove('r2'))
        self.stop(self.world.d)
        self.start(self.world.d)
        self.wait(self.set('r1'))

    # -- programs --

    def plan_of(self, program):
        return self.plans[0] if program is self.world.d else self.plans[1]

    def start(self, program):
        if program.alive():
            return
        program.begin(self.plan_of(program))
        # Whether it was killed is for the tick to find out; it has forgotten the process then.
        self.on_tick()

    def stop(self, program):
        """With SIGTERM; it may meet its plan at that."""
        if program.process is None:
            return
        program.end()
        self.on_tick()

    SCENES = ('typing', 'pairs', 'crowd', 'one_by_one', 'reads', 'straight', 'refused', 'away',
              'rest')

    def run(self, scenes=SCENES):
        self.start(self.world.p)
        self.start(self.world.d)
        self.set('a')                   # while it connects
        self.wait(self.group('g1', 'g2'))
        self.wait(self.call(self.world.c.manager, 'OpenArea', 'other'))
        self.areas['other'] = Iface(self.world.c, '/org/holdfast1/area/other',
                                    'org.holdfast1.Storage')
        self.wait(self.set('a', area='other'))
        scenes = [getattr(self, name) for name in scenes]
        self.rand.shuffle(scenes)
        for scene in scenes:
            scene()
        self.set('last')
        self.wait(self.remove('a'))
        self.stop(self.world.d)
        self.stop(self.world.p)
