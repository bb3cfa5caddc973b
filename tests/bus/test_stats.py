#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the Monitor measures and tells: pings, latency, stats, properties, signals."""

import re
import subprocess
import threading

from disk import Disk
from harness import *

NO_REDIAL = {'Reconnect': {'InitialDelay': '1h', 'MaxDelay': '1h'}}


def changes(c):
    """(state, old state, word of the reason) of each ConnectionStateChanged."""
    return [(state, stats['old-state'], stats['reason'].split(':')[0])
            for state, stats in c.heard('ConnectionStateChanged')]


@test
def latency_is_measured(t):
    delay = secs(0.03)
    p = t.parent()

    def late(conn, m):
        threading.Timer(delay, conn.send, [{'type': 'pong', 'pingTime': m['pingTime']}]).start()
    p.on['ping'] = late
    t.daemon({'Heartbeat': {'Interval': ms(60), 'Timeout': ms(2000)}})
    c = t.client()
    c.monitor.state_is('connected')
    wait_for(lambda: c.monitor.get('TotalPings') >= 4)
    latency = c.monitor.get('AverageLatency')
    assert delay * 1e6 * 0.95 <= latency < delay * 1e6 + 500000 * SLOW, latency


@test
def times_of_ping_and_pong_are_wall_clock_usec(t):
    p = t.parent()
    p.hold('hello')
    t.daemon({'Parent': {'DialTimeout': '20s'}})
    c = t.client()
    equal([c.monitor.get(n) for n in ('LastPingTime', 'LastPongTime', 'TotalPings',
                                      'AverageLatency', 'FailedPings')], [0, 0, 0, 0, 0])
    before = int(time.time() * 1e6)
    p.release('hello')
    c.monitor.state_is('connected')
    after = int(time.time() * 1e6)
    for name in ('LastPingTime', 'LastPongTime'):
        assert before <= c.monitor.get(name) <= after + 1000, name
    equal(c.monitor.get('TotalPings'), 1)


@test
def pings_go_on_at_the_interval(t):
    p, _, c = t.connected({'Heartbeat': {'Interval': ms(100), 'Timeout': ms(100)}})
    wait_for(lambda: len(p.of('ping')) >= 6)
    at = [r.at for r in p.of('ping')]
    gaps = [b - a for a, b in zip(at, at[1:])]
    assert secs(0.06) <= sum(gaps) / len(gaps) <= secs(0.3), gaps
    equal(len({r['pingTime'] for r in p.of('ping')}), len(at), 'ping times differ')
    assert all(isinstance(r['pingTime'], int) and r['pingTime'] for r in p.of('ping'))


@test
def stats_have_their_names_and_types(t):
    _, _, c = t.connected()
    reply = c.conn.call_sync(NAME, ROOT, NAME + '.Monitor', 'GetStats', None, None, 0, -1, None)
    stats = reply.get_child_value(0)
    for name, signature in (('last-ping-time', 't'), ('last-pong-time', 't'), ('total-pings', 't'),
                            ('average-latency', 't'), ('failed-pings', 'u'),
                            ('storage-error', 's')):
        value = stats.lookup_value(name, None)
        assert value is not None, name
        equal(value.get_type_string(), signature, name)
    unpacked = stats.unpack()
    equal(unpacked['last-pong-time'], c.monitor.get('LastPongTime'))
    assert unpacked['total-pings'] >= 1


@test
def the_state_change_carries_stats(t):
    p, _, c = t.connected()
    c.listen()
    p.drop()
    wait_for(lambda: c.heard('ConnectionStateChanged'))
    state, stats = c.heard('ConnectionStateChanged')[0]
    equal(state, 'disconnected')
    equal(stats['old-state'], 'connected')
    assert stats['reason'].startswith('closed: '), stats['reason']
    for name in c.monitor.GetStats():
        assert name in stats, name


def status(t):
    """What holdfastctl status prints."""
    return subprocess.run([program('holdfastctl'), 'status'], env=t.environ(), check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.decode()


@test
def a_disk_that_fails_shows(t):
    disk = Disk(t)
    t.daemon(environ=disk.environ)
    c = t.client()
    c.storage.SetItem('k', 'v')
    equal(c.monitor.GetStats()['storage-error'], '')
    assert 'Storage:' not in status(t)
    disk.fail()
    fails(FDO + 'IOError', c.storage.SetItem, 'k', 'w')
    why = c.monitor.GetStats()['storage-error']
    assert why, 'nothing is said of the disk'
    assert 'Storage: ' + why in status(t), status(t)
    disk.heal()
    c.storage.SetItem('k', 'w')
    equal(c.monitor.GetStats()['storage-error'], '')


@test
def a_database_that_is_damaged_while_in_use_shows(t):
    d, c = t.offline()
    for i in range(40):
        c.storage.SetItem('k%02d' % i, 'x' * 4000)
    d.stop()
    d.start()                   # all is in the file, and nothing of it in memory
    with open(d.database(), 'r+b') as file:
        file.seek(4096)
        file.write(os.urandom(os.path.getsize(d.database()) - 4096))
    fails(FDO + 'IOError', c.storage.GetItem, 'unknown')
    fails(FDO + 'IOError', c.storage.GetItem, 'unknown')
    assert 'damaged' in c.monitor.GetStats()['storage-error']
    assert 'Storage: the database is damaged; restart holdfastd' in status(t), status(t)
    equal(len(re.findall(r'err(?:or)?: The database was found damaged', d.log())), 1)
    d.stop()
    d.start()
    equal(c.monitor.GetStats()['storage-error'], '')


@test
def properties_have_their_types_and_values(t):
    _, _, c = t.connected({'Heartbeat': {'Interval': '3s', 'Timeout': '2s', 'MaxFailedPings': '4'}})
    reply = c.conn.call_sync(NAME, ROOT, 'org.freedesktop.DBus.Properties', 'GetAll',
                             GLib.Variant('(s)', (NAME + '.Monitor',)), None, 0, -1, None)
    values = reply.get_child_value(0)
    equal({n: values.lookup_value(n, None).get_type_string() for n in values.keys()},
          {'State': 's', 'Reason': 's', 'LastPingTime': 't', 'LastPongTime': 't', 'FailedPings': 'u',
           'TotalPings': 't', 'AverageLatency': 't', 'HeartbeatInterval': 't',
           'HeartbeatTimeout': 't', 'MaxFailedPings': 'u', 'AutoRecover': 'b', 'Parent': 's'})
    got = values.unpack()
    equal([got[n] for n in ('HeartbeatInterval', 'HeartbeatTimeout', 'MaxFailedPings', 'AutoRecover',
                            'Parent')], [3000000, 2000000, 4, True, t.address])


@test
def state_and_reason_emit_properties_changed(t):
    p, _, c = t.connected(NO_REDIAL)
    c.listen()
    p.drop()

    def seen():
        merged = {}
        for interface, changed, _ in c.heard('PropertiesChanged', ROOT):
            if interface == NAME + '.Monitor':
                merged.update(changed)
        return merged
    wait_for(lambda: seen().get('State') == 'disconnected')
    assert seen()['Reason'].startswith('closed'), seen()
    for quiet in ('LastPingTime', 'LastPongTime', 'FailedPings', 'TotalPings', 'AverageLatency'):
        assert quiet not in seen(), quiet


@test
def a_clean_stop_says_stopped(t):
    _, d, c = t.connected()
    c.match("type='signal',interface='%s.Monitor'" % NAME)     # the name goes before it is told
    d.stop()
    wait_for(lambda: changes(c))
    equal(changes(c)[-1], ('disconnected', 'connected', 'stopped'))


@test
def a_request_that_waits_makes_it_ping(t):
    p, _, c = t.connected({'Heartbeat': {'Interval': '60s', 'Timeout': ms(2000)},
                           'Parent': {'RequestTimeout': ms(150)}})
    p.hold('getFromParentStorage')
    pings = len(p.of('ping'))
    call = c.storage.start('GetItem', 'k')
    wait_for(lambda: len(p.of('ping')) > pings)
    p.stop()
    fails('Unavailable', call.wait)


@test
def a_batch_that_waits_makes_it_ping(t):
    p, _, c = t.connected({'Heartbeat': {'Interval': '60s', 'Timeout': ms(2000)},
                           'Parent': {'RequestTimeout': ms(150), 'BatchTimeout': '20s'}})
    p.hold('batch')
    pings = len(p.of('ping'))
    c.storage.SetItem('k', 'v')
    wait_for(lambda: len(p.of('ping')) > pings)


if __name__ == '__main__':
    main()
