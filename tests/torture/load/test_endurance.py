#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A million calls of all kinds, wrong ones too: memory and descriptors stay where they were."""

from harness import *
from load import Load, check_parent, descriptors, median, metrics, private_memory
from torture import choose, figure, seed

SEED = seed()
CALLS = choose(30000, 1000000)
SAMPLES = 100

# KiB. A leak of one small object per call (32 bytes at least, as malloc does it) would come to this
# after the warm-up:
#   long: 28 MiB; noise (SQLite's cache and malloc's free lists settle within the first tenth) is
#         some ten KiB, so the bound is 256 KiB: it finds a leak in every hundredth call.
#   short: 840 KiB. In its first 3,000 calls not all caches are full, so it may have 512 KiB.
GROWTH = choose(512, 256)


def watch(load, d):
    """(private KiB, descriptors) at each line that the load says."""
    samples = []
    while not load.has_ended():
        said = len(load.lines)
        samples.append((private_memory(d), descriptors(d)))
        wait_for(lambda: len(load.lines) > said or load.has_ended(), 'progress', 60 * SLOW)
    return samples


def growth(numbers):
    """From the second tenth to the last one."""
    tenth = len(numbers) // 10
    return median(numbers[-tenth:]) - median(numbers[tenth:2 * tenth])


@test
def memory_and_descriptors_are_flat_over_a_million_calls(t):
    d = t.daemon({'Parent': {'RequestTimeout': '4s', 'BatchTimeout': '10s'}, 'Debounce': {
        'Delay': ms(20), 'MaxDelay': ms(100)}}, args=('--log-level', 'info'))
    p = t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    expected = os.path.join(t.dir, 'expected')
    load = Load(t, 'crowd', '--clients=8', '--calls=%d' % CALLS, '--window=4', '--seed=%d' % SEED,
                '--report=%d' % (CALLS // SAMPLES), '--patience=%d' % (5e6 * SLOW),
                '--expected=' + expected)
    samples = watch(load, d)
    load.finish(10)
    assert len(samples) > SAMPLES // 2, 'too few samples: %d' % len(samples)
    memory, fds = ([s[i] for s in samples] for i in (0, 1))
    figure('endurance calls', load.number('calls'))
    figure('endurance errors among them', load.number('errors'))
    figure('endurance private memory after the warm-up, KiB', median(memory[10:20]))
    figure('endurance growth over the rest, KiB', growth(memory))
    figure('endurance descriptors, least and most', '%d, %d' % (min(fds[10:]), max(fds[10:])))
    # Under sanitizers freed memory is kept for a while, on purpose.
    if not os.environ.get('ASAN_OPTIONS'):
        assert growth(memory) <= GROWTH, 'grew by %d KiB: %s' % (growth(memory), memory)
    # Those that SQLite's checkpoints open for a moment aside.
    assert max(fds[-10:]) <= min(fds[10:20]) + 2, fds
    equal(metrics(c)['holdfast_queue_entries'], 0)
    check_parent(p, expected)


if __name__ == '__main__':
    main()
