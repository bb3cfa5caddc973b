#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parents that misbehave, refuse, forget: the link is dropped with a reason, nothing is lost."""

import json
import random
import re
import shutil
import subprocess
import threading

from harness import *

NO_REDIAL = {'Reconnect': {'InitialDelay': '1h', 'MaxDelay': '1h'}}


def once_then_default(p, kind, act):
    """The first message of a kind meets act(conn, message), later ones the polite behaviour."""
    def hook(conn, message):
        del p.on[kind]
        act(conn, message)
    p.on[kind] = hook


# ---- misbehaviour ----

@test
def misbehaving_in_answer_to_a_batch_loses_nothing(t):
    deeds = {
        'closes': lambda conn, m: conn.close(),
        'garbage': lambda conn, m: conn.send(b'\x00\x01garbage\n'),
        'wrong request': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': 'wrong', 'batch': m['batch'], 'id': m['id'],
            'duplicate': False, 'results': [{'revision': 1}] * len(m['ops'])}),
        'wrong number': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': m['requestId'], 'batch': m['batch'] + 1, 'id': m['id'],
            'duplicate': False, 'results': [{'revision': 1}] * len(m['ops'])}),
        'wrong id': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': m['requestId'], 'batch': m['batch'], 'id': '0' * 32,
            'duplicate': False, 'results': [{'revision': 1}] * len(m['ops'])}),
        'too few results': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': m['requestId'], 'batch': m['batch'], 'id': m['id'],
            'duplicate': False, 'results': []}),
        'too many results': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': m['requestId'], 'batch': m['batch'], 'id': m['id'],
            'duplicate': False, 'results': [{'revision': 1}] * (len(m['ops']) + 1)}),
        'no results': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': m['requestId'], 'batch': m['batch'], 'id': m['id'],
            'duplicate': False}),
        'duplicate without results': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': m['requestId'], 'batch': m['batch'], 'id': m['id'],
            'duplicate': True}),
        'unknown result': lambda conn, m: conn.send({
            'type': 'batchAck', 'requestId': m['requestId'], 'batch': m['batch'], 'id': m['id'],
            'duplicate': False, 'results': [{'error': 'surprise'}] * len(m['ops'])}),
        'a response to a batch': lambda conn, m: conn.send({
            'type': 'storageResponse', 'requestId': m['requestId'], 'key': 'a', 'value': None,
            'revision': 1}),
        'an unknown class': lambda conn, m: conn.send({
            'type': 'error', 'requestId': m['requestId'], 'class': 'moody', 'message': 'no'}),
    }
    p, _, c = t.connected()
    for number, (name, deed) in enumerate(deeds.items()):
        once_then_default(p, 'batch', deed)
        conns = len(p.conns)
        c.storage.SetItems({'a%d' % number: '1', 'b%d' % number: '2'})
        wait_for(lambda: c.storage.get('QueueSize') == 0, 'the queue to drain after: ' + name)
        assert len(p.conns) > conns, 'the link was kept after: ' + name
        first, second = p.batches()[-2:]
        equal((second['batch'], second['id'], second['ops']),
              (first['batch'], first['id'], first['ops']), name)
        equal(p.keys_applied()[-2:], ['a%d' % number, 'b%d' % number], name)
    equal(len(p.keys_applied()), 2 * len(deeds))
    equal(c.storage.ListRejected(), [])


@test
def a_batch_never_acked_drops_the_link_and_is_sent_again(t):
    p, _, c = t.connected({'Parent': {'BatchTimeout': ms(300)}})
    c.listen()
    once_then_default(p, 'batch', lambda conn, m: None)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    states = c.heard('ConnectionStateChanged')
    equal(states[0][0], 'disconnected')
    assert states[0][1]['reason'].startswith('timeout'), states[0]
    first, second = p.batches()
    equal((second['batch'], second['id'], second['ops']), (first['batch'], first['id'], first['ops']))
    assert first.conn is not second.conn
    assert second.at - first.at >= secs(0.28)


@test
def an_unanswered_batch_goes_out_once_per_connection(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    wait_for(p.batches)
    never(lambda: len(p.batches()) > 1)
    for count in (2, 3):
        p.drop()
        wait_for(lambda: len(p.batches()) == count)
    equal(len({r.conn.number for r in p.batches()}), 3)


@test
def a_lost_ack_is_known_as_a_duplicate(t):
    p, _, c = t.connected()

    def applied_but_unanswered(conn, m):
        p.apply_batch(conn.client, m)
        conn.close()
    once_then_default(p, 'batch', applied_but_unanswered)
    c.storage.SetItems({'a': '1', 'b': '2'})
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('a', '1'), ('b', '2')])
    equal(len(p.batches()), 2)


@test
def a_lost_ack_with_a_rejection_keeps_the_rejection(t):
    p, _, c = t.connected()
    p.refuse_ops['bad'] = ('rejected', 'not this one')

    def applied_but_unanswered(conn, m):
        p.apply_batch(conn.client, m)
        conn.close()
    p.hold('batch')
    c.storage.RemoveItem('first')
    wait_for(p.batches)
    good, bad = c.storage.SetItem('good', '1'), c.storage.SetItem('bad', '2')
    p.release('batch')
    once_then_default(p, 'batch', applied_but_unanswered)
    c.storage.Await(good, FOREVER)
    fails('Rejected', c.storage.Await, bad, FOREVER)
    equal(p.value('bad'), None)


@test
def a_flood_drops_the_link_and_costs_no_memory(t):
    p, d, c = t.connected()
    conn = p.live()

    def rss():
        with open('/proc/%d/status' % d.process.pid) as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))
    before = rss()
    line = b'{"type":"pong","pingTime":1,"x":"' + b'y' * 1000 + b'"}\n'
    conn.sock.settimeout(secs(5))
    for _ in range(200):
        conn.send(line * 500)
        if not conn.open:
            break
    wait_for(lambda: not conn.open, 'the end of the flooding connection')
    c.monitor.state_is('connected')
    assert rss() - before < 60000 * SLOW, 'grew by %d KiB' % (rss() - before)


@test
def a_flood_of_unknown_types_is_survived(t):
    p, d, c = t.connected()
    conn = p.live()
    line = b'{"type":"futureThing","requestId":"f"}\n'
    conn.send(line * 20000)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    equal(c.storage.GetItem('k'), 'v')


@test
def a_stall_in_mid_line_is_found(t):
    p, _, c = t.connected(dict(NO_REDIAL, Heartbeat={'Interval': ms(100), 'Timeout': ms(200)}))
    conn = p.live()
    p.on['ping'] = lambda conn, m: None
    conn.send(b'{"type":"pong","ping')
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'timeout')


@test
def a_dribbled_line_within_a_live_heartbeat_is_read(t):
    p, _, c = t.connected()
    text = (b'{"type":"pong","x":"' + b'y' * 40 + b'","pingTime":%d}\n')

    def dribble(conn, m):
        for byte in text % m['pingTime']:
            conn.send(bytes([byte]))
    p.on['ping'] = dribble
    p.drop()
    wait_for(lambda: len(p.of('hello')) == 2)
    c.monitor.state_is('connected')


@test
def a_parent_that_reads_nothing_times_out(t):
    p, _, c = t.connected(dict(NO_REDIAL, Heartbeat={'Interval': ms(100), 'Timeout': ms(200)},
                               Parent={'BatchTimeout': ms(400)}))
    deaf, stop = threading.Event(), threading.Event()

    def read_no_more(conn, m):
        deaf.set()
        stop.wait(secs(6))
    p.on['ping'] = read_no_more
    wait_for(deaf.is_set)
    for i in range(3):
        c.storage.SetItem('k%d' % i, 'x' * 1000000)
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'timeout')
    stop.set()
    equal(c.storage.get('QueueSize'), 3)


@test
def errors_with_a_long_or_unclean_message_are_survived(t):
    p, _, c = t.connected()
    for text in ('x' * 100000, 'nul\0here', ''):
        p.on['getFromParentStorage'] = lambda conn, m: conn.send(p.error(m, 'permanent', text))
        fails(('Unavailable', 'Rejected'), c.storage.GetItem, 'k')
    equal(c.monitor.get('State'), 'connected')


@test
def random_garbage_is_survived(t):
    p, d, c = t.connected()
    seed = random.randrange(2 ** 32)
    diag('seed %d' % seed)
    rand = random.Random(seed)
    pieces = [b'{', b'}', b'[', b']', b'"type"', b':', b',', b'"pong"', b'"welcome"', b'"batchAck"',
              b'"requestId"', b'"results"', b'null', b'1e999', b'-1', b'9' * 40, b'"\\ud800"', b'\xff',
              b'"revision"', b'"error"', b'"class"', b'\n', b'true']
    for _ in range(40):
        conn = wait_for(p.live)
        wait_for(lambda: conn.client is not None or not conn.open)
        conn.send(b''.join(rand.choice(pieces) for _ in range(rand.randrange(1, 40))) + b'\n')
        wait_for(lambda: not conn.open, 'the end of a connection that sent garbage')
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)


# ---- errors to a batch ----

@test
def a_transient_error_sends_the_same_batch_again_on_the_same_connection(t):
    for class_ in ('transient', 'capacity'):
        p, d, c = t.connected({'Retry': {'InitialDelay': ms(100), 'MaxDelay': ms(200)}})
        p.on['batch'] = lambda conn, m: (conn.send(p.error(m, class_)) if len(p.batches()) < 6
                                         else DEFAULT)
        c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
        sent = p.batches()
        equal(len(sent), 6)     # without end: more than MaxAttempts
        equal({(r['batch'], r['id'], r.conn.number) for r in sent},
              {(sent[0]['batch'], sent[0]['id'], sent[0].conn.number)})
        assert sent[1].at - sent[0].at >= secs(0.08)
        assert sent[2].at - sent[1].at >= secs(0.16)
        equal(c.monitor.get('State'), 'connected')
        p.stop()
        d.stop()
        shutil.rmtree(d.state)


@test
def retry_after_is_kept(t):
    p, _, c = t.connected({'Retry': {'InitialDelay': ms(1), 'MaxDelay': ms(1)}})
    once_then_default(p, 'batch', lambda conn, m: conn.send(
        p.error(m, 'capacity', retryAfter=round(400 * SLOW))))
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    first, second = p.batches()
    assert secs(0.38) <= second.at - first.at <= secs(1.5), second.at - first.at


@test
def a_parent_without_room_is_told_once_and_shows(t):
    p, d, c = t.connected({'Retry': {'InitialDelay': ms(20), 'MaxDelay': ms(20)}})
    p.on['batch'] = lambda conn, m: conn.send(p.error(m, 'capacity'))
    c.storage.SetItem('a', '1')
    wait_for(lambda: len(p.batches()) >= 4)
    assert c.monitor.GetStats()['last-error'].startswith('capacity: the parent has no room')
    status = subprocess.run([program('holdfastctl'), 'status'], env=t.environ(), check=True,
                            stdout=subprocess.PIPE).stdout.decode()
    assert re.search(r'Last error: capacity: .* until it has$', status, re.M), status
    del p.on['batch']
    c.storage.Flush(FOREVER)
    equal(c.monitor.GetStats()['last-error'], '')
    equal(len(re.findall(r'^.*warning: .*no room: .*$', d.log(), re.M)), 1)


@test
def writes_go_on_while_a_batch_is_refused(t):
    p, _, c = t.connected({'Retry': {'InitialDelay': ms(50), 'MaxDelay': ms(50)}})
    p.on['batch'] = lambda conn, m: conn.send(p.error(m, 'transient'))
    c.storage.SetItem('a', '1')
    wait_for(lambda: len(p.batches()) >= 2)
    c.storage.SetItem('a', '2')
    c.storage.SetItem('b', '1')
    equal((c.storage.GetItem('a'), c.storage.GetItem('b')), ('2', '1'))
    del p.on['batch']
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('a', '1'), ('a', '2'), ('b', '1')])


def poison(p, *keys):
    """Batches with one of these keys are refused for good."""
    p.on['batch'] = lambda conn, m: (
        conn.send(p.error(m, 'permanent', 'poisoned'))
        if any(op['key'] in keys for op in m['ops']) else DEFAULT)


@test
def a_permanent_error_is_bisected_down_to_the_culprit(t):
    _, c = t.offline()
    c.storage.Subscribe()
    serials = {i: c.storage.SetItem('k%02d' % i, str(i)) for i in range(20)}
    p = FakeParent(t.socket_path)
    t.parents.append(p)
    poison(p, 'k13')
    p.start()
    c.storage.Flush(FOREVER)
    equal(p.keys_applied(), ['k%02d' % i for i in range(20) if i != 13])
    rows = c.storage.ListRejected()
    equal([(row[0], row[1], row[2]) for row in rows], [(serials[13], 'set', 'k13')])
    assert 'poisoned' in rows[0][3], rows
    wait_for(lambda: c.heard('ItemRejected'))
    serial, key, error, message = c.heard('ItemRejected')[0]
    equal((len(c.heard('ItemRejected')), serial, key), (1, serials[13], 'k13'))
    assert 'poisoned' in message
    fails('Rejected', c.storage.Await, serials[13], 0)
    c.storage.Await(serials[12], 0)
    c.storage.Await(serials[14], 0)
    numbers = [r['batch'] for r in p.batches()]
    equal(numbers, sorted(set(numbers)), 'each half has a new number')
    equal(len({r['id'] for r in p.batches()}), len(numbers))


@test
def several_culprits_are_all_found(t):
    _, c = t.offline()
    for i in range(16):
        c.storage.SetItem('k%02d' % i, str(i))
    p = FakeParent(t.socket_path)
    t.parents.append(p)
    poison(p, 'k00', 'k07', 'k08', 'k15')
    p.start()
    c.storage.Flush(FOREVER)
    equal([row[2] for row in c.storage.ListRejected()], ['k00', 'k07', 'k08', 'k15'])
    equal(len(p.keys_applied()), 12)


@test
def bisection_never_cuts_a_group(t):
    _, c = t.offline()
    c.storage.SetItem('before', '1')
    group = c.storage.SetItems({'g1': '1', 'g2': '2', 'g3': '3'})
    c.storage.SetItem('after', '1')
    p = FakeParent(t.socket_path)
    t.parents.append(p)
    poison(p, 'g2')
    p.start()
    c.storage.Flush(FOREVER)
    equal(p.keys_applied(), ['before', 'after'])
    equal(sorted(row[2] for row in c.storage.ListRejected()), ['g1', 'g2', 'g3'])
    fails('Rejected', c.storage.Await, group, 0)
    for r in p.batches():
        members = [op for op in r['ops'] if op['key'].startswith('g')]
        assert len(members) in (0, 3), members
        equal(len({op['group'] for op in members}) <= 1, True)


@test
def a_poisoned_entry_does_not_stop_what_comes_later(t):
    p, _, c = t.connected()
    poison(p, 'bad')
    c.storage.SetItem('bad', '1')
    c.storage.Await(c.storage.SetItem('good', '1'), FOREVER)
    equal(p.value('good'), '1')
    fails('NoSuchItem', c.storage.GetItem, 'bad')


@test
def a_permanent_error_below_last_batch_is_a_protocol_error(t):
    p, _, c = t.connected()
    p.on['batch'] = lambda conn, m: (p.apply_batch(conn.client, m), conn.close())
    serial = c.storage.SetItem('k', 'v')
    wait_for(p.batches)
    c.listen()
    once_then_default(p, 'batch', lambda conn, m: conn.send(p.error(m, 'permanent')))
    c.storage.Await(serial, FOREVER)
    equal(c.storage.ListRejected(), [])
    equal(p.ops_applied(), [('k', 'v')])


# ---- per-operation results ----

@test
def refused_operations_go_to_rejected_and_the_rest_goes_on(t):
    p, _, c = t.connected()
    p.refuse_ops.update(bad=('rejected', 'not a nice value'), big=('quota', 'too much of it'))
    c.storage.Subscribe()
    p.hold('batch')
    c.storage.RemoveItem('first')
    wait_for(p.batches)
    serials = [c.storage.SetItem(k, 'of ' + k) for k in ('good', 'bad', 'big', 'fine')]
    p.release('batch')
    c.storage.Flush(FOREVER)
    equal((p.value('good'), p.value('bad'), p.value('big'), p.value('fine')),
          ('of good', None, None, 'of fine'))
    rows = c.storage.ListRejected()
    equal([row[:4] for row in rows], [(serials[1], 'set', 'bad', 'not a nice value'),
                                      (serials[2], 'set', 'big', 'too much of it')])
    for row in rows:
        assert abs(row[4] / 1e6 - time.time()) < 60, row
    wait_for(lambda: len(c.heard('ItemRejected')) == 2)
    equal(c.heard('ItemRejected'), [(serials[1], 'bad', 'rejected', 'not a nice value'),
                                    (serials[2], 'big', 'quota', 'too much of it')])
    fails('Rejected', c.storage.Await, serials[1], FOREVER)
    c.storage.Await(serials[3], 0)
    equal(c.storage.get('QueueSize'), 0)


def rejected(t, key='bad', value='its value'):
    """A parent that refused one write: (parent, daemon, client, its serial)."""
    p, d, c = t.connected()
    p.refuse_ops[key] = ('rejected', 'not a nice value')
    serial = c.storage.SetItem(key, value)
    fails('Rejected', c.storage.Await, serial, FOREVER)
    return p, d, c, serial


@test
def a_rejected_value_can_be_had_back(t):
    _, _, c, serial = rejected(t)
    equal(c.storage.GetRejected(serial), 'its value')
    fails('NoSuchItem', c.storage.GetItem, 'bad')


@test
def a_rejected_entry_can_be_retried(t):
    p, _, c, serial = rejected(t)
    p.refuse_ops.clear()
    again = c.storage.RetryRejected(serial)
    assert again > serial
    equal(c.storage.ListRejected(), [])
    c.storage.Await(again, FOREVER)
    equal((p.value('bad'), c.storage.GetItem('bad')), ('its value', 'its value'))
    fails('InvalidValue', c.storage.RetryRejected, serial)
    fails('InvalidValue', c.storage.GetRejected, serial)


@test
def a_rejected_entry_can_be_dropped(t):
    _, _, c, serial = rejected(t)
    c.storage.DropRejected(serial)
    equal(c.storage.ListRejected(), [])
    fails('InvalidValue', c.storage.DropRejected, serial)
    fails('InvalidValue', c.storage.GetRejected, serial)


@test
def a_rejection_outlives_a_crash(t):
    p, d, c, serial = rejected(t)
    d.crash()
    equal([row[0] for row in c.storage.ListRejected()], [serial])
    equal(c.storage.GetRejected(serial), 'its value')
    fails('Rejected', c.storage.Await, serial, 0)
    c.storage.DropRejected(serial)
    fails('Rejected', c.storage.Await, serial, 0)


@test
def a_refused_member_refuses_its_group(t):
    p, _, c = t.connected()
    p.refuse_ops['g2'] = ('rejected', 'not this')
    group = c.storage.SetItems({'g1': '1', 'g2': '2'})
    fails('Rejected', c.storage.Await, group, FOREVER)
    equal(p.keys_applied(), [])
    equal(sorted(row[2] for row in c.storage.ListRejected()), ['g1', 'g2'])
    fails('NoSuchItem', c.storage.GetItem, 'g1')


@test
def members_of_a_group_carry_one_number(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.RemoveItem('x')
    wait_for(p.batches)
    c.storage.SetItems({'a': '1', 'b': '2'})
    c.storage.SetItems({'c': '1', 'd': '2'})
    c.storage.SetItem('e', '1')
    p.release('batch')
    c.storage.Flush(FOREVER)
    groups = {op['key']: op.get('group', 0) for r in p.batches() for op in r['ops']}
    assert groups['a'] == groups['b'] != 0 and groups['c'] == groups['d'] != 0, groups
    together = [r for r in p.batches() if {'a', 'c'} <= {op['key'] for op in r['ops']}]
    assert not together or groups['a'] != groups['c']
    equal(groups['e'], 0)


@test
def one_areas_refusals_do_not_stop_another(t):
    p, _, c = t.connected()
    other = c.area('other')
    poison(p, 'bad')
    c.storage.SetItem('bad', '1')
    other.Await(other.SetItem('good', '1'), FOREVER)
    equal(p.value('good', 'other'), '1')


@test
def an_answer_for_another_key_is_a_protocol_error(t):
    p, _, c = t.connected(NO_REDIAL)
    p.put('k', 'v')
    p.on['getFromParentStorage'] = lambda conn, m: conn.send({
        'type': 'storageResponse', 'requestId': m['requestId'], 'key': 'other', 'value': 'evil',
        'revision': 1})
    fails('Unavailable', c.storage.GetItem, 'k')
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'protocol')
    fails('Unavailable', c.storage.GetItem, 'other')


@test
def a_second_answer_is_a_protocol_error(t):
    p, _, c = t.connected(NO_REDIAL)

    def twice(conn, m):
        p.do_getFromParentStorage(conn, m)
        p.do_getFromParentStorage(conn, m)
    p.on['getFromParentStorage'] = twice
    fails('NoSuchItem', c.storage.GetItem, 'k')
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'protocol')


@test
def a_value_larger_than_allowed_is_survived(t):
    p, d, c = t.connected()
    p.put('big', 'x' * 3 * 2 ** 20)
    p.put('good', 'v')
    try:
        assert len(c.storage.GetItem('big')) == 3 * 2 ** 20
    except BusError as error:
        assert error.name in (ERR + 'InvalidValue', ERR + 'TooLarge', ERR + 'Unavailable'), error
    equal(c.storage.GetItem('good'), 'v')
    assert d.alive()


SLOW_LINK = {'Heartbeat': {'Interval': ms(100), 'Timeout': ms(500)},
             'Parent': {'RequestTimeout': '4s', 'BatchTimeout': '20s'}}


@test
def a_large_batch_over_a_slow_link_does_not_fail_the_heartbeat(t):
    p, _, c = t.connected(SLOW_LINK)
    p.throttle = (32768, secs(0.1))         # 1 MiB takes three seconds; pings queue behind it
    c.listen()
    serial = c.storage.SetItem('k', 'x' * 1000000)
    wait_for(p.batches, deadline=15 * SLOW)
    p.throttle = None
    c.storage.Await(serial, FOREVER)
    equal(c.heard('ConnectionStateChanged'), [])
    equal(len(p.batches()), 1)


@test
def a_large_answer_over_a_slow_link_does_not_fail_the_heartbeat(t):
    p, _, c = t.connected(SLOW_LINK)
    p.put('k', 'x' * 1000000)
    c.listen()

    def slowly(conn, m):
        line = json.dumps({'type': 'storageResponse', 'requestId': m['requestId'], 'key': 'k',
                           'value': p.value('k'), 'revision': p.revision}).encode() + b'\n'

        def work():
            for i in range(0, len(line), 32768):
                conn.send(line[i:i + 32768])
                time.sleep(0.08)        # 2.5 s in all: a get may take 5
            p.release('ping')
        p.hold('ping')                      # nothing else fits in the middle of a line
        threading.Thread(target=work).start()
    p.on['getFromParentStorage'] = slowly
    equal(len(c.storage.GetItem('k')), 1000000)
    equal(c.heard('ConnectionStateChanged'), [])


if __name__ == '__main__':
    main()
