#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random faults between the daemon and its parent, under load; then everything heals, and within 15
seconds all that was acked is at the parent, once, in order, and nothing else.

HOLDFAST_TEST_SEED=S HOLDFAST_TEST_SCHEDULE=N runs schedule N of seed S alone;
HOLDFAST_TEST_SCHEDULES=N runs so many.
"""

import json
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

from faultworld import SHIPPED, SHORT, Audit, FaultWorld, tail
from harness import *
from oracle import AREAS, Oracle
from schedule import Schedule
from torture import LONG, choose, figure, seed

HEAL = 15 * SLOW            # seconds from the end of all faults
PERIOD = 0.012              # between calls
COUNT = int(os.environ.get('HOLDFAST_TEST_SCHEDULES', choose(8, 500)))
WORKERS = choose(4, 10)     # they mostly wait
MARK = 'result: '


class Run:
    """One schedule, from a connected daemon to the oracle's word."""

    def __init__(self, world, schedule):
        self.world, self.schedule = world, schedule
        self.log = []           # (seconds, what)
        self.began = None
        self.frozen = False

    def note(self, text):
        self.log.append('%7.3f s: %s' % (time.monotonic() - self.began, text))

    def begin(self):
        self.world.audit = Audit(self.world.parent_process.dbpath)
        self.client = self.world.begin(SHIPPED if self.schedule.shipped else SHORT)
        self.areas = {name: self.client.area(name) for name in AREAS}
        self.oracle = Oracle(self.areas, random.Random('work %s' % self.schedule.seed))
        self.began = time.monotonic()

    def step(self, who, what):
        done = getattr(self, 'do_' + who)(what)
        self.note('%s %s%s' % (who, what, '' if done is None else ' (%s)' % done))

    def do_proxy(self, what):
        return self.world.proxy.ask(what)

    def do_parent(self, what):
        parent = self.world.parent_process
        if what == 'kill' and parent.alive():
            parent.kill9()
            self.frozen = False
        elif what == 'start' and not parent.alive():
            parent.start()
        elif what in ('freeze', 'thaw') and parent.alive():
            self.frozen = what == 'freeze'
            parent.process.send_signal(signal.SIGSTOP if self.frozen else signal.SIGCONT)

    def do_daemon(self, what):
        self.oracle.may_die = True
        self.world.daemon_process.crash()

    def faults(self):
        """Work goes on until the last fault is over."""
        steps = list(self.schedule.steps)
        next_call = self.began
        while time.monotonic() < self.began + self.schedule.length:
            while steps and time.monotonic() >= self.began + steps[0][0]:
                self.step(*steps.pop(0)[1:])
            if time.monotonic() >= next_call:
                self.oracle.act()
                next_call = time.monotonic() + PERIOD
            turn(0.004)

    def heal(self, deadline=HEAL):
        """Seconds from the end of all faults to State connected and an empty queue."""
        healed = time.monotonic()
        self.do_proxy('heal')
        self.do_parent('thaw')
        self.do_parent('start')
        self.note('healed')
        next_look = 0

        def settled():
            nonlocal next_look
            if time.monotonic() < next_look:
                return False
            next_look = time.monotonic() + 0.02
            self.oracle.gather()
            return self.client.monitor.get('State') == 'connected' and not self.oracle.calls and \
                all(area.get('QueueSize') == 0 for area in self.areas.values())
        wait_for(settled, 'State connected and an empty queue', deadline)
        took = time.monotonic() - healed
        self.note('settled')
        return took

    def judge(self):
        audit = self.world.audit
        self.oracle.settle()
        return self.oracle.judge(audit.rows(), audit.items(), audit.revision(), audit.clients())

    def status(self):
        """Where a daemon stands that did not heal."""
        try:
            return '%s (%s), queues %r' % (
                self.client.monitor.get('State'), self.client.monitor.get('Reason'),
                {name: len(area.ListQueue()) for name, area in self.areas.items()})
        except BusError as error:
            return str(error)


def describe_failure(run, problems):
    schedule = run.schedule
    lines = ['schedule %d of seed %s: %s' % (schedule.number, schedule.seed.split(':')[0],
                                             '; '.join(problems[:8])),
             'alone: HOLDFAST_TEST_SEED=%s HOLDFAST_TEST_SCHEDULE=%d' % (
                 schedule.seed.split(':')[0], schedule.number),
             '%s intervals, %s' % ('shipped' if schedule.shipped else 'short',
                                   'TLS' if schedule.tls else 'a unix socket')]
    lines += run.log
    for name, log in run.world.logs():
        lines.append('---- log of %s (end)' % name)
        lines.append(tail(log, 60))
    return '\n'.join(lines)


def run_schedule(bus, number, base):
    """A dict to tell of it; 'failure' is there only if it failed."""
    schedule = Schedule(base, number)
    world = FaultWorld(bus, base + number, tls=schedule.tls)
    run = Run(world, schedule)
    result = {'number': number, 'shipped': schedule.shipped, 'tls': schedule.tls,
              'faults': len(schedule.steps)}
    problems = []
    try:
        run.begin()
        run.faults()
        result['heal'] = run.heal()
        problems = run.judge()
        result.update(stats=world.proxy.stats(), writes=len(run.oracle.writes),
                      reads=run.oracle.reads)
    except Exception:
        problems.append(traceback.format_exc())
        if run.began:
            run.note('failed: %s' % run.status())
    if world.parent_process.alive():
        world.parent_process.process.send_signal(signal.SIGCONT)
    try:
        world.cleanup()
    except Exception as error:
        problems.append('cleanup: %s' % error)
    if problems:
        result['failure'] = describe_failure(run, problems)
    shutil.rmtree(world.dir, ignore_errors=True)
    return result


def work(numbers, base):
    """A process of its own: its main loop, its bus."""
    bus = Bus()
    try:
        for number in numbers:
            print(MARK + json.dumps(run_schedule(bus, number, base)), flush=True)
    finally:
        bus.stop()


def run_worker(numbers, base):
    """Start a process for these numbers; its results, and what else there is to complain of."""
    worker = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), '--work', str(base)] +
        [str(n) for n in numbers], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    results, complaints = [], []
    for line in worker.stdout:
        if line.startswith(MARK):
            results.append(json.loads(line[len(MARK):]))
            # At once: the rest may take minutes.
            if 'failure' in results[-1]:
                diag(results[-1]['failure'])
        else:
            complaints.append(line.rstrip('\n'))
    if worker.wait() != 0:
        complaints.append('a worker ended with %d' % worker.returncode)
    return results, complaints


def gather(numbers, base):
    """The results of all, and complaints that are of no schedule."""
    shares = [numbers[i::WORKERS] for i in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(lambda share: run_worker(share, base), shares))
    return [r for results, _ in done for r in results], [c for _, more in done for c in more]


def total(results, name):
    return sum(r['stats'][name] for r in results if 'stats' in r)


def tell(results):
    heals = sorted(r['heal'] for r in results if 'heal' in r)
    figure('schedules', len(results))
    figure('schedules on shipped intervals', sum(r['shipped'] for r in results))
    figure('schedules over TLS', sum(r['tls'] for r in results))
    figure('schedules healed within 15 s', '%d of %d' % (len(heals), len(results)))
    if heals:
        figure('time to heal', 'median %.2f s, slowest %.2f s' % (
            heals[len(heals) // 2], heals[-1]))
    figure('faults', sum(r['faults'] for r in results))
    figure('writes and reads under faults', '%d and %d' % (
        sum(r.get('writes', 0) for r in results), sum(r.get('reads', 0) for r in results)))
    for name, counters in (
            ('bytes passed', ('up', 'down')),
            ('bytes swallowed', ('up-swallowed', 'down-swallowed')),
            ('bytes injected', ('up-added', 'down-added')), ('bytes replayed', ('replayed',)),
            ('connections', ('accepted',)),
            ('old batches sent again and known as duplicates', ('duplicates',))):
        figure(name, sum(total(results, counter) for counter in counters))


# Counters of the proxy, none of which is to be 0 after so many schedules as the long run has.
HAPPENED = ('up-swallowed', 'down-swallowed', 'up-added', 'down-added', 'replayed', 'duplicates',
            'cuts', 'resets', 'shuts', 'garbage', 'replays', 'anew', 'muted')


def missed(results):
    """What there was to see and was not seen, as sentences."""
    idle = [r['number'] for r in results if not r.get('writes') or not r.get('reads')]
    missed = []
    # A daemon may take all of a short one to start again.
    if len(idle) > 1 + len(results) // 50:
        missed.append('nothing was written or read in schedules %r' % idle)
    if len(results) >= 200:
        missed += ['no %s in any schedule' % name for name in HAPPENED if not total(results, name)]
    return missed


def main_schedules():
    base = seed()
    only = os.environ.get('HOLDFAST_TEST_SCHEDULE')
    numbers = [int(only)] if only else list(range(1, COUNT + 1))
    print('1..1')
    results, complaints = gather(numbers, base)
    if LONG:
        tell(results)
    failed = sorted(r['number'] for r in results if 'failure' in r)
    missing = len(numbers) - len(results)
    complaints += missed([r for r in results if 'failure' not in r])
    good = not failed and not missing and not complaints
    print('%sok 1 - %d schedules heal, and nothing is lost, doubled or made up' % (
        '' if good else 'not ', len(numbers)))
    if not good:
        diag('seed %d: failed: %r; without a result: %d' % (base, failed, missing))
        diag('\n'.join(complaints))
    sys.exit(0 if good else 1)


if __name__ == '__main__':
    if len(sys.argv) > 2 and sys.argv[1] == '--work':
        work([int(n) for n in sys.argv[3:]], int(sys.argv[2]))
    else:
        main_schedules()
