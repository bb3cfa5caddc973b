# SPDX-License-Identifier: LGPL-2.1-or-later
"""A holdfast-parentd to test and clients for it, with a deadline on everything that waits; and the
list of tests, which the parentd_*.py beside this file fill."""

import contextlib
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback

DEADLINE = 20.0
# What a program under AddressSanitizer needs: where it wraps __tls_get_addr(), the search for leaks
# at the end crashes over threads of GLib's pool, which the handshakes of TLS run on.
SANITIZER = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':intercept_tls_get_addr=0'}
os.environ.update(SANITIZER)
BINARY = sys.argv[1] if len(sys.argv) > 1 else None
TESTS = []


def hexid(n):
    return '%032x' % n


ONE, TWO = hexid(1), hexid(2)


def save(key, value, group=None, area='a'):
    op = {'type': 'saveToParentStorage', 'area': area, 'key': key, 'value': value}
    if group is not None:
        op['group'] = group
    return op


def remove(key, group=None, area='a'):
    op = {'type': 'removeFromParentStorage', 'area': area, 'key': key}
    if group is not None:
        op['group'] = group
    return op


class Closed(Exception):
    """The parent closed the connection."""


class Client:
    """One connection. Lines that were sent before a close are still read after it."""

    def __init__(self, path, client=None):
        self.buffer = b''
        self.requests = 0
        self.socket = self.connect(path)
        self.welcome = self.hello(client) if client else None

    @staticmethod
    def connect(path):
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(DEADLINE)
        connected.connect(path)
        return connected

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def send(self, message):
        self.send_raw(json.dumps(message).encode() + b'\n')

    def receive(self, deadline=DEADLINE):
        until = time.monotonic() + deadline
        while b'\n' not in self.buffer:
            if not self.readable(until - time.monotonic()):
                raise TimeoutError('no line from the parent')
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b''
            if not data:
                raise Closed
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def readable(self, left):
        return left > 0 and select.select([self.socket], [], [], left)[0]

    def ask(self, message, deadline=DEADLINE):
        self.send(message)
        return self.receive(deadline)

    def expect_close(self, deadline=DEADLINE):
        try:
            line = self.receive(deadline)
        except Closed:
            return
        raise AssertionError('a line instead of a close: %r' % line)

    def hello(self, client):
        return self.ask({'type': 'hello', 'protocol': 1, 'client': client, 'features': ['watch']})

    def request_id(self):
        self.requests += 1
        return 'r%d' % self.requests

    def batch_message(self, number, ops, ident=None):
        return {'type': 'batch', 'requestId': self.request_id(), 'batch': number,
                'id': ident or hexid(number), 'ops': ops}

    def batch(self, number, ops, ident=None):
        return self.ask(self.batch_message(number, ops, ident))

    def get(self, key, area='a'):
        return self.ask({'type': 'getFromParentStorage', 'requestId': self.request_id(),
                         'area': area, 'key': key})

    def value(self, key, area='a'):
        return self.get(key, area)['value']

    def single(self, op):
        return self.ask(dict(op, requestId=self.request_id()))

    def ping(self, number=1):
        answer = self.ask({'type': 'ping', 'pingTime': number})
        assert answer == {'type': 'pong', 'pingTime': number}, answer


class Parent:
    """A running holdfast-parentd with its own directory."""

    def __init__(self, binary, directory, args=(), file_limit=None, descriptors=None):
        self.binary = binary
        self.directory = directory
        self.args = list(args)
        self.file_limit = file_limit
        self.descriptors = descriptors
        self.path = os.path.join(directory, 'sock')
        self.database = os.path.join(directory, 'parent.db')
        self.log = os.path.join(directory, 'log')
        self.process = None

    def limit(self):
        if self.file_limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_limit, self.file_limit))
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    def spawn(self):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [self.binary, '--listen', 'unix:' + self.path, '--database', self.database]
                + self.args, stderr=log, preexec_fn=self.limit)

    def connectable(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self.path)
            except OSError:
                return False
        return True

    def start(self):
        self.spawn()
        wait_for(lambda: self.process.poll() is not None or self.connectable())
        if self.process.poll() is not None:
            raise AssertionError('the parent did not start: ' + self.log_text())
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE)

    def stop(self):
        """Return: its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def log_text(self):
        if not os.path.exists(self.log):
            return ''
        with open(self.log, encoding='utf-8') as log:
            return log.read()

    def client(self, client=None):
        return Client(self.path, client)

    def rows(self, sql):
        """Read the database of a parent that is stopped or idle."""
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            rows = database.execute(sql).fetchall()
            database.commit()
        return rows


def wait_for(condition, deadline=DEADLINE):
    until = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError('the condition never came true')
        time.sleep(0.005)


# ---- tests ----

class Skip(Exception):
    """The machine lacks what the test needs."""


def test(function):
    TESTS.append(function)
    return function


class Room:
    """A directory and the parents in it; all is gone at the end."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix='parentd-')
        os.chmod(self.directory, 0o755)
        self.parents = []
        return self

    def __exit__(self, *exc):
        for parent in self.parents:
            if parent.process and parent.process.poll() is None:
                parent.process.kill()
                parent.process.wait()
        shutil.rmtree(self.directory)

    def parent(self, *args, **kwargs):
        parent = Parent(BINARY, self.directory, args, **kwargs)
        self.parents.append(parent)
        return parent

    def start(self, *args, **kwargs):
        return self.parent(*args, **kwargs).start()


def equal(got, wanted):
    assert got == wanted, 'got %r, wanted %r' % (got, wanted)


def is_error(message, kind, request_id=None):
    equal((message['type'], message['class']), ('error', kind))
    equal(message.get('requestId'), request_id)
    assert message['message'], 'an error without a sentence'


def revisions(ack):
    return [result.get('revision', result.get('error')) for result in ack['results']]


def sanitized():
    """Whether the program is one under AddressSanitizer, whose memory says nothing."""
    with open(BINARY, 'rb') as binary:
        return b'__asan_init' in binary.read()


def run_tests():
    """All of them, or those named on the command line. Prints TAP. Return: the exit status."""
    only = sys.argv[2:]
    tests = [function for function in TESTS if not only or function.__name__ in only]
    print('1..%d' % len(tests), flush=True)
    failed = 0
    for number, function in enumerate(tests, 1):
        name = function.__name__.replace('_', ' ')
        try:
            with Room() as room:
                function(room)
                for parent in room.parents:
                    if parent.process.poll() is None:
                        equal(parent.stop(), 0)
                    # Where it was to fail, the exit status does not show it.
                    complaint = re.search('.*(Sanitizer|runtime error|-WARNING|-CRITICAL).*',
                                          parent.log_text())
                    assert not complaint, complaint.group(0) + parent.log_text()
            print('ok %d - %s' % (number, name), flush=True)
        except Skip as why:
            print('ok %d - %s # SKIP %s' % (number, name, why), flush=True)
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            print('not ok %d - %s' % (number, name), flush=True)
    return 1 if failed else 0
