#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""That the tools see: each fault of the proxy has the effect it is named for, and the oracle finds
what it is there to find."""

import copy
import errno
import random
import socket
import threading

from faultworld import Proxy
from harness import *
from oracle import Oracle, Write
from schedule import LINE_BYTES
from tlsfront import port_of_nobody


class Pair:
    """A plain client and a plain server with the proxy between them."""

    def __init__(self, t, tcp=False):
        if tcp:
            self.listener = socket.create_server(('127.0.0.1', 0))
            self.at = ('127.0.0.1', port_of_nobody())
            names = ['tcp:127.0.0.1:%d' % port for port in (
                self.at[1], self.listener.getsockname()[1])]
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(os.path.join(t.dir, 'server'))
            self.listener.listen()
            self.at = os.path.join(t.dir, 'front')
            names = ['unix:' + self.at, 'unix:' + os.path.join(t.dir, 'server')]
        self.proxy = Proxy(t, *names, seed=1)
        self.t = t
        self.listener.settimeout(5 * SLOW)
        t.closers.append(self.listener.close)

    def connect(self):
        """Both ends of a connection."""
        family = socket.AF_INET if isinstance(self.at, tuple) else socket.AF_UNIX
        client = socket.socket(family)
        client.connect(self.at)
        server, _ = self.listener.accept()
        for end in (client, server):
            end.settimeout(5 * SLOW)
            self.t.closers.append(end.close)
        return client, server


def receive(sock, count):
    data = b''
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, 'the end, after %r' % data[-50:]
        data += more
    return data


def silent(sock, seconds=0.15):
    """Nothing comes, not even an end."""
    sock.settimeout(seconds * SLOW)
    try:
        data = sock.recv(1)
        raise AssertionError('%r came through a hole' % data)
    except TimeoutError:
        pass
    finally:
        sock.settimeout(5 * SLOW)


def ends(sock):
    """How: '' for an orderly end, else the name of the error."""
    try:
        while sock.recv(65536):
            pass
        return ''
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


# ---- the proxy ----

@test
def bytes_pass_unchanged_both_ways(t):
    for tcp in (False, True):
        pair = Pair(t, tcp)
        client, server = pair.connect()
        data = random.Random(1).randbytes(3000000)
        for source, sink in ((client, server), (server, client)):
            sender = threading.Thread(target=source.sendall, args=(data,))
            sender.start()
            equal(receive(sink, len(data)) == data, True)
            sender.join()
        equal(pair.proxy.stats()['up'], len(data))
        client.close()
        equal(ends(server), '')
        server.close()
        wait_for(lambda: pair.proxy.stats()['links'] == 0)
        pair.listener.close()


@test
def a_cut_is_an_end_and_a_reset_is_an_error(t):
    for tcp in (False, True):
        pair = Pair(t, tcp)
        client, server = pair.connect()
        equal(pair.proxy.ask('cut'), 1)
        equal((ends(client), ends(server)), ('', ''))
        client, server = pair.connect()
        client.sendall(b'x')
        receive(server, 1)
        pair.proxy.ask('reset')
        client.sendall(b'never read')
        equal(ends(client), 'ECONNRESET')
        assert pair.proxy.stats()['hard'] >= 1
        pair.listener.close()


@test
def a_hole_swallows_or_keeps_each_direction_by_itself(t):
    pair = Pair(t)
    client, server = pair.connect()
    pair.proxy.ask('hole up swallow')
    client.sendall(b'lost')
    silent(server)
    server.sendall(b'heard')
    equal(receive(client, 5), b'heard')
    equal(pair.proxy.stats()['up-swallowed'], 4)
    pair.proxy.ask('hole up off')
    pair.proxy.ask('hole down stop')
    server.sendall(b'kept')
    client.sendall(b'passes')
    equal(receive(server, 6), b'passes')
    silent(client)
    server.close()
    silent(client)                      # an end does not come out of a hole
    pair.proxy.ask('heal')
    equal(receive(client, 4), b'kept')
    equal(ends(client), '')


@test
def memory_is_bounded_whoever_reads(t):
    pair = Pair(t)
    client, server = pair.connect()
    client.setblocking(False)
    sent = 0
    try:
        while sent < 50000000:
            sent += client.send(b'x' * 65536)
            time.sleep(0)
    except BlockingIOError:
        pass
    for _ in range(100):
        pair.proxy.ask('random down 100000')
    stats = pair.proxy.stats()
    assert stats['up-held'] <= 256 * 1024 and stats['down-held'] <= 384 * 1024, stats


@test
def throttled_delayed_and_dribbled_bytes_come_in_order(t):
    pair = Pair(t)
    client, server = pair.connect()
    data = bytes(range(256)) * 8
    for command, least in (('throttle up 10000', 0.12), ('delay up 100 100', 0.1),
                           ('dribble up 20', 0.05)):
        pair.proxy.ask(command)
        began = time.monotonic()
        client.sendall(data)
        equal(receive(server, len(data)), data)
        assert time.monotonic() - began >= least, command
        pair.proxy.ask('heal')


@test
def half_closed_is_half_open(t):
    pair = Pair(t)
    client, server = pair.connect()
    equal(pair.proxy.ask('shut up'), 1)
    equal(ends(server), '')
    server.sendall(b'still')
    equal(receive(client, 5), b'still')
    server.close()
    equal(ends(client), '')


@test
def what_is_added_comes_at_the_end_of_a_line(t):
    pair = Pair(t)
    client, server = pair.connect()
    client.sendall(b'half ')
    receive(server, 5)
    pair.proxy.ask('line up bad line here')
    client.sendall(b'a line\nnext\n')
    equal(receive(server, 26), b'a line\nbad line here\nnext\n')
    pair.proxy.ask('filler down %d' % (LINE_BYTES + 1))
    equal(len(receive(client, LINE_BYTES + 1)), LINE_BYTES + 1)
    equal(pair.proxy.stats()['garbage'], 2)


@test
def nobody_and_nothing_there(t):
    pair = Pair(t)
    pair.proxy.ask('refuse on')
    equal(connects(pair.at), 'ECONNREFUSED')
    pair.proxy.ask('refuse gone')
    equal(connects(pair.at), 'ENOENT')
    pair.proxy.ask('heal')
    pair.proxy.ask('mute on')
    client = socket.socket(socket.AF_UNIX)
    client.connect(pair.at)
    client.sendall(b'hello?')
    silent(client)
    client.close()
    wait_for(lambda: pair.proxy.stats()['links'] == 0)
    equal(pair.proxy.stats()['muted'], 1)


def connects(path):
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
        return ''
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        sock.close()


# ---- the oracle ----

def story():
    """An oracle and a parent that agree: two sets, a group, a remove."""
    oracle = Oracle({}, random.Random(1))
    rows = []
    for key, number in (('p1', 1), ('p1', 2), ('g1', 3), ('g2', 4), ('r5', 5), ('r5', 6)):
        value = None if number == 6 else str(number)
        oracle.writes[number] = Write(number, 'two', key, value)
        oracle.writes[number].acked = True
        oracle.acked['two', key] = number
        rows.append(('two', key, value, number if value else None))
    oracle.groups.append([3, 4])
    items = {('two', 'p1'): '2', ('two', 'g1'): '3', ('two', 'g2'): '4'}
    return oracle, rows, items, 6


@test
def the_oracle_finds_each_kind_of_damage(t):
    oracle, rows, items, revision = story()
    one = [('id', 1)]
    equal(oracle.judge(rows, items, revision, one), [])

    def finds(what, rows=rows, items=items, revision=revision, clients=one):
        found = oracle.judge(rows, items, revision, clients)
        assert any(what in problem for problem in found), (what, found)
    finds('applied twice', rows=rows + [('two', 'g1', '3', 7)], revision=7)
    finds('after 2', rows=[rows[1], rows[0]] + rows[2:])
    finds('was never set', rows=rows + [('two', 'p1', '99', 7)], revision=7)
    finds('was never set', rows=rows + [('default', 'p1', '2', 7)], revision=7)
    finds('after inf', rows=rows + [('two', 'r5', '5', 7)], revision=7)
    finds('lost', items=items | {('two', 'p1'): '1'})
    finds('lost', items={k: v for k, v in items.items() if k[1] != 'p1'})
    finds('lost', items=items | {('two', 'r5'): '5'})
    finds('came apart', rows=rows[:3] + rows[4:])
    finds('in pieces', rows=rows[:3] + [('two', 'g2', '4', 9)] + rows[4:])
    finds('a group was lost', rows=rows[:2] + rows[4:])
    finds('revision 7', revision=7)
    finds('client ids', clients=one * 2)
    doubtful = copy.deepcopy(oracle)
    doubtful.writes[2].acked, doubtful.acked['two', 'p1'] = False, 1
    equal(doubtful.judge(rows, items, revision, one), [])


if __name__ == '__main__':
    main()
