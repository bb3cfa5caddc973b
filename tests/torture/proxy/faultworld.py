# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon, the real parent, and the fault proxy between them."""

import os
import re
import select
import sqlite3
import subprocess
import tempfile
import time

from certificates import Authority
from harness import Env
from programs import SANITIZER, Daemon, Parentd, config_text
from tlsworld import TOKEN, TlsParentd
from tlsfront import port_of_nobody
from waiting import SLOW, ms, wait_for

# What a daemon is told beside its parent's address: nothing, or to be quicker.
SHIPPED = {}
SHORT = {
    'Parent': {'RequestTimeout': ms(300), 'BatchTimeout': ms(1500), 'DialTimeout': ms(600)},
    'Heartbeat': {'Interval': ms(500), 'Timeout': ms(500)},
    'Retry': {'InitialDelay': ms(20), 'MaxDelay': ms(200)},
    'Reconnect': {'InitialDelay': ms(10), 'MaxDelay': ms(300)},
    'Debounce': {'Delay': ms(10), 'MaxDelay': ms(50)},
    'Cache': {'TTL': ms(200)},
}


class Proxy:
    """The program fault-proxy, told what to do by ask()."""

    name = 'fault-proxy'

    def __init__(self, env, listen, parent, seed):
        self.log_path = os.path.join(env.dir, 'fault-proxy.log')
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                [os.environ['HOLDFAST_FAULT_PROXY'], listen, parent, str(seed % 2 ** 32)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0)
        env.programs.append(self)
        self.buffer = b''
        self._answer('its start')

    def _answer(self, command):
        """The answer's line without "ok "."""
        end = time.monotonic() + 10 * SLOW
        while b'\n' not in self.buffer:
            left = max(0, end - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], left)
            assert ready, 'the proxy does not answer to ' + command
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, 'the proxy ended at %s: %s' % (command, self.log())
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        word, _, rest = line.decode().partition(' ')
        assert word == 'ok', '%s: %s' % (command, line.decode())
        return rest

    def ask(self, command):
        """To how many connections it was done."""
        self.process.stdin.write(command.encode() + b'\n')
        return int(self._answer(command))

    def stats(self):
        self.process.stdin.write(b'stats\n')
        return {name: int(value) for name, value in
                (pair.split('=') for pair in self._answer('stats').split())}

    def log(self):
        with open(self.log_path, errors='replace') as file:
            return file.read()

    def cleanup(self):
        """It ends with its input, well."""
        self.process.stdin.close()
        try:
            status = self.process.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError('the proxy does not end') from None
        self.process.stdout.close()
        found = SANITIZER.search(self.log())
        assert status == 0 and not found, 'the proxy ended with %d: %s' % (status, self.log())


class FaultWorld(Env):
    """An Env whose daemon has only the proxy to talk to; TLS passes through it as it is."""

    authorities = {}    # one for all worlds of this process

    def __init__(self, bus, seed=1, tls=False):
        super().__init__(bus)
        if tls:
            self.parent_process = TlsParentd(self, self.certificate())
            # Unix too: to see that it is up, and to look inside.
            at = 'tcp:127.0.0.1:%d' % port_of_nobody()
            to = 'tcp:127.0.0.1:%d' % self.parent_process.port
            self.address = 'tls:localhost:' + at.rsplit(':', 1)[1]
        else:
            self.parent_process = Parentd(self)
            at = self.address = 'unix:' + os.path.join(self.dir, 'proxy.sock')
            to = 'unix:' + self.socket_path
        self.tls = tls
        self.parent_process.start()
        self.proxy = Proxy(self, at, to, seed)
        self.daemon_process = None

    def certificate(self):
        if 'ca' not in self.authorities:
            directory = tempfile.TemporaryDirectory(prefix='hf-ca-')
            authority = Authority(os.path.join(directory.name, 'ca'))
            self.authorities.update(ca=authority, dir=directory,
                                    certificate=authority.issue('DNS:localhost'))
        return self.authorities['certificate']

    def config(self, settings):
        """The text: the parent's address and what @settings say, and no more."""
        sections = {'Parent': {'Address': self.address}}
        if self.tls:
            token = os.path.join(self.dir, 'token')
            with open(token, 'w', opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(TOKEN + '\n')
            sections['Parent'].update(TLSCAFile=self.authorities['ca'].file, TokenFile=token)
        for section, values in settings.items():
            sections.setdefault(section, {}).update(values)
        return config_text(sections)

    def begin(self, settings):
        """A daemon that is connected; a client."""
        self.daemon_process = Daemon(self, text=self.config(settings)).start()
        client = self.client()
        client.monitor.state_is('connected', 15 * SLOW)
        return client


class Audit:
    """What the parent did, as its own database tells: every write and remove in its order.

    Triggers, added to the database of the running parent, write it down in the transaction of the
    write itself.
    """

    SQL = '''
        CREATE TABLE audit (number INTEGER PRIMARY KEY, area TEXT, key TEXT, value TEXT,
                            revision INTEGER);
        CREATE TRIGGER audit_set AFTER INSERT ON item BEGIN
            INSERT INTO audit (area, key, value, revision)
                VALUES (NEW.area, NEW.key, NEW.value, NEW.revision);
        END;
        CREATE TRIGGER audit_remove AFTER DELETE ON item BEGIN
            INSERT INTO audit (area, key) VALUES (OLD.area, OLD.key);
        END;
    '''

    def __init__(self, path):
        self.path = path
        self._run(lambda db: db.executescript(self.SQL))

    def _run(self, action):
        db = sqlite3.connect(self.path, timeout=10 * SLOW)
        try:
            return action(db)
        finally:
            db.close()

    def rows(self):
        """(area, key, value or None, revision or None), first to last."""
        return self._run(lambda db: db.execute(
            'SELECT area, key, value, revision FROM audit ORDER BY number').fetchall())

    def items(self):
        """(area, key) → value, as it is now."""
        return self._run(lambda db: {(area, key): value for area, key, value in db.execute(
            'SELECT area, key, value FROM item')})

    def revision(self):
        return self._run(lambda db: db.execute('SELECT revision FROM store').fetchone()[0])

    def clients(self):
        """(client, its last batch)"""
        return self._run(lambda db: db.execute('SELECT client, batch FROM client').fetchall())


def tail(log, lines):
    """The end of a log without what the heartbeat says."""
    kept = [line for line in log.split('\n') if not re.search(r'\bping\b', line)]
    return '\n'.join(kept[-lines:])


def settled(client, areas):
    """Whether the daemon is connected and has nothing left to send."""
    return client.monitor.get('State') == 'connected' and \
        all(area.get('QueueSize') == 0 for area in areas)


def wait_settled(client, areas, deadline):
    """Seconds it took."""
    began = time.monotonic()
    wait_for(lambda: settled(client, areas), 'State connected and an empty queue', deadline)
    return time.monotonic() - began
