# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that write and read all the time, and what must come of it.

Each write has a number, which is its value; so what the parent did (faultworld.Audit) can be held
against what was asked for. A write is acked when its call was answered well; one whose call failed
with the daemon that it was made to may have been taken or not.
"""

from busclient import ERR
from waiting import CALL, wait_for

AREAS = ('default', 'two')
PLAIN = ['p%d' % i for i in range(8)]       # SetItem alone
GROUPED = ['g%d' % i for i in range(8)]     # SetItems, and SetItem
WAITING = 40                                # calls unanswered at a time

# Errors of calls to a daemon that is killed, or is not there.
GONE = ('org.freedesktop.DBus.Error.NoReply', 'org.freedesktop.DBus.Error.ServiceUnknown',
        'org.freedesktop.DBus.Error.NameHasNoOwner')


class Write:
    """One that was asked for: value None is a remove."""

    def __init__(self, number, area, key, value):
        self.number, self.area, self.key, self.value = number, area, key, value
        self.acked = False


class Oracle:
    def __init__(self, areas, rand):
        self.areas, self.rand = areas, rand
        self.writes = {}        # number → Write
        self.groups = []        # [numbers]
        self.calls = []         # (Pending, what to do with it)
        self.acked = {}         # (area, key) → the highest number that was acked
        self.problems = []
        self.reads = 0
        self.may_die = False    # the daemon is killed now and then

    # ---- asking ----

    def new_write(self, area, key, remove=False):
        number = len(self.writes) + 1
        self.writes[number] = Write(number, area, key, None if remove else str(number))
        return self.writes[number]

    def act(self):
        """One random call, if not too many are waiting."""
        self.gather()
        if len(self.calls) >= WAITING:
            return
        area = self.rand.choice(AREAS)
        kind = self.rand.random()
        if kind < 0.4:
            self.set_item(area, self.rand.choice(PLAIN + GROUPED))
        elif kind < 0.5:
            self.set_items(area)
        elif kind < 0.6:
            self.set_and_remove(area)
        else:
            self.read(area, self.rand.choice(PLAIN))

    def begin(self, area, member, args, writes):
        self.calls.append((self.areas[area].start(member, *args),
                           lambda pending: self.written(pending, writes)))

    def set_item(self, area, key):
        write = self.new_write(area, key)
        # Some are larger than a socket's buffer; what counts is where they begin.
        if self.rand.random() < 0.02:
            write.value += ' ' + 'x' * self.rand.choice([100000, 400000])
        self.begin(area, 'SetItem', (key, write.value), [write])

    def set_items(self, area):
        writes = [self.new_write(area, key)
                  for key in self.rand.sample(GROUPED, self.rand.randrange(2, 6))]
        self.groups.append([w.number for w in writes])
        self.begin(area, 'SetItems', ({w.key: w.value for w in writes},), writes)

    def set_and_remove(self, area):
        """A key of its own, used once."""
        key = 'r%d' % (len(self.writes) + 1)
        write = self.new_write(area, key)
        self.begin(area, 'SetItem', (key, write.value), [write])
        self.begin(area, 'RemoveItem', (key,), [self.new_write(area, key, remove=True)])

    def read(self, area, key):
        least = self.acked.get((area, key), 0)
        self.calls.append((self.areas[area].start('GetItem', key),
                           lambda pending: self.was_read(pending, area, key, least)))

    # ---- hearing ----

    def gather(self):
        """Look at the answers that have come."""
        waiting = []
        for pending, then in self.calls:
            if pending.done:
                then(pending)
            else:
                waiting.append((pending, then))
        self.calls = waiting

    def settle(self):
        wait_for(lambda: all(p.done for p, _ in self.calls), 'the replies to all calls', CALL)
        self.gather()

    def died(self, pending):
        return self.may_die and pending.error.name in GONE

    def written(self, pending, writes):
        if pending.error is not None:
            if not self.died(pending):
                self.problems.append('a write was refused: %s' % pending.error)
            return
        for write in writes:
            write.acked = True
            slot = (write.area, write.key)
            self.acked[slot] = max(write.number, self.acked.get(slot, 0))

    def was_read(self, pending, area, key, least):
        """Not older than what was acked when it was asked for."""
        self.reads += 1
        if pending.error is None:
            got = number_of(pending.result)
        elif self.died(pending):
            return
        elif pending.error.name in (ERR + 'NoSuchItem', ERR + 'Unavailable'):
            got = 0
        else:
            got = -1
        if got < least or (got and not self.is_of(got, area, key)):
            self.problems.append('read %s/%s: %s, after write %d was acked' % (
                area, key, pending.error or pending.result[:20], least))

    def is_of(self, number, area, key):
        write = self.writes.get(number)
        return write is not None and (write.area, write.key) == (area, key)

    # ---- judging ----

    def judge(self, rows, items, revision, clients):
        """Problems, as sentences: @rows, @items, … as Audit tells them."""
        sets = [(number_of(value), area, key, at) for area, key, value, at in rows
                if value is not None]
        problems = list(self.problems)
        problems += self.judge_values(rows)
        problems += self.judge_order(rows)
        problems += self.judge_end(items)
        problems += self.judge_groups({number: at for number, _, _, at in sets})
        problems += self.judge_revision(revision, len(sets))
        if len(clients) != 1:
            problems.append('%d client ids at the parent' % len(clients))
        return problems

    def judge_values(self, rows):
        """All of it was asked for, and was done once."""
        seen, problems = set(), []
        for area, key, value, _ in rows:
            if value is None:
                continue
            number = number_of(value)
            if not self.is_of(number, area, key) or self.writes[number].value != value:
                problems.append('%s/%s was never set to %r' % (area, key, value[:40]))
            elif number in seen:
                problems.append('write %d of %s/%s was applied twice' % (number, area, key))
            seen.add(number)
        return problems

    def judge_order(self, rows):
        last, problems = {}, []
        for area, key, value, _ in rows:
            number = number_of(value) if value is not None else float('inf')
            if number < last.get((area, key), 0):
                problems.append('%s/%s: %s after %s' % (area, key, number, last[area, key]))
            last[area, key] = number
        return problems

    def judge_end(self, items):
        """Each key holds its last acked write, or a later one that may have been taken."""
        later, problems = {}, []
        for write in self.writes.values():
            slot = (write.area, write.key)
            if write.number >= self.acked.get(slot, 1):
                later.setdefault(slot, set()).add(write.value)
        for slot, number in self.acked.items():
            if items.get(slot) not in later[slot]:
                problems.append('lost: write %d of %s/%s; the parent has %s' % (
                    number, *slot, (items.get(slot) or 'nothing')[:40]))
        return problems

    def judge_groups(self, revisions):
        """All or none; together; and all where it was acked."""
        problems = []
        for group in self.groups:
            there = sorted(revisions[n] for n in group if n in revisions)
            if len(there) not in (0, len(group)):
                problems.append('a group came apart: %r' % group)
            elif there and there[-1] - there[0] != len(group) - 1:
                problems.append('a group was applied in pieces: %r' % group)
            elif not there and self.writes[group[0]].acked:
                problems.append('a group was lost: %r' % group)
        return problems

    def judge_revision(self, revision, sets):
        """It rose once for each set, and for each remove that was taken."""
        removes = [w for w in self.writes.values() if w.value is None]
        acked = sum(w.acked for w in removes)
        if sets + acked <= revision <= sets + len(removes):
            return []
        return ['revision %d after %d sets and %d to %d removes' % (
            revision, sets, acked, len(removes))]


def number_of(value):
    """The number of the write that a value is of; -1: of none."""
    word = value.split(' ', 1)[0]
    return int(word) if word.isdigit() else -1
