# SPDX-License-Identifier: LGPL-2.1-or-later
"""One crash point: run the session, kill, restart, compare."""

import os
import random
import traceback
import zlib

import shim
import templates
from harness import Bus, Client, SLOW, wait_for
from history import History, install
from oracle import Doubled, Lost, Oracle
from script import Dead, Session
from world import World


# For how many calls a disk that lies has been lying.
LIE_CALLS = 60


class Kind:
    """Who dies, and what the disks remember of it."""

    def __init__(self, victim, power='', durability='full', begin=templates.EMPTY, lie=False):
        self.victim, self.power, self.durability = victim, power, durability
        self.begin, self.lie = begin, lie
        self.prefix = bool(power) and durability != 'full'


KINDS = {
    'daemon': Kind('daemon'),
    'daemon-normal': Kind('daemon', durability='normal'),
    'daemon-full-log': Kind('daemon', begin=templates.FULL_DAEMON),
    'parent': Kind('parent'),
    'parent-new': Kind('parent', begin=None),
    'parent-full-log': Kind('parent', begin=templates.FULL_PARENT),
    'power': Kind('daemon', 'daemon'),
    'power-normal': Kind('daemon', 'daemon', 'normal'),
    'power-full-log': Kind('daemon', 'daemon', begin=templates.FULL_DAEMON),
    'power-normal-full-log': Kind('daemon', 'daemon', 'normal', templates.FULL_DAEMON),
    'power-parent': Kind('parent', 'parent'),
    'power-parent-new': Kind('parent', 'parent', begin=None),
    'power-parent-full-log': Kind('parent', 'parent', begin=templates.FULL_PARENT),
    'power-both': Kind('daemon', 'both'),
    'lie': Kind('daemon', 'daemon', lie=True),
    'lie-parent': Kind('parent', 'parent', lie=True),
}


class Point:
    """Of a kind: the k-th call of a session, and how the victim dies at it."""

    def __init__(self, kind, session, mode, k):
        self.name, self.session, self.mode, self.k = kind, session, mode, k
        self.kind = KINDS[kind]

    @classmethod
    def parse(cls, text):
        kind, session, mode, k = text.split(':')
        return cls(kind, int(session), shim.MODES.index(mode), int(k))

    def __str__(self):
        return '%s:%d:%s:%d' % (self.name, self.session, shim.MODES[self.mode], self.k)


class Result:
    def __init__(self, point):
        self.point, self.name = str(point), point.name
        self.fired = None       # the call it died at
        self.count = 0          # calls of the session until then
        self.calls = {}         # by name
        self.checked = 0        # answered writes
        self.failure = None
        self.lost = self.doubled = False


class Bench:
    """What a worker keeps over all its points."""

    def __init__(self, seed, folder):
        """@folder: of the templates"""
        self.seed, self.folder = seed, folder
        self.bus = Bus()
        self.client = Client(self.bus)
        self.plans = [shim.Plan(os.path.join(self.bus.dir, name)) for name in ('plan-d', 'plan-p')]

    def close(self):
        self.client.close()
        self.bus.stop()

    def run(self, point):
        result = Result(point)
        begin = point.kind.begin
        world = World(self.bus, self.client, point.kind.durability,
                      begin and os.path.join(self.folder, begin))
        try:
            Run(self, world, point, result).run()
        except Exception as error:
            result.lost, result.doubled = isinstance(error, Lost), isinstance(error, Doubled)
            result.failure = traceback.format_exc()
            for name, log in world.logs():
                result.failure += '---- log of %s (end)\n%s' % (name, log[-3000:])
        finally:
            world.end()
        return result


class Run:
    def __init__(self, bench, world, point, result):
        self.world, self.point, self.kind, self.result = world, point, point.kind, result
        self.rand = random.Random(zlib.crc32(('%d %s' % (bench.seed, point)).encode()))
        self.plan_d, self.plan_p = bench.plans
        self.died_twice = False
        self.victim_plan = self.plan_d if self.kind.victim == 'daemon' else self.plan_p
        self.session = Session(world, point.session, self.tick, self.set_plans())

    def set_plans(self):
        """Whose disk forgets is recorded; who dies is counted."""
        plans = []
        for plan, program, name in ((self.plan_d, self.world.d, 'daemon'),
                                    (self.plan_p, self.world.p, 'parent')):
            records = self.kind.power in (name, 'both')
            dies = self.kind.victim == name
            plan.set(self.point.k if dies else 0, self.point.mode,
                     program.directory if records else '',
                     max(1, self.point.k - LIE_CALLS) if self.kind.lie else 0)
            plans.append(plan if records or dies else None)
        return plans

    # -- deaths --

    def tick(self):
        """Called all the time: notices a death, and does what then has to be done."""
        if self.world.d.look():
            raise Dead()
        if self.world.p.look():
            self.parent_died()

    def parent_died(self):
        """It comes back at once; in a third of the points the daemon dies with it."""
        self.world.p.killed = False
        self.result.fired = self.result.fired or self.plan_p.fired
        plan = None
        if self.kind.power and not self.died_twice and self.rand.random() < 0.3:
            # Only the process, for now: what it did not sync may yet be lost, but is there.
            self.plan_p.again(self.rand.randrange(1, 60), self.rand.randrange(3))
            self.died_twice, plan = True, self.plan_p
        elif self.kind.power:
            self.world.p.lose_power(self.rand)
        self.session.plans[1] = plan
        both = self.rand.random() < 0.33 and self.world.d.alive()
        if both:
            self.world.d.kill9()
        if not self.world.p.begin(plan):
            self.parent_died()
        if both:
            raise Dead()

    def daemon_died(self):
        """In a third of the points the parent dies with it."""
        self.world.d.killed = False
        if self.kind.power == 'both' or self.rand.random() < 0.33:
            if self.world.p.process is not None:
                self.world.p.kill9()
        if self.kind.power and self.rand.random() < 0.3:
            # Only the process, for now; then, while it recovers, all of it.
            self.plan_d.again(self.rand.randrange(1, 40), self.rand.randrange(3))
            if self.world.d.begin(self.plan_d):
                self.world.d.kill9()
        if self.kind.power:
            self.world.d.lose_power(self.rand)
        if self.kind.power == 'both' and self.world.p.plan:
            self.world.p.lose_power(self.rand)

    def die_again(self):
        """In a fifth of the points the daemon dies once more while it recovers."""
        if self.kind.victim != 'daemon' or not self.result.fired or self.rand.random() > 0.2:
            return
        self.plan_d.set(self.rand.randrange(1, 40), self.rand.randrange(3),
                        self.world.d.directory if self.kind.power else '')
        if self.world.d.begin(self.plan_d):
            self.world.d.kill9()
        if self.kind.power:
            self.world.d.lose_power(self.rand)

    # -- the course --

    def new_parent(self):
        """Its first start, on nothing, is part of what it may die in. Then it gets its triggers."""
        parent = self.world.p
        if parent.begin(self.plan_p):
            parent.end()
        if parent.look():
            self.result.fired = self.plan_p.fired
            if self.kind.power:
                parent.lose_power(self.rand)
            parent.begin()
            parent.stop()
            self.session.plans[1] = None
        install(parent.dbpath)
        # It is not in the journal: nothing from before may be taken back to under it.
        self.plan_p.settle()

    def run(self):
        try:
            if self.kind.begin is None:
                self.new_parent()
            self.session.run()
        except Dead:
            pass
        calls = self.session.calls
        wait_for(lambda: all(c.done for c in calls), 'the bus to answer for the dead', 15 * SLOW)
        self.result.fired = self.result.fired or self.victim_plan.fired
        self.result.calls = self.victim_plan.calls()
        self.result.count = self.victim_plan.count
        self.end_session()
        self.die_again()
        self.compare()

    def end_session(self):
        """What is still to die does now."""
        if self.world.d.killed:
            self.daemon_died()
        if self.session.plans[1] is self.plan_p and self.died_twice and self.world.p.process:
            self.world.p.kill9()
            self.world.p.lose_power(self.rand)

    def history(self):
        return History(self.world.p.dbpath, self.world.dir)

    def compare(self):
        oracle = Oracle(self.session, self.kind.prefix)
        if self.rand.random() < 0.5:
            if self.world.p.alive():
                self.world.p.kill9()
            history = self.history()
            oracle.check_history(history)
            self.world.d.begin()
            oracle.check_offline(history)
            self.world.p.begin()
        else:
            if not self.world.p.alive():
                self.world.p.begin()
            self.world.d.begin()
        oracle.drain()
        oracle.check_big()
        self.world.d.stop()
        self.world.p.stop()
        oracle.check_end(self.history())
        oracle.check_files()
        self.result.checked = oracle.checked
