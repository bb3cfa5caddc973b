#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing that one user of the system bus is told depends on what others do.

Alice makes the same calls twice, chosen by a seed: once alone, once while two other users do all
that they can. What she was told (answers, errors with their sentences, signals, properties,
introspection) must be the same. Times are left out, and what the shared line to the parent is by
its nature: how often it was pinged, when, and whether what waits is just being sent.
"""

import os
import random
import shutil

import torture
from asuser import encode
from everycall import outcome
from harness import *
from noise import Noise
from systembus import SystemBus, SystemEnv, ordinary_uids

ALICE, BOB, CAROL = (ordinary_uids() + [None] * 4)[1:4]
SEED = torture.seed()
STEPS = torture.choose(20, 150)     # of each phase
RUNS = torture.choose(1, 4)

# Small, so that all of it is reached. Neither time nor what she may have herself empties her cache:
# what of it would go first is a matter of the order in which the line took her areas.
CONF = {
    'Parent': {'RequestTimeout': '4s', 'BatchTimeout': '30s'},
    'Heartbeat': {'Interval': '1h', 'Timeout': '20s'},
    'Limits': {'AreasPerUser': '4', 'BytesPerUser': '300K'},
    'Queue': {'Limit': '60', 'MaxBytes': '100K'},
    'Cache': {'TTL': '1h', 'MaxBytes': '512K'},
    'Storage': {'MaxValueSize': '30K', 'MaxBytes': '200K'},
}

LINE = ('total-pings', 'total-pongs', 'last-ping-time', 'last-pong-time', 'average-latency',
        'state-since', 'last-error')


class Alice:
    """The script, and what was told."""

    def __init__(self, t, seed):
        self.user = t.user(ALICE)
        self.rand = random.Random(seed)
        self.told = []
        self.user.listen()
        self.dir = t.dir
        self.areas = {'default': ROOT}
        self.online = True

    def note(self, what, told):
        self.told.append((len(self.told), what, told))

    def ask(self, path, interface, member, body=None, clean=lambda value: value):
        kind, value = outcome(self.user, path, (interface, member, body))
        if kind == 'answered':
            value = clean(value)
        if isinstance(value, str):
            value = value.replace(self.dir, '@')
            if value.startswith('Rejected send message'):
                value = 'the words of the bus, with process ids in them'
        self.note((path, member, body), (kind, value))

    def step(self):
        kinds = [n for n in sorted(dir(self)) if n.startswith('do_')]
        getattr(self, self.rand.choice(kinds))(self.rand.choice(sorted(self.areas.values())))

    def key(self):
        return self.rand.choice(['k%d' % i for i in range(12)] + ['bad'])

    def settle(self, path):
        """With a parent: so that what comes next finds nothing under way."""
        if self.online:
            self.ask(path, 'Storage', 'Flush', '(@t %d,)' % FOREVER)

    # ---- steps; each makes the same random choices whatever it is told ----

    def do_set(self, path):
        value = 'a' * self.rand.choice([1, 100, 5000, 29000, 31000])
        self.ask(path, 'Storage', 'SetItem', "('%s', '%s')" % (self.key(), value))
        self.settle(path)

    def do_set_again(self, path):
        for _ in range(3):
            self.ask(path, 'Storage', 'SetItem', "('%s', 'v%d')" % (self.key(), len(self.told)))
            self.settle(path)

    def do_group(self, path):
        items = ', '.join("'%s': 'v'" % self.key() for _ in range(4))
        self.ask(path, 'Storage', 'SetItems', '({%s},)' % items)
        self.settle(path)

    def do_remove(self, path):
        self.ask(path, 'Storage', 'RemoveItem', "('%s',)" % self.key())
        self.settle(path)

    def do_read(self, path):
        for _ in range(4):
            self.ask(path, 'Storage', 'GetItem', "('%s',)" % self.key())

    def do_read_full(self, path):
        def clean(value):
            return (value[0], {k: v for k, v in value[1].items() if k != 'age'})
        for source in ('any', 'local', 'parent'):
            self.ask(path, 'Storage', 'GetItemFull',
                     "('%s', {'source': <'%s'>})" % (self.key(), source), clean)

    def do_read_many(self, path):
        self.ask(path, 'Storage', 'GetItems', '(%r,)' % [self.key() for _ in range(5)])
        self.ask(path, 'Storage', 'ListKeys', "('k',)")

    def do_read_absent(self, path):
        self.ask(path, 'Storage', 'GetItem', "('absent%d',)" % self.rand.randrange(6))

    def do_queue(self, path):
        def waits(rows):
            return [(r[0], r[1], r[2], r[5]) for r in rows]
        self.ask(path, 'Storage', 'ListQueue', None, waits)
        for name in ('QueueSize', 'QueueBytes', 'Area'):
            self.ask(path, 'org.freedesktop.DBus.Properties', 'Get',
                     "('%s.Storage', '%s')" % (NAME, name))

    def do_await(self, path):
        self.ask(path, 'Storage', 'Await', '(@t %d, @t 0)' % self.rand.randrange(60))

    def do_rejected(self, path):
        serial = self.rand.randrange(1, 40)
        self.ask(path, 'Storage', 'ListRejected', None, lambda rows: [r[:4] for r in rows])
        self.ask(path, 'Storage', 'GetRejected', '(@t %d,)' % serial)
        member = self.rand.choice(['RetryRejected', 'DropRejected'])
        self.ask(path, 'Storage', member, '(@t %d,)' % serial)
        self.settle(path)

    def do_direct(self, path):
        key = self.key()
        self.ask(path, 'Direct', 'SetItem', "('%s', 'direct%d')" % (key, len(self.told)))
        self.ask(path, 'Direct', 'GetItem', "('%s',)" % key)
        self.ask(path, 'Direct', 'RemoveItem', "('%s',)" % self.key())

    def do_areas(self, path):
        name = self.rand.choice(['notes', 'a0', 'a1', 'a2', 'a3', '.bad', '%d/b' % BOB])
        self.ask(ROOT, 'Manager', 'OpenArea', "('%s',)" % name)
        if self.told[-1][2][0] == 'answered':
            self.areas[name] = self.told[-1][2][1]
        self.ask(ROOT, 'Manager', 'ListAreas')

    def do_look_around(self, path):
        theirs = '%s/area/%s' % (ROOT, encode('%d/%s' % (BOB, self.rand.choice(['default', 'a0']))))
        for there in (path, ROOT, ROOT + '/area', theirs):
            self.ask(there, 'org.freedesktop.DBus.Introspectable', 'Introspect')
        self.ask(theirs, 'Storage', 'GetItem', "('k1',)")
        self.ask(ROOT, 'Manager', 'GetMetrics')

    def do_monitor(self, path):
        def clean(stats):
            return {k: str(v).replace(self.dir, '@') for k, v in stats.items() if k not in LINE}
        self.ask(ROOT, 'Monitor', 'GetStats', None, clean)
        for name in ('State', 'Parent', 'FailedPings'):
            self.ask(ROOT, 'org.freedesktop.DBus.Properties', 'Get',
                     "('%s.Monitor', '%s')" % (NAME, name))

    def do_subscribe(self, path):
        self.ask(path, 'Storage', self.rand.choice(['Subscribe', 'Subscribe', 'Unsubscribe']))

    # ---- what came unasked ----

    def signals(self):
        """By object, in order: of two areas the line may take either first. QueueChanged is
        coalesced, and so are changes of Reason: how many come is a matter of time, and that each
        was of her own area is all there is to say."""
        heard = []
        for signal in self.user.heard():
            if signal.member == 'ConnectionStateChanged':
                state, stats = signal.args
                heard.append((signal.path, state) + tuple(stats[name] for name in (
                    'old-state', 'connects', 'disconnects', 'storage-error')))
            elif signal.member == 'QueueChanged':
                assert signal.path in self.areas.values(), signal
                assert signal.args[0] <= 60 and signal.args[1] <= 102400, signal
            elif signal.member == 'PropertiesChanged':
                equal((signal.path, signal.args[0]), (ROOT, NAME + '.Monitor'))
            else:
                heard.append((signal.path, signal.member, signal.args))
        return sorted(heard, key=lambda signal: signal[0])


def poisoned(parent):
    def hook(conn, message):
        if any(op['key'] == 'poison' for op in message['ops']):
            return conn.send(parent.error(message, 'permanent', 'not this'))
        return DEFAULT
    return hook


def listen(parent, t):
    """As a parent of another user must: its socket is for everybody from the start."""
    mask = os.umask(0)
    try:
        parent.start()
    finally:
        os.umask(mask)


def story(t, seed, others):
    """One telling. What Alice was told."""
    p = t.parent()
    p.refuse_ops['bad'] = ('rejected', 'not this one')
    p.on['batch'] = poisoned(p)
    t.daemon(CONF)
    alice = Alice(t, seed)
    alice.user.monitor.state_is('connected')
    noise = [Noise(t, uid, ALICE, seed) for uid in others]
    for phase in ('connected', 'away', 'connected again'):
        if phase == 'away':
            p.stop()
            alice.user.monitor.state_is('disconnected')
        elif phase == 'connected again':
            listen(p, t)
            alice.user.monitor.state_is('connected', 20)
        alice.online = phase != 'away'
        alice.note(phase, '')
        for path in sorted(alice.areas.values()):
            alice.settle(path)
        for _ in range(STEPS):
            for other in noise:
                other.beat(2)
            alice.step()
    for other in noise:
        other.end()
    diag('%d answers, %d kinds; the others: %s' % (
        len(alice.told), len({told[0] for _, _, told in alice.told if told}),
        ', '.join('%d steps, %d refused' % (n.steps, n.refused) for n in noise) or 'nobody'))
    return alice


def tell(t, seed, others):
    """A story in a world of its own: what Alice was told, and what signals she heard."""
    world = SystemEnv(t.bus)
    try:
        alice = story(world, seed, others)
        alice.settle(ROOT)
        return alice.told, alice.signals()
    except Exception:
        for name, log in world.logs():
            diag('---- end of the log of %s\n%s' % (name, '\n'.join(log.split('\n')[-30:])))
        raise
    finally:
        world.cleanup()
        shutil.rmtree(world.dir, ignore_errors=True)


@test
def what_others_do_changes_nothing_for_a_user(t):
    answers = signals = 0
    for seed in range(SEED, SEED + RUNS):
        alone, alone_heard = tell(t, seed, [])
        among, among_heard = tell(t, seed, [BOB, CAROL])
        for one, other in zip(alone, among):
            assert one == other, 'seed %d, answer %d to %.200s:\n alone %.300r\n among %.300r' % (
                seed, one[0], one[1], one[2], other[2])
        equal(len(alone), len(among))
        for one, other in zip(alone_heard, among_heard):
            equal(other, one, 'a signal of seed %d' % seed)
        equal(len(among_heard), len(alone_heard), 'signals of seed %d' % seed)
        answers += len(alone)
        signals += len(alone_heard)
    assert signals, 'there was nothing to hear'
    torture.figure('answers of one user, alone and among others',
                   '%d and %d signals compared' % (answers, signals))


if __name__ == '__main__':
    need_root()
    if CAROL is None:
        skip_all('three ordinary users are wanted, and one for the daemon')
    main(SystemBus, SystemEnv)
