#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`meson install` makes a working system, `ninja uninstall` leaves nothing but state."""

from boot import *

LAYER = '/run/layers/machine'
STATE = ('/var/lib/holdfast', '/var/lib/holdfast-parent')
# What changes by itself: the journal and what systemd, man and Python remember.
NOT_OURS = re.compile('/(var/log|var/lib/systemd|var/tmp|var/cache|dev|proc|run|sys|tmp)(/|$)|'
                      '.*/__pycache__|(%s|%s)(/|$)' % (re.escape(machine.TOP), re.escape(BUILD)))
# Users stay, as their numbers own files.
USERS_STAY = ('/etc/passwd', '/etc/group', '/etc/shadow', '/etc/gshadow', '/etc/passwd-',
              '/etc/group-', '/etc/shadow-', '/etc/gshadow-', '/etc/.pwd.lock')
snapshot = {}


def everything():
    """All that the machine has and its host has not, or not so: what tells a changed one."""
    out = sh('find', LAYER, '-mindepth', '1', '-printf', r'/%P\t%y %m %U:%G %s %T@ %l\n')
    found = dict(line.split('\t', 1) for line in out.split('\n'))
    # A directory is there for what is in it, so it counts only where the host has none.
    return {path: 'directory' if what[0] == 'd' else what for path, what in found.items()
            if not NOT_OURS.match(path) and
            (what[0] != 'd' or not os.path.isdir('/run/layers/host' + path))}


def changed(before, after):
    return sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))


def prepare():
    """Not installed yet."""
    add_users()
    start_user_manager('anna')
    snapshot['before'] = everything()


@test
def install_puts_files_where_the_system_looks():
    note(install())
    snapshot['installed'] = everything()
    files = [p for p in snapshot['installed'] if p not in snapshot['before'] and
             not os.path.isdir(p)]
    for path in sorted(files):
        note(path)
    for path in ('/usr/bin/holdfastd', '/usr/bin/holdfast-parentd', '/usr/bin/holdfastctl',
                 '/usr/lib/systemd/system/holdfastd.service',
                 '/usr/lib/systemd/user/holdfastd.service',
                 '/usr/share/dbus-1/system.d/org.holdfast1.conf',
                 '/usr/share/dbus-1/system-services/org.holdfast1.service',
                 '/usr/share/dbus-1/services/org.holdfast1.service',
                 '/usr/lib/sysusers.d/holdfast.conf', '/usr/share/man/man8/holdfastd.8'):
        assert path in files, path + ' is missing'
    strays = [p for p in files if 'holdfast' not in p and p not in USERS_STAY]
    equal(strays, [])


@test
def it_works_without_another_step():
    equal(call('SetItem', 'ss', 'k', 'v'), 't 1')
    call('Flush', 't', FOREVER)
    equal(prop('State'), 'connected')
    anna = on_user_bus('anna')
    sh(*anna, 'systemctl', '--user', 'daemon-reload')
    equal(call('SetItem', 'ss', 'k', 'v', bus='--user', caller=anna), 't 1')
    call('Flush', 't', FOREVER, bus='--user', caller=anna)
    note(sh('holdfastctl', '--system', 'status'))
    equal(sh('holdfastctl', '--system', 'get', 'k'), 'v')
    note(sh('man', '-w', 'holdfastd', 'holdfastctl', 'holdfast-parentd', 'holdfastd.conf',
            'org.holdfast1'))


@test
def enabled_it_starts_with_the_machine():
    sh('systemctl', 'enable', *UNITS[:2])
    wanted = sh('systemctl', 'list-dependencies', '--plain', 'multi-user.target')
    assert 'holdfastd.service' in wanted, wanted
    sh('systemctl', 'disable', *UNITS[:2])
    assert 'holdfastd.service' not in sh('systemctl', 'list-dependencies', '--plain',
                                         'multi-user.target')


@test
def uninstall_leaves_nothing_but_state():
    sh('systemctl', 'stop', *UNITS)
    sh(*on_user_bus('anna'), 'systemctl', '--user', 'stop', *UNITS)
    sh('ninja', '-C', BUILD, 'uninstall')
    sh('systemctl', 'daemon-reload')
    sh('systemctl', 'reload', 'dbus.service')
    left = changed(snapshot['before'], everything())
    state = [p for p in left if p.startswith(STATE) or p.startswith('/home/anna/')]
    users = [p for p in left if p in USERS_STAY]
    for path in state:
        note(path)
    strays = [p for p in left if p not in state and p not in users]
    equal(strays, [])
    assert '/var/lib/holdfast/holdfast.db' in state, 'the state is gone'
    fails_with(('org.freedesktop.DBus.Error.ServiceUnknown',
                'org.freedesktop.DBus.Error.NameHasNoOwner'), *call_argv('GetItem', 's', 'k'))


@test
def installed_again_it_finds_its_state():
    install()
    equal(call('GetItem', 's', 'k'), 's "v"')
    equal(answer('ListKeys', 's', ''), ['k'])


if __name__ == '__main__':
    main(prepare, None)
