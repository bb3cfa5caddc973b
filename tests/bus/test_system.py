#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfastd --system: many users, and each of them alone."""

import os
import re
import subprocess
import threading

from gi.repository import Gio

from harness import *
from asuser import Cgroup, OtherClient, encode
from everycall import CALLS, FDO_PROPERTIES, outcome, outcomes
from systembus import LaxBus, SystemBus, SystemDaemon, SystemEnv, daemon_uid, ordinary_uids

ALICE, BOB, NOBODY = (ordinary_uids() + [None] * 4)[1:4]   # the last one never has an area
BUS = ('org.freedesktop.DBus', '/org/freedesktop/DBus')


def path_of(uid, name):
    return '%s/area/%s' % (ROOT, encode('%d/%s' % (uid, name)))


def children(client, path=ROOT + '/area'):
    """The names of the nodes below a path, as introspection tells them."""
    return re.findall(r'<node name="([^"]*)"', client.introspect(path))


def three(t):
    return t.user(ALICE), t.user(BOB), t.user(0)


# ---- areas of one's own ----

@test
def each_user_has_areas_of_its_own(t):
    p = t.parent()
    t.daemon()
    users = three(t)
    for user in users:
        user.storage.SetItem('k', 'of %d' % user.uid)
        user.area('notes').SetItem('k', 'note of %d' % user.uid)
    for user in users:
        equal(user.storage.GetItem('k'), 'of %d' % user.uid)
        equal(user.area('notes').GetItem('k'), 'note of %d' % user.uid)
        user.storage.Flush(FOREVER)
        user.area('notes').Flush(FOREVER)
        equal(p.value('k', '%d/default' % user.uid), 'of %d' % user.uid)
        equal(p.value('k', '%d/notes' % user.uid), 'note of %d' % user.uid)
    equal({r['area'] for r in p.of('getFromParentStorage')} -
          {'%d/%s' % (u.uid, n) for u in users for n in ('default', 'notes')}, set())


@test
def one_who_asks_the_parent_for_very_much_leaves_room_for_others(t):
    p = t.parent()
    t.daemon({'Parent': {'RequestTimeout': '4s'}})
    greedy, bob = t.client(), t.user(BOB)
    bob.monitor.state_is('connected')
    p.put('k', 'v', '%d/default' % BOB)
    p.hold('getFromParentStorage')
    calls = [greedy.storage.start('GetItems', ['%d-%d' % (n, i) for i in range(1000)])
             for n in range(5)]
    greedy.barrier()
    fails(FDO + 'LimitsExceeded', greedy.direct.GetItem, 'k')
    got = []
    asker = threading.Thread(target=lambda: got.append(bob.direct.GetItem('k')))
    asker.start()
    wait_for(lambda: [r for r in p.gets() if r['area'] == '%d/default' % BOB] or
             not asker.is_alive())
    p.release('getFromParentStorage')
    asker.join()
    equal(got, ['v'])
    for call in calls:
        equal(call.wait(), {})


@test
def direct_too_is_in_the_callers_area(t):
    p = t.parent()
    t.daemon()
    alice, bob, _ = three(t)
    alice.monitor.state_is('connected')
    alice.direct.SetItem('k', 'direct')
    equal(p.value('k', '%d/default' % ALICE), 'direct')
    equal(alice.direct.GetItem('k'), 'direct')
    fails('NoSuchItem', bob.direct.GetItem, 'k')


@test
def clients_see_plain_names_and_paths_of_their_uid(t):
    t.daemon()
    for user in three(t):
        equal(user.storage.get('Area'), 'default')
        area = user.area('org.example.App')
        equal(area.path, path_of(user.uid, 'org.example.App'))
        equal(area.get('Area'), 'org.example.App')
        equal(user.manager.OpenArea('default'), path_of(user.uid, 'default'))


@test
def the_root_object_is_the_default_area_and_there_from_the_start(t):
    t.daemon()
    alice, bob, _ = three(t)
    alice.storage.SetItem('k', 'v')
    equal(alice.at(path_of(ALICE, 'default')).GetItem('k'), 'v')
    # By its path first, by the root object then.
    bob.at(path_of(BOB, 'default')).SetItem('k', 'b')
    equal(bob.storage.GetItem('k'), 'b')
    assert 'org.holdfast1.Storage' in t.user(NOBODY).introspect(ROOT)


@test
def nothing_is_listed_but_ones_own(t):
    t.daemon()
    alice, bob, root = three(t)
    alice.storage.SetItem('k', 'v')
    alice.area('notes')
    bob.area('b')
    equal(alice.manager.ListAreas(), ['default', 'notes'])
    equal(bob.manager.ListAreas(), ['b'])
    equal(root.manager.ListAreas(), [])
    equal(children(alice), [encode('%d/%s' % (ALICE, n)) for n in ('default', 'notes')])
    equal(children(bob), [encode('%d/b' % BOB)])
    equal(children(root), [])
    equal(t.user(NOBODY).manager.ListAreas(), [])
    for user in (alice, bob, root):
        equal(children(user, ROOT), ['area'])


@test
def areas_are_there_after_a_restart_and_still_their_owners(t):
    d = t.daemon()
    alice, bob, root = three(t)
    alice.area('notes').SetItem('k', 'v')
    alice.storage.SetItem('k', 'default')
    d.restart()
    equal(alice.at(path_of(ALICE, 'notes')).GetItem('k'), 'v')
    equal(alice.storage.GetItem('k'), 'default')
    equal(alice.manager.ListAreas(), ['default', 'notes'])
    for other in (bob, root):
        equal(other.manager.ListAreas(), [])
        fails(FDO + 'UnknownObject', other.at(path_of(ALICE, 'notes')).GetItem, 'k')


# ---- areas of others ----

@test
def an_area_of_another_user_is_as_one_that_does_not_exist(t):
    t.parent()
    t.daemon()
    alice, bob, root = three(t)
    alice.monitor.state_is('connected')
    notes = alice.area('notes')
    notes.SetItem('k', 'v')
    for other in (bob, root):
        other.storage.SetItem('k', 'own')
        there = outcomes(other, path_of(ALICE, 'notes'))
        equal(there, outcomes(other, path_of(ALICE, 'nothing')))
        equal(there, outcomes(other, path_of(NOBODY, 'notes')))
        equal(there, outcomes(other, path_of(other.uid, 'nothing')))
        equal({name for _, (name, _) in there} & {'answered', ERR + 'NoSuchItem'}, set())
        # Nor below it, nor beside it.
        equal(outcomes(other, path_of(ALICE, 'notes') + '/x'),
              outcomes(other, path_of(ALICE, 'nothing') + '/x'))
    equal(notes.GetItem('k'), 'v')
    equal(alice.manager.ListAreas(), ['notes'])


@test
def every_call_answers_the_owner(t):
    """So that the test above compares calls that would have found something."""
    t.parent()
    t.daemon()
    alice = t.user(ALICE)
    alice.monitor.state_is('connected')
    path = alice.area('notes').path
    unknown = [(call, got) for call, got in outcomes(alice, path)
               if got[0] == FDO + 'UnknownObject']
    equal(unknown, [])
    alice.at(path).SetItem('k', 'v')
    equal(outcome(alice, path, CALLS[0]), ('answered', 'v'))


@test
def no_spelling_of_a_path_gets_past_the_check(t):
    t.daemon()
    alice, bob, _ = three(t)
    alice.area('notes').SetItem('k', 'v')
    whole = encode('%d/notes' % ALICE)
    digits = ''.join('_%02x' % ord(c) for c in str(ALICE))
    for label in (digits + '_2fnotes', digits + '_2Fnotes', whole.replace('_2f', '_2F'),
                  encode('0%d/notes' % ALICE), encode('%d//notes' % ALICE), encode('notes'),
                  encode('%d/../%d/notes' % (BOB, ALICE)), encode('/%d/notes' % ALICE),
                  encode('%d' % ALICE), encode('%d/' % ALICE), encode('+%d/notes' % ALICE),
                  encode('%d/notes' % (ALICE + 2 ** 32)), encode('-1/notes'), '_',
                  whole + '_00', encode('%d/default/x' % BOB)):
        for user in (alice, bob):
            fails(FDO + 'UnknownObject', user.at('%s/area/%s' % (ROOT, label)).GetItem, 'k')
    equal(alice.manager.ListAreas(), ['notes'])
    equal(bob.manager.ListAreas(), [])


@test
def names_of_others_cannot_be_opened(t):
    t.daemon()
    alice, bob, root = three(t)
    alice.area('notes')
    for user in (bob, root):
        for name in ('%d/notes' % ALICE, '/notes', '%d/notes' % user.uid, '0/x', 'a/b', ''):
            fails(FDO + 'InvalidArgs', user.manager.OpenArea, name)
        equal(user.manager.ListAreas(), [])


# ---- signals ----

@test
def signals_reach_who_subscribed_to_its_own_and_nobody_else(t):
    t.daemon()
    alice, bob, root = three(t)
    second = t.user(ALICE)
    notes = alice.area('notes')
    for user in (alice, bob, root, second):
        user.listen()
        user.storage.Subscribe()
    notes.Subscribe()
    for user in (bob, root):
        fails(FDO + 'UnknownObject', user.at(notes.path).Subscribe)
        fails(FDO + 'UnknownObject', user.at(path_of(ALICE, 'default')).Subscribe)
    notes.SetItem('secret', 'v')
    alice.storage.SetItem('known', 'v')
    bob.storage.SetItem('bobs', 'v')
    wait_for(lambda: len(alice.heard('ItemChanged')) == 2)
    equal([(s.path, s.args) for s in alice.heard('ItemChanged')],
          [(notes.path, ('secret', 'local')), (ROOT, ('known', 'local'))])
    wait_for(lambda: second.heard('ItemChanged'))
    equal([s.args for s in second.heard('ItemChanged')], [('known', 'local')])
    wait_for(lambda: bob.heard('ItemChanged') and bob.heard('QueueChanged'))
    equal([s.args for s in bob.heard('ItemChanged')], [('bobs', 'local')])
    equal({s.path for s in bob.heard() if s.interface == NAME + '.Storage'}, {ROOT})
    root.storage.GetItems([])
    equal([s for s in root.heard() if s.interface == NAME + '.Storage'], [])


@test
def the_state_is_told_to_all(t):
    t.daemon()
    users = three(t)
    for user in users:
        user.monitor.state_is('disconnected')
        user.listen()
    t.parent()
    for user in users:
        user.monitor.state_is('connected')
        wait_for(lambda: 'connected' in [s.args[0] for s in user.heard('ConnectionStateChanged')])
        wait_for(lambda: user.heard('PropertiesChanged'))
        assert user.manager.get('Version')
        equal(user.monitor.GetStats()['failed-pings'], 0)
        user.monitor.CheckConnection()


# ---- limits ----

@test
def areas_are_limited_per_user(t):
    t.daemon({'Limits': {'AreasPerUser': '3'}})
    alice, bob, _ = three(t)
    for name in ('a', 'b', 'c'):
        alice.area(name).SetItem('k', 'v')
    fails('QuotaExceeded', alice.manager.OpenArea, 'd')
    # The default area is one of them, and comes too late here.
    fails('QuotaExceeded', alice.storage.SetItem, 'k', 'v')
    fails('QuotaExceeded', alice.at(path_of(ALICE, 'default')).GetItem, 'k')
    bob.storage.SetItem('k', 'v')
    bob.area('a'), bob.area('b')
    fails('QuotaExceeded', bob.manager.OpenArea, 'c')
    equal(alice.manager.ListAreas(), ['a', 'b', 'c'])
    equal(alice.area('a').GetItem('k'), 'v')


@test
def bytes_are_limited_per_user(t):
    t.daemon({'Limits': {'BytesPerUser': '100K'}})
    alice, bob, _ = three(t)
    alice.storage.SetItem('k', 'x' * 60000)
    fails('QuotaExceeded', alice.area('more').SetItem, 'k', 'x' * 60000)
    bob.storage.SetItem('k', 'x' * 60000)


def open_files(d):
    return len(os.listdir('/proc/%d/fd' % d.process.pid))


@test
def files_sent_along_are_not_kept(t):
    """A call that waits would keep them, and a few such calls use up what the daemon may open."""
    d = t.daemon()
    other = Client(t.bus)
    serial = other.storage.SetItem('k', 'v')
    before = open_files(d)
    for _ in range(20):
        files = Gio.UnixFDList.new()
        for _ in range(16):
            files.append(0)
        other.conn.call_with_unix_fd_list(
            NAME, ROOT, NAME + '.Storage', 'Await', GLib.Variant('(tt)', (serial, FOREVER)), None,
            0, -1, files, None, None)
    equal(other.storage.GetItem('k'), 'v')
    assert open_files(d) <= before + 2, (before, open_files(d))
    other.close()


LARGEST = 32 * 2 ** 20      # bytes of a message that a system bus takes


def large_call(owner, member, rest):
    """A call of Properties that has as many bytes as may be; most of them name an interface."""
    def make(length):
        message = Gio.DBusMessage.new_method_call(owner, ROOT, FDO_PROPERTIES, member)
        message.set_body(GLib.Variant.new_tuple(GLib.Variant('s', 'x' * length), *rest))
        message.set_serial(1)
        return message

    def overhead(length):       # what is not the name: padding makes it depend on the length
        return len(make(length % 8).to_blob(Gio.DBusCapabilityFlags.NONE)) - length % 8
    length = LARGEST
    while overhead(length) + length > LARGEST:
        length -= 1
    return make(length)


@test
def the_longest_call_has_no_longer_answer(t):
    """The bus would end the connection of the daemon, and that the daemon."""
    d = t.daemon()
    other = Client(t.bus)
    owner = other.conn.call_sync(
        'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'GetNameOwner',
        GLib.Variant('(s)', (NAME,)), None, 0, -1, None).unpack()[0]
    state = GLib.Variant('s', 'State')
    for member, rest in (('Get', (state,)), ('GetAll', ()),
                         ('Set', (state, GLib.Variant('v', GLib.Variant('s', ''))))):
        answer, _ = other.conn.send_message_with_reply_sync(
            large_call(owner, member, rest), Gio.DBusSendMessageFlags.NONE, int(CALL * 1000), None)
        equal(answer.get_error_name(), FDO + 'InvalidArgs')
        assert d.alive()
    other.close()


# ---- who may do what ----

def managing_is_for_the_chosen(t, bus):
    t.bus = bus
    t.daemon()
    for uid in (ALICE, BOB):
        fails(FDO + 'AccessDenied', t.user(uid).manager.Reload)
        fails(FDO + 'AccessDenied', t.user(uid).manager.GetMetrics)
    for uid in (0, daemon_uid()):
        t.user(uid).manager.Reload()
        assert t.user(uid).manager.GetMetrics().endswith('# EOF\n')


@test
def the_policy_lets_only_root_and_the_daemon_manage(t):
    managing_is_for_the_chosen(t, t.bus)


@test
def the_daemon_lets_only_root_and_itself_manage(t):
    bus = LaxBus()
    t.closers.append(bus.stop)
    managing_is_for_the_chosen(t, bus)


def request_name(client):
    return client.call(BUS[1], BUS[0], 'RequestName', GLib.Variant('(su)', (NAME, 4)),
                       destination=BUS[0])


@test
def nobody_else_can_own_the_name(t):
    for uid in (ALICE, BOB):
        fails(FDO + 'AccessDenied', request_name, t.user(uid))
    chosen = t.user(daemon_uid())
    equal(request_name(chosen), 1)
    chosen.close()
    root = t.user(0)
    equal(request_name(root), 1)
    root.close()
    t.daemon()
    for uid in (ALICE, BOB):
        fails(FDO + 'AccessDenied', request_name, t.user(uid))


@test
def who_changed_its_user_after_connecting_is_not_determinable(t):
    t.daemon()
    was_root = t.user(0, late=ALICE)
    fails(FDO + 'AccessDenied', was_root.storage.GetItem, 'k')
    fails(FDO + 'AccessDenied', was_root.manager.Reload)
    assert was_root.monitor.get('State')


@test
def a_sandboxed_app_has_an_area_within_its_users(t):
    p = t.parent()
    d = t.daemon()
    try:
        cgroup = Cgroup('app-flatpak-org.example.App-1.scope')
    except OSError as error:
        raise Skip('no cgroup can be made: %s' % error)
    app = OtherClient(t.bus, ALICE, cgroup=cgroup.path)
    t.closers += [app.close, cgroup.close]
    alice, bob, _ = three(t)
    app.storage.SetItem('k', 'v')
    equal(app.storage.get('Area'), 'org.example.App')
    app.storage.Flush(FOREVER)
    equal(p.value('k', '%d/org.example.App' % ALICE), 'v')
    equal(alice.area('org.example.App').GetItem('k'), 'v')
    bob.area('org.example.App').SetItem('k', 'of bob')
    alice.storage.SetItem('k', 'v')
    for path in (path_of(ALICE, 'default'), path_of(BOB, 'org.example.App'),
                 path_of(BOB, 'org.example.App.x'), path_of(NOBODY, 'org.example.App')):
        equal({name for _, (name, _) in outcomes(app, path)}, {FDO + 'AccessDenied'})
    equal(children(app), [encode('%d/org.example.App' % ALICE)])
    fails(FDO + 'AccessDenied', app.manager.OpenArea, 'default')
    assert d.alive()


@test
def a_daemon_in_a_user_namespace_still_knows_its_callers(t):
    """As PrivateUsers=yes has it: all other users look the same to it."""
    wrap = ['unshare', '--user', '--map-current-user']
    if subprocess.run(['setpriv', '--reuid=%d' % ALICE] + wrap + ['true'],
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip('no user namespace can be made')
    t.daemon(wrap=wrap)
    alice, bob, root = three(t)
    for user in (alice, bob, root):
        user.storage.SetItem('k', 'of %d' % user.uid)
    for user in (alice, bob, root):
        equal(user.storage.GetItem('k'), 'of %d' % user.uid)
        equal(user.manager.ListAreas(), ['default'])
    fails(FDO + 'UnknownObject', bob.at(path_of(ALICE, 'default')).GetItem, 'k')


# ---- the bus ----

@test
def a_lost_system_bus_ends_the_daemon_with_an_error(t):
    bus = SystemBus()
    t.closers.append(bus.stop)
    t.bus = bus
    d = t.daemon()
    t.user(ALICE).storage.SetItem('k', 'v')
    bus.kill()
    status = d.wait()
    assert status > 0, status
    assert 'system bus' in d.log()
    d.process = None
    # What was answered is on the disk.
    t.bus = SystemBus()
    t.closers.append(t.bus.stop)
    SystemDaemon(t, state=d.state).start()
    equal(t.user(ALICE).storage.GetItem('k'), 'v')


if __name__ == '__main__':
    need_root()
    if NOBODY is None:
        skip_all('three ordinary users are wanted, and one for the daemon')
    main(SystemBus, SystemEnv)
