# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs under test, as processes of a test."""

import os
import re
import socket
import subprocess
import time

from fakeparent import WireClient
from waiting import SLOW, equal, ms, turn, wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program(name):
    """The path of a program: from the environment, else from a build directory in the tree."""
    path = os.environ.get(name.upper().replace('-', '_'))
    return path or os.path.join(TOP, 'build', 'src', name, name)


SANITIZER = re.compile(r'runtime error:|ERROR: \w+Sanitizer|SUMMARY: \w+Sanitizer|CRITICAL \*\*|'
                       r'\(process:\d+\): .*-(CRITICAL|WARNING)')


class Program:
    """A process whose output goes to a log; it must end with status 0 when told to."""

    def __init__(self, env, name):
        self.env = env
        self.name = name
        self.process = None
        self.log_path = os.path.join(env.dir, '%s-%d.log' % (name, len(env.programs)))
        env.programs.append(self)

    def spawn(self, argv, environ=None, **kwargs):
        log = open(self.log_path, 'ab')
        try:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environ, **kwargs)
        finally:
            log.close()

    def log(self):
        with open(self.log_path, errors='replace') as file:
            return file.read()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, deadline=None):
        """The exit status, which must come by the deadline."""
        end = time.monotonic() + (deadline or 10 * SLOW)
        while self.process.poll() is None:
            if time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                raise AssertionError(self.name + ' does not end')
            turn()
        return self.process.returncode

    def kill9(self):
        """As a crash would: at once."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM, and a clean exit."""
        if self.process is None:
            return
        assert self.alive(), '%s died with status %s' % (self.name, self.process.returncode)
        self.process.terminate()
        status = self.wait()
        self.process = None
        equal(status, 0, 'exit status of ' + self.name)

    def cleanup(self):
        """After the test: nothing runs on. Complaints of sanitizers and GLib fail it."""
        try:
            self.stop()
        finally:
            if self.alive():
                self.kill9()
        if os.path.exists(self.log_path):
            found = SANITIZER.search(self.log())
            assert not found, 'the log of %s has "%s"' % (self.name, found.group(0))


class NotifySocket:
    """What systemd would hear: READY=1, STOPPING=1."""

    def __init__(self, path):
        self.path = path
        if os.path.exists(path):
            os.unlink(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.setblocking(False)
        self.text = ''

    def has(self, line):
        try:
            while True:
                self.text += self.sock.recv(4096).decode() + '\n'
        except BlockingIOError:
            pass
        return line in self.text.splitlines()

    def close(self):
        self.sock.close()


def base_config(address):
    """Short intervals, so that a test of minutes takes moments."""
    return {
        'Parent': {'Address': address, 'RequestTimeout': ms(400), 'BatchTimeout': ms(2000),
                   'DialTimeout': ms(1000)},
        'Heartbeat': {'Interval': ms(1000), 'Timeout': ms(1000)},
        'Reconnect': {'InitialDelay': ms(10), 'MaxDelay': ms(50)},
        'Debounce': {'Delay': ms(5), 'MaxDelay': ms(20)},
    }


def config_text(sections):
    lines = []
    for section, values in sections.items():
        lines.append('[%s]' % section)
        lines += ['%s=%s' % item for item in values.items()]
    return '\n'.join(lines) + '\n'


class Daemon(Program):
    """holdfastd with a state directory and a configuration of its own."""

    def __init__(self, env, conf=None, text=None, args=(), state=None, wrap=(), environ=None):
        super().__init__(env, 'holdfastd')
        self.state = state or os.path.join(env.dir, 'state')
        self.config = os.path.join(env.dir, 'holdfastd-%d.conf' % len(env.programs))
        self.args = list(args)
        self.wrap = list(wrap)
        self.environ = dict(env.environ(), **(environ or {}))
        self.notify = None
        self.configure(conf, text)

    def configure(self, conf=None, text=None):
        """Write the configuration: overrides of the base, or a text as it is."""
        if text is None:
            sections = base_config(self.env.address)
            for section, values in (conf or {}).items():
                sections.setdefault(section, {}).update(values)
            text = config_text(sections)
        with open(self.config, 'w') as file:
            file.write(text)

    def argv(self):
        return self.wrap + [program('holdfastd'), '--user', '--config', self.config,
                            '--state-dir', self.state, '--log-level', 'debug'] + self.args

    def start(self, ready=True, **kwargs):
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        self.notify = NotifySocket(self.config.replace('.conf', '.notify'))
        self.spawn(self.argv(), dict(self.environ, NOTIFY_SOCKET=self.notify.path), **kwargs)
        if ready:
            wait_for(self._is_ready, 'READY=1 of holdfastd', 10 * SLOW)
        return self

    def _is_ready(self):
        assert self.alive(), 'holdfastd ended at start with %s' % self.process.returncode
        return self.notify.has('READY=1')

    def restart(self):
        self.stop()
        return self.start()

    def crash(self):
        """kill -9 and start again."""
        self.kill9()
        return self.start()

    def database(self):
        """The path of the one database in the state directory."""
        found = []
        for root, _, names in os.walk(self.state):
            found += [os.path.join(root, n) for n in names
                      if re.search(r'\.(db|sqlite3?)$', n)]
        equal(len(found), 1, 'databases in the state directory')
        return found[0]


class Parentd(Program):
    """The real holdfast-parentd on the Env's socket."""

    def __init__(self, env, args=()):
        super().__init__(env, 'holdfast-parentd')
        self.args = list(args)
        self.path = env.socket_path
        self.dbpath = os.path.join(env.dir, 'parent.db')

    def start(self):
        self.spawn([program('holdfast-parentd'), '--listen', 'unix:' + self.path,
                    '--database', self.dbpath] + self.args, self.env.environ())
        wait_for(self._is_up, 'the socket of holdfast-parentd')
        return self

    def _is_up(self):
        assert self.alive(), 'holdfast-parentd ended at start: ' + self.log()
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(self.path)
        except OSError:
            return False
        finally:
            sock.close()
        return True

    def client(self):
        """A connection of our own, to look inside."""
        client = WireClient(self.path)
        self.env.closers.append(client.close)
        return client

    def crash(self):
        self.kill9()
        return self.start()
