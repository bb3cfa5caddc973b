#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole daemon on databases that test-databases has spoiled: it starts, sends what is left, takes
writes, and has nothing to repair at the next start."""

import random
import subprocess

from harness import *
from torture import choose, figure, seed

SEED = seed()


def spoiled(t, number):
    """A state directory with spoiled database @number in it."""
    state = os.path.join(t.dir, 'state-%d' % number)
    os.mkdir(state, 0o700)
    subprocess.run([os.environ['HOLDFAST_TEST_DATABASES'], str(number), state], check=True,
                   stdout=subprocess.DEVNULL, env=dict(os.environ, HOLDFAST_TEST_SEED=str(SEED)))
    for suffix in ('', '-wal', '.lock'):
        path = os.path.join(state, 'store.db' + suffix)
        if os.path.exists(path):
            os.rename(path, os.path.join(state, 'holdfast.db' + suffix))
    return state


def started(d):
    """Wait until it is up, or has refused to be for the one reason there may be."""
    wait_for(lambda: not d.alive() or d.notify.has('READY=1'), 'a start', 20 * SLOW)
    if d.alive():
        return True
    d.process = None
    assert 'newer version' in d.log(), 'refused to start: ' + d.log()[-600:]
    return False


def queued(area):
    """{key: value, or None for a removal} of what waits to be sent."""
    def value(key):
        try:
            return area.GetItem(key)
        except BusError as error:
            equal(error.name, ERR + 'NoSuchItem', key)
            return None
    return {row[2]: value(row[2]) for row in area.ListQueue()}


def use(parent, c):
    """Send everything, and write to every area. How many entries had waited."""
    areas = {name: c.area(name) for name in c.manager.ListAreas()}
    waiting = {name: queued(area) for name, area in areas.items()}
    rejected = {name: area.ListRejected() for name, area in areas.items()}
    parent.start()
    look = parent.client()
    c.monitor.state_is('connected')
    for name, area in areas.items():
        area.Flush(FOREVER)
        equal(area.get('QueueSize'), 0)
        equal(area.ListRejected(), rejected[name])
        for key, value in waiting[name].items():
            equal(look.value(key, name), value, '%s of %s at the parent' % (key, name))
        area.Await(area.SetItem('afterwards', name), FOREVER)
        equal(area.full('afterwards', source='parent')[0], name)
        area.ListKeys('')
    parent.stop()
    return sum(map(len, waiting.values()))


@test
def the_daemon_starts_and_drains_whatever_was_spoiled(t):
    parent = t.parentd()
    parent.stop()
    rng = random.Random(SEED)
    repaired = refused = sent = 0
    numbers = [rng.randrange(100000) for _ in range(choose(5, 50))]
    for number in numbers:
        d = Daemon(t, state=spoiled(t, number)).start(ready=False)
        try:
            if not started(d):
                refused += 1
                continue
            repaired += 'was damaged' in d.log()
            c = t.client()
            sent += use(parent, c)
            d.stop()
            before = len(d.log())
            d.start()
            use(parent, c)
            assert 'damaged' not in d.log()[before:], 'damaged once more'
            d.stop()
        except Exception:
            diag('seed %d, database %d' % (SEED, number))
            raise
    figure('starts on spoiled databases', '%d: %d repaired, %d refused as newer; %d entries sent' % (
        len(numbers), repaired, refused, sent))


if __name__ == '__main__':
    main()
