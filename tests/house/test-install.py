#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is installed, where, and that systemd and the buses take it.

The tree is configured for each kind of prefix in a directory of the test's own and gets the programs
that are built already: no file of theirs depends on the prefix. Nothing here touches the running
system: every installation goes to a DESTDIR or to a prefix under a temporary directory.

usage: test-install.py SOURCE-ROOT BUILD-ROOT
"""

import configparser
import glob
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from tap import Tap  # noqa: E402

SLOW = float(os.environ.get('HOLDFAST_TEST_SLOW', '1'))
DEADLINE = 20 * SLOW        # seconds a condition may take

PROGRAMS = ['holdfast-parentd', 'holdfastctl', 'holdfastd']
UNITS = ['holdfast-parent.service', 'holdfast-parent.socket', 'holdfastd.service']
NAME = 'org.holdfast1'
NOBODY = 65534

# The exposure that systemd-analyze(1) may find, in tenths.
EXPOSURE = {'system': 15, 'user': 22}

# What a bus says of the machine and not of us: the users are not made here, and in a container root
# may not raise every limit.
NOISE = re.compile(r'Unknown username "holdfast"|Failed to set fd limit')


def run(argv, **kwargs):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, **kwargs)


def need(done):
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(done.args)} failed:\n{done.stdout}")
    return done.stdout


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError('waited in vain for ' + what)
        time.sleep(0.01)


def read(*path):
    with open(os.path.join(*path), encoding='utf-8', errors='surrogateescape') as file:
        return file.read()


def files_below(root):
    return sorted(os.path.join(folder, name)[len(root):]
                  for folder, _, names in os.walk(root) for name in names)


class Tree:
    """A configured tree that can be installed again and again."""

    def __init__(self, source, built, place):
        self.source = source
        self.build = os.path.join(place, 'build')
        need(run(['meson', 'setup', self.build, source]))
        for name in PROGRAMS:
            folder = os.path.join(self.build, 'src', name)
            os.makedirs(folder, exist_ok=True)
            shutil.copy2(os.path.join(built, 'src', name, name), folder)

    def install(self, prefix, destdir=None, system=True):
        need(run(['meson', 'setup', '--reconfigure', self.build, self.source, '-Dprefix=' + prefix,
                  '-Dsystem=' + ('true' if system else 'false')]))
        environ = {key: value for key, value in os.environ.items() if key != 'DESTDIR'}
        if destdir:
            environ['DESTDIR'] = destdir
        return need(run(['meson', 'install', '-C', self.build, '--no-rebuild'], env=environ))

    def uninstall(self):
        return need(run(['ninja', '-C', self.build, 'uninstall']))


# ---- the list of files ----

class Layout:
    """Where things are expected: base for most, and the exceptions."""

    def __init__(self, prefix, base=None, user_units='share', policy=None, zsh='site-functions'):
        self.prefix = prefix
        self.base = base or prefix
        self.programs = (prefix if prefix != '/' else '') + '/bin'
        self.user_units = f'{self.base}/{user_units}/systemd/user'
        self.system_units = f'{self.base}/lib/systemd/system'
        self.policy = policy or f'{self.base}/share/dbus-1/system.d'
        self.zsh = f'{self.base}/share/zsh/{zsh}'

    def units(self, who):
        return self.system_units if who == 'system' else self.user_units

    def files(self, system=True):
        """Every file that is installed, no more and no less."""
        base, share = self.base, f'{self.base}/share'
        found = [f'{self.programs}/{name}' for name in PROGRAMS]
        found += [f'{self.user_units}/{unit}' for unit in UNITS]
        found += [f'{share}/dbus-1/services/{NAME}.service']
        found += [f'{share}/dbus-1/interfaces/{NAME}.{interface}.xml'
                  for interface in ('Direct', 'Manager', 'Monitor', 'Storage')]
        found += [f'{share}/doc/holdfast/{name}' for name in
                  ('COPYING', 'README.md', 'examples/holdfastd.conf', 'examples/origin-phase2.conf')]
        found += [f'{share}/man/man{page[-1]}/{page}' for page in
                  ('holdfast-parentd.8', 'holdfastctl.1', 'holdfastd.8', 'holdfastd.conf.5',
                   f'{NAME}.5')]
        for name in PROGRAMS:
            found += [f'{share}/bash-completion/completions/{name}',
                      f'{share}/fish/vendor_completions.d/{name}.fish', f'{self.zsh}/_{name}']
        if system:
            found += [f'{self.system_units}/{unit}' for unit in UNITS]
            found += [f'{share}/dbus-1/system-services/{NAME}.service',
                      f'{self.policy}/{NAME}.conf', f'{base}/lib/sysusers.d/holdfast.conf',
                      f'{base}/lib/systemd/catalog/holdfast.catalog']
        return sorted(found)


def layouts():
    debian = os.path.exists('/etc/debian_version')
    usr = {'base': '/usr', 'user_units': 'lib',
           'zsh': 'vendor-completions' if debian else 'site-functions'}
    return [
        Layout('/usr', **usr),
        Layout('/', **usr),
        Layout('/usr/local', policy='/etc/dbus-1/system.d'),
        Layout('/opt/holdfast'),
    ]


def compare(wanted, got):
    return [f'{path} is not installed' for path in sorted(set(wanted) - set(got))] + \
           [f'{path} is installed, and nobody asked for it' for path in sorted(set(got) - set(wanted))]


def check_modes(root):
    """Readable by everybody, whatever the umask; programs and nothing else can be run."""
    problems = []
    for path in files_below(root):
        mode = stat.S_IMODE(os.stat(root + path).st_mode)
        wanted = 0o755 if os.path.basename(os.path.dirname(path)) == 'bin' else 0o644
        if mode != wanted:
            problems.append(f'{path} has mode {mode:o}, not {wanted:o}')
    return problems


def check_list(tap, tree, layout, place, system):
    destdir = os.path.join(place, 'destdir')
    said = tree.install(layout.prefix, destdir, system)
    tap.point(f"prefix {layout.prefix}{'' if system else ', without the system instance'}: "
              'the list of files',
              compare(layout.files(system), files_below(destdir)) + check_modes(destdir))
    ran = [line for line in said.splitlines() if line.startswith('Running custom install script')]
    tap.point(f'prefix {layout.prefix}: nothing is run for a DESTDIR', ran)
    tree.uninstall()
    left = [os.path.join(folder, name) for folder, names, files in os.walk(destdir)
            for name in names + files]
    tap.point(f'prefix {layout.prefix}: uninstalling leaves nothing', left)
    shutil.rmtree(destdir, ignore_errors=True)


# ---- what is in the files ----

def without_debug_info(path, place):
    """A program as packages have it: debug information names the sources, wherever they are."""
    bare = os.path.join(place, 'bare')
    need(run(['objcopy', '--strip-debug', path, bare]))
    return bare


def check_contents(tap, prefix, foreign, place):
    problems = []
    for path in files_below(prefix):
        path = prefix + path
        text = read(without_debug_info(path, place) if '/bin/' in path else path)
        problems += [f'{path} names {name}' for name in foreign if name in text]
        problems += [f'{path} has {word} not filled in' for word in
                     re.findall(r'@[a-z_]+@', text) if '/bin/' not in path]
    tap.point('no file names a place where it was built', problems)


def unit_values(text, key):
    """The values a unit file assigns, comments left out."""
    return re.findall(rf'^{key}=(.*)$', text, re.M)


def check_unit(path, who):
    """What systemd-analyze(1) cannot know."""
    text = read(path)
    problems = [f'{path}: {value}' for value in unit_values(text, 'Type') if value != 'notify']
    for value in unit_values(text, 'ExecStart'):
        if not os.access(value.split()[0], os.X_OK):
            problems.append(f'{path} starts {value.split()[0]}, which is not there')
    for value in unit_values(text, 'ExecReload'):
        if f'busctl --{who} ' not in value:
            problems.append(f'{path} reloads over another bus: {value}')
    if path.endswith('.service') and unit_values(text, 'StartLimitIntervalSec') != ['0']:
        problems.append(f'{path} gives up after some starts')
    return problems


def systemd_environ(layout, who, place):
    """For systemd-analyze(1): our units and pages before the system's."""
    return dict(os.environ, SYSTEMD_UNIT_PATH=layout.units(who) + ':',
                MANPATH=f'{layout.base}/share/man', XDG_RUNTIME_DIR=place, LC_ALL='C.UTF-8')


def check_units(tap, layout, place):
    if not shutil.which('systemd-analyze'):
        tap.point('the units', [], skip='systemd-analyze(1) is not here')
        return
    for who in ('system', 'user'):
        paths = [os.path.join(layout.units(who), unit) for unit in UNITS]
        environ = systemd_environ(layout, who, place)
        done = run(['systemd-analyze', f'--{who}', 'verify', *paths], env=environ)
        # It exits with 0 for what it does not know, and says so.
        problems = [line for line in done.stdout.splitlines() if 'holdfast' in line]
        if done.returncode != 0:
            problems += [f'exit status {done.returncode}'] + done.stdout.splitlines()
        for path in paths:
            problems += check_unit(path, who)
        tap.point(f'{who} units are clean', problems)
        for path in paths:
            if path.endswith('.service'):
                check_exposure(tap, who, path, environ)


def check_exposure(tap, who, path, environ):
    done = run(['systemd-analyze', f'--{who}', '--no-pager', 'security', '--offline=true',
                f'--threshold={EXPOSURE[who]}', path], env=environ)
    level = re.search(r'Overall exposure level.*?: (\S+)', done.stdout)
    name = f"{who} {os.path.basename(path)}: exposure {level.group(1) if level else 'unknown'}"
    problems = []
    if done.returncode != 0 or not level:
        problems = [f'the limit is {EXPOSURE[who] / 10}'] + done.stdout.splitlines()
    tap.point(name, problems)


def check_unit_complaint(tap, layout, place):
    """That the check of the units can fail: a directive nobody knows, and a sandbox given up."""
    if not shutil.which('systemd-analyze'):
        tap.point('a bad unit is noticed', [], skip='systemd-analyze(1) is not here')
        return
    path = os.path.join(place, 'holdfastd.service')
    text = read(layout.units('system'), 'holdfastd.service')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text.replace('ProtectSystem=strict', 'ProtectSistem=strict'))
    environ = systemd_environ(layout, 'system', place)
    done = run(['systemd-analyze', 'verify', path], env=environ)
    problems = [] if 'ProtectSistem' in done.stdout else ['an unknown directive was not noticed']
    done = run(['systemd-analyze', '--no-pager', 'security', '--offline=true',
                f"--threshold={EXPOSURE['system']}", path], env=environ)
    if done.returncode == 0:
        problems.append('a service that may write everywhere is within the limit')
    tap.point('a bad unit is noticed', problems)


def check_users(tap, layout, place):
    """systemd-sysusers(8) makes exactly the users that units and bus name."""
    if not shutil.which('systemd-sysusers'):
        tap.point('the users', [], skip='systemd-sysusers(8) is not here')
        return
    root = os.path.join(place, 'users')
    os.makedirs(os.path.join(root, 'etc'))
    done = run(['systemd-sysusers', '--root=' + root,
                os.path.join(layout.base, 'lib/sysusers.d/holdfast.conf')])
    if done.returncode != 0 and os.geteuid() != 0:
        tap.point('the users', [], skip='only root can make users, even in a root of its own')
        return
    made = {line.split(':')[0] for line in read(root, 'etc/passwd').splitlines()}
    named = {'holdfast', 'holdfast-parent'}
    problems = [] if done.returncode == 0 else done.stdout.splitlines()
    if made != named:
        problems.append(f'users are {sorted(made)}, not {sorted(named)}')
    for unit in UNITS:
        for user in unit_values(read(layout.units('system'), unit), 'User'):
            if user not in made:
                problems.append(f'{unit} runs as {user}, whom nobody makes')
    tap.point('the users', problems)


# ---- the buses ----

def check_service_file(tap, layout, which, folder):
    path = os.path.join(layout.base, 'share/dbus-1', folder, f'{NAME}.service')
    file = configparser.ConfigParser(interpolation=None)
    file.optionxform = str
    file.read(path)
    service = dict(file['D-BUS Service'])
    problems = [] if service.get('Name') == NAME else ['the name is ' + service.get('Name', '')]
    program = service['Exec'].split()
    if not os.access(program[0], os.X_OK):
        problems.append(f'{program[0]} cannot be run')
    if program[1:] != ['--user' if which == 'session' else '--system']:
        problems.append('it starts ' + service['Exec'])
    units = layout.units('user' if which == 'session' else 'system')
    if not os.path.exists(os.path.join(units, service['SystemdService'])):
        problems.append(f"{units} has no {service['SystemdService']}")
    if service.get('User') != (None if which == 'session' else 'holdfast'):
        problems.append(f"the user is {service.get('User')}")
    tap.point(f'activation on the {which} bus', problems)


class Bus:
    """A dbus-daemon(1) of the test's own."""

    def __init__(self, argv, environ, log):
        self.log = log
        with open(log, 'w', encoding='utf-8') as file:
            self.process = subprocess.Popen(
                ['dbus-daemon', *argv, '--nofork', '--nopidfile', '--print-address=1'],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, text=True,
                env=environ)
        self.address = self.process.stdout.readline().strip()

    def call(self, *argv, uid=None):
        """busctl(1), as another user if one is given."""
        prefix = ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups'] if uid else []
        return run([*prefix, 'busctl', '--address=' + self.address, '--timeout=10', 'call', *argv])

    def ask(self, method, *argv, uid=None):
        """A method of the bus itself."""
        return self.call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                         method, *argv, uid=uid)

    def complaints(self):
        return [line for line in read(self.log).splitlines() if not NOISE.search(line)]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


# What a system bus has before any service adds to it.
SYSTEM_BUS = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=%s/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <includedir>%s</includedir>
</busconfig>
'''


def try_policy(bus):
    """Root may be org.holdfast1 and nobody else may; everybody may call it."""
    root = os.geteuid() == 0
    stranger = {'uid': NOBODY} if root else {}
    problems = []
    refused = bus.ask('RequestName', 'su', NAME, '0', **stranger)
    if 'Access denied' not in refused.stdout:
        problems.append('a stranger may own the name: ' + refused.stdout.strip())
    if not root:
        return problems
    if bus.ask('RequestName', 'su', NAME, '0').stdout.strip() != 'u 1':
        problems.append('root may not own the name')
    return problems


def try_calling(bus, program, place):
    """A stranger calls the daemon, on this bus."""
    environ = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=bus.address)
    log = os.path.join(place, 'system-daemon.log')
    empty = os.path.join(place, 'empty.conf')
    with open(log, 'w', encoding='utf-8') as out, open(empty, 'w', encoding='utf-8'):
        daemon = subprocess.Popen([program, '--system', '--state-dir', place, '--config', empty,
                                   '--parent', 'local:'],
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ)
    try:
        wait_for(lambda: daemon.poll() is not None or
                 'true' in bus.ask('NameHasOwner', 's', NAME).stdout, NAME + ':\n' + read(log))
        done = bus.call(NAME, '/org/holdfast1', 'org.freedesktop.DBus.Peer', 'Ping', uid=NOBODY)
        return [] if done.returncode == 0 else ['a stranger may not call: ' + done.stdout]
    finally:
        daemon.terminate()
        daemon.wait()


def check_policy(tap, layout, place):
    config = os.path.join(place, 'system.conf')
    with open(config, 'w', encoding='utf-8') as file:
        file.write(SYSTEM_BUS % (place, layout.policy))
    bus = Bus(['--config-file=' + config], None, os.path.join(place, 'system-bus.log'))
    try:
        tap.point('a bus takes the policy', bus.complaints() if bus.address else
                  ['the bus does not start'] + bus.complaints())
        tap.point('nobody but root and the service owns the name', try_policy(bus))
        if os.geteuid() == 0:
            tap.point('anybody may call the service',
                      try_calling(bus, layout.programs + '/holdfastd', place))
        else:
            tap.point('anybody may call the service', [], skip='only root may own the name')
    finally:
        bus.stop()


def owner_process(bus):
    done = bus.ask('GetConnectionUnixProcessID', 's', NAME)
    return int(done.stdout.split()[1]) if done.returncode == 0 else 0


def try_activation(bus, layout):
    """The first call starts the installed daemon and is answered by it; so is the next."""
    storage = [NAME, '/org/holdfast1', f'{NAME}.Storage']
    problems = []
    if 'true' in bus.ask('NameHasOwner', 's', NAME).stdout:
        problems.append('somebody has the name before the first call')
    written = bus.call(*storage, 'SetItem', 'ss', 'theme', 'dark')
    if written.stdout.strip() != 't 1':
        problems.append('SetItem: ' + written.stdout.strip())
    got = bus.call(*storage, 'GetItem', 's', 'theme')
    if got.stdout.strip() != 's "dark"':
        problems.append('GetItem: ' + got.stdout.strip())
    pid = owner_process(bus)
    if pid and os.readlink(f'/proc/{pid}/exe') != layout.programs + '/holdfastd':
        problems.append(f"{os.readlink(f'/proc/{pid}/exe')} has the name")
    return problems


def end_daemon(bus):
    """It would outlive its bus, as a user's daemon should."""
    pid = owner_process(bus)
    if pid:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not os.path.exists(f'/proc/{pid}'), 'the end of the daemon')


def check_activation(tap, layout, place):
    home = os.path.join(place, 'home')
    os.makedirs(home, mode=0o700)
    environ = {key: value for key, value in os.environ.items() if not key.startswith('DBUS_')}
    environ.update({name: home for name in ('HOME', 'XDG_RUNTIME_DIR', 'XDG_STATE_HOME',
                                            'XDG_CONFIG_HOME', 'XDG_DATA_HOME')})
    environ['XDG_DATA_DIRS'] = f'{layout.base}/share'
    log = os.path.join(place, 'session-bus.log')
    bus = Bus(['--session', f'--address=unix:path={home}/bus'], environ, log)
    try:
        problems = try_activation(bus, layout)
        tap.point('a first call starts the daemon, without systemd',
                  problems + (bus.complaints() if problems else []))
    finally:
        end_daemon(bus)
        bus.stop()


# ---- after the installation ----

# A program that only says how it was called.
RECORDER = '#!/bin/sh\necho "${0##*/} $*" >>"$RECORD"\nexit %d\n'


def run_script(source, place, *argv, uid='0', status=0, **environ):
    """post-install.sh among programs that say what was asked of them. Return: that, and its own
    exit status and output."""
    tools = os.path.join(place, 'tools')
    record = os.path.join(place, 'record')
    os.makedirs(tools, exist_ok=True)
    for name in ('systemd-sysusers', 'journalctl', 'systemctl', 'busctl', 'id'):
        text = f'#!/bin/sh\necho {uid}\n' if name == 'id' else RECORDER % status
        with open(os.path.join(tools, name), 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(file.name, 0o755)
    open(record, 'w', encoding='utf-8').close()
    done = run(['/bin/sh', os.path.join(source, 'data/post-install.sh'), *argv],
               env={'PATH': tools, 'RECORD': record, **environ})
    return read(record).splitlines(), done


def check_script(tap, source, place):
    calls, done = run_script(source, place, 'system', '/x/holdfast.conf')
    wanted = ['systemd-sysusers /x/holdfast.conf', 'journalctl --update-catalog']
    if os.path.isdir('/run/systemd/system'):
        wanted.append('systemctl daemon-reload')
    if os.path.exists('/run/dbus/system_bus_socket'):
        wanted.append('busctl --system --quiet --timeout=10 call org.freedesktop.DBus '
                      '/org/freedesktop/DBus org.freedesktop.DBus ReloadConfig')
    problems = [] if calls == wanted and done.returncode == 0 else [f'it called {calls}']
    tap.point('after an installation the system is told', problems)

    calls, done = run_script(source, place, 'user', '/x/holdfast.conf')
    problems = [call for call in calls if call.startswith(('systemd-sysusers', 'busctl'))]
    tap.point('without the system instance: neither users nor bus', problems)

    calls, done = run_script(source, place, 'system', '/x/holdfast.conf', status=3)
    problems = [] if done.returncode == 1 else [f'exit status {done.returncode}']
    if len(calls) != len(wanted) or done.stdout.count('failed (exit status 3)') != len(wanted):
        problems += [f'it called {calls}'] + done.stdout.splitlines()
    tap.point('what fails is said and stops nothing; without users it is an error', problems)

    calls, done = run_script(source, place, 'user', '/x/holdfast.conf', status=3)
    tap.point('without the system instance nothing that fails is an error',
              [] if calls and done.returncode == 0 else [f'exit status {done.returncode}'])

    problems = run_script(source, place, 'system', '/x', uid='1000')[0]
    problems += run_script(source, place, 'system', '/x', DESTDIR='/somewhere')[0]
    tap.point('neither for other users than root nor for a DESTDIR', problems)


# ---- all of it ----

def check_prefix(tap, tree, source, place):
    """A real installation, into a prefix that stays for as long as it is looked at."""
    prefix = os.path.join(place, 'prefix')
    layout = Layout(prefix)
    said = tree.install(prefix)
    tap.point('a prefix of its own: everything is inside',
              compare([path[len(prefix):] for path in layout.files()], files_below(prefix)))
    tap.point('a prefix of its own: the running system is not told',
              [line for line in said.splitlines() if 'post-install' in line])
    check_contents(tap, prefix, [source, tree.build], place)
    check_units(tap, layout, place)
    check_unit_complaint(tap, layout, place)
    check_users(tap, layout, place)
    check_service_file(tap, layout, 'session', 'services')
    check_service_file(tap, layout, 'system', 'system-services')
    check_policy(tap, layout, place)
    check_activation(tap, layout, place)
    tree.uninstall()
    tap.point('a prefix of its own: uninstalling leaves nothing',
              [prefix + path for path in glob.glob('**', root_dir=prefix, recursive=True)]
              + ([prefix] if os.path.exists(prefix) else []))


def main():
    source, built = map(os.path.realpath, sys.argv[1:3])
    for name in ('meson', 'ninja', 'dbus-daemon', 'busctl', 'objcopy'):
        if not shutil.which(name):
            print(f'1..0 # SKIP {name} is not here')
            return 0
    os.umask(0o022)
    tap = Tap()
    place = tempfile.mkdtemp(prefix='holdfast-install-')
    os.chmod(place, 0o755)      # other users come to the bus in it
    try:
        tree = Tree(source, built, place)
        for layout in layouts():
            check_list(tap, tree, layout, place, True)
        check_list(tap, tree, layouts()[0], place, False)
        check_prefix(tap, tree, source, place)
        check_script(tap, source, place)
    finally:
        shutil.rmtree(place)
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
