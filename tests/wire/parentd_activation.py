# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd started by its sockets, as systemd does it, and what it tells systemd."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time

from parentd_client import (BINARY, DEADLINE, ONE, SANITIZER, TWO, Client, Skip, equal, remove,
                            save, test, wait_for)
from parentd_tls import TlsClient, start

ACTIVATE = 'systemd-socket-activate'


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Activated:
    """The parent behind systemd-socket-activate, which becomes it at the first connection."""

    def __init__(self, room, listen, *args):
        if not shutil.which(ACTIVATE):
            raise Skip('%s is not there; it comes with systemd' % ACTIVATE)
        self.log = room.directory + '/activated.log'
        command = [ACTIVATE, '-E', 'ASAN_OPTIONS']
        for address in listen:
            command += ['-l', address]
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                command + [BINARY, '--database', room.directory + '/activated.db', *args],
                env={'PATH': os.environ['PATH'], **SANITIZER}, stderr=log)
        wait_for(lambda: self.text().count('Listening on ') >= len(listen))

    def text(self):
        with open(self.log, encoding='utf-8', errors='replace') as log:
            return log.read()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


@test
def activated_by_unix_sockets(room):
    """Two of them, and no XDG_RUNTIME_DIR."""
    paths = [room.directory + '/one', room.directory + '/two']
    with Activated(room, paths) as parent:
        Client(paths[0], ONE).batch(1, [save('k', 'v')])
        equal(Client(paths[1], TWO).value('k'), 'v')
        assert 'sockets: 2' in parent.text(), parent.text()
        equal(parent.stop(), 0)
        assert os.path.exists(paths[0])


@test
def activated_by_tcp_and_unix(room):
    made = start(room)
    made.stop()
    path, port = room.directory + '/one', free_port()
    with Activated(room, [path, '127.0.0.1:%d' % port], '--tls-cert', made.certificate,
                   '--tls-key', made.key, '--tokens', made.tokens) as parent:
        TlsClient(made, ONE, port=port).batch(1, [save('k', 'v')])
        equal(TlsClient(made, TWO, port=port).value('k'), 'v')
        equal(Client(path, ONE).value('k'), None)
        equal(parent.stop(), 0)


@test
def tcp_without_a_certificate_is_no_start(room):
    port = free_port()
    with Activated(room, ['127.0.0.1:%d' % port]) as parent:
        socket.create_connection(('127.0.0.1', port)).close()
        equal(parent.process.wait(DEADLINE), 1)
        assert '--tls-cert, --tls-key and --tokens' in parent.text(), parent.text()


@test
def a_datagram_socket_is_no_start(room):
    pid = os.fork()
    if pid == 0:
        handed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        handed.bind(('127.0.0.1', 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(handed.fileno(), 3)
        os.set_inheritable(3, True)
        os.execve(BINARY, [BINARY, '--database', room.directory + '/db'],
                  {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid()), **SANITIZER})
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 1)


class Notified:
    """A parent with a socket to notify."""

    def __init__(self, room, watchdog='', file_limit=None):
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(room.directory + '/notify')
        self.notify.settimeout(DEADLINE)
        self.path = room.directory + '/sock'

        def limit():
            if file_limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        self.process = subprocess.Popen(
            [BINARY, '--database', room.directory + '/db', '--listen', 'unix:' + self.path],
            env={'NOTIFY_SOCKET': room.directory + '/notify', 'WATCHDOG_USEC': watchdog,
                 **SANITIZER}, stderr=subprocess.DEVNULL, preexec_fn=limit)

    def until(self, wanted):
        """Return: all it said, up to what has @wanted in it."""
        seen = []
        end = time.monotonic() + DEADLINE
        while not any(wanted in message for message in seen):
            assert time.monotonic() < end, 'no %r in %r' % (wanted, seen)
            seen.append(self.notify.recv(1000).decode())
        return seen

    def __enter__(self):
        equal(self.until('READY=1')[0], 'READY=1')
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.notify.close()


@test
def status_and_watchdog(room):
    with Notified(room, watchdog='200000') as parent:
        for _ in range(4):
            parent.until('WATCHDOG=1')
        clients = [Client(parent.path, ONE), Client(parent.path, TWO)]
        parent.until('STATUS=Connections: 2.')
        clients.pop().close()
        parent.until('STATUS=Connections: 1.')
        parent.process.send_signal(signal.SIGTERM)
        parent.until('STOPPING=1')
        equal(parent.process.wait(DEADLINE), 0)


@test
def status_tells_a_full_disk(room):
    """The limit on the size of files stands for it."""
    with Notified(room, file_limit=3 << 20) as parent:
        client = Client(parent.path, ONE)
        number = 0
        while number < 100:
            number += 1
            ops = [save('k%d-%d' % (number, i), 'v' * 500) for i in range(1000)]
            if client.batch(number, ops)['type'] == 'error':
                break
        print('# ' + parent.until('Connections: 1. The last commit failed: ')[-1])
        client.batch(number, [remove('k1-%d' % i) for i in range(10)])
        parent.until('STATUS=Connections: 1.')
