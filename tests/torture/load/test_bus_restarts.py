#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bus is killed and comes back, twenty times (200 in the long run): the daemon goes on with its
work, takes its name again and serves; of the clients that went with the bus nothing is left."""

from harness import *
from load import Load, descriptors, metrics, private_memory
from torture import choose, figure

RESTARTS = choose(20, 200)
WRITES = choose(50, 100)        # accepted just before each kill

# KiB over the restarts but for the first ones, after which malloc has what it needs (it takes a
# hundred until that grows no more). The objects, callers and subscriptions of a connection come to
# some 20 KiB, a connection of libsystemd's to 4: leaked, they would be 300 KiB in the short run, and
# even the latter 400 in the long one. Noise is some ten KiB.
WARM = choose(5, 100)
GROWTH = 128


class Restarts:
    """A daemon on a bus of its own, which dies again and again."""

    def __init__(self, t):
        self.t = t
        self.bus = Bus()
        t.closers.append(self.bus.stop)
        # The address without the bus's id: the next one has another.
        self.address = self.bus.address.split(',')[0]
        self.d = t.daemon({'Queue': {'Limit': '100000'}},
                          environ={'DBUS_SESSION_BUS_ADDRESS': self.address})
        self.p = t.parentd()
        self.parent = self.p.client()
        self.connect()

    def connect(self):
        self.c = Client(self.bus)
        self.c.monitor.state_is('connected')

    def has_name(self):
        return self.c.conn.call_sync(
            'org.freedesktop.DBus', '/', 'org.freedesktop.DBus', 'NameHasOwner',
            GLib.Variant('(s)', (NAME,)), None, 0, -1, None).unpack()[0]

    def write(self, turn):
        """Writes that are answered; the same keys each time, for keys take memory."""
        calls = [self.c.storage.start('SetItem', 'k%d' % i, 'v%d' % turn)
                 for i in range(WRITES)]
        for call in calls:
            call.wait()

    def kill(self):
        self.bus.kill()
        self.c.close()

    def at_parent(self, turn):
        return all(self.parent.value('k%d' % i) == 'v%d' % turn for i in range(WRITES))

    def back(self):
        began = time.monotonic()
        self.bus.start()
        self.c = Client(self.bus)
        # It tries again after 100 ms at first, and ever later, up to 5 s.
        wait_for(self.has_name, 'the name on the new bus', 10 * SLOW)
        self.c.monitor.state_is('connected')
        return time.monotonic() - began


@test
def restarts_of_the_bus_stop_nothing(t):
    r = Restarts(t)
    took, fds, memory = [], [], []
    for turn in range(RESTARTS):
        # Crowds of subscribers and of calls that wait go down with each bus.
        r.c.storage.Subscribe()
        lurkers = [Load(t, 'lurk', '--subscribe=1', '--flush=20', '--area=other', bus=r.bus)
                   for _ in range(2)]
        for lurker in lurkers:
            lurker.wait_for('ready')
        r.write(turn)
        r.kill()
        for lurker in lurkers:
            lurker.kill()
        # No bus is there, and what was accepted goes to the parent.
        wait_for(lambda: r.at_parent(turn), 'writes at the parent without a bus', 10 * SLOW)
        took.append(r.back())
        equal(r.c.storage.GetItem('k0'), 'v%d' % turn)
        # Nobody is subscribed on the new bus; who subscribes is told.
        r.c.storage.SetItem('quiet', str(turn))
        r.c.barrier()
        equal(r.c.heard('ItemChanged'), [])
        r.c.storage.Subscribe()
        r.c.storage.SetItem('loud', str(turn))
        wait_for(lambda: r.c.heard('ItemChanged') == [('loud', 'local')])
        fds.append(descriptors(r.d))
        memory.append(private_memory(r.d))
    assert max(fds[WARM:]) <= max(fds[:WARM]), 'descriptors grow: %s' % fds
    if not os.environ.get('ASAN_OPTIONS'):
        assert memory[-1] - memory[WARM] <= GROWTH, 'memory grows: %s' % memory
    r.c.storage.Flush(FOREVER)
    equal(metrics(r.c)['holdfast_queue_entries'], 0)
    equal(r.d.log().count('On the bus again'), RESTARTS)
    figure('bus restarts', RESTARTS)
    figure('bus restarts, writes sent without a bus', RESTARTS * WRITES)
    figure('bus restarts, name back after at most', '%.2f s' % max(took))
    figure('bus restarts, descriptors', '%d ... %d' % (min(fds), max(fds)))
    figure('bus restarts, growth, KiB', memory[-1] - memory[WARM])


if __name__ == '__main__':
    main()
