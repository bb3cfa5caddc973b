#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""TLS between the two sandboxes, set up as the comments of the units say."""

import hashlib

from boot import *

sys.path.insert(0, os.path.join(machine.TOP, 'tests', 'bus'))
from certificates import Authority  # noqa: E402

UNIT, PARENT = 'holdfastd.service', 'holdfast-parent.service'
TOKEN = 'open-sesame-7f3a'
CA = '/run/test-ca'
ETC = '/etc/holdfast/'


def setup():
    install()
    add_users()


def write(name, text, owner='root:root', mode=0o644):
    with open(ETC + name, 'w') as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    sh('chown', owner, ETC + name)


def read(path):
    with open(path) as file:
        return file.read()


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def parent_over_tls(names='DNS:localhost'):
    """The parent serves TLS with a certificate of a new authority; the file of the latter."""
    shutil.rmtree(CA, ignore_errors=True)
    authority = Authority(CA)
    certificate = authority.issue(names)
    os.makedirs(ETC, exist_ok=True)
    write('tls.crt', read(certificate.file))
    write('tls.key', read(certificate.key), mode=0o600)
    write('tokens', '# who is who\nsha256:%s desktop\n' % digest(TOKEN), 'root:holdfast-parent',
          0o640)
    # From the comment of holdfast-parent.service.
    drop_in(PARENT, '''[Service]
LoadCredential=tls.crt:/etc/holdfast/tls.crt
LoadCredential=tls.key:/etc/holdfast/tls.key
ExecStart=
ExecStart=/usr/bin/holdfast-parentd --listen tls:[::]:7411 \\
        --tls-cert %d/tls.crt --tls-key %d/tls.key --tokens /etc/holdfast/tokens
''')
    sh('systemctl', 'start', PARENT)
    return authority


def daemon_over_tls(authority, token=TOKEN, host='localhost'):
    write('ca.pem', read(authority.file))
    write('token', token + '\n', mode=0o600)
    configure('[Parent]\nAddress=tls:%s:7411\nTLSCAFile=/etc/holdfast/ca.pem\nTokenFile=token\n'
              % host)
    # From the comment of holdfastd.service.
    drop_in(UNIT, '[Service]\nLoadCredential=token:/etc/holdfast/token\n')
    sh('systemctl', 'start', UNIT)


def reason():
    return prop('Reason')


@test
def a_parent_over_tls_with_credentials():
    daemon_over_tls(parent_over_tls())
    wait_for(lambda: prop('State') == 'connected', 'a connection over TLS')
    equal(prop('Parent'), 'tls:localhost:7411')
    call('SetItem', 'ss', 'k', 'over TLS')
    call('Flush', 't', FOREVER)
    equal(value('k', 'parent'), ('over TLS', 'parent'))
    note(show(UNIT, 'StatusText'))
    note(sh('ss', '-tn', 'state', 'established', 'sport', '=', ':7411'))
    for unit in (UNIT, PARENT):
        score = sh('systemd-analyze', 'security', '--no-pager', unit).split('\n')[-1]
        note(score)


@test
def a_wrong_token_is_held_and_a_corrected_one_taken():
    daemon_over_tls(parent_over_tls(), token='wrong')
    wait_for(lambda: reason().startswith('auth'), 'the refusal')
    note(reason())
    call('SetItem', 'ss', 'k', 'kept')
    equal(len(queue()), 1)
    # A corrected file of tokens is read again by the parent; the daemon is told to try.
    write('tokens', 'sha256:%s desktop\n' % digest('wrong'), 'root:holdfast-parent', 0o640)

    def again():
        call('CheckConnection', interface='Monitor')
        return prop('State') == 'connected'
    wait_for(again, 'a connection with the token')
    call('Flush', 't', FOREVER)
    equal(queue(), [])


@test
def a_parent_that_is_not_who_it_should_be_gets_nothing():
    daemon_over_tls(parent_over_tls('DNS:elsewhere.example'))
    wait_for(lambda: prop('State') == 'disconnected', 'the refusal')
    note(reason())
    call('SetItem', 'ss', 'k', 'kept')
    authority = parent_over_tls()
    sh('systemctl', 'restart', PARENT)
    write('ca.pem', read(authority.file))

    def again():
        call('CheckConnection', interface='Monitor')
        return prop('State') == 'connected'
    wait_for(again, 'a connection to the right one')
    call('Flush', 't', FOREVER)
    equal(value('k', 'parent'), ('kept', 'parent'))


@test
def the_token_is_nowhere_to_be_seen():
    daemon_over_tls(parent_over_tls())
    sh('systemctl', 'service-log-level', UNIT, 'debug')
    wait_for(lambda: prop('State') == 'connected', 'a connection')
    call('SetItem', 'ss', 'k', 'v')
    call('Flush', 't', FOREVER)
    for told in (sh('journalctl', '--no-pager', '--output=export'),
                 sh('systemctl', 'status', '--no-pager', UNIT, PARENT),
                 sh('busctl', '--system', 'introspect', NAME, ROOT),
                 sh('ps', '-eww', '-o', 'args')):
        assert TOKEN not in told
    # Others on the machine cannot read it where it lies for the daemon.
    where = '/run/credentials/' + UNIT
    note(fails(*as_user('anna', 'cat', where + '/token')))
    note(fails(*as_user('holdfast-parent', 'cat', where + '/token')))


if __name__ == '__main__':
    main(setup)
