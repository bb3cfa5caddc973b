#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Crash points: holdfastd or holdfast-parentd dies at the k-th call of a session that changes
anything (crash-shim.c), for every k; then an oracle compares (oracle.py).

A point is KIND:SESSION:MODE:K. MODE is before, after or half; half a write that is none is before.
test_crash.py --point power:1:after:57 [--times N] runs one alone, with the seed of
HOLDFAST_TEST_SEED. The programs have threads and the machine has moods, so that the k-th call is
not always the same one: --times runs it again and again. --only KIND runs the points of one kind.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from multiprocessing.util import Finalize

import templates
import torture
import traced
from harness import Bus, Client, Skip, diag
from point import KINDS, Bench, Point
from shim import AFTER, BEFORE, HALF

# Of each kind: how many points in the short run, and the modes in which the long one tries every k.
AMOUNTS = {
    'daemon': (8, (BEFORE, HALF, AFTER)),
    'daemon-normal': (3, (AFTER,)),
    'daemon-full-log': (2, (HALF,)),
    'parent': (8, (BEFORE, HALF, AFTER)),
    'parent-new': (2, (BEFORE,)),
    'parent-full-log': (1, (HALF,)),
    'power': (8, (BEFORE, HALF)),
    'power-normal': (4, (BEFORE,)),
    'power-full-log': (2, (BEFORE,)),
    'power-normal-full-log': (2, (BEFORE,)),
    'power-parent': (5, (BEFORE, HALF)),
    'power-parent-new': (4, (BEFORE,)),
    'power-parent-full-log': (1, (BEFORE,)),
    'power-both': (3, (BEFORE,)),
    'lie': (40, (AFTER,)),
    'lie-parent': (40, (AFTER,)),
}
# Self-tests: in the short run until the first loss is seen, which comes in one of about three.
LIES = ('lie', 'lie-parent')
# Sanitizers make each program several times slower, and have little to look for here.
FEWER = 3 if 'ASAN_OPTIONS' in os.environ else 1
# No session makes as many calls as another: so much further than in one in which nobody dies.
MARGIN = 1 / 20

FORK = multiprocessing.get_context('fork')
bench = None


def worker_begin(seed, folder):
    global bench
    bench = Bench(seed, folder)
    Finalize(bench, bench.close, exitpriority=1)


def worker_trace():
    """Return: (whether all is well, the line to say so, why not)."""
    name = 'every call is counted that changes anything'
    try:
        return True, '%s: %d compared with strace' % (name, traced.check(bench)), ''
    except Skip as skip:
        return True, '%s # SKIP %s' % (name, skip), ''
    except Exception:
        return False, name, traceback.format_exc()


def worker_run(text):
    return bench.run(Point.parse(text))


def every_k(name):
    return torture.LONG and name not in LIES


def sessions(name, first):
    """Numbers: one for all modes, or one for each."""
    return [first + i for i in range(len(AMOUNTS[name][1]) if every_k(name) else 1)]


def choose(name, calls, rand):
    """The points of a kind, given the number of each session and how many calls that makes."""
    few, modes = AMOUNTS[name]
    if every_k(name):
        return [Point(name, session, mode, k) for mode, (session, most) in zip(modes, calls)
                for k in range(1, 1 + int(most * (1 + MARGIN)))]
    session, most = calls[0]
    few = few if name in LIES else (few + FEWER - 1) // FEWER
    return [Point(name, session, modes[i % len(modes)], 1 + int((i + rand.random()) * most / few))
            for i in range(few)]


class Report:
    """TAP, and what it was all worth."""

    def __init__(self, kinds):
        self.number = 0
        self.bad = 0
        self.all = []
        print('1..%d' % (1 + len(kinds)), flush=True)

    def tell(self, ok, name):
        self.number += 1
        self.bad += not ok
        print('%sok %d - %s' % ('' if ok else 'not ', self.number, name), flush=True)

    def kind(self, name, results, seed):
        self.all += results
        killed = [r for r in results if r.fired]
        failed = [r for r in results if r.failure]
        if name in LIES:
            lost = [r for r in results if r.lost]
            self.tell(lost, 'the oracle sees a disk that lies (%s): %d of %d points' % (
                name, len(lost), len(killed)))
            return
        # The last calls are not made each time.
        enough = killed and len(killed) > len(results) * 2 / 3 - 1
        self.tell(enough and not failed, '%s: killed at %d of %d points, %d answered writes' % (
            name, len(killed), len(results), sum(r.checked for r in results)))
        for result in failed[:5]:
            kind, session, mode, k = result.point.split(':')
            diag('point %s of session %s, %s %s, seed %d; again: HOLDFAST_TEST_SEED=%d '
                 'test_crash.py --point %s --times 20' % (k, session, kind, mode, seed, seed,
                                                         result.point))
            diag('died at %s\n%s' % (result.fired, result.failure))
        if len(failed) > 5:
            diag('and %d more: %s' % (len(failed) - 5, ' '.join(r.point for r in failed[5:])))

    def figures(self):
        results = [r for r in self.all if r.name not in LIES]
        for what, mine in (('daemon', lambda kind: kind.victim == 'daemon' and not kind.power),
                           ('parent', lambda kind: kind.victim == 'parent' and not kind.power),
                           ('power loss', lambda kind: kind.power)):
            torture.figure('crash points, ' + what,
                           sum(1 for r in results if r.fired and mine(KINDS[r.name])))
        fired = Counter(r.fired for r in results if r.fired)
        torture.figure('crash points, by call', ', '.join('%s %d' % each for each in
                                                          fired.most_common()))
        torture.figure('crash points, answered writes checked', sum(r.checked for r in results))
        torture.figure('crash points, lost', sum(r.lost for r in results))
        torture.figure('crash points, doubled', sum(r.doubled for r in results))
        torture.figure('crash points, failed', sum(bool(r.failure) for r in results))


def run_points(pool, name, points, rand):
    if name not in LIES or torture.LONG:
        return pool.map(worker_run, points, chunksize=1)
    rand.shuffle(points)
    results = []
    while points and not any(r.lost for r in results):
        results += pool.map(worker_run, points[:4], chunksize=1)
        points = points[4:]
    return results


def run_all(kinds, seed, folder, workers):
    report = Report(kinds)
    rand = random.Random(seed)
    with FORK.Pool(workers, worker_begin, (seed, folder)) as pool:
        ok, text, why = pool.apply(worker_trace)
        report.tell(ok, text)
        if why:
            diag(why)
        for name in kinds:
            numbers = sessions(name, rand.randrange(10 ** 6))
            whole = pool.map(worker_run, ['%s:%d:before:0' % (name, n) for n in numbers])
            if any(w.failure for w in whole):
                report.kind(name, whole, seed)
                continue
            points = choose(name, list(zip(numbers, [w.count for w in whole])), rand)
            report.kind(name, run_points(pool, name, [str(p) for p in points], rand), seed)
        pool.close()
        pool.join()
    report.figures()
    return report.bad


def run_one(text, seed, folder, times):
    mine = Bench(seed, folder)
    bad = 0
    for _ in range(times):
        result = mine.run(Point.parse(text))
        print('%s: died at %s, call %d; %d answered writes checked%s' % (
            text, result.fired, result.count, result.checked, ': FAILED' * bool(result.failure)))
        if result.failure:
            bad += 1
            print(result.failure)
    mine.close()
    return bad


def fill_templates(folder):
    bus = Bus()
    client = Client(bus)
    templates.make(bus, client, folder)
    client.close()
    bus.stop()


def make_templates(folder):
    """In a process of its own: after GLib has made its threads, none can be forked."""
    process = FORK.Process(target=fill_templates, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 0, 'the databases to begin with could not be made'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--point')
    parser.add_argument('--times', type=int, default=1)
    parser.add_argument('--only', action='append', choices=list(KINDS))
    parser.add_argument('--workers', type=int, default=2)
    options = parser.parse_args()
    if os.path.isdir('/dev/shm'):
        tempfile.tempdir = '/dev/shm'       # the disk is a model anyway
    seed = torture.seed()
    folder = tempfile.mkdtemp(prefix='hf-crash-')
    try:
        make_templates(folder)
        if options.point:
            bad = run_one(options.point, seed, folder, options.times)
        else:
            bad = run_all(options.only or list(AMOUNTS), seed, folder, options.workers)
    finally:
        shutil.rmtree(folder)
    sys.exit(1 if bad else 0)


if __name__ == '__main__':
    main()
