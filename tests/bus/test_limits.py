#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client may make grow has a bound; what one client does, others do not feel."""

import contextlib

from harness import *


@contextlib.contextmanager
def deaf_bus(t):
    """A bus that takes nothing from anybody for a while."""
    t.bus.freeze()
    try:
        yield
    finally:
        t.bus.thaw()


def answer_to_a_deaf_bus(t, p, again):
    """All questions held by the parent are answered while the bus takes nothing; again() then makes
    calls that find the answers in the daemon's queue."""
    with deaf_bus(t):
        p.release('getFromParentStorage')
        pings = len(p.of('ping'))
        wait_for(lambda: len(p.of('ping')) > pings + 1)
        return again()


@test
def a_caller_may_have_128_calls_unanswered(t):
    _, c = t.offline()
    serial = c.storage.SetItem('k', 'v')
    other = t.client()
    calls = [c.storage.start('Await', serial, FOREVER, timeout=100 * SLOW) for _ in range(128)]
    extra = c.storage.start('Await', serial, FOREVER)
    fails(FDO + 'LimitsExceeded', extra.wait)
    fails(FDO + 'LimitsExceeded', c.storage.start('Flush', FOREVER).wait)
    equal([call.done for call in calls], [False] * 128)
    equal(other.storage.GetItem('k'), 'v')
    fails('Timeout', other.storage.Await, serial, 0)
    t.parent()
    for call in calls:
        call.wait()
    equal(c.storage.GetItem('k'), 'v')


@test
def many_large_answers_at_once_are_neither_refused_nor_felt_by_others(t):
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}, 'Heartbeat': {'Interval': ms(100)}})
    p.put('big', 'x' * 2 ** 20)
    p.hold('batch', 'getFromParentStorage')
    other = t.client()
    other.storage.SetItem('small', 'v')
    calls = [c.storage.start('GetItem', 'big') for _ in range(120)]
    c.barrier()

    def again():
        return ([c.storage.start('GetItem', 'big') for _ in range(8)],
                [other.storage.start('GetItem', 'small') for _ in range(3)])
    more, others = answer_to_a_deaf_bus(t, p, again)
    equal([call.wait() for call in others], ['v'] * 3)
    for call in calls + more:
        equal(len(call.wait()), 2 ** 20)


@test
def a_caller_whose_answers_pile_up_is_refused_alone(t):
    p, d, c = t.connected({'Parent': {'RequestTimeout': '4s'}, 'Heartbeat': {'Interval': ms(100)},
                           'Queue': {'MaxBytes': '32M'}})
    p.put('held', 'v')
    p.hold('batch', 'getFromParentStorage')
    other = t.client()
    keys = ['k%d' % i for i in range(7)]
    for key in keys:
        other.storage.SetItem(key, 'x' * 2 ** 20)
    calls = [c.storage.start('GetItems', keys + ['held']) for _ in range(36)]
    c.barrier()

    def again():
        return c.storage.start('GetItem', 'held'), other.storage.start('GetItem', 'k0')
    refused, served = answer_to_a_deaf_bus(t, p, again)
    fails(FDO + 'LimitsExceeded', refused.wait)
    equal(len(served.wait()), 2 ** 20)
    for call in calls:
        equal(len(call.wait()), 8)
    equal(c.storage.GetItem('held'), 'v')


@test
def a_change_of_state_is_told_when_the_bus_takes_messages_again(t):
    # A line that has lasted for 10 s, as on a busy machine, would be dialled again at once, and a
    # state that is back to what it was is not told.
    p, d, c = t.connected({'Parent': {'BatchTimeout': '5min'}, 'Heartbeat': {'AutoRecover': 'no'},
                           'Queue': {'Limit': '2000'}})
    c.listen()
    crowd = [t.client() for _ in range(60)]     # sd-bus lets the kernel hold up to 16 MiB
    for each in crowd:
        each.storage.Subscribe()
    p.hold('batch')
    c.storage.RemoveItem('first')
    wait_for(p.batches)
    for i in range(1000):
        p.refuse_ops['k%03d' % i] = ('rejected', 'no')
    for part in range(10):              # in groups: one signal per key and member of the crowd
        c.storage.SetItems({'k%03d' % i: 'v' for i in range(part * 100, part * 100 + 100)})
        c.barrier()
    with deaf_bus(t):
        p.release('batch')
        wait_for(lambda: 'cannot send ItemRejected' in d.log())
        p.drop()
        wait_for(lambda: 'does not take our messages' in d.log())
    # The bus has some 60,000 messages to pass on before it.
    wait_for(lambda: c.heard('ConnectionStateChanged'), deadline=secs(30))
    wait_for(lambda: any(changed.get('State') == 'disconnected' and 'Reason' in changed
                         for _, changed, _ in c.heard('PropertiesChanged', ROOT)))
    told = c.heard('ConnectionStateChanged')
    equal([(state, stats['old-state']) for state, stats in told], [('disconnected', 'connected')])
    equal(d.log().count('does not take our messages'), 1)
    c.monitor.state_is('disconnected')


@test
def a_sentence_of_the_parent_is_cut(t):
    p, _, c = t.connected()
    p.on['saveToParentStorage'] = lambda conn, m: conn.send(
        p.error(m, 'permanent', 'No: x' + 'é' * 100000 + '.'))
    error = fails('Rejected', c.direct.raw, 'SetItem', '(ss)', ('k', 'v'))
    assert 'é' in error.message and len(error.message.encode()) <= 512, error.message


@test
def many_quick_calls_are_not_refused(t):
    _, c = t.offline()
    calls = [c.storage.start('SetItem', 'k%d' % (i % 10), str(i)) for i in range(100)]
    for call in calls:
        call.wait()
    for _ in range(10):
        calls = [c.storage.start('GetItem', 'k1') for _ in range(100)]
        for call in calls:
            call.wait()


@test
def a_vanished_caller_frees_its_calls(t):
    d, c = t.offline()
    serial = c.storage.SetItem('k', 'v')
    for _ in range(3):
        other = t.client()
        for _ in range(128):
            other.storage.start('Await', serial, FOREVER)
        other.barrier()
        other.close()
    c.barrier()
    p = t.parent()
    c.storage.Await(serial, FOREVER)
    equal(p.value('k'), 'v')
    assert d.alive()


@test
def a_caller_that_vanishes_with_a_get_under_way_does_no_harm(t):
    p, d, c = t.connected({'Parent': {'RequestTimeout': '4s'}})
    p.put('k', 'v')
    p.hold('getFromParentStorage')
    other = t.client()
    other.storage.start('GetItem', 'k')
    other.storage.start('GetItems', ['k', 'l'])
    other.direct.start('GetItem', 'k')
    wait_for(lambda: len(p.gets()) >= 2)
    other.close()
    p.release('getFromParentStorage')
    equal(c.storage.GetItem('k'), 'v')
    assert d.alive()


@test
def a_write_of_a_caller_that_vanishes_is_kept(t):
    _, c = t.offline()
    other = t.client()
    # It is known by then: of one that went before it could be asked after, nothing is taken, for
    # nobody can tell whether it was in a sandbox.
    equal(other.storage.get('QueueSize'), 0)
    other.storage.start('SetItem', 'k', 'v')
    other.conn.flush_sync(None)
    other.close()
    wait_for(lambda: c.storage.get('QueueSize') == 1)
    equal(c.storage.GetItem('k'), 'v')


@test
def a_bulk_reply_has_8_mib_at_most(t):
    _, c = t.offline({'Queue': {'MaxBytes': '32M'}})
    for i in range(9):
        c.storage.SetItem('k%d' % i, 'x' * 2 ** 20)
    equal(len(c.storage.GetItems(['k%d' % i for i in range(7)])), 7)
    fails(('TooLarge', FDO + 'LimitsExceeded'), c.storage.GetItems, ['k%d' % i for i in range(9)])


@test
def list_keys_of_very_many_keys_is_bounded(t):
    _, c = t.offline({'Queue': {'Limit': '30000', 'MaxBytes': '64M'}})
    for part in range(18):
        c.storage.SetItems({'%03d-%04d-' % (part, i) + 'x' * 500: '' for i in range(1000)})
    # 18,000 keys of 509 bytes: more than 8 MiB
    fails(('TooLarge', FDO + 'LimitsExceeded'), c.storage.ListKeys, '')
    equal(len(c.storage.ListKeys('003')), 1000)
    fails(('TooLarge', FDO + 'LimitsExceeded'), c.storage.ListQueue)


@test
def areas_per_user_are_limited(t):
    d, c = t.offline({'Limits': {'AreasPerUser': '3'}})
    names = []
    try:
        for i in range(10):
            c.manager.OpenArea('area%d' % i)
            names.append('area%d' % i)
    except BusError as error:
        assert error.name in (ERR + 'QuotaExceeded', FDO + 'LimitsExceeded'), error
    assert 2 <= len(names) <= 3, names
    before = c.manager.ListAreas()
    assert len(before) <= 3 or len(before) == 4 and 'default' in before, before
    c.manager.OpenArea(names[0])
    d.restart()
    equal(c.manager.ListAreas(), before)
    fails(('QuotaExceeded', FDO + 'LimitsExceeded'), c.manager.OpenArea, 'one-more')


@test
def bytes_per_user_are_limited_over_all_areas(t):
    _, c = t.offline({'Limits': {'BytesPerUser': '100K'}})
    one, two = c.area('one'), c.area('two')
    one.SetItem('k', 'x' * 60000)
    fails('QuotaExceeded', two.SetItem, 'k', 'x' * 60000)
    equal(two.get('QueueSize'), 0)
    two.SetItem('k', 'x' * 20000)


@test
def items_are_bounded_and_the_oldest_copies_go(t):
    p, _, c = t.connected({'Storage': {'MaxBytes': '10K'}, 'Cache': {'TTL': '0', 'MaxBytes': '10K'}})
    for i in range(20):
        c.storage.Await(c.storage.SetItem('k%02d' % i, 'x' * 1000), FOREVER)
    p.stop()
    c.monitor.state_is('disconnected')
    kept = c.storage.ListKeys('')
    assert 5 <= len(kept) <= 10, kept
    equal(kept, ['k%02d' % i for i in range(20 - len(kept), 20)])
    fails('Unavailable', c.storage.GetItem, 'k00')
    equal(c.storage.GetItem('k19'), 'x' * 1000)


@test
def pending_values_are_never_evicted(t):
    p, _, c = t.connected({'Storage': {'MaxBytes': '2K'}})
    p.hold('batch')
    for i in range(10):
        c.storage.SetItem('k%d' % i, 'x' * 1000)
    for i in range(10):
        equal(c.storage.GetItem('k%d' % i), 'x' * 1000)
    p.release('batch')
    c.storage.Flush(FOREVER)
    equal(len(p.keys_applied()), 10)


@test
def drop_oldest_tells_what_it_drops(t):
    d, c = t.offline({'Queue': {'Limit': '3', 'Overflow': 'drop-oldest'}})
    c.storage.Subscribe()
    serials = [c.storage.SetItem(key, '1') for key in 'abcde']
    equal([row[1] for row in c.storage.queue()], ['c', 'd', 'e'])
    wait_for(lambda: len(c.heard('ItemDropped')) == 2)
    equal(c.heard('ItemDropped'), [(serials[0], 'a'), (serials[1], 'b')])
    fails('QuotaExceeded', c.storage.Await, serials[0], FOREVER)
    fails('Timeout', c.storage.Await, serials[2], 0)
    fails('Unavailable', c.storage.GetItem, 'a')
    d.crash()
    fails('QuotaExceeded', c.storage.Await, serials[0], FOREVER)


@test
def drop_oldest_drops_a_group_whole(t):
    _, c = t.offline({'Queue': {'Limit': '3', 'Overflow': 'drop-oldest'}})
    c.storage.Subscribe()
    group = c.storage.SetItems({'g1': '1', 'g2': '2'})
    c.storage.SetItem('a', '1')
    c.storage.SetItem('b', '1')
    equal([row[1] for row in c.storage.queue()], ['a', 'b'])
    wait_for(lambda: len(c.heard('ItemDropped')) == 2)
    equal(sorted(key for _, key in c.heard('ItemDropped')), ['g1', 'g2'])
    fails('QuotaExceeded', c.storage.Await, group, FOREVER)


@test
def drop_oldest_never_drops_what_is_in_flight(t):
    p, _, c = t.connected({'Queue': {'Limit': '2', 'Overflow': 'drop-oldest'}})
    p.hold('batch')
    c.storage.SetItems({'g1': '1', 'g2': '2'})
    wait_for(lambda: [row[2] for row in c.storage.queue()] == ['in-flight', 'in-flight'])
    fails('QuotaExceeded', c.storage.SetItem, 'a', '1')
    p.release('batch')
    c.storage.Flush(FOREVER)
    equal(sorted(p.keys_applied()), ['g1', 'g2'])


@test
def drop_oldest_works_by_bytes(t):
    _, c = t.offline({'Queue': {'MaxBytes': '1000', 'Overflow': 'drop-oldest'}})
    for key in 'abc':
        c.storage.SetItem(key, 'x' * 400)
    equal([row[1] for row in c.storage.queue()], ['b', 'c'])
    fails('QuotaExceeded', c.storage.SetItem, 'd', 'x' * 2000)
    equal([row[1] for row in c.storage.queue()], ['b', 'c'])


@test
def the_limit_counts_after_coalescing(t):
    _, c = t.offline({'Queue': {'Limit': '2'}})
    for i in range(50):
        c.storage.SetItem('a', str(i))
        c.storage.SetItem('b', str(i))
    equal(c.storage.get('QueueSize'), 2)


@test
def in_flight_counts_too(t):
    p, _, c = t.connected({'Queue': {'Limit': '2'}})
    p.hold('batch')
    c.storage.SetItem('a', '1')
    wait_for(p.batches)
    c.storage.SetItem('a', '2')         # stands behind the one in flight
    fails('QuotaExceeded', c.storage.SetItem, 'b', '1')
    p.release('batch')
    c.storage.Flush(FOREVER)
    c.storage.SetItem('b', '1')


@test
def batches_are_of_1000_operations_and_1_mib_at_most(t):
    _, c = t.offline({'Queue': {'MaxBytes': '64M'}})
    for part in range(3):
        c.storage.SetItems({'g%d-%03d' % (part, i): 'v' for i in range(700)})
    for i in range(5):
        c.storage.SetItem('big%d' % i, 'x' * 400000)
    p = t.parent()
    c.storage.Flush(FOREVER)
    for r in p.batches():
        size = sum(len(op['key']) + len(op.get('value', '')) for op in r['ops'])
        assert len(r['ops']) <= 1000, len(r['ops'])
        assert size <= 2 ** 20 or len(r['ops']) == 1, size
    equal(len(p.keys_applied()), 2105)
    equal(p.keys_applied()[-5:], ['big%d' % i for i in range(5)])
    assert len(p.batches()) <= 8, len(p.batches())


@test
def at_most_one_batch_is_in_flight(t):
    p, _, c = t.connected()
    other = c.area('other')
    p.hold('batch')
    c.storage.RemoveItem('a')
    wait_for(p.batches)
    c.storage.RemoveItem('b')
    other.RemoveItem('c')
    never(lambda: len(p.batches()) > 1)
    p.release('batch')
    c.storage.Flush(FOREVER)
    other.Flush(FOREVER)
    assert 2 <= len(p.batches()) <= 3


@test
def two_clients_share_one_area(t):
    p, _, c = t.connected()
    other = t.client()
    other.storage.Subscribe()
    c.storage.SetItem('k', 'v')
    equal(other.storage.GetItem('k'), 'v')
    wait_for(lambda: other.heard('ItemChanged') == [('k', 'local')])
    other.storage.SetItem('k', 'w')
    equal(c.storage.GetItem('k'), 'w')
    c.storage.Flush(FOREVER)
    equal(p.value('k'), 'w')


@test
def signals_carry_names_and_never_values(t):
    p, _, c = t.connected()
    spy = t.client()
    spy.match("type='signal'")
    c.storage.Subscribe()
    secret = 'S3CRET-VALUE'
    p.refuse_ops['bad'] = ('rejected', 'no')
    c.storage.SetItem('k', secret)
    c.storage.SetItem('bad', secret)
    c.storage.SetItems({'a': secret})
    c.storage.RemoveItem('k')
    c.storage.Flush(FOREVER)
    p.drop()
    c.monitor.state_is('connected')
    wait_for(lambda: c.heard('ItemRejected'))
    spy.barrier()
    for s in c.signals + spy.signals:
        assert secret not in repr(s.args), s
    equal([s for s in spy.signals if s.interface == NAME + '.Storage'], [])


@test
def the_log_has_no_values(t):
    p, d, c = t.connected()
    secret = 'S3CRET-VALUE'
    p.refuse_ops['bad'] = ('rejected', 'no')
    c.storage.SetItem('bad', secret)
    c.storage.SetItem('k', secret)
    c.storage.Flush(FOREVER)
    c.storage.GetItem('k')
    c.direct.SetItem('d', secret)
    d.stop()
    assert secret not in d.log()


@test
def rejected_entries_are_bounded(t):
    p, _, c = t.connected({'Queue': {'Limit': '20000'}})
    c.storage.Subscribe()
    for i in range(1010):
        p.refuse_ops['k%04d' % i] = ('rejected', 'no')
    p.hold('batch')
    c.storage.RemoveItem('first')
    wait_for(p.batches)
    calls = []
    for i in range(1010):
        calls.append(c.storage.start('SetItem', 'k%04d' % i, 'v'))
        if len(calls) == 100:
            for call in calls:
                call.wait()
            calls = []
    for call in calls:
        call.wait()
    p.release('batch')
    c.storage.Flush(FOREVER)
    rows = c.storage.ListRejected()
    equal(len(rows), 1000)
    equal(rows[0][2], 'k0010')
    wait_for(lambda: len(c.heard('ItemDropped')) == 10)
    equal([key for _, key in c.heard('ItemDropped')], ['k%04d' % i for i in range(10)])


@test
def a_slow_reader_of_signals_does_not_grow_the_daemon(t):
    d, c = t.offline()
    deaf = t.client()
    deaf.storage.Subscribe()            # and never turns its loop while the others write
    for i in range(2000):
        c.storage.SetItem('k%d' % (i % 5), str(i))
    equal(c.storage.get('QueueSize'), 5)
    assert d.alive()


@test
def very_many_questions_at_once_are_all_answered(t):
    # more than may be asked at once: some are put off, as after a failed attempt
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}, 'Retry': {'MaxAttempts': '20'}})
    with p.lock:
        for i in range(6000):
            p.put('k%04d' % i, str(i))
    clients = [t.client() for _ in range(6)]
    calls = [(part, client.storage.start('GetItems', [
        'k%04d' % i for i in range(part * 1000, part * 1000 + 1000)]))
        for part, client in enumerate(clients)]
    for part, call in calls:
        equal(call.wait(), {'k%04d' % i: str(i) for i in range(part * 1000, part * 1000 + 1000)})


if __name__ == '__main__':
    main()
