#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that do not behave: that never read, and that vanish in the middle of things."""

from harness import *
from load import Load, NarrowBus, descriptors, metrics, private_memory
from torture import choose, figure

EVENTS = choose(4000, 200000)   # signals to each subscriber
BURST = 100                     # writes under way at once
KEY = 'x' * 400                 # a signal is as long as its key
ROUNDS = choose(12, 300)        # of clients that vanish
WAITING = 30                    # calls of each kind that such a client leaves behind

# KiB of private memory. What a daemon that kept the signals would have to hold: EVENTS * (400 + 200
# bytes of message), 2.3 MiB in the short run. The bursts of writes take less than 1 MiB.
SIGNALS_GROWTH = 1024
# What 36 clients that vanish leave behind, 90 calls each and a subscription, comes to 2.3 MiB (seen
# with the waits not cancelled). What malloc has from the first rounds it keeps.
VANISHED_GROWTH = 512
FLOODS = choose(6, 40)          # that are killed
FLOOD_WINDOW = 120              # calls that each leaves behind
# Seen with these calls not freed: 280 for each flood.
FLOODS_GROWTH = 400


def grown(d, before):
    return 0 if os.environ.get('ASAN_OPTIONS') else private_memory(d) - before


def write_much(c, area):
    """EVENTS changes, a hundred at a time."""
    for i in range(EVENTS // BURST):
        calls = [area.start('SetItem', '%d-%s' % (k, KEY), str(i)) for k in range(BURST)]
        for call in calls:
            call.wait()
    c.barrier()


class Counter:
    """A subscriber that reads, and counts."""

    def __init__(self, t, area):
        self.client = t.client()
        self.client.area(area).Subscribe()
        self.count = 0

    def heard(self):
        drain()
        self.count += sum(s.member == 'ItemChanged' for s in self.client.signals)
        self.client.signals.clear()
        return self.count


def deaf_among_others(t, bus):
    """A subscriber that never reads, beside one that does: the daemon, and the deaf one's name."""
    t.closers.append(bus.stop)
    t.bus = bus
    d, c = t.offline({'Queue': {'Limit': '1000'}})
    deaf = Load(t, 'lurk', '--subscribe=1', '--area=crowded')
    name = deaf.wait_for('ready')
    counter = Counter(t, 'crowded')
    area = c.area('crowded')
    for k in range(BURST):              # the keys, so that what is measured is only the signals
        area.SetItem('%d-%s' % (k, KEY), '')
    before = private_memory(d)
    write_much(c, area)
    wait_for(lambda: counter.heard() == EVENTS + BURST, 'all signals to who reads', 30 * SLOW)
    growth = grown(d, before)
    assert growth <= SIGNALS_GROWTH, 'grew by %d KiB' % growth
    return d, name, growth


@test
def of_a_subscriber_that_never_reads_the_bus_tells_and_it_is_unsubscribed(t):
    d, name, growth = deaf_among_others(t, NarrowBus(max_outgoing_bytes=300000))
    said = [line for line in d.log().splitlines() if 'subscription of %s ' % name in line]
    equal(len(said), 1, 'lines about it')
    assert said[0].startswith('warning: ') and 'crowded' in said[0] and 'ends' in said[0], said
    assert 'subscription of' not in d.log().replace(said[0], ''), 'another was unsubscribed'
    figure('deaf subscriber, signals', EVENTS)
    figure('deaf subscriber, growth of the daemon, KiB', growth)


@test
def a_subscriber_that_never_reads_is_the_buss_burden_where_it_has_no_limits(t):
    d, _, _ = deaf_among_others(t, Bus())
    equal('subscription of' in d.log(), False)


@test
def what_a_client_had_under_way_when_it_was_killed_is_gone(t):
    p, d, c = t.connected({'Parent': {'RequestTimeout': '1min', 'BatchTimeout': '1h'},
                           'Retry': {'MaxAttempts': '1'}})
    # No batch is answered, so that Await and Flush wait for as long as somebody waits for them.
    p.hold('batch')
    calls = ['--subscribe=1', '--await=%d' % WAITING, '--flush=%d' % WAITING, '--get=%d' % WAITING]
    memory, fds = [], []
    for i in range(ROUNDS):
        p.hold('getFromParentStorage')
        lurkers = [Load(t, 'lurk', '--area=a%d' % n, '--half=%d' % (n % 2), *calls)
                   for n in range(3)]
        for lurker in lurkers:
            lurker.wait_for('ready')
        for lurker in lurkers:
            lurker.kill()
        # The answers to their gets come when they are gone.
        p.release('getFromParentStorage')
        c.storage.SetItem('k', str(i))
        fails('NoSuchItem', c.storage.full, 'nothing')
        memory.append(private_memory(d))
        fds.append(descriptors(d))
    p.release('batch')
    c.storage.Flush(FOREVER)
    for n in range(3):
        area = c.area('a%d' % n)
        area.Flush(FOREVER)
        equal(area.GetItem('lurker'), 'value')
        fails('NoSuchItem', area.GetItem, 'held')
    equal(metrics(c)['holdfast_queue_entries'], 0)
    assert max(fds[3:]) <= max(fds[:3]), 'descriptors grow: %s' % fds
    growth = memory[-1] - memory[2]
    if not os.environ.get('ASAN_OPTIONS'):
        assert growth <= VANISHED_GROWTH, 'memory grows: %s' % memory
    figure('vanished clients', ROUNDS * 3)
    figure('vanished clients, calls they left', ROUNDS * 3 * WAITING * 3)
    figure('vanished clients, growth of the daemon, KiB', growth)


@test
def a_flood_that_is_killed_leaves_nothing(t):
    """Its answers were put off, as somebody else calls: they go with it."""
    # Each flood meets its quota soon, with the keys of the one before: it takes no more room.
    d, c = t.offline({'Queue': {'Limit': '200'}})
    serials = []
    memory = []
    for i in range(FLOODS):
        load = Load(t, 'rival', '--samples=100', '--window=%d' % FLOOD_WINDOW)
        load.wait_for('phase fill', 60 * SLOW)
        load.kill()
        for n in range(20):
            serials.append(c.storage.SetItem('k', str(i)))
        c.barrier()
        memory.append(private_memory(d))
    equal(serials, sorted(set(serials)))
    equal(c.storage.GetItem('k'), str(i))
    growth = memory[-1] - memory[FLOODS // 3]
    if not os.environ.get('ASAN_OPTIONS'):
        assert growth <= FLOODS_GROWTH, 'memory grows: %s' % memory
    figure('killed floods', FLOODS)
    figure('killed floods, growth of the daemon, KiB', growth)


if __name__ == '__main__':
    main()
