#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The integration cases of the origin: its ConnectionMonitor and its EnhancedParentStorageAdapter."""

import threading

from harness import *

NO_REDIAL = {'Reconnect': {'InitialDelay': '1h', 'MaxDelay': '1h'}}
# A get's attempts can be counted: the parent answers pings, and the link stays up.
RETRY = {'Cache': {'TTL': '0'}, 'Parent': {'RequestTimeout': ms(100)},
         'Retry': {'MaxAttempts': '3', 'InitialDelay': ms(100), 'MaxDelay': '2s', 'Multiplier': '2'}}


# ---- ConnectionMonitor ----

@test
def heartbeat_comes_at_intervals(t):
    p, _, _ = t.connected({'Heartbeat': {'Interval': ms(100), 'Timeout': ms(100)}})
    wait_for(lambda: len(p.of('ping')) >= 5)
    at = [r.at for r in p.of('ping')[:5]]
    assert secs(0.3) <= at[-1] - at[0] <= secs(1.5), at


@test
def a_pong_updates_latency_and_time(t):
    p = t.parent()
    p.on['ping'] = lambda conn, m: threading.Timer(
        secs(0.02), conn.send, [{'type': 'pong', 'pingTime': m['pingTime']}]).start()
    t.daemon()
    c = t.client()
    c.monitor.state_is('connected')
    assert c.monitor.get('AverageLatency') >= secs(0.02) * 1e6 * 0.95
    assert c.monitor.get('LastPongTime') >= c.monitor.get('LastPingTime') > 0


@test
def time_out_leads_to_disconnected(t):
    p, _, c = t.connected(dict(NO_REDIAL, Heartbeat={'Interval': ms(100), 'Timeout': ms(100)}))
    p.hold('ping')
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'timeout')


@test
def recovers_by_itself(t):
    p, _, c = t.connected({'Heartbeat': {'Interval': ms(100), 'Timeout': ms(100)}})
    p.hold('ping')
    c.monitor.state_is('disconnected')
    p.release('ping')
    c.monitor.state_is('connected')


@test
def listeners_hear_until_they_unsubscribe(t):
    p, _, c = t.connected(NO_REDIAL)
    rule = "type='signal',interface='%s.Monitor'" % NAME
    listener, quiet = t.client(), t.client()
    for client in (listener, quiet):
        client.match(rule)
    quiet.conn.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                         'RemoveMatch', GLib.Variant('(s)', (rule,)), None, 0, -1, None)
    p.drop()
    wait_for(lambda: listener.heard('ConnectionStateChanged'))
    quiet.barrier()
    equal(quiet.heard('ConnectionStateChanged'), [])


@test
def subscribers_hear_until_they_unsubscribe(t):
    _, c = t.offline()
    c.storage.Subscribe()
    c.storage.SetItem('a', '1')
    wait_for(lambda: c.heard('ItemChanged'))
    c.storage.Unsubscribe()
    c.storage.SetItem('b', '1')
    c.barrier()
    equal(c.heard('ItemChanged'), [('a', 'local')])


@test
def stats_tell_of_the_pings(t):
    p, _, c = t.connected({'Heartbeat': {'Interval': ms(50), 'Timeout': ms(500)}})
    wait_for(lambda: c.monitor.GetStats()['total-pings'] >= 3)
    stats = c.monitor.GetStats()
    equal(stats['failed-pings'], 0)
    assert stats['average-latency'] > 0


# ---- retry and fallback ----

@test
def get_is_tried_again_with_growing_waits(t):
    p, _, c = t.connected(RETRY)
    p.on['getFromParentStorage'] = lambda conn, m: conn.send(p.error(m, 'transient'))
    fails('Unavailable', c.storage.GetItem, 'k')
    at = [r.at for r in p.gets('k')]
    equal(len(at), 3)
    first, second = at[1] - at[0], at[2] - at[1]
    assert secs(0.09) <= first <= secs(0.19), first
    assert secs(0.19) <= second <= secs(0.4), second


@test
def an_unanswered_get_is_tried_again(t):
    p, _, c = t.connected(RETRY)
    p.hold('getFromParentStorage')
    fails('Unavailable', c.storage.GetItem, 'k')
    at = [r.at for r in p.gets('k')]
    equal(len(at), 3)
    assert secs(0.19) <= at[1] - at[0] <= secs(0.4), at
    assert secs(0.29) <= at[2] - at[1] <= secs(0.6), at


@test
def the_second_attempt_may_succeed(t):
    p, _, c = t.connected(RETRY)
    p.put('k', 'v')
    p.on['getFromParentStorage'] = lambda conn, m: (
        conn.send(p.error(m, 'transient')) if len(p.gets('k')) == 1 else DEFAULT)
    value, info = c.storage.full('k')
    equal((value, info['source'], info['stale']), ('v', 'parent', False))
    equal(len(p.gets('k')), 2)


@test
def after_the_last_attempt_it_falls_back(t):
    p, _, c = t.connected(RETRY)
    p.put('k', 'v')
    c.storage.GetItem('k')
    p.on['getFromParentStorage'] = lambda conn, m: conn.send(p.error(m, 'transient'))
    value, info = c.storage.full('k')
    equal((value, info['source'], info['stale']), ('v', 'local', True))
    equal(len(p.gets('k')), 4)


@test
def permanent_errors_are_not_retried(t):
    p, _, c = t.connected(RETRY)
    p.on['getFromParentStorage'] = lambda conn, m: conn.send(p.error(m, 'permanent', 'no such area'))
    fails(('Unavailable', 'Rejected'), c.storage.GetItem, 'k')
    equal(len(p.gets('k')), 1)


@test
def a_get_takes_5_seconds_at_most(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}, 'Parent': {'RequestTimeout': '3s'},
                           'Retry': {'MaxAttempts': '50', 'InitialDelay': '1s', 'MaxDelay': '10s'}})
    p.put('k', 'v')
    c.storage.GetItem('k')
    p.hold('getFromParentStorage')
    calls = [c.storage.start('GetItem', 'k'), c.storage.start('GetItem', 'other'),
             c.storage.start('GetItems', ['k', 'more'])]
    began = time.monotonic()
    equal(calls[0].wait(), 'v')
    fails('Unavailable', calls[1].wait)
    fails('Unavailable', calls[2].wait)
    assert max(call.ended_at for call in calls) - began <= 5 + (SLOW - 1), 'took longer'


@test
def a_get_ends_at_once_when_the_link_is_lost(t):
    p, _, c = t.connected(dict(NO_REDIAL, Cache={'TTL': '0'}, Parent={'RequestTimeout': '4s'}))
    p.put('k', 'v')
    c.storage.GetItem('k')
    p.hold('getFromParentStorage')
    call = c.storage.start('GetItem', 'k')
    wait_for(lambda: len(p.gets('k')) == 2)
    p.drop()
    began = time.monotonic()
    equal(call.wait(), 'v')
    assert time.monotonic() - began < secs(1.5)


@test
def during_the_first_attempt_a_get_waits_for_it(t):
    p = t.parent()
    p.put('k', 'v')
    p.hold('hello')
    t.daemon({'Parent': {'RequestTimeout': '4s', 'DialTimeout': '4s'}})
    c = t.client()
    call = c.storage.start('GetItem', 'k')
    wait_for(lambda: p.of('hello'))
    never(lambda: call.done, 0.1)
    p.release('hello')
    equal(call.wait(), 'v')


@test
def the_first_attempt_holds_a_get_no_longer_than_request_timeout(t):
    p = t.parent()
    p.hold('hello')
    t.daemon({'Parent': {'RequestTimeout': ms(200), 'DialTimeout': '20s'}})
    c = t.client()
    began = time.monotonic()
    fails('Unavailable', c.storage.GetItem, 'k')
    assert time.monotonic() - began < secs(1.5)


# ---- queue and replay ----

@test
def writes_are_queued_while_disconnected(t):
    _, c = t.offline()
    for key in 'abc':
        c.storage.SetItem(key, '1')
    equal(c.storage.get('QueueSize'), 3)
    equal([row[1] for row in c.storage.queue()], ['a', 'b', 'c'])


@test
def the_queue_is_replayed_in_order_on_reconnect(t):
    p, _, c = t.connected()
    p.stop()
    c.monitor.state_is('disconnected')
    for i in range(20):
        c.storage.SetItem('k%02d' % i, str(i))
    c.storage.RemoveItem('k05')
    p.start()
    c.storage.Flush(FOREVER)
    equal(c.storage.get('QueueSize'), 0)
    wanted = [('k%02d' % i, str(i)) for i in range(20) if i != 5] + [('k05', None)]
    equal(p.ops_applied(), wanted)


@test
def a_set_is_held_back_300_ms_by_default(t):
    p, _, c = t.connected({'Debounce': {'Delay': '300ms', 'MaxDelay': '2s'}})
    began = time.monotonic()
    for i in range(10):
        c.storage.SetItem('k', str(i))
    last = time.monotonic()
    wait_for(p.batches)
    assert p.batches()[0].at - began >= 0.28, 'sent too early'
    assert p.batches()[0].at - last <= 0.3 + secs(0.3), 'sent too late'
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('k', '9')])


@test
def typing_is_held_back_max_delay_at_most(t):
    p, _, c = t.connected({'Debounce': {'Delay': ms(200), 'MaxDelay': ms(500)}})
    began = time.monotonic()
    writes = 0
    while not p.batches():
        assert time.monotonic() - began < secs(3), 'never sent while typing went on'
        c.storage.SetItem('k', str(writes))
        writes += 1
        turn(0.02)
    took = p.batches()[0].at - began
    assert secs(0.45) <= took <= secs(0.9), took
    assert writes >= 5


@test
def a_remove_is_not_held_back(t):
    p, _, c = t.connected({'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    c.storage.Await(c.storage.RemoveItem('k'), FOREVER)
    equal(p.ops_applied(), [('k', None)])


@test
def a_group_is_not_held_back_but_waits_for_its_turn(t):
    p, _, c = t.connected({'Debounce': {'Delay': ms(300), 'MaxDelay': ms(2000)}})
    c.storage.Await(c.storage.SetItems({'a': '1', 'b': '2'}), FOREVER)
    c.storage.SetItem('typed', 'x')
    began = time.monotonic()
    c.storage.Await(c.storage.SetItems({'c': '1'}), FOREVER)
    assert time.monotonic() - began >= secs(0.28), 'overtook the set before it'
    equal(p.keys_applied()[2:], ['typed', 'c'])


# ---- cache ----

@test
def a_second_get_comes_from_the_cache(t):
    p, _, c = t.connected()
    p.put('k', 'v')
    for _ in range(5):
        equal(c.storage.GetItem('k'), 'v')
    equal(len(p.gets('k')), 1)


@test
def an_absent_answer_is_cached_too(t):
    p, _, c = t.connected()
    for _ in range(5):
        fails('NoSuchItem', c.storage.GetItem, 'k')
    equal(len(p.gets('k')), 1)


@test
def the_cache_expires(t):
    p, _, c = t.connected({'Cache': {'TTL': ms(150)}})
    p.put('k', 'old')
    equal(c.storage.GetItem('k'), 'old')
    p.put('k', 'new')
    equal(c.storage.GetItem('k'), 'old')
    wait_for(lambda: c.storage.GetItem('k') == 'new', deadline=secs(2))
    assert p.gets('k')[1].at - p.gets('k')[0].at >= secs(0.14)


@test
def equal_gets_under_way_are_one_request(t):
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}})
    p.put('k', 'v')
    p.hold('getFromParentStorage')
    calls = [c.storage.start('GetItem', 'k') for _ in range(10)]
    wait_for(lambda: p.gets('k'))
    c.barrier()
    p.release('getFromParentStorage')
    for call in calls:
        equal(call.wait(), 'v')
    equal(len(p.gets('k')), 1)


@test
def an_acked_write_fills_the_cache(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    value, info = c.storage.full('k')
    equal((value, info['source'], info['pending']), ('v', 'cache', False))
    equal(p.gets('k'), [])


# ---- no parent ----

@test
def without_a_parent_the_store_is_the_parent(t):
    d = t.daemon({'Parent': {'Address': 'local:'}})
    c = t.client()
    c.monitor.state_is('connected')
    equal(c.monitor.get('Parent'), 'local:')
    serial = c.storage.SetItem('k', 'v')
    c.storage.Await(serial, 0)
    equal((c.storage.get('QueueSize'), c.storage.ListQueue()), (0, []))
    equal(c.storage.GetItem('k'), 'v')
    c.storage.SetItems({'a': '1', 'b': '2'})
    fails('NoSuchItem', c.storage.GetItem, 'absent')
    equal(c.storage.GetItems(['a', 'b', 'absent']), {'a': '1', 'b': '2'})
    c.storage.RemoveItem('a')
    fails('NoSuchItem', c.storage.GetItem, 'a')
    equal(c.storage.ListKeys(''), ['b', 'k'])
    c.storage.Flush(0)
    d.crash()
    c.monitor.state_is('connected')
    equal(c.storage.ListKeys(''), ['b', 'k'])
    equal(c.storage.GetItem('k'), 'v')
    assert c.storage.SetItem('k', 'w') > serial


@test
def without_a_parent_direct_works(t):
    t.daemon({'Parent': {'Address': 'local:'}})
    c = t.client()
    c.monitor.state_is('connected')
    c.direct.SetItem('k', 'v')
    equal((c.direct.GetItem('k'), c.storage.GetItem('k')), ('v', 'v'))
    c.direct.RemoveItem('k')
    fails('NoSuchItem', c.direct.GetItem, 'k')
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def without_a_parent_the_quota_is_of_the_items(t):
    t.daemon({'Parent': {'Address': 'local:'}, 'Storage': {'MaxBytes': '1000'}})
    c = t.client()
    c.monitor.state_is('connected')
    c.storage.SetItem('a', 'x' * 900)
    fails('QuotaExceeded', c.storage.SetItem, 'b', 'x' * 200)
    fails(('NoSuchItem',), c.storage.GetItem, 'b')
    equal(c.storage.GetItem('a'), 'x' * 900)
    c.storage.SetItem('a', 'x' * 100)
    c.storage.SetItem('b', 'x' * 200)


# ---- errors, stop, all together ----

@test
def an_unclean_value_costs_its_item_only(t):
    p, _, c = t.connected()
    p.put('bad', 'nul\0here')
    p.put('good', 'v')
    fails('InvalidValue', c.storage.GetItem, 'bad')
    equal(c.storage.GetItem('good'), 'v')
    equal(c.monitor.get('State'), 'connected')


@test
def a_clean_stop_sends_the_queue(t):
    p, d, c = t.connected({'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    c.storage.SetItem('k', 'v')
    equal(p.batches(), [])
    d.stop()
    equal(p.value('k'), 'v')


@test
def a_clean_stop_does_not_wait_long_for_a_deaf_parent(t):
    p, d, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    began = time.monotonic()
    d.stop()
    assert time.monotonic() - began < 2 + secs(1.5)
    p.release('batch')
    d.start()
    c.storage.Flush(FOREVER)
    equal(p.value('k'), 'v')


@test
def a_clean_stop_settles_pending_calls(t):
    d, c = t.offline()
    serial = c.storage.SetItem('k', 'v')
    calls = [c.storage.start('Await', serial, FOREVER), c.storage.start('Flush', FOREVER)]
    c.barrier()
    d.stop()
    for call in calls:
        try:
            call.wait()
            raise AssertionError('an unsent write was called acked')
        except BusError as error:
            assert 'NoReply' not in error.name, error


@test
def monitor_and_storage_work_together(t):
    parent = t.parentd()
    d = t.daemon({'Cache': {'TTL': '0'}})
    c = t.client()
    c.monitor.state_is('connected')
    c.storage.Await(c.storage.SetItem('k', 'one'), FOREVER)
    parent.kill9()
    c.monitor.state_is('disconnected')
    equal(c.storage.GetItem('k'), 'one')
    c.storage.SetItem('k', 'two')
    c.storage.SetItem('other', 'new')
    equal((c.storage.GetItem('k'), c.storage.get('QueueSize')), ('two', 2))
    parent.start()
    c.monitor.state_is('connected')
    c.storage.Flush(FOREVER)
    equal(c.storage.get('QueueSize'), 0)
    inside = parent.client()
    equal([inside.value('k'), inside.value('other')], ['two', 'new'])
    assert d.alive()


# ---- the origin's Phase 2, as shipped ----

def phase2(t):
    with open(os.path.join(TOP, 'data', 'config', 'origin-phase2.conf')) as file:
        return file.read() + '\n[Parent]\nAddress=%s\n' % t.address


@test
def phase_2_queues_100_and_drops_the_oldest(t):
    t.daemon(text=phase2(t))
    c = t.client()
    c.monitor.state_is('disconnected')
    c.storage.Subscribe()
    serials = [c.storage.SetItem('k%03d' % i, str(i)) for i in range(105)]
    equal(c.storage.get('QueueSize'), 100)
    equal([row[1] for row in c.storage.queue()], ['k%03d' % i for i in range(5, 105)])
    wait_for(lambda: len(c.heard('ItemDropped')) == 5)
    equal(c.heard('ItemDropped'), [(serials[i], 'k%03d' % i) for i in range(5)])
    fails('QuotaExceeded', c.storage.Await, serials[0], FOREVER)
    p = t.parent()
    c.storage.Flush(FOREVER)
    equal(p.keys_applied(), ['k%03d' % i for i in range(5, 105)])


@test
def phase_2_forgets_with_the_process(t):
    d = t.daemon(text=phase2(t))
    c = t.client()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('k', 'v')
    d.crash()
    equal(c.storage.get('QueueSize'), 0)


@test
def an_entry_at_its_max_delay_takes_along_what_is_ahead(t):
    p, _, c = t.connected({'Debounce': {'Delay': ms(500), 'MaxDelay': ms(1000)}})
    began = time.monotonic()
    for wait in (0.3, 0.3, 0.2):            # typed again and again, each time before it was due
        c.storage.SetItem('typed', str(wait))
        never(lambda: p.batches(), wait)
    c.storage.SetItem('ahead', 'x')         # due at 1.3 s by itself
    c.storage.SetItem('typed', 'last')      # stands behind, and is due at 1 s at the latest
    wait_for(lambda: len(p.keys_applied()) == 2)
    equal(p.ops_applied(), [('ahead', 'x'), ('typed', 'last')])
    took = p.batches()[0].at - began
    assert secs(0.95) <= took <= secs(1.25), took


@test
def a_later_write_of_a_member_stands_behind_its_group(t):
    _, c = t.offline()
    c.storage.SetItem('a', '0')
    first = c.storage.ListQueue()[0][0]
    c.storage.SetItems({'a': '1', 'b': '1'})
    c.storage.SetItem('a', '2')
    equal(c.storage.GetItems(['a', 'b']), {'a': '2', 'b': '1'})
    equal([row[1] for row in c.storage.queue()][-3:], ['a', 'b', 'a'])
    fails('Timeout', c.storage.Await, first, 0)
    p = t.parent()
    c.storage.Flush(FOREVER)
    equal(p.ops_applied()[-3:], [('a', '1'), ('b', '1'), ('a', '2')])


@test
def a_group_replaces_pending_single_writes_of_its_keys(t):
    _, c = t.offline()
    first = c.storage.SetItem('a', '0')
    c.storage.SetItem('x', '0')
    c.storage.SetItems({'a': '1', 'b': '1'})
    equal([row[1] for row in c.storage.queue()], ['x', 'a', 'b'])
    fails('Timeout', c.storage.Await, first, 0)


@test
def an_area_may_have_its_own_delay_ttl_and_attempts(t):
    p, _, c = t.connected({'Cache': {'TTL': '1h'}, 'Area quick': {
        'Delay': '30s', 'MaxDelay': '60s', 'TTL': '0', 'MaxAttempts': '1'}})
    quick = c.area('quick')
    p.put('k', 'v', 'quick')
    quick.GetItem('k')
    quick.GetItem('k')
    equal(len(p.gets('k')), 2)
    quick.SetItem('held', 'v')
    c.storage.Await(c.storage.SetItem('sent', 'v'), FOREVER)
    equal(quick.queue(), [('set', 'held', 'held')])
    p.on['getFromParentStorage'] = lambda conn, m: conn.send(p.error(m, 'transient'))
    fails('Unavailable', quick.GetItem, 'other')
    equal(len(p.gets('other')), 1)


@test
def a_subscription_ends_with_the_daemon(t):
    d, c = t.offline()
    c.storage.Subscribe()
    d.restart()
    c.storage.SetItem('a', '1')
    c.barrier()
    equal(c.heard('ItemChanged'), [])
    c.storage.Subscribe()
    c.storage.SetItem('b', '1')
    wait_for(lambda: c.heard('ItemChanged') == [('b', 'local')])


if __name__ == '__main__':
    main()
