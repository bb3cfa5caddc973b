#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""200 clients at once, each with a connection: mixed calls, in areas of their own and in one of all."""

from harness import *
from load import Load, check_parent, descriptors, metrics
from torture import choose, figure, seed

SEED = seed()
CLIENTS = 200
CALLS = choose(20000, 400000)

# How long an answer may take, in usec: the 5 s of the contract.
PATIENCE = round(5 * SLOW * 1e6)
WINDOW = 4                      # calls under way of each client: 800 in all


@test
def every_call_of_200_clients_is_answered_once_and_right(t):
    # No get is to fail because a busy machine makes the parent slow, so it may take its time.
    d = t.daemon({'Parent': {'RequestTimeout': '4s', 'BatchTimeout': '10s'},
                  'Limits': {'AreasPerUser': '1000'}})
    p = t.parentd()
    c = t.client()
    c.monitor.state_is('connected')
    before = descriptors(d)
    expected = os.path.join(t.dir, 'expected')
    load = Load(t, 'crowd', '--clients=%d' % CLIENTS, '--calls=%d' % CALLS, '--window=%d' % WINDOW,
                '--seed=%d' % SEED, '--patience=%d' % PATIENCE, '--expected=' + expected)
    load.finish(choose(60, 900))
    equal(load.number('calls'), CALLS // CLIENTS * CLIENTS)

    now = metrics(c)
    equal(now['holdfast_queue_entries'], 0, 'entries that wait')
    equal(now['holdfast_rejected_entries'], 0, 'entries the parent refused')
    equal(c.monitor.get('State'), 'connected')
    keys = check_parent(p, expected)
    equal(keys, CLIENTS * 20 + 10)
    # What came with the clients went with them.
    wait_for(lambda: descriptors(d) <= before, 'descriptors as before')
    figure('crowd clients', CLIENTS)
    figure('crowd calls', load.number('calls'))
    figure('crowd keys compared at the parent', keys)
    figure('crowd answer p50, p99, max', '%s, %s, %s usec' % tuple(
        load.said(name) for name in ('p50', 'p99', 'max')))


if __name__ == '__main__':
    main()
