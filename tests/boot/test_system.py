#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The system's instance as a unit: start, activation, watchdog, crashes, reload, stop, scores."""

import signal

from boot import *

UNIT = 'holdfastd.service'


def state():
    return prop('State')


def connected():
    wait_for(lambda: state() == 'connected', 'a connection to the parent')


def back(pid, deadline=20):
    """Wait until the unit runs as another process than @pid, and is ready."""
    wait_for(lambda: main_pid() not in (0, pid) and is_active(UNIT), 'a restart', deadline)
    return main_pid()


@test
def units_are_correct():
    for scope, where in (('--system', 'system'), ('--user', 'user')):
        files = ['/usr/lib/systemd/%s/%s' % (where, name) for name in UNITS]
        done = attempt('systemd-analyze', scope, '--man=yes', 'verify', *files,
                       env={'XDG_RUNTIME_DIR': '/run'})
        note('%s: status %d, says %r' % (where, done.status, done.all))
        assert done.status == 0 and not done.all, done


@test
def it_starts_and_says_how_it_is():
    began = time.monotonic()
    sh('systemctl', 'start', UNIT)
    note('started in %.0f ms' % ((time.monotonic() - began) * 1000))
    assert is_active(UNIT)
    connected()
    text = wait_for(lambda: show(UNIT, 'StatusText').startswith('connected') and
                    show(UNIT, 'StatusText'), 'a status text that tells the state')
    note(sh('systemctl', 'status', '--no-pager', '-n', '0', UNIT))
    offline()
    wait_for(lambda: show(UNIT, 'StatusText').startswith('disconnected'), 'the loss in the status')
    for key in ('a', 'b', 'c'):
        call('SetItem', 'ss', key, 'v')
    text = wait_for(lambda: re.search(r'\b3\b', show(UNIT, 'StatusText')) and
                    show(UNIT, 'StatusText'), 'the queue of three in the status')
    note('StatusText=' + text)


@test
def a_first_call_starts_it_and_its_parent():
    assert not is_active(UNIT) and not is_active('holdfast-parent.service')
    began = time.monotonic()
    said = call('SetItem', 'ss', 'k', 'v')
    note('%s after %.0f ms' % (said, (time.monotonic() - began) * 1000))
    equal(said, 't 1')
    assert is_active(UNIT)
    call('Await', 'tt', '1', FOREVER)
    assert is_active('holdfast-parent.service'), 'no parent was started by the dial'
    equal(value('k', 'parent'), ('v', 'parent'))
    for unit, user in ((UNIT, 'holdfast'), ('holdfast-parent.service', 'holdfast-parent')):
        uid = os.stat('/proc/%d' % main_pid(unit)).st_uid
        equal(sh('id', '-nu', str(uid)), user, unit)
    for path in ('/var/lib/holdfast', '/var/lib/holdfast-parent'):
        equal(oct(os.stat(path).st_mode & 0o7777), '0o700', path)


@test
def frozen_it_is_killed_and_restarted_with_its_queue():
    drop_in(UNIT, '[Service]\nWatchdogSec=2s\nRestartSec=100ms\n')
    offline()
    call('SetItem', 'ss', 'k', 'v')
    before = queue()
    pid = main_pid()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    back(pid)
    note('back %.1f s after SIGSTOP, WatchdogSec=2s' % (time.monotonic() - began))
    said = sh('journalctl', '--no-pager', '-o', 'cat', '_PID=1', 'UNIT=' + UNIT)
    assert 'Watchdog timeout' in said, said
    equal(queue(), before)
    equal(value('k')[0], 'v')
    # And it stays: what is alive is not killed.
    pid = main_pid()
    stays = time.monotonic() + 3
    wait_for(lambda: time.monotonic() > stays or main_pid() != pid, 'three seconds')
    equal(main_pid(), pid)


@test
def killed_it_comes_back_with_its_queue():
    offline()
    for i in range(20):
        call('SetItem', 'ss', 'k%02d' % i, 'v%d' % i)
    before = queue()
    equal(len(before), 20)
    pid = main_pid()
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    back(pid)
    note('back by itself %.1f s after SIGKILL' % (time.monotonic() - began))
    equal(queue(), before)
    online()
    call('Flush', 't', FOREVER)
    equal((queue(), value('k07', 'parent')), ([], ('v7', 'parent')))


@test
def a_call_brings_it_back_at_once():
    call('SetItem', 'ss', 'k', 'v')
    pid = main_pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: main_pid() != pid, 'the end')
    equal(call('GetItem', 's', 'k'), 's "v"')


@test
def no_number_of_crashes_makes_it_fail_for_good():
    drop_in(UNIT, '[Service]\nRestartSec=20ms\n')
    offline()
    call('SetItem', 'ss', 'k', 'v')
    serials = queue()
    began = time.monotonic()
    pid = main_pid()
    for _ in range(20):
        os.kill(pid, signal.SIGKILL)
        pid = back(pid)
    note('20 kills and restarts in %.1f s; NRestarts=%s' % (time.monotonic() - began,
                                                           show(UNIT, 'NRestarts')))
    equal(queue(), serials)


@test
def no_number_of_crashes_of_the_parent_closes_its_socket():
    parent = 'holdfast-parent.service'
    drop_in(parent, '[Service]\nRestartSec=20ms\n')
    configure('[Reconnect]\nMaxDelay=100ms\n')
    sh('systemctl', 'start', UNIT)
    connected()
    for i in range(10):
        pid = main_pid(parent)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: main_pid(parent) not in (0, pid), 'the parent, dialled again')
        call('Await', 'tt', call('SetItem', 'ss', 'k', str(i))[2:], FOREVER)
    assert is_active('holdfast-parent.socket')
    equal(value('k', 'parent'), ('9', 'parent'))


@test
def reload_is_done_when_it_returns():
    sh('systemctl', 'start', UNIT)
    pid = main_pid()
    for usec in (7000000, 11000000, 5500000):
        configure('[Heartbeat]\nInterval=%dms\n' % (usec // 1000))
        began = time.monotonic()
        sh('systemctl', 'reload', UNIT)
        equal(prop('HeartbeatInterval'), usec)
        note('HeartbeatInterval=%d, reload took %.0f ms' % (
            usec, (time.monotonic() - began) * 1000))
    equal(main_pid(), pid)


def warnings():
    """What the journal says about the test's configuration file."""
    said = sh('journalctl', '--no-pager', '-o', 'cat', '-u', UNIT)
    return [line for line in said.split('\n') if '50-test.conf' in line]


@test
def a_refused_reload_is_told_and_the_old_configuration_stays():
    configure('[Heartbeat]\nInterval=7s\n')
    sh('systemctl', 'start', UNIT)
    connected()
    configure('[Heartbeat]\nInterval=9s\n[Parent]\nAddress=carrier-pigeon:coop\n')
    note(fails('systemctl', 'reload', UNIT))
    assert is_active(UNIT)
    equal((prop('HeartbeatInterval'), state()), (7000000, 'connected'))
    said = sh('journalctl', '--no-pager', '-o', 'cat', '-n', '30', '_PID=1', 'UNIT=' + UNIT)
    assert 'Reload failed' in said or 'Control process exited' in said, said
    reason = sh('journalctl', '--no-pager', '-o', 'cat', '-n', '30', '-u', UNIT, '-t', 'busctl')
    note(reason.split('\n')[-1])
    assert 'nothing was changed' in reason, reason
    configure('[Heartbeat]\nInterval=8s\n')
    sh('systemctl', 'reload', UNIT)
    equal(prop('HeartbeatInterval'), 8000000)


@test
def a_bad_line_is_a_warning_with_its_place():
    sh('systemctl', 'start', UNIT)
    seen = len(warnings())
    configure('[Heartbeat]\nInterval=soon\nTimeout=3s\nTimout=3s\n')
    sh('systemctl', 'reload', UNIT)
    lines = warnings()[seen:]
    note('\n'.join(lines))
    equal([int(re.search(r'50-test\.conf:(\d+):', line).group(1)) for line in lines], [2, 4])
    equal((prop('HeartbeatInterval'), prop('HeartbeatTimeout')), (5000000, 3000000))


@test
def a_stop_keeps_what_was_not_sent():
    offline()
    for i in range(50):
        call('SetItem', 'ss', 'k%02d' % i, 'v%d' % i)
    before = queue()
    equal(len(before), 50)
    began = time.monotonic()
    sh('systemctl', 'stop', UNIT)
    note('stop took %.0f ms: Result=%s ExecMainStatus=%s' % (
        (time.monotonic() - began) * 1000, show(UNIT, 'Result'), show(UNIT, 'ExecMainStatus')))
    equal((show(UNIT, 'Result'), show(UNIT, 'ExecMainStatus')), ('success', '0'))
    sh('systemctl', 'start', UNIT)
    equal(queue(), before)
    online()
    call('Flush', 't', FOREVER)
    equal(queue(), [])
    equal([value('k%02d' % i, 'parent')[0] for i in range(50)], ['v%d' % i for i in range(50)])


@test
def a_stop_sends_what_it_can():
    configure('[Debounce]\nDelay=60s\nMaxDelay=60s\n')
    sh('systemctl', 'start', UNIT)
    connected()
    call('SetItem', 'ss', 'k', 'last word')
    equal(len(queue()), 1)
    sh('systemctl', 'stop', UNIT)
    equal(show(UNIT, 'Result'), 'success')
    sh('systemctl', 'start', UNIT)
    connected()
    equal((queue(), value('k', 'parent')), ([], ('last word', 'parent')))


@test
def both_stop_in_the_right_order():
    configure('[Debounce]\nDelay=60s\nMaxDelay=60s\n')
    sh('systemctl', 'start', UNIT)
    connected()
    call('SetItem', 'ss', 'k', 'before the night')
    sh('systemctl', 'stop', 'holdfast-parent.socket', 'holdfast-parent.service', UNIT)
    equal(show(UNIT, 'Result'), 'success')
    online()
    sh('systemctl', 'start', UNIT)
    connected()
    equal((queue(), value('k', 'parent')), ([], ('before the night', 'parent')))


@test
def the_log_level_can_be_set():
    sh('systemctl', 'start', UNIT)
    equal(sh('systemctl', 'service-log-level', UNIT), 'info')
    connected()
    equal(entries(UNIT, '-p', 'debug..debug'), [])
    sh('systemctl', 'service-log-level', UNIT, 'debug')
    equal(sh('systemctl', 'service-log-level', UNIT), 'debug')
    call('SetItem', 'ss', 'k', 'v')
    call('Flush', 't', FOREVER)
    lines = wait_for(lambda: entries(UNIT, '-p', 'debug..debug'), 'a debug line')
    note('debug: ' + lines[0]['MESSAGE'])
    sh('systemctl', 'service-log-level', UNIT, 'warning')
    equal(sh('systemctl', 'service-log-level', UNIT), 'warning')
    note('target: ' + sh('systemctl', 'service-log-target', UNIT))


@test
def the_sandbox_is_tight():
    def score(unit, *args):
        said = sh('systemd-analyze', *args, 'security', '--no-pager', unit)
        return float(re.search(r'exposure level for \S+: ([\d.]+)', said).group(1))
    for unit in ('holdfastd.service', 'holdfast-parent.service'):
        got = score(unit)
        note('%s (system): %.1f' % (unit, got))
        assert got <= 1.5, got
    for unit in ('holdfastd.service', 'holdfast-parent.service'):
        got = score('/usr/lib/systemd/user/' + unit, '--offline=true')
        note('%s (user): %.1f' % (unit, got))
        assert got <= 2.2, got


@test
def the_sandbox_holds():
    """Not what the unit says: what a program in it can do."""
    call('SetItem', 'ss', 'k', 'v')
    call('Flush', 't', FOREVER)
    for unit in (UNIT, 'holdfast-parent.service'):
        with open('/proc/%d/status' % main_pid(unit)) as file:
            status = dict(line.split(':\t', 1) for line in file.read().strip().split('\n')
                          if ':\t' in line)
        equal((status['NoNewPrivs'], status['Seccomp'], status['CapBnd'], status['CapEff']),
              ('1', '2', '0' * 16, '0' * 16), unit)
        mounts = sh('nsenter', '-t', str(main_pid(unit)), '-m', 'findmnt', '-n', '-o', 'OPTIONS',
                    '-T', '/usr')
        assert mounts.startswith('ro'), mounts
        hidden = sh('nsenter', '-t', str(main_pid(unit)), '-m', 'ls', '-A', '/home', '/root',
                    '/run/user')
        equal(hidden, '/home:\n\n/root:\n\n/run/user:', unit)


if __name__ == '__main__':
    main()
