# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd over TLS: who comes in by which token, and what is shown to whom."""

import os
import signal
import stat
import subprocess

from parentd_client import (BINARY, DEADLINE, ONE, SANITIZER, TWO, equal, hexid, is_error, remove,
                            revisions, save, test, wait_for)
from parentd_tls import (ANNE, BERT, TlsClient, expire, make_pair, start, token_hash, token_line,
                         write, write_over)


def refused(parent, token):
    """Return: the error's sentence."""
    client = parent.tls(token=token)
    answer = client.hello(ONE)
    is_error(answer, 'auth')
    client.expect_close()
    return answer['message']


# ---- the protocol, by TLS ----

@test
def a_batch_has_its_effect_once(room):
    parent = start(room)
    client = parent.tls(ONE)
    equal(client.welcome['lastBatch'], 0)
    message = client.batch_message(1, [save('a', '1'), save('b', '2'), remove('a')])
    equal(revisions(client.ask(message)), [1, 2, 3])
    again = client.ask(message)
    equal((again['duplicate'], revisions(again)), (True, [1, 2, 3]))
    # A second connection of the same client, while the first is there: that one ends.
    second = parent.tls(ONE)
    equal(second.welcome['lastBatch'], 1)
    client.expect_close()
    answer = second.ask(message)
    equal((answer['duplicate'], revisions(answer)), (True, [1, 2, 3]))
    equal((second.get('a')['revision'], second.value('a'), second.value('b')), (3, None, '2'))
    second.ping()
    equal(revisions(second.batch(2, [save('c', '3')])), [4])


@test
def a_batch_of_a_mebibyte(room):
    client = start(room).tls(ONE)
    values = ['%04d' % i + 'v' * 1020 for i in range(1000)]
    ack = client.batch(1, [save('k%d' % i, value) for i, value in enumerate(values)])
    equal(revisions(ack), list(range(1, 1001)))
    equal([client.value('k%d' % i) for i in (0, 499, 999)], [values[0], values[499], values[999]])
    large = 'x' * (1 << 20)
    equal(revisions(client.batch(2, [save('large', large)])), [1001])
    for _ in range(5):
        equal(client.value('large'), large)


@test
def many_requests_at_once_are_answered_in_order(room):
    client = start(room).tls(ONE)
    client.batch(1, [save('k', 'v' * 100000)])
    for i in range(300):
        client.send({'type': 'getFromParentStorage', 'requestId': 'g%d' % i, 'area': 'a',
                     'key': 'k'})
    equal([client.receive()['requestId'] for _ in range(300)], ['g%d' % i for i in range(300)])


@test
def a_record_that_finds_no_room_is_read_to_its_end(room):
    """What TLS has taken from the socket no poll() tells of."""
    parent = start(room)
    line = b'{"type":"ping","pingTime":7}\n'
    for begun in (1, 100, 16000):
        client = parent.tls(hexid(begun))
        client.send_raw(b' ' * begun)     # of a line: it takes room that the next record needs
        record = (line * 565)[-16384:]
        record = record[record.index(b'\n') + 1:].rjust(16384)
        client.send_raw(record)
        for _ in range(record.count(b'\n')):
            equal(client.receive()['pingTime'], 7)
        client.close()


@test
def ipv6_and_several_addresses(room):
    parent = start(room, listen=('tls:127.0.0.1:0', 'tls:[::1]:0', 'tls:localhost:0'))
    v4, v6, named = parent.ports()[:3]
    TlsClient(parent, ONE, port=v4).batch(1, [save('k', 'v')])
    equal(TlsClient(parent, TWO, port=v6, host='::1').value('k'), 'v')
    equal(TlsClient(parent, hexid(3), port=named, host='localhost').value('k'), 'v')
    parent.client(ONE).ping()


# ---- principals ----

@test
def no_token_and_a_wrong_one_are_refused(room):
    parent = start(room)
    good = parent.tls(ONE)
    assert 'token' in refused(parent, None)
    assert 'token' in refused(parent, 'guess')
    assert 'token' in refused(parent, '')
    assert 'token' in refused(parent, token_hash(ANNE))
    good.ping()
    log = parent.log_text()
    assert 'from 127.0.0.1:' in log and 'unknown token' in log and 'no token' in log, log
    # The log never tells a secret, and does not grow with each attempt.
    for _ in range(40):
        refused(parent, 'guess')
    log = parent.log_text()
    for secret in (ANNE, BERT, 'guess', token_hash(ANNE), token_hash('guess')):
        assert secret not in log, log
    equal(log.count('was refused'), 10)


@test
def principals_are_apart(room):
    parent = start(room)
    anne, bert = parent.tls(ONE), parent.tls(ONE, BERT)
    equal(bert.welcome['lastBatch'], 0)
    anne.batch(1, [save('k', 'of anne')])
    equal(bert.value('k'), None)
    bert.batch(1, [save('k', 'of bert')])
    equal((anne.value('k'), bert.value('k')), ('of anne', 'of bert'))
    local = parent.client(ONE)
    equal(local.value('k'), None)
    anne.ping()


@test
def a_token_may_stand_for_a_local_user(room):
    parent = start(room, token_line(ANNE, 'uid:%d' % os.getuid()))
    remote, local = parent.tls(ONE), parent.client(TWO)
    remote.batch(1, [save('k', 'from afar')])
    equal(local.value('k'), 'from afar')
    local.batch(1, [save('k', 'from here')])
    equal(remote.value('k'), 'from here')
    # One client id, one principal: one connection, whichever way it came.
    equal(parent.client(ONE).welcome['lastBatch'], 1)
    remote.expect_close()


@test
def a_token_on_the_unix_socket_is_ignored(room):
    parent = start(room)
    parent.tls(ONE).batch(1, [save('k', 'of anne')])
    client = parent.client()
    welcome = client.ask({'type': 'hello', 'protocol': 1, 'client': ONE, 'token': ANNE})
    equal((welcome['type'], welcome['lastBatch']), ('welcome', 0))
    equal(client.value('k'), None)


# ---- the tokens file ----

@test
def tokens_are_added_and_withdrawn_at_run_time(room):
    parent = start(room, token_line(ANNE, 'anne'))
    anne = parent.tls(ONE)
    anne.batch(1, [save('k', 'v')])
    refused(parent, BERT)
    parent.reload_tokens(token_line(ANNE, 'anne') + token_line(BERT, 'bert'), write_over)
    bert = parent.tls(TWO, BERT)
    local = parent.client(ONE)
    parent.reload_tokens(token_line(BERT, 'bert'))
    answer = anne.receive()
    is_error(answer, 'auth')
    anne.expect_close()
    refused(parent, ANNE)
    bert.ping()
    local.ping()
    # A token that is another's now is not its old owner's any more.
    parent.reload_tokens(token_line(BERT, 'carl'), write_over)
    is_error(bert.receive(), 'transient')
    bert.expect_close()
    equal(parent.tls(TWO, BERT).welcome['lastBatch'], 0)
    parent.reload_tokens(token_line(ANNE, 'anne'), write_over)
    equal(parent.tls(ONE).value('k'), 'v')


@test
def tokens_are_read_again_at_sighup(room):
    parent = start(room)
    parent.tls(ONE).ping()
    parent.hang_up_signal()
    parent.wait_for_log('are in force: 2')
    parent.client(TWO).ping()
    # Without TLS it is no end either.
    plain = room.parent()
    plain.path, plain.database = plain.path + '2', plain.database + '2'
    client = plain.start().client(ONE)
    plain.process.send_signal(signal.SIGHUP)
    client.ping()


@test
def a_principal_may_have_several_tokens(room):
    comments = '# old and new\n\n \t\n'
    parent = start(room, comments + token_line(ANNE, 'anne') +
                   'sha256:%s\t anne \n' % token_hash('new').upper() + token_line(ANNE, 'anne'))
    old = parent.tls(ONE)
    old.batch(1, [save('k', 'v')])
    new = parent.tls(TWO, 'new')
    equal(new.value('k'), 'v')
    parent.reload_tokens(token_line('new', 'anne'))
    is_error(old.receive(), 'auth')
    new.ping()


BAD_TOKENS = (
    ('sha256:abc anne\n', 1),
    ('# fine\n' + token_line(ANNE, 'anne') + 'sha256:' + 'x' * 64 + ' anne\n', 3),
    (token_line(ANNE, ''), 1),
    ('sha256:' + '0' * 64 + '\n', 1),
    ('md5:' + '0' * 32 + ' anne\n', 1),
    (token_line(ANNE, 'anne b'), 1),
    (token_line(ANNE, 'ann\u00e9'), 1),
    (token_line(ANNE, 'a' * 256), 1),
    (token_line(ANNE, 'uid:01'), 1),
    (token_line(ANNE, 'uid:root'), 1),
    (token_line(ANNE, 'uid:4294967295'), 1),
    (token_line(ANNE, 'anne') + '\n' + token_line(ANNE, 'bert'), 3),
    (''.join(token_line('t%d' % i, 'anne') for i in range(8193)), 8193),
)


@test
def bad_tokens_at_the_start_are_refused(room):
    parent = start(room)
    parent.stop()
    for text, line in BAD_TOKENS:
        write(parent.tokens, text)
        write(parent.log, '')
        parent.spawn()
        equal((text[:100], parent.process.wait(DEADLINE)), (text[:100], 1))
        assert '%s:%d: ' % (parent.tokens, line) in parent.log_text(), parent.log_text()
        assert token_hash(ANNE) not in parent.log_text()
    for text, why in (('a\0b\n', 'not text'), ('#' * ((1 << 20) + 1), 'larger than 1 MiB'),
                      (token_line(ANNE, 'uid:1000')[:-1], 'last line has no end'),
                      (token_line(ANNE, 'uid:1000')[:-4], 'last line has no end'),
                      (token_line(ANNE, 'anne') + ' ', 'last line has no end')):
        write(parent.tokens, text)
        write(parent.log, '')
        parent.spawn()
        equal(parent.process.wait(DEADLINE), 1)
        assert 'cannot be used: ' in parent.log_text() and why in parent.log_text(), why
        assert token_hash(ANNE) not in parent.log_text()
    os.unlink(parent.tokens)
    parent.spawn()
    equal(parent.process.wait(DEADLINE), 1)
    assert 'No such file' in parent.log_text()
    write(parent.tokens, token_line(ANNE, 'a' * 255))
    parent.start().tls(ONE).ping()


@test
def no_tokens_at_the_start_are_told(room):
    for text in ('', '# nobody yet\n'):
        parent = start(room, text)
        assert 'nobody can come in by TLS' in parent.log_text(), parent.log_text()
        refused(parent, ANNE)
        parent.client(ONE).ping()
        parent.stop()
        for name in (parent.tokens, parent.key, parent.certificate, parent.log):
            os.unlink(name)


@test
def a_half_written_file_changes_nothing(room):
    """However much of it is there when it is read."""
    whole = token_line(ANNE, 'uid:1000') + token_line(BERT, 'bert')
    parent = start(room, whole)
    anne, bert = parent.tls(ONE), parent.tls(ONE, BERT)
    told = 0
    for text in ('', whole[:5], token_line(ANNE, 'uid:1'), whole[:-1], whole[:-3]):
        write_over(parent.tokens, text.rstrip('\n'))
        told += 1
        parent.wait_for_log('The tokens before stay in force.', told)
        anne.ping()
        bert.ping()
        parent.tls(TWO, BERT).ping()
    log = parent.log_text()
    equal((log.count('it is empty'), log.count('no end: is it written in full? The')), (1, 4))
    # In place, as an editor or a shell would: every state of the file on the way.
    with open(parent.tokens, 'w', encoding='ascii') as file:
        for i in range(0, len(whole), 23):
            file.write(whole[i:i + 23])
            file.flush()
            anne.ping()
            bert.ping()
    parent.wait_for_log('are in force: 2')
    anne.ping()
    bert.ping()
    equal(parent.log_text().count('was ended'), 0)
    # All are withdrawn by a file that says so.
    parent.reload_tokens('# nobody\n')
    for client in (anne, bert):
        is_error(client.receive(), 'auth')
        client.expect_close()
    assert 'are in force: 0' in parent.log_text()


@test
def bad_tokens_at_a_reload_change_nothing(room):
    parent = start(room)
    client = parent.tls(ONE)
    told = 0
    for how in (write, write_over):
        for text, line in BAD_TOKENS[:3]:
            how(parent.tokens, text)
            told += 1
            parent.wait_for_log('The tokens before stay in force.', told)
            assert '%s:%d: ' % (parent.tokens, line) in parent.log_text()
            client.ping()
            parent.tls(TWO, BERT).ping()
    os.unlink(parent.tokens)
    parent.wait_for_log('The tokens before stay in force.', told + 1)
    client.ping()
    assert token_hash(ANNE) not in parent.log_text()
    parent.reload_tokens(token_line(BERT, 'bert'))
    is_error(client.receive(), 'auth')


# ---- certificate and key ----

def renew(parent, name):
    make_pair(parent.certificate + '.new', parent.key + '.new', name)
    os.rename(parent.key + '.new', parent.key)
    os.rename(parent.certificate + '.new', parent.certificate)


@test
def a_renewed_certificate_is_shown_to_new_connections(room):
    parent = start(room)
    before = parent.tls(ONE)
    renew(parent, 'second')
    parent.wait_for_log('New connections are shown')
    after = parent.tls(TWO)
    assert after.serial() != before.serial()
    before.ping()
    after.ping()
    make_pair(parent.certificate, parent.key, 'third')       # in place
    wait_for(lambda: shown(parent) not in (None, before.serial(), after.serial()))


def shown(parent):
    try:
        return parent.tls(hexid(9)).serial()
    except OSError:
        return None        # between the writing of the file and the reading of it


@test
def a_bad_pair_changes_nothing(room):
    parent = start(room)
    serial = parent.tls(ONE).serial()
    trusted = parent.tls().context
    kept = 0
    other = room.directory + '/other.pem'
    make_pair(room.directory + '/unused.pem', other)
    for path, text in ((parent.certificate, 'nonsense'), (parent.key, ''),
                       (parent.key, open(other, encoding='ascii').read())):
        good = open(path, encoding='ascii').read()
        write_over(path, text)
        kept += 1
        wait_for(lambda: parent.log_text().count('stay in force') >= kept)
        equal(parent.tls(TWO, context=trusted).serial(), serial)
        write_over(path, good)
        parent.wait_for_log('New connections are shown', kept)
    assert 'do not work together' in parent.log_text(), parent.log_text()


@test
def bad_pairs_at_the_start_are_refused(room):
    parent = start(room)
    parent.stop()
    other = room.directory + '/other.pem'
    make_pair(room.directory + '/unused.pem', other)
    for certificate, key in (('/nonexistent', parent.key), (parent.certificate, '/nonexistent'),
                             (parent.certificate, parent.tokens), (parent.tokens, parent.key),
                             (parent.certificate, other), ('/dev/zero', parent.key),
                             (room.directory, parent.key)):
        write(parent.log, '')
        args, parent.args = parent.args, parent.args + ['--tls-cert', certificate,
                                                        '--tls-key', key]
        parent.spawn()
        equal((certificate, key, parent.process.wait(DEADLINE)), (certificate, key, 1))
        wrong = certificate if key == parent.key else key
        assert wrong in parent.log_text(), parent.log_text()
        assert not os.path.exists(parent.path)
        parent.args = args


@test
def the_key_file(room):
    """It may be the certificate's, and nobody else may read it."""
    parent = start(room)
    parent.stop()
    assert 'can be read by every user' not in parent.log_text()
    with open(parent.certificate, 'a', encoding='ascii') as both:
        both.write(open(parent.key, encoding='ascii').read())
    parent.args += ['--tls-key', parent.certificate]
    os.chmod(parent.certificate, 0o644)
    parent.start().tls(ONE).ping()
    assert 'can be read by every user' in parent.log_text()
    equal(stat.S_IMODE(os.stat(parent.certificate).st_mode), 0o644)


@test
def an_expired_certificate_is_told(room):
    parent = start(room)
    parent.stop()
    expire(parent.certificate, parent.key)
    parent.start()
    assert 'has expired' in parent.log_text(), parent.log_text()


# ---- the command line ----

@test
def wrong_usage(room):
    files = ['--tls-cert', '/c', '--tls-key', '/k', '--tokens', '/t']
    for args in (['--listen', 'tls:127.0.0.1:1'], ['--listen', 'tls:127.0.0.1:1'] + files[:4],
                 ['--listen', 'tls:127.0.0.1:1'] + files[2:], files[:2], files[:4],
                 ['--listen', 'tls:127.0.0.1'] + files, ['--listen', 'tls:'] + files,
                 ['--listen', 'tls::1'] + files, ['--listen', 'tls:h:65536'] + files,
                 ['--listen', 'tls:::1:5'] + files, ['--listen', 'tls:[]:5'] + files,
                 ['--listen', 'tls:[::1]'] + files, ['--listen', 'tls:h:x'] + files):
        wrong = subprocess.run([BINARY, '--database', room.directory + '/db', *args], timeout=30,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        equal((args, wrong.returncode, wrong.stdout), (args, 2, b''))
        assert wrong.stderr
    helped = subprocess.run([BINARY, '--help'], stdout=subprocess.PIPE, check=True).stdout
    for option in (b'--tls-cert', b'--tls-key', b'--tokens', b'tls:'):
        assert option in helped


@test
def addresses_that_cannot_be_listened_on(room):
    parent = start(room)
    for address in ('tls:127.0.0.1:%d' % parent.port(), 'tls:192.0.2.1:0',
                    'tls:no-such-host.invalid:0'):
        second = subprocess.run([BINARY, '--database', room.directory + '/second', '--listen',
                                 address, '--tls-cert', parent.certificate, '--tls-key',
                                 parent.key, '--tokens', parent.tokens], timeout=60,
                                stderr=subprocess.PIPE, check=False)
        equal((address, second.returncode), (address, 1))
        assert address.encode() in second.stderr, second.stderr


@test
def files_may_be_credentials(room):
    """A relative name is looked for in $CREDENTIALS_DIRECTORY."""
    parent = start(room)
    parent.stop()
    process = subprocess.Popen(
        [os.path.abspath(BINARY), '--database', parent.database, '--listen',
         'unix:' + parent.path, '--listen', 'tls:127.0.0.1:0', '--tls-cert', 'cert.pem', '--tls-key', 'key.pem', '--tokens',
         'tokens'], env={'CREDENTIALS_DIRECTORY': room.directory, **SANITIZER}, cwd='/',
        stderr=open(parent.log, 'w', encoding='ascii'))
    parent.process = process
    wait_for(lambda: process.poll() is not None or parent.ports())
    parent.tls(ONE).ping()
    process.terminate()
    equal(process.wait(DEADLINE), 0)
