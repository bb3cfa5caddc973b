#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every method, called with anything by several clients at once, while the parent comes and goes and
some of the clients leave: each call has one answer, and nobody's data suffers."""

import collections
import os
import random
import tempfile
import time

from gi.repository import Gio

from arguments import Arguments
from caller import AREAS, Caller
from calls import LOG_CONTROL, Call, Calls
from disk import Disk
from everycall import FDO_PROPERTIES
from harness import *
from torture import LONG, choose, figure, seed

# Writes may take as long as the disk does: here it is one that takes no time.
tempfile.tempdir = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None

CLIENTS = 5
SEED = seed()
GROWTH = 96 * 2 ** 20           # bytes of private memory that a run may leave: caches and queues
TINY = {'Storage': {'MaxBytes': '64K', 'MaxValueSize': '1M'},
        'Queue': {'Limit': '20', 'MaxBytes': '32K'}, 'Limits': {'AreasPerUser': '6'}}
ROOMY = {'Queue': {'MaxBytes': '4M'}, 'Limits': {'AreasPerUser': '32'}}


class World:
    """One run: its callers, what they found, and the programs they are let loose on."""

    def __init__(self, t, name, calls, conf, disk=None, evicts=False):
        self.t, self.name, self.calls, self.disk, self.evicts = t, name, calls, disk, evicts
        self.rng = random.Random('%d %s' % (SEED, name))
        self.address = t.bus.address
        self.step, self.made, self.slowest = 0, 0, 0
        self.findings, self.names = [], collections.Counter()
        self.parent = t.parentd()
        self.daemon = t.daemon(conf, environ=disk and disk.environ)
        self.canary = t.client()
        self.canary.monitor.state_is('connected')
        self.canary.call(LOG_CONTROL, FDO_PROPERTIES, 'Set', GLib.Variant('(ssv)', (
            'org.freedesktop.LogControl1', 'LogLevel', GLib.Variant('s', 'warning'))))
        for area in AREAS.values():
            self.canary.manager.OpenArea(area)
        self.source = Calls(self.rng, Arguments(self.rng))
        self.callers = [Caller(self, i) for i in range(CLIENTS)]
        self.gone = []

    def find(self, what):
        text = 'seed %d, %s, step %d: %s' % (SEED, self.name, self.step, what)
        self.findings.append(text)
        if len(self.findings) <= 20:
            diag(text)

    def tally(self, name):
        self.names[name] += 1

    def answered(self, call, answer, seconds):
        """@seconds after it was made. A disk that fails may hold up writes, and reads behind them."""
        if call == 'Hello' or call.waits():
            return
        self.slowest = max(self.slowest, seconds)
        if seconds > secs(5) and self.disk is None:
            self.find('%r took %.1f s to be answered' % (call, seconds))

    # ---- events ----

    def _event(self):
        kind = self.rng.randrange(6)
        if kind == 0 and self.parent.alive():
            self.parent.kill9()
        elif kind == 1 and not self.parent.alive():
            self.parent.start()
        elif kind == 2:
            self._replace(self.rng.randrange(CLIENTS))
        elif kind == 3 and self.disk:
            self.rng.choice([self.disk.fail, self.disk.heal, lambda: self.disk.slow(20)])()
        elif kind == 4 and self.parent.alive():
            self.parent.crash()

    def _replace(self, at):
        caller = self.callers[at]
        caller.vanish()
        self.gone.append(caller)
        self.callers[at] = Caller(self, CLIENTS + len(self.gone))

    def _send(self, caller):
        try:
            self._send_some(caller)
        except ConnectionError:
            self._hung_up(caller)

    def _hung_up(self, caller):
        """The bus has ended a connection: only what is no message may make it."""
        self.find('the bus hung up on caller %d after %r' % (caller.number, caller.last))
        self._replace(self.callers.index(caller))

    def _send_some(self, caller):
        if self.rng.random() < 0.3:
            (path, member, body), own = caller.own_call()
            caller.send(Call(path, NAME + '.Storage', member, body), own)
        else:
            caller.send(self.source.next())
        self.made += 1

    def _turn(self):
        took = False
        for caller in list(self.callers):
            try:
                took |= caller.raw.turn()
            except ConnectionError:
                self._hung_up(caller)
        assert self.daemon.alive(), 'holdfastd died at step %d (seed %d)' % (self.step, SEED)
        return took

    def run(self):
        while self.step < self.calls:
            self.step += 1
            if self.rng.random() < 0.003:
                self._event()
            caller = self.rng.choice(self.callers)
            if caller.full():
                self._make_room(caller)
            self._send(caller)
            if self.step % 8 == 0:
                self._turn()

    def _make_room(self, caller):
        """Wait until the caller may call again. One that only waits for acks is replaced."""
        end = time.monotonic() + secs(10)
        while caller.full() and time.monotonic() < end:
            if not self._turn():
                time.sleep(0.0005)
            if caller.full() and all(c != 'Hello' and c.waits()
                                     for c, _, _ in caller.pending.values()):
                break
        for late in caller.late():
            if self.disk is None:
                self.find('%r has no answer' % late)
        if caller.full():
            self._replace(self.callers.index(caller))

    # ---- after it ----

    def heal(self):
        if self.disk:
            self.disk.heal()
        if not self.parent.alive():
            self.parent.start()
        self.canary.monitor.state_is('connected', secs(30))

    def drain(self):
        """All that was acknowledged goes to the parent, and all that waits has its answer."""
        for area in self.canary.manager.ListAreas():
            flush = self.canary.area(area).start('Flush', FOREVER, timeout=120 * SLOW)
            wait_for(lambda: (self._turn(), flush.done)[1], 'the queue of ' + area, 120 * SLOW)
            if flush.error:
                self.find('Flush of %s: %s' % (area, flush.error))
        end = time.monotonic() + secs(8)
        while any(c.pending for c in self.callers) and time.monotonic() < end:
            if not self._turn():
                time.sleep(0.001)
        for caller in self.callers:
            for call, _, _ in caller.pending.values():
                self.find('%r has no answer' % (call,))

    def check_values(self):
        """Own keys, asked of the daemon and of the parent."""
        wire = self.parent.client()
        count = 0
        for caller in self.callers + self.gone:
            for (path, key), may in caller.settle().items():
                here = self._read(path, key)
                there = wire.value(key, AREAS[path])
                count += 1
                if here not in may or there != here:
                    self.find('%s of %s is %.60r here, %.60r at the parent, and should be one of '
                              '%.200r' % (key, path, here, there, may))
        assert count > 0
        return count

    def _read(self, path, key):
        try:
            return self.canary.call(path, NAME + '.Storage', 'GetItem', GLib.Variant('(s)', (key,)))
        except BusError as error:
            equal(error.name, ERR + 'NoSuchItem')
            return None


def open_fds(daemon):
    return len(os.listdir('/proc/%d/fd' % daemon.process.pid))


def private_bytes(daemon):
    """What the process has for itself."""
    with open('/proc/%d/smaps_rollup' % daemon.process.pid) as file:
        return sum(int(line.split()[1]) for line in file if line.startswith('Private')) * 1024


def set_canary(world):
    """Items in an area that no call is about."""
    area = world.canary.area('canary')
    for i in range(20):
        serial = area.SetItem('known %d' % i, 'value %d' % i)
    area.Flush(FOREVER)
    return area, serial


def check_canary(world, area, serial):
    equal(area.GetItems(area.ListKeys('')), {'known %d' % i: 'value %d' % i for i in range(20)})
    equal((area.get('QueueSize'), area.get('QueueBytes'), area.ListRejected()), (0, 0, []))
    equal(area.SetItem('known 0', 'value 0'), serial + 1, 'a serial was used: ')


def let_loose(t, name, calls, conf, disk=None, evicts=False):
    world = World(t, name, calls, conf, disk, evicts)
    area, serial = set_canary(world)
    fds, memory = open_fds(world.daemon), private_bytes(world.daemon)
    began = time.monotonic()
    world.run()
    took = time.monotonic() - began
    world.heal()
    world.drain()
    checked = world.check_values()
    check_canary(world, area, serial)
    for caller in world.callers:
        caller.raw.close()
    wait_for(lambda: open_fds(world.daemon) <= fds + 2, 'file descriptors to be closed')
    grown = private_bytes(world.daemon) - memory
    if SLOW == 1 and grown > GROWTH:
        world.find('%d MiB of memory are left over' % (grown >> 20))
    figure('calls of %s' % name, '%d in %.0f s, %d answered ok, %d kinds of errors' % (
        world.made, took, world.names['ok'], len(world.names) - 1))
    figure('own keys checked after %s' % name, checked)
    figure('slowest answer of %s' % name, '%.2f s' % world.slowest)
    if LONG or os.environ.get('HOLDFAST_TEST_TIMES'):
        diag('answers: %s' % ', '.join('%s %d' % (n.rsplit('.', 1)[-1], c)
                                       for n, c in world.names.most_common()))
    assert not world.findings, '%d findings, the first: %s' % (len(world.findings),
                                                               world.findings[0])


@test
def descriptors_do_not_reach_the_daemon(t):
    _, c = t.offline()
    for member in ('GetItem', 'SetItem', 'NoSuchMethod'):
        message = Gio.DBusMessage.new_method_call(NAME, ROOT, NAME + '.Storage', member)
        copies = Gio.UnixFDList.new()
        copies.append(0)
        message.set_unix_fd_list(copies)
        message.set_body(GLib.Variant('(hs)', (0, 'a descriptor')))
        answer = c.conn.send_message_with_reply_sync(message, Gio.DBusSendMessageFlags.NONE,
                                                     int(CALL * 1000), None)[0]
        equal(answer.get_error_name(), FDO + 'NotSupported')


@test
def anything_is_called(t):
    let_loose(t, 'any calls', choose(3000, 150000), ROOMY)


@test
def anything_is_called_under_a_tiny_quota_and_with_a_failing_disk(t):
    let_loose(t, 'calls with little room', choose(2000, 60000), TINY, Disk(t), evicts=True)


if __name__ == '__main__':
    main()
