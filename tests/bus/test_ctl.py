#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfastctl: every verb, its exit codes, its JSON."""

import json
import pty
import re
import signal
import subprocess

from harness import *


def ctl(t, *args, stdin=None, status=0):
    """Run holdfastctl: what it printed. With another status than wanted, fail."""
    done = subprocess.run([program('holdfastctl')] + list(args), env=t.environ(), input=stdin,
                          stdin=None if stdin is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30 * SLOW)
    out, err = done.stdout.decode(), done.stderr.decode()
    equal(done.returncode, status, 'exit status of holdfastctl %s (%r)' % (' '.join(args), err))
    assert SANITIZER.search(err) is None, err
    if status != 0:
        assert err.strip().count('\n') <= 1 and ' ' in err.strip(), 'not a sentence: %r' % err
    return out


@test
def set_get_remove(t):
    _, c = t.offline()
    serial = int(ctl(t, 'set', 'k', 'value with spaces'))
    equal(c.storage.GetItem('k'), 'value with spaces')
    equal(ctl(t, 'get', 'k'), 'value with spaces\n')
    assert int(ctl(t, 'remove', 'k')) > serial
    ctl(t, 'get', 'k', status=3)


@test
def set_reads_standard_input_to_the_byte(t):
    _, c = t.offline()
    for value in ('from a pipe\n', '', 'ä\nb', 'x' * 2 ** 20):
        ctl(t, 'set', 'k', '-', stdin=value.encode())
        equal(c.storage.GetItem('k'), value)
    ctl(t, 'set', 'k', '-', stdin=b'x' * (2 ** 20 + 1), status=1)
    ctl(t, 'set', 'k', '-', stdin=b'nul\0', status=1)
    ctl(t, 'set', 'k', '-', stdin=b'\xff\xfe', status=1)
    equal(c.storage.GetItem('k'), 'x' * 2 ** 20)


@test
def what_no_message_can_carry_is_refused_with_a_word(t):
    t.offline()
    for text, word in (('\uffff', 'U+FFFF'), (b'\xff', 'UTF-8')):
        for args in (['get', text], ['get', '--json=short', text], ['set', text, 'v'],
                     ['set', 'k', text], ['remove', text], ['list', text]):
            assert word in complaint(t, *args), args


@test
def raw_prints_the_value_to_the_byte(t):
    p, _, c = t.connected()
    for value in ('plain', '', 'with a newline\n', 'ä\nb'):
        c.storage.SetItem('k', value)
        equal(ctl(t, 'get', '--raw', 'k'), value)
    p.refuse_ops['bad'] = ('rejected', 'not nice')
    serial = c.storage.SetItem('bad', 'refused')
    fails('Rejected', c.storage.Await, serial, FOREVER)
    equal(ctl(t, 'queue', '--raw', '--show=%d' % serial), 'refused')
    for args in (['set', 'k', 'v', '--raw'], ['queue', '--raw'], ['get', 'k', '--raw', '--json=short']):
        ctl(t, *args, status=2)


@test
def refused_writes_do_not_fail_flush(t):
    p, _, c = t.connected()
    p.refuse_ops['bad'] = ('rejected', 'not nice')
    serial = ctl(t, 'set', 'bad', 'v').strip()
    ctl(t, 'flush')
    ctl(t, 'await', serial, status=1)


def complaint(t, *args, environ=None):
    """What holdfastctl says on standard error."""
    done = subprocess.run([program('holdfastctl')] + list(args), env=environ or t.environ(),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=30 * SLOW)
    return done.stderr.decode()


@test
def errors_name_what_a_user_of_the_command_can_do(t):
    absent = 'holdfastctl: holdfastd is not running on this bus; start it with '
    equal(complaint(t, 'get', 'k'), absent + "'systemctl --user start holdfastd'\n")
    equal(complaint(t, '--system', 'get', 'k', environ=dict(t.environ(), DBUS_SYSTEM_BUS_ADDRESS=t.bus.address)),
          absent + "'systemctl start holdfastd'\n")
    p, _, c = t.connected()
    p.refuse_ops['bad'] = ('rejected', 'not nice')
    serial = c.storage.SetItem('bad', 'v')
    fails('Rejected', c.storage.Await, serial, FOREVER)
    text = complaint(t, 'await', str(serial))
    for option in ('--rejected', '--retry', '--drop'):
        assert option in text, text
    assert 'ListRejected' not in text, text


def bus_complaint(t, *args, **variables):
    """What it says without a bus; @variables are all it knows of one."""
    environ = {name: value for name, value in t.environ().items()
               if name not in ('DBUS_SESSION_BUS_ADDRESS', 'XDG_RUNTIME_DIR')}
    ctl_args = list(args) + ['get', 'k']
    return complaint(t, *ctl_args, environ=dict(environ, **variables))


@test
def without_a_bus_it_says_where_it_looked(t):
    text = bus_complaint(t)
    assert 'neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set' in text, text
    equal('--system' in text, os.geteuid() == 0)
    text = bus_complaint(t, XDG_RUNTIME_DIR=t.dir + '/run')
    assert 'no user bus at %s/run/bus (No such file' % t.dir in text, text
    equal('--system' in text, os.geteuid() == 0)
    text = bus_complaint(t, XDG_RUNTIME_DIR=t.dir + '/run', DBUS_SESSION_BUS_ADDRESS='unix:path=/nowhere\x1b')
    assert 'no user bus at unix:path=/nowhere? (No such file' in text, text
    text = bus_complaint(t, XDG_RUNTIME_DIR=b'/nowhere\xff\xe2')
    assert 'no user bus at /nowhere\ufffd\ufffd/bus (' in text, text
    text = bus_complaint(t, '--system', DBUS_SYSTEM_BUS_ADDRESS='unix:path=/nowhere')
    assert 'no system bus at unix:path=/nowhere (No such file' in text and '--system' not in text, text


@test
def hints_repeat_the_options_that_were_typed(t):
    p, _, c = t.connected()
    p.refuse_ops['bad'] = ('rejected', 'not nice')
    # An area may be named like what the hints replace.
    for name in ('rej', 'ListRejected', 'DropRejected', '--x'):
        serial = c.area(name).SetItem('bad', 'v')
        fails('Rejected', c.area(name).Await, serial, FOREVER)
        text = complaint(t, '--area', name, 'await', str(serial))
        for action in ('--rejected', '--retry=SERIAL', '--drop=SERIAL'):
            assert "'holdfastctl --area=%s queue %s'" % (name, action) in text, text
        assert '1 (holdfastctl --area=%s queue --rejected)\n' % name in ctl(t, '--area=' + name, 'status')
        equal(json.loads(ctl(t, '--area=' + name, 'queue', '--rejected', '--json=short'))[0]['serial'], serial)
    serial = c.storage.SetItem('bad', 'v')
    fails('Rejected', c.storage.Await, serial, FOREVER)
    assert "'holdfastctl queue --rejected'" in complaint(t, 'await', str(serial))
    assert '1 (holdfastctl queue --rejected)\n' in ctl(t, 'status')
    # Any bus will do for the system's.
    system = dict(t.environ(), DBUS_SYSTEM_BUS_ADDRESS=t.bus.address)
    text = complaint(t, '--system', '--area=rej', 'await', '1', environ=system)
    assert "'holdfastctl --system --area=rej queue --rejected'" in text, text
    text = complaint(t, '--system', '--area=typo', 'queue', environ=system)
    assert "'holdfastctl --system areas'" in text, text


@test
def list_lists_with_a_prefix(t):
    _, c = t.offline()
    for key in ('b', 'a1', 'a2'):
        c.storage.SetItem(key, 'v')
    equal(ctl(t, 'list'), 'a1\na2\nb\n')
    equal(ctl(t, 'list', 'a'), 'a1\na2\n')
    equal(ctl(t, 'list', 'zz'), '')
    equal(json.loads(ctl(t, '--json=short', 'list')), ['a1', 'a2', 'b'])


@test
def an_area_can_be_chosen(t):
    _, c = t.offline()
    ctl(t, '--area', 'mine', 'set', 'k', 'v')
    equal(c.area('mine').GetItem('k'), 'v')
    fails('Unavailable', c.storage.GetItem, 'k')
    equal(ctl(t, 'get', 'k', '--area=mine'), 'v\n')
    ctl(t, '--area=.bad', 'get', 'k', status=2)


@test
def to_look_at_an_area_does_not_make_it(t):
    _, c = t.offline()
    before = c.manager.ListAreas()
    for args in (['list'], ['list', 'prefix'], ['queue'], ['queue', '--rejected'], ['queue', '--show=1'],
                 ['queue', '--retry=1'], ['queue', '--drop=1'], ['status'], ['flush'],
                 ['status', '--json=short']):
        ctl(t, '--area=typo', *args, status=1)
        equal(complaint(t, '--area=typo', *args),
              "holdfastctl: There is no area typo here; see 'holdfastctl areas'.\n")
    ctl(t, '--area=typo', 'areas')
    ctl(t, '--area=typo', 'metrics')
    equal(c.manager.ListAreas(), before)


@test
def to_use_an_area_makes_it(t):
    _, c = t.offline()
    for args, status in ((['get', 'k'], 4), (['set', 'k', 'v'], 0), (['remove', 'k'], 0), (['await', '9'], 1)):
        name = 'new-' + args[0]
        ctl(t, '--area=' + name, *args, status=status)
        assert name in c.manager.ListAreas(), c.manager.ListAreas()
        ctl(t, '--area=' + name, 'queue')
    assert ctl(t, '--area=new-set', 'list') == 'k\n'
    assert 'new-set' in ctl(t, '--area=new-set', 'status')


@test
def exit_codes_are_the_designs(t):
    _, c = t.offline()
    ctl(t, 'get', 'unknown', status=4)
    c.storage.RemoveItem('gone')
    ctl(t, 'get', 'gone', status=3)
    ctl(t, 'set', '', 'v', status=1)
    for args in ([], ['explode'], ['get'], ['get', 'a', 'b'], ['set', 'k'], ['--nonsense', 'get', 'k'],
                 ['--json=xml', 'get', 'k'], ['await', 'soon'], ['await'], ['status', 'extra'],
                 ['--timeout=soon', 'flush']):
        ctl(t, *args, status=2)
    equal(ctl(t, '--help').startswith('holdfastctl'), True)
    assert c.manager.get('Version') in ctl(t, '--version')


@test
def without_a_daemon_it_says_so(t):
    for args in (['get', 'k'], ['set', 'k', 'v'], ['status'], ['queue'], ['flush'], ['list']):
        ctl(t, *args, status=5)


@test
def without_a_bus_it_says_so(t):
    environ = dict(t.environ(), DBUS_SESSION_BUS_ADDRESS='unix:path=/nonexistent/bus')
    done = subprocess.run([program('holdfastctl'), 'get', 'k'], env=environ, timeout=30 * SLOW,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode in (1, 5) and done.stderr.strip()


@test
def json_of_get_tells_all(t):
    p, _, c = t.connected()
    revision = p.put('k', 'v"\\\n')
    got = json.loads(ctl(t, '--json=short', 'get', 'k'))
    equal((got['value'], got['source'], got['stale'], got['pending'], got['revision']),
          ('v"\\\n', 'parent', False, False, revision))
    pretty = ctl(t, '--json=pretty', 'get', 'k')
    assert pretty.count('\n') > 3
    equal(json.loads(pretty)['source'], 'cache')
    assert json.loads(ctl(t, '--json=short', 'set', 'k', 'w'))['serial'] >= 1


@test
def status_says_how_it_is(t):
    p, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    text = ctl(t, 'status')
    for part in ('connected', 'ok', t.address, 'default'):
        assert part in text, text
    got = json.loads(ctl(t, '--json=short', 'status'))
    equal((got['state'], got['reason'].split(':')[0], got['parent'], got['queueSize'],
           got['rejected']), ('connected', 'ok', t.address, 0, 0))
    assert abs(got['since'] / 1e6 - time.time()) < 120
    assert got['averageLatency'] > 0
    p.stop()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('k', 'v')
    got = json.loads(ctl(t, '--json=short', 'status'))
    equal((got['state'], got['queueSize']), ('disconnected', 1))
    assert got['lastError'], got
    assert 'disconnected' in ctl(t, 'status')


def status_line(t, title):
    return re.search('^ *%s: (.*)$' % title, ctl(t, 'status'), re.M).group(1)


@test
def status_says_when_the_last_error_was(t):
    p, _, c = t.connected()
    equal(status_line(t, 'Last error'), 'none')
    p.stop()
    c.monitor.state_is('disconnected')
    # The daemon dials on; between two dials the error is why the line is down.
    wait_for(lambda: re.fullmatch(r'(refused|closed): .* \([0-9].* ago\)', status_line(t, 'Last error')),
             'the age of the error')
    p.start()
    c.monitor.state_is('connected')
    line = status_line(t, 'Last error')
    assert re.fullmatch(r'(refused|closed): .* \(before the line came back [0-9].* ago\)', line), line
    assert json.loads(ctl(t, '--json=short', 'status'))['lastError'] in line


@test
def queue_lists_what_waits(t):
    _, c = t.offline()
    equal(ctl(t, 'queue'), '')
    serial = c.storage.SetItem('typed-key', 'v')
    c.storage.RemoveItem('gone-key')
    text = ctl(t, 'queue')
    assert 'typed-key' in text and 'gone-key' in text and 'remove' in text and str(serial) in text
    rows = json.loads(ctl(t, '--json=short', 'queue'))
    equal([(r['serial'], r['operation'], r['key']) for r in rows],
          [(serial, 'set', 'typed-key'), (serial + 1, 'remove', 'gone-key')])
    assert rows[0]['state'] in ('held', 'pending')


@test
def rejected_writes_can_be_seen_retried_and_dropped(t):
    p, _, c = t.connected()
    p.refuse_ops['bad'] = ('rejected', 'not nice')
    serials = []
    for value in ('one', 'two'):
        serials.append(c.storage.SetItem('bad', value))
        fails('Rejected', c.storage.Await, serials[-1], FOREVER)
    text = ctl(t, 'queue', '--rejected')
    assert 'bad' in text and 'not nice' in text, text
    rows = json.loads(ctl(t, '--json=short', 'queue', '--rejected'))
    equal([(r['serial'], r['key'], r['message']) for r in rows],
          [(s, 'bad', 'not nice') for s in serials])
    equal(ctl(t, 'queue', '--show=%d' % serials[0]), 'one\n')
    ctl(t, 'queue', '--drop=%d' % serials[0])
    p.refuse_ops.clear()
    again = int(ctl(t, 'queue', '--retry=%d' % serials[1]))
    ctl(t, 'await', str(again))
    equal(p.value('bad'), 'two')
    equal(ctl(t, 'queue', '--rejected'), '')
    ctl(t, 'queue', '--drop=%d' % serials[0], status=1)


@test
def await_and_flush_wait(t):
    p, _, c = t.connected({'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    serial = ctl(t, 'set', 'k', 'v').strip()
    ctl(t, 'await', serial, '--timeout=100ms', status=1)
    ctl(t, 'flush')
    equal(p.value('k'), 'v')
    ctl(t, 'await', serial)
    ctl(t, 'await', '999', status=1)
    p.hold('batch')
    ctl(t, 'set', 'k', 'w')
    ctl(t, 'flush', '--timeout=100ms', status=1)


@test
def flush_shows_progress_on_a_terminal(t):
    p, _, c = t.connected({'Debounce': {'Delay': '30s', 'MaxDelay': '60s'}})
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    master, slave = pty.openpty()
    process = subprocess.Popen([program('holdfastctl'), 'flush'], env=t.environ(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    os.set_blocking(master, False)
    text = b''

    def shown():
        nonlocal text
        try:
            text += os.read(master, 4096)
        except (BlockingIOError, OSError):
            pass
        return b'1' in text
    wait_for(shown)
    p.release('batch')
    wait_for(lambda: process.poll() is not None)
    equal(process.returncode, 0)
    os.close(master)


@test
def watch_shows_changes_live(t):
    p, d, c = t.connected()
    out = os.path.join(t.dir, 'watch.out')
    with open(out, 'w') as file:
        process = subprocess.Popen([program('holdfastctl'), '--json=short', 'watch'],
                                   env=t.environ(), stdin=subprocess.DEVNULL, stdout=file)
    try:
        def events(name):
            with open(out) as file:
                found = [json.loads(line) for line in file.read().split('\n')[:-1]]
            return [e for e in found if e['event'] == name]
        wait_for(lambda: events('ConnectionStateChanged'))      # how it is at the start
        c.storage.SetItem('k', 'v')
        wait_for(lambda: any(e['key'] == 'k' for e in events('ItemChanged')))
        wait_for(lambda: events('QueueChanged'))
        p.stop()
        wait_for(lambda: any(e['state'] == 'disconnected' for e in events('ConnectionStateChanged')))
        d.stop()
        wait_for(lambda: events('DaemonGone'))
        d.start()
        wait_for(lambda: events('DaemonBack'))
        c.storage.SetItem('again', 'v')
        wait_for(lambda: any(e['key'] == 'again' for e in events('ItemChanged')))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


if __name__ == '__main__':
    main()
