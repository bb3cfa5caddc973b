#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is who: batch numbers, client ids, epochs, revisions, and a parent that lost data."""

import re

from harness import *


def once_then_default(p, kind, act):
    """The first message of a kind meets act(conn, message), later ones the polite behaviour."""
    def hook(conn, message):
        del p.on[kind]
        act(conn, message)
    p.on[kind] = hook


@test
def batches_have_numbers_ids_and_the_form_of_the_wire(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    c.storage.Await(c.storage.RemoveItem('k'), FOREVER)
    first, second = p.batches()
    equal(first['ops'], [{'type': 'saveToParentStorage', 'area': 'default', 'key': 'k', 'value': 'v'}])
    equal(second['ops'], [{'type': 'removeFromParentStorage', 'area': 'default', 'key': 'k'}])
    assert second['batch'] > first['batch'] >= 1
    for r in (first, second):
        assert re.fullmatch('[0-9a-f]{32}', r['id']) and isinstance(r['requestId'], str)
    assert first['id'] != second['id']


def hello_clients(p):
    return [r['client'] for r in p.of('hello')]


@test
def a_duplicate_of_another_id_takes_a_new_client_id(t):
    p, d, c = t.connected()
    once_then_default(p, 'batch', lambda conn, m: conn.send(
        dict(p.ack(m, [{'revision': 1}] * len(m['ops']), duplicate=True), id='f' * 32)))
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    clients = hello_clients(p)
    equal(len(set(clients)), 2)
    assert clients[-1] != clients[0]
    equal(p.ops_applied(), [('k', 'v')])
    first, second = p.batches()
    assert second['id'] != first['id'] and second['batch'] != first['batch']
    d.restart()
    wait_for(lambda: len(hello_clients(p)) > len(clients))
    equal(hello_clients(p)[-1], clients[-1])


@test
def a_last_batch_above_ours_takes_a_new_client_id(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('a', '1'), FOREVER)
    client = hello_clients(p)[0]
    number, ident, results = p.last[client]
    p.last[client] = (number + 500000, ident, results)
    p.drop()
    serial = c.storage.SetItem('b', '2')
    c.storage.Await(serial, FOREVER)
    assert hello_clients(p)[-1] != client
    equal(p.ops_applied(), [('a', '1'), ('b', '2')])


@test
def a_last_batch_above_ours_trims_nothing_in_flight(t):
    p, _, c = t.connected()
    client = hello_clients(p)[0]
    p.hold('batch')
    serial = c.storage.SetItem('k', 'v')
    wait_for(p.batches)
    p.last[client] = (p.batches()[0]['batch'] + 500000, 'e' * 32, None)
    p.drop()
    p.release('batch')
    c.storage.Await(serial, FOREVER)
    assert hello_clients(p)[-1] != client
    equal(p.ops_applied(), [('k', 'v')])


@test
def another_epoch_distrusts_copies(t):
    p, _, c = t.connected({'Cache': {'TTL': '1h'}})
    p.put('k', 'of the old store')
    c.storage.GetItem('k')
    p.epoch = 'e' * 32
    p.store.clear()
    p.last.clear()
    p.revision = 0
    p.put('k', 'of the new store')
    p.drop()
    wait_for(lambda: len(p.of('hello')) == 2)
    c.monitor.state_is('connected')
    equal(c.storage.GetItem('k'), 'of the new store')
    assert c.monitor.reason() != 'parent-lost-data', c.monitor.get('Reason')


@test
def another_epoch_gets_what_is_queued(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('a', '1'), FOREVER)
    p.stop()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('b', '2')
    p.epoch = 'e' * 32
    p.last.clear()
    p.start()
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('a', '1'), ('b', '2')])


@test
def a_last_batch_below_the_acked_one_says_parent_lost_data(t):
    p, d, c = t.connected()
    c.storage.Await(c.storage.SetItem('a', '1'), FOREVER)
    p.last.clear()
    p.drop()
    wait_for(lambda: c.monitor.reason() == 'parent-lost-data')
    c.storage.Await(c.storage.SetItem('b', '2'), FOREVER)
    equal(p.value('b'), '2')
    assert 'lost' in d.log()


@test
def a_first_revision_below_the_highest_seen_says_parent_lost_data(t):
    p, _, c = t.connected({'Cache': {'TTL': '1h'}}, revision=1000)
    p.put('k', 'old')
    c.storage.GetItem('k')
    p.revision = 5
    p.drop()
    wait_for(lambda: len(p.of('hello')) == 2)
    c.monitor.state_is('connected')
    c.storage.reads('other')
    wait_for(lambda: c.monitor.reason() == 'parent-lost-data')


@test
def a_new_store_starts_at_0_and_takes_our_numbers(t):
    p, d, c = t.connected()
    for i in range(3):
        c.storage.Await(c.storage.SetItem('k%d' % i, '1'), FOREVER)
    p.stop()
    fresh = FakeParent(t.socket_path)
    t.parents.append(fresh)
    fresh.start()
    c.storage.Await(c.storage.SetItem('after', '1'), FOREVER)
    equal(fresh.keys_applied(), ['after'])
    assert fresh.batches()[0]['batch'] > max(r['batch'] for r in p.batches())


if __name__ == '__main__':
    main()
