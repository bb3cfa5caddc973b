#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""org.holdfast1.Monitor: the state table as it is seen from outside, and every Reason."""

import re
import socket

from harness import *

FAST = {'Heartbeat': {'Interval': ms(100), 'Timeout': ms(100)}}
SELDOM = {'Heartbeat': {'Interval': '60s', 'Timeout': '10s'}}
NO_REDIAL = {'Reconnect': {'InitialDelay': '1h', 'MaxDelay': '1h'}}


def changes(c):
    """(state, old state, word of the reason) of each ConnectionStateChanged."""
    return [(state, stats['old-state'], stats['reason'].split(':')[0])
            for state, stats in c.heard('ConnectionStateChanged')]


def hellos(p):
    return len(p.of('hello'))


# ---- from start to connected ----

@test
def a_polite_parent_is_connected(t):
    p, _, c = t.connected()
    equal(c.monitor.reason(), 'ok')
    equal([r['type'] for r in p.received[:2]], ['hello', 'ping'])
    equal(hellos(p), 1)


@test
def hello_says_protocol_client_and_features(t):
    p, _, _ = t.connected()
    hello = p.of('hello')[0]
    equal(hello['protocol'], 1)
    assert re.fullmatch('[0-9a-f]{32}', hello['client']), hello['client']
    assert isinstance(hello['features'], list)
    assert 'token' not in hello.message


@test
def connecting_until_welcome_and_pong(t):
    p = t.parent()
    p.hold('hello', 'ping')
    t.daemon({'Parent': {'DialTimeout': '20s'}, 'Heartbeat': {'Timeout': '20s'}})
    c = t.client().listen()
    equal(c.monitor.get('State'), 'connecting')
    equal(c.monitor.reason(), 'start')
    wait_for(lambda: p.of('hello'))
    equal(p.of('ping'), [])
    p.release('hello')
    wait_for(lambda: p.of('ping'))
    equal(c.monitor.get('State'), 'connecting')
    p.release('ping')
    c.monitor.state_is('connected')
    wait_for(lambda: changes(c) == [('connected', 'connecting', 'ok')])


@test
def nothing_is_sent_before_the_first_pong(t):
    p = t.parent()
    p.hold('ping')
    t.daemon({'Heartbeat': {'Timeout': '20s'}})
    c = t.client()
    c.storage.SetItem('k', 'v')
    wait_for(lambda: p.of('ping'))
    never(p.batches)
    p.release('ping')
    wait_for(p.batches)


@test
def a_missing_parent_is_refused(t):
    _, c = t.offline()
    equal(c.monitor.reason(), 'refused')
    assert ': ' in c.monitor.get('Reason') and ' ' in c.monitor.get('Reason').split(': ', 1)[1]


@test
def refused_dials_do_not_flap_the_state(t):
    _, c = t.offline({'Reconnect': {'InitialDelay': ms(5), 'MaxDelay': ms(5)}})
    c.listen()
    never(lambda: changes(c))


@test
def a_dial_that_gets_no_welcome_times_out(t):
    p = t.parent()
    p.hold('hello')
    t.daemon(dict(NO_REDIAL, Parent={'DialTimeout': ms(150)}))
    c = t.client()
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'timeout')


@test
def a_first_pong_that_never_comes_times_out(t):
    p = t.parent()
    p.hold('ping')
    t.daemon(dict(NO_REDIAL, **FAST))
    c = t.client()
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'timeout')



# ---- losing it ----

@test
def a_closed_link_is_disconnected_at_once(t):
    p, _, c = t.connected(NO_REDIAL)
    c.listen()
    began = time.monotonic()
    p.drop()
    wait_for(lambda: changes(c) == [('disconnected', 'connected', 'closed')])
    took = c.signals[0].at - began
    assert took < secs(0.5), 'told after %.3f s' % took
    equal((c.monitor.get('State'), c.monitor.reason()), ('disconnected', 'closed'))


@test
def a_silent_parent_times_out_after_max_failed_pings(t):
    p, _, c = t.connected(dict(NO_REDIAL, **FAST))
    c.listen()
    p.hold('ping')
    wait_for(lambda: changes(c) == [('disconnected', 'connected', 'timeout')])
    took = time.monotonic() - p.held[0][0].parent.of('ping')[-1].at
    assert took < secs(2), took


@test
def each_window_has_at_most_3_probes(t):
    conf = dict(NO_REDIAL, Heartbeat={'Interval': ms(100), 'Timeout': ms(300), 'MaxFailedPings': '2'})
    p, _, c = t.connected(conf)
    p.hold('ping')
    answered = len(p.of('ping'))
    c.monitor.state_is('disconnected')
    silent = len(p.of('ping')) - answered
    assert 4 <= silent <= 7, 'two windows had %d probes' % silent


@test
def max_failed_pings_counts_windows_in_a_row(t):
    conf = dict(NO_REDIAL, Heartbeat={'Interval': ms(50), 'Timeout': ms(200), 'MaxFailedPings': '50'})
    p, _, c = t.connected(conf)
    p.hold('ping')
    wait_for(lambda: c.monitor.get('FailedPings') >= 2)
    equal(c.monitor.get('State'), 'connected')
    p.release('ping')
    wait_for(lambda: c.monitor.get('FailedPings') == 0)
    equal(c.monitor.get('State'), 'connected')


@test
def any_other_message_closes_the_window(t):
    p, _, c = t.connected(dict(NO_REDIAL, Heartbeat={
        'Interval': ms(50), 'Timeout': ms(300), 'MaxFailedPings': '2'}, Cache={'TTL': '0'}))
    p.hold('ping')
    end = time.monotonic() + secs(1.5)
    while time.monotonic() < end:       # the parent answers gets, and no ping
        c.storage.reads('k')
        turn(0.02)
    equal(c.monitor.get('State'), 'connected')


@test
def garbage_is_a_protocol_error(t):
    p, _, c = t.connected(NO_REDIAL)
    p.live().send(b'this is not JSON\n')
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'protocol')


@test
def every_kind_of_nonsense_is_a_protocol_error(t):
    p, _, c = t.connected()
    deep = b'{"type":"pong","pingTime":1,"x":' + b'[' * 50000 + b']' * 50000 + b'}\n'
    bad = [b'\n', b'[]\n', b'"text"\n', b'42\n', b'{}\n', b'{"type":7}\n', b'\xff\xfe\n', b'{"type":\n',
           b'{"type":"pong"}\n', b'{"type":"pong","pingTime":"1"}\n', b'{"type":"pong","pingTime":0}\n',
           b'var a = 1;\n', b"{'type':'pong','pingTime':1}\n", deep,
           b'{"type":"storageResponse","requestId":7,"key":"k","value":"v","revision":1}\n',
           b'{"type":"welcome","protocol":1,"epoch":"%s","lastBatch":0}\n' % (b'0' * 32),
           b'{"type":"batchAck","requestId":"none","batch":1,"id":"x","results":[]}\n']
    for data in bad:
        conn = wait_for(p.live)
        c.monitor.state_is('connected')
        conn.send(data)
        wait_for(lambda: not conn.open, 'the end of a connection that said %r' % data[:60])
        c.monitor.state_is('connected')


@test
def an_over_long_line_is_a_protocol_error(t):
    p, d, c = t.connected(NO_REDIAL)
    p.live().send(b'{"type":"pong","x":"' + b'y' * (9 * 1024 * 1024))
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'protocol')


@test
def an_answer_to_nothing_asked_is_a_protocol_error(t):
    for answer in ({'type': 'storageResponse', 'requestId': 'zz', 'key': 'k', 'value': None,
                    'revision': 1},
                   {'type': 'storageAck', 'requestId': 'zz', 'revision': 1},
                   {'type': 'batchAck', 'requestId': 'zz', 'batch': 1, 'id': '0' * 32,
                    'duplicate': False, 'results': [{'revision': 1}]},
                   {'type': 'error', 'requestId': 'zz', 'class': 'transient', 'message': 'no'}):
        p, d, c = t.connected(NO_REDIAL)
        p.live().send(answer)
        c.monitor.state_is('disconnected')
        equal(c.monitor.reason(), 'protocol', answer['type'])
        p.stop()
        d.stop()


@test
def a_pong_to_no_ping_never_makes_connected(t):
    p = t.parent()
    p.on['ping'] = lambda conn, m: conn.send({'type': 'pong', 'pingTime': m['pingTime'] + 12345})
    t.daemon(dict(FAST))
    c = t.client().listen()
    wait_for(lambda: len(p.of('ping')) >= 3)
    assert c.monitor.get('State') != 'connected'
    equal([s for s in changes(c) if s[0] == 'connected'], [])


@test
def an_unknown_type_is_answered_with_error(t):
    p, _, c = t.connected()
    p.live().send({'type': 'futureThing', 'requestId': 'f1', 'more': [1, {'x': None}]})
    error = wait_for(lambda: p.of('error'))[0]
    equal(error.get('requestId'), 'f1')
    assert error['class'] in ('permanent', 'transient', 'capacity', 'auth')
    equal(c.monitor.get('State'), 'connected')


@test
def unknown_members_are_ignored(t):
    p = t.parent()
    p.on['hello'] = lambda conn, m: conn.send(p.welcome(m['client'], colour='red', more={'a': [1]}))
    p.on['ping'] = lambda conn, m: conn.send({'type': 'pong', 'pingTime': m['pingTime'], 'x': None})
    t.daemon()
    t.client().monitor.state_is('connected')


# ---- errors of the parent ----

@test
def an_error_without_request_id_is_a_protocol_error(t):
    p, _, c = t.connected(NO_REDIAL)
    p.live().send({'type': 'error', 'class': 'transient', 'message': 'I am unwell'})
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'protocol')


def refusing(class_, **more):
    return lambda conn, m: conn.send(dict(
        {'type': 'error', 'class': class_, 'message': 'go away please'}, **more))


@test
def auth_before_welcome_holds(t):
    p = t.parent()
    p.on['hello'] = refusing('auth')
    t.daemon()
    c = t.client()
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'auth')
    assert 'go away please' in c.monitor.get('Reason'), c.monitor.get('Reason')
    never(lambda: hellos(p) > 1, 0.5)


@test
def a_held_connection_is_dialled_at_once_on_check_connection(t):
    p = t.parent()
    p.on['hello'] = refusing('auth')
    t.daemon()
    c = t.client()
    wait_for(lambda: c.monitor.reason() == 'auth')
    del p.on['hello']
    c.monitor.CheckConnection()
    c.monitor.state_is('connected')


@test
def a_held_connection_is_dialled_at_once_on_reload(t):
    p = t.parent()
    p.on['hello'] = refusing('auth')
    t.daemon()
    c = t.client()
    wait_for(lambda: c.monitor.reason() == 'auth')
    del p.on['hello']
    c.manager.Reload()
    c.monitor.state_is('connected')


@test
def a_held_connection_is_dialled_at_once_on_a_changed_token_file(t):
    p = t.parent()
    p.on['hello'] = lambda conn, m: DEFAULT if m.get('token') == 'right' else refusing('auth')(conn, m)
    token = os.path.join(t.dir, 'token')
    with open(token, 'w') as file:
        file.write('wrong\n')
    t.daemon({'Parent': {'TokenFile': token}})
    c = t.client()
    wait_for(lambda: c.monitor.reason() == 'auth')
    equal(p.of('hello')[0].get('token'), 'wrong')
    with open(token + '.new', 'w') as file:
        file.write('right\n')
    os.rename(token + '.new', token)
    c.monitor.state_is('connected')


@test
def auth_after_welcome_holds_and_keeps_the_batch(t):
    p, _, c = t.connected()
    p.on['batch'] = lambda conn, m: conn.send(p.error(m, 'auth'))
    serial = c.storage.SetItem('k', 'v')
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'auth')
    never(lambda: hellos(p) > 1)
    equal(c.storage.queue(), [('set', 'k', 'in-flight')])
    del p.on['batch']
    c.monitor.CheckConnection()
    c.storage.Await(serial, FOREVER)
    first, second = p.batches()
    equal((second['batch'], second['id'], second['ops']), (first['batch'], first['id'], first['ops']))


@test
def permanent_before_welcome_holds_as_version(t):
    p = t.parent()
    p.on['hello'] = refusing('permanent')
    t.daemon()
    c = t.client()
    c.monitor.state_is('disconnected')
    assert c.monitor.reason() in ('version', 'auth'), c.monitor.get('Reason')
    never(lambda: hellos(p) > 1, 0.5)


@test
def another_protocol_number_holds_as_version(t):
    p = t.parent()
    p.on['hello'] = lambda conn, m: conn.send(p.welcome(m['client'], protocol=2))
    t.daemon()
    c = t.client()
    c.monitor.state_is('disconnected')
    equal(c.monitor.reason(), 'version')
    never(lambda: hellos(p) > 1, 0.5)


@test
def retry_after_before_welcome_delays_the_next_dial(t):
    for class_ in ('transient', 'capacity'):
        p = t.parent()
        p.on['hello'] = refusing(class_, retryAfter=round(600 * SLOW))
        d = t.daemon({'Reconnect': {'InitialDelay': ms(1), 'MaxDelay': ms(1)}})
        wait_for(lambda: hellos(p) >= 2)
        first, second = p.of('hello')[:2]
        assert second.at - first.at >= secs(0.59), '%s: after %.3f s' % (class_, second.at - first.at)
        equal(t.client().monitor.get('State'), 'disconnected')
        p.stop()
        d.stop()


@test
def a_parent_that_lost_acked_data_is_told(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    p.last.clear()
    p.store.clear()
    p.drop()
    wait_for(lambda: c.monitor.reason() == 'parent-lost-data')
    c.monitor.state_is('connected')
    fails('NoSuchItem', c.storage.GetItem, 'k')     # copies are distrusted: asked again


# ---- coming back ----

@test
def reconnects_by_itself(t):
    p, _, c = t.connected()
    c.listen()
    p.drop()
    wait_for(lambda: len(changes(c)) >= 3 and changes(c)[-1][0] == 'connected')
    equal([s[0] for s in changes(c)], ['disconnected', 'connecting', 'connected'])
    assert hellos(p) >= 2


@test
def a_socket_that_appears_is_dialled_at_once(t):
    _, c = t.offline(NO_REDIAL)
    t.parent()
    c.monitor.state_is('connected', secs(2))


@test
def a_socket_that_appears_before_its_listener_is_dialled_again(t):
    _, c = t.offline(NO_REDIAL)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(t.socket_path)
    never(lambda: c.monitor.get('State') == 'connected', 0.08)
    listener.listen(4)
    listener.settimeout(secs(3))
    conn, _ = listener.accept()      # the dial after 200 ms
    conn.close()
    listener.close()


@test
def without_auto_recover_it_stays_disconnected(t):
    p, _, c = t.connected({'Heartbeat': {'AutoRecover': 'no'}})
    equal(c.monitor.get('AutoRecover'), False)
    p.drop()
    c.monitor.state_is('disconnected')
    never(lambda: hellos(p) > 1, 0.5)
    p.stop()
    p.start()
    never(lambda: hellos(p) > 1, 0.5)
    c.monitor.CheckConnection()
    c.monitor.state_is('connected')


@test
def check_connection_pings_at_once_when_connected(t):
    p, _, c = t.connected(SELDOM)
    wait_for(lambda: len(p.of('ping')) == 1)
    c.monitor.CheckConnection()
    wait_for(lambda: len(p.of('ping')) == 2)


@test
def check_connection_has_an_effect_once_per_second(t):
    p, _, c = t.connected(SELDOM)
    for _ in range(20):
        c.monitor.CheckConnection()
    never(lambda: len(p.of('ping')) > 3)


@test
def check_connection_dials_at_once_when_disconnected(t):
    _, c = t.offline(dict(NO_REDIAL, Heartbeat={'AutoRecover': 'no'}))
    p = t.parent()
    never(lambda: hellos(p))
    c.monitor.CheckConnection()
    c.monitor.state_is('connected', secs(2))


@test
def check_connection_answers_at_once(t):
    p, _, c = t.connected(SELDOM)
    p.hold('ping')
    began = time.monotonic()
    c.monitor.CheckConnection()
    assert time.monotonic() - began < secs(1)


@test
def the_backoff_grows_while_the_parent_slams_the_door(t):
    p = t.parent()
    p.on['hello'] = lambda conn, m: conn.close()
    t.daemon({'Reconnect': {'InitialDelay': ms(50), 'MaxDelay': ms(400)}})
    wait_for(lambda: len(p.conns) >= 6, deadline=20 * SLOW)
    # full jitter: no single gap says much, but dials do not come in a storm
    took = p.conns[5].opened_at - p.conns[0].opened_at
    assert took >= secs(0.05), '6 dials in %.3f s' % took


@test
def the_sender_starts_when_connected_again(t):
    _, c = t.offline(NO_REDIAL)
    serial = c.storage.SetItem('k', 'v')
    p = t.parent()
    c.storage.Await(serial, FOREVER)
    equal(p.value('k'), 'v')


if __name__ == '__main__':
    main()
