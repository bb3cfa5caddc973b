#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Users' own instances, under their own systemd, on their own dbus-broker."""

import signal

from boot import *

UNIT = 'holdfastd.service'


def setup():
    install()
    add_users()
    for name in USERS:
        start_user_manager(name)


def ctl(user, *argv):
    """systemctl --user of a user."""
    return sh(*on_user_bus(user, 'systemctl', '--user', *argv))


def shown(user, name, unit=UNIT):
    return ctl(user, 'show', '--value', '--property', name, unit)


def user_pid(user, unit=UNIT):
    return int(shown(user, 'MainPID', unit))


def before():
    """Nothing runs but the sockets, nothing is stored."""
    for user in USERS:
        # The parent too: it was started by the daemon's dial.
        attempt(*on_user_bus(user, 'systemctl', '--user', 'stop', UNIT, 'holdfast-parent.socket',
                             'holdfast-parent.service'))
        for path in ('.config/holdfast', '.local/state/holdfast', '.config/systemd'):
            shutil.rmtree('/home/%s/%s' % (user, path), ignore_errors=True)
        ctl(user, 'daemon-reload')


def caller(user):
    """Arguments of a call by a user on their own bus."""
    return {'bus': '--user', 'caller': on_user_bus(user)}


def connected(user):
    wait_for(lambda: prop('State', **caller(user)) == 'connected', 'a connection')


def environ(pid):
    with open('/proc/%d/environ' % pid) as file:
        return dict(item.split('=', 1) for item in file.read().split('\0') if '=' in item)


@test
def a_first_call_starts_it_under_the_users_systemd():
    anna = caller('anna')
    equal(shown('anna', 'ActiveState'), 'inactive')
    equal(call('SetItem', 'ss', 'k', 'v', **anna), 't 1')
    equal(shown('anna', 'ActiveState'), 'active')
    call('Await', 'tt', '1', FOREVER, **anna)
    equal(value('k', 'parent', **anna), ('v', 'parent'))
    pid = user_pid('anna')
    equal(os.stat('/proc/%d' % pid).st_uid, USERS['anna'])
    with open('/proc/%d/cgroup' % pid) as file:
        place = file.read().strip().split('::')[1]
    assert 'user@%d.service' % USERS['anna'] in place, place
    note(place)
    note(ctl('anna', 'status', '--no-pager', '-n', '0', UNIT))


@test
def its_state_is_in_the_state_directory():
    call('SetItem', 'ss', 'k', 'v', **caller('anna'))
    where = environ(user_pid('anna'))['STATE_DIRECTORY']
    files = sorted(os.listdir(where))
    note('STATE_DIRECTORY=%s: %s' % (where, ' '.join(files)))
    assert where.startswith('/home/anna/') and any(n.endswith('.db') for n in files), files
    equal((os.stat(where).st_uid, oct(os.stat(where).st_mode & 0o777)), (USERS['anna'], '0o700'))


@test
def it_is_connected_to_a_parent_of_its_own():
    for user, text in (('anna', 'from anna'), ('bert', 'from bert')):
        call('Await', 'tt', call('SetItem', 'ss', 'k', text, **caller(user))[2:], FOREVER,
             **caller(user))
        equal(prop('Parent', **caller(user)),
              'unix:/run/user/%d/holdfast/parent.sock' % USERS[user])
        pid = user_pid(user, 'holdfast-parent.service')
        equal(os.stat('/proc/%d' % pid).st_uid, USERS[user])
    for user in USERS:
        equal(value('k', 'parent', **caller(user)), ('from ' + user, 'parent'))
    assert user_pid('anna') != user_pid('bert')
    # Nobody reaches into another's run-time directory.
    fails(*as_user('bert', 'ls', '/run/user/%d/holdfast' % USERS['anna']))


@test
def the_status_tells_state_and_queue():
    call('SetItem', 'ss', 'k', 'v', **caller('anna'))
    connected('anna')
    text = wait_for(lambda: shown('anna', 'StatusText').startswith('connected') and
                    shown('anna', 'StatusText'), 'the state in the status')
    note('StatusText=' + text)


@test
def killed_it_comes_back_with_its_queue():
    anna = caller('anna')
    ctl('anna', 'mask', '--runtime', '--now', 'holdfast-parent.socket')
    try:
        for i in range(10):
            call('SetItem', 'ss', 'k%d' % i, 'v', **anna)
        rows = queue(**anna)
        equal(len(rows), 10)
        pid = user_pid('anna')
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        wait_for(lambda: user_pid('anna') not in (0, pid) and
                 shown('anna', 'ActiveState') == 'active', 'a restart')
        note('back %.1f s after SIGKILL' % (time.monotonic() - began))
        equal(queue(**anna), rows)
    finally:
        ctl('anna', 'unmask', '--runtime', 'holdfast-parent.socket')
    ctl('anna', 'start', 'holdfast-parent.socket')
    call('Flush', 't', FOREVER, **anna)
    equal(queue(**anna), [])


@test
def frozen_it_is_killed_and_restarted():
    where = '/home/anna/.config/systemd/user/%s.d' % UNIT
    os.makedirs(where)
    with open(where + '/boot-test.conf', 'w') as file:
        file.write('[Service]\nWatchdogSec=2s\nRestartSec=100ms\n')
    ctl('anna', 'daemon-reload')
    call('SetItem', 'ss', 'k', 'v', **caller('anna'))
    pid = user_pid('anna')
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: user_pid('anna') not in (0, pid), 'a restart')
    note('back %.1f s after SIGSTOP, WatchdogSec=2s' % (time.monotonic() - began))
    equal(call('GetItem', 's', 'k', **caller('anna')), 's "v"')


@test
def reload_reads_the_users_own_configuration():
    ctl('anna', 'start', UNIT)
    where = '/home/anna/.config/holdfast'
    os.makedirs(where, exist_ok=True)
    with open(where + '/holdfastd.conf', 'w') as file:
        file.write('[Heartbeat]\nInterval=9s\n')
    sh('chown', '-R', 'anna:', where)
    ctl('anna', 'reload', UNIT)
    equal(prop('HeartbeatInterval', **caller('anna')), 9000000)


@test
def a_stop_keeps_the_queue():
    anna = caller('anna')
    ctl('anna', 'mask', '--runtime', '--now', 'holdfast-parent.socket')
    try:
        call('SetItem', 'ss', 'k', 'v', **anna)
        rows = queue(**anna)
        ctl('anna', 'stop', UNIT)
        equal(shown('anna', 'Result'), 'success')
        equal(queue(**anna), rows)      # the call starts it
    finally:
        ctl('anna', 'unmask', '--runtime', 'holdfast-parent.socket')


@test
def an_app_has_an_area_of_its_own():
    app = {'bus': '--user', 'caller': in_app('anna', 'org.example.App')}
    call('SetItem', 'ss', 'k', 'the app', **app)
    equal(prop('Area', 'Storage', bus='--user', caller=in_app('anna', 'org.example.App')),
          'org.example.App')
    call('SetItem', 'ss', 'k', 'the user', **caller('anna'))
    equal(call('GetItem', 's', 'k', bus='--user', caller=in_app('anna', 'org.example.App')),
          's "the app"')
    equal(call('GetItem', 's', 'k', **caller('anna')), 's "the user"')


@test
def the_sandbox_is_built():
    """PrivateUsers= and the rest really took hold under a user's manager."""
    call('SetItem', 'ss', 'k', 'v', **caller('anna'))
    pid = user_pid('anna')
    mounts = sh('nsenter', '-t', str(pid), '-m', 'findmnt', '-n', '-o', 'OPTIONS', '-T', '/usr')
    assert mounts.startswith('ro'), mounts
    assert os.readlink('/proc/%d/ns/user' % pid) != os.readlink('/proc/self/ns/user')
    said = sh(*on_user_bus('anna', 'systemd-analyze', '--user', 'security', '--no-pager', UNIT,
                           'holdfast-parent.service'))
    scores = re.findall(r'exposure level for (\S+): ([\d.]+)', said)
    for unit, score in scores:
        note('%s (user): %s' % (unit, score))
        assert float(score) <= 2.2, score


if __name__ == '__main__':
    main(setup, before)
