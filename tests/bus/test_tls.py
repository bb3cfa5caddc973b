#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A parent over TLS: who is believed, who is told what, and what each failure is called."""

import ssl
import stat
import warnings

from certificates import DAY, Authority, self_signed
from harness import *
from tlsfront import port_of_nobody
from tlsworld import TOKEN, World

SECRET = 'the value that nobody may see'


def connects(w, conf=None, **kwargs):
    c = w.start(conf, **kwargs)
    c.monitor.state_is('connected')
    c.storage.SetItem('k', SECRET)
    wait_for(lambda: w.parent.value('k') == SECRET)
    return c


def refuses(w, reason, words, conf=None, **kwargs):
    """The dial fails with this reason, of which the sentence has these words. No hello was heard."""
    c = w.start(conf, **kwargs)
    wait_for(lambda: c.monitor.reason() == reason, reason + ', not ' + c.monitor.get('Reason'))
    sentence = c.monitor.get('Reason').split(': ', 1)[1]
    assert words in sentence, sentence
    equal(c.monitor.get('State'), 'disconnected')
    equal(w.hellos(), 0)
    return c


def holds(w, c, dials=1):
    """No other dial by itself; CheckConnection dials at once."""
    never(lambda: w.dials() != dials, what='a dial during the hold')
    c.monitor.CheckConnection()
    wait_for(lambda: w.dials() == dials + 1, 'the dial of CheckConnection')


# ---- a good parent ----

@test
def a_verified_parent_is_connected(t):
    w = World(t)
    c = connects(w)
    equal(c.monitor.get('Parent'), w.front.address())
    equal(w.hellos(), 1)
    equal(w.front.links[-1].version, 'TLSv1.3')


@test
def nothing_goes_over_the_wire_in_clear(t):
    w = World(t)
    c = connects(w)
    equal(c.storage.full('k', source='parent')[0], SECRET)
    wire = w.front.wire()
    assert len(wire) > 1000
    for text in (SECRET, TOKEN, 'hello', 'saveToParentStorage'):
        assert text.encode() not in wire, text
    assert TOKEN not in w.daemon.log() and SECRET not in w.daemon.log()


@test
def tls_1_2_is_good_enough(t):
    w = World(t)
    w.front.adjust = lambda context: setattr(context, 'maximum_version', ssl.TLSVersion.TLSv1_2)
    connects(w)
    equal(w.front.links[-1].version, 'TLSv1.2')


@test
def an_ip_address_is_verified_by_its_certificate(t):
    w = World(t, 'IP:127.0.0.1')
    connects(w, w.conf('127.0.0.1'))


@test
def an_ipv6_address_is_verified_by_its_certificate(t):
    try:
        w = World(t, 'IP:::1', host='::1')
    except OSError as error:
        raise Skip('no IPv6 here: %s' % error)
    c = connects(w, w.conf('[::1]'))
    assert c.monitor.get('Parent').startswith('tls:[::1]:')


@test
def heartbeats_go_over_tls(t):
    w = World(t)
    conf = w.conf()
    conf['Heartbeat'] = {'Interval': ms(50), 'Timeout': ms(1000)}
    c = connects(w, conf)
    wait_for(lambda: len(w.parent.of('ping')) >= 6)
    equal((c.monitor.get('State'), c.monitor.get('FailedPings')), ('connected', 0))
    assert c.monitor.get('AverageLatency') > 0
    w.parent.hold('ping')
    c.monitor.state_is('disconnected', 20 * SLOW)
    equal(c.monitor.reason(), 'timeout')


@test
def a_stop_says_goodbye(t):
    w = World(t)
    connects(w)
    w.daemon.stop()
    wait_for(lambda: w.front.goodbyes == 1)


@test
def a_stop_does_not_wait_for_a_peer_that_does_not_read(t):
    """TLS has a last word, for which there is no room."""
    w = World(t)
    w.front.stop()
    w.front.buffer = 16384
    w.front.start()
    c = connects(w, w.conf(BatchTimeout='60s'))
    taken = w.front.links[-1].plain_in
    w.parent.throttle = (1, 3600)
    c.storage.SetItem('k', '\x01' * 1000000)      # 6 MB on the wire, more than a socket takes
    wait_for(lambda: w.front.links[-1].plain_in > taken + 50000)
    began = time.monotonic()
    w.daemon.stop()
    assert time.monotonic() - began < secs(5)


# ---- a parent that is not believed ----

@test
def an_expired_certificate(t):
    w = World(t, begins=-10 * DAY, ends=-DAY)
    holds(w, refuses(w, 'auth', 'has expired'))


@test
def a_certificate_not_yet_valid(t):
    w = World(t, begins=DAY, ends=10 * DAY)
    holds(w, refuses(w, 'auth', 'not valid yet'))


@test
def a_certificate_of_another_host(t):
    w = World(t, 'DNS:parent.example.org')
    c = refuses(w, 'auth', 'for another host')
    assert 'authority' not in c.monitor.get('Reason')
    holds(w, c)


@test
def a_certificate_for_the_name_is_not_one_for_the_address(t):
    w = World(t)
    refuses(w, 'auth', 'for another host', w.conf('127.0.0.1'))


@test
def a_certificate_of_an_unknown_authority(t):
    other = Authority(os.path.join(t.dir, 'other'), 'Other CA')
    w = World(t, certificate=other.issue())
    c = refuses(w, 'auth', 'not issued by an authority')
    assert 'host' not in c.monitor.get('Reason').replace(w.front.address('localhost')[4:], '')
    holds(w, c)


@test
def a_self_signed_certificate(t):
    w = World(t, certificate=self_signed(os.path.join(t.dir, 'self')))
    refuses(w, 'auth', 'not issued by an authority')


@test
def the_file_of_authorities_stands_alone(t):
    """Without it the system's authorities count, and they do not know ours."""
    w = World(t)
    refuses(w, 'auth', 'not issued by an authority', w.conf(TLSCAFile=None))


@test
def an_old_tls(t):
    w = World(t)
    warnings.simplefilter('ignore', DeprecationWarning)

    def old(context):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers('ALL:@SECLEVEL=0')

    w.front.adjust = old
    refuses(w, 'protocol', 'TLS')


@test
def a_client_certificate_is_not_what_we_have(t):
    w = World(t)

    def strict(context):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(w.authority.file)
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    w.front.adjust = strict
    refuses(w, 'auth', 'asks for a certificate of ours')


# ---- a peer that is no TLS server, or none ----

@test
def a_peer_that_answers_in_clear(t):
    w = World(t)
    w.front.behaviour = 'banner'
    refuses(w, 'protocol', 'does not speak TLS')


@test
def a_plaintext_parent_gets_nothing(t):
    """It reads a ClientHello where a line should be, and hears neither hello nor token."""
    w = World(t)
    w.front.behaviour = 'plain'
    refuses(w, 'protocol', 'does not speak TLS, and nothing is sent in clear')
    wait_for(lambda: w.dials() > 1, 'a redial by backoff')
    assert b'this is not JSON' in w.front.wire()
    assert TOKEN.encode() not in w.front.wire()


@test
def a_peer_that_hangs_up_in_the_handshake(t):
    w = World(t)
    w.front.behaviour = 'close'
    refuses(w, 'closed', 'hung up in the TLS handshake')
    wait_for(lambda: w.dials() > 2, 'redials by backoff')
    w.front.behaviour = 'cut'
    dials = w.dials()
    wait_for(lambda: w.dials() > dials + 2)
    equal(w.client.monitor.reason(), 'closed')
    w.front.behaviour = 'serve'
    w.client.monitor.state_is('connected')


@test
def a_peer_that_hangs_in_the_handshake(t):
    w = World(t)
    w.front.behaviour = 'silent'
    refuses(w, 'timeout', '', w.conf(DialTimeout=ms(200)))
    wait_for(lambda: w.dials() > 1, 'a redial by backoff')


@test
def a_port_at_which_nobody_listens(t):
    w = World(t)
    address = 'tls:localhost:%d' % port_of_nobody()
    c = refuses(w, 'refused', 'localhost', w.conf(Address=address))
    w.front.stop()
    equal(c.monitor.get('Parent'), address)


@test
def a_name_that_does_not_resolve(t):
    w = World(t)
    c = refuses(w, 'refused', 'does not resolve',
                w.conf(Address='tls:parent.invalid:4711', DialTimeout='20s'))
    assert 'parent.invalid:4711' in c.monitor.get('Reason')


@test
def a_parent_that_comes_back(t):
    w = World(t)
    c = connects(w)
    w.front.stop()
    c.monitor.state_is('disconnected')
    c.storage.SetItem('k', 'while away')
    w.front.start()
    c.monitor.state_is('connected')
    wait_for(lambda: w.parent.value('k') == 'while away')


# ---- tokens ----

@test
def a_wrong_token_is_held_until_it_is_replaced(t):
    w = World(t)
    w.write_token('wrong')
    c = w.start()
    c.monitor.state_is('disconnected')
    equal(c.monitor.get('Reason'), 'auth: this token is not known here')
    holds(w, c)
    wait_for(lambda: w.hellos() == 2)
    wait_for(lambda: not w.front.links[-1].open)
    c.storage.SetItem('k', 'v')
    w.write_token(TOKEN)
    c.monitor.state_is('connected')
    wait_for(lambda: w.parent.value('k') == 'v')
    equal(w.dials(), 3)


@test
def a_token_is_written_in_place(t):
    w = World(t)
    w.write_token('wrong')
    c = w.start()
    c.monitor.state_is('disconnected')
    with open(w.token_file, 'w') as file:
        file.write(TOKEN)
    c.monitor.state_is('connected')


@test
def a_missing_token_file_is_a_sentence(t):
    w = World(t)
    os.unlink(w.token_file)
    c = refuses(w, 'auth', w.token_file)
    w.write_token(TOKEN)
    c.monitor.state_is('connected')


def credentials(w, **files):
    directory = os.path.join(w.t.dir, 'credentials')
    os.mkdir(directory)
    for name, text in files.items():
        with open(os.path.join(directory, name.replace('_', '.')), 'w') as file:
            file.write(text)
    return {'CREDENTIALS_DIRECTORY': directory}


@test
def a_relative_token_file_is_a_credential(t):
    w = World(t)
    connects(w, w.conf(TokenFile='our.token'), environ=credentials(w, our_token=TOKEN))
    assert 'open to other users' not in w.daemon.log()


@test
def a_credential_holdfast_token_needs_no_setting(t):
    w = World(t)
    connects(w, w.conf(TokenFile=None), environ=credentials(w, holdfast_token=TOKEN))


@test
def without_a_token_none_is_sent(t):
    w = World(t)
    c = w.start(w.conf(TokenFile=None), environ=credentials(w))
    c.monitor.state_is('disconnected')
    equal(c.monitor.get('Reason'), 'auth: this token is not known here')
    assert 'token' not in w.parent.of('hello')[0].message


@test
def a_relative_token_file_needs_credentials(t):
    w = World(t)
    refuses(w, 'auth', '$CREDENTIALS_DIRECTORY', w.conf(TokenFile='our.token'))


@test
def an_open_token_file_is_warned_of_once(t):
    w = World(t)
    os.chmod(w.token_file, 0o644)
    c = connects(w)
    w.front.cut()
    wait_for(lambda: w.hellos() == 2)
    c.monitor.state_is('connected')
    equal(w.daemon.log().count('is open to other users'), 1)
    equal(stat.S_IMODE(os.stat(w.token_file).st_mode), 0o644)


# ---- authorities that change ----

@test
def a_replaced_authority_is_seen_at_once(t):
    w = World(t)
    other = Authority(os.path.join(t.dir, 'other'), 'Other CA')
    w.trust(other.file)
    c = refuses(w, 'auth', 'not issued by an authority')
    never(lambda: w.dials() != 1)
    w.trust(w.authority.file)
    c.monitor.state_is('connected')


@test
def a_lost_authority_is_not_trusted_any_more(t):
    """No session of before is resumed: the certificate is looked at each time."""
    w = World(t)
    c = connects(w)
    other = Authority(os.path.join(t.dir, 'other'), 'Other CA')
    w.trust(other.file)
    hellos = w.hellos()
    w.front.cut()
    wait_for(lambda: c.monitor.reason() == 'auth')
    equal(w.hellos(), hellos)


@test
def a_file_of_authorities_is_mended(t):
    w = World(t)
    os.unlink(w.ca_file)
    c = refuses(w, 'auth', w.ca_file)
    equal(w.dials(), 0)
    w.replace(w.ca_file, 'not a certificate\n')
    wait_for(lambda: 'no certificate' in c.monitor.get('Reason'))
    # Made anew, and not by renaming: the first look may find it half written.
    os.unlink(w.ca_file)
    with open(w.authority.file) as source, open(w.ca_file, 'w') as file:
        file.flush()
        file.write(source.read())
    c.monitor.state_is('connected')


@test
def a_pipe_is_no_file_of_authorities(t):
    w = World(t)
    os.unlink(w.ca_file)
    os.mkfifo(w.ca_file)
    refuses(w, 'auth', w.ca_file)


@test
def without_a_tls_backend_there_is_a_sentence(t):
    w = World(t)
    refuses(w, 'auth', 'glib-networking', environ={'GIO_MODULE_DIR': t.dir})


# ---- data ----

@test
def a_large_batch_cut_in_the_middle_is_applied_once(t):
    w = World(t)
    conf = w.conf(BatchTimeout='30s')
    conf['Heartbeat'] = {'Interval': '10s', 'Timeout': '10s'}
    c = connects(w, conf)
    w.front.cut_at = w.front.links[-1].plain_in + 3000000
    value = '\x01' * 1000000    # 6 MB as JSON
    serial = c.storage.SetItem('large', value)
    more = c.storage.SetItem('more', 'm')
    c.storage.Await(max(serial, more), FOREVER)
    equal(w.front.cut_at, None)
    equal(w.parent.value('large'), value)
    equal(w.parent.keys_applied().count('large'), 1)
    equal(w.parent.keys_applied().count('more'), 1)
    assert w.dials() >= 2
    equal(c.storage.full('large', source='parent')[0], value)


@test
def a_reload_to_tls_and_back_loses_nothing(t):
    w = World(t)
    w.parent.on['hello'] = lambda conn, message: DEFAULT
    c = w.start({})
    c.monitor.state_is('connected')
    equal(c.monitor.get('Parent'), t.address)
    for i, conf in enumerate((w.conf(), {}, w.conf())):
        w.parent.hold('batch')
        c.storage.SetItem('k%d' % i, 'v')
        wait_for(lambda: w.parent.held)
        w.daemon.configure(conf)
        c.manager.Reload()
        w.parent.release('batch')
        address = conf['Parent']['Address'] if conf else t.address
        wait_for(lambda: c.monitor.get('Parent') == address)
        c.monitor.state_is('connected')
        wait_for(lambda: w.parent.value('k%d' % i) == 'v')
        equal(w.parent.keys_applied().count('k%d' % i), 1)


@test
def a_reload_changes_whom_we_trust(t):
    w = World(t)
    other = Authority(os.path.join(t.dir, 'other'), 'Other CA')
    c = refuses(w, 'auth', 'not issued', w.conf(TLSCAFile=other.file))
    w.daemon.configure(w.conf())
    c.manager.Reload()
    c.monitor.state_is('connected')


# ---- addresses ----

@test
def an_address_that_is_none_is_refused(t):
    for address in ('tls:host', 'tls:host:0', 'tls:me@host:1', 'tls:::1:443'):
        d = Daemon(t, args=['--parent', address])
        d.start(ready=False)
        equal(d.wait(), 2)
        d.process = None
        assert 'is not an address of a parent' in d.log()


main()
