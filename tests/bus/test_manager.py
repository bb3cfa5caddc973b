#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""org.holdfast1.Manager, areas, the configuration and the daemon's command line."""

import os
import re
import signal
import subprocess

from harness import *


def label(name):
    """What sd_bus_path_encode makes of an area's name."""
    return ''.join(ch if ch.isalnum() and not (i == 0 and ch.isdigit()) else '_%02x' % ord(ch)
                   for i, ch in enumerate(name))


def once(args, t, **kwargs):
    """Run holdfastd to its end: (status, output)."""
    done = subprocess.run([program('holdfastd')] + args, env=t.environ(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30 * SLOW,
                          **kwargs)
    return done.returncode, done.stdout.decode()


# ---- areas ----

@test
def open_area_gives_the_path_of_its_object(t):
    _, c = t.offline()
    for name in ('a', 'org.example.App', 'with-dash_and.dot', '9lives', 'default', '-', 'x' * 255):
        path = c.manager.OpenArea(name)
        equal(path, ROOT + '/area/' + label(name))
        area = Iface(c, path, NAME + '.Storage')
        equal(area.get('Area'), name)


@test
def opening_again_is_the_same_area(t):
    _, c = t.offline()
    area = c.area('mine')
    area.SetItem('k', 'v')
    again = c.area('mine')
    equal(again.path, area.path)
    equal(again.GetItem('k'), 'v')


@test
def bad_area_names_are_refused(t):
    _, c = t.offline()
    before = c.manager.ListAreas()
    for name in ('', '.hidden', 'a/b', 'ä', 'a b', 'x' * 256, 'tab\t', 'a:b', '..', '*'):
        fails(FDO + 'InvalidArgs', c.manager.OpenArea, name)
    equal(c.manager.ListAreas(), before)


@test
def list_areas_lists_them(t):
    d, c = t.offline()
    for name in ('b', 'a'):
        c.area(name).SetItem('k', 'v')
    c.storage.SetItem('k', 'v')
    equal(sorted(c.manager.ListAreas()), ['a', 'b', 'default'])
    d.restart()
    equal(sorted(c.manager.ListAreas()), ['a', 'b', 'default'])


@test
def areas_keep_their_keys_apart(t):
    p, _, c = t.connected()
    one, two = c.area('one'), c.area('two')
    one.SetItem('k', '1')
    two.SetItem('k', '2')
    c.storage.SetItem('k', '0')
    for area in (one, two, c.storage):
        area.Flush(FOREVER)
    equal([p.value('k', a) for a in ('default', 'one', 'two')], ['0', '1', '2'])
    equal([a.GetItem('k') for a in (c.storage, one, two)], ['0', '1', '2'])
    one.RemoveItem('k')
    equal(one.ListKeys(''), [])
    equal(two.GetItem('k'), '2')


@test
def the_root_is_the_default_area(t):
    _, c = t.offline()
    area = c.area('default')
    c.storage.SetItem('k', 'v')
    equal(area.GetItem('k'), 'v')
    equal([row[:3] for row in area.ListQueue()], [row[:3] for row in c.storage.ListQueue()])


@test
def serials_rise_per_area(t):
    _, c = t.offline()
    one, two = c.area('one'), c.area('two')
    equal([one.SetItem('a', '1'), two.SetItem('a', '1'), one.SetItem('b', '1')][1:], [1, 2])


@test
def an_area_object_is_there_after_a_restart(t):
    d, c = t.offline()
    area = c.area('mine')
    area.SetItem('k', 'v')
    d.restart()
    equal(area.GetItem('k'), 'v')


@test
def version_says_the_version(t):
    _, c = t.offline()
    version = c.manager.get('Version')
    assert re.fullmatch(r'\d+\.\d+(\.\d+)?\S*', version), version
    status, text = once(['--version'], t)
    equal(status, 0)
    assert version in text


# ---- start and stop ----

def catches(process, signum):
    """Whether a process has a handler for the signal by now."""
    with open('/proc/%d/status' % process.pid) as file:
        caught = re.search(r'^SigCgt:\s*(\w+)', file.read(), re.M)
    return bool(int(caught.group(1), 16) >> (signum - 1) & 1)


@test
def a_stop_ends_the_wait_for_a_predecessor(t):
    first = t.daemon()
    second = Daemon(t, state=first.state).start(ready=False)
    wait_for(lambda: catches(second.process, signal.SIGHUP))
    second.process.send_signal(signal.SIGHUP)
    second.process.terminate()
    began = time.monotonic()
    equal(second.wait(), 0)
    took = time.monotonic() - began
    assert took < secs(1), 'the stop took %.2f s' % took
    second.process = None
    assert 'in use' not in second.log(), second.log()


# ---- reload ----

@test
def reload_takes_new_intervals_and_says_so(t):
    _, d, c = t.connected()
    c.listen()
    d.configure({'Heartbeat': {'Interval': '7s', 'Timeout': '3s', 'MaxFailedPings': '5',
                               'AutoRecover': 'no'}})
    c.manager.Reload()
    names = ('HeartbeatInterval', 'HeartbeatTimeout', 'MaxFailedPings', 'AutoRecover')
    equal([c.monitor.get(n) for n in names], [7000000, 3000000, 5, False])
    equal(c.monitor.get('State'), 'connected')

    def told():
        merged = {}
        for interface, changed, _ in c.heard('PropertiesChanged', ROOT):
            if interface == NAME + '.Monitor':
                merged.update(changed)
        return merged
    wait_for(lambda: set(names) <= set(told()))
    equal([told()[n] for n in names], [7000000, 3000000, 5, False])


@test
def sighup_reloads(t):
    _, d, c = t.connected()
    d.configure({'Heartbeat': {'Interval': '7s'}})
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: c.monitor.get('HeartbeatInterval') == 7000000)
    assert d.alive()


@test
def reload_with_another_address_dials_it(t):
    p, d, c = t.connected()
    c.listen()
    other = FakeParent(os.path.join(t.dir, 'other.sock')).start()
    t.parents.append(other)
    d.configure({'Parent': {'Address': 'unix:' + other.path}})
    c.manager.Reload()
    wait_for(lambda: other.of('ping'))
    c.monitor.state_is('connected')
    wait_for(lambda: c.monitor.get('Parent') == 'unix:' + other.path)
    wait_for(lambda: 'disconnected' in [s[0] for s in c.heard('ConnectionStateChanged')])
    equal(p.live(), None)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    equal((other.value('k'), p.value('k')), ('v', None))


@test
def reload_loses_nothing(t):
    d, c = t.offline()
    serial = c.storage.SetItem('k', 'v')
    waiting = c.storage.start('Await', serial, FOREVER)
    d.configure({'Debounce': {'Delay': '1s'}})
    c.manager.Reload()
    equal(c.storage.GetItem('k'), 'v')
    t.parent()
    waiting.wait()


@test
def reload_of_a_broken_file_keeps_the_daemon_up(t):
    _, d, c = t.connected()
    d.configure(text='[Parent]\nAddress=%s\n[Heartbeat]\nInterval=soon\nnonsense\n[[\n' % t.address)
    c.manager.Reload()
    equal(c.monitor.get('State'), 'connected')
    assert re.search(r'%s:4' % re.escape(os.path.basename(d.config)), d.log()), d.log()


@test
def names_of_files_need_not_be_text(t):
    """No message carries such a name as it is; an answer comes all the same, with the rest of it."""
    c = t.client()
    for odd in (b'\xff', '\uffff'.encode()):
        d = Daemon(t, args=['--parent', b'unix:/nowhere/' + odd])
        path = os.fsencode(d.config) + odd
        os.rename(d.config, path)
        d.argv = lambda argv=d.argv(), d=d: [path if a == d.config else a for a in argv]
        d.start()
        assert c.monitor.get('Parent').startswith('unix:/nowhere/')
        equal(c.monitor.all()['Parent'], c.monitor.get('Parent'))
        c.manager.Reload()
        os.unlink(path)
        os.mkdir(path)
        assert 'holdfastd-' in fails(FDO + 'IOError', c.manager.Reload).message
        d.stop()


@test
def reload_of_a_bad_address_keeps_the_parent_before(t):
    p, d, c = t.connected()
    d.configure({'Parent': {'Address': 'carrier-pigeon:coop'}})
    try:
        c.manager.Reload()
    except BusError as error:
        assert ' ' in error.message
    assert 'Address= is not an address' in d.log() and 'nothing was changed' in d.log(), d.log()
    assert 'using the default' not in d.log(), 'as if something had been changed'
    equal(c.monitor.get('State'), 'connected')
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)


@test
def reload_never_changes_from_or_to_local_and_then_changes_nothing(t):
    p, d, c = t.connected()
    before = c.monitor.all()
    d.configure({'Parent': {'Address': 'local:'}, 'Heartbeat': {'Interval': '77s'},
                 'Queue': {'Limit': '1'}})
    error = fails(FDO + 'InvalidArgs', c.manager.Reload)
    equal(error.message,
          'Address= changes from or to local: at a restart only; nothing was changed.')
    after = c.monitor.all()
    equal([after[n] for n in ('State', 'Parent', 'HeartbeatInterval')],
          [before[n] for n in ('State', 'Parent', 'HeartbeatInterval')])
    p.hold('batch')
    c.storage.SetItem('a', '1')
    serial = c.storage.SetItem('b', '1')
    p.release('batch')
    c.storage.Await(serial, FOREVER)
    d.configure({'Heartbeat': {'Interval': '77s'}})
    c.manager.Reload()
    equal(c.monitor.get('HeartbeatInterval'), 77000000)


@test
def reload_changes_queue_limits_of_open_areas(t):
    d, c = t.offline()
    c.storage.SetItem('a', '1')
    d.configure({'Queue': {'Limit': '1'}})
    c.manager.Reload()
    fails('QuotaExceeded', c.storage.SetItem, 'b', '1')
    d.configure({'Queue': {'Limit': '1'}, 'Area default': {'Limit': '2'}})
    c.manager.Reload()
    c.storage.SetItem('b', '1')


# ---- configuration ----

@test
def bad_values_are_warned_of_with_file_and_line(t):
    t.parent()
    d = t.daemon(text='\n'.join([
        '# a comment', '[Parent]', 'Address=' + t.address, 'Colour=red', '[Heartbeat]',
        'Interval=soon', 'MaxFailedPings=-3', '[Nonsense]', 'x=1', 'not a line', '[Storage]',
        'Durability=perhaps', 'MaxValueSize=10X', '[Queue]', 'Overflow=explode', '']))
    c = t.client()
    equal(c.monitor.get('HeartbeatInterval'), 5000000)
    equal(c.monitor.get('MaxFailedPings'), 3)
    name = os.path.basename(d.config)
    for line in (4, 6, 7, 10, 12, 13, 15):
        assert re.search(r'%s:%d\b' % (re.escape(name), line), d.log()), 'line %d: %s' % (line, d.log())
    assert re.search(r'%s:[89]\b' % re.escape(name), d.log())
    c.monitor.state_is('connected')


@test
def defaults_are_the_designs(t):
    t.daemon(text='[Parent]\nAddress=%s\n' % t.address)
    c = t.client()
    equal([c.monitor.get(n) for n in ('HeartbeatInterval', 'HeartbeatTimeout', 'MaxFailedPings',
                                      'AutoRecover', 'Parent')],
          [5000000, 2000000, 3, True, t.address])


@test
def the_default_parent_is_in_the_runtime_directory(t):
    t.daemon(text='')
    equal(t.client().monitor.get('Parent'), 'unix:' + os.path.join(t.dir, 'run/holdfast/parent.sock'))


@test
def spellings_of_booleans_and_times_are_taken(t):
    d = t.daemon({'Heartbeat': {'AutoRecover': 'off', 'Interval': '1min 30s', 'Timeout': '250ms'}})
    c = t.client()
    equal([c.monitor.get(n) for n in ('AutoRecover', 'HeartbeatInterval', 'HeartbeatTimeout')],
          [False, 90000000, 250000])
    for text, value in (('yes', True), ('0', False), ('1', True), ('no', False), ('on', True),
                        ('false', False), ('true', True)):
        d.configure({'Heartbeat': {'AutoRecover': text}})
        c.manager.Reload()
        equal(c.monitor.get('AutoRecover'), value, text)


@test
def an_area_section_overrides_for_one_area(t):
    _, c = t.offline({'Queue': {'Limit': '5'}, 'Area small': {'Limit': '1'},
                      'Area drops': {'Limit': '1', 'Overflow': 'drop-oldest'}})
    small, drops = c.area('small'), c.area('drops')
    small.SetItem('a', '1')
    fails('QuotaExceeded', small.SetItem, 'b', '1')
    drops.SetItem('a', '1')
    drops.SetItem('b', '1')
    equal([row[1] for row in drops.queue()], ['b'])
    for key in 'abcde':
        c.storage.SetItem(key, '1')
    fails('QuotaExceeded', c.storage.SetItem, 'f', '1')


def user_files(t, files):
    """Lay files under $XDG_CONFIG_HOME/holdfast and start a daemon that reads them."""
    top = os.path.join(t.dir, 'xdg-config', 'holdfast')
    os.makedirs(os.path.join(top, 'holdfastd.conf.d'))
    for name, text in files.items():
        with open(os.path.join(top, name), 'w') as file:
            file.write(text)
    d = Daemon(t)
    argv = [program('holdfastd'), '--state-dir', d.state, '--parent', t.address]
    d.argv = lambda: argv
    return d.start()


@test
def drop_ins_are_read_in_order_and_later_wins(t):
    user_files(t, {
        'holdfastd.conf': '[Heartbeat]\nInterval=11s\nTimeout=4s\nMaxFailedPings=9\n',
        'holdfastd.conf.d/20-b.conf': '[Heartbeat]\nInterval=13s\n',
        'holdfastd.conf.d/10-a.conf': '[Heartbeat]\nInterval=12s\nMaxFailedPings=8\n',
        'holdfastd.conf.d/30-c.txt': '[Heartbeat]\nInterval=99s\n'})
    c = t.client()
    equal([c.monitor.get(n) for n in ('HeartbeatInterval', 'HeartbeatTimeout', 'MaxFailedPings')],
          [13000000, 4000000, 8])


@test
def config_reads_that_file_alone(t):
    top = os.path.join(t.dir, 'xdg-config', 'holdfast')
    os.makedirs(os.path.join(top, 'holdfastd.conf.d'))
    with open(os.path.join(top, 'holdfastd.conf.d', 'x.conf'), 'w') as file:
        file.write('[Heartbeat]\nInterval=99s\n')
    t.daemon({'Heartbeat': {'Interval': '7s'}})
    equal(t.client().monitor.get('HeartbeatInterval'), 7000000)


@test
def the_parent_option_overrides_the_file(t):
    t.daemon({'Parent': {'Address': 'unix:/nonexistent/nowhere.sock'}}, args=['--parent', t.address])
    equal(t.client().monitor.get('Parent'), t.address)


@test
def the_state_directory_defaults_to_xdg_state_home(t):
    d = Daemon(t)
    argv = [program('holdfastd'), '--config', d.config]
    d.argv = lambda: argv
    d.start()
    assert os.listdir(os.path.join(t.dir, 'xdg-state', 'holdfast'))


@test
def the_state_directory_of_systemd_comes_first(t):
    where = os.path.join(t.dir, 'systemd-state')
    os.mkdir(where)
    d = Daemon(t, environ={'STATE_DIRECTORY': where})
    argv = [program('holdfastd'), '--config', d.config]
    d.argv = lambda: argv
    d.start()
    assert os.listdir(where)
    equal(os.listdir(os.path.join(t.dir, 'xdg-state')), [])


# ---- command line, start and stop ----

@test
def test_config_says_what_is_wrong_and_starts_nothing(t):
    path = os.path.join(t.dir, 'c.conf')
    with open(path, 'w') as file:
        file.write('[Heartbeat]\nInterval=soon\n')
    status, text = once(['--test-config', '--config', path], t)
    assert 'c.conf:2' in text, text
    with open(path, 'w') as file:
        file.write('[Heartbeat]\nInterval=5s\n')
    status, text = once(['--test-config', '--config', path], t)
    equal(status, 0)
    assert 'c.conf:' not in text, text


@test
def help_and_bad_options(t):
    status, text = once(['--help'], t)
    equal(status, 0)
    for option in ('--user', '--system', '--config', '--state-dir', '--parent', '--log-level',
                   '--bus-introspect', '--test-config', '--version'):
        assert option in text, option
    for args in (['--nonsense'], ['--log-level', 'loud'], ['stray']):
        status, text = once(args, t)
        assert status > 0 and text.strip(), args


@test
def a_bad_parent_address_is_refused_at_start(t):
    for address in ('carrier-pigeon:coop', 'unix:', 'nonsense', 'unix:relative'):
        status, text = once(['--config', '/dev/null', '--state-dir', t.dir, '--parent', address], t)
        assert status > 0 and text.strip(), (address, status)


@test
def no_bus_is_an_error_with_a_line(t):
    environ = dict(t.environ(), DBUS_SESSION_BUS_ADDRESS='unix:path=/nonexistent/bus')
    done = subprocess.run([program('holdfastd'), '--config', '/dev/null', '--state-dir', t.dir],
                          env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30 * SLOW)
    assert done.returncode > 0 and done.stdout.strip()


@test
def ready_comes_after_the_name_and_stopping_before_the_end(t):
    d = t.daemon()
    c = t.client()
    equal(c.manager.get('Version') != '', True)
    d.process.send_signal(signal.SIGTERM)
    equal(d.wait(), 0)
    assert d.notify.has('STOPPING=1')
    d.process = None


@test
def sigint_ends_it_cleanly_too(t):
    d, _ = t.offline()
    d.process.send_signal(signal.SIGINT)
    equal(d.wait(), 0)
    d.process = None


@test
def peer_answers(t):
    _, c = t.offline()
    equal(c.call(ROOT, 'org.freedesktop.DBus.Peer', 'Ping', None), None)
    assert c.call(ROOT, 'org.freedesktop.DBus.Peer', 'GetMachineId', None)


@test
def immense_times_and_sizes_are_survived(t):
    t.parent()
    t.daemon({'Heartbeat': {'Interval': 'infinity'}, 'Cache': {'TTL': 'infinity'},
              'Debounce': {'Delay': '0', 'MaxDelay': 'infinity'},
              'Retry': {'MaxDelay': 'infinity', 'Multiplier': '1000000', 'MaxAttempts': '4000000000'},
              'Reconnect': {'MaxDelay': 'infinity'}, 'Parent': {'BatchTimeout': 'infinity'},
              'Queue': {'Limit': '4000000000', 'MaxBytes': '1000000G'},
              'Storage': {'MaxBytes': '1000000G'}})
    c = t.client()
    c.monitor.state_is('connected')
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    equal(c.storage.GetItem('k'), 'v')
    fails('NoSuchItem', c.storage.GetItem, 'absent')


@test
def tiny_times_and_sizes_are_survived(t):
    t.parent()
    d = t.daemon({'Heartbeat': {'Interval': '0', 'Timeout': '0', 'MaxFailedPings': '0'},
                  'Cache': {'TTL': '0', 'MaxBytes': '0'}, 'Debounce': {'Delay': '0', 'MaxDelay': '0'},
                  'Retry': {'MaxAttempts': '0', 'InitialDelay': '0', 'MaxDelay': '0',
                            'Multiplier': '0'},
                  'Reconnect': {'InitialDelay': '0', 'MaxDelay': '0'}, 'Queue': {'Limit': '0'}})
    c = t.client()
    c.monitor.state_is('connected')
    c.storage.GetItems([])
    assert d.alive()


if __name__ == '__main__':
    main()
