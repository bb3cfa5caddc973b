#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""That nothing of the interfaces is left out where users and sandboxes are kept apart: the calls
that the suites of bus make (everycall.CALLS) are all there are, and every signal is its owner's
alone.

What there is, the files under data/dbus-1 say, which a house test holds against the daemon.
"""

import os
import xml.etree.ElementTree as ElementTree

from everycall import CALLS
from harness import *
from programs import TOP
from systembus import SystemBus, SystemEnv, ordinary_uids

ALICE, BOB = (ordinary_uids() + [None] * 3)[1:3]
FDO_PROPERTIES = 'org.freedesktop.DBus.Properties'


def members(interface, kind):
    """The names of an interface's methods, signals or properties."""
    path = os.path.join(TOP, 'data', 'dbus-1', '%s.%s.xml' % (NAME, interface))
    return {e.get('name') for e in ElementTree.parse(path).iter(kind)}


@test
def the_calls_that_are_compared_are_all_there_are(t):
    for interface in ('Storage', 'Direct'):
        made = {member for name, member, _ in CALLS if name == interface}
        equal(members(interface, 'method') - made, set(), 'methods of %s not called' % interface)
        read = {body for name, member, body in CALLS if (name, member) == (FDO_PROPERTIES, 'Get')}
        for name in members(interface, 'property'):
            wanted = "('%s.%s', '%s')" % (NAME, interface, name)
            assert wanted in read, 'property %s of %s is not read' % (name, interface)
        equal(members('Direct', 'property') | members('Direct', 'signal'), set())


def signal_each_kind(t, parent, user):
    """Every signal of Storage at least once, to @user."""
    parent.refuse_ops['bad'] = ('rejected', 'not this one')
    area = user.area('notes')
    for storage in (user.storage, area):
        storage.Subscribe()
        storage.SetItem('bad', 'v')
        storage.Flush(FOREVER)
    parent.stop()
    user.monitor.state_is('disconnected')
    for i in range(4):
        user.storage.SetItem('k%d' % i, 'v')
        area.SetItem('k%d' % i, 'v')


@test
def every_signal_is_for_who_subscribed_alone(t):
    p = t.parent()
    t.daemon({'Queue': {'Limit': '2', 'Overflow': 'drop-oldest'}})
    alice, second, bob, root = [t.user(uid) for uid in (ALICE, ALICE, BOB, 0)]
    alice.monitor.state_is('connected')
    for other in (bob, root):
        other.storage.SetItem('k', 'v')
        other.storage.Flush(FOREVER)
        other.storage.Subscribe()
    for user in (alice, second, bob, root):
        user.listen()
    signal_each_kind(t, p, alice)
    storage, monitor = ('%s.%s' % (NAME, each) for each in ('Storage', 'Monitor'))
    wanted = members('Storage', 'signal')
    wait_for(lambda: {s.member for s in alice.heard() if s.interface == storage} == wanted,
             'each of ' + ', '.join(sorted(wanted)))
    for other in (second, bob, root):
        other.monitor.GetStats()        # all that was sent before has come
        foreign = [s for s in other.heard() if s.interface != monitor and
                   (s.path, s.interface, s.args[0]) != (ROOT, FDO_PROPERTIES, monitor)]
        equal(foreign, [], 'heard by uid %d' % other.uid)
        equal({s.path for s in other.heard('ConnectionStateChanged')}, {ROOT})


if __name__ == '__main__':
    need_root()
    if BOB is None:
        skip_all('two ordinary users are wanted, and one for the daemon')
    main(SystemBus, SystemEnv)
