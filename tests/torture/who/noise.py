# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another user of the system bus, who does whatever that user can, as often as the bus lets it."""

import random
import threading

from busclient import BusError, ROOT
from asuser import encode
from gi.repository import GLib
from waiting import FOREVER, wait_for

VALUE = 'n' * 20000


class Noise:
    """A user in a thread of its own; @victim is the uid whose areas it is after."""

    def __init__(self, t, uid, victim, seed):
        self.user, self.victim = t.user(uid), victim
        self.rand = random.Random(seed * 7919 + uid)
        self.storage = self.user.storage
        self.steps, self.refused, self.broken = 0, 0, None
        self.done = set()       # kinds of steps of which all calls were answered
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def beat(self, steps=4):
        """Let it do so much more."""
        until = self.steps + steps
        wait_for(lambda: self.steps >= until or self.broken, 'noise', 60)
        assert not self.broken, self.broken

    def end(self):
        self.ending.set()
        self.thread.join()
        assert not self.broken, self.broken
        assert self.steps and self.refused, 'it was refused nothing: %d steps' % self.steps
        assert not any(name.startswith('do_trespass') for name in self.done), self.done
        assert len(self.done) >= 8, 'little was done: %s' % self.done

    def _run(self):
        kinds = [getattr(self, n) for n in sorted(dir(self)) if n.startswith('do_')]
        while not self.ending.is_set():
            kind = self.rand.choice(kinds)
            try:
                kind()
                self.done.add(kind.__name__)
            except BusError:
                self.refused += 1
            except Exception as error:      # told by whoever waits for the noise
                self.broken = repr(error)
                return
            self.steps += 1

    def key(self):
        return 'k%d' % self.rand.randrange(30)

    def victims(self):
        name = self.rand.choice(['default', 'notes', 'a0', 'a1', 'a2', 'a3', 'x'])
        return '%s/area/%s' % (ROOT, encode('%d/%s' % (self.victim, name)))

    def do_set(self):
        self.storage.SetItem(self.key(), VALUE[:self.rand.randrange(len(VALUE))])

    def do_flood(self):
        for i in range(80):
            self.storage.SetItem('flood%d' % i, VALUE[:3000])

    def do_group(self):
        self.storage.SetItems({self.key(): 'n' for _ in range(20)})

    def do_remove(self):
        self.storage.RemoveItem(self.key())

    def do_direct(self):
        self.user.direct.SetItem(self.key(), 'n')
        self.user.direct.GetItem(self.key())
        self.user.direct.RemoveItem(self.key())

    def do_read(self):
        self.storage.GetItem(self.key())
        self.storage.GetItems([self.key() for _ in range(10)])

    def do_read_in_vain(self):
        """100 KB of "there is no such item" to be remembered."""
        first = self.rand.randrange(10 ** 9)
        self.storage.GetItems(['%0500d' % (first + i) for i in range(200)])

    def do_be_rejected(self):
        self.storage.SetItem('bad', 'n')
        self.storage.SetItems({'bad': 'n', self.key(): 'n'})

    def do_poison(self):
        self.storage.SetItem('poison', 'n')

    def do_rejected(self):
        for row in self.storage.ListRejected()[:3]:
            self.storage.GetRejected(row[0])
            self.storage.RetryRejected(row[0])
        for row in self.storage.ListRejected()[:3]:
            self.storage.DropRejected(row[0])

    def do_wait(self):
        self.storage.Await(1, 0)
        self.storage.Flush(100000)

    def do_areas(self):
        self.user.area(self.rand.choice(['a0', 'b%d' % self.rand.randrange(20)])).SetItem('k', 'n')

    def do_look(self):
        self.storage.ListKeys('')
        self.storage.ListQueue()
        self.user.manager.ListAreas()
        self.user.introspect(ROOT + '/area')
        self.user.monitor.GetStats()

    def do_subscribe(self):
        self.storage.Subscribe()
        if self.rand.random() < 0.3:
            self.storage.Unsubscribe()

    def do_nudge(self):
        self.user.monitor.CheckConnection()

    def do_trespass(self):
        there = self.user.at(self.victims())
        there.raw(*self.rand.choice([('GetItem', '(s)', ('k1',)), ('RemoveItem', '(s)', ('k1',)),
                                     ('SetItem', '(ss)', ('k1', 'n')), ('Subscribe', None, None),
                                     ('ListQueue', None, None), ('Flush', '(t)', (FOREVER,)),
                                     ('DropRejected', '(t)', (1,))]))

    def do_trespass_by_name(self):
        self.user.manager.OpenArea('%d/notes' % self.victim)

    def do_manage(self):
        self.user.manager.Reload()

    def do_set_the_log(self):
        self.user.call('/org/freedesktop/LogControl1', 'org.freedesktop.DBus.Properties', 'Set',
                       GLib.Variant('(ssv)', ('org.freedesktop.LogControl1', 'LogLevel',
                                              GLib.Variant('s', 'emerg'))))
