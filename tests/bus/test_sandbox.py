#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Apps in a sandbox, known by their cgroup or by the root directory they see, on the user's bus."""

import os
import re
import signal

from gi.repository import Gio

from harness import *
from asuser import Cgroup, OtherClient, encode
from everycall import CALLS, FDO_PROPERTIES, outcome, outcomes

APP = 'org.example.App'
DENIED = FDO + 'AccessDenied'


class SandboxEnv(Env):
    """An Env that can start clients in sandboxes."""

    def other(self, **kwargs):
        client = OtherClient(self.bus, **kwargs)
        self.closers.insert(0, client.close)
        return client

    def cgroup(self, *units):
        """A client in a cgroup of these names, each below the one before."""
        try:
            cgroup = Cgroup(*units)
        except OSError as error:
            raise Skip('no cgroup can be made here: %s' % error)
        self.closers.append(cgroup.close)
        return self.other(cgroup=cgroup.path)

    def root(self, info=None, cgroup=None):
        """A client that sees a root directory with such a /.flatpak-info: a text, or a function
        that makes something else of its path."""
        number = len(self.closers)
        top = os.path.join(self.dir, 'root-%d' % number)
        os.mkdir(top)
        path = os.path.join(top, '.flatpak-info')
        if callable(info):
            info(path)
        elif info is not None:
            with open(path, 'w') as file:
                file.write(info)
        return self.other(root=top, cgroup=cgroup)

    def kinds(self, app=APP):
        """The same app, known in one way and in the other."""
        yield self.root('[Application]\nname=%s\nruntime=r\n[Instance]\ninstance-id=7\n' % app)
        yield self.cgroup('app-flatpak-%s-1.scope' % encode_unit(app))


def encode_unit(name):
    """What systemd makes of a name within a unit's."""
    return name.replace('-', '\\x2d')


def path_of(name):
    return '%s/area/%s' % (ROOT, encode(name))


def names(results):
    return {name for _, (name, _) in results}


def version(client):
    return client.manager.get('Version')


# ---- its own areas ----

def own_areas(t, app):
    p = t.parent()
    t.daemon()
    c = t.client()
    for client in t.kinds(app):
        client.storage.SetItem('k', 'v')
        equal(client.storage.get('Area'), app)
        equal(client.manager.OpenArea(app), path_of(app))
        equal(client.at(path_of(app)).GetItem('k'), 'v')
        sub = client.area(app + '.sub')
        sub.SetItem('k', 'below')
        equal(sub.get('Area'), app + '.sub')
        client.storage.Flush(FOREVER)
        sub.Flush(FOREVER)
        equal((p.value('k', app), p.value('k', app + '.sub')), ('v', 'below'))
        client.monitor.state_is('connected')
        equal(client.direct.GetItem('k'), 'v')
        # Outside of the sandbox the user sees it all.
        equal(c.area(app).GetItem('k'), 'v')
        fails('NoSuchItem', c.storage.GetItem, 'k')
        equal(re.findall(r'<node name="([^"]*)"', client.introspect(ROOT + '/area')),
              [encode(app), encode(app + '.sub')])
        client.close()


@test
def an_app_has_its_own_area(t):
    own_areas(t, APP)


@test
def an_app_with_dashes_has_its_own_area(t):
    own_areas(t, 'org.example.My-App-2')


@test
def the_default_area_of_an_app_is_there_by_its_path_too(t):
    t.daemon()
    for client in t.kinds():
        client.at(path_of(APP)).SetItem('k', 'v')
        equal(client.storage.GetItem('k'), 'v')
        client.close()


@test
def signals_of_its_own_area_reach_an_app(t):
    t.daemon()
    c = t.client()
    for client in t.kinds():
        client.storage.Subscribe()
        c.storage.SetItem('of the user', 'v')
        c.area(APP).SetItem('of the app', str(client.process.pid))
        wait_for(lambda: client.heard('ItemChanged'))
        equal([s.args for s in client.heard('ItemChanged')], [('of the app', 'local')])
        client.close()


@test
def one_app_does_not_take_all_areas_of_its_user(t):
    t.daemon({'Limits': {'AreasPerUser': '40'}})
    c = t.client()
    client = next(t.kinds())
    client.storage.SetItem('k', 'v')
    calls = ['%s.a%d' % (APP, i) for i in range(15)]
    for name in calls:
        client.manager.OpenArea(name)
    fails('QuotaExceeded', client.manager.OpenArea, APP + '.more')
    client.manager.OpenArea(calls[3])
    equal(client.area(calls[3]).SetItem('k', 'v'), 1)
    # Neither its user nor another app feels that.
    c.manager.OpenArea('mine')
    client.close()
    other = next(t.kinds('org.example.Other'))
    equal(other.storage.SetItem('k', 'v'), 1)
    other.close()


@test
def a_snap_has_an_area_of_its_name(t):
    t.daemon()
    for unit in ('snap.some-snap.app.0c1b-22.scope', 'snap.some-snap.daemon.service'):
        client = t.cgroup('user.slice', unit, 'below')
        equal(client.storage.get('Area'), 'snap.some-snap')
        fails(DENIED, client.manager.OpenArea, 'snap.some-snap2')
        client.close()


# ---- the rest ----

@test
def names_of_others_cannot_be_opened(t):
    t.daemon()
    c = t.client()
    c.area('org.example')
    for client in t.kinds():
        for name in ('default', 'org.example', 'org.example.Ap', 'org.example.Apple', APP + '-x',
                     APP + '_', 'org.example.app', 'nothing', APP + 'x.sub'):
            fails(DENIED, client.manager.OpenArea, name)
        for name in ('a/b', '/' + APP, APP + '/x', '0/' + APP, '', '.' + APP, 'x' * 256):
            fails(FDO + 'InvalidArgs', client.manager.OpenArea, name)
        client.close()
    equal(c.manager.ListAreas(), ['default', 'org.example'])


@test
def areas_of_others_are_denied_whether_they_exist_or_not(t):
    t.parent()
    t.daemon()
    c = t.client()
    c.monitor.state_is('connected')
    for name in ('default', 'org.example.Apple', 'org.example'):
        c.area(name).SetItem('k', 'v')
    for client in t.kinds():
        nothing = outcomes(client, path_of('org.example.Nothing'))
        equal(names(nothing), {DENIED})
        for name in ('default', 'org.example.Apple', 'org.example', 'org.example.Ap'):
            equal(outcomes(client, path_of(name)), nothing, name)
        for path in (path_of('default') + '/x', path_of('nothing') + '/x', ROOT + '/area/_zz',
                     ROOT + '/area/_64efault'):
            equal(outcomes(client, path), nothing, path)
        # One of its own that is not there just is not.
        equal(outcome(client, path_of(APP + '.nothing'), CALLS[0])[0], FDO + 'UnknownObject')
        client.close()
    for name in ('default', 'org.example.Apple', 'org.example'):
        equal(c.area(name).GetItem('k'), 'v')
    equal(c.manager.ListAreas(), ['default', 'org.example', 'org.example.Apple'])


@test
def of_the_rest_an_app_has_the_monitor_and_open_area_only(t):
    t.daemon()
    for client in t.kinds():
        fails(DENIED, client.manager.ListAreas)
        fails(DENIED, client.manager.Reload)
        fails(DENIED, client.manager.GetMetrics)
        fails(DENIED, version, client)
        fails(DENIED, client.manager.all)
        fails(DENIED, client.call, ROOT, FDO_PROPERTIES, 'GetAll', GLib.Variant('(s)', ('',)))
        equal(client.monitor.get('State'), 'disconnected')
        assert 'Parent' in client.monitor.all()
        equal(client.monitor.GetStats()['failed-pings'], 0)
        client.monitor.CheckConnection()
        equal(set(client.storage.all()), {'Area', 'QueueSize', 'QueueBytes'})
        assert 'org.holdfast1.Monitor' in client.introspect(ROOT)
        client.close()


@test
def an_app_hears_of_the_state(t):
    t.daemon()
    client = next(t.kinds())
    client.monitor.state_is('disconnected')
    client.listen()
    t.parent()
    wait_for(lambda: 'connected' in [s.args[0] for s in client.heard('ConnectionStateChanged')])


# ---- not determinable ----

def knows_nothing(client):
    """Who cannot be told apart gets the Monitor, and nothing else."""
    equal(names(outcomes(client, path_of('default'))), {DENIED})
    equal(names(outcomes(client, path_of(APP))), {DENIED})
    equal(names(outcomes(client, path_of('nothing'))), {DENIED})
    for call in (client.storage.GetItem, client.storage.RemoveItem, client.direct.GetItem,
                 client.manager.OpenArea):
        fails(DENIED, call, 'k')
    fails(DENIED, client.manager.ListAreas)
    fails(DENIED, client.manager.Reload)
    fails(DENIED, version, client)
    fails(DENIED, client.storage.get, 'Area')
    fails(DENIED, client.storage.Subscribe)
    fails(DENIED, client.introspect, ROOT + '/area')
    equal(client.monitor.get('State'), 'disconnected')
    assert 'Parent' in client.monitor.all()
    client.monitor.CheckConnection()
    assert 'org.holdfast1.Monitor' in client.introspect(ROOT)


@test
def units_that_are_not_understood_are_denied(t):
    t.daemon()
    c = t.client()
    c.storage.SetItem('k', 'v')
    for units in (['app-flatpak-org.example.App.scope'], ['app-flatpak-.hidden-1.scope'],
                  ['app-flatpak-org.example.App-1.service'], ['snap.scope'], ['snap.group.slice'],
                  ['app-flatpak-org.example.App-1.scope', 'snap.other.app.scope'],
                  ['app-flatpak-org.example.App-1.scope', 'app-flatpak-org.example.Other-1.scope']):
        client = t.cgroup(*units)
        knows_nothing(client)
        client.close()
    equal(c.manager.ListAreas(), ['default'])


@test
def files_that_are_not_understood_are_denied(t):
    t.daemon()
    good = '[Application]\nname=%s\n' % APP

    def link(path):
        with open(path + '2', 'w') as file:
            file.write(good)
        os.symlink('.flatpak-info2', path)

    def long(path):
        with open(path, 'w') as file:
            file.write(good + '#' * 70000 + '\n')

    for info in ('', 'nonsense', '[Application]\n', '[Application]\nname=a/b\n',
                 '[Application]\nname=\n', good + '\0', link, long, os.mkdir, os.mkfifo):
        client = t.root(info)
        knows_nothing(client)
        client.close()


@test
def a_unit_and_a_file_that_disagree_are_denied(t):
    t.daemon()
    for unit, app, area in (('app-flatpak-org.example.App-1.scope', APP, APP),
                            ('app-flatpak-org.example.App-1.scope', 'org.example.Other', None),
                            ('snap.some.app.scope', APP, None), ('session-2.scope', APP, APP),
                            ('app-flatpak-org.example.scope', APP, None)):
        try:
            cgroup = Cgroup(unit)
        except OSError as error:
            raise Skip('no cgroup can be made here: %s' % error)
        t.closers.append(cgroup.close)
        client = t.root('[Application]\nname=%s\n' % app, cgroup=cgroup.path)
        if area is None:
            knows_nothing(client)
        else:
            equal(client.storage.get('Area'), area)
        client.close()


# ---- outside of a sandbox ----

@test
def other_roots_and_units_are_no_sandbox(t):
    t.daemon()
    t.client().storage.SetItem('k', 'v')
    for client in (t.root(), t.cgroup('app-gnome-org.example.App-1.scope'),
                   t.cgroup('user.slice', 'my-app-flatpak-x-1.scope'), t.other()):
        equal(client.storage.get('Area'), 'default')
        equal(client.storage.GetItem('k'), 'v')
        assert 'default' in client.manager.ListAreas()
        assert version(client)
        client.manager.Reload()
        client.close()


def eavesdrop(t):
    """A connection that hears of every call on the bus, those to the bus itself too."""
    spy = t.client()
    spy.asked = []

    def heard(conn, message, incoming):
        if not incoming or message.get_message_type() != Gio.DBusMessageType.METHOD_CALL:
            return message
        spy.asked.append(message.get_member())
        return None         # it is not for us to answer
    spy.conn.add_filter(heard)
    spy.conn.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus',
                       'org.freedesktop.DBus.Monitoring', 'BecomeMonitor',
                       GLib.Variant('(asu)', ([], 0)), None, 0, -1, None)
    return spy


def credentials_asked(spy, c):
    """How often the bus was asked who somebody is."""
    before = spy.asked.count('GetId')
    c.conn.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                     'GetId', None, None, 0, -1, None)
    wait_for(lambda: spy.asked.count('GetId') > before, 'what was said so far')
    return spy.asked.count('GetConnectionUnixUser')


@test
def the_bus_is_asked_once_per_caller_and_for_the_monitor_never(t):
    t.daemon()
    c, spy = t.client(), eavesdrop(t)
    other = t.other()
    other.monitor.get('State')
    other.monitor.all()
    other.monitor.GetStats()
    other.monitor.CheckConnection()
    other.introspect(ROOT)
    equal(credentials_asked(spy, c), 0)
    for _ in range(3):
        other.storage.GetItems([])
        other.storage.get('Area')
        other.manager.ListAreas()
        other.area('x').GetItems([])
    equal(credentials_asked(spy, c), 1)
    t.other().storage.GetItems([])
    equal(credentials_asked(spy, c), 2)


def bus_has_passed_on(c):
    """Everything sent so far has left the bus for where it goes."""
    for _ in range(2):
        c.conn.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                         'GetId', None, None, 0, -1, None)


@test
def a_bus_that_does_not_tell_in_time_is_asked_again(t):
    d = t.daemon()
    c = t.client()
    equal(c.monitor.get('State') != '', True)
    d.process.send_signal(signal.SIGSTOP)
    pending = [c.storage.start('SetItem', 'k', 'v') for _ in range(20)]
    bus_has_passed_on(c)
    t.bus.freeze()
    d.process.send_signal(signal.SIGCONT)
    try:
        wait_for(lambda: 'does not tell who' in d.log())
        # The loop is held up for one of them, not for each.
        d.process.send_signal(signal.SIGHUP)
        wait_for(lambda: 'Configuration reloaded' in d.log())
    finally:
        t.bus.thaw()
    for call in pending:
        fails(DENIED, call.wait)
    equal(d.log().count('does not tell who'), 1)
    c.storage.SetItem('k', 'v')
    equal(c.storage.GetItem('k'), 'v')


if __name__ == '__main__':
    need_root()
    main(make_env=SandboxEnv)
