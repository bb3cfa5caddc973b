# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd against design §5: hello, reads, single writes and batches."""

import json
import re
import time

from parentd_client import (ONE, TWO, equal, hexid, is_error, remove, revisions, save, test)


# ---- hello ----

@test
def hello_and_welcome(room):
    client = room.start().client()
    welcome = client.hello(ONE)
    epoch = welcome.pop('epoch')
    equal(welcome, {'type': 'welcome', 'protocol': 1, 'lastBatch': 0, 'features': []})
    assert re.fullmatch('[0-9a-f]{32}', epoch), epoch
    client.ping(5)
    client.ping(-(2 ** 53))


@test
def hello_must_come_first(room):
    parent = room.start()
    for first in ({'type': 'ping', 'pingTime': 1}, {'type': 'frobnicate'},
                  {'type': 'getFromParentStorage', 'requestId': 'x', 'area': 'a', 'key': 'k'}):
        client = parent.client()
        is_error(client.ask(first), 'transient', first.get('requestId'))
        client.expect_close()


@test
def an_error_before_hello_just_closes(room):
    parent = room.start()
    for first in ({'class': 'permanent', 'message': 'x'}, {}, {'class': 'weird'}):
        client = parent.client()
        client.send(dict(first, type='error'))
        client.expect_close()


@test
def a_long_request_id(room):
    client = room.start().client(ONE)
    get = {'type': 'getFromParentStorage', 'area': 'a', 'key': 'k'}
    equal(client.ask(dict(get, requestId='r' * 256))['requestId'], 'r' * 256)
    is_error(client.ask(dict(get, requestId='r' * 257)), 'permanent')
    client.ping()


@test
def hello_must_come_in_two_seconds(room):
    client = room.start().client()
    began = time.monotonic()
    client.expect_close()
    took = time.monotonic() - began
    assert 1.5 < took < 6, took


@test
def hello_of_another_protocol(room):
    client = room.start().client()
    is_error(client.ask({'type': 'hello', 'protocol': 2, 'client': ONE, 'features': []}),
             'permanent')
    client.expect_close()


@test
def hello_malformed(room):
    parent = room.start()
    for bad in ({'client': 'short'}, {'client': ONE.upper()[:-1] + 'G'}, {'client': 5},
                {'protocol': '1'}, {'features': 'watch'}):
        client = parent.client()
        message = {'type': 'hello', 'protocol': 1, 'client': ONE, 'features': []}
        is_error(client.ask(dict(message, **bad)), 'transient')
        client.expect_close()


@test
def second_hello_is_an_error(room):
    client = room.start().client(ONE)
    is_error(client.hello(ONE), 'permanent')
    client.expect_close()


@test
def newer_connection_ends_the_older(room):
    parent = room.start()
    older = parent.client(ONE)
    other = parent.client(TWO)
    equal(older.batch(1, [save('k', 'v')])['duplicate'], False)
    newer = parent.client(ONE)
    equal(newer.welcome['lastBatch'], 1)
    older.expect_close()
    other.ping()
    newer.ping()


@test
def older_connections_batch_is_finished_before_the_welcome(room):
    """Whatever the older connection's batch came to, the welcome tells it."""
    parent = room.start()
    number = 0
    for turn in range(60):
        older = parent.client(ONE)
        last = older.welcome['lastBatch']
        assert last in (number - 1, number) or turn == 0, (last, number)
        number = last + 1
        older.send(older.batch_message(number, [save('k%d' % i, 'v%d' % turn)
                                                for i in range(300)]))
        newer = parent.client(ONE)
        told = newer.welcome['lastBatch']
        equal(newer.batch(number, [save('k0', 'again')])['duplicate'], told == number)
        older.close()
        newer.close()


@test
def requests_sent_with_hello_are_answered_in_order(room):
    client = room.start().client()
    hello = {'type': 'hello', 'protocol': 1, 'client': ONE, 'features': []}
    client.send_raw(b''.join(json.dumps(m).encode() + b'\n' for m in (
        hello, {'type': 'ping', 'pingTime': 9}, client.batch_message(1, [save('k', 'v')]))))
    equal([client.receive()['type'] for _ in range(3)], ['welcome', 'pong', 'batchAck'])


# ---- reads and single writes ----

@test
def get_and_single_writes(room):
    client = room.start().client(ONE)
    equal(client.get('k'), {'type': 'storageResponse', 'requestId': 'r1', 'key': 'k',
                            'value': None, 'revision': 0})
    equal(client.single(save('k', 'v\u00e9"\\\n')),
          {'type': 'storageAck', 'requestId': 'r2', 'revision': 1})
    equal(client.get('k'), {'type': 'storageResponse', 'requestId': 'r3', 'key': 'k',
                            'value': 'v\u00e9"\\\n', 'revision': 1})
    equal(client.single(remove('k'))['revision'], 2)
    equal(client.single(remove('k'))['revision'], 3)
    equal((client.get('k')['value'], client.get('never')['revision']), (None, 3))
    equal(client.single(save('e', ''))['revision'], 4)
    equal(client.value('e'), '')


@test
def single_writes_are_refused_by_type(room):
    client = room.start('--max-keys', '1').client(ONE)
    is_error(client.single(save('', 'v')), 'permanent', 'r1')
    is_error(client.single(save('k' * 513, 'v')), 'permanent', 'r2')
    is_error(client.single(save('k', 'v', area='.hidden')), 'permanent', 'r3')
    is_error(client.single(save('k', 'v' * (2 ** 20 + 1))), 'permanent', 'r4')
    equal(client.single(save('k', 'v' * 2 ** 20))['revision'], 1)
    is_error(client.single(save('l', 'v')), 'capacity', 'r6')
    equal(client.single(save('k', 'w'))['revision'], 2)


@test
def areas_are_apart(room):
    client = room.start().client(ONE)
    client.batch(1, [save('k', 'one', area='a'), save('k', 'two', area='1000/a'),
                     save('k', 'three', area='1001/a')])
    equal([client.value('k', area) for area in ('a', '1000/a', '1001/a', 'b')],
          ['one', 'two', 'three', None])


@test
def unknown_types_are_errors_and_errors_are_not(room):
    client = room.start().client(ONE)
    is_error(client.ask({'type': 'frobnicate', 'requestId': 'x'}), 'permanent', 'x')
    is_error(client.ask({'type': 'frobnicate'}), 'permanent')
    is_error(client.ask({'type': 'watch', 'requestId': 'w', 'area': 'a', 'since': 0}),
             'permanent', 'w')
    is_error(client.ask({'type': 'storageAck', 'requestId': 'y', 'revision': 1}), 'permanent', 'y')
    client.send({'type': 'error', 'class': 'permanent', 'message': 'ours', 'requestId': 'z'})
    for malformed in ({}, {'class': 'weird'}, {'class': 5}, {'class': 'auth', 'retryAfter': -1},
                      {'class': 'auth', 'requestId': 7}, {'class': 'auth', 'requestId': 'x' * 300}):
        client.send(dict(malformed, type='error'))
    client.ping(7)
    equal(client.ask({'type': 'getFromParentStorage', 'requestId': 'g', 'area': 'a', 'key': 'k',
                      'later': {'a': [1]}})['requestId'], 'g')


# ---- batches ----

@test
def batch_results_are_per_operation_and_in_order(room):
    client = room.start().client(ONE)
    ack = client.batch(1, [
        save('k', 'v'), save('', 'v'), remove('absent'), save('big', 'v' * (2 ** 20 + 1)),
        save('k\x01', 'v'), save('k', 'v', area='a/b'), save('k', 'v', area='x' * 256),
        save('l', 'v', area='7/x')])
    results = ack.pop('results')
    equal(ack, {'type': 'batchAck', 'requestId': 'r1', 'batch': 1, 'id': hexid(1),
                'duplicate': False})
    equal([r.get('revision', r.get('error')) for r in results],
          [1, 'rejected', 2, 'rejected', 'rejected', 'rejected', 'rejected', 3])
    assert all(r['message'] for r in results if 'error' in r)
    equal((client.value('k'), client.value('l', '7/x')), ('v', 'v'))


@test
def a_number_applied_before_is_a_duplicate(room):
    parent = room.start()
    client = parent.client(ONE)
    first = client.batch(3, [save('k', 'v'), save('', 'v'), remove('x')])
    equal(first['duplicate'], False)
    # By number alone: other content and another id do not matter, nor that it could not be applied.
    again = client.batch(3, [save('k', 'other', area='.')], hexid(99))
    equal((again['duplicate'], again['id'], again['results']), (True, hexid(3), first['results']))
    equal((client.value('k'), client.get('k')['revision']), ('v', 2))
    equal(client.batch(9, [save('k', 'w')])['results'], [{'revision': 3}])
    older = client.batch(3, [save('k', 'v')])
    equal((older['duplicate'], older['batch'], 'results' in older), (True, 3, False))
    equal(parent.client(TWO).batch(1, [save('k', 'z')])['duplicate'], False)
    equal(parent.client(ONE).welcome['lastBatch'], 9)


@test
def a_number_is_compared_before_any_other_check(room):
    """A batch that was applied is answered as it was, whatever of it arrives the second time."""
    client = room.start().client(ONE)
    client.batch(1, [save('k', 'v')])
    first = client.batch(2, [save('k', 'w'), save('', 'v')])
    unclean = save('k', '\ud800')
    nonsense = ([], None, {}, 5, [5], [{}], [{'type': 'nonsense'}], [save('k', 'v', 'group')],
                [save('k', None)], [save('k', 'v')] * 1001, [unclean], [0] * 70000)
    for ops in nonsense:
        again = client.batch(2, ops, TWO)
        equal((again['duplicate'], again['id'], again['results']),
              (True, hexid(2), first['results']))
        older = client.batch(1, ops)
        equal((older['type'], older['duplicate']), ('batchAck', True))
    message = client.batch_message(2, [])
    for ident in ('short', None, 5):
        equal(client.ask(dict(message, id=ident))['results'], first['results'])
    # The same of a new number is an error, and leaves the number as it was.
    for ops in nonsense:
        answer = client.batch(3, ops)
        is_error(answer, 'permanent', 'r%d' % client.requests)
    is_error(client.ask(dict(message, batch=3, id='short')), 'permanent', message['requestId'])
    equal(client.get('k'), {'type': 'storageResponse', 'requestId': 'r%d' % client.requests,
                            'key': 'k', 'value': 'w', 'revision': 2})
    equal(client.batch(3, [save('k', 'x')])['results'], [{'revision': 3}])


@test
def a_bad_batch_of_a_new_client_is_not_remembered(room):
    parent = room.start()
    is_error(parent.client(ONE).batch(7, []), 'permanent', 'r1')
    equal(parent.client(ONE).welcome['lastBatch'], 0)
    equal(parent.rows('SELECT count(*) FROM client'), [(0,)])


@test
def any_integer_names_a_group(room):
    client = room.start().client(ONE)
    ack = client.batch(1, [save('a', '1', 0), save('', '1', 0), save('b', '1', 2 ** 53),
                           save('', '1', 2 ** 53), save('c', '1', 2 ** 32), save('d', '1'),
                           save('e', '1', 1), dict(save('f', '1'), group=None), save('', '1', 3)])
    equal(revisions(ack), ['rejected'] * 4 + [1, 2, 3, 4, 'rejected'])
    equal([client.value(key) for key in 'abcdef'], [None, None, '1', '1', '1', '1'])


@test
def optional_members_may_be_null(room):
    client = room.start().client()
    welcome = client.ask({'type': 'hello', 'protocol': 1, 'client': ONE, 'token': None,
                          'features': None, 'requestId': None})
    equal(welcome['type'], 'welcome')
    is_error(client.ask({'type': 'frobnicate', 'requestId': None}), 'permanent')
    client.ping()


@test
def kept_results_outlive_a_restart(room):
    parent = room.start()
    client = parent.client(ONE)
    first = client.batch(5, [save('k', 'v'), save('', 'v'), remove('x')])
    epoch = client.welcome['epoch']
    equal(parent.stop(), 0)
    parent.start()
    client = parent.client(ONE)
    equal((client.welcome['lastBatch'], client.welcome['epoch']), (5, epoch))
    again = client.batch(5, [save('k', 'other')])
    equal((again['duplicate'], again['id'], again['results']), (True, hexid(5), first['results']))
    equal(client.single(save('k', 'w'))['revision'], 3)


@test
def groups_are_all_or_none(room):
    client = room.start().client(ONE)
    ack = client.batch(1, [save('a', '1', 1), save('b', '1', 1), save('c', '1', 2),
                           save('', '1', 2), remove('d', 2), save('e', '1')])
    equal(revisions(ack), [1, 2, 'rejected', 'rejected', 'rejected', 3])
    equal([client.value(key) for key in 'abcde'], ['1', '1', None, None, '1'])


@test
def a_get_sees_what_its_connection_sent_before(room):
    client = room.start().client(ONE)
    for number in range(1, 30):
        client.send(client.batch_message(number, [save('k%d' % i, str(number))
                                                  for i in range(50)]))
        client.send({'type': 'getFromParentStorage', 'requestId': 'g', 'area': 'a', 'key': 'k49'})
        equal(client.receive()['type'], 'batchAck')
        got = client.receive()
        equal((got['value'], got['revision']), (str(number), number * 50))


@test
def malformed_batches_apply_nothing(room):
    client = room.start().client(ONE)
    good = client.batch_message(1, [save('k', 'v')])
    for bad in ({'batch': 0}, {'batch': -1}, {'batch': 2 ** 53 + 1}, {'batch': 1.5},
                {'batch': '1'}, {'id': 'x'}, {'id': None}, {'ops': []}, {'ops': {}},
                {'ops': [5]}, {'ops': [{'type': 'ping'}]},
                {'ops': [save('k', 'v'), {'type': 'saveToParentStorage', 'area': 'a', 'key': 'k'}]},
                {'ops': [save('k', 'v')] * 1001}):
        is_error(client.ask(dict(good, **bad)), 'permanent', good['requestId'])
    equal(client.get('k')['revision'], 0)
    equal(client.batch(1, [save('k', 'v')])['duplicate'], False)


@test
def text_that_is_not_clean_costs_a_request_only(room):
    client = room.start().client(ONE)
    for number, text in enumerate((b'"\\u0000"', b'"\\ud800"', b'"\xff"'), 1):
        client.send_raw(b'{"type":"saveToParentStorage","requestId":"s","area":"a","key":"k",'
                        b'"value":' + text + b'}\n')
        is_error(client.receive(), 'permanent', 's')
        client.send_raw(b'{"type":"batch","requestId":"b","batch":%d,"id":"%s","ops":['
                        b'{"type":"saveToParentStorage","area":"a","key":"k","value":%s}]}\n'
                        % (number, ONE.encode(), text))
        answer = client.receive()
        if answer['type'] == 'batchAck':
            equal(revisions(answer), ['rejected'])
        else:
            is_error(answer, 'permanent', 'b')
        equal(client.value('k'), None)
