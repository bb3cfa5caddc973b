# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random schedules of faults: what goes wrong when, for some seconds.

A schedule is a function of its seed and number alone. Its steps are (seconds, who, what): who is
the proxy (what: a command of it, control.h), the parent or the daemon.
"""

import random

DIRS = ('up', 'down', 'both')
LINE_BYTES = 8 * 1024 * 1024    # of the wire; a longer one is refused

# Lines that no correct peer sends; none of them is a well-formed order to do something.
BAD_UP = [
    'garbage', '{', '[' * 200, '{"type":"batch","batch":1}', '{"type":"nonsense"}', '\x01\x02',
    '{"type":"hello"}', '{"type":"ping"}', '{"type":"ping","pingTime":0}',
    '{"type":"saveToParentStorage","requestId":"r1"}', '{"type":"error","message":"no"}',
    '{"type":"getFromParentStorage","requestId":"r7","area":"default","key":"p1"}',
]
BAD_DOWN = [
    'garbage', '}', '[' * 200, '{"type":"nonsense"}', '{"type":"pong"}', '\x01\x02',
    '{"type":"pong","pingTime":1}', '{"type":"welcome","protocol":1}',
    '{"type":"batchAck","requestId":"r1","batch":1,"id":"%s","duplicate":false,"results":[]}' % (
        '0' * 32),
    '{"type":"storageResponse","requestId":"r0","key":"p1","value":"0","revision":1}',
    '{"type":"itemChanged","area":"default","key":"p1","value":"0","revision":1,"client":"00"}',
    '{"type":"error","class":"transient","message":"no"}',
]


class Schedule:
    def __init__(self, seed, number):
        self.number = number
        self.seed = '%d:%d' % (seed, number)
        self.rand = random.Random('schedule %s' % self.seed)
        self.shipped = self.rand.random() < 0.6     # the daemon's intervals
        self.tls = self.rand.random() < 0.15
        # Some last long enough for a silent parent to be given up and dials to be spaced out.
        self.length = self.rand.uniform(1, 3) if self.rand.random() < 0.8 else \
            self.rand.uniform(4, 9)
        self.steps = []
        for _ in range(self.rand.choice([1, 2, 3, 4, 5, 6, 8])):
            at = self.rand.uniform(0, self.length * 0.9)
            self.rand.choice(FAULTS)(self, at, at + self.rand.uniform(0.02, self.length * 0.7))
        self.steps = sorted(s for s in self.steps if s[0] < self.length)

    def add(self, at, who, what):
        self.steps.append((at, who, what))

    def during(self, begin, end, on, off):
        self.add(begin, 'proxy', on)
        self.add(end, 'proxy', off)

    def direction(self):
        return self.rand.choice(DIRS)

    # ---- the faults: each may begin at @begin and end at @end ----

    def cut(self, begin, end):
        self.add(begin, 'proxy', 'cut')

    def flap(self, begin, end):
        """Falls again and again, so that dials come further and further apart."""
        while begin < end:
            self.add(begin, 'proxy', 'cut')
            begin += self.rand.uniform(0.05, 0.3)

    def reset(self, begin, end):
        self.add(begin, 'proxy', 'reset')

    def shut(self, begin, end):
        self.add(begin, 'proxy', 'shut ' + self.rand.choice(DIRS[:2]))

    def black_hole(self, begin, end):
        hole = 'hole ' + self.direction()
        self.during(begin, end, '%s %s' % (hole, self.rand.choice(['stop', 'swallow'])),
                    hole + ' off')

    def throttle(self, begin, end):
        throttle = 'throttle %s ' % self.direction()
        self.during(begin, end, throttle + str(self.rand.choice([1000, 5000, 50000])),
                    throttle + '0')

    def delay(self, begin, end):
        delay = 'delay %s ' % self.direction()
        self.during(begin, end, delay + '%d %d' % (self.rand.choice([1, 20, 200, 600]),
                                                   self.rand.choice([0, 20, 300])), delay + '0 0')

    def dribble(self, begin, end):
        dribble = 'dribble %s ' % self.direction()
        self.during(begin, end, dribble + str(self.rand.choice([1, 3, 20, 200])), dribble + '0')

    def random_bytes(self, begin, end):
        self.add(begin, 'proxy', 'random %s %d' % (self.direction(),
                                                   self.rand.choice([1, 10, 1000, 50000])))

    def bad_line(self, begin, end):
        name, lines = self.rand.choice([('up', BAD_UP), ('down', BAD_DOWN)])
        self.add(begin, 'proxy', 'line %s %s' % (name, self.rand.choice(lines)))

    def long_line(self, begin, end):
        self.add(begin, 'proxy', 'filler %s %d' % (self.direction(), self.rand.choice(
            [100000, LINE_BYTES + 1])))

    def replay(self, begin, end):
        self.add(begin, 'proxy', 'replay %s %s' % (self.direction(),
                                                   self.rand.choice(['this', 'older'])))

    def anew(self, begin, end):
        self.add(begin, 'proxy', 'anew ' + self.rand.choice(['this', 'older']))

    def cut_and_anew(self, begin, end):
        """What the daemon said on a connection that is over, while it is on another."""
        self.add(begin, 'proxy', 'cut')
        self.add(end, 'proxy', 'anew older')

    def refuse(self, begin, end):
        self.add(begin, 'proxy', 'cut')
        self.during(begin, end, 'refuse ' + self.rand.choice(['on', 'gone']), 'refuse off')

    def mute(self, begin, end):
        self.add(begin, 'proxy', 'cut')
        self.during(begin, end, 'mute on', 'mute off')

    def parent_killed(self, begin, end):
        self.add(begin, 'parent', 'kill')
        self.add(end, 'parent', 'start')

    def parent_stopped(self, begin, end):
        self.add(begin, 'parent', 'freeze')
        self.add(end, 'parent', 'thaw')

    def daemon_killed(self, begin, end):
        self.add(begin, 'daemon', 'crash')


FAULTS = [
    Schedule.cut, Schedule.flap, Schedule.reset, Schedule.shut, Schedule.black_hole,
    Schedule.black_hole, Schedule.throttle, Schedule.delay, Schedule.dribble, Schedule.random_bytes,
    Schedule.bad_line, Schedule.long_line, Schedule.replay, Schedule.replay, Schedule.anew,
    Schedule.cut_and_anew, Schedule.refuse, Schedule.mute, Schedule.parent_killed,
    Schedule.parent_stopped, Schedule.daemon_killed,
]
