# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the bus tests stand on: a private bus, real programs, a scripted parent, a D-Bus client.

A test file imports everything from here, decorates functions with @test and ends with main(). Each
function gets an Env of its own: a temporary directory and factories for daemons, parents and
clients, all of which are ended (and the daemon's clean exit checked) after it. The bus is one per
file. Output is TAP.

Nothing sleeps to make time pass: wait_for() turns the main loop until a condition holds or a
deadline passes. Only never(), which shows that something does not happen, watches for a short while.

Environment: HOLDFASTD, HOLDFAST_PARENTD, HOLDFASTCTL name the programs; HOLDFAST_TEST_SLOW
stretches every deadline and every configured interval (for sanitizers); HOLDFAST_TEST_BUS=dbus-broker
asks for that kind of bus (privatebus.py).
"""

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

import gi
gi.require_version('Gio', '2.0')
from gi.repository import GLib  # noqa: E402, F401

from busclient import *  # noqa: E402, F401, F403
from busclient import Bus, Client  # noqa: E402
from fakeparent import DEFAULT, FakeParent, WireClient  # noqa: E402, F401
from programs import *  # noqa: E402, F401, F403
from programs import Daemon, Parentd  # noqa: E402
from waiting import *  # noqa: E402, F401, F403


class Env:
    """Everything one test uses; cleanup() ends it all."""

    def __init__(self, bus):
        self.bus = bus
        self.dir = tempfile.mkdtemp(prefix='hf-')
        self.socket_path = os.path.join(self.dir, 'parent.sock')
        self.address = 'unix:' + self.socket_path
        self.programs = []
        self.parents = []
        self.closers = []
        for name in ('run', 'home', 'xdg-state', 'xdg-config'):
            os.mkdir(os.path.join(self.dir, name), 0o700)

    def environ(self):
        result = {k: v for k, v in os.environ.items()
                  if k in ('PATH', 'LANG', 'LC_ALL') or k.endswith('SAN_OPTIONS')}
        result.update(DBUS_SESSION_BUS_ADDRESS=self.bus.address,
                      XDG_RUNTIME_DIR=os.path.join(self.dir, 'run'),
                      XDG_STATE_HOME=os.path.join(self.dir, 'xdg-state'),
                      XDG_CONFIG_HOME=os.path.join(self.dir, 'xdg-config'),
                      HOME=os.path.join(self.dir, 'home'), G_DEBUG='')
        return result

    def daemon(self, conf=None, **kwargs):
        """A holdfastd that is up."""
        return Daemon(self, conf, **kwargs).start()

    def parent(self, **kwargs):
        """A scripted parent that listens."""
        parent = FakeParent(self.socket_path, **kwargs)
        self.parents.append(parent)
        return parent.start()

    def parentd(self, *args):
        return Parentd(self, args).start()

    def client(self):
        client = Client(self.bus)
        self.closers.append(client.close)
        return client

    def connected(self, conf=None, **kwargs):
        """A scripted parent, a daemon connected to it, a client."""
        parent = self.parent(**kwargs)
        daemon = self.daemon(conf)
        client = self.client()
        client.monitor.state_is('connected')
        return parent, daemon, client

    def offline(self, conf=None):
        """A daemon whose parent is not there (and which knows), a client."""
        daemon = self.daemon(conf)
        client = self.client()
        client.monitor.state_is('disconnected')
        return daemon, client

    def cleanup(self):
        """The scripted parents go first: no daemon then waits for them to take its queue."""
        errors = []
        for parent in self.parents:
            parent.stop()
        for program_ in reversed(self.programs):
            try:
                program_.cleanup()
            except AssertionError as error:
                errors.append(str(error))
        for close in self.closers:
            close()
        assert not errors, '; '.join(errors)

    def logs(self):
        return [(p.name, p.log()) for p in self.programs if os.path.exists(p.log_path)]


# ---- TAP ----

class Skip(Exception):
    """Raised by a test that cannot run here; says why."""


_tests = []


def test(function):
    _tests.append(function)
    return function


def skip_all(why):
    """Skip the whole file."""
    print('1..0 # SKIP ' + why)
    sys.exit(0)


def need_root():
    """Skip the whole file where the tests cannot become other users."""
    if os.geteuid() != 0:
        skip_all('only root can be several users')


def diag(text):
    for line in text.rstrip('\n').split('\n'):
        print('# ' + line[:400])
    sys.stdout.flush()


def _run(bus, make_env, function):
    """One test: None, or why it failed. Skip passes through."""
    env = make_env(bus)
    failure = None
    try:
        function(env)
    except Skip:
        env.cleanup()
        shutil.rmtree(env.dir, ignore_errors=True)
        raise
    except Exception:
        failure = traceback.format_exc()
    try:
        env.cleanup()
    except Exception as error:
        failure = (failure or '') + 'cleanup: %s\n' % error
    if failure:
        for name, log in env.logs():
            failure += '---- log of %s (end)\n%s\n' % (name, '\n'.join(log.split('\n')[-60:]))
    shutil.rmtree(env.dir, ignore_errors=True)
    return failure


def main(make_bus=Bus, make_env=Env):
    """Run the file's tests, or those whose name has one of the arguments in it."""
    chosen = [t for t in _tests
              if len(sys.argv) < 2 or any(a in t.__name__ for a in sys.argv[1:])]
    bus = make_bus()
    bad = 0
    print('1..%d' % len(chosen))
    try:
        for number, function in enumerate(chosen, 1):
            name = function.__name__.replace('_', ' ')
            began = time.monotonic()
            try:
                failure = _run(bus, make_env, function)
            except Skip as skip:
                print('ok %d - %s # SKIP %s' % (number, name, skip))
                continue
            print('%sok %d - %s' % ('not ' if failure else '', number, name))
            if failure:
                bad += 1
                diag(failure)
            elif os.environ.get('HOLDFAST_TEST_TIMES'):
                diag('%.2f s' % (time.monotonic() - began))
            sys.stdout.flush()
    finally:
        bus.stop()
    sys.exit(1 if bad else 0)


# A test that hangs must show where.
if hasattr(signal, 'SIGUSR1'):
    import faulthandler
    faulthandler.register(signal.SIGUSR1)
