# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd over TLS: peers that hang, lie or flood cost nobody else anything."""

import contextlib
import multiprocessing
import os
import select
import shutil
import socket
import ssl
import subprocess
import time
import warnings

from parentd_client import (DEADLINE, ONE, TWO, Closed, Skip, equal, hexid, is_error, save, test,
                            wait_for)
from parentd_tls import start

HANDSHAKE = 5.0        # the parent's own limit, seconds
ALL, EACH = 256, 32    # handshakes under way, and those of one network
ELSEWHERE = '127.0.0.2'


def plain(parent, source='127.0.0.1'):
    return socket.create_connection(('127.0.0.1', parent.port()), DEADLINE, (source, 0))


def client_hello(parent):
    """A whole first flight, as a client would send it."""
    to, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=parent.certificate).wrap_bio(
        to, out, server_hostname='localhost')
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def ends(connection, deadline=DEADLINE):
    """Whether the parent closes it; what it sends before that does not matter."""
    connection.settimeout(deadline)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


@test
def who_does_not_speak_tls_is_closed_at_once(room):
    parent = start(room)
    good = parent.tls(ONE)
    for data in (b'{"type":"hello","protocol":1,"client":"%s","token":"token of anne"}\n' %
                 ONE.encode(), b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', os.urandom(3) + b'\0' * 4000,
                 b'\x16\x03\x01\xff\xff' + b'x' * 70000, b'\x16\x03\x01\x00\x05hello',
                 b'\x16\x03\x01\x00\x00x', b'\x15\x03\x03\x00\x02\x02\x28'):
        began = time.monotonic()
        stranger = plain(parent)
        stranger.sendall(data)
        assert ends(stranger)
        assert time.monotonic() - began < HANDSHAKE - 1, data[:20]
        good.ping()
    # And what is no more than a beginning, when it closes its end.
    for data in (b'', b'\x16', b'\x16\x03\x01\x02\x00', client_hello(parent)[:100]):
        stranger = plain(parent)
        stranger.sendall(data)
        stranger.shutdown(socket.SHUT_WR)
        assert ends(stranger)
    good.ping()


@test
def a_handshake_has_a_deadline(room):
    parent = start(room)
    hello = client_hello(parent)
    began = time.monotonic()
    strangers = []
    for data in (b'', hello[:3], hello[:50], hello):
        strangers.append(plain(parent))
        strangers[-1].sendall(data)
    for stranger in strangers:
        assert ends(stranger)
        assert HANDSHAKE - 1 < time.monotonic() - began < HANDSHAKE + 5
    assert 'it took too long' in parent.log_text()
    parent.tls(ONE).ping()


@test
def half_open_handshakes_are_in_nobodys_way(room):
    parent = start(room)
    good, local = parent.tls(ONE), parent.client(ONE)
    hello = client_hello(parent)
    strangers = []
    for i in range(200):
        strangers.append(plain(parent))
        strangers[-1].sendall((b'', hello[:60], hello, hello)[i % 4])
    number = 0
    began = time.monotonic()
    slowest = 0
    while time.monotonic() - began < HANDSHAKE - 2:
        number += 1
        asked = time.monotonic()
        equal(good.batch(number, [save('k', 'v')])['duplicate'], False)
        equal(local.batch(number, [save('k', 'v')])['duplicate'], False)
        slowest = max(slowest, time.monotonic() - asked)
        # Who comes now does not wait for those that hang.
        if number % 20 == 1:
            parent.tls(hexid(number + 10), source=ELSEWHERE).ping()
            slowest = max(slowest, time.monotonic() - asked)
    assert number > 5, number
    assert slowest < 2, slowest
    print('# %d rounds, the slowest %.3f s' % (number, slowest))
    for stranger in strangers:
        assert ends(stranger)


@test
def more_handshakes_of_one_address_than_the_bound(room):
    parent = start(room)
    good = parent.tls(ONE)
    strangers = [plain(parent) for _ in range(EACH + 10)]
    parent.wait_for_log('too many others from its address are at it', 10)
    # The oldest have gone; who comes from there now comes in all the same.
    parent.tls(TWO).ping()
    good.ping()
    equal([closed_already(stranger) for stranger in strangers], [True] * 11 + [False] * (EACH - 1))
    assert 'too many others are at it' not in parent.log_text()


@test
def more_handshakes_than_the_bound(room):
    parent = start(room)
    good = parent.tls(ONE)
    single = [plain(parent, '127.0.2.%d' % (i + 1)) for i in range(EACH)]
    many = [plain(parent, '127.0.1.%d' % (i % 8 + 1)) for i in range(ALL - EACH + 5)]
    parent.wait_for_log('too many others are at it', 5)
    parent.tls(TWO, source=ELSEWHERE).ping()
    good.ping()
    # Those of where most come from.
    equal([closed_already(stranger) for stranger in single], [False] * EACH)
    equal([closed_already(stranger) for stranger in many].count(True), 6)
    assert 'from its address' not in parent.log_text()
    for stranger in single + many:
        stranger.close()
    wait_for(lambda: comes_in(parent))


def keep_up(parent, source, number, data):
    """Hold @number connections from @source that have sent @data; renew those that end."""
    held = select.epoll()
    connections = {}
    while True:
        while len(connections) < number:
            try:
                connection = plain(parent, source)
                connection.sendall(data)
            except OSError:
                continue
            connections[connection.fileno()] = connection
            held.register(connection, select.EPOLLIN)
        for descriptor, event in held.poll():
            connection = connections[descriptor]
            try:
                if connection.recv(65536):
                    continue
            except OSError:
                pass
            held.unregister(connection)
            connections.pop(descriptor).close()


@contextlib.contextmanager
def kept_up(parent, source, number, data):
    """While something else goes on, in a process of its own."""
    process = multiprocessing.get_context('fork').Process(
        target=keep_up, args=(parent, source, number, data), daemon=True)
    process.start()
    try:
        yield
        assert process.is_alive()
    finally:
        process.kill()
        process.join()


def newcomers_get_in(parent, seconds):
    """Clients from elsewhere, one after the other, for longer than a handshake may take."""
    began, number, slowest = time.monotonic(), 0, 0
    while number < 10 or time.monotonic() - began < seconds:
        number += 1
        asked = time.monotonic()
        parent.tls(hexid(number), source=ELSEWHERE).ping()
        slowest = max(slowest, time.monotonic() - asked)
    print('# %d newcomers, the slowest after %.3f s' % (number, slowest))
    assert slowest < HANDSHAKE / 2, slowest


@test
def hung_handshakes_kept_up_shut_nobody_else_out(room):
    parent = start(room)
    with kept_up(parent, '127.0.0.1', 60, client_hello(parent)):
        parent.wait_for_log('from its address are at it')
        newcomers_get_in(parent, 2 * HANDSHAKE)


@test
def hung_handshakes_of_several_addresses_have_to_take_turns(room):
    """Two would be enough to take all that handshakes may have."""
    parent = start(room)
    hello = client_hello(parent)
    with contextlib.ExitStack() as stack:
        for i in range(4):
            stack.enter_context(kept_up(parent, '127.0.1.%d' % (i + 1), 20, hello))
        parent.wait_for_log('it took too long while others waited')
        newcomers_get_in(parent, HANDSHAKE)


@test
def silent_connections_kept_up_shut_nobody_else_out(room):
    parent = start(room)
    with kept_up(parent, '127.0.0.1', ALL, b''):
        parent.wait_for_log('from its address are at it')
        newcomers_get_in(parent, 2 * HANDSHAKE)


@test
def a_certificate_is_tried_while_handshakes_hang(room):
    """However many do: the trial has threads of its own."""
    parent = start(room)
    hello = client_hello(parent)
    strangers = [plain(parent, '127.0.1.%d' % (i % 2 + 1)) for i in range(20)]
    began = time.monotonic()
    for stranger in strangers:
        stranger.sendall(hello)
    # They take all that handshakes may have: those get an answer.
    wait_for(lambda: [has_answer(stranger) for stranger in strangers].count(True) == 8)
    parent.hang_up_signal()
    parent.wait_for_log('New connections are shown')
    assert time.monotonic() - began < HANDSHAKE - 1, time.monotonic() - began
    equal([has_answer(stranger) for stranger in strangers].count(True), 8)
    for stranger in strangers:
        assert ends(stranger)
    parent.tls(ONE).ping()


def has_answer(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b''
    except BlockingIOError:
        return False


def closed_already(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b''
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def comes_in(parent):
    try:
        parent.tls(TWO).ping()
    except (OSError, Closed):
        return False
    return True


@test
def an_old_version_is_refused(room):
    """TLS 1.2 too, whose peers may begin another handshake at any time and keep a thread in it."""
    parent = start(room)
    for oldest, newest in ((ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1),
                           (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)):
        context = ssl.create_default_context(cafile=parent.certificate)
        context.set_ciphers('ALL:@SECLEVEL=0')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            context.minimum_version = oldest
            context.maximum_version = newest
        try:
            parent.tls(context=context)
        except (ssl.SSLError, ConnectionResetError):
            continue
        raise AssertionError('%s was let in' % newest.name)
    client = parent.tls(ONE)
    equal(client.socket.version(), 'TLSv1.3')
    client.ping()


@test
def no_hello_or_a_long_one(room):
    parent = start(room)
    silent = parent.tls()
    began = time.monotonic()
    silent.expect_close()
    assert 1 < time.monotonic() - began < 10
    # A stranger's line is not kept as a client's is.
    talker = parent.tls()
    talker.send_raw(b'{"type":"hello","token":"' + b'x' * 40000)
    is_error(talker.receive(), 'transient')
    talker.expect_close()
    early = parent.tls()
    is_error(early.ask({'type': 'ping', 'pingTime': 1}), 'transient')
    early.expect_close()
    # The longest token there may be, in the longest way to write it, is heard.
    longest = parent.tls()
    longest.send_raw(b'{"type":"hello","protocol":1,"client":"%s","token":"%s"}\n' %
                     (ONE.encode(), b'\\u0041' * 4096))
    is_error(longest.receive(), 'auth')


@test
def a_peer_that_does_not_read_is_ended_without_waiting(room):
    """TLS says goodbye when it closes: that must not wait for a peer that takes nothing."""
    parent = start(room)
    good = parent.tls(TWO)
    good.batch(1, [save('large', 'x' * (1 << 20))])
    deaf = parent.tls(ONE)
    for i in range(64):
        deaf.send({'type': 'getFromParentStorage', 'requestId': 'g%d' % i, 'area': 'a',
                   'key': 'large'})
    began = time.monotonic()
    good.ping()
    equal(parent.tls(ONE).welcome['type'], 'welcome')     # ends the deaf one
    good.ping()
    assert time.monotonic() - began < 5
    deaf2 = parent.tls(hexid(5))
    for i in range(64):
        deaf2.send({'type': 'getFromParentStorage', 'requestId': 'g%d' % i, 'area': 'a',
                    'key': 'large'})
    good.ping()
    began = time.monotonic()
    equal(parent.stop(), 0)
    assert time.monotonic() - began < 10


@test
def a_machine_that_has_gone_is_noticed(room):
    """By the kernel's probes: as ss(8) tells, their timer runs."""
    if not shutil.which('ss'):
        raise Skip('ss is not there; it comes with iproute2')
    parent = start(room)
    parent.tls(ONE).ping()
    client = parent.tls(TWO)
    client.ping()
    wait_for(lambda: 'timer:(keepalive,' in subprocess.run(
        ['ss', '-tnoH', 'state', 'established', 'sport', '= :%d' % parent.port()],
        stdout=subprocess.PIPE, check=True, encoding='ascii').stdout)


@test
def it_stops_with_everything_under_way(room):
    parent = start(room)
    clients = [parent.tls(hexid(i)) for i in range(1, 20)]
    hello = client_hello(parent)
    # As many as one address may have under way, and a thread left for the one that comes last.
    strangers = [plain(parent) for _ in range(30)]
    for i, stranger in enumerate(strangers):
        stranger.sendall(hello if i < 3 else (b'', hello[:60])[i % 2])
    unknown = parent.tls()
    for client in clients:
        client.ping()
    began = time.monotonic()
    equal(parent.stop(), 0)
    assert time.monotonic() - began < 5
    for client in clients + [unknown]:
        client.expect_close()
