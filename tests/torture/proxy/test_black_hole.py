#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parent falls silent and no connection closes: whoever asks for what is known here is answered
within a second all the same, from the first moment on. On the shipped defaults.

Calls begin at a fixed rate, whether earlier ones were answered or not, so that a time in which all
are slow counts with all the calls that fall into it. What a call to the bus itself takes, in which
the daemon has no part, is this machine's doing and not counted against the others, nor what its
disk takes against writes and the reads behind them.
"""

import random
import threading

from faultworld import SHIPPED, FaultWorld
from harness import *
from torture import LONG, choose, figure, seed

SEED = seed()
LIMIT = 1.0                 # seconds; p99.9 of each kind of call
SECONDS = choose(5.0, 8.0)  # of each hole: the link is lost after 3.5 to 8
PERIOD = 0.004              # between calls
ITEMS = 4000                # known here, none of them fresh

# name → (interface, member, arguments) of a call that has a local answer. K: a key known here.
CALLS = {
    'GetItem': lambda w: ('storage', 'GetItem', w.key()),
    'GetItemFull any': lambda w: ('storage', 'GetItemFull', w.key(), {}),
    'GetItemFull local': lambda w: (
        'storage', 'GetItemFull', w.key(), {'source': GLib.Variant('s', 'local')}),
    'GetItems': lambda w: ('storage', 'GetItems', [w.key(), w.key(), w.key()]),
    'GetItem of an own write': lambda w: ('storage', 'GetItem', w.written()),
    'GetItem of a removed one': lambda w: ('storage', 'GetItem', w.removed()),
    'ListKeys': lambda w: ('storage', 'ListKeys', 'k1'),
    'SetItem': lambda w: ('storage', 'SetItem', w.write(), w.value()),
    'SetItems': lambda w: ('storage', 'SetItems', {w.write(): w.value(), w.write(): w.value()}),
    'RemoveItem': lambda w: ('storage', 'RemoveItem', w.remove()),
    'ListQueue': lambda w: ('storage', 'ListQueue'),
    'ListRejected': lambda w: ('storage', 'ListRejected'),
    'GetRejected': lambda w: ('storage', 'GetRejected', 1),
    'RetryRejected': lambda w: ('storage', 'RetryRejected', 1),
    'DropRejected': lambda w: ('storage', 'DropRejected', 1),
    'Await 0': lambda w: ('storage', 'Await', 1, 0),
    'Flush 0': lambda w: ('storage', 'Flush', 0),
    'Subscribe': lambda w: ('storage', 'Subscribe'),
    'Unsubscribe': lambda w: ('storage', 'Unsubscribe'),
    'GetStats': lambda w: ('monitor', 'GetStats'),
    'CheckConnection': lambda w: ('monitor', 'CheckConnection'),
    'ListAreas': lambda w: ('manager', 'ListAreas'),
    'OpenArea': lambda w: ('manager', 'OpenArea', 'another'),
    'GetMetrics': lambda w: ('manager', 'GetMetrics'),
    'Reload': lambda w: ('manager', 'Reload'),
    'Introspect': lambda w: ('introspect',),
    'property': lambda w: ('property', 'Monitor', 'State'),
    'properties': lambda w: ('properties', 'Storage'),
    'the bus': lambda w: ('bus',),
}
READS = ('GetItem', 'GetItemFull any', 'GetItems')
MACHINE = 'the bus'         # not a call to the daemon
WRITES = ('SetItem', 'SetItems', 'RemoveItem', 'GetItem of an own write',
          'GetItem of a removed one')
FINE = {'Flush 0': 'Timeout', 'Await 0': 'Timeout', 'GetItem of a removed one': 'NoSuchItem',
        'GetRejected': 'InvalidValue', 'RetryRejected': 'InvalidValue',
        'DropRejected': 'InvalidValue'}

# (what is done to the link, what goes on when it happens)
HOLES = [('hole both stop', 'writes'), ('hole both stop', 'reads'), ('hole down stop', 'writes'),
         ('hole up swallow', 'writes'), ('hole both swallow', 'reads'),
         ('hole down swallow', 'reads'), ('hole both stop', 'a large write'),
         ('hole both stop', 'the start')]


class DiskProbe:
    """How long this machine's disk takes: a file beside the daemon's is synced all the time."""

    def __init__(self, directory):
        self.file = open(os.path.join(directory, 'probe'), 'wb')
        self.worst = 0      # seconds
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.ended.wait(0.03):
            began = time.monotonic()
            self.file.write(b'x' * 200)
            self.file.flush()
            os.fdatasync(self.file.fileno())
            self.worst = max(self.worst, time.monotonic() - began)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()
        self.file.close()


class Work:
    """What the calls are about: keys and values that are used once."""

    def __init__(self, rand):
        self.rand, self.next_key, self.count = rand, 0, 0
        self.own, self.gone = ['w0'], ['gone']

    def key(self):
        """One that was not asked for yet."""
        self.next_key += 1
        assert self.next_key <= ITEMS, 'too few items'
        return 'k%d' % self.next_key

    def write(self):
        self.count += 1
        self.own.append('w%d' % (self.count % 300))
        return self.own[-1]

    def value(self):
        self.count += 1
        return 'v%d' % self.count

    def written(self):
        return self.rand.choice(self.own)

    def remove(self):
        self.count += 1
        self.gone.append('gone%d' % self.count)
        return self.gone[-1]

    def removed(self):
        return self.rand.choice(self.gone)


def begin_call(client, call):
    """A Pending."""
    face, *args = call
    if face == 'bus':
        return client.start_call('/org/freedesktop/DBus', FDO_BUS, 'GetId', None,
                                 destination=FDO_BUS)
    if face == 'introspect':
        return client.start_call(ROOT, FDO_BUS + '.Introspectable', 'Introspect', None)
    if face == 'property':
        return client.start_call(ROOT, FDO_PROPERTIES, 'Get',
                                 GLib.Variant('(ss)', ('org.holdfast1.' + args[0], args[1])))
    if face == 'properties':
        return client.start_call(ROOT, FDO_PROPERTIES, 'GetAll',
                                 GLib.Variant('(s)', ('org.holdfast1.' + args[0],)))
    return getattr(client, face).start(*args)


FDO_BUS = 'org.freedesktop.DBus'
FDO_PROPERTIES = 'org.freedesktop.DBus.Properties'


def quantile(times, share):
    """Of a sorted list: the smallest that no more than 1 - @share are above."""
    return times[min(len(times) - 1, int(len(times) * share))]


def summary(times):
    times = sorted(times)
    return 'p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms of %d' % (
        quantile(times, 0.5) * 1e3, quantile(times, 0.99) * 1e3, quantile(times, 0.999) * 1e3,
        times[-1] * 1e3, len(times))


def answered_well(name, pending):
    if pending.error is None:
        return True
    return pending.error.name == ERR + FINE.get(name, 'none')


def run_calls(clients, work, seconds, names):
    """Begin calls at their rate for a while; name → [(begun, usec it took)], seconds from now."""
    started, begun = time.monotonic(), []
    wanted = list(names)
    while time.monotonic() < started + seconds:
        name = wanted[len(begun) % len(wanted)]
        at = time.monotonic()
        client = clients[len(begun) % len(clients)]
        begun.append((name, at, begin_call(client, CALLS[name](work))))
        while time.monotonic() < started + len(begun) * PERIOD:
            turn(0.001)
    took = {}
    for name, at, pending in begun:
        wait_for(lambda: pending.done, 'the reply to ' + name)
        assert answered_well(name, pending), '%s after %.3f s: %s' % (
            name, at - started, pending.error)
        took.setdefault(name, []).append((at - started, pending.ended_at - at))
    return took


def prepare(world):
    """A daemon that knows ITEMS items and holds none of them fresh; a client."""
    client = world.begin(SHIPPED)
    for first in range(1, ITEMS + 1, 500):
        client.storage.SetItems({'k%d' % i: 'v%d' % i for i in range(first, first + 500)})
    client.storage.SetItem('w0', 'v0')
    client.storage.RemoveItem('gone')
    client.storage.Flush(20000000)
    # The cache is memory; the items are not.
    world.daemon_process.restart()
    client.monitor.state_is('connected', 15 * SLOW)
    return client


def one_hole(world, hole, event, rand):
    """name → [(begun, took)] in a black hole of SECONDS."""
    client, work = prepare(world), Work(rand)
    # A caller may have 128 calls unanswered.
    clients = [client] + [world.client() for _ in range(5)]
    names = [name for name in CALLS if name not in READS]
    if event != 'reads':
        names.remove('CheckConnection')     # it pings at once, which finds the hole sooner
    # A third of all calls are reads that would rather hear the parent.
    names += list(READS) * 4
    rand.shuffle(names)
    if event == 'writes':
        run_calls(clients, work, 0.5, names)
    if event == 'a large write':
        world.proxy.ask('throttle up 300000')
        client.storage.SetItems({'large': 'x' * 1000000})
        wait_for(lambda: world.proxy.stats()['up-held'] > 200000, 'a batch under way')
    world.proxy.ask(hole)
    if event == 'the start':
        world.daemon_process.crash()
    took = run_calls(clients, work, SECONDS, names)
    assert client.monitor.get('State') != 'connected', 'the hole was not noticed'
    return took


def late_ones(took, limit_of):
    """What is to be said of each kind of call whose p99.9 is over its limit in seconds."""
    late = []
    for name in sorted(took):
        times, limit = sorted(t for _, t in took[name]), limit_of(name)
        slow = [at for at, t in took[name] if t > limit]
        if quantile(times, 0.999) > limit:
            late.append('%s: %s; over %.2f s: those begun from %.2f to %.2f s' % (
                name, summary(times), limit, min(slow), max(slow)))
    return late


def make(hole, event, number):
    def function(world):
        with DiskProbe(world.dir) as disk:
            took = one_hole(world, hole, event, random.Random('%d:%d' % (SEED, number)))
        machine = max(t for _, t in took.pop(MACHINE))
        text = '%s (the bus alone: max %.1f ms; the disk: %.1f ms)' % (
            summary(t for times in took.values() for _, t in times), machine * 1e3,
            disk.worst * 1e3)
        diag(text)
        if LONG:
            figure('calls during black hole (%s, %s)' % (hole, event), text)
        # A commit waits for the one that is under way.
        late = late_ones(took, lambda name: LIMIT * SLOW + machine +
                         (2 * disk.worst if name in WRITES else 0))
        assert not late, 'p99.9 (seed %d): %s' % (SEED, '\n'.join(late))
    function.__name__ = 'calls are answered in %s during %s' % (hole, event)
    return function


for number, (hole, event) in enumerate(HOLES[:choose(1, len(HOLES))]):
    test(make(hole, event, number))


if __name__ == '__main__':
    main(make_env=FaultWorld)
