#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input over the bus gets a typed error with a sentence, and nothing changes."""

from everycall import FDO_PROPERTIES
from harness import *

BAD_KEYS = ['', 'x' * 513, 'ä' * 257, 'a\x01', '\x1f', 'tab\t', 'line\n', 'del\x7f', 'c1\u0080',
            'nel\u0085', 'apc\u009f']
GOOD_KEYS = ['x', ' ', 'x' * 512, 'ä' * 256, 'ключ', '\u00a0', '\U0001f600', 'a/b', '..', '%',
             '"quoted\\"', "o'clock", '\u2028', '\ufffd']


def held_here(c):
    """The queue (but for held or pending, which time changes) and the known keys."""
    return ([row[:3] + row[4:] for row in c.storage.ListQueue()], c.storage.ListKeys(''),
            c.storage.get('QueueBytes'))


def unchanged(c, act):
    """act(), and all is as before."""
    before = held_here(c)
    act()
    equal(held_here(c), before)


@test
def bad_keys_are_refused_by_every_method(t):
    _, c = t.offline()
    c.storage.SetItem('there', 'v')

    def act():
        for key in BAD_KEYS:
            fails('InvalidKey', c.storage.GetItem, key)
            fails('InvalidKey', lambda: c.storage.full(key))
            fails('InvalidKey', c.storage.GetItems, ['there', key])
            fails('InvalidKey', c.storage.SetItem, key, 'v')
            fails('InvalidKey', c.storage.SetItems, {'fine': '1', key: 'v'})
            fails('InvalidKey', c.storage.RemoveItem, key)
            fails('InvalidKey', c.direct.GetItem, key)
            fails('InvalidKey', c.direct.SetItem, key, 'v')
            fails('InvalidKey', c.direct.RemoveItem, key)
    unchanged(c, act)


@test
def odd_but_good_keys_are_taken(t):
    p, _, c = t.connected()
    for key in GOOD_KEYS:
        c.storage.SetItem(key, 'of ' + key)
    c.storage.Flush(FOREVER)
    for key in GOOD_KEYS:
        equal(c.storage.GetItem(key), 'of ' + key)
        equal(p.value(key), 'of ' + key)
    equal(c.storage.ListKeys(''), sorted(GOOD_KEYS, key=lambda k: k.encode()))


NONCHARACTERS = ['\uffff', 'a\ufdd0', '\U0010fffe']


@test
def noncharacters_which_sd_bus_does_not_take_are_refused_with_a_word(t):
    p, _, c = t.connected()
    for text in NONCHARACTERS:
        for call in (lambda: c.storage.SetItem('k', text), lambda: c.storage.GetItem(text),
                     lambda: c.storage.SetItems({'k': text}), lambda: c.storage.ListKeys(text),
                     lambda: c.storage.GetItems(['k', text]), lambda: c.storage.full(text),
                     lambda: c.storage.full('k', **{text: 's'}), lambda: c.direct.SetItem('k', text),
                     lambda: c.manager.OpenArea(text)):
            error = fails(FDO + 'InvalidArgs', call)
            assert 'Bad message' not in error.message, error
    equal(c.storage.ListKeys(''), [])


@test
def names_that_no_property_can_have_are_refused_without_being_quoted(t):
    _, c = t.offline()
    state = GLib.Variant('v', GLib.Variant('s', 'connected'))
    for interface, name in (('x' * 256, 'State'), (NAME + '.Monitor', 'x' * 256),
                            ('x' * 2 ** 20, 'x' * 2 ** 20)):
        for member, body in (('Get', GLib.Variant('(ss)', (interface, name))),
                             ('Set', GLib.Variant('(ssv)', (interface, name, state))),
                             ('GetAll', GLib.Variant('(s)', (max(interface, name),)))):
            error = fails(FDO + 'InvalidArgs', c.call, ROOT, FDO_PROPERTIES, member, body)
            assert len(error.message) < 100, error.message[:200]
    fails(FDO + 'UnknownProperty', c.monitor.get, 'x' * 255)
    equal(c.monitor.all()['State'], 'disconnected')


@test
def options_are_given_once(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    text, variant = GLib.Variant.new_string, GLib.Variant.new_variant
    options = GLib.VariantBuilder.new(GLib.VariantType.new('a{sv}'))
    for _ in range(100000):
        options.add_value(GLib.Variant.new_dict_entry(text('source'), variant(text('local'))))
    body = GLib.Variant.new_tuple(text('k'), options.end())
    fails(FDO + 'InvalidArgs', c.call, ROOT, NAME + '.Storage', 'GetItemFull', body)
    equal(c.storage.full('k', source='local', timeout=1)[0], 'v')


@test
def noncharacters_of_a_parent_cost_the_one_item_and_no_answer(t):
    p, _, c = t.connected()
    p.put('fine', 'v')
    for number, text in enumerate(NONCHARACTERS):
        key = 'k%d' % number
        p.put(key, text)
        fails('InvalidValue', c.storage.GetItem, key)
        fails('InvalidValue', lambda: c.storage.full(key))
        fails('InvalidValue', c.storage.GetItems, ['fine', key])
        fails('InvalidValue', c.direct.GetItem, key)
        p.on['saveToParentStorage'] = lambda conn, m: conn.send(
            p.error(m, 'permanent', 'No %s here.' % text))
        error = fails(('Rejected', 'Unavailable'), c.direct.SetItem, 'k', 'v')
        assert text not in error.message, error
        p.on['batch'] = lambda conn, m: conn.send(p.ack(m, [{'error': 'rejected',
                                                            'message': 'No %s here.' % text}]))
        fails('Rejected', c.storage.Await, c.storage.SetItem('refused', 'v'), FOREVER)
        assert text not in c.storage.ListRejected()[-1][3]
        del p.on['batch']
    equal(c.storage.GetItem('fine'), 'v')


@test
def a_value_may_have_1_mib_and_no_more(t):
    p, _, c = t.connected()
    largest = 'x' * 2 ** 20
    c.storage.Await(c.storage.SetItem('k', largest), FOREVER)
    equal(p.value('k'), largest)
    equal(c.storage.GetItem('k'), largest)

    def act():
        fails('TooLarge', c.storage.SetItem, 'k', largest + 'x')
        fails('TooLarge', c.storage.SetItem, 'k', 'ä' * (2 ** 19) + 'x')
        fails('TooLarge', c.direct.SetItem, 'k', largest + 'x')
    unchanged(c, act)
    equal(c.storage.GetItem('k'), largest)


@test
def max_value_size_lowers_the_bound(t):
    _, c = t.offline({'Storage': {'MaxValueSize': '10'}})
    c.storage.SetItem('k', 'x' * 10)
    unchanged(c, lambda: fails('TooLarge', c.storage.SetItem, 'k', 'x' * 11))
    unchanged(c, lambda: fails('TooLarge', c.storage.SetItems, {'a': '1', 'k': 'x' * 11}))


@test
def a_group_may_have_1_mib_and_1000_items(t):
    _, c = t.offline()
    c.storage.SetItems({'k%03d' % i: 'x' * 1044 for i in range(1000)})    # 1,048,000 bytes
    equal(c.storage.get('QueueSize'), 1000)

    def act():
        fails('TooLarge', c.storage.SetItems, {'k%03d' % i: 'x' * 1045 for i in range(1000)})
        fails(('TooLarge', 'InvalidValue', FDO + 'InvalidArgs'), c.storage.SetItems,
              {'k%04d' % i: 'x' for i in range(1001)})
    unchanged(c, act)


@test
def an_empty_group_is_refused(t):
    _, c = t.offline()
    unchanged(c, lambda: fails(('InvalidValue', FDO + 'InvalidArgs'), c.storage.SetItems, {}))


@test
def more_than_1000_keys_are_refused(t):
    _, c = t.offline()
    fails(('TooLarge', FDO + 'InvalidArgs', FDO + 'LimitsExceeded'), c.storage.GetItems,
          ['k%d' % i for i in range(1001)])


@test
def unknown_options_are_refused(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    fails(FDO + 'InvalidArgs', lambda: c.storage.full('k', colour='red'))
    fails(FDO + 'InvalidArgs', lambda: c.storage.full('k', source='moon'))
    fails(FDO + 'InvalidArgs', lambda: c.storage.full('k', source=''))
    fails(FDO + 'InvalidArgs', lambda: c.storage.full('k', source=GLib.Variant('u', 1)))
    fails(FDO + 'InvalidArgs', lambda: c.storage.full('k', timeout='soon'))
    fails(FDO + 'InvalidArgs', lambda: c.storage.full('k', timeout=GLib.Variant('i', -1)))
    fails(FDO + 'InvalidArgs', lambda: c.storage.full('k', source='any', colour='red'))
    equal(c.storage.full('k', source='any', timeout=FOREVER)[0], 'v')


@test
def wrong_types_are_refused(t):
    _, c = t.offline()
    c.storage.SetItem('there', 'v')

    def act():
        for method, signature, args in (
                ('GetItem', '(u)', (1,)), ('GetItem', None, None), ('GetItem', '(ss)', ('a', 'b')),
                ('GetItemFull', '(sa{ss})', ('k', {})), ('GetItems', '(s)', ('k',)),
                ('SetItem', '(s)', ('k',)), ('SetItem', '(say)', ('k', b'v')),
                ('SetItem', '(sv)', ('k', GLib.Variant('s', 'v'))),
                ('SetItems', '(a{sv})', ({'k': GLib.Variant('s', 'v')},)),
                ('RemoveItem', '(as)', (['k'],)), ('Await', '(uu)', (1, 1)), ('Flush', '(x)', (1,)),
                ('ListKeys', None, None), ('ListQueue', '(s)', ('k',)),
                ('GetRejected', '(s)', ('1',)), ('Subscribe', '(b)', (True,))):
            fails(FDO + 'InvalidArgs', c.storage.raw, method, signature, args)
    unchanged(c, act)


@test
def unknown_methods_interfaces_properties_and_objects_are_refused(t):
    _, c = t.offline()
    fails(FDO + 'UnknownMethod', c.storage.raw, 'Explode', None, None)
    fails((FDO + 'UnknownInterface', FDO + 'UnknownMethod'), c.call, ROOT, NAME + '.Nonsense', 'Do',
          None)
    fails(FDO + 'UnknownProperty', c.storage.get, 'Colour')
    for path in (ROOT + '/area/never_5fopened', ROOT + '/area', ROOT + '/nonsense', '/'):
        fails((FDO + 'UnknownObject', FDO + 'UnknownMethod', FDO + 'UnknownInterface'), c.call, path,
              NAME + '.Storage', 'GetItem', GLib.Variant('(s)', ('k',)))
    fails((FDO + 'UnknownObject', FDO + 'UnknownMethod', FDO + 'UnknownInterface'), c.call,
          ROOT + '/area/never_5fopened', NAME + '.Storage', 'SetItem',
          GLib.Variant('(ss)', ('k', 'v')))


@test
def properties_cannot_be_set(t):
    _, c = t.offline()
    for interface, name, value in (('Storage', 'QueueSize', GLib.Variant('u', 7)),
                                   ('Monitor', 'State', GLib.Variant('s', 'connected'))):
        fails((FDO + 'PropertyReadOnly', FDO + 'AccessDenied'), c.call, ROOT,
              'org.freedesktop.DBus.Properties', 'Set',
              GLib.Variant('(ssv)', (NAME + '.' + interface, name, value)))


@test
def serials_that_never_were_are_invalid(t):
    _, c = t.offline()
    c.storage.SetItem('k', 'v')
    for serial in (0, 1, 99, 2 ** 63, FOREVER):
        fails('InvalidValue', c.storage.GetRejected, serial)
        fails('InvalidValue', c.storage.RetryRejected, serial)
        fails('InvalidValue', c.storage.DropRejected, serial)


@test
def a_full_queue_refuses_and_changes_nothing(t):
    _, c = t.offline({'Queue': {'Limit': '3'}})
    for key in 'abc':
        c.storage.SetItem(key, '1')

    def act():
        fails('QuotaExceeded', c.storage.SetItem, 'd', '1')
        fails('QuotaExceeded', c.storage.RemoveItem, 'd')
        fails('QuotaExceeded', c.storage.SetItems, {'a': '2', 'd': '1'})
        fails('Unavailable', c.storage.GetItem, 'd')
    unchanged(c, act)
    c.storage.SetItem('b', '2')     # takes the place of the entry before
    equal(c.storage.GetItem('b'), '2')
    equal(c.storage.get('QueueSize'), 3)


@test
def a_full_queue_in_bytes_refuses_and_changes_nothing(t):
    _, c = t.offline({'Queue': {'MaxBytes': '100'}})
    c.storage.SetItem('k', 'x' * 90)
    unchanged(c, lambda: fails('QuotaExceeded', c.storage.SetItem, 'l', 'x' * 20))
    c.storage.SetItem('k', 'y' * 99)
    unchanged(c, lambda: fails('QuotaExceeded', c.storage.SetItem, 'k', 'y' * 100))
    equal(c.storage.GetItem('k'), 'y' * 99)


@test
def a_refused_write_does_not_wake_subscribers(t):
    _, c = t.offline()
    c.storage.Subscribe()
    fails('InvalidKey', c.storage.SetItem, '', 'v')
    fails('TooLarge', c.storage.SetItem, 'k', 'x' * (2 ** 20 + 1))
    c.barrier()
    equal([s for s in c.signals if s.interface == NAME + '.Storage'], [])


@test
def the_daemon_lives_through_all_of_it(t):
    d, c = t.offline()
    for _ in range(100):
        fails('InvalidKey', c.storage.SetItem, 'x' * 100000, 'v')
        fails('InvalidValue', c.storage.Await, 12345, FOREVER)
        fails(FDO + 'InvalidArgs', c.storage.raw, 'SetItems', '(a{sa{sv}})', ({'k': {}},))
    assert d.alive()
    c.storage.SetItem('k', 'v')
    equal(c.storage.GetItem('k'), 'v')


@test
def immense_timeouts_do_not_wrap_round(t):
    p, _, c = t.connected()
    p.hold('batch', 'getFromParentStorage')
    serial = c.storage.SetItem('k', 'v')
    calls = [c.storage.start('Await', serial, FOREVER - 1), c.storage.start('Await', serial, 2 ** 63),
             c.storage.start('Flush', FOREVER - 1), c.storage.start('Flush', 2 ** 63 - 1)]
    c.barrier()
    never(lambda: any(call.done for call in calls), 0.2)
    p.release('batch', 'getFromParentStorage')
    for call in calls:
        call.wait()
    fails('NoSuchItem', lambda: c.storage.full('absent', timeout=FOREVER - 1))


if __name__ == '__main__':
    main()
