#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who calls decides what there is: root, two ordinary users and sandboxed apps, on the system bus
and on a user's."""

from boot import *

UNIT = 'holdfastd.service'
DENIED = 'org.freedesktop.DBus.Error.AccessDenied'
UNKNOWN = 'org.freedesktop.DBus.Error.UnknownObject'
ANNA, BERT = as_user('anna'), as_user('bert')
APP = 'org.example.App'


def setup():
    install()
    add_users()
    start_user_manager('anna')


def open_area(name, caller=(), **kwargs):
    return answer('OpenArea', 's', name, interface='Manager', caller=caller, **kwargs)


def areas(caller=(), **kwargs):
    return sorted(answer('ListAreas', interface='Manager', caller=caller, **kwargs))


def everybody_writes():
    """An item of each in their default area and in one called notes; the paths of the latter."""
    paths = {}
    for name, caller in (('root', ()), ('anna', ANNA), ('bert', BERT)):
        call('SetItem', 'ss', 'who', name, caller=caller)
        paths[name] = open_area('notes', caller)
        call('SetItem', 'ss', 'note', 'of ' + name, path=paths[name], caller=caller)
    return paths


@test
def each_reads_their_own():
    everybody_writes()
    for name, caller in (('root', ()), ('anna', ANNA), ('bert', BERT)):
        equal(call('GetItem', 's', 'who', caller=caller), 's "%s"' % name)
        equal(answer('ListKeys', 's', '', caller=caller), ['who'])
    call('SetItem', 'ss', 'secret', 'x', caller=ANNA)
    note(call_fails('NoSuchItem', 'GetItem', 's', 'secret', caller=BERT))
    note(call_fails('NoSuchItem', 'GetItem', 's', 'secret'))


@test
def each_lists_their_own_areas():
    paths = everybody_writes()
    open_area('diary', ANNA)
    equal(areas(ANNA), ['default', 'diary', 'notes'])
    equal(areas(BERT), ['default', 'notes'])
    equal(areas(), ['default', 'notes'])
    equal(len(set(paths.values())), 3)
    for name, path in paths.items():
        note('%s: %s' % (name, path))
    equal(prop('Area', 'Storage', paths['anna'], caller=ANNA), 'notes')


@test
def a_foreign_object_is_not_there():
    paths = everybody_writes()
    missing = paths['anna'].rsplit('/', 1)[0] + '/nothing'
    for caller in (BERT, ()):
        for member, args in (('GetItem', ('s', 'note')), ('SetItem', ('ss', 'note', 'x')),
                             ('ListQueue', ()), ('Subscribe', ())):
            said = call_fails(UNKNOWN, member, *args, path=paths['anna'], caller=caller)
        note(said)
        # In every way like one that never was.
        wanted = call_fails(UNKNOWN, 'Subscribe', path=missing, caller=caller)
        equal(said.replace(paths['anna'], 'PATH'), wanted.replace(missing, 'PATH'))
        for verb, more in (('get-property', (NAME + '.Storage', 'QueueSize')),
                           ('call', ('org.freedesktop.DBus.Properties', 'GetAll', 's',
                                     NAME + '.Storage')),
                           ('call', ('org.freedesktop.DBus.Introspectable', 'Introspect'))):
            fails_with(UNKNOWN, *caller, 'busctl', '--system', verb, NAME, paths['anna'], *more)
    equal(call('GetItem', 's', 'note', path=paths['anna'], caller=ANNA), 's "of anna"')


@test
def introspection_shows_ones_own():
    paths = everybody_writes()
    for name, caller in (('root', ()), ('anna', ANNA), ('bert', BERT)):
        seen = nodes(ROOT + '/area', caller=caller)
        note('%s sees %s' % (name, ' '.join(seen)))
        assert paths[name].rsplit('/', 1)[1] in seen, seen
        for other in paths:
            if other != name:
                assert paths[other].rsplit('/', 1)[1] not in seen, seen
        tree = sh(*caller, 'busctl', '--system', 'tree', '--list', NAME)
        for other in paths:
            equal(paths[other] in tree.split('\n'), other == name, '%s in the tree of %s' % (
                other, name))


@test
def queues_and_sizes_are_ones_own():
    offline()
    for i in range(3):
        call('SetItem', 'ss', 'a%d' % i, 'v', caller=ANNA)
    call('SetItem', 'ss', 'b', 'v', caller=BERT)
    equal([key for _, key in queue(caller=ANNA)], ['a0', 'a1', 'a2'])
    equal([key for _, key in queue(caller=BERT)], ['b'])
    equal([prop('QueueSize', 'Storage', caller=c) for c in (ANNA, BERT, ())], [3, 1, 0])


@test
def signals_go_to_their_own_user():
    paths = everybody_writes()
    heard = []
    for caller in (ANNA, BERT):
        script = SUBSCRIBER % (paths['anna'] if caller == ANNA else paths['bert'])
        heard.append(subprocess.Popen([*caller, sys.executable, '-c', script],
                                      stdout=subprocess.PIPE, text=True))
    try:
        for process in heard:
            equal(process.stdout.readline(), 'subscribed\n')
        call('SetItem', 'ss', 'note', 'again', path=paths['anna'], caller=ANNA)
        equal(heard[0].stdout.readline(), '%s note local\n' % paths['anna'])
        # What bert hears first is his own: nothing came before it.
        call('SetItem', 'ss', 'mine', 'v', path=paths['bert'], caller=BERT)
        equal(heard[1].stdout.readline(), '%s mine local\n' % paths['bert'])
    finally:
        for process in heard:
            process.kill()
            process.wait()
            process.stdout.close()


SUBSCRIBER = '''
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
def heard(conn, sender, path, interface, member, args):
    print(path, *args.unpack(), flush=True)
bus.signal_subscribe(None, 'org.holdfast1.Storage', 'ItemChanged', None, None, 0, heard)
bus.call_sync('org.holdfast1', '%s', 'org.holdfast1.Storage', 'Subscribe', None, None, 0, -1)
print('subscribed', flush=True)
GLib.MainLoop().run()
'''


@test
def managing_is_for_root():
    call('SetItem', 'ss', 'k', 'v', caller=ANNA)
    note(call_fails(DENIED, 'Reload', interface='Manager', caller=ANNA))
    fails_with(DENIED, *ANNA, 'busctl', '--system', 'set-property', NAME,
               '/org/freedesktop/LogControl1', 'org.freedesktop.LogControl1', 'LogLevel', 's',
               'debug')
    call('Reload', interface='Manager')
    call('Reload', interface='Manager', caller=as_user('holdfast'))
    # What all may see.
    for caller in (ANNA, BERT):
        assert prop('State', caller=caller) in ('connecting', 'connected')
        call('GetStats', interface='Monitor', caller=caller)


@test
def metrics_are_for_root():
    call('SetItem', 'ss', 'k', 'v', caller=ANNA)
    note(call_fails(DENIED, 'GetMetrics', interface='Manager', caller=ANNA))
    assert answer('GetMetrics', interface='Manager').rstrip().endswith('# EOF')


@test
def nobody_else_gets_the_name():
    script = '''
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
try:
    print(bus.call_sync('org.freedesktop.DBus', '/', 'org.freedesktop.DBus', 'RequestName',
                        GLib.Variant('(su)', ('org.holdfast1', 7)), None, 0, -1).unpack())
except GLib.Error as error:
    print(Gio.DBusError.get_remote_error(error))
'''
    for user in ('anna', 'nobody', 'holdfast-parent'):
        said = sh('setpriv', '--reuid', user, '--clear-groups', sys.executable, '-c', script)
        note('%s: %s' % (user, said))
        equal(said, DENIED)
    # And a whole daemon of theirs comes to nothing.
    done = attempt(*ANNA, 'holdfastd', '--system', '--state-dir', '/home/anna/state')
    assert done.status != 0 and done.all, done
    note(done.all.split('\n')[-1])


@test
def the_same_uid_is_the_same_to_the_parent():
    """What each wrote is theirs at the parent too, also after the daemon forgot its copies."""
    everybody_writes()
    for caller in (ANNA, BERT, ()):
        call('Flush', 't', FOREVER, caller=caller)
    sh('systemctl', 'stop', UNIT)
    shutil.rmtree('/var/lib/holdfast')
    for name, caller in (('anna', ANNA), ('bert', BERT), ('root', ())):
        wait_for(lambda: prop('State') == 'connected', 'a connection')
        equal(value('who', 'parent', caller=caller), (name, 'parent'))


def app_is_kept_in(bus, default_of_user):
    """A sandboxed caller on a bus: its own area and those below it, nothing else."""
    def app():
        return {'bus': bus, 'caller': in_app('anna', APP)}
    call('SetItem', 'ss', 'k', 'of the user', bus=bus, caller=default_of_user)
    diary = open_area('diary', default_of_user, bus=bus)
    call('SetItem', 'ss', 'k', 'of the user', path=diary, bus=bus, caller=default_of_user)

    equal(prop('Area', 'Storage', bus=bus, caller=app()['caller']), APP)
    call('SetItem', 'ss', 'k', 'of the app', **app())
    equal(call('GetItem', 's', 'k', **app()), 's "of the app"')
    equal(call('GetItem', 's', 'k', bus=bus, caller=default_of_user), 's "of the user"')

    path = open_area(APP + '.notes', **app())
    call('SetItem', 'ss', 'n', 'v', path=path, **app())
    equal(answer('ListKeys', 's', '', path=path, **app()), ['n'])
    note(path)
    for name in ('diary', 'default', APP + 'lication', 'org.example'):
        said = call_fails(DENIED, 'OpenArea', 's', name, interface='Manager', **app())
    note(said)
    for member, args in (('GetItem', ('s', 'k')), ('SetItem', ('ss', 'k', 'x')),
                         ('ListKeys', ('s', '')), ('Subscribe', ())):
        call_fails((DENIED, UNKNOWN), member, *args, path=diary, **app())
    for member in ('ListAreas', 'Reload', 'GetMetrics'):
        said = call_fails(DENIED, member, interface='Manager', **app())
    note(said)
    # The Monitor is for all.
    assert prop('State', **app()) in ('connecting', 'connected')
    # Another app is another.
    other = {'bus': bus, 'caller': in_app('anna', 'org.example.Other')}
    call_fails('NoSuchItem', 'GetItem', 's', 'k', **other)
    call_fails(DENIED, 'OpenArea', 's', APP, interface='Manager', **other)
    equal(call('GetItem', 's', 'k', path=diary, bus=bus, caller=default_of_user),
          's "of the user"')


@test
def an_app_is_kept_in_on_the_users_bus():
    ours = on_user_bus('anna')
    app_is_kept_in('--user', ours)
    assert APP in areas(ours, bus='--user'), 'the user sees the areas of their apps'


@test
def an_app_is_kept_in_on_the_system_bus():
    app_is_kept_in('--system', ANNA)
    # The same app id of another user is another area.
    call_fails('NoSuchItem', 'GetItem', 's', 'k', path=open_area(APP, BERT), caller=BERT)


@test
def a_snap_is_one_too():
    caller = in_session('anna', 'systemd-run', '--user', '--quiet', '--scope', '--collect',
                        '--unit=snap.hello.world-%d.scope' % os.getpid())
    call_fails(DENIED, 'OpenArea', 's', 'default', interface='Manager', caller=caller)


if __name__ == '__main__':
    main(setup)
