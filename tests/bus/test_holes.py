#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The known holes of the origin, which must not come back. One test each, some with a variant."""

import shutil
import struct

from harness import *

NO_REDIAL = {'Reconnect': {'InitialDelay': '1h', 'MaxDelay': '1h'}}


@test
def a_write_before_the_loss_is_detected_is_not_lost(t):
    p, _, c = t.connected({'Heartbeat': {'Interval': ms(200), 'Timeout': ms(200)}})
    for kind in ('ping', 'batch'):
        p.on[kind] = lambda conn, m: None       # dead, and nobody knows yet
    equal(c.monitor.get('State'), 'connected')
    serial = c.storage.SetItem('k', 'v')
    c.monitor.state_is('disconnected')
    equal(p.value('k'), None)
    p.on.clear()
    c.storage.Await(serial, FOREVER)
    equal(p.ops_applied(), [('k', 'v')])


@test
def a_write_while_connecting_is_not_lost(t):
    p = t.parent()
    p.hold('hello')
    t.daemon({'Parent': {'DialTimeout': '20s'}})
    c = t.client()
    wait_for(lambda: p.of('hello'))
    equal(c.monitor.get('State'), 'connecting')
    serial = c.storage.SetItem('k', 'v')
    equal((c.storage.GetItem('k'), c.storage.get('QueueSize')), ('v', 1))
    p.release('hello')
    c.storage.Await(serial, FOREVER)
    equal(p.ops_applied(), [('k', 'v')])


@test
def a_write_while_connecting_outlives_a_failed_attempt(t):
    p = t.parent()
    p.hold('hello')
    t.daemon({'Parent': {'DialTimeout': ms(200)}})
    c = t.client()
    wait_for(lambda: p.of('hello'))
    serial = c.storage.SetItem('k', 'v')
    c.monitor.state_is('disconnected')
    p.release('hello')
    c.storage.Await(serial, FOREVER)
    equal(p.ops_applied(), [('k', 'v')])


@test
def replay_happens_though_recovery_passes_through_connecting(t):
    p, _, c = t.connected()
    c.listen()
    p.stop()
    c.monitor.state_is('disconnected')
    serial = c.storage.SetItem('k', 'v')
    p.hold('ping')
    p.start()
    c.monitor.state_is('connecting')
    never(p.batches, 0.1)
    p.release('ping')
    c.storage.Await(serial, FOREVER)
    states = [state for state, _ in c.heard('ConnectionStateChanged')]
    assert states[-2:] == ['connecting', 'connected'], states
    equal(p.ops_applied(), [('k', 'v')])


@test
def the_queue_is_not_cleared_before_the_ack(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    wait_for(p.batches)
    equal((c.storage.queue(), c.storage.get('QueueSize')), ([('set', 'k', 'in-flight')], 1))
    p.stop()
    c.monitor.state_is('disconnected')
    equal((c.storage.get('QueueSize'), c.storage.GetItem('k')), (1, 'v'))
    p.start()
    p.release('batch')
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('k', 'v')])


@test
def a_set_has_an_ack(t):
    p, _, c = t.connected()
    p.hold('batch')
    serial = c.storage.SetItem('k', 'v')
    waiting = c.storage.start('Await', serial, FOREVER)
    wait_for(p.batches)
    never(lambda: waiting.done, 0.1)
    p.release('batch')
    waiting.wait()
    equal(p.value('k'), 'v')


@test
def a_held_set_does_not_fire_after_a_remove(t):
    p, _, c = t.connected({'Debounce': {'Delay': ms(100), 'MaxDelay': ms(500)}})
    p.put('k', 'old')
    c.storage.SetItem('k', 'new')
    c.storage.Await(c.storage.RemoveItem('k'), FOREVER)
    never(lambda: p.value('k') is not None)
    equal(p.ops_applied(), [('k', None)])
    equal(c.storage.get('QueueSize'), 0)


@test
def new_writes_do_not_overtake_the_replay(t):
    p, _, c = t.connected()
    p.stop()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('a', 'old')
    c.storage.SetItem('b', 'old')
    p.hold('batch')
    p.start()
    wait_for(p.batches)
    c.storage.RemoveItem('c')           # not held back by any debounce
    c.storage.SetItem('a', 'new')
    equal(len(p.batches()), 1)
    p.release('batch')
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('a', 'old'), ('b', 'old'), ('c', None), ('a', 'new')])
    numbers = [r['batch'] for r in p.batches()]
    equal(numbers, sorted(set(numbers)))


@test
def fallback_cache_and_parent_tell_one_story(t):
    for ttl in (ms(1), '5s'):
        p, d, c = t.connected({'Cache': {'TTL': ttl}})
        for value in ('one', 'two'):
            c.storage.Await(c.storage.SetItem('k', value), FOREVER)
        online = c.storage.GetItem('k')
        local = c.storage.full('k', source='local')[0]
        asked = c.storage.full('k', source='parent')[0]
        p.stop()
        c.monitor.state_is('disconnected')
        equal((online, local, asked, c.storage.GetItem('k')), ('two',) * 4)
        d.restart()
        equal(c.storage.GetItem('k'), 'two')
        d.stop()
        shutil.rmtree(d.state)


@test
def a_rejected_write_leaves_no_trace_in_any_story(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}})
    c.storage.Await(c.storage.SetItem('k', 'good'), FOREVER)
    p.refuse_ops['k'] = ('rejected', 'not this one')
    fails('Rejected', c.storage.Await, c.storage.SetItem('k', 'bad'), FOREVER)
    equal(c.storage.GetItem('k'), 'good')
    equal(c.storage.full('k', source='local')[0], 'good')
    p.stop()
    c.monitor.state_is('disconnected')
    equal(c.storage.GetItem('k'), 'good')


@test
def a_removed_key_does_not_read_from_the_fallback(t):
    p, d, c = t.connected({'Cache': {'TTL': '0'}})
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    c.storage.Await(c.storage.RemoveItem('k'), FOREVER)
    p.stop()
    c.monitor.state_is('disconnected')
    fails('NoSuchItem', c.storage.GetItem, 'k')
    fails('NoSuchItem', lambda: c.storage.full('k', source='local'))
    equal(c.storage.ListKeys(''), [])
    d.crash()
    c.monitor.state_is('disconnected')
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def a_key_removed_offline_is_gone_at_once(t):
    p, d, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    p.stop()
    c.monitor.state_is('disconnected')
    c.storage.RemoveItem('k')
    fails('NoSuchItem', c.storage.GetItem, 'k')
    d.crash()
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def a_key_the_parent_says_is_absent_does_not_read_from_the_fallback(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}})
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    p.put('k', None)
    wait_for(lambda: c.storage.reads('k') == 'NoSuchItem')
    p.stop()
    c.monitor.state_is('disconnected')
    fails('NoSuchItem', c.storage.GetItem, 'k')


class WallClock:
    """The date as the daemon sees it: jump(seconds) sets it."""

    def __init__(self, t):
        library = os.environ.get('HOLDFAST_CLOCK_JUMP')
        if not library:
            raise Skip('HOLDFAST_CLOCK_JUMP does not name the library')
        self.path = os.path.join(t.dir, 'clock')
        self.jump(0)
        asan = os.environ.get('ASAN_OPTIONS', '')
        self.environ = {'LD_PRELOAD': library, 'HOLDFAST_TEST_CLOCK': self.path,
                        'ASAN_OPTIONS': asan + (asan and ':') + 'verify_asan_link_order=0'}

    def jump(self, seconds):
        with open(self.path, 'r+b' if os.path.exists(self.path) else 'wb') as file:
            file.write(struct.pack('=q', seconds))


@test
def the_date_may_jump(t):
    clock = WallClock(t)
    p = t.parent()
    d = t.daemon({'Heartbeat': {'Interval': ms(100), 'Timeout': ms(500)},
                  'Debounce': {'Delay': ms(400), 'MaxDelay': '30s'}}, environ=clock.environ)
    c = t.client()
    c.monitor.state_is('connected')
    c.listen()
    p.put('cached', 'v')
    c.storage.GetItem('cached')
    for days in (1000, -1000):
        clock.jump(days * 86400)
        wait_for(lambda: abs(c.monitor.get('LastPingTime') / 1e6 - time.time() - days * 86400) < 3600)
        # freshness, debounce and heartbeat have not noticed
        equal(c.storage.GetItem('cached'), 'v')
        equal(len(p.gets('cached')), 1)
        began = time.monotonic()
        serial = c.storage.SetItem('typed', str(days))
        queued = c.storage.ListQueue()[0][4] / 1e6
        assert abs(queued - time.time() - days * 86400) < 3600, 'queued_at shows the wall clock'
        c.storage.Await(serial, FOREVER)
        assert secs(0.35) <= time.monotonic() - began <= secs(2), time.monotonic() - began
        fails('Timeout', c.storage.Await, c.storage.SetItem('x%d' % days, '1'), usec(50))
        wait_for(lambda: c.monitor.get('TotalPings') > 5)
        assert c.monitor.get('AverageLatency') < 10e6
        c.storage.Flush(FOREVER)
    equal(c.heard('ConnectionStateChanged'), [])
    assert d.alive()


@test
def the_cache_expires_though_the_date_went_back(t):
    clock = WallClock(t)
    p = t.parent()
    t.daemon({'Cache': {'TTL': ms(300)}}, environ=clock.environ)
    c = t.client()
    c.monitor.state_is('connected')
    p.put('k', 'old')
    c.storage.GetItem('k')
    clock.jump(-1000 * 86400)
    p.put('k', 'new')
    wait_for(lambda: c.storage.GetItem('k') == 'new', deadline=secs(3))


@test
def a_late_pong_of_an_old_connection_counts_for_nothing(t):
    p, _, c = t.connected()
    old = [r['pingTime'] for r in p.of('ping')]
    p.on['ping'] = lambda conn, m: conn.send({'type': 'pong', 'pingTime': old[0]})
    c.listen()
    p.drop()
    wait_for(lambda: len(p.of('hello')) >= 3)
    equal([s for s, _ in c.heard('ConnectionStateChanged') if s == 'connected'], [])
    assert not set(old) & {r['pingTime'] for r in p.of('ping')[len(old):]}, 'a ping time came again'


@test
def a_fill_does_not_come_after_a_write(t):
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}})
    old = p.put('k', 'old')
    late = []
    p.on['getFromParentStorage'] = lambda conn, m: late.append((conn, {
        'type': 'storageResponse', 'requestId': m['requestId'], 'key': 'k', 'value': 'old',
        'revision': old}))
    read = c.storage.start('GetItem', 'k')
    wait_for(lambda: late)
    c.storage.Await(c.storage.SetItem('k', 'new'), FOREVER)
    conn, answer = late[0]
    conn.send(answer)
    read.wait()
    del p.on['getFromParentStorage']
    equal(c.storage.GetItem('k'), 'new')
    p.stop()
    c.monitor.state_is('disconnected')
    equal(c.storage.GetItem('k'), 'new')


@test
def a_fill_does_not_come_after_a_remove(t):
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}})
    old = p.put('k', 'old')
    late = []
    p.on['getFromParentStorage'] = lambda conn, m: late.append((conn, {
        'type': 'storageResponse', 'requestId': m['requestId'], 'key': 'k', 'value': 'old',
        'revision': old}))
    read = c.storage.start('GetItem', 'k')
    wait_for(lambda: late)
    c.storage.Await(c.storage.RemoveItem('k'), FOREVER)
    conn, answer = late[0]
    conn.send(answer)
    try:
        read.wait()
    except BusError as error:
        equal(error.name, ERR + 'NoSuchItem')
    p.stop()
    c.monitor.state_is('disconnected')
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def a_get_after_a_write_does_not_join_one_from_before(t):
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}, 'Cache': {'TTL': '0'}})
    p.put('k', 'old')
    p.hold('getFromParentStorage')
    first = c.storage.start('GetItem', 'k')
    wait_for(lambda: p.gets('k'))
    c.storage.Await(c.storage.SetItem('k', 'new'), FOREVER)
    second = c.storage.start('GetItem', 'k')
    wait_for(lambda: len(p.gets('k')) == 2)
    p.release('getFromParentStorage')
    first.wait()
    equal(second.wait(), 'new')


@test
def an_older_revision_does_not_replace_a_newer_one(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}}, revision=100)
    c.storage.Await(c.storage.SetItem('k', 'new'), FOREVER)
    newest = p.revision
    p.on['getFromParentStorage'] = lambda conn, m: conn.send({
        'type': 'storageResponse', 'requestId': m['requestId'], 'key': 'k', 'value': 'ancient',
        'revision': newest - 1})
    c.storage.reads('k')
    p.stop()
    c.monitor.state_is('disconnected')
    equal(c.storage.full('k', source='local')[0], 'new')


if __name__ == '__main__':
    main()
