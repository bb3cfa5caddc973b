#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several of us: daemons that share a parent, a copied state, parents of other users, a bus that
goes away, and a daemon that has nothing to do."""

import re
import shutil
import subprocess

from harness import *


class Other:
    """A second daemon, on a bus of its own."""

    def __init__(self, t, state):
        self.bus = Bus()
        t.closers.append(self.bus.stop)
        self.daemon = t.daemon(state=os.path.join(t.dir, state),
                               environ={'DBUS_SESSION_BUS_ADDRESS': self.bus.address})
        self.client = Client(self.bus)
        t.closers.insert(0, self.client.close)


@test
def two_daemons_share_a_parent(t):
    t.parentd()
    t.daemon({'Cache': {'TTL': '0'}})
    c, other = t.client(), Other(t, 'second').client
    for client in (c, other):
        client.monitor.state_is('connected')
    c.storage.Await(c.storage.SetItem('k', 'from one'), FOREVER)
    equal(other.storage.GetItem('k'), 'from one')
    other.storage.Await(other.storage.RemoveItem('k'), FOREVER)
    fails('NoSuchItem', c.storage.GetItem, 'k')


@test
def a_copied_state_gets_a_client_id_of_its_own(t):
    p, d, c = t.connected()
    c.storage.Await(c.storage.SetItem('before', '1'), FOREVER)
    d.stop()
    shutil.copytree(d.state, os.path.join(t.dir, 'copy'))
    d.start()
    other = Other(t, 'copy').client
    c.storage.SetItem('one', '1')
    other.storage.SetItem('two', '2')
    c.storage.Flush(FOREVER)
    other.storage.Flush(FOREVER)
    for client, key in ((c, 'one-more'), (other, 'two-more')):
        client.storage.Await(client.storage.SetItem(key, 'v'), FOREVER)
    equal([p.value(k) for k in ('one', 'two', 'one-more', 'two-more')], ['1', '2', 'v', 'v'])
    assert len({r['client'] for r in p.of('hello')}) >= 2


FOREIGN = '''
import os, sys
sys.path.insert(0, %r)
os.setgid(65534)
os.setuid(65534)
from fakeparent import FakeParent
p = FakeParent(sys.argv[1]).start()
p.on['accept'] = lambda conn: print('accept', flush=True)
p.on['hello'] = lambda conn, m: print('hello', flush=True) or p.do_hello(conn, m)
print('up', flush=True)
sys.stdin.read()
'''


def foreign_parent(t):
    """A parent that runs as nobody."""
    if os.geteuid() != 0:
        raise Skip('only root can start a parent as another user')
    os.chmod(t.dir, 0o711)
    where = os.path.join(t.dir, 'open')
    os.mkdir(where)
    os.chmod(where, 0o777)
    # The tests themselves may lie where nobody cannot read.
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fakeparent.py'), where)
    path = os.path.join(where, 'parent.sock')
    process = subprocess.Popen(['/usr/bin/python3', '-c', FOREIGN % where, path],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end():
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    t.closers.append(end)
    equal(process.stdout.readline(), b'up\n')
    return process, 'unix:' + path


@test
def a_parent_of_another_user_is_not_trusted(t):
    process, address = foreign_parent(t)
    t.daemon({'Parent': {'Address': address}})
    c = t.client()
    c.monitor.state_is('disconnected')
    assert c.monitor.reason() in ('auth', 'refused'), c.monitor.get('Reason')
    c.storage.SetItem('k', 'v')
    never(lambda: c.monitor.get('State') == 'connected')
    os.set_blocking(process.stdout.fileno(), False)
    assert b'hello' not in (process.stdout.read() or b''), 'it was greeted'


@test
def a_parent_of_parent_user_is_trusted(t):
    _, address = foreign_parent(t)
    for user in ('nobody', '65534'):
        d = t.daemon({'Parent': {'Address': address, 'ParentUser': user}})
        c = t.client()
        c.monitor.state_is('connected')
        c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
        d.stop()


@test
def the_bus_may_go_and_come_back(t):
    p = t.parent()
    bus = Bus()
    t.closers.append(bus.stop)
    d = t.daemon(environ={'DBUS_SESSION_BUS_ADDRESS': bus.address.split(',')[0]})
    c = Client(bus)
    c.monitor.state_is('connected')
    p.hold('batch')
    serial = c.storage.SetItem('k', 'v')
    bus.kill()
    p.release('batch')
    wait_for(lambda: p.value('k') == 'v')       # the daemon goes on with its work
    bus.start()
    again = Client(bus)
    t.closers.insert(0, again.close)

    def has_owner():
        return again.conn.call_sync('org.freedesktop.DBus', '/', 'org.freedesktop.DBus',
                                    'NameHasOwner', GLib.Variant('(s)', (NAME,)), None, 0, -1,
                                    None).unpack()[0]
    wait_for(has_owner, 'the name on the new bus', 10 * SLOW)
    again.storage.Await(serial, FOREVER)
    equal(again.storage.GetItem('k'), 'v')
    assert d.alive()


def activity(d):
    """(times it woke, CPU ticks used), over all threads."""
    wakes = ticks = 0
    for task in os.listdir('/proc/%d/task' % d.process.pid):
        base = '/proc/%d/task/%s/' % (d.process.pid, task)
        with open(base + 'status') as file:
            wakes += int(re.search(r'\nvoluntary_ctxt_switches:\s+(\d+)', file.read()).group(1))
        with open(base + 'stat') as file:
            fields = file.read().rsplit(')', 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return wakes, ticks


def is_idle(d, what):
    """One second in which the daemon hardly wakes."""
    never(lambda: False, 0.3)                   # let what was begun end
    wakes, ticks = activity(d)
    never(lambda: False, 1)
    later = activity(d)
    assert later[0] - wakes <= 5, '%s: woke %d times in a second' % (what, later[0] - wakes)
    assert later[1] - ticks <= 2, '%s: used %d ticks in a second' % (what, later[1] - ticks)


QUIET = {'Heartbeat': {'Interval': '60s', 'Timeout': '10s'},
         'Reconnect': {'InitialDelay': '1h', 'MaxDelay': '1h'}}


@test
def an_idle_daemon_does_not_wake(t):
    p, d, c = t.connected(QUIET)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    c.storage.GetItem('k')
    is_idle(d, 'connected')
    p.stop()
    c.monitor.state_is('disconnected')
    for i in range(10):
        c.storage.SetItem('k%d' % i, 'v')
    is_idle(d, 'disconnected with a queue')


@test
def a_daemon_that_waits_does_not_spin(t):
    p, d, c = t.connected(dict(QUIET, Debounce={'Delay': '30s', 'MaxDelay': '60s'},
                               Parent={'BatchTimeout': '60s', 'RequestTimeout': '30s'}))
    p.on['batch'] = lambda conn, m: None
    c.storage.RemoveItem('in-flight')
    c.storage.SetItem('held', 'v')
    pending = c.storage.start('Await', 1, FOREVER)
    wait_for(p.batches)
    is_idle(d, 'with a batch in flight and a held write')
    assert not pending.done


@test
def a_parent_that_contradicts_itself_does_not_make_it_spin(t):
    p = t.parent()
    p.on['hello'] = lambda conn, m: conn.send(p.welcome(m['client'], lastBatch=10 ** 6))
    d = t.daemon({'Reconnect': {'InitialDelay': ms(50), 'MaxDelay': ms(100)}})
    c = t.client()
    serial = c.storage.SetItem('k', 'v')
    wait_for(lambda: len(p.of('hello')) >= 5, deadline=10 * SLOW)
    never(lambda: len(p.of('hello')) > 80, 1)
    equal((c.storage.GetItem('k'), c.storage.get('QueueSize')), ('v', 1))
    del p.on['hello']
    c.storage.Await(serial, FOREVER)
    assert d.alive()


@test
def memory_does_not_grow_with_calls(t):
    if SLOW > 1:
        raise Skip('sanitizers keep freed memory')
    _, d, c = t.connected()

    def rss():
        with open('/proc/%d/status' % d.process.pid) as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))

    def work(rounds):
        for i in range(rounds):
            calls = [c.storage.start('SetItem', 'k%d' % (i % 20), 'v' * 100)]
            calls += [c.storage.start('GetItem', 'k%d' % (j % 20)) for j in range(63)]
            for call in calls:
                wait_for(lambda: call.done)
    work(30)
    before = rss()
    work(120)
    assert rss() - before < 1500, 'grew by %d KiB over 7,700 calls' % (rss() - before)


@test
def recovery_is_quick(t):
    parent = t.parentd()
    t.daemon({'Heartbeat': {'Interval': '5s', 'Timeout': '2s'}, 'Reconnect': {
        'InitialDelay': '100ms', 'MaxDelay': '5s'}, 'Debounce': {'Delay': '300ms', 'MaxDelay': '2s'}})
    c = t.client().listen()
    c.monitor.state_is('connected')
    began = time.monotonic()
    parent.kill9()
    wait_for(lambda: c.heard('ConnectionStateChanged'))
    took = c.signals[0].at - began
    assert took <= 0.05 * SLOW + 0.05, 'link closed, told after %.3f s' % took
    for i in range(100):
        c.storage.SetItem('k%02d' % i, 'v')
    began = time.monotonic()
    parent.start()
    wait_for(lambda: c.storage.get('QueueSize') == 0)
    took = time.monotonic() - began
    assert took <= secs(1.2), 'replay of 100 took %.2f s' % took


if __name__ == '__main__':
    main()
