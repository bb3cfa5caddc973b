# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd against design §5: the disk, the socket, the command line."""

import os
import random
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import threading

from parentd_client import (BINARY, ONE, TWO, Client, Closed, Parent, equal, hexid, is_error,
                            remove, save, test, wait_for)


# ---- the disk ----

@test
def killed_at_any_instant(room):
    """Every acked batch is there with its results, none is half applied."""
    parent = room.parent()
    acked, number, epoch = {}, 0, None
    for _ in range(15):
        parent.start()
        client = parent.client(ONE)
        epoch = epoch or client.welcome['epoch']
        equal(client.welcome['epoch'], epoch)
        last = client.welcome['lastBatch']
        assert last in (number, number + 1), (last, number)
        check_batches(client, last, acked)
        killer = threading.Timer(random.uniform(0, 0.15), parent.process.kill)
        killer.start()
        number = last
        try:
            while True:
                ack = client.batch(number + 1, batch_ops(number + 1))
                equal(ack['duplicate'], False)
                number += 1
                acked[number] = ack['results']
        except Closed:
            pass
        killer.join()
        parent.process.wait()
    assert number > 0
    parent.start()
    equal(parent.stop(), 0)


def batch_ops(number):
    return [save('k%d' % i, '%d' % number) for i in range(200)] + [save('only%d' % number, 'v')]


def check_batches(client, last, acked):
    values = {client.value('k%d' % i) for i in (0, 57, 123, 199)}
    equal(values, {str(last) if last else None})
    for number in acked:
        equal(client.value('only%d' % number), 'v')
    equal(client.value('only%d' % (last + 1)), None)
    if last:
        again = client.batch(last, [save('k0', 'wrong')])
        equal((again['duplicate'], again['id']), (True, hexid(last)))
        equal(len(again['results']), 201)
        if last in acked:
            equal(again['results'], acked[last])
        equal(client.value('k0'), str(last))


@test
def a_damaged_database_is_set_aside(room):
    parent = room.start()
    client = parent.client(ONE)
    epoch = client.welcome['epoch']
    client.batch(1, [save('k%d' % i, 'v' * 100) for i in range(1000)])
    parent.stop()
    damages = ((0, b'not a database, not at all' * 10), (4096, os.urandom(4096 * 12)), (None, b'x'),
               (18, b'\3'), (47, b'\5'))     # not to be written; of a format to come
    for turn, (offset, data) in enumerate(damages, 1):
        with open(parent.database, 'r+b' if offset is not None else 'wb') as database:
            database.seek(offset or 0)
            database.write(data)
        damaged = open(parent.database, 'rb').read()
        client = parent.start().client(ONE)
        equal(client.welcome['lastBatch'], 0)
        assert client.welcome['epoch'] != epoch
        epoch = client.welcome['epoch']
        client.batch(1, [save('k%d' % i, 'v' * 100) for i in range(1000)])
        aside = [name for name in os.listdir(room.directory)
                 if re.fullmatch(r'parent\.db\.corrupt-\d{8}T\d{6}Z', name)]
        equal(len(aside), turn)
        assert damaged in [open(os.path.join(room.directory, name), 'rb').read()
                           for name in aside]
        assert 'was damaged and is now' in parent.log_text()
        equal(parent.stop(), 0)


@test
def a_table_of_another_kind_is_damage(room):
    """It would be written to, and be another one at the next start. What was added is none."""
    parent = room.start()
    epoch = parent.client(ONE).welcome['epoch']
    parent.stop()
    database = sqlite3.connect(parent.database)
    database.execute('CREATE VIEW mine AS SELECT key FROM item')
    database.close()
    equal(parent.start().client(ONE).welcome['epoch'], epoch)
    parent.stop()
    with open(parent.database, 'r+b') as file:
        file.seek(file.read().index(b'keys INTEGER') + len('keys INTEGE'))
        file.write(b'S')
    assert parent.start().client(ONE).welcome['epoch'] != epoch
    assert 'was damaged and is now' in parent.log_text()
    equal(parent.stop(), 0)


@test
def no_store_is_made_in_a_damaged_file(room):
    """It would be found damaged at the next start, with all that had been acked in it."""
    parent = room.parent()
    database = sqlite3.connect(parent.database)
    database.execute('PRAGMA journal_mode = WAL')       # a first page, and no tables
    database.close()
    with open(parent.database, 'r+b') as file:
        file.seek(67)
        file.write(b'\1')
    client = parent.start().client(ONE)
    client.batch(1, [save('k', 'v')])
    equal(parent.stop(), 0)
    client = parent.start().client(ONE)
    equal((client.welcome['lastBatch'], client.value('k')), (1, 'v'))
    equal(parent.stop(), 0)


@test
def damage_found_while_it_runs_ends_the_parent(room):
    """It cannot serve from it; the next start sets it aside."""
    parent = room.start()
    client = parent.client(ONE)
    for number in range(1, 9):
        client.batch(number, [save('k%d-%d' % (number, i), 'v' * 500) for i in range(1000)])
    equal(parent.stop(), 0)
    client = parent.start().client(ONE)
    with open(parent.database, 'r+b') as database:
        size = os.fstat(database.fileno()).st_size
        database.seek(4096 * 4)
        database.write(b'\xa5' * (size - 4096 * 4))
    answers = []
    try:
        for number in range(1, 9):
            answers += [client.get('k%d-%d' % (number, i)) for i in range(0, 1000, 10)]
    except Closed:
        pass
    assert all(answer.get('value') == 'v' * 500 or answer['type'] == 'error'
               for answer in answers), answers
    equal(parent.process.wait(20), 1)
    assert 'Cannot read' in parent.log_text(), parent.log_text()
    welcome = parent.start().client(ONE).welcome
    equal(welcome['lastBatch'], 0)
    assert welcome['epoch'] != client.welcome['epoch']


@test
def a_newer_database_is_refused(room):
    parent = room.start()
    parent.stop()
    parent.rows('PRAGMA user_version = 2')
    parent.spawn()
    equal(parent.process.wait(20), 1)
    assert 'newer version' in parent.log_text(), parent.log_text()
    equal(parent.rows('PRAGMA user_version'), [(2,)])
    equal([name for name in os.listdir(room.directory) if 'corrupt' in name], [])


@test
def a_database_of_another_program_is_refused(room):
    parent = room.parent()
    parent.rows('CREATE TABLE theirs (x)')
    parent.spawn()
    equal(parent.process.wait(20), 1)
    assert 'another program' in parent.log_text(), parent.log_text()
    equal(parent.rows('SELECT name FROM sqlite_schema'), [('theirs',)])
    assert not os.path.exists(parent.database + '.lock')


@test
def a_file_that_is_no_database_is_left_alone(room):
    """--database FILE with the wrong FILE must not cost it its name."""
    for content in (b'x', b'short', b'Dear Sir or Madam,\n' * 500, b'SQLite format 4\0' * 100):
        parent = room.parent()
        with open(parent.database, 'wb') as file:
            file.write(content)
        before = os.listdir(room.directory)
        parent.spawn()
        equal(parent.process.wait(20), 1)
        assert 'not a database, and is left alone' in parent.log_text(), parent.log_text()
        equal(open(parent.database, 'rb').read(), content)
        equal(sorted(set(os.listdir(room.directory)) - {'log'}), sorted(set(before) - {'log'}))
        os.unlink(parent.log)


@test
def an_empty_file_becomes_a_database(room):
    parent = room.parent()
    open(parent.database, 'wb').close()
    parent.start().client(ONE).batch(1, [save('k', 'v')])
    equal([name for name in os.listdir(room.directory) if 'corrupt' in name], [])


@test
def a_damaged_database_with_its_log_only_is_set_aside(room):
    parent = room.start()
    parent.client(ONE).batch(1, [save('k', 'v')])
    parent.kill()
    assert os.path.exists(parent.database + '-wal')
    os.unlink(parent.database + '.lock')
    with open(parent.database, 'r+b') as database:
        database.write(b'not a database at all, any more')
    equal(parent.start().client(ONE).welcome['lastBatch'] in (0, 1), True)


@test
def a_damaged_log_is_set_aside_as_it_is(room):
    parent = room.start()
    parent.client(ONE).batch(1, [save('k', 'v')])
    parent.kill()
    for suffix, offset in (('', 0), ('-wal', 28)):
        with open(parent.database + suffix, 'r+b') as file:
            file.seek(offset)
            file.write(b'what')
    with open(parent.database + '-wal', 'rb') as file:
        log = file.read()
    parent.start().client(ONE)
    aside = [n for n in os.listdir(room.directory) if 'corrupt' in n and n.endswith('-wal')]
    with open(os.path.join(room.directory, aside[0]), 'rb') as file:
        assert file.read() == log


@test
def two_servers_never_share_a_database(room):
    parent = room.start()
    second = room.parent()
    second.path += '2'
    second.spawn()
    equal(second.process.wait(20), 1)
    assert 'another holdfast-parentd' in second.log_text()
    assert not os.path.exists(second.path)
    parent.client(ONE).ping()


@test
def a_full_disk_is_an_error_and_no_end(room):
    """The limit on the size of files stands for it."""
    parent = room.start(file_limit=3 * 2 ** 20)
    client = parent.client(ONE)
    number, answer = 0, None
    while number < 100:
        answer = client.batch(number + 1, [save('k%d-%d' % (number, i), 'v' * 500)
                                           for i in range(1000)])
        if answer['type'] == 'error':
            break
        number += 1
    assert 0 < number < 100, number
    is_error(answer, 'capacity', answer['requestId'])
    assert answer['retryAfter'] > 0
    client.ping()
    equal(client.value('k%d-0' % number), None)
    equal(client.value('k%d-0' % (number - 1)), 'v' * 500)
    other = parent.client(TWO)
    is_error(other.batch(1, [save('x%d' % i, 'v' * 1000) for i in range(1000)]), 'capacity', 'r1')
    # The number was not used: what fits may still come under it.
    client = parent.client(ONE)
    equal(client.welcome['lastBatch'], number)
    ack = client.batch(number + 1, [remove('k0-%d' % i) for i in range(10)])
    equal((ack['type'], ack.get('duplicate')), ('batchAck', False))
    assert 'Cannot write' in parent.log_text()
    parent.stop()
    parent.file_limit = None
    client = parent.start().client(TWO)
    equal(client.batch(1, [save('x%d' % i, 'v' * 1000) for i in range(1000)])['duplicate'], False)


# ---- the process ----

@test
def the_socket(room):
    parent = room.start()
    equal(stat.S_IMODE(os.stat(parent.path).st_mode), 0o666)
    equal(stat.S_IMODE(os.stat(parent.database).st_mode), 0o600)
    second = Parent(BINARY, room.directory)
    second.database += '2'
    second.spawn()
    equal(second.process.wait(20), 1)
    assert 'another server listens there' in second.log_text()
    parent.kill()
    assert os.path.exists(parent.path)
    parent.start()             # over the one left behind
    parent.client(ONE).ping()
    equal(parent.stop(), 0)
    assert not os.path.exists(parent.path)
    with open(parent.path, 'w', encoding='ascii') as file:
        file.write('precious')
    parent.spawn()
    equal(parent.process.wait(20), 1)
    equal(open(parent.path, encoding='ascii').read(), 'precious')


@test
def the_command_line(_room):
    def run(*args):
        return subprocess.run([BINARY, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=30, check=False)
    version = run('--version')
    assert version.returncode == 0 and re.fullmatch(rb'holdfast-parentd \S+\n', version.stdout)
    helped = run('--help')
    equal(helped.returncode, 0)
    for option in (b'--listen', b'--database', b'--max-keys', b'--max-bytes', b'--version'):
        assert option in helped.stdout, option
    for args in (('--frobnicate',), ('argument',), ('--listen', 'tcp:1.2.3.4'),
                 ('--listen', 'unix:relative'), ('--listen', 'unix:/' + 'x' * 200),
                 ('--max-keys', 'many'), ('--max-bytes', '1X'), ('--listen',)):
        wrong = run(*args)
        equal((args, wrong.returncode, wrong.stdout), (args, 2, b''))
        assert wrong.stderr


@test
def defaults_from_the_environment(room):
    os.chmod(room.directory, 0o700)
    for variable, database in (('STATE_DIRECTORY', 'state/parent.db'),
                               ('XDG_STATE_HOME', 'state/holdfast/parent.db')):
        env = {'XDG_RUNTIME_DIR': room.directory, variable: os.path.join(room.directory, 'state'),
               'HOME': room.directory}
        process = subprocess.Popen([BINARY], env=env, stderr=subprocess.DEVNULL)
        try:
            path = os.path.join(room.directory, 'holdfast/parent.sock')
            wait_for(lambda: os.path.exists(path) or process.poll() is not None)
            wait_for(lambda: connects(path))
            Client(path, ONE).ping()
            equal(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
            assert os.path.exists(os.path.join(room.directory, database))
        finally:
            process.send_signal(signal.SIGINT)
            equal(process.wait(20), 0)


def connects(path):
    try:
        Client(path).close()
    except OSError:
        return False
    return True


@test
def sockets_handed_over_and_notifications(room):
    """As systemd does it: descriptor 3, LISTEN_FDS, LISTEN_PID; READY=1 and STOPPING=1."""
    path, notify_path = room.directory + '/passed', room.directory + '/notify'
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(notify_path)
    notify.settimeout(20)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(16)
    pid = os.fork()
    if pid == 0:
        os.dup2(listening.fileno(), 3)
        os.set_inheritable(3, True)
        os.execve(BINARY, [BINARY, '--database', room.directory + '/db'],
                  {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid()),
                   'NOTIFY_SOCKET': notify_path})
    client = Client(path)      # waits in the socket until the parent is there
    equal(notify.recv(100), b'READY=1')
    client.hello(ONE)
    client.ping()
    os.kill(pid, signal.SIGTERM)
    told = b'STATUS='
    while told.startswith(b'STATUS='):
        told = notify.recv(100)
    equal(told, b'STOPPING=1')
    equal(os.waitpid(pid, 0)[1], 0)
    assert os.path.exists(path)
