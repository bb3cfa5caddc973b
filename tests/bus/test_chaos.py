#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random writes against a daemon that is killed and a parent that fails in every way it may, and a
simple model of what must come out: nothing lost, nothing twice, nothing out of order, groups whole.

HOLDFAST_TEST_SEED repeats a run; HOLDFAST_TEST_ROUNDS makes it longer.
"""

import random

from disk import Disk
from harness import *

GIVEN = os.environ.get('HOLDFAST_TEST_SEED', '1')
SEED = random.randrange(1, 2 ** 32) if GIVEN == 'random' else int(GIVEN)
ROUNDS = int(os.environ.get('HOLDFAST_TEST_ROUNDS', '12'))
AREAS = ('default', 'two', 'three')
KEYS = ['k%d' % i for i in range(8)]


class Trouble:
    """The parent's moods: what becomes of each batch."""

    def __init__(self, parent, rand):
        self.parent, self.rand, self.calm = parent, rand, False
        parent.on['batch'] = self.batch
        parent.on['hello'] = self.hello

    def hello(self, conn, message):
        if self.calm or self.rand.random() < 0.8:
            return DEFAULT
        return conn.close()

    def batch(self, conn, message):
        mood = 1.0 if self.calm else self.rand.random()
        if any(op.get('value', '').startswith('poison') for op in message['ops']):
            if message['batch'] > self.parent.last.get(conn.client, (0,))[0]:
                return conn.send(self.parent.error(message, 'permanent', 'poisoned'))
        if mood < 0.15:
            return conn.close()                                 # before it was applied
        if mood < 0.35:
            self.parent.apply_batch(conn.client, message)       # after, and nobody is told
            return conn.close()
        if mood < 0.5:
            return conn.send(self.parent.error(message, self.rand.choice(
                ['transient', 'capacity']), retryAfter=self.rand.randrange(1, 20)))
        if mood < 0.6:
            self.parent.apply_batch(conn.client, message)
            return conn.send(b'garbage\n')
        return DEFAULT


class Model:
    """What was asked for, with a number that rises in each value."""

    def __init__(self):
        self.count = 0
        self.value = {}         # number → (area, key, operation)
        self.calls = []         # (Pending, [numbers])
        self.answered = set()
        self.groups = []        # sets of numbers that go together

    def number(self, area, key, kind):
        self.count += 1
        self.value[self.count] = (area, key, kind)
        return self.count

    def settle(self):
        """The calls have ended; remember which were answered well."""
        for call, numbers in self.calls:
            wait_for(lambda: call.done)
            if call.error is None:
                self.answered.update(numbers)
        self.calls = []


def write(rand, areas, model):
    """One random write."""
    area = rand.choice(AREAS)
    storage = areas[area]
    kind = rand.random()
    if kind < 0.65:
        key = rand.choice(KEYS)
        poison = rand.random() < 0.03
        n = model.number(area, key, 'poison' if poison else 'set')
        model.calls.append((storage.start('SetItem', key, '%s%d' % ('poison' if poison else '', n)),
                            [n]))
    elif kind < 0.8:
        # A remove has no value to number: it has a key of its own, used once.
        n = model.count + 1
        model.number(area, 'gone%d' % n, 'remove')
        model.calls.append((storage.start('RemoveItem', 'gone%d' % n), [n]))
    else:
        keys = rand.sample(KEYS, rand.randrange(1, 5))
        numbers = [model.number(area, key, 'group') for key in keys]
        model.groups.append(set(numbers))
        items = {key: str(n) for key, n in zip(keys, numbers)}
        model.calls.append((storage.start('SetItems', items), numbers))


def number_of(op):
    if op['type'] == 'removeFromParentStorage':
        return int(op['key'][4:])
    return int(op['value'].replace('poison', ''))


def check(parent, model):
    """Compare what the parent did with the model."""
    effects = [(batch, op['area'], op['key'], number_of(op)) for _, batch, op in parent.applied]
    numbers = [n for _, _, _, n in effects]
    equal(len(numbers), len(set(numbers)), 'something was applied twice')
    last = {}
    for _, area, key, n in effects:
        equal(model.value[n][:2], (area, key), 'went astray')
        assert n > last.get((area, key), 0), '%s/%s: %d after %d' % (area, key, n, last[area, key])
        last[area, key] = n
    # A poisoned write may have taken the place of one before it, and was then refused.
    poisoned = {}
    for n, (area, key, kind) in model.value.items():
        if kind == 'poison':
            poisoned[area, key] = n
    for n in model.answered:
        area, key, kind = model.value[n]
        if kind != 'poison' and n > poisoned.get((area, key), 0):
            assert last.get((area, key), 0) >= n, 'lost: write %d of %s/%s' % (n, area, key)
    by_number = {n: batch for batch, _, _, n in effects}
    for group in model.groups:
        batches = {by_number.get(n) for n in group}
        equal(len(batches), 1, 'a group came apart: %r' % group)


def run(t, durability, disk=None):
    diag('seed %d' % SEED)
    rand = random.Random(SEED)
    p = t.parent()
    d = t.daemon({'Retry': {'InitialDelay': ms(2), 'MaxDelay': ms(20)},
                  'Debounce': {'Delay': ms(3), 'MaxDelay': ms(10)},
                  'Storage': {'Durability': durability}}, environ=disk and disk.environ)
    c = t.client()
    c.monitor.state_is('connected')
    trouble = Trouble(p, random.Random(rand.random()))
    areas = {name: c.area(name) for name in AREAS}
    model = Model()
    for _ in range(ROUNDS):
        if disk:
            disk.slow(rand.choice([0, 1, 5, 30]))
        for _ in range(rand.randrange(5, 80)):
            write(rand, areas, model)
            if rand.random() < 0.1:
                drain()
        what = rand.random()
        if what < 0.4:
            if rand.random() < 0.5:
                model.settle()
            d.kill9()
            model.settle()
            d.start()
        elif what < 0.6:
            p.drop()
        elif what < 0.7:
            model.settle()
            d.restart()
        model.settle()
    trouble.calm = True
    if disk:
        disk.heal()
    c.monitor.state_is('connected')
    for area in areas.values():
        area.Flush(FOREVER)
        equal(area.get('QueueSize'), 0)
    check(p, model)
    for name, area in areas.items():
        refused = {number_of({'type': 'set', 'key': row[2], 'value': area.GetRejected(row[0])})
                   for row in area.ListRejected()}
        for n in refused:
            equal(model.value[n][2], 'poison', 'refused without reason')
        for key in KEYS:
            equal(area.reads(key), p.value(key, name) or 'NoSuchItem')
    equal(len({r['client'] for r in p.of('hello')}), 1, 'client ids')
    diag('%d writes, %d effects, %d batches, %d connections' % (
        model.count, len(p.applied), len(p.batches()), len(p.conns)))


@test
def nothing_is_lost_doubled_or_reordered(t):
    run(t, 'full')


@test
def nothing_is_lost_doubled_or_reordered_without_syncs(t):
    run(t, 'normal')


@test
def nothing_is_lost_doubled_or_reordered_on_a_slow_disk(t):
    run(t, 'full', Disk(t))


if __name__ == '__main__':
    main()
