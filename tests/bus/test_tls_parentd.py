#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon and the real holdfast-parentd, with TLS between them."""

from harness import *
from tlsworld import TlsParentd, World


def with_parentd(t):
    """A daemon connected to the real parent over TLS."""
    w = World(t)
    w.parent.stop()
    w.parentd = TlsParentd(t, w.front.certificate).start()
    c = w.start(w.conf(Address=w.parentd.address))
    c.monitor.state_is('connected')
    return w, c


@test
def the_real_parent_keeps_what_it_is_told_over_tls(t):
    w, c = with_parentd(t)
    serial = c.storage.SetItems({'k%d' % i: 'v%d' % i for i in range(500)})
    c.storage.SetItem('large', 'x' * 1000000)
    c.storage.RemoveItem('k7')
    c.storage.Flush(20000000)
    c.storage.Await(serial, 0)
    equal(c.storage.full('k3', source='parent')[0], 'v3')
    equal(c.storage.full('large', source='parent')[0], 'x' * 1000000)
    fails('NoSuchItem', c.storage.full, 'k7')
    # Who comes over TLS is another than who comes by the socket.
    equal(w.parentd.client().value('k3'), None)


@test
def the_real_parent_comes_back_and_the_queue_goes_out(t):
    w, c = with_parentd(t)
    w.parentd.kill9()
    c.monitor.state_is('disconnected')
    for i in range(50):
        c.storage.SetItem('k%d' % i, 'v%d' % i)
    w.parentd.start()
    c.monitor.state_is('connected')
    c.storage.Flush(20000000)
    equal(c.storage.full('k49', source='parent')[0], 'v49')


@test
def the_real_parent_refuses_a_wrong_token(t):
    w, c = with_parentd(t)
    w.parentd.stop()
    w.parentd.admit('another token')
    w.parentd.start()
    wait_for(lambda: c.monitor.reason() == 'auth')
    c.storage.SetItem('k', 'v')
    w.write_token('another token')
    c.monitor.state_is('connected')
    c.storage.Flush(20000000)


main()
