#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The token is nowhere but in its file and in hello, however loudly the parent repeats it; and what
the parent says of one caller's data is told to nobody else."""

import glob
import os
import subprocess

import torture
from harness import *
from programs import TOP, program
from tlsworld import World, TlsParentd

TOKEN = 'hush-7c1d-TOKEN'
VALUE = 'somebody-4e2b-VALUE'
torture.seed()


class Ears:
    """All that can be read about a daemon, as (where, text)."""

    def __init__(self, t, daemon):
        self.t, self.daemon = t, daemon
        self.client = t.client().listen()
        self.client.storage.Subscribe()
        self.signals = 0

    def ctl(self, *args):
        environ = dict(self.t.environ(), NO_COLOR='1')
        done = subprocess.run([program('holdfastctl'), '--user', *args], env=environ, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=secs(30))
        return done.stdout + done.stderr

    def process(self):
        for name in ('cmdline', 'environ', 'comm'):
            with open('/proc/%d/%s' % (self.daemon.process.pid, name), 'rb') as file:
                yield '/proc/PID/' + name, file.read().decode(errors='replace')

    def everywhere(self):
        c = self.client
        c.barrier()
        yield 'Monitor', repr(c.monitor.all())
        yield 'GetStats', repr(c.monitor.GetStats())
        yield 'Storage', repr(c.storage.all())
        yield 'GetMetrics', c.manager.GetMetrics()
        yield 'ListQueue', repr(c.storage.ListQueue())
        yield 'ListRejected', repr(c.storage.ListRejected())
        yield 'signals', repr(c.signals)
        self.signals = len(c.signals)
        for args in (['status'], ['--json=pretty', 'status'], ['--json=short', 'status'], ['queue'],
                     ['--json=short', 'queue'], ['areas'], ['metrics'], ['flush'], ['get', 'k']):
            yield 'holdfastctl ' + ' '.join(args), self.ctl(*args)
        yield from self.process()
        yield 'notify', self.daemon.notify.text
        yield 'log', self.daemon.log()
        for path in glob.glob(self.daemon.state + '/*'):
            with open(path, 'rb') as file:
                yield path, file.read().decode(errors='replace')

    def never_hear(self, secret):
        for where, text in self.everywhere():
            at = text.find(secret)
            assert at < 0, '%s has it: %.200r' % (where, text[max(0, at - 80):at + 80])


def with_token(t):
    path = os.path.join(t.dir, 'token')
    with open(path, 'w') as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(TOKEN + '\n')
    return {'Parent': {'TokenFile': path}}


def echo(message):
    """An error that repeats the token."""
    return {'type': 'error', 'class': message, 'message': 'is %s a token of yours?' % TOKEN}


def quiet_error(c, call, *args):
    """An error reply, in which the token is not."""
    try:
        call(*args)
    except BusError as error:
        assert TOKEN not in str(error), error
        return error
    raise AssertionError('answered')


@test
def a_parent_that_refuses_us_by_our_token_does_not_publish_it(t):
    for kind in ('auth', 'permanent', 'transient', 'capacity'):
        p = t.parent()
        p.on['hello'] = lambda conn, m: conn.send(echo(kind))
        d = t.daemon(with_token(t))
        ears = Ears(t, d)
        ears.client.monitor.state_is('disconnected')
        wait_for(lambda: 'has our token in it' in ears.client.monitor.get('Reason'))
        equal(p.of('hello')[0]['token'], TOKEN)
        # Another reason, so that the signal of the change is heard too.
        del p.on['hello']
        ears.client.monitor.CheckConnection()
        ears.client.monitor.state_is('connected')
        p.on['hello'] = lambda conn, m: conn.send(echo(kind))
        p.drop()
        wait_for(lambda: 'has our token in it' in ears.client.monitor.get('Reason'))
        assert 'has our token in it' in ears.ctl('status'), ears.ctl('status')
        assert 'has our token in it' in ears.ctl('--json=pretty', 'status')
        ears.never_hear(TOKEN)
        assert ears.signals
        p.stop()
        d.stop()


@test
def a_parent_that_refuses_a_request_by_our_token_does_not_publish_it(t):
    p = t.parent()
    d = t.daemon(with_token(t))
    ears = Ears(t, d)
    c = ears.client
    c.monitor.state_is('connected')
    words = 'no, %s' % TOKEN
    for kind in ('permanent', 'transient', 'capacity'):
        for message in ('getFromParentStorage', 'saveToParentStorage', 'removeFromParentStorage'):
            p.on[message] = lambda conn, m: conn.send(p.error(m, kind, words))
        quiet_error(c, c.storage.full, 'absent')
        try:
            c.storage.full('absent', source='parent')
        except BusError as error:
            assert TOKEN not in str(error)
        quiet_error(c, c.direct.GetItem, 'absent')
        quiet_error(c, c.direct.SetItem, 'd', 'v')
        quiet_error(c, c.direct.RemoveItem, 'd')
    p.refuse_ops['bad'] = ('rejected', words)
    p.refuse_ops['big'] = ('quota', words)
    for key in ('bad', 'big'):
        serial = c.storage.SetItem(key, 'v')
        quiet_error(c, c.storage.Await, serial, FOREVER)
    p.on['batch'] = lambda conn, m: conn.send(p.error(m, 'permanent', words))
    serial = c.storage.SetItem('whole', 'v')
    quiet_error(c, c.storage.Await, serial, FOREVER)
    wait_for(lambda: len(c.heard('ItemRejected')) == 3)
    equal(len(c.storage.ListRejected()), 3)
    ears.never_hear(TOKEN)
    d.restart()
    ears.client.monitor.state_is('connected')
    ears.never_hear(TOKEN)


@test
def a_parent_that_ends_the_session_by_our_token_does_not_publish_it(t):
    p = t.parent()
    d = t.daemon(with_token(t))
    ears = Ears(t, d)
    for line in (echo('auth'), echo('permanent'), echo('transient'), {'type': TOKEN},
                 {'type': 'pong', 'pingTime': 5, TOKEN: TOKEN}, {'type': 'welcome', TOKEN: 1},
                 (TOKEN + '\n').encode(),
                 {'type': 'storageAck', 'requestId': TOKEN, 'revision': 1}):
        ears.client.monitor.CheckConnection()
        ears.client.monitor.state_is('connected', 10)
        count = len(p.conns)
        p.live().send(line)
        if line != {'type': TOKEN}:     # a type that is not known is no offence
            wait_for(lambda: not p.conns[count - 1].open)
            wait_for(lambda: ears.client.monitor.reason() in ('auth', 'protocol') or
                     len(p.conns) > count)
        ears.never_hear(TOKEN)
        d.configure(with_token(t))
        ears.client.manager.Reload()    # ends the hold of auth


@test
def what_the_parent_says_of_our_data_is_no_reason(t):
    """Everybody may read Reason, an app in a sandbox too."""
    p = t.parent()
    d = t.daemon()
    ears = Ears(t, d)
    c = ears.client
    for error in ({'type': 'error', 'class': 'permanent', 'message': 'bad: ' + VALUE},
                  {'type': 'error', 'class': 'auth', 'requestId': 'r1', 'message': VALUE}):
        c.monitor.state_is('connected')
        p.on['batch'] = lambda conn, m: conn.send(dict(error, **(
            {'requestId': m['requestId']} if 'requestId' in error else {})))
        c.storage.SetItem('k', 'v')
        wait_for(lambda: c.monitor.reason() in ('auth', 'protocol'))
        del p.on['batch']
        for text in (c.monitor.get('Reason'), repr(c.monitor.GetStats()), repr(c.signals),
                     ears.ctl('status'), d.log()):
            assert VALUE not in text, text
        c.manager.Reload()
    c.monitor.state_is('connected')
    c.storage.Flush(FOREVER)


def behind_tls(t):
    """A daemon whose TOKEN the real parent does not know: that, and the Ears of the daemon."""
    w = World(t)
    w.parent.stop()
    parentd = TlsParentd(t, w.front.certificate).start()
    w.write_token(TOKEN)
    w.start(w.conf(Address=parentd.address))
    ears = Ears(t, w.daemon)
    wait_for(lambda: ears.client.monitor.reason() == 'auth')
    return parentd, ears


def parent_never_tells(parentd, secret):
    """Not in what it logs, was started with, or keeps."""
    paths = glob.glob(parentd.dbpath + '*') + [
        parentd.log_path, '/proc/%d/cmdline' % parentd.process.pid,
        '/proc/%d/environ' % parentd.process.pid]
    assert parentd.dbpath in paths
    for path in paths:
        with open(path, 'rb') as file:
            assert secret.encode() not in file.read(), path


@test
def neither_side_of_tls_tells_a_wrong_token(t):
    parentd, ears = behind_tls(t)
    assert len(ears.client.monitor.get('Reason')) > len('auth: ')
    ears.never_hear(TOKEN)
    assert 'token' in parentd.log()
    parent_never_tells(parentd, TOKEN)


@test
def neither_side_of_tls_tells_a_token_that_is_right(t):
    parentd, ears = behind_tls(t)
    parentd.stop()
    parentd.admit(TOKEN)
    parentd.start()
    ears.client.monitor.CheckConnection()
    ears.client.monitor.state_is('connected')
    ears.client.storage.SetItem('k', 'v')
    ears.client.storage.Flush(FOREVER)
    equal(ears.client.storage.full('k', source='parent')[0], 'v')
    ears.client.manager.Reload()
    ears.never_hear(TOKEN)
    assert ears.signals
    parent_never_tells(parentd, TOKEN)


@test
def nothing_is_left_in_a_core(t):
    """A dump of memory would have token and values in it: no unit lets one be written."""
    units = glob.glob(os.path.join(TOP, 'data/systemd/*/*.service*'))
    assert len(units) >= 4, units
    for unit in units:
        with open(unit) as file:
            assert '\nLimitCORE=0\n' in file.read(), unit


if __name__ == '__main__':
    main()
