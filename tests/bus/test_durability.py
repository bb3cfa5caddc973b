#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What survives: crashes at any moment, a full disk, a broken database, a rolled-back one."""

import random
import re
import resource
import shutil
import sqlite3
import subprocess

from harness import *


def rows(c):
    """The queue without what a restart may change (held or pending, attempts)."""
    return [row[:3] for row in c.storage.ListQueue()]


def ends(t, d):
    """Start a daemon that must refuse to run: (status, what it said)."""
    d.start(ready=False)
    status = d.wait(20 * SLOW)
    d.process = None
    assert status > 0, 'ended with %d' % status
    return d.log()


def hello_clients(p):
    return [r['client'] for r in p.of('hello')]


# ---- kill -9 ----

@test
def an_answered_write_outlives_a_crash(t):
    d, c = t.offline()
    c.storage.SetItem('a', '1')
    c.storage.SetItems({'g1': '1', 'g2': '2'})
    c.storage.RemoveItem('r')
    c.storage.SetItem('ä', 'nul? no: \x01 \u2028')
    area = c.area('other')
    area.SetItem('x', 'y')
    before = rows(c)
    d.crash()
    equal(rows(c), before)
    equal(c.storage.GetItems(['a', 'g1', 'g2', 'ä']),
          {'a': '1', 'g1': '1', 'g2': '2', 'ä': 'nul? no: \x01 \u2028'})
    fails('NoSuchItem', c.storage.GetItem, 'r')
    equal(area.GetItem('x'), 'y')
    p = t.parent()
    c.storage.Flush(FOREVER)
    area.Flush(FOREVER)
    equal([op['key'] for _, _, op in p.applied if op['area'] == 'default'],
          ['a', 'g1', 'g2', 'r', 'ä'])


@test
def serials_rise_over_a_crash(t):
    d, c = t.offline()
    last = 0
    for _ in range(3):
        serial = c.storage.SetItem('k', 'v')
        assert serial > last, (serial, last)
        last = serial
        d.crash()
    assert c.storage.SetItem('k', 'v') > last


@test
def a_batch_in_flight_is_sent_again_unchanged_after_a_crash(t):
    p, d, c = t.connected()
    p.hold('batch')
    c.storage.SetItems({'a': '1', 'b': '2'})
    wait_for(p.batches)
    c.storage.SetItem('a', 'newer')
    d.crash()
    wait_for(lambda: len(p.batches()) == 2)
    first, second = p.batches()
    equal((second['batch'], second['id'], second['ops']), (first['batch'], first['id'], first['ops']))
    p.release('batch')
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('a', '1'), ('b', '2'), ('a', 'newer')])
    equal(len(set(hello_clients(p))), 1)


@test
def an_applied_batch_whose_ack_met_a_crash_is_not_applied_twice(t):
    p, d, c = t.connected()
    p.on['batch'] = lambda conn, m: p.apply_batch(conn.client, m) and None
    c.storage.SetItem('k', 'v')
    wait_for(lambda: p.ops_applied())
    d.kill9()
    del p.on['batch']
    d.start()
    c.storage.Flush(FOREVER)
    equal(p.ops_applied(), [('k', 'v')])


@test
def batch_numbers_rise_over_crashes(t):
    p, d, c = t.connected()
    for i in range(4):
        c.storage.Await(c.storage.SetItem('k', str(i)), FOREVER)
        d.crash()
        c.monitor.state_is('connected')
    numbers = [r['batch'] for r in p.batches()]
    equal(numbers, sorted(numbers))
    equal(len(numbers), len({r['id'] for r in p.batches()}))
    equal(p.ops_applied(), [('k', str(i)) for i in range(4)])


@test
def crashes_at_random_moments_lose_nothing_and_repeat_nothing(t):
    p, d, c = t.connected()
    seed = random.randrange(2 ** 32)
    diag('seed %d' % seed)
    rand = random.Random(seed)
    answered, count = {}, 0
    for _ in range(6):
        calls = []
        for _ in range(rand.randrange(5, 60)):
            count += 1
            key = 'k%d' % rand.randrange(12)
            calls.append((key, str(count), c.storage.start('SetItem', key, str(count))))
        stop_at = rand.randrange(len(calls) + 1)
        if stop_at:
            wait_for(lambda: calls[stop_at - 1][2].done)
        d.kill9()
        for key, value, call in calls:
            wait_for(lambda: call.done)
            if call.error is None:
                answered[key] = value
        d.start()
        c.monitor.state_is('connected')
    c.storage.Flush(FOREVER)
    effects = p.ops_applied()
    equal(len(effects), len(set(effects)), 'something was applied twice')
    for key, value in answered.items():
        assert int(p.value(key) or 0) >= int(value), '%s: %s lost, %s there' % (key, value, p.value(key))
        mine = [int(v) for k, v in effects if k == key]
        equal(mine, sorted(mine), 'order of ' + key)
    equal(len(set(hello_clients(p))), 1)


@test
def crashes_of_both_ends_end_in_one_state(t):
    parent = t.parentd()
    d = t.daemon()
    c = t.client()
    seed = random.randrange(2 ** 32)
    diag('seed %d' % seed)
    rand = random.Random(seed)
    wanted = {}
    for number in range(8):
        for i in range(rand.randrange(1, 30)):
            key = 'k%d' % rand.randrange(20)
            wanted[key] = '%d.%d' % (number, i)
            c.storage.SetItem(key, wanted[key])
        victim = rand.choice(['daemon', 'parent', 'both', 'none'])
        if victim in ('parent', 'both'):
            parent.kill9()
        if victim in ('daemon', 'both'):
            d.crash()
        if victim in ('parent', 'both'):
            parent.start()
    c.monitor.state_is('connected')
    c.storage.Flush(FOREVER)
    inside = parent.client()
    equal({key: inside.value(key) for key in wanted}, wanted)
    assert c.monitor.reason() == 'ok', c.monitor.get('Reason')


@test
def the_parent_holds_every_value_once(t):
    d, c = t.offline()
    for i in range(50):
        c.storage.SetItem('k%02d' % i, str(i))
    d.crash()
    parent = t.parentd()
    c.storage.Flush(FOREVER)
    inside = parent.client()
    for i in range(50):
        equal(inside.value('k%02d' % i), str(i))
    equal(inside.get('k00')[1], 50, 'revisions: one for each applied operation')


@test
def items_outlive_a_crash_and_a_parent_that_is_away(t):
    p, d, c = t.connected()
    p.put('theirs', 'v')
    c.storage.GetItem('theirs')
    c.storage.Await(c.storage.SetItem('ours', 'v'), FOREVER)
    wait_for(lambda: c.storage.ListKeys('') == ['ours', 'theirs'])
    p.stop()
    c.monitor.state_is('disconnected')
    d.crash()
    c.monitor.state_is('disconnected')
    equal((c.storage.GetItem('ours'), c.storage.GetItem('theirs')), ('v', 'v'))


@test
def normal_outlives_a_crash_too(t):
    d, c = t.offline({'Storage': {'Durability': 'normal'}})
    c.storage.SetItem('k', 'v')
    d.crash()
    equal((c.storage.GetItem('k'), c.storage.get('QueueSize')), ('v', 1))


@test
def memory_forgets_and_takes_a_new_client_id(t):
    p, d, c = t.connected({'Storage': {'Durability': 'memory'}})
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    p.hold('batch')
    last = c.storage.SetItem('lost', 'v')
    wait_for(lambda: len(p.batches()) == 2)
    d.crash()
    c.monitor.state_is('connected')
    equal(c.storage.get('QueueSize'), 0)
    equal(len(set(hello_clients(p))), 2)
    assert c.storage.SetItem('k2', 'v') > last, 'a serial came again'
    p.release('batch')
    c.storage.Flush(FOREVER)
    equal(p.value('k2'), 'v')


@test
def the_client_id_stays_over_restarts(t):
    p, d, c = t.connected()
    d.restart()
    d.crash()
    c.monitor.state_is('connected')
    equal(len(set(hello_clients(p))), 1)


@test
def the_state_directory_is_nobody_elses_business(t):
    d, c = t.offline()
    c.storage.SetItem('k', 'v')
    for root, _, names in os.walk(d.state):
        for name in names:
            mode = os.stat(os.path.join(root, name)).st_mode & 0o777
            assert mode & 0o077 == 0, '%s has mode %o' % (name, mode)


# ---- the disk ----

@test
def a_full_disk_is_an_error_reply_and_the_daemon_lives(t):
    if os.geteuid() != 0 or subprocess.run(
            ['unshare', '--mount', 'true'], stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip('cannot mount a small file system here')
    state = os.path.join(t.dir, 'tiny')
    os.mkdir(state)
    d = Daemon(t, state=state, wrap=['unshare', '--mount', 'sh', '-c',
                                     'mount -t tmpfs -o size=1m,mode=700 tmpfs "$0" && exec "$@"',
                                     state])
    d.start()
    c = t.client()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('before', 'v')
    written = 0
    try:
        for i in range(100):
            c.storage.SetItem('k%02d' % i, 'x' * 50000)
            written += 1
    except BusError as error:
        assert ' ' in error.message and 'NoReply' not in error.name, error
    assert 0 < written < 100, written
    size = c.storage.get('QueueSize')
    equal(size, written + 1)
    fails_somehow(c.storage.SetItem, 'too-much', 'x' * 50000)
    fails('Unavailable', c.storage.GetItem, 'too-much')
    equal(c.storage.get('QueueSize'), size)
    equal(c.storage.GetItem('before'), 'v')
    equal(c.storage.GetItem('k00'), 'x' * 50000)
    assert d.alive()


def fails_somehow(call, *args):
    """Any error reply of the daemon's own."""
    try:
        call(*args)
    except BusError as error:
        assert 'NoReply' not in error.name and ' ' in error.message, error
        return error
    raise AssertionError('answered, wanted an error')


@test
def a_disk_that_refuses_and_then_takes_again_loses_nothing(t):
    d = Daemon(t)
    d.start(restore_signals=False)      # SIGXFSZ stays ignored: writes fail instead
    c = t.client()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('before', 'v')
    soft, hard = resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
    error = fails_somehow(c.storage.SetItem, 'k', 'x' * 20000)
    fails('Unavailable', c.storage.GetItem, 'k')
    equal((c.storage.GetItem('before'), c.storage.get('QueueSize')), ('v', 1))
    fails_somehow(c.storage.SetItems, {'a': '1', 'b': '2'})
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    serial = c.storage.SetItem('k', 'later')
    equal([row[1] for row in c.storage.queue()], ['before', 'k'])
    p = t.parent()
    c.storage.Await(serial, FOREVER)
    equal(p.ops_applied(), [('before', 'v'), ('k', 'later')])
    diag('a refused write was told: %s' % error)


@test
def a_trim_that_fails_keeps_the_ack_and_is_tried_again(t):
    p = t.parent()
    d = Daemon(t)
    d.start(restore_signals=False)
    c = t.client()
    c.monitor.state_is('connected')
    p.hold('batch')
    serial = c.storage.SetItem('k', 'v')
    wait_for(p.batches)
    soft, hard = resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
    p.release('batch')
    wait_for(lambda: p.ops_applied())
    never(lambda: len(p.batches()) > 1)
    assert d.alive()
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    c.storage.Await(serial, FOREVER)
    equal(c.storage.get('QueueSize'), 0)
    equal((len(p.batches()), p.ops_applied()), (1, [('k', 'v')]))


# ---- the database ----

@test
def a_corrupt_database_is_set_aside(t):
    p, d, c = t.connected()
    client = hello_clients(p)[0]
    p.stop()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('k', 'v')
    d.stop()
    path = d.database()
    with open(path, 'r+b') as file:
        file.write(b'this is no database at all' * 10)
    p.start()
    d.start()
    aside = [n for n in os.listdir(os.path.dirname(path)) if re.search(r'\.corrupt-', n)]
    assert aside, os.listdir(os.path.dirname(path))
    assert 'corrupt' in d.log()
    c.monitor.state_is('connected')
    c.storage.Await(c.storage.SetItem('new', 'v'), FOREVER)
    equal(p.value('new'), 'v')
    assert hello_clients(p)[-1] != client, 'after a salvage the client id is new'


@test
def what_can_be_read_of_a_corrupt_database_is_carried_over(t):
    d, c = t.offline()
    for i in range(300):
        c.storage.SetItem('k%03d' % i, 'x' * 400)
    last = c.storage.ListQueue()[-1][0]
    d.stop()
    path = d.database()
    size = os.path.getsize(path)
    assert size > 30 * 4096, size
    with open(path, 'r+b') as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(os.urandom(4096))
    d.start()
    assert [n for n in os.listdir(os.path.dirname(path)) if '.corrupt-' in n], 'not noticed'
    keys = [row[1] for row in c.storage.queue()]
    assert 100 <= len(keys) < 300, 'kept %d of 300' % len(keys)
    equal(c.storage.GetItem(keys[0]), 'x' * 400)
    lost = re.search(r'(\d+) lost', d.log())
    assert lost and 1 <= int(lost.group(1)) <= 300 - len(keys) + 1, lost and lost.group(0)
    assert c.storage.SetItem('new', 'v') > last, 'a serial came again'


@test
def an_empty_or_truncated_database_does_not_stop_the_start(t):
    for size in (0, 100, 5000):
        d, c = t.offline()
        c.storage.SetItem('k', 'v')
        d.stop()
        with open(d.database(), 'r+b') as file:
            file.truncate(size)
        assert 'is empty' not in d.log(), 'a first start warns'
        d.start()
        c.storage.SetItem('new', 'v')
        equal(c.storage.GetItem('new'), 'v')
        said = re.findall(r'warning: (.*) is empty: everything .* is gone', d.log())
        equal(said, [d.database()] if size == 0 else [])
        d.stop()
        shutil.rmtree(d.state)


@test
def a_database_of_a_newer_version_is_refused_and_left_alone(t):
    d, c = t.offline()
    c.storage.SetItem('k', 'v')
    d.stop()
    path = d.database()
    db = sqlite3.connect(path)
    version = db.execute('PRAGMA user_version').fetchone()[0]
    db.execute('PRAGMA user_version=%d' % (version + 1000))
    db.commit()
    db.close()
    with open(path, 'rb') as file:
        before = file.read()
    said = ends(t, Daemon(t, state=d.state))
    assert 'newer' in said or 'version' in said, said
    with open(path, 'rb') as file:
        equal(file.read() == before, True)
    equal([n for n in os.listdir(d.state) if '.corrupt-' in n], [])
    db = sqlite3.connect(path)
    db.execute('PRAGMA user_version=%d' % version)
    db.commit()
    db.close()
    d.start()
    equal(c.storage.GetItem('k'), 'v')


@test
def a_second_daemon_on_the_state_directory_is_refused(t):
    d, c = t.offline()
    second = Bus()
    try:
        said = ends(t, Daemon(t, state=d.state,
                              environ={'DBUS_SESSION_BUS_ADDRESS': second.address}))
    finally:
        second.stop()
    assert said.strip()
    c.storage.SetItem('k', 'v')
    equal(c.storage.GetItem('k'), 'v')


@test
def a_second_daemon_on_the_bus_is_refused(t):
    d, c = t.offline()
    said = ends(t, Daemon(t, state=os.path.join(t.dir, 'other-state')))
    assert said.strip()
    equal(c.monitor.get('State'), 'disconnected')
    assert d.alive()


@test
def a_state_directory_that_cannot_be_is_an_error_with_a_line(t):
    path = os.path.join(t.dir, 'a-file')
    with open(path, 'w'):
        pass
    done = subprocess.run([program('holdfastd'), '--config', '/dev/null', '--state-dir', path],
                          env=t.environ(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30 * SLOW)
    assert done.returncode > 0 and done.stdout.strip()


@test
def a_rolled_back_state_loses_nothing_that_is_new(t):
    p, d, c = t.connected()
    c.storage.Await(c.storage.SetItem('a', '1'), FOREVER)
    d.stop()
    shutil.copytree(d.state, d.state + '.old')
    d.start()
    c.monitor.state_is('connected')
    for i in range(3):
        c.storage.Await(c.storage.SetItem('k%d' % i, 'v'), FOREVER)
    d.stop()
    shutil.rmtree(d.state)
    os.rename(d.state + '.old', d.state)
    d.start()
    c.storage.Await(c.storage.SetItem('b', '2'), FOREVER)
    equal(p.value('b'), '2')
    c.storage.Await(c.storage.SetItem('c', '3'), FOREVER)
    equal(p.value('c'), '3')


if __name__ == '__main__':
    main()
