# SPDX-License-Identifier: LGPL-2.1-or-later
"""A holdfast-parentd that listens on TLS, its certificates made on the spot, and clients for it."""

import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess

from parentd_client import BINARY, DEADLINE, Client, Closed, Parent, wait_for

ANNE, BERT = 'token of anne', 'token of bert'


def token_hash(token):
    return hashlib.sha256(token.encode()).hexdigest()


def token_line(token, principal):
    return 'sha256:%s %s\n' % (token_hash(token), principal)


def make_pair(certificate, key, name='localhost', days=2):
    """A self-signed certificate, which is its own CA."""
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', certificate,
                    '-days', str(days), '-subj', '/CN=' + name,
                    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def expire(certificate, key):
    """Make @certificate anew for @key, of a time that is over."""
    directory = os.path.dirname(certificate)
    config = directory + '/ca.conf'
    request = directory + '/request.pem'
    write(directory + '/index', '')
    write(config, '[ca]\ndefault_ca=x\n[x]\ndatabase=%s/index\nnew_certs_dir=%s\n'
          'default_md=sha256\nrand_serial=yes\npolicy=p\n[p]\ncommonName=supplied\n' %
          (directory, directory))
    for command in (['req', '-new', '-key', key, '-subj', '/CN=localhost', '-out', request],
                    ['ca', '-batch', '-selfsign', '-config', config, '-keyfile', key,
                     '-in', request, '-out', certificate, '-startdate', '20200101000000Z',
                     '-enddate', '20200102000000Z', '-notext']):
        subprocess.run(['openssl'] + command, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


def write(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def write_over(path, text):
    """As careful programs do it: a new file renamed over the old."""
    write(path + '.new', text)
    os.rename(path + '.new', path)


class TlsClient(Client):
    """A connection over TLS, from the address @source; its hello carries the token."""

    def __init__(self, parent, client=None, token=ANNE, port=None, host='127.0.0.1',
                 context=None, source=None):
        self.source = source
        self.context = context or ssl.create_default_context(cafile=parent.certificate)
        self.token = token
        super().__init__((host, port or parent.port()), client)

    def connect(self, path):
        connected = socket.create_connection(path, DEADLINE, self.source and (self.source, 0))
        try:
            return self.context.wrap_socket(connected, server_hostname='localhost',
                                            suppress_ragged_eofs=False)
        except (ConnectionResetError, ssl.SSLError):
            connected.close()
            raise

    def readable(self, left):
        return self.socket.pending() or super().readable(left)

    def receive(self, deadline=DEADLINE):
        try:
            return super().receive(deadline)
        except ssl.SSLEOFError:
            raise Closed from None

    def hello(self, client):
        message = {'type': 'hello', 'protocol': 1, 'client': client, 'features': []}
        if self.token is not None:
            message['token'] = self.token
        return self.ask(message)

    def serial(self):
        return self.socket.getpeercert()['serialNumber']


class TlsParent(Parent):
    """A parent on a unix socket and on a free port of 127.0.0.1."""

    def __init__(self, binary, directory, args=(), tokens='', listen=('tls:127.0.0.1:0',),
                 **kwargs):
        super().__init__(binary, directory, args, **kwargs)
        self.certificate = os.path.join(directory, 'cert.pem')
        self.key = os.path.join(directory, 'key.pem')
        self.tokens = os.path.join(directory, 'tokens')
        if not os.path.exists(self.key):
            make_pair(self.certificate, self.key)
            write(self.tokens, tokens)
        self.addresses = len(listen)
        for address in listen:
            self.args += ['--listen', address]
        self.args += ['--tls-cert', self.certificate, '--tls-key', self.key,
                      '--tokens', self.tokens]

    def start(self):
        before = len(self.ports())
        super().start()
        wait_for(lambda: len(self.ports()) >= before + self.addresses)
        return self

    def ports(self):
        return [int(port) for port in re.findall(r'Listening on tls:\S+:(\d+)\.',
                                                 self.log_text())]

    def port(self):
        return self.ports()[-1]

    def tls(self, client=None, token=ANNE, **kwargs):
        return TlsClient(self, client, token, **kwargs)

    def hang_up_signal(self):
        self.process.send_signal(signal.SIGHUP)

    def wait_for_log(self, text, times=1):
        wait_for(lambda: self.log_text().count(text) >= times)

    def reload_tokens(self, text, how=write):
        before = self.log_text().count('are in force: ')
        how(self.tokens, text)
        self.wait_for_log('are in force: ', before + 1)


def start(room, tokens=None, **kwargs):
    """Return: a running parent that knows anne and bert, or whom @tokens say."""
    if tokens is None:
        tokens = token_line(ANNE, 'anne') + token_line(BERT, 'bert')
    parent = TlsParent(BINARY, room.directory, tokens=tokens, **kwargs)
    room.parents.append(parent)
    return parent.start()
