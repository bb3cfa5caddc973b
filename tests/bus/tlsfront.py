# SPDX-License-Identifier: LGPL-2.1-or-later
"""TLS in front of a parent on a unix socket, under a test's control.

A TlsFront listens on a TCP port, speaks TLS as a server and hands what comes out of it to the
parent's unix socket, and back. It sees both sides, so it also keeps what went over the wire. What
it does with a connection is its behaviour, which may be changed at any time for those to come:

    serve    TLS, with the certificate given
    plain    answers as a parent without TLS would: with an error, in clear
    banner   talks first, and no TLS
    silent   takes the connection and does nothing
    close    hangs up as soon as something comes
    cut      hangs up in the middle of the handshake, after its own first bytes
"""

import select
import socket
import ssl
import threading


class Link:
    """One accepted connection."""

    def __init__(self, front, sock):
        self.front, self.sock = front, sock
        self.upstream = None
        self.wire = bytearray()     # as sent, both ways
        self.plain_in = 0           # bytes of the client, decrypted
        self.cut_at = None          # hang up once plain_in is this large
        self.version = None         # of TLS, after the handshake
        self.open = True            # as far as we know

    # ---- raw bytes ----

    def receive(self):
        data = self.sock.recv(65536)
        self.wire += data
        return data

    def send(self, data):
        if data:
            self.wire += data
            self.sock.sendall(data)

    def cut(self):
        """No goodbye."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # ---- behaviours ----

    def run(self):
        try:
            getattr(self, 'do_' + self.front.behaviour)()
        except (OSError, ssl.SSLError) as error:
            self.front.errors.append(error)
        finally:
            self.open = False
            self.sock.close()
            if self.upstream is not None:
                self.upstream.close()

    def do_silent(self):
        while self.receive():
            pass

    def do_close(self):
        self.receive()

    def do_banner(self):
        self.send(b'220 mail.example.org ESMTP\r\n')
        self.do_silent()

    def do_plain(self):
        if self.receive():
            self.send(b'{"type":"error","class":"permanent","message":"this is not JSON"}\n')

    def do_cut(self):
        self.begin_tls()
        self.incoming.write(self.receive())
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.send(self.outgoing.read()[:100])

    def do_serve(self):
        self.begin_tls()
        self.handshake()
        self.connect()
        # What came with the end of the handshake first: no more may follow it.
        more = self.hand_up()
        while more:
            more = self.turn()

    # ---- TLS ----

    def connect(self):
        self.upstream = socket.socket(socket.AF_UNIX)
        self.upstream.connect(self.front.path)

    def begin_tls(self):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.front.context().wrap_bio(self.incoming, self.outgoing, server_side=True)

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send(self.outgoing.read())
            except ssl.SSLError:
                self.send(self.outgoing.read())     # the alert
                raise
            else:
                self.send(self.outgoing.read())
                self.version = self.tls.version()
                return
            data = self.receive()
            if not data:
                raise OSError('the client hung up in the handshake')
            self.incoming.write(data)

    def turn(self):
        ready, _, _ = select.select([self.sock, self.upstream], [], [])
        if self.upstream in ready:
            data = self.upstream.recv(65536)
            if not data:
                self.goodbye()
                return False
            self.tls.write(data)
            self.send(self.outgoing.read())
        return self.sock not in ready or self.from_client()

    def goodbye(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        self.send(self.outgoing.read())

    def from_client(self):
        data = self.receive()
        if not data:
            return False
        self.incoming.write(data)
        return self.hand_up()

    def hand_up(self):
        """Give the parent what the client said. Whether that may go on."""
        while True:
            try:
                text = self.tls.read(65536)
            except ssl.SSLWantReadError:
                return True
            if not text:
                self.front.goodbyes += 1
                return False
            self.plain_in += len(text)
            if self.front.cut_at is not None and self.plain_in >= self.front.cut_at:
                self.front.cut_at = None
                self.cut()
                return False
            self.upstream.sendall(text)


class TlsFront:
    def __init__(self, path, certificate, host='127.0.0.1'):
        self.path = path                # of the parent's socket
        self.certificate = certificate
        self.host = host
        self.behaviour = 'serve'
        self.adjust = lambda context: None      # a last word on the ssl.SSLContext
        self.kept = None                # that context
        self.cut_at = None              # hang up once the client said this many bytes, once
        self.links = []
        self.errors = []
        self.goodbyes = 0               # close_notify heard
        self.buffer = None              # bytes the kernel may take for us
        self.port = 0
        self.listener = None

    def context(self):
        """The same for all connections, so that a client may resume its session."""
        if self.kept is None:
            self.kept = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.kept.load_cert_chain(self.certificate.file, self.certificate.key)
            self.adjust(self.kept)
        return self.kept

    def start(self):
        """Listen, at the same port as before."""
        family = socket.AF_INET6 if ':' in self.host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        self.listener.bind((self.host, self.port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def address(self, host='localhost'):
        return 'tls:%s:%d' % (host, self.port)

    def stop(self):
        if self.listener is not None:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
            self.listener = None
        self.cut()

    def cut(self):
        """End every connection, without a goodbye."""
        for link in self.links:
            if link.open:
                link.cut()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            link = Link(self, sock)
            self.links.append(link)
            threading.Thread(target=link.run, daemon=True).start()

    def wire(self):
        """All that went over the wire, both ways."""
        return b''.join(bytes(link.wire) for link in self.links)


def port_of_nobody():
    """A TCP port at which nothing listens."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]
