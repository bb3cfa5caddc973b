# SPDX-License-Identifier: LGPL-2.1-or-later
"""A parent behind TLS with all that a daemon needs to reach it."""

import hashlib
import os

from certificates import Authority
from fakeparent import DEFAULT
from programs import Parentd
from tlsfront import TlsFront, port_of_nobody

TOKEN = 'open-sesame-7f3a'


class World:
    """An authority, a scripted parent behind TLS that wants TOKEN, and what a daemon needs."""

    def __init__(self, t, names='DNS:localhost', host='127.0.0.1', certificate=None, **validity):
        self.t = t
        self.authority = Authority(os.path.join(t.dir, 'ca'))
        self.ca_file = os.path.join(t.dir, 'trusted.pem')
        self.trust(self.authority.file)
        self.token_file = os.path.join(t.dir, 'token')
        self.write_token(TOKEN)
        self.parent = t.parent()
        self.parent.on['hello'] = self.on_hello
        if certificate is None:
            certificate = self.authority.issue(names, **validity)
        self.front = TlsFront(t.socket_path, certificate, host).start()
        t.closers.append(self.front.stop)

    def on_hello(self, conn, message):
        if message.get('token') == TOKEN:
            return DEFAULT
        conn.send({'type': 'error', 'class': 'auth', 'message': 'this token is not known here'})
        return None

    def replace(self, path, text):
        with open(path + '.new', 'w') as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
        os.rename(path + '.new', path)

    def trust(self, source):
        with open(source) as file:
            self.replace(self.ca_file, file.read())

    def write_token(self, token):
        self.replace(self.token_file, token + '\n')

    def conf(self, host='localhost', **parent):
        settings = {'Address': self.front.address(host), 'TLSCAFile': self.ca_file,
                    'TokenFile': self.token_file}
        settings.update(parent)
        return {'Parent': {k: v for k, v in settings.items() if v is not None}}

    def start(self, conf=None, **kwargs):
        """A daemon with this configuration; a client."""
        self.daemon = self.t.daemon(self.conf() if conf is None else conf, **kwargs)
        self.client = self.t.client()
        return self.client

    def dials(self):
        return len(self.front.links)

    def hellos(self):
        return len(self.parent.of('hello'))


class TlsParentd(Parentd):
    """The real holdfast-parentd, on TLS and on its unix socket."""

    def __init__(self, t, certificate):
        self.port = port_of_nobody()
        self.tokens = os.path.join(t.dir, 'tokens')
        self.admit(TOKEN)
        super().__init__(t, ['--listen', 'tls:127.0.0.1:%d' % self.port,
                             '--tls-cert', certificate.file, '--tls-key', certificate.key,
                             '--tokens', self.tokens])
        self.address = 'tls:localhost:%d' % self.port

    def admit(self, token):
        digest = hashlib.sha256(token.encode()).hexdigest()
        with open(self.tokens + '.new', 'w') as file:
            file.write('# who may come\n\nsha256:%s anne\n' % digest)
        os.rename(self.tokens + '.new', self.tokens)
