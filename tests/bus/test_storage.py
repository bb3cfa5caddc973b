#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""org.holdfast1.Storage: every method, property and signal. Bad input is in test_input.py."""

from harness import *


# ---- writing and reading back ----

@test
def serials_rise(t):
    _, c = t.offline()
    serials = [c.storage.SetItem('k%d' % i, 'v') for i in range(5)]
    serials.append(c.storage.RemoveItem('k0'))
    assert serials == sorted(set(serials)) and serials[0] >= 1, serials


@test
def own_writes_are_visible_at_once_offline(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'one')
    equal(c.storage.GetItem('k'), 'one')
    c.storage.SetItem('k', 'two')
    equal(c.storage.GetItem('k'), 'two')
    c.storage.RemoveItem('k')
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def own_writes_are_visible_while_in_flight(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    wait_for(p.batches)
    equal(c.storage.GetItem('k'), 'v')
    c.storage.RemoveItem('k')
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def a_call_sees_every_call_received_before_it(t):
    _, c = t.offline()
    sets = [c.storage.start('SetItem', 'k', str(i)) for i in range(50)]
    read = c.storage.start('GetItem', 'k')
    keys = c.storage.start('ListKeys', '')
    equal(read.wait(), '49')
    equal(keys.wait(), ['k'])
    for pending in sets:
        pending.wait()


@test
def values_come_back_byte_for_byte(t):
    _, c = t.offline()
    for value in ('', ' ', '\n\t\x01\x1f\x7f', '"\\/\b', 'äöü €', '\U0001f600', '\u2028\u2029',
                  '{"a":[1,2]}', 'x' * 100000):
        c.storage.SetItem('k', value)
        equal(c.storage.GetItem('k'), value)


@test
def values_reach_the_parent_and_return_byte_for_byte(t):
    values = ['', ' ', '\n\t\x01\x1f\x7f', '"\\/\b', 'äöü €', '\U0001f600', '\u2028\u2029', '\\u0041']
    p, _, c = t.connected({'Cache': {'TTL': '0'}})
    for number, value in enumerate(values):
        c.storage.Await(c.storage.SetItem('k%d' % number, value), FOREVER)
        equal(p.value('k%d' % number), value)
        equal(c.storage.GetItem('k%d' % number), value)


@test
def removing_an_absent_key_gives_a_serial(t):
    _, c = t.offline()
    assert c.storage.RemoveItem('never-there') >= 1
    fails('NoSuchItem', c.storage.GetItem, 'never-there')


@test
def an_unknown_key_reads_unavailable_while_the_parent_is_away(t):
    _, c = t.offline()
    fails('Unavailable', c.storage.GetItem, 'nobody-knows')


@test
def an_absent_key_reads_no_such_item_when_the_parent_says_so(t):
    _, _, c = t.connected()
    fails('NoSuchItem', c.storage.GetItem, 'absent')


@test
def an_acked_write_is_removed_from_the_queue_and_kept_to_read(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    equal(c.storage.get('QueueSize'), 0)
    p.stop()
    c.monitor.state_is('disconnected')
    equal(c.storage.GetItem('k'), 'v')


# ---- GetItemFull ----

@test
def full_info_has_its_five_members(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    reply = c.conn.call_sync(NAME, ROOT, NAME + '.Storage', 'GetItemFull',
                             GLib.Variant('(sa{sv})', ('k', {})), None, 0, -1, None)
    info = reply.get_child_value(1)
    types = {name: info.lookup_value(name, None).get_type_string() for name in info.keys()}
    equal({k: types.get(k) for k in ('source', 'stale', 'pending', 'revision', 'age')},
          {'source': 's', 'stale': 'b', 'pending': 'b', 'revision': 't', 'age': 't'})


@test
def full_says_queue_for_an_own_write(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    value, info = c.storage.full('k')
    equal((value, info['source'], info['pending'], info['stale']), ('v', 'queue', True, False))


@test
def full_says_parent_then_cache(t):
    p, _, c = t.connected()
    revision = p.put('k', 'v')
    value, info = c.storage.full('k')
    equal((value, info['source'], info['pending'], info['stale'], info['revision']),
          ('v', 'parent', False, False, revision))
    value, info = c.storage.full('k')
    equal((value, info['source'], info['revision']), ('v', 'cache', revision))
    equal(len(p.gets('k')), 1)


@test
def full_says_local_and_stale_when_the_parent_is_away(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}})
    revision = p.put('k', 'v')
    c.storage.GetItem('k')
    p.stop()
    c.monitor.state_is('disconnected')
    value, info = c.storage.full('k')
    equal((value, info['source'], info['stale'], info['pending'], info['revision']),
          ('v', 'local', True, False, revision))
    assert info['age'] > 0


@test
def source_parent_passes_overlay_and_cache(t):
    p, _, c = t.connected({'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    p.put('k', 'theirs')
    c.storage.GetItem('k')
    p.put('k', 'newer')
    equal(c.storage.GetItem('k'), 'theirs')
    c.storage.SetItem('k', 'ours')
    value, info = c.storage.full('k', source='parent')
    equal((value, info['source'], info['pending']), ('newer', 'parent', True))
    equal(c.storage.GetItem('k'), 'ours')


@test
def source_parent_has_no_fallback(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    fails('Unavailable', lambda: c.storage.full('k', source='parent'))


@test
def source_local_asks_nobody(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}})
    p.put('k', 'v')
    c.storage.GetItem('k')
    p.put('k', 'newer')
    value, info = c.storage.full('k', source='local')
    equal((value, info['source']), ('v', 'local'))
    equal(len(p.gets('k')), 1)
    fails(('Unavailable', 'NoSuchItem'), lambda: c.storage.full('other', source='local'))
    equal(len(p.gets('other')), 0)


@test
def source_local_shows_own_writes(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    value, info = c.storage.full('k', source='local')
    equal((value, info['pending']), ('v', True))
    c.storage.RemoveItem('k')
    fails('NoSuchItem', lambda: c.storage.full('k', source='local'))


@test
def a_timeout_bounds_the_question_to_the_parent(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}, 'Parent': {'RequestTimeout': '4s'},
                           'Heartbeat': {'Timeout': '20s', 'Interval': '20s'}})
    p.put('k', 'v')
    c.storage.GetItem('k')
    p.hold('getFromParentStorage')
    began = time.monotonic()
    value, info = c.storage.full('k', timeout=usec(100))
    equal((value, info['source'], info['stale']), ('v', 'local', True))
    fails(('Unavailable', 'Timeout'), lambda: c.storage.full('k', source='parent', timeout=usec(100)))
    assert time.monotonic() - began < secs(2), 'the time-out was not kept'


@test
def a_timeout_of_0_answers_now(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}, 'Parent': {'RequestTimeout': '4s'}})
    p.put('k', 'v')
    c.storage.GetItem('k')
    p.hold('getFromParentStorage')
    began = time.monotonic()
    value, info = c.storage.full('k', timeout=0)
    equal((value, info['source']), ('v', 'local'))
    assert time.monotonic() - began < secs(1)


# ---- bulk ----

@test
def get_items_leaves_absent_ones_out(t):
    p, _, c = t.connected()
    p.put('a', '1')
    c.storage.SetItem('b', '2')
    equal(c.storage.GetItems(['a', 'b', 'absent']), {'a': '1', 'b': '2'})
    equal(c.storage.GetItems([]), {})


@test
def get_items_with_one_unanswered_is_unavailable(t):
    _, c = t.offline()
    c.storage.SetItem('a', '1')
    equal(c.storage.GetItems(['a']), {'a': '1'})
    error = fails('Unavailable', c.storage.GetItems, ['a', 'unknown', 'nor this'])
    assert 'nothing is known of "unknown" here' in error.message, error


@test
def get_items_leaves_removed_ones_out_offline(t):
    _, c = t.offline()
    c.storage.SetItem('a', '1')
    c.storage.RemoveItem('b')
    equal(c.storage.GetItems(['a', 'b']), {'a': '1'})


@test
def get_items_takes_1000_keys(t):
    _, c = t.offline()
    items = {'key-%04d' % i: str(i) for i in range(1000)}
    c.storage.SetItems(items)
    equal(c.storage.GetItems(sorted(items)), items)


@test
def list_keys_is_sorted_and_has_the_pending_ones(t):
    p, _, c = t.connected()
    for key in ('b2', 'a', 'b1'):
        c.storage.Await(c.storage.SetItem(key, 'v'), FOREVER)
    p.hold('batch')
    c.storage.SetItem('b3', 'v')
    c.storage.RemoveItem('b1')
    equal(c.storage.ListKeys(''), ['a', 'b2', 'b3'])
    equal(c.storage.ListKeys('b'), ['b2', 'b3'])
    equal(c.storage.ListKeys('zz'), [])


@test
def list_keys_knows_what_was_read(t):
    p, _, c = t.connected()
    p.put('k', 'v')
    equal(c.storage.ListKeys(''), [])
    c.storage.GetItem('k')
    wait_for(lambda: c.storage.ListKeys('') == ['k'])


@test
def list_keys_takes_a_prefix_to_the_letter(t):
    _, c = t.offline()
    for key in ('a%b', 'a_b', 'axb', 'a*b', 'A%b'):
        c.storage.SetItem(key, 'v')
    equal(c.storage.ListKeys('a%'), ['a%b'])
    equal(c.storage.ListKeys('a_'), ['a_b'])
    equal(c.storage.ListKeys('a*'), ['a*b'])
    equal(c.storage.ListKeys('A'), ['A%b'])


@test
def set_items_answers_its_last_serial(t):
    _, c = t.offline()
    before = c.storage.SetItem('x', '1')
    last = c.storage.SetItems({'a': '1', 'b': '2', 'c': '3'})
    equal(last, before + 3)
    equal(sorted(row[1] for row in c.storage.queue()), ['a', 'b', 'c', 'x'])
    equal(max(row[0] for row in c.storage.ListQueue()), last)


# ---- Await and Flush ----

@test
def await_returns_when_the_parent_has_acked(t):
    p, _, c = t.connected()
    p.hold('batch')
    serial = c.storage.SetItem('k', 'v')
    waiting = c.storage.start('Await', serial, FOREVER)
    wait_for(p.batches)
    never(lambda: waiting.done)
    p.release('batch')
    waiting.wait()
    equal(p.value('k'), 'v')
    c.storage.Await(serial, 0)


@test
def await_times_out(t):
    _, c = t.offline()
    serial = c.storage.SetItem('k', 'v')
    began = time.monotonic()
    fails('Timeout', c.storage.Await, serial, usec(100))
    assert secs(0.09) <= time.monotonic() - began < secs(3)


@test
def await_with_timeout_0_answers_now(t):
    _, c = t.offline()
    serial = c.storage.SetItem('k', 'v')
    fails('Timeout', c.storage.Await, serial, 0)


@test
def await_of_a_serial_that_never_was_is_invalid(t):
    _, c = t.offline()
    fails('InvalidValue', c.storage.Await, 1, 0)
    serial = c.storage.SetItem('k', 'v')
    for wrong in (0, serial + 1, 2 ** 63, FOREVER):
        fails('InvalidValue', c.storage.Await, wrong, FOREVER)


@test
def await_of_a_replaced_write_waits_for_what_replaced_it(t):
    p, _, c = t.connected({'Debounce': {'Delay': ms(100), 'MaxDelay': ms(2000)}})
    p.hold('batch')
    first = c.storage.SetItem('k', '1')
    second = c.storage.SetItem('k', '2')
    waiting = c.storage.start('Await', first, FOREVER)
    wait_for(p.batches)
    never(lambda: waiting.done, 0.1)
    p.release('batch')
    waiting.wait()
    c.storage.Await(second, 0)
    equal(p.ops_applied(), [('k', '2')])


@test
def await_does_not_wait_for_what_came_after(t):
    p, _, c = t.connected()
    serial = c.storage.SetItem('a', '1')
    c.storage.Await(serial, FOREVER)
    p.hold('batch')
    c.storage.SetItem('b', '2')
    c.storage.Await(serial, 0)


@test
def await_survives_a_restart(t):
    d, c = t.offline()
    serial = c.storage.SetItem('k', 'v')
    d.restart()
    fails('Timeout', c.storage.Await, serial, 0)
    t.parent()
    c.storage.Await(serial, FOREVER)


@test
def flush_makes_what_is_held_due(t):
    p, _, c = t.connected({'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    c.storage.SetItem('k', 'v')
    equal(c.storage.queue(), [('set', 'k', 'held')])
    c.storage.Flush(FOREVER)
    equal(c.storage.queue(), [])
    equal(p.value('k'), 'v')


@test
def flush_of_an_empty_queue_answers_at_once(t):
    _, c = t.offline()
    c.storage.Flush(0)
    c.storage.Flush(FOREVER)


@test
def flush_times_out(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    fails('Timeout', c.storage.Flush, 0)
    fails('Timeout', c.storage.Flush, usec(50))


@test
def flush_waits_up_to_its_last_serial_only(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('a', '1')
    flush = c.storage.start('Flush', FOREVER)
    wait_for(p.batches)
    c.storage.SetItem('b', '2')
    held = []
    p.on['batch'] = lambda conn, m: DEFAULT if m['ops'][0]['key'] == 'a' else held.append(m)
    p.release('batch')
    flush.wait()
    equal(p.value('a'), '1')


@test
def flush_is_of_its_area_only(t):
    p, _, c = t.connected()
    other = c.area('other')
    p.on['batch'] = lambda conn, m: None
    other.SetItem('k', 'v')
    c.storage.Flush(0)
    fails('Timeout', other.Flush, usec(50))


# ---- the queue, as seen ----

@test
def list_queue_shows_each_entry(t):
    _, c = t.offline()
    before = time.time() * 1e6
    serials = [c.storage.SetItem('a', '1'), c.storage.RemoveItem('b')]
    rows = c.storage.ListQueue()
    equal([row[:3] for row in rows], [(serials[0], 'set', 'a'), (serials[1], 'remove', 'b')])
    for row in rows:
        assert row[3] in ('held', 'pending'), row
        assert abs(row[4] - before) < 60e6, 'queued_at is not wall-clock usec: %r' % (row,)
        equal(row[5], 0, 'attempts')


@test
def list_queue_shows_held_pending_and_in_flight(t):
    p, _, c = t.connected({'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    p.hold('batch')
    c.storage.RemoveItem('a')
    wait_for(lambda: c.storage.queue() == [('remove', 'a', 'in-flight')])
    c.storage.RemoveItem('b')
    c.storage.SetItem('c', 'v')
    equal(c.storage.queue(),
          [('remove', 'a', 'in-flight'), ('remove', 'b', 'pending'), ('set', 'c', 'held')])
    equal(c.storage.ListQueue()[0][5], 1, 'attempts of what is in flight')


@test
def attempts_count_each_time_it_was_sent(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    for number in (1, 2, 3):
        wait_for(lambda: len(p.batches()) == number)
        wait_for(lambda: c.storage.ListQueue()[0][5] == number)
        p.drop()


@test
def queue_size_and_bytes_count_keys_and_values(t):
    _, c = t.offline()
    equal((c.storage.get('QueueSize'), c.storage.get('QueueBytes')), (0, 0))
    c.storage.SetItem('ab', 'ä')
    c.storage.RemoveItem('xyz')
    equal((c.storage.get('QueueSize'), c.storage.get('QueueBytes')), (2, 2 + 2 + 3))
    c.storage.SetItem('ab', '')
    equal((c.storage.get('QueueSize'), c.storage.get('QueueBytes')), (2, 2 + 3))


@test
def properties_have_their_types(t):
    _, c = t.offline()
    reply = c.conn.call_sync(NAME, ROOT, 'org.freedesktop.DBus.Properties', 'GetAll',
                             GLib.Variant('(s)', (NAME + '.Storage',)), None, 0, -1, None)
    values = reply.get_child_value(0)
    equal({n: values.lookup_value(n, None).get_type_string() for n in values.keys()},
          {'Area': 's', 'QueueSize': 'u', 'QueueBytes': 't'})
    equal(c.storage.get('Area'), 'default')
    equal(c.area('my.app').get('Area'), 'my.app')


if __name__ == '__main__':
    main()
