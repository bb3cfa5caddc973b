#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two daemons on one state directory: one has it, the other says so and ends."""

import re
import shutil
from collections import namedtuple

from harness import *
from load import descriptors
from torture import choose, figure

RACES = choose(8, 240)
AT_ONCE = 4     # a loser waits three seconds for the winner to end before it gives up

# The whole line: it says which place it is about, what is wrong and what to look at.
REFUSAL = r'^err: %s\S* is in use by another process; is holdfastd running already\?$'


def rival(t, d, bus):
    """A second daemon for the state of the first, with a bus of its own; not started."""
    return Daemon(t, state=d.state, environ={'DBUS_SESSION_BUS_ADDRESS': bus.address})


def own_bus(t):
    bus = Bus()
    t.closers.append(bus.stop)
    return bus


def refused(daemon):
    """It ended by itself, with an error and a line."""
    status = daemon.wait()
    daemon.process = None
    assert status > 0, 'ended with status %d' % status
    log = daemon.log().rpartition('starts on the user bus')[2]      # this time
    lines = re.findall(REFUSAL % re.escape(daemon.state), log, re.M)
    equal(len(lines), 1, 'clear lines in: ' + log)


@test
def a_second_daemon_is_refused_and_the_first_feels_nothing(t):
    d, p = t.daemon(), t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    before = descriptors(d)
    seconds = [rival(t, d, own_bus(t)).start(ready=False) for _ in range(choose(3, 20))]
    turns = 0
    end = time.monotonic() + 20 * SLOW      # three seconds, and the start of each
    while any(second.alive() for second in seconds):
        assert time.monotonic() < end, 'a second daemon stays'
        turns += 1
        calls = [c.storage.start('SetItem', 'k%d' % n, str(turns)) for n in range(50)]
        for call in calls:
            call.wait()
        c.storage.Await(c.storage.SetItem('last', str(turns)), FOREVER)
    for second in seconds:
        refused(second)
    assert turns > 1
    wait_for(lambda: descriptors(d) <= before)
    equal(p.client().value('last'), str(turns))
    equal([n for n in os.listdir(d.state) if 'corrupt' in n], [])
    d.restart()
    equal(c.storage.GetItem('k49'), str(turns))


@test
def when_the_first_is_killed_the_second_may_start(t):
    buses = [t.bus, own_bus(t)]
    first = t.daemon()
    for i in range(choose(10, 100)):
        bus, other = buses[i % 2], buses[1 - i % 2]
        c = Client(bus)
        serial = c.storage.SetItem('k', str(i))
        second = rival(t, first, other).start(ready=False)
        # It waits for a while, for it may be that the first is about to end.
        never(lambda: second.notify.has('READY=1'), 0.05)
        first.kill9()
        wait_for(lambda: second.notify.has('READY=1'), 'the second to serve', 10 * SLOW)
        c.close()
        c = Client(other)
        equal(c.storage.GetItem('k'), str(i))
        assert c.storage.SetItem('other', str(i)) > serial
        c.close()
        first = second


class Pair:
    """Two daemons for one state directory, started at the same moment."""

    def __init__(self, t):
        self.t = t
        self.state = os.path.join(t.dir, 'contested-%d' % len(t.programs))
        self.daemons = [Daemon(t, state=self.state, environ={
            'DBUS_SESSION_BUS_ADDRESS': bus.address}) for bus in (own_bus(t), own_bus(t))]
        self.buses = [d.environ['DBUS_SESSION_BUS_ADDRESS'] for d in self.daemons]
        self.value = None

    def start(self):
        for d in self.daemons:
            d.start(ready=False)

    def winner(self):
        """Its number, when one is ready."""
        ready = [d.notify.has('READY=1') for d in self.daemons]
        assert not all(ready), 'both are served'
        return ready.index(True) if any(ready) else None

    def settle(self, value, crash):
        """One serves and keeps what was written; the other is refused. The winner's number."""
        wait_for(lambda: self.winner() is not None, 'a winner', 10 * SLOW)
        number = self.winner()
        refused(self.daemons[1 - number])
        equal(self.winner(), number)
        c = Client(namedtuple('Place', 'address')(self.buses[number]))
        if self.value is not None:
            equal(c.storage.GetItem('k'), self.value)
        c.storage.SetItem('k', value)
        self.value = value
        c.close()
        winner = self.daemons[number]
        winner.kill9() if crash else winner.stop()
        equal([n for n in os.listdir(self.state) if 'corrupt' in n], [])
        return number


@test
def of_two_at_the_same_moment_one_is_served(t):
    pairs = [Pair(t) for _ in range(AT_ONCE)]
    wins = [0, 0]
    for i in range(RACES // AT_ONCE):
        for pair in pairs:
            pair.daemons.reverse()
            pair.buses.reverse()
            if i % 4 == 0:      # the first start makes the database, the others find it
                shutil.rmtree(pair.state, ignore_errors=True)
                pair.value = None
            pair.start()
        for pair in pairs:
            wins[pair.settle(str(i), i % 4 == 2)] += 1
    figure('two daemons, races', RACES)
    figure('two daemons, won by who was started first, second', '%d, %d' % tuple(wins))


if __name__ == '__main__':
    main()
