# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must be true after a crash, given what was called and answered, and what the parent has.

lost:     an answered write that is neither at the parent, nor waiting, nor replaced by a later one
doubled:  a write applied more than once
"""

import os
import re

from harness import Iface, FOREVER, SLOW, equal, wait_for
from programs import SANITIZER
from script import GONE, REJECTED, TIMEOUT, UNAVAILABLE

ABSENT = 'org.holdfast1.Error.NoSuchItem'
# A crash is nothing to complain about; what the parent refuses is.
COMPLAINT = re.compile(r'^(warning|error|crit|alert|emerg): (?!.*the parent refused the write).*$',
                       re.M)


class Lost(AssertionError):
    """An answered write is gone."""


class Doubled(AssertionError):
    """A write had its effect twice."""


class Oracle:
    """@prefix: of what was answered, a last part may be lost, but not one from the middle."""

    def __init__(self, session, prefix=False):
        self.session, self.prefix = session, prefix
        self.world = session.world
        self.writes = session.writes
        self.by_value = {v: w for w in self.writes for v in w.items.values() if v is not None}
        self.big = [w for w in self.writes if 'big' in w.items]
        self.limit = len(self.writes)   # answered writes below it must be there
        self.checked = 0
        self.areas = {}
        for write in self.writes:
            known = write.direct or write.acked or write.call.error.name in GONE
            assert known, 'refused on a disk that works: %r' % write

    # -- what must be --

    def held(self, write):
        """Whether the answer to it still counts."""
        return write.acked and (write.direct or write.number < self.limit)

    def keys(self):
        return sorted({(w.area, key) for w in self.writes for key in w.items if key != 'big'})

    def outcomes(self, area, key):
        """The values a key may have, and the last write whose answer settled that."""
        values, last = [None], None
        for write in self.writes:
            if write.area != area or key not in write.items or write.refused:
                continue
            if self.held(write):
                values, last = [write.items[key]], write
            else:
                values.append(write.items[key])
        return values, last

    def must_be(self, area, key, value, where):
        values, last = self.outcomes(area, key)
        if value not in values:
            raise Lost('%s of %s is %.40r %s, last answered: %r' % (key, area, value, where, last))

    # -- the parent --

    def check_history(self, history):
        """What was applied until now: each once, in order, groups whole."""
        equal(history.damage, 'ok', 'the database of the parent')
        if len(history.sets) != len(history.place):
            seen = [v for _, _, v in history.sets]
            raise Doubled('applied twice: %r' % [self.by_value.get(v) for v in set(seen)
                                                  if seen.count(v) > 1])
        issued = sum(1 for w in self.writes if None in w.items.values())
        if history.removes > issued + self.session.extra_removes:
            raise Doubled('%d removals applied, %d called for' % (history.removes, issued))
        self.check_order(history)
        self.check_groups(history)
        numbers = [batch for _, batch in history.batches]
        equal(numbers, sorted(set(numbers)), 'batch numbers')
        assert history.clients <= 1, 'the client id changed: %r' % history.batches

    def check_order(self, history):
        last = {}
        for area, key, value in history.sets:
            write = self.by_value.get(value)
            assert write is not None, 'applied, never written: %s=%.40r' % (key, value)
            assert (write.area, write.items.get(key)) == (area, value), 'misplaced: %r' % write
            assert not write.refused, 'refused, and applied: %r' % write
            if write.direct:
                continue
            assert write.number >= last.get(area, -1), 'out of order: %r after #%d' % (
                write, last[area])
            last[area] = write.number

    def check_groups(self, history):
        for write in self.writes:
            if not write.group:
                continue
            places = sorted(history.place[v] for v in write.items.values() if v in history.place)
            assert not places or len(places) == len(write.items), 'half a group: %r' % write
            assert not places or places[-1] - places[0] == len(places) - 1, 'split: %r' % write

    def at_parent(self, history, write, key):
        """Whether the parent has it, or something later of the same key."""
        value = write.items[key]
        if value in history.place:
            return True
        later = [w for w in self.writes
                 if w.number >= write.number and w.area == write.area and key in w.items]
        if any(w.items[key] in history.place for w in later):
            return True
        return any(w.items[key] is None for w in later) and \
            (write.area, key) not in history.items

    # -- the daemon, after its restart --

    def open(self):
        self.world.c.manager.OpenArea('other')
        self.areas = {'default': self.world.c.storage,
                      'other': Iface(self.world.c, '/org/holdfast1/area/other',
                                     'org.holdfast1.Storage')}

    def answers(self, calls):
        """Calls made together: [(result, error name or None)]."""
        wait_for(lambda: all(c.done for c in calls), 'answers after the restart', 15 * SLOW)
        return [(c.result, c.error.name if c.error else None) for c in calls]

    def check_offline(self, history):
        """Before the parent is back: does the daemon tell the truth about what waits?"""
        self.open()
        queues = {name: area.ListQueue() for name, area in self.areas.items()}
        rejected = [row[2] for row in self.areas['default'].ListRejected()]
        if not self.prefix:
            self.check_awaits(history, queues, rejected)
        keys = self.keys()
        found = self.answers([self.areas[a].start('GetItem', k) for a, k in keys])
        for (area, key), (value, error) in zip(keys, found):
            if error == UNAVAILABLE and self.may_be_unknown(area, key):
                continue
            assert error in (None, ABSENT), '%s of %s: %s' % (key, area, error)
            if not self.prefix:
                self.must_be(area, key, value, 'offline')

    def may_be_unknown(self, area, key):
        """What the daemon never held, or only passed on."""
        mine = [w for w in self.writes if w.area == area and key in w.items and self.held(w)]
        return self.prefix or all(w.direct for w in mine)

    def check_awaits(self, history, queues, rejected):
        mine = [w for w in self.writes if w.acked and not w.direct]
        told = self.answers([self.areas[w.area].start('Await', w.serial, 0) for w in mine])
        for write, (_, error) in zip(mine, told):
            rows = queues[write.area]
            if 'big' in write.items and error == REJECTED:
                # And kept, or queued again by RetryRejected.
                if 'big' not in rejected + [row[2] for row in rows]:
                    raise Lost('rejected, and not kept: %r' % write)
                continue
            there = all(self.at_parent(history, write, key) for key in write.items)
            low = write.serial - len(write.items) + 1
            for key in write.items:
                if not there and not any(row[2] == key and row[0] >= low for row in rows):
                    raise Lost('neither at the parent nor in the queue: %r; Await says %s, queue %r'
                               % (write, error, rows))
            waits = any(row[0] >= write.serial for row in rows)
            assert (error is None and there) or (error == TIMEOUT and waits), \
                'Await says %s: %r, queue %r' % (error, write, rows)

    def drain(self):
        """The parent is there: everything must get to it, and go on."""
        self.open()
        for area in self.areas.values():
            area.start('Flush', FOREVER).wait(15 * SLOW)
        self.check_serials()
        for name, area in self.areas.items():
            equal(area.get('QueueSize'), 0, 'queue of %s after Flush' % name)
        equal(self.world.c.monitor.get('State'), 'connected')
        keys = self.keys()
        found = self.answers([self.areas[a].start('GetItem', k) for a, k in keys])
        self.read = {}
        for at, (value, error) in zip(keys, found):
            assert error in (None, ABSENT), '%r: %s' % (at, error)
            self.read[at] = value

    def check_serials(self):
        """They rise, and a new one is above all that were ever told."""
        for name, area in self.areas.items():
            last = 0
            for write in self.writes:
                if write.area != name or write.serial is None:
                    continue
                assert write.serial - len(write.items) + 1 > last, 'a serial again: %r' % write
                last = write.serial
            # A key nobody holds: nothing changes at the parent but its count.
            serial = area.RemoveItem('after')
            assert serial > last, 'serial %d came again, %d was told' % (serial, last)
            self.session.extra_removes += 1
            area.Await(serial, FOREVER)

    def check_end(self, history):
        """Both have ended: what the parent holds is what was answered."""
        if self.prefix:
            there = [w.number for w in self.writes if not w.direct and
                     any(v in history.place for v in w.items.values())]
            self.limit = max(there) + 1 if there else 0
        self.check_history(history)
        for area, key in self.keys():
            value = history.items.get((area, key))
            self.must_be(area, key, value, 'at the parent')
            equal(self.read[area, key], value, '%s of %s as the daemon reads it' % (key, area))
        for write in self.writes:
            if write.group and self.held(write) and \
                    not all(v in history.place for v in write.items.values()):
                raise Lost('a group that never came: %r' % write)
        self.checked = sum(1 for w in self.writes if self.held(w))

    def check_big(self):
        """What the parent refused is kept, once."""
        rows = [row for row in self.areas['default'].ListRejected() if row[2] == 'big']
        assert len(rows) <= 1, 'rejected twice: %r' % rows
        if self.big and self.big[0].acked and not rows and not self.prefix:
            raise Lost('rejected, and not kept: %r' % self.big[0])
        for row in rows:
            value = self.areas['default'].GetRejected(row[0])
            assert value in self.big[0].items.values(), 'rejected: another value'

    def check_files(self):
        equal(self.world.corrupt(), [], 'files set aside')
        for program in (self.world.d, self.world.p):
            log = program.log() if os.path.exists(program.log_path) else ''
            for found in (SANITIZER.search(log), COMPLAINT.search(log)):
                assert not found, 'the log of %s has "%s"' % (program.name, found.group(0))
