# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the boot tests stand on.

A test file imports everything from here, decorates functions with @test and ends with main(). Run
on the host, it boots a machine and runs itself in there (machine.py); run in the machine, it
installs holdfast and runs the tests, in their order: they share the machine, and each begins with it
as the installation left it. Output is TAP; note() adds what a command really said.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback

import machine

BUILD = os.environ.get('HOLDFAST_BUILD', os.path.join(machine.TOP, 'build', 'plain'))
NAME = 'org.holdfast1'
ROOT = '/org/holdfast1'
UNITS = ('holdfastd.service', 'holdfast-parent.socket', 'holdfast-parent.service')
_numbers = itertools.count(1)
USERS = {'anna': 4201, 'bert': 4202}        # two ordinary users
FOREVER = str(2 ** 64 - 1)


# ---- commands ----

class Failed(AssertionError):
    """A command that ended with another status than wanted."""


class Done:
    """A command that has ended."""

    def __init__(self, argv, done):
        self.argv, self.status = argv, done.returncode
        self.out, self.err = done.stdout, done.stderr
        self.all = (done.stdout + done.stderr).strip()

    def __str__(self):
        return '$ %s\n%s\n(status %d)' % (' '.join(self.argv), self.all, self.status)


def attempt(*argv, env=None, **kwargs):
    """Run a command, however it ends."""
    environ = dict(os.environ, LC_ALL='C.UTF-8', SYSTEMD_PAGER='', SYSTEMD_COLORS='0',
                   **(env or {}))
    return Done(argv, subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, timeout=60, env=environ,
                                     **kwargs))


def sh(*argv, **kwargs):
    """Run a command that must succeed; what it printed."""
    done = attempt(*argv, **kwargs)
    if done.status != 0:
        raise Failed(str(done))
    return done.out.strip()


def fails(*argv, says=None, **kwargs):
    """Run a command that must fail, and say something; all its output."""
    done = attempt(*argv, **kwargs)
    assert done.status != 0, 'succeeded, and should not:\n%s' % done
    assert says is None or says in done.all, 'does not say %r:\n%s' % (says, done)
    return done.all


def as_user(user, *argv):
    """The command line that runs another as an ordinary user, outside any session."""
    return ('setpriv', '--reuid', user, '--regid', user, '--init-groups', '--no-new-privs',
            'env', '-i', 'PATH=/usr/bin:/bin', 'LC_ALL=C.UTF-8', 'HOME=/home/' + user, *argv)


def on_user_bus(user, *argv):
    """The command line that runs another as a user with their own bus and systemd at hand."""
    runtime = '/run/user/%d' % USERS[user]
    return as_user(user, 'XDG_RUNTIME_DIR=' + runtime,
                   'DBUS_SESSION_BUS_ADDRESS=unix:path=%s/bus' % runtime, *argv)


def in_session(user, *argv):
    """The command line that runs another as a service of the user's own systemd."""
    return on_user_bus(user, 'systemd-run', '--user', '--quiet', '--pipe', '--wait', '--collect',
                       '--', *argv)


def in_app(user, app, *argv):
    """The command line that runs another as Flatpak would run it as an app."""
    return in_session(user, 'systemd-run', '--user', '--quiet', '--scope', '--collect',
                      '--unit=app-flatpak-%s-%d.scope' % (app, next(_numbers)), *argv)


# ---- holdfast over busctl ----

def call_argv(member, *args, path=ROOT, interface='Storage', bus='--system'):
    """The busctl command line of a call: arguments are a signature and words."""
    return ('busctl', bus, 'call', NAME, path, NAME + '.' + interface, member, *args)


def call(member, *args, caller=(), **kwargs):
    """A call; what busctl printed of the reply. caller: as_user() and its like, default root."""
    return sh(*caller, *call_argv(member, *args, **kwargs))


def call_fails(error, member, *args, caller=(), **kwargs):
    """A call that must be answered with this error; its sentence."""
    return fails_with(error, *caller, *call_argv(member, *args, **kwargs))


def fails_with(error, *argv):
    """A command line that ends in one of busctl; the reply must be this error (or one of these)."""
    at = argv.index('busctl')       # as_user() empties the environment
    done = attempt(*argv[:at], 'env', 'SYSTEMD_LOG_LEVEL=debug', *argv[at:])
    assert done.status != 0, 'succeeded, and should not:\n%s' % done
    # busctl prints the sentence alone; what it logs has the name.
    got = re.findall(r'error-name=(\S+)', done.err)
    wanted = [e if '.' in e else NAME + '.Error.' + e
              for e in ((error,) if isinstance(error, str) else error)]
    assert got and got[-1] in wanted, 'got error %s, wanted %s:\n%s' % (got, wanted, done)
    return re.search(r'^(?:Call failed|Failed to .*): (.*)', done.err, re.M).group(1)


def answer(member, *args, caller=(), **kwargs):
    """A call's reply as a value."""
    argv = list(call_argv(member, *args, **kwargs))
    argv.insert(1, '--json=short')
    data = json.loads(sh(*caller, *argv))['data']
    return data[0] if len(data) == 1 else data


def prop(name, interface='Monitor', path=ROOT, bus='--system', caller=()):
    """A property as a value."""
    return json.loads(sh(*caller, 'busctl', bus, '--json=short', 'get-property', NAME, path,
                         NAME + '.' + interface, name))['data']


def queue(**kwargs):
    """The caller's queue: (serial, key) pairs."""
    return [(row[0], row[2]) for row in answer('ListQueue', **kwargs)]


def value(key, source='any', **kwargs):
    """What GetItemFull says: the value and its source."""
    text, info = answer('GetItemFull', 'sa{sv}', key, '1', 'source', 's', source, **kwargs)
    return text, info['source']['data']


def nodes(path, bus='--system', caller=()):
    """The names of the nodes below an object, as the caller is told."""
    xml = sh(*caller, 'busctl', bus, 'introspect', '--xml-interface', NAME, path)
    return sorted(re.findall(r'<node name="([^"]+)"', xml))


# ---- waiting ----

def wait_for(condition, what, deadline=20):
    """Poll until condition() is true; its value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, 'waited in vain for ' + what
        time.sleep(0.02)


def equal(got, wanted, what=''):
    assert got == wanted, '%sgot %r, wanted %r' % (what and what + ': ', got, wanted)


# ---- units ----

def show(unit, name, *args):
    """A property of a unit."""
    return sh('systemctl', *args, 'show', '--value', '--property', name, unit)


def main_pid(unit='holdfastd.service'):
    return int(show(unit, 'MainPID'))


def is_active(unit):
    return attempt('systemctl', 'is-active', unit).out.strip() == 'active'


def entries(unit, *matches):
    """What the journal has of a unit since the test began, as dicts."""
    out = sh('journalctl', '--no-pager', '--output=json', '--since=@%.6f' % _began,
             '_SYSTEMD_UNIT=' + unit, *matches)
    return [json.loads(line) for line in out.split('\n') if line]


def drop_in(unit, text):
    """Add to a unit until the end of the test."""
    where = '/run/systemd/system/%s.d' % unit
    os.makedirs(where, exist_ok=True)
    with open(where + '/boot-test.conf', 'w') as file:
        file.write(text)
    sh('systemctl', 'daemon-reload')


def configure(text):
    """holdfastd's configuration until the end of the test."""
    os.makedirs('/etc/holdfast/holdfastd.conf.d', exist_ok=True)
    with open('/etc/holdfast/holdfastd.conf.d/50-test.conf', 'w') as file:
        file.write(text)


def offline():
    """No parent, and nothing that starts one. (The daemon's unit wants its socket.)"""
    sh('systemctl', 'mask', '--runtime', '--now', 'holdfast-parent.socket')
    sh('systemctl', 'stop', 'holdfast-parent.service')


def online():
    attempt('systemctl', 'unmask', '--runtime', 'holdfast-parent.socket')
    sh('systemctl', 'start', 'holdfast-parent.socket')


def fresh():
    """As after the installation: nothing runs but the parent's socket, nothing is stored."""
    sh('systemctl', 'stop', *UNITS)
    shutil.rmtree('/etc/holdfast', ignore_errors=True)
    for unit in UNITS:
        shutil.rmtree('/run/systemd/system/%s.d' % unit, ignore_errors=True)
    for path in ('/var/lib/holdfast', '/var/lib/holdfast-parent'):
        shutil.rmtree(path, ignore_errors=True)
    sh('systemctl', 'daemon-reload')
    attempt('systemctl', 'reset-failed', *UNITS)
    online()


def install():
    """Put holdfast on this machine."""
    with open(os.path.join(BUILD, 'meson-info', 'intro-buildoptions.json')) as file:
        options = {o['name']: o['value'] for o in json.load(file)}
    if options['prefix'] != '/usr':
        sh('meson', 'configure', '-Dprefix=/usr', BUILD)
        sh('ninja', '-C', BUILD)
    return sh('meson', 'install', '--no-rebuild', '-C', BUILD)


def add_users():
    for name, uid in USERS.items():
        sh('useradd', '--create-home', '--uid', str(uid), '--user-group', name)


def start_user_manager(name):
    """A user's own systemd, as lingering or a login starts it."""
    sh('loginctl', 'enable-linger', name)
    uid = USERS[name]
    wait_for(lambda: is_active('user@%d.service' % uid) and
             os.path.exists('/run/user/%d/bus' % uid), 'the user manager of ' + name)


# ---- TAP ----

_tests = []
_began = 0.0         # wall clock, when the running test began


def test(function):
    _tests.append(function)
    return function


def note(text):
    """A diagnostic: what was really seen."""
    for line in str(text).rstrip('\n').split('\n'):
        print('#   ' + line[:300])
    sys.stdout.flush()


def report(number, title, failure):
    print('%sok %d - %s' % ('not ' if failure else '', number, title), flush=True)
    if failure:
        note(failure)


def outcome(function, before):
    """One test: None, or why it failed with what the units said."""
    global _began
    _began = time.time()
    try:
        if before:
            before()
        function()
        return None
    except Exception:
        journal = attempt('journalctl', '--no-pager', '-o', 'short-monotonic', '-n', '60',
                          '--since', '@%.6f' % _began, '_COMM=holdfastd', '+',
                          '_COMM=holdfast-parent', '+', '_COMM=busctl', '+', '_PID=1').out
        return traceback.format_exc() + '---- journal\n' + journal


def run_here(setup, before):
    chosen = [t for t in _tests
              if len(sys.argv) < 2 or any(a in t.__name__ for a in sys.argv[1:])]
    print('1..%d' % len(chosen), flush=True)
    setup()
    bad = 0
    for number, function in enumerate(chosen, 1):
        began = time.monotonic()
        failure = outcome(function, before)
        note('%.2f s' % (time.monotonic() - began))
        report(number, function.__name__.replace('_', ' '), failure)
        bad += failure is not None
    return 1 if bad else 0


def main(setup=install, before=fresh):
    """Run the file's tests, or those whose name has one of the arguments in it. setup() runs once
    in the machine, before() before each test."""
    if 'HOLDFAST_IN_MACHINE' in os.environ:
        sys.exit(run_here(setup, before))
    sys.exit(machine.run(sys.argv[0]))
