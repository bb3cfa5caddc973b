#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the system sees of the daemon: the service manager, the journal, systemctl's log control."""

import itertools
import signal
import time

from disk import Disk
from harness import *
from journal import Journal

LOG_PATH = '/org/freedesktop/LogControl1'
LOG_NAME = 'org.freedesktop.LogControl1'
AREA_EVENTS = 10            # LIMIT_AREA_EVENTS


def told(d, word=''):
    """Everything the manager was told, of the assignments that begin so."""
    d.notify.has('')
    return [line for line in d.notify.text.splitlines() if line.startswith(word)]


def status(d):
    found = told(d, 'STATUS=')
    return found[-1][len('STATUS='):] if found else None


def status_is(d, *parts):
    wait_for(lambda: all(part in (status(d) or '') for part in parts), 'a status with %r' % (parts,))


# ---- the service manager ----

@test
def ready_is_told_when_the_name_is_owned(t):
    t.bus.freeze()
    try:
        d = Daemon(t).start(ready=False)
        never(lambda: told(d, 'READY'), 0.5)
    finally:
        t.bus.thaw()
    wait_for(lambda: told(d, 'READY=1'))
    c = t.client()
    owned = c.conn.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus',
                             'org.freedesktop.DBus', 'NameHasOwner',
                             GLib.Variant('(s)', (NAME,)), None, 0, -1, None)
    equal(owned.unpack(), (True,))
    c.storage.SetItem('k', 'v')
    equal(c.storage.GetItem('k'), 'v')
    equal(c.manager.ListAreas(), ['default'])
    equal(len(told(d, 'READY=1')), 1)


@test
def status_tells_the_state_and_the_queue(t):
    d, c = t.offline()
    status_is(d, 'disconnected (', t.address, 'nothing queued')
    for i in range(3):
        c.storage.SetItem('k%d' % i, 'x' * 8)
    status_is(d, '3 entries queued, 30 bytes')
    c.manager.OpenArea('other')
    Iface(c, ROOT + '/area/other', NAME + '.Storage').SetItem('k', 'x')
    status_is(d, '4 entries queued, 32 bytes')
    p = t.parent()
    status_is(d, 'connected to ' + t.address + '; nothing queued')
    p.stop()
    status_is(d, 'disconnected (')


@test
def status_names_the_parent_of_a_reload(t):
    d, c = t.offline()
    status_is(d, t.address)
    d.configure({'Parent': {'Address': t.address + '-2'}})
    c.manager.Reload()
    status_is(d, t.address + '-2;')


@test
def a_burst_is_told_once_a_second_and_ends_with_what_is_true(t):
    d, c = t.offline()
    status_is(d, 'nothing queued')
    before, began = len(told(d, 'STATUS=')), time.monotonic()
    for i in range(300):
        c.storage.SetItem('k%03d' % i, 'v')
    status_is(d, '300 entries queued')
    assert len(told(d, 'STATUS=')) - before <= time.monotonic() - began + 2, told(d, 'STATUS=')


@test
def an_idle_daemon_tells_nothing(t):
    d, c = t.offline({'Heartbeat': {'AutoRecover': 'no'}})
    status_is(d, 'disconnected (')
    c.storage.SetItem('k', 'v')
    status_is(d, '1 entry queued')
    before = len(told(d))
    never(lambda: len(told(d)) > before, 1.5)


@test
def stopping_is_told_first(t):
    d, c = t.offline()
    c.storage.SetItem('k', 'v')
    status_is(d, '1 entry queued')
    d.stop()
    lines = told(d)
    at = lines.index('STOPPING=1')
    assert lines[at + 1].startswith('STATUS=stopping; ') and '1 entry queued' in lines[at + 1], lines
    assert not told(d, 'READY=1') or lines.index('READY=1') < at


def pings(d):
    return len(told(d, 'WATCHDOG=1'))


@test
def the_watchdog_hears_from_us_twice_in_its_time(t):
    d = t.daemon(environ={'WATCHDOG_USEC': str(usec(400))})
    wait_for(lambda: pings(d) >= 2)
    before, began = pings(d), time.monotonic()
    wait_for(lambda: pings(d) >= before + 5)
    took = time.monotonic() - began
    assert secs(0.75) <= took <= secs(2.5), '5 pings of 0.2 s took %.2f s' % took
    d.process.send_signal(signal.SIGSTOP)
    try:
        told(d)
        never(lambda before=pings(d): pings(d) > before + 1, 1)
    finally:
        d.process.send_signal(signal.SIGCONT)
    before = pings(d)
    wait_for(lambda: pings(d) >= before + 2)


@test
def another_processs_watchdog_is_not_ours(t):
    d = t.daemon(environ={'WATCHDOG_USEC': str(usec(100)), 'WATCHDOG_PID': '1'})
    never(lambda: pings(d), 0.5)


@test
def a_disk_that_hangs_is_no_matter_of_the_watchdog(t):
    disk = Disk(t)
    d = t.daemon(environ=dict(disk.environ, WATCHDOG_USEC=str(usec(200))))
    c = t.client()
    c.storage.SetItem('k', 'v')
    disk.slow(1500)
    write = c.storage.start('SetItem', 'k2', 'v')
    before = pings(d)
    wait_for(lambda: pings(d) >= before + 4)
    assert not write.done
    equal(c.storage.GetItem('k'), 'v')
    disk.heal()
    write.wait()


# ---- LogControl1 ----

def log_get(c, name):
    return c.call(LOG_PATH, 'org.freedesktop.DBus.Properties', 'Get',
                  GLib.Variant('(ss)', (LOG_NAME, name)))


def log_set(c, name, value):
    return c.call(LOG_PATH, 'org.freedesktop.DBus.Properties', 'Set',
                  GLib.Variant('(ssv)', (LOG_NAME, name, GLib.Variant('s', value))))


@test
def the_log_is_controlled_as_systemctl_does_it(t):
    d, c = t.offline()
    equal(log_get(c, 'SyslogIdentifier'), 'holdfastd')
    equal(log_get(c, 'LogTarget'), 'auto')
    equal(log_get(c, 'LogLevel'), 'debug')          # as the harness starts it
    for level in ('emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'):
        log_set(c, 'LogLevel', level)
        equal(log_get(c, 'LogLevel'), level)
    for target in ('console', 'journal', 'null', 'auto'):
        log_set(c, 'LogTarget', target)
        equal(log_get(c, 'LogTarget'), target)
    d.restart()
    equal(log_get(c, 'LogLevel'), 'debug')


@test
def a_bad_level_or_target_changes_nothing(t):
    _, c = t.offline()
    for name, value in (('LogLevel', 'loud'), ('LogLevel', ''), ('LogLevel', '8'),
                        ('LogLevel', 'DEBUG'), ('LogTarget', 'kmsg'), ('LogTarget', 'syslog'),
                        ('LogTarget', '')):
        fails(FDO + 'InvalidArgs', log_set, c, name, value)
    equal(log_get(c, 'LogLevel'), 'debug')
    equal(log_get(c, 'LogTarget'), 'auto')
    fails((FDO + 'PropertyReadOnly', FDO + 'UnknownProperty'), log_set, c, 'SyslogIdentifier', 'x')


@test
def the_level_decides_what_is_logged(t):
    p, d, c = t.connected()

    def says(word):
        before = d.log().count(word)
        c.storage.Await(c.storage.SetItem('k', str(time.monotonic())), FOREVER)
        return d.log().count(word) > before
    assert says(': sent')
    log_set(c, 'LogLevel', 'info')
    assert not says(': sent')
    log_set(c, 'LogLevel', 'debug')
    assert says(': sent')
    log_set(c, 'LogTarget', 'null')
    assert not says(': sent')
    log_set(c, 'LogTarget', 'console')
    assert says(': sent')


@test
def log_control_looks_as_the_page_says(t):
    _, c = t.offline()
    xml = c.call(LOG_PATH, 'org.freedesktop.DBus.Introspectable', 'Introspect', None)
    node = Gio.DBusNodeInfo.new_for_xml(xml)
    have = node.lookup_interface(LOG_NAME)
    readable, writable = Gio.DBusPropertyInfoFlags.READABLE, Gio.DBusPropertyInfoFlags.WRITABLE
    equal({p.name: (p.signature, p.flags) for p in have.properties},
          {'LogLevel': ('s', readable | writable), 'LogTarget': ('s', readable | writable),
           'SyslogIdentifier': ('s', readable)})


# ---- the journal ----

@test
def start_and_stop_are_events(t):
    j = Journal(t)
    d = j.daemon(t)
    ready = j.one('READY')
    equal((ready['PRIORITY'], ready['SYSLOG_IDENTIFIER'], ready['HOLDFAST_PARENT'],
           ready['HOLDFAST_BUS']), ('6', 'holdfastd', t.address, 'user'))
    assert ready['MESSAGE'].startswith('Ready'), ready
    d.stop()
    j.one('STOPPING')
    j.check_fields()
    equal(d.log(), '', 'what the journal has is not on standard error too')


@test
def the_parent_is_lost_and_restored_once_each(t):
    j = Journal(t)
    p = t.parent()
    d = j.daemon(t)
    c = t.client()
    c.monitor.state_is('connected')
    for turn_ in range(2):
        p.stop()
        c.monitor.state_is('disconnected')
        p.hold('ping')                      # up, but never ready: the state flaps below
        dials = len(p.conns)
        p.start()
        wait_for(lambda: len(p.conns) > dials + 1)
        p.drop()
        p.release('ping')
        c.monitor.state_is('connected')
        equal((len(j.of('PARENT_LOST')), len(j.of('PARENT_RESTORED'))), (turn_ + 1, turn_ + 1))
    lost, restored = j.of('PARENT_LOST')[0], j.of('PARENT_RESTORED')[0]
    equal((lost['HOLDFAST_OLD_STATE'], lost['HOLDFAST_STATE'], lost['HOLDFAST_PARENT']),
          ('connected', 'disconnected', t.address))
    equal(lost['HOLDFAST_REASON'].split(':')[0], 'closed')
    equal((restored['HOLDFAST_OLD_STATE'], restored['HOLDFAST_STATE'],
           restored['HOLDFAST_REASON']), ('connecting', 'connected', 'ok'))
    d.stop()
    equal(len(j.of('PARENT_LOST')), 2, 'a stop is no loss')
    equal(j.of('PARENT_AWAY'), [])
    j.check_fields()


@test
def a_parent_that_is_not_there_at_start_is_an_event_of_its_own(t):
    j = Journal(t)
    j.daemon(t)
    c = t.client()
    c.monitor.state_is('disconnected')
    equal(j.one('PARENT_AWAY')['HOLDFAST_STATE'], 'disconnected')
    t.parent()
    c.monitor.state_is('connected')
    j.one('PARENT_AWAY')
    equal((j.of('PARENT_LOST'), j.of('PARENT_RESTORED')), ([], []))
    j.check_fields()


@test
def lost_data_and_a_new_client_id_are_events(t):
    j = Journal(t)
    p = t.parent()
    j.daemon(t)
    c = t.client()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    client = p.of('hello')[-1]['client']
    p.last.clear()
    p.drop()
    equal(j.one('PARENT_LOST_DATA')['HOLDFAST_PARENT'], t.address)
    c.monitor.state_is('connected')
    p.last[client] = (10 ** 6, 'e' * 32, None)
    p.drop()
    assert j.one('NEW_CLIENT')['HOLDFAST_REASON']
    j.check_fields()


@test
def what_a_client_can_repeat_is_counted(t):
    j = Journal(t)
    d = j.daemon(t, {'Queue': {'Limit': '2'}})
    c = t.client()
    for i in range(2):
        c.storage.SetItem('k%d' % i, 'v')
    for i in range(AREA_EVENTS + 30):
        fails('QuotaExceeded', c.storage.SetItem, 'more', 'v')
    equal(len(j.of('QUOTA')), AREA_EVENTS)
    assert 'Limit' in j.of('QUOTA')[0]['HOLDFAST_REASON']
    # Another area has entries of its own.
    other = Iface(c, c.manager.OpenArea('other'), NAME + '.Storage')
    for i in range(2):
        other.SetItem('k%d' % i, 'v')
    fails('QuotaExceeded', other.SetItem, 'more', 'v')
    wait_for(lambda: len(j.of('QUOTA')) == AREA_EVENTS + 1)
    equal(j.of('QUOTA')[-1]['HOLDFAST_AREA'], 'other')
    d.stop()
    told_ = [e for e in j.of('QUOTA') if e['HOLDFAST_SUPPRESSED'] != '0']
    equal([(e['HOLDFAST_AREA'], e['HOLDFAST_SUPPRESSED']) for e in told_], [('default', '30')])


@test
def drops_and_refusals_are_events_without_keys(t):
    j = Journal(t)
    p = t.parent()
    p.refuse_ops['private-key'] = ('rejected', 'the value s3cret is bad')
    d = j.daemon(t, {'Queue': {'Limit': '3', 'Overflow': 'drop-oldest'},
                     'Debounce': {'Delay': '1h', 'MaxDelay': '1h'}})
    c = t.client()
    first = c.storage.SetItem('private-1', 'v')
    for i in range(2, 5):
        c.storage.SetItem('private-%d' % i, 'v')
    equal(j.one('DROPPED')['HOLDFAST_SERIAL'], str(first))
    c.monitor.state_is('connected')
    c.storage.Flush(FOREVER)
    refused = c.storage.SetItem('private-key', 's3cret')
    c.storage.Flush(FOREVER)
    entry = j.one('REJECTED')
    equal((entry['HOLDFAST_SERIAL'], entry['HOLDFAST_AREA'], entry['HOLDFAST_REASON']),
          (str(refused), 'default', 'rejected'))
    equal(c.storage.ListRejected()[0][3], 'the value s3cret is bad')
    assert 'private-' not in j.text() + d.log() and 's3cret' not in j.text() + d.log()
    j.check_fields()


@test
def a_disk_that_fails_is_told_at_its_beginning(t):
    disk = Disk(t)
    j = Journal(t)
    j.daemon(t, environ=disk.environ)
    c = t.client()
    c.storage.SetItem('k', 'v')
    disk.fail()
    for i in range(5):
        fails(FDO + 'IOError', c.storage.SetItem, 'k%d' % i, 'v')
    assert j.one('DISK_FAILED')['HOLDFAST_REASON']
    disk.heal()
    c.storage.SetItem('k', 'again')
    equal(j.one('DISK_WORKS', 15 * SLOW)['HOLDFAST_FAILURES'], '5')
    j.one('DISK_FAILED')
    j.check_fields()


@test
def a_damaged_database_is_an_event(t):
    j = Journal(t)
    d = j.daemon(t)
    t.client().storage.SetItem('k', 'v')
    d.stop()
    path = d.database()
    with open(path, 'r+b') as file:
        file.write(b'this is no database at all' * 10)
    d.start()
    entry = j.one('CORRUPTION')
    assert entry['HOLDFAST_PATH'].startswith(path + '.corrupt-'), entry
    assert os.path.exists(entry['HOLDFAST_PATH'])
    int(entry['HOLDFAST_ROWS_KEPT']), int(entry['HOLDFAST_ROWS_LOST'])
    j.check_fields()


@test
def the_configuration_is_an_event(t):
    j = Journal(t)
    d = j.daemon(t, {'Queue': {'Limit': 'many'}})
    c = t.client()
    problem = j.one('CONFIG_PROBLEM')
    line = int(problem['HOLDFAST_CONFIG_LINE'])
    with open(d.config) as file:
        equal(file.read().splitlines()[line - 1], 'Limit=many')
    equal(problem['HOLDFAST_CONFIG_FILE'], d.config)
    d.configure()
    c.manager.Reload()
    j.one('CONFIG_RELOADED')
    d.configure({'Parent': {'Address': 'local:'}})
    d.process.send_signal(signal.SIGHUP)
    assert 'restart' in j.one('CONFIG_REFUSED')['HOLDFAST_REASON']
    j.one('CONFIG_RELOADED')
    j.check_fields()


@test
def a_journald_that_hangs_holds_nobody_up(t):
    j = Journal(t)
    d = j.daemon(t)
    c = t.client()
    c.monitor.state_is('disconnected')
    j.hang()
    for i in range(600):                    # systemd lets 512 wait, the kernel 10
        log_set(c, 'LogLevel', 'debug')     # an entry each
    c.storage.SetItem('k', 'v')
    equal(c.storage.GetItem('k'), 'v')
    j.wake()
    wait_for(lambda: log_set(c, 'LogLevel', 'debug') or
             [e for e in j.all() if 'missing here' in e['MESSAGE']])
    equal(d.log(), '', 'standard error is the same journal')


@test
def without_journald_standard_error_has_it(t):
    j = Journal(t)
    d = j.daemon(t, start=False)
    os.unlink(os.path.join(j.dir, 'socket'))
    d.start()
    assert '<6>Ready; parent ' + t.address in d.log().splitlines(), d.log()


# ---- what never is in the log ----

def say_secrets(t, p, c, secret):
    """Every way a value takes, and a parent that repeats what it hears."""
    p.refuse_ops['refused'] = ('rejected', 'bad value ' + next(secret))
    for key in ('k', 'refused', 'dropped', 'kept-1', 'kept-2'):
        c.storage.SetItem(key, next(secret))
    c.storage.SetItems({'g1': next(secret), 'refused-too': next(secret)})
    fails('TooLarge', c.storage.SetItem, 'k', next(secret) * 100000)
    c.storage.Flush(FOREVER)
    c.direct.SetItem('d', next(secret))
    c.storage.RetryRejected(c.storage.ListRejected()[0][0])
    p.put('theirs', next(secret))
    c.storage.GetItem('theirs')
    p.on['saveToParentStorage'] = lambda conn, m: conn.send(
        p.error(m, 'permanent', 'not this: ' + m['value']))
    fails('Rejected', c.direct.SetItem, 'd', next(secret))
    once = {'left': 2}

    def refuse(conn, message):
        if once['left'] == 0:
            return DEFAULT
        once['left'] -= 1
        return conn.send(p.error(message, 'transient' if once['left'] else 'permanent',
                                 'no: ' + str(message['ops'])))
    p.on['batch'] = refuse
    c.storage.SetItem('again', next(secret))
    c.storage.Flush(FOREVER)


def say_garbage(p, c, secret):
    """Lines no parent sends, with what it should keep to itself."""
    for text in ('{"type":"storageResponse","value":"%s"}' % next(secret),
                 '{"type":"error","class":"permanent","message":"your value was %s"}' % next(secret),
                 '{"type":"error","class":"transient","message":"%s"}' % next(secret),
                 'no JSON: ' + next(secret), '{"type":"%s"}' % next(secret),
                 '{"type":"batchAck","batch":"%s"}' % next(secret)):
        c.monitor.state_is('connected')
        dials, conn = len(p.conns), p.live()
        conn.sock.sendall(text.encode() + b'\n')
        if '"type":"SECRET' not in text:            # an unknown type is no offence
            wait_for(lambda: len(p.conns) > dials)


@test
def no_value_and_no_token_is_in_the_log(t):
    token = os.path.join(t.dir, 'token')
    with open(token, 'w') as file:
        file.write('SECRET-TOKEN\n')
    p = t.parent()
    d = t.daemon({'Parent': {'TokenFile': token}, 'Queue': {'Limit': '10'},
                  'Storage': {'MaxValueSize': '1000'}})
    c = t.client()
    c.monitor.state_is('connected')
    secret = ('SECRET-%d-' % i for i in itertools.count())
    say_secrets(t, p, c, secret)
    say_garbage(p, c, secret)
    p.on['hello'] = lambda conn, m: conn.send(
        {'type': 'error', 'class': 'auth', 'message': 'unknown token ' + m['token']})
    p.drop()
    wait_for(lambda: c.monitor.reason() == 'auth')
    assert 'SECRET' not in c.monitor.get('Reason'), 'everybody may read it'
    assert 'auth' in status(d) or wait_for(lambda: 'auth' in status(d))
    d.stop()
    assert 'SECRET' not in d.log(), [line for line in d.log().splitlines() if 'SECRET' in line]
    assert 'SECRET' not in d.notify.text
    assert ': sent' in d.log(), 'the log is at debug'


if __name__ == '__main__':
    main()
