#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the journal has of the daemon: ids, priorities, fields, texts of the catalogue; no value."""

import sqlite3

from boot import *

UNIT = 'holdfastd.service'
HEADER = os.path.join(machine.TOP, 'src', 'base', 'log-message.h')
CATALOG = '/usr/lib/systemd/catalog/holdfast.catalog'
SECRET = 'Zaphod-4711-value'


def ids():
    """The message ids by the names that the source gives them."""
    with open(HEADER) as file:
        return dict(re.findall(r'#define LOG_MESSAGE_(\w+)\s+"([0-9a-f]{32})"', file.read()))


def event(name):
    """The newest entry of an event, waited for."""
    return wait_for(lambda: entries(UNIT, 'MESSAGE_ID=' + ids()[name]), 'the event ' + name)[-1]


def seen(entry, priority, **fields):
    """Check an entry and say what it has."""
    own = {k: v for k, v in entry.items() if k.startswith('HOLDFAST_')}
    note('<%s> %s %s' % (entry['PRIORITY'], entry['MESSAGE'],
                         ' '.join('%s=%s' % item for item in sorted(own.items()))))
    equal(entry['PRIORITY'], str(priority), 'PRIORITY')
    equal((entry['_TRANSPORT'], entry['SYSLOG_IDENTIFIER']), ('journal', 'holdfastd'))
    for key, wanted in fields.items():
        assert key in own, 'no field %s' % key
        assert wanted is None or re.fullmatch(wanted, own[key]), '%s=%s' % (key, own[key])


def lose_parent():
    """A parent that was there is not any more."""
    sh('systemctl', 'start', UNIT)
    wait_for(lambda: prop('State') == 'connected', 'a connection')
    offline()
    wait_for(lambda: prop('State') == 'disconnected', 'the loss')


@test
def ready_and_stopping():
    sh('systemctl', 'start', UNIT)
    seen(event('READY'), 6, HOLDFAST_PARENT='unix:/run/holdfast/parent.sock',
         HOLDFAST_BUS='system')
    sh('systemctl', 'stop', UNIT)
    seen(event('STOPPING'), 6)


@test
def lost_and_restored():
    lose_parent()
    seen(event('PARENT_LOST'), 5, HOLDFAST_OLD_STATE='connected', HOLDFAST_STATE='disconnected',
         HOLDFAST_REASON=r'closed.*', HOLDFAST_PARENT='unix:.*')
    online()
    seen(event('PARENT_RESTORED'), 5, HOLDFAST_OLD_STATE='connecting', HOLDFAST_STATE='connected',
         HOLDFAST_REASON='ok', HOLDFAST_PARENT='unix:.*')


@test
def away_at_start():
    offline()
    sh('systemctl', 'start', UNIT)
    seen(event('PARENT_AWAY'), 5, HOLDFAST_STATE='disconnected', HOLDFAST_REASON='refused.*')


@test
def quota_and_drop():
    configure('[Area small]\nLimit=2\n[Area sliding]\nLimit=2\nOverflow=drop-oldest\n')
    offline()
    small, sliding = [answer('OpenArea', 's', name, interface='Manager')
                      for name in ('small', 'sliding')]
    for i in range(2):
        call('SetItem', 'ss', 'k%d' % i, SECRET, path=small)
    call_fails('QuotaExceeded', 'SetItem', 'ss', 'k2', SECRET, path=small)
    seen(event('QUOTA'), 4, HOLDFAST_AREA='0/small')
    for i in range(3):
        call('SetItem', 'ss', 'k%d' % i, SECRET, path=sliding)
    seen(event('DROPPED'), 4, HOLDFAST_AREA='0/sliding', HOLDFAST_SERIAL='1')


@test
def corruption():
    call('SetItem', 'ss', 'k', SECRET)
    call('Flush', 't', FOREVER)
    sh('systemctl', 'stop', UNIT)
    path = '/var/lib/holdfast/holdfast.db'
    db = sqlite3.connect(path)
    db.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    db.close()
    with open(path, 'r+b') as file:
        file.seek(100)
        file.write(os.urandom(2000))
    sh('systemctl', 'start', UNIT)
    seen(event('CORRUPTION'), 4, HOLDFAST_PATH=r'.*\.corrupt-.*', HOLDFAST_ROWS_KEPT=r'\d+',
         HOLDFAST_ROWS_LOST=None)
    assert [n for n in os.listdir('/var/lib/holdfast') if '.corrupt-' in n]
    call('SetItem', 'ss', 'k', SECRET)


@test
def configuration():
    sh('systemctl', 'start', UNIT)
    configure('[Heartbeat]\nInterval=soon\n')
    sh('systemctl', 'reload', UNIT)
    seen(event('CONFIG_PROBLEM'), 4, HOLDFAST_CONFIG_LINE='2', HOLDFAST_REASON=None,
         HOLDFAST_CONFIG_FILE='/etc/holdfast/holdfastd.conf.d/50-test.conf')
    seen(event('CONFIG_RELOADED'), 6, HOLDFAST_PARENT='unix:.*')
    configure('[Parent]\nAddress=carrier-pigeon:coop\n')
    fails('systemctl', 'reload', UNIT)
    seen(event('CONFIG_REFUSED'), 3, HOLDFAST_REASON=None)


@test
def the_catalogue_explains_each():
    with open(CATALOG) as file:
        known = re.findall(r'^-- ([0-9a-f]{32})$', file.read(), re.M)
    equal(sorted(known), sorted(ids().values()))
    lose_parent()
    wait_for(lambda: event('PARENT_LOST'), 'the loss')
    said = sh('journalctl', '--no-pager', '-x', '-n', '1', '_SYSTEMD_UNIT=' + UNIT,
              'MESSAGE_ID=' + ids()['PARENT_LOST'])
    assert 'Defined-By: holdfast' in said and 'unix:/run/holdfast/parent.sock' in said, said
    note(said)
    listed = sh('journalctl', '--no-pager', '--list-catalog', *ids().values())
    equal(len(listed.split('\n')), len(ids()))
    for name, number in ids().items():
        text = sh('journalctl', '--no-pager', '--dump-catalog', number)
        assert len(text.split('\n')) >= 5, '%s says too little:\n%s' % (name, text)


@test
def no_value_is_told():
    """At the loudest, whatever a value goes through."""
    sh('systemctl', 'start', UNIT)
    sh('systemctl', 'service-log-level', UNIT, 'debug')
    call('SetItem', 'ss', 'k', SECRET)
    call('SetItems', 'a{ss}', '2', 'a', SECRET, 'b', SECRET)
    call('Flush', 't', FOREVER)
    equal(value('k', 'parent'), (SECRET, 'parent'))
    call('GetItems', 'as', '2', 'a', 'b')
    offline()
    call('SetItem', 'ss', 'k', SECRET + '2')
    call('GetItem', 's', 'k')
    sh('systemctl', 'restart', UNIT)
    online()
    call('Flush', 't', FOREVER)
    everything = sh('journalctl', '--no-pager', '--output=export')
    # The test's own commands do not get there, or this would not tell anything.
    found = [line for line in everything.split('\n') if SECRET in line]
    equal(found, [])
    note('%d lines of the journal, at level debug, none has the value' %
         len(everything.split('\n')))


if __name__ == '__main__':
    main()
