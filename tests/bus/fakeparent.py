# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other end of the wire, under a test's control.

FakeParent is a parent store of wire protocol 1 on a unix socket, in threads of its own. By default
it behaves as the protocol asks. A test bends it by hooks:

    parent.on['batch'] = lambda conn, message: ...

A hook that returns None has done all there is to do (which may be nothing at all); one that returns
DEFAULT lets the polite behaviour follow. hold(type) keeps requests of a type unanswered until
release(type). Everything received is in parent.received, with the time and the connection.

WireClient is the opposite: a small client, to look into a real holdfast-parentd.
"""

import json
import os
import socket
import threading
import time

DEFAULT = object()
MAX_LINE = 64 * 1024 * 1024


class Received:
    """One line that came: its connection, when, and what it said."""

    def __init__(self, conn, message):
        self.conn, self.message, self.at = conn, message, time.monotonic()

    def __getitem__(self, name):
        return self.message[name]

    def get(self, name, default=None):
        return self.message.get(name, default)

    def __repr__(self):
        return '%d:%s' % (self.conn.number, json.dumps(self.message)[:200])


class Conn:
    """One accepted connection."""

    def __init__(self, parent, sock, number):
        self.parent, self.sock, self.number = parent, sock, number
        self.client = None
        self.open = True
        self.opened_at = time.monotonic()
        self.closed_at = None

    def send(self, message):
        """A message as a line, or bytes as they are. The peer may be gone already."""
        data = message if isinstance(message, bytes) else (
            json.dumps(message, ensure_ascii=False).encode() + b'\n')
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def close(self):
        self.open = False
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def reset(self):
        """End it without reading what has come."""
        self.close()


class FakeParent:
    def __init__(self, path, epoch=None, revision=0):
        self.path = path
        self.epoch = epoch or os.urandom(16).hex()
        self.revision = revision
        self.store = {}         # (area, key) → (value, revision)
        self.last = {}          # client → (number, id, results)
        self.applied = []       # (client, number, op) in the order of their effect
        self.received = []      # Received
        self.conns = []
        self.on = {}            # type → hook(conn, message)
        self.held = []          # (conn, message) that wait for release()
        self.holding = set()    # types
        self.throttle = None    # (bytes, seconds): read this much, then rest this long
        self.refuse_ops = {}    # key → (error, message): per-operation results
        self.lock = threading.RLock()
        self.listener = None

    # ---- life ----

    def start(self):
        """Listen (again)."""
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        # Bound under another name first: the file then appears with somebody listening.
        temporary = self.path + '.new'
        if os.path.exists(temporary):
            os.unlink(temporary)
        self.listener.bind(temporary)
        self.listener.listen(64)
        os.rename(temporary, self.path)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """Not there any more: no socket file, all connections closed."""
        if self.listener is not None:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
            self.listener = None
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
        self.drop()

    def drop(self):
        """Close every connection, and go on listening."""
        with self.lock:
            for conn in self.conns:
                conn.close()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                conn = Conn(self, sock, len(self.conns))
                self.conns.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with self.lock:
            hook = self.on.get('accept')
            if hook is not None and hook(conn) is not DEFAULT:
                pass
        buffer = b''
        while True:
            size, rest = self.throttle or (65536, 0)
            if rest:
                time.sleep(rest)
            try:
                data = conn.sock.recv(size)
            except OSError:
                break
            if not data or len(buffer) > MAX_LINE:
                break
            buffer += data
            if b'\n' not in data:
                continue
            lines = buffer.split(b'\n')
            buffer = lines.pop()
            for line in lines:
                self._line(conn, json.loads(line))
        conn.open = False
        conn.closed_at = time.monotonic()
        conn.sock.close()

    def _line(self, conn, message):
        with self.lock:
            if not conn.open:
                return
            self.received.append(Received(conn, message))
            kind = message['type']
            if kind in self.holding:
                self.held.append((conn, message))
                return
            self._answer(conn, message)

    def _answer(self, conn, message):
        kind = message['type']
        hook = self.on.get(kind)
        if hook is not None and hook(conn, message) is not DEFAULT:
            return
        polite = getattr(self, 'do_' + kind, None)
        if polite is not None:
            polite(conn, message)

    # ---- holding back ----

    def hold(self, *kinds):
        with self.lock:
            self.holding.update(kinds)

    def release(self, *kinds):
        """Answer what was held (on connections that are still open), and hold no more."""
        with self.lock:
            self.holding.difference_update(kinds)
            due = [h for h in self.held if h[1]['type'] in kinds]
            self.held = [h for h in self.held if h[1]['type'] not in kinds]
            for conn, message in due:
                if conn.open:
                    self._answer(conn, message)

    # ---- polite behaviour ----

    def do_hello(self, conn, message):
        conn.client = message['client']
        for other in self.conns:
            if other is not conn and other.client == conn.client:
                other.close()
        conn.send(self.welcome(message['client']))

    def welcome(self, client, **changes):
        number = self.last.get(client, (0,))[0]
        return dict({'type': 'welcome', 'protocol': 1, 'epoch': self.epoch, 'lastBatch': number,
                     'features': []}, **changes)

    def do_ping(self, conn, message):
        conn.send({'type': 'pong', 'pingTime': message['pingTime']})

    def do_getFromParentStorage(self, conn, message):
        value, _ = self.store.get((message['area'], message['key']), (None, 0))
        conn.send({'type': 'storageResponse', 'requestId': message['requestId'],
                   'key': message['key'], 'value': value, 'revision': self.revision})

    def do_watch(self, conn, message):
        conn.send({'type': 'watching', 'requestId': message['requestId'], 'area': message['area'],
                   'revision': self.revision, 'gap': False})

    def do_saveToParentStorage(self, conn, message):
        self.apply_op(message)
        conn.send({'type': 'storageAck', 'requestId': message['requestId'],
                   'revision': self.revision})

    do_removeFromParentStorage = do_saveToParentStorage

    def do_batch(self, conn, message):
        conn.send(self.apply_batch(conn.client, message))

    def apply_op(self, op):
        self.revision += 1
        value = op.get('value') if op['type'] == 'saveToParentStorage' else None
        self.store[(op['area'], op['key'])] = (value, self.revision)
        return self.revision

    def apply_batch(self, client, message):
        """Apply it, or know it as a duplicate; the ack."""
        number, ident = message['batch'], message['id']
        last = self.last.get(client, (0, None, None))
        if number <= last[0]:
            ack = self.ack(message, last[2] if number == last[0] else None, duplicate=True)
            return dict(ack, id=last[1] if number == last[0] else ident)
        results = self.apply_ops(client, number, message['ops'])
        self.last[client] = (number, ident, results)
        return self.ack(message, results)

    def apply_ops(self, client, number, ops):
        bad_groups = {op['group'] for op in ops if op.get('group') and op['key'] in self.refuse_ops}
        results = []
        for op in ops:
            if op['key'] in self.refuse_ops:
                error, text = self.refuse_ops[op['key']]
                results.append({'error': error, 'message': text})
            elif op.get('group') in bad_groups:
                results.append({'error': 'rejected', 'message': 'its group was refused'})
            else:
                results.append({'revision': self.apply_op(op)})
                self.applied.append((client, number, op))
        return results

    def ack(self, message, results, duplicate=False):
        ack = {'type': 'batchAck', 'requestId': message['requestId'], 'batch': message['batch'],
               'id': message['id'], 'duplicate': duplicate}
        if results is not None:
            ack['results'] = results
        return ack

    # ---- answers a test may choose ----

    def error(self, message, class_, text='the test says no', **more):
        """An error to a request."""
        return dict({'type': 'error', 'requestId': message['requestId'], 'class': class_,
                     'message': text}, **more)

    # ---- looking ----

    def put(self, key, value, area='default'):
        """As if another client had written it."""
        with self.lock:
            self.revision += 1
            self.store[(area, key)] = (value, self.revision)
            return self.revision

    def value(self, key, area='default'):
        with self.lock:
            return self.store.get((area, key), (None, 0))[0]

    def of(self, *kinds):
        """What was received, of these types."""
        with self.lock:
            return [r for r in self.received if r['type'] in kinds]

    def batches(self):
        return self.of('batch')

    def gets(self, key=None):
        return [r for r in self.of('getFromParentStorage') if key is None or r['key'] == key]

    def keys_applied(self):
        with self.lock:
            return [op['key'] for _, _, op in self.applied]

    def ops_applied(self):
        """(key, value or None) in the order of their effect."""
        with self.lock:
            return [(op['key'], op.get('value')) for _, _, op in self.applied]

    def live(self):
        """The newest connection that is open, or None."""
        with self.lock:
            for conn in reversed(self.conns):
                if conn.open:
                    return conn
            return None


class WireClient:
    """A client of a real parent: hello, get, batch; one request at a time."""

    def __init__(self, path, client=None):
        self.client = client or os.urandom(16).hex()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(path)
        self.file = self.sock.makefile('rwb')
        self.requests = 0
        self.welcome = self.ask({'type': 'hello', 'protocol': 1, 'client': self.client,
                                 'features': []})

    def ask(self, message):
        self.file.write(json.dumps(message).encode() + b'\n')
        self.file.flush()
        line = self.file.readline()
        assert line, 'the parent closed the connection'
        return json.loads(line)

    def get(self, key, area='default'):
        """(value, revision)"""
        self.requests += 1
        answer = self.ask({'type': 'getFromParentStorage', 'requestId': 'r%d' % self.requests,
                           'area': area, 'key': key})
        return answer['value'], answer['revision']

    def value(self, key, area='default'):
        return self.get(key, area)[0]

    def save(self, key, value, area='default'):
        self.requests += 1
        return self.ask({'type': 'saveToParentStorage', 'requestId': 'r%d' % self.requests,
                         'area': area, 'key': key, 'value': value})

    def close(self):
        self.file.close()
        self.sock.close()
