#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Values of 1 MiB, wherever a value can be, and small calls beside them."""

from harness import *
from load import Load, median
from torture import choose, figure

MIB = 2 ** 20
# Room for what a test queues; bytes that a slow machine may take long over.
ROOMY = {'Parent': {'RequestTimeout': '4s', 'BatchTimeout': '10s'}, 'Queue': {'MaxBytes': '64M'}}
TURNS = choose(3, 9)
SAMPLES = choose(40, 200)       # rounds of four small calls


def large(letter, size=MIB):
    """A value that no other is like."""
    return (letter * size)[:size - 1] + '.'


def whole(value, letter, size=MIB):
    assert value == large(letter, size), '%d bytes, and not those that were written' % len(value)


@test
def large_values_go_to_the_parent_and_come_back(t):
    t.daemon(ROOMY)
    p = t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    for letter in 'abc':
        c.storage.SetItem(letter, large(letter))
        whole(c.storage.GetItem(letter), letter)                # from the queue, or the cache
    c.storage.Flush(FOREVER)
    look = p.client()
    for letter in 'abc':
        whole(look.value(letter), letter)
        whole(c.storage.full(letter, source='parent')[0], letter)
    # Written by another client of the parent, read here.
    equal('revision' in look.save('other', large('o')), True)
    whole(c.storage.GetItem('other'), 'o')
    p.stop()
    c.monitor.state_is('disconnected')
    for letter in 'abco':
        key = 'other' if letter == 'o' else letter
        whole(c.storage.full(key, source='local')[0], letter)


@test
def the_worst_text_of_1_mib_fits_the_wire(t):
    # JSON makes six bytes of each of these, and a line may have 8 MiB.
    t.daemon(ROOMY)
    p = t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    for key, text in (('control', '\x01' * MIB), ('quotes', '"\\' * (MIB // 2)),
                      ('wide', '\U0001f600' * (MIB // 4))):
        c.storage.SetItem(key, text)
        c.storage.Flush(FOREVER)
        equal(p.client().value(key) == text, True, key + ' at the parent')
        equal(c.storage.full(key, source='parent')[0] == text, True, key + ' read back')


@test
def a_group_of_1_mib_goes_whole(t):
    t.daemon(ROOMY)
    p = t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    group = {'k%03d' % i: 'x' * (MIB // 1000 - 4) for i in range(1000)}
    group['k000'] += 'x' * (MIB - sum(len(k) + len(v) for k, v in group.items()))
    equal(sum(len(k) + len(v) for k, v in group.items()), MIB)
    c.storage.SetItems(group)
    fails('TooLarge', c.storage.SetItems, dict(group, k001=group['k001'] + 'x'))
    c.storage.Flush(FOREVER)
    look = p.client()
    for key, value in group.items():
        equal(look.value(key), value)
    equal(c.storage.GetItems(list(group)), group)
    fails('TooLarge', c.storage.SetItem, 'k', 'x' * (MIB + 1))


@test
def bulk_answers_have_8_mib_and_no_more(t):
    t.daemon(ROOMY)
    t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    for letter in 'abcdefgh':
        c.storage.SetItem(letter, large(letter))
    c.storage.Flush(FOREVER)
    got = c.storage.GetItems(list('abcdefg'))
    for letter in 'abcdefg':
        whole(got[letter], letter)
    fails(('TooLarge', FDO + 'LimitsExceeded'), c.storage.GetItems, list('abcdefgh'))
    c.storage.SetItem('h', large('h', MIB - 1024))      # what is around eight values is less
    equal(len(c.storage.GetItems(list('abcdefgh'))), 8)


@test
def the_queue_takes_16_mib_and_says_what_it_does_not_take(t):
    d, c = t.offline()
    for i in range(15):
        c.storage.SetItem('k%02d' % i, large('x'))
    fails('QuotaExceeded', c.storage.SetItem, 'k15', large('x'))
    c.storage.SetItem('k15', large('y', MIB - 16 * 3))          # exactly full
    equal(c.storage.get('QueueBytes'), 16 * MIB)
    fails('QuotaExceeded', c.storage.SetItem, 'k', '')
    d.crash()
    equal(c.storage.get('QueueBytes'), 16 * MIB)
    p = t.parentd()
    c.storage.Flush(FOREVER)
    look = p.client()
    for i in range(15):
        whole(look.value('k%02d' % i), 'x')
    whole(look.value('k15'), 'y', MIB - 16 * 3)


@test
def refused_large_values_are_kept_and_tried_again(t):
    p, _, c = t.connected(ROOMY)
    c.storage.Subscribe()
    for i in range(17):
        p.refuse_ops['k%02d' % i] = ('rejected', 'too much')
        c.storage.SetItem('k%02d' % i, large(chr(ord('a') + i)))
    c.storage.Flush(FOREVER)
    rows = c.storage.ListRejected()
    # 16 MiB are kept; the oldest went, each with a signal.
    equal([row[2] for row in rows], ['k%02d' % i for i in range(2, 17)])
    wait_for(lambda: [key for _, key in c.heard('ItemDropped')] == ['k00', 'k01'])
    p.refuse_ops.clear()
    for serial, _, key, _, _ in rows[:choose(3, 15)]:
        letter = chr(ord('a') + int(key[1:]))
        whole(c.storage.GetRejected(serial), letter)
        c.storage.Await(c.storage.RetryRejected(serial), FOREVER)
        whole(p.value(key), letter)
    equal(len(c.storage.ListRejected()), choose(12, 0))


class Traffic:
    """Large calls, two under way, that write and read. How long each took, in usec."""

    def __init__(self, t):
        self.storage = t.client().area('large')
        self.took = []
        self.calls = []
        self.turns = 0

    def keep_up(self):
        """Look at those under way, and start others for those that ended."""
        for call, began in list(self.calls):
            if call.done:
                call.wait()
                self.took.append((call.ended_at - began) * 1e6)
                self.calls.remove((call, began))
        while len(self.calls) < 2:
            self.turns += 1
            args = ('SetItem', 'k', large('x')) if self.turns % 2 else ('GetItem', 'k')
            self.calls.append((self.storage.start(*args), time.monotonic()))

    def finish(self):
        while self.calls:
            self.calls.pop()[0].wait()


def probe(t, beside):
    """[p99 in usec] of Ping, GetItem and SetItem of a client beside something."""
    load = Load(t, 'probe', '--samples=%d' % SAMPLES)
    wait_for(lambda: beside() or load.has_ended(), 'the small calls', 120 * SLOW)
    load.finish(5)
    words = load.said('phase').split()
    return {words[i]: int(words[i + 2]) for i in range(1, len(words), 4)}


@test
def small_calls_wait_for_few_large_ones(t):
    """A large call takes a while of the bus, the daemon's loop and the disk, and a small one may
    meet the two that are under way at each of these places, and their successors: the time of eight
    large calls. Were they worked off before it (a queue that grows), it would be any number."""
    t.daemon(ROOMY)
    t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    ratios = {'GetItem': [], 'SetItem': []}
    idle, beside = [], []
    for _ in range(TURNS):
        idle.append(probe(t, lambda: False))
        traffic = Traffic(t)
        beside.append(probe(t, traffic.keep_up))
        traffic.finish()
        for name, values in ratios.items():
            values.append((beside[-1][name] - idle[-1][name]) / median(traffic.took))
    for name, values in ratios.items():
        figure('%s beside 1 MiB values, p99' % name, '%d usec, idle %d usec' % (
            median([each[name] for each in beside]), median([each[name] for each in idle])))
        figure('%s beside 1 MiB values, p99 over idle in large calls' % name,
               '%.2f' % median(values))
        assert median(values) <= 8, '%s waits for %s large calls' % (name, values)


if __name__ == '__main__':
    main()
