#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""org.holdfast1.Direct: one request to the parent, no retry, cache, queue or fallback."""

from harness import *

SLEEPY = {'Heartbeat': {'Interval': '60s', 'Timeout': '20s'}, 'Parent': {'RequestTimeout': ms(200)}}


@test
def get_asks_the_parent_each_time(t):
    p, _, c = t.connected()
    p.put('k', '1')
    equal(c.direct.GetItem('k'), '1')
    p.put('k', '2')
    equal(c.direct.GetItem('k'), '2')
    equal(len(p.gets('k')), 2)


@test
def get_of_an_absent_key_is_no_such_item(t):
    _, _, c = t.connected()
    fails('NoSuchItem', c.direct.GetItem, 'k')


@test
def get_is_not_answered_from_the_cache(t):
    p, _, c = t.connected()
    p.put('k', '1')
    c.storage.GetItem('k')
    c.direct.GetItem('k')
    equal(len(p.gets('k')), 2)


@test
def a_write_returns_on_the_parents_ack(t):
    p, _, c = t.connected()
    p.hold('saveToParentStorage')
    call = c.direct.start('SetItem', 'k', 'v')
    wait_for(lambda: p.of('saveToParentStorage'))
    never(lambda: call.done, 0.1)
    p.release('saveToParentStorage')
    equal(call.wait(), None)
    equal(p.value('k'), 'v')
    save = p.of('saveToParentStorage')[0]
    equal((save['area'], save['key'], save['value']), ('default', 'k', 'v'))


@test
def a_write_is_not_queued(t):
    p, _, c = t.connected()
    p.hold('saveToParentStorage')
    call = c.direct.start('SetItem', 'k', 'v')
    wait_for(lambda: p.of('saveToParentStorage'))
    equal(c.storage.get('QueueSize'), 0)
    p.release('saveToParentStorage')
    call.wait()
    equal(p.batches(), [])


@test
def remove_removes(t):
    p, _, c = t.connected()
    p.put('k', 'v')
    c.direct.RemoveItem('k')
    equal(p.value('k'), None)
    fails('NoSuchItem', c.direct.GetItem, 'k')
    equal(len(p.of('removeFromParentStorage')), 1)


@test
def no_parent_is_unavailable_at_once(t):
    _, c = t.offline()
    began = time.monotonic()
    for call, args in ((c.direct.GetItem, ('k',)), (c.direct.SetItem, ('k', 'v')),
                       (c.direct.RemoveItem, ('k',))):
        error = fails('Unavailable', call, *args)
        assert 'Direct asks nobody else' in error.message, error    # whatever is known here
    assert time.monotonic() - began < secs(1)
    equal(c.storage.get('QueueSize'), 0)


@test
def an_unanswered_write_times_out_and_is_not_retried(t):
    p, _, c = t.connected(SLEEPY)
    p.hold('saveToParentStorage', 'getFromParentStorage', 'removeFromParentStorage')
    began = time.monotonic()
    fails('Timeout', c.direct.SetItem, 'k', 'v')
    assert secs(0.18) <= time.monotonic() - began < secs(3)
    fails('Timeout', c.direct.RemoveItem, 'k')
    fails(('Timeout', 'Unavailable'), c.direct.GetItem, 'k')
    equal([len(p.of(k)) for k in ('saveToParentStorage', 'removeFromParentStorage',
                                  'getFromParentStorage')], [1, 1, 1])


@test
def a_late_ack_does_no_harm(t):
    p, _, c = t.connected(SLEEPY)
    p.hold('saveToParentStorage')
    fails('Timeout', c.direct.SetItem, 'k', 'v')
    p.release('saveToParentStorage')
    equal(c.direct.GetItem('k'), 'v')
    equal(c.monitor.get('State'), 'connected')


@test
def a_link_lost_under_it_ends_it(t):
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}})
    p.hold('saveToParentStorage', 'getFromParentStorage')
    write = c.direct.start('SetItem', 'k', 'v')
    read = c.direct.start('GetItem', 'k')
    wait_for(lambda: len(p.of('saveToParentStorage', 'getFromParentStorage')) == 2)
    p.stop()
    fails(('Unavailable', 'Timeout'), write.wait)
    fails(('Unavailable', 'Timeout'), read.wait)


@test
def a_write_is_refused_while_the_queue_holds_its_key(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('k', 'queued')
    error = fails('Unavailable', c.direct.SetItem, 'k', 'direct')
    assert 'flush' in error.message.lower(), error.message
    fails('Unavailable', c.direct.RemoveItem, 'k')
    c.direct.SetItem('other', 'v')
    p.release('batch')
    c.storage.Flush(FOREVER)
    c.direct.SetItem('k', 'direct')
    equal(p.value('k'), 'direct')


@test
def a_write_drops_what_storage_knew(t):
    p, _, c = t.connected()
    p.put('k', 'old')
    equal(c.storage.GetItem('k'), 'old')
    c.direct.SetItem('k', 'new')
    equal(c.storage.GetItem('k'), 'new')
    c.direct.RemoveItem('k')
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def a_write_whose_outcome_is_unknown_drops_what_storage_knew(t):
    p, _, c = t.connected(SLEEPY)
    p.put('k', 'old')
    equal(c.storage.GetItem('k'), 'old')
    p.on['saveToParentStorage'] = lambda conn, m: None
    fails('Timeout', c.direct.SetItem, 'k', 'new')
    p.stop()
    c.monitor.state_is('disconnected')
    fails('Unavailable', c.storage.GetItem, 'k')


@test
def a_fill_asked_before_a_direct_write_is_not_kept(t):
    p, _, c = t.connected({'Parent': {'RequestTimeout': '4s'}})
    p.put('k', 'old')
    stale = []
    p.on['getFromParentStorage'] = lambda conn, m: stale.append((conn, {
        'type': 'storageResponse', 'requestId': m['requestId'], 'key': 'k', 'value': 'old',
        'revision': p.revision}))
    read = c.storage.start('GetItem', 'k')
    wait_for(lambda: stale)
    del p.on['getFromParentStorage']
    c.direct.SetItem('k', 'new')
    conn, answer = stale[0]
    conn.send(answer)
    read.wait()
    equal(c.storage.GetItem('k'), 'new')


@test
def the_parents_errors_are_typed(t):
    p, _, c = t.connected()
    for class_, names in (('transient', ('Unavailable',)), ('capacity', ('Unavailable', 'QuotaExceeded')),
                          ('permanent', ('Rejected', 'Unavailable'))):
        p.on['saveToParentStorage'] = lambda conn, m: conn.send(p.error(m, class_, 'because of so'))
        p.on['getFromParentStorage'] = p.on['saveToParentStorage']
        fails(names, c.direct.SetItem, 'k', 'v')
        fails(names, c.direct.GetItem, 'k')
        equal(len(p.of('saveToParentStorage')), len(p.of('getFromParentStorage')), 'no retry')
    equal(c.monitor.get('State'), 'connected')


@test
def areas_have_their_own_direct(t):
    p, _, c = t.connected()
    area = c.area('mine')
    area.direct.SetItem('k', 'v')
    equal(p.value('k', 'mine'), 'v')
    equal(p.value('k'), None)
    equal(area.direct.GetItem('k'), 'v')
    fails('NoSuchItem', c.direct.GetItem, 'k')


@test
def what_a_write_dropped_is_not_there_to_fall_back_on(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'old'), FOREVER)
    equal(c.storage.ListKeys(''), ['k'])
    c.direct.SetItem('k', 'new')
    equal(c.storage.ListKeys(''), [])
    p.stop()
    c.monitor.state_is('disconnected')
    fails('Unavailable', c.storage.GetItem, 'k')


if __name__ == '__main__':
    main()
