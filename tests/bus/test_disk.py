#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that is slow, or fails: only those wait who must, and nothing is answered too early."""

from disk import Disk
from harness import *


def start(t, conf=None):
    """A parent, a daemon on such a disk, a client."""
    disk = Disk(t)
    p = t.parent()
    d = t.daemon(conf, environ=disk.environ)
    c = t.client()
    c.monitor.state_is('connected')
    return disk, p, d, c


@test
def a_write_is_answered_when_it_is_synced(t):
    disk, _, _, c = start(t)
    disk.slow(300)
    began = time.monotonic()
    c.storage.SetItem('k', 'v')
    took = time.monotonic() - began
    assert took >= secs(0.28), 'answered after %.3f s' % took
    disk.heal()


@test
def normal_and_memory_do_not_wait_for_the_sync(t):
    for durability in ('normal', 'memory'):
        disk, p, d, c = start(t, {'Storage': {'Durability': durability},
                                  'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
        c.storage.SetItem('first', 'v')         # reserves its block of serials
        disk.slow(1000)
        began = time.monotonic()
        c.storage.SetItem('k', 'v')
        took = time.monotonic() - began
        assert took < secs(0.5), '%s: answered after %.3f s' % (durability, took)
        disk.heal()
        p.stop()
        d.stop()


@test
def reads_and_pings_go_on_while_a_commit_waits(t):
    disk, p, _, c = start(t, {'Heartbeat': {'Interval': ms(50), 'Timeout': ms(500)}})
    c.storage.Await(c.storage.SetItem('known', 'v'), FOREVER)
    disk.slow(1000)
    write = c.storage.start('SetItem', 'k', 'v')
    c.barrier()
    began = time.monotonic()
    equal(c.storage.GetItem('known'), 'v')
    fails('NoSuchItem', c.storage.GetItem, 'unknown')
    equal(c.monitor.get('State'), 'connected')
    pings = len(p.of('ping'))
    wait_for(lambda: len(p.of('ping')) >= pings + 2)
    took = time.monotonic() - began
    assert took < secs(0.8) and not write.done, 'the loop was held up: %.3f s' % took
    disk.heal()
    write.wait()


@test
def a_read_of_a_key_waits_for_its_write(t):
    disk, _, _, c = start(t)
    disk.slow(300)
    write = c.storage.start('SetItem', 'k', 'v')
    reads = [c.storage.start('GetItem', 'k'), c.storage.start('GetItems', ['k', 'k2']),
             c.storage.start('ListKeys', ''), c.storage.start('ListQueue')]
    values = [read.wait() for read in reads]
    assert write.done
    equal(values[:3], ['v', {'k': 'v'}, ['k']])
    equal([row[2] for row in values[3]], ['k'])
    disk.heal()


@test
def writes_gather_while_a_commit_runs(t):
    disk, _, _, c = start(t)
    disk.slow(200)
    began = time.monotonic()
    calls = [c.storage.start('SetItem', 'k%d' % i, 'v') for i in range(60)]
    for call in calls:
        call.wait()
    took = time.monotonic() - began
    assert took < secs(2), '60 writes took %.2f s of 0.2 s syncs' % took
    disk.heal()


@test
def nothing_is_sent_before_it_is_safe(t):
    disk, p, _, c = start(t)
    disk.slow(400)
    began = time.monotonic()
    write = c.storage.start('RemoveItem', 'k')
    wait_for(p.batches)
    assert p.batches()[0].at - began >= secs(0.38), 'sent before it was synced'
    disk.heal()
    write.wait()


@test
def calls_of_one_client_keep_their_order_on_a_slow_disk(t):
    disk, p, _, c = start(t)
    disk.slow(100)
    calls = []
    for i in range(10):
        calls.append(c.storage.start('SetItem', 'k', str(i)))
        calls.append(c.storage.start('GetItem', 'k'))
    results = [call.wait() for call in calls]
    disk.heal()
    for i, value in enumerate(results[1::2]):
        assert int(value) >= i, 'read %s after write %d' % (value, i)
    equal(results[0::2], sorted(results[0::2]))
    c.storage.Flush(FOREVER)
    equal(p.value('k'), '9')


@test
def a_new_client_id_is_taken_before_anything_is_sent_again(t):
    disk, p, _, c = start(t)
    seen = []

    def duplicate_of_another(conn, m):
        if seen:
            return DEFAULT
        seen.append(m)
        disk.slow(300)
        conn.send(dict(p.ack(m, [{'revision': 1}] * len(m['ops']), duplicate=True), id='f' * 32))
    p.on['batch'] = duplicate_of_another
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    disk.heal()
    clients = [r['client'] for r in p.of('hello')]
    first, last = p.batches()[0], p.batches()[-1]
    assert last.conn.client != first.conn.client, 'sent again under the old client id'
    assert last['id'] != first['id']
    equal(p.ops_applied(), [('k', 'v')])
    assert clients[-1] != clients[0]


@test
def a_last_batch_above_ours_waits_for_the_new_client_id_too(t):
    disk, p, _, c = start(t)
    client = p.of('hello')[0]['client']
    p.last[client] = (500000, 'e' * 32, None)
    disk.slow(300)
    p.drop()
    write = c.storage.start('SetItem', 'k', 'v')
    c.storage.Await(write.wait(), FOREVER)
    disk.heal()
    assert all(r.conn.client != client for r in p.batches())
    equal(p.ops_applied(), [('k', 'v')])


@test
def bisection_on_a_slow_disk_sends_each_half_once(t):
    disk, p, _, c = start(t)
    p.hold('batch')
    c.storage.RemoveItem('first')
    wait_for(p.batches)
    for i in range(8):
        c.storage.SetItem('k%d' % i, str(i))
    p.on['batch'] = lambda conn, m: (conn.send(p.error(m, 'permanent', 'poisoned')) if any(
        op['key'] == 'k5' for op in m['ops']) else DEFAULT)
    disk.slow(50)
    p.release('batch')
    c.storage.Flush(FOREVER)
    disk.heal()
    equal(p.keys_applied(), ['first'] + ['k%d' % i for i in range(8) if i != 5])
    equal([row[2] for row in c.storage.ListRejected()], ['k5'])
    numbers = [r['batch'] for r in p.batches()]
    equal(numbers, sorted(set(numbers)))


@test
def a_stop_waits_for_what_is_being_committed(t):
    disk, _, d, c = start(t, {'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    disk.slow(300)
    write = c.storage.start('SetItem', 'k', 'v')
    c.barrier()
    d.process.terminate()
    wait_for(lambda: write.done)
    equal(d.wait(), 0)
    d.process = None
    disk.heal()
    equal(write.error, None)
    p = t.parents[0]
    d.start()
    c.monitor.state_is('connected')
    c.storage.Flush(FOREVER)
    equal(p.value('k'), 'v')


@test
def a_write_that_was_not_answered_may_be_lost_in_a_crash_but_never_half(t):
    disk, p, d, c = start(t)
    disk.slow(300)
    write = c.storage.start('SetItems', {'a': '1', 'b': '2'})
    c.barrier()
    d.kill9()
    wait_for(lambda: write.done)
    assert write.error is not None
    disk.heal()
    d.start()
    c.monitor.state_is('connected')
    c.storage.Flush(FOREVER)
    assert len(p.keys_applied()) in (0, 2), p.keys_applied()


@test
def a_sync_that_fails_is_an_error_reply(t):
    disk, p, d, c = start(t)
    c.storage.Await(c.storage.SetItem('before', 'v'), FOREVER)
    disk.fail()
    try:
        c.storage.SetItem('k', 'v')
        raise AssertionError('answered though the sync failed')
    except BusError as error:
        assert ' ' in error.message and 'NoReply' not in error.name, error
    equal(c.storage.get('QueueSize'), 0)
    equal(c.storage.GetItem('before'), 'v')
    disk.heal()
    c.storage.Await(c.storage.SetItem('after', 'v'), FOREVER)
    equal(p.keys_applied(), ['before', 'after'])
    assert d.alive()


@test
def a_batch_that_cannot_be_persisted_is_not_sent(t):
    disk, p, d, c = start(t, {'Debounce': {'Delay': ms(200), 'MaxDelay': ms(1000)}})
    serial = c.storage.SetItem('k', 'v')
    disk.fail()
    never(p.batches, 0.6)
    equal(c.storage.GetItem('k'), 'v')
    disk.heal()
    c.storage.Await(serial, FOREVER)
    equal(p.ops_applied(), [('k', 'v')])


@test
def a_wait_that_the_disk_holds_up_names_the_disk(t):
    disk = Disk(t)
    p = t.parent()
    t.daemon(environ=disk.environ)
    c = t.client()
    c.monitor.state_is('connected')
    p.stop()
    c.monitor.state_is('disconnected')
    serial = c.storage.SetItem('k', 'v')
    disk.fail()
    fails(FDO + 'IOError', c.storage.SetItem, 'k2', 'v')
    assert 'parent' in fails('Timeout', c.storage.Flush, usec(100)).message
    p.start()
    c.monitor.CheckConnection()
    c.monitor.state_is('connected')
    for call, args in ((c.storage.Flush, ()), (c.storage.Await, (serial,))):
        assert 'The disk fails' in fails('Timeout', call, *args, usec(500)).message
    disk.heal()
    c.storage.Flush(FOREVER)
    equal(p.value('k'), 'v')


@test
def a_start_on_a_disk_that_cannot_sync_says_so(t):
    disk = Disk(t)
    disk.fail()
    d = Daemon(t, environ=disk.environ)
    d.start(ready=False)
    status = d.wait(20 * SLOW)
    d.process = None
    assert status > 0 and d.log().strip(), status


if __name__ == '__main__':
    main()
