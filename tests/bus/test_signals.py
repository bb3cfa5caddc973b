#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals of Storage: to subscribers only, names and never values."""

import sqlite3

from gi.repository import Gio
from harness import *


class Censor(Bus):
    """A bus that refuses to deliver some signals, and says so to their sender."""

    def config(self):
        return super().config().replace(
            '</policy>', '<deny receive_interface="%s.Storage" receive_member="ItemDropped"/>'
            '<deny receive_type="signal" receive_path="%s/area/censored"/>'
            '</policy>' % (NAME, ROOT))


def test_of_dbus_daemon(function):
    """A test of what dbus-broker does not do: it refuses signals without a word."""
    return function if os.environ.get('HOLDFAST_TEST_BUS') == 'dbus-broker' else test(function)


@test
def item_changed_tells_of_local_writes(t):
    _, c = t.offline()
    c.storage.Subscribe()
    c.storage.SetItem('a', 'secret')
    c.storage.RemoveItem('b')
    wait_for(lambda: len(c.heard('ItemChanged')) == 2)
    equal(c.heard('ItemChanged', ROOT), [('a', 'local'), ('b', 'local')])


@test
def item_changed_of_a_group_names_each_key(t):
    _, c = t.offline()
    c.storage.Subscribe()
    c.storage.SetItems({'a': '1', 'b': '2'})
    wait_for(lambda: len(c.heard('ItemChanged')) == 2)
    equal(sorted(c.heard('ItemChanged')), [('a', 'local'), ('b', 'local')])


@test
def item_changed_tells_of_changes_seen_at_the_parent(t):
    p, _, c = t.connected({'Cache': {'TTL': '0'}})
    p.put('k', 'old')
    c.storage.GetItem('k')
    c.storage.Subscribe()
    c.barrier()
    c.signals.clear()
    p.put('k', 'new')
    equal(c.storage.GetItem('k'), 'new')
    wait_for(lambda: c.heard('ItemChanged'))
    equal(c.storage.GetItem('k'), 'new')        # seen before: no news
    c.barrier()
    equal(c.heard('ItemChanged'), [('k', 'parent')])


@test
def a_key_that_was_damaged_on_disk_costs_neither_lists_nor_subscriptions(t):
    d, c = t.offline()
    serials = [c.storage.SetItem(key, 'v') for key in ('fine', 'odd?')]
    d.kill9()
    db = sqlite3.connect(d.database())
    with db:
        db.execute("UPDATE outbox SET key = 'odd\uffff' WHERE key = 'odd?'")
    db.close()
    d.start()
    c.storage.Subscribe()
    equal(c.storage.ListKeys(''), ['fine'])
    equal([row[2] for row in c.storage.ListQueue()], ['fine', 'odd???'])
    p = t.parent()
    p.refuse_ops['odd\uffff'] = ('rejected', 'not nice')
    c.storage.Flush(FOREVER)
    c.storage.SetItem('later', 'v')
    wait_for(lambda: c.heard('ItemChanged'))
    equal(c.heard('ItemRejected'), [(serials[1], 'odd???', 'rejected', 'not nice')])
    equal(c.heard('ItemChanged'), [('later', 'local')])
    equal([row[2] for row in c.storage.ListRejected()], ['odd???'])


@test
def nothing_is_told_to_who_did_not_subscribe(t):
    _, c = t.offline()
    other = t.client().listen()
    c.storage.Subscribe()
    c.storage.SetItem('a', '1')
    wait_for(lambda: c.heard('ItemChanged') and c.heard('QueueChanged'))
    other.barrier()
    equal([s for s in other.signals if s.interface == NAME + '.Storage'], [])


@test
def subscribing_is_idempotent(t):
    _, c = t.offline()
    c.storage.Subscribe()
    c.storage.Subscribe()
    c.storage.SetItem('a', '1')
    c.barrier()
    equal(c.heard('ItemChanged'), [('a', 'local')])
    c.storage.Unsubscribe()
    c.storage.Unsubscribe()
    c.storage.SetItem('b', '1')
    c.barrier()
    equal(c.heard('ItemChanged'), [('a', 'local')])


@test
def unsubscribing_without_subscribing_is_fine(t):
    _, c = t.offline()
    c.storage.Unsubscribe()


@test
def a_subscription_is_for_one_area(t):
    _, c = t.offline()
    other = c.area('other')
    other.Subscribe()
    c.storage.SetItem('a', '1')
    other.SetItem('b', '1')
    c.barrier()
    equal(c.heard('ItemChanged'), [('b', 'local')])
    equal(c.heard('ItemChanged', other.path), [('b', 'local')])


@test
def a_subscription_ends_with_its_connection(t):
    d, c = t.offline()
    other = t.client()
    other.storage.Subscribe()
    other.close()
    c.storage.SetItem('a', '1')
    c.storage.Subscribe()
    c.storage.SetItem('b', '1')
    wait_for(lambda: c.heard('ItemChanged'))
    assert d.alive()


@test
def every_subscriber_is_told(t):
    _, c = t.offline()
    others = [t.client() for _ in range(3)]
    for other in others:
        other.storage.Subscribe()
    c.storage.SetItem('a', '1')
    for other in others:
        wait_for(lambda: other.heard('ItemChanged') == [('a', 'local')])


@test
def a_refusal_that_is_not_of_the_bus_ends_no_subscription(t):
    """A session bus lets errors through that answer nothing."""
    d, c = t.offline()
    c.storage.Subscribe()
    c.storage.SetItem('a', '1')
    wait_for(lambda: c.heard('QueueChanged'))
    liar = t.client()
    for serial in range(1, 200):
        lie = Gio.DBusMessage()
        lie.set_message_type(Gio.DBusMessageType.ERROR)
        lie.set_destination(NAME)
        lie.set_error_name('org.freedesktop.DBus.Error.LimitsExceeded')
        lie.set_reply_serial(serial)
        liar.conn.send_message(lie, Gio.DBusSendMessageFlags.NONE)
    liar.storage.SetItem('b', '1')      # behind them
    wait_for(lambda: c.heard('ItemChanged') == [('a', 'local'), ('b', 'local')])
    equal('subscription of' in d.log(), False)


@test_of_dbus_daemon
def one_signal_refused_in_a_burst_ends_the_subscription(t):
    """However many follow that are delivered: of a hole the subscriber would not know."""
    t.bus = Censor()
    t.closers.append(t.bus.stop)
    d, c = t.offline({'Queue': {'Limit': '1000', 'Overflow': 'drop-oldest'}})
    other, spared = t.client(), t.client()
    c.area('full').Subscribe()
    other.area('full').Subscribe()
    spared.area('spared').Subscribe()
    writer = t.client()
    full = writer.area('full')
    full.SetItem('old', '')
    # One row of signals, as its group is committed: the one that is refused, then a thousand.
    full.SetItems({'k%03d' % i: '' for i in range(1000)})
    wait_for(lambda: d.log().count('ends: the bus cannot deliver') == 2)
    for client in c, other:
        client.barrier()
        equal(len(client.heard('ItemChanged')), 1001)
        client.signals.clear()
    full.SetItem('k000', 'new')
    writer.area('spared').SetItem('k', 'v')
    wait_for(lambda: spared.heard('ItemChanged') == [('k', 'local')])
    for client in c, other:
        client.barrier()
        equal(client.heard('ItemChanged'), [])


@test_of_dbus_daemon
def one_signal_refused_after_thousands_ends_the_subscription(t):
    """It comes when the bus has said that it has no more to say about the first of them."""
    t.bus = Censor()
    t.closers.append(t.bus.stop)
    p, d, c = t.connected({'Heartbeat': {'Interval': ms(100)}})
    subscribers = [t.client() for _ in range(3)]
    for each in subscribers:
        each.storage.Subscribe()
    for i in range(1000):
        p.refuse_ops['k%03d' % i] = ('rejected', 'no')
    p.refuse_ops['last'] = ('rejected', 'no')
    p.hold('batch')
    c.storage.SetItems({'k%03d' % i: '' for i in range(1000)})
    wait_for(p.batches)
    censored = c.area('censored')
    censored.SetItem('last', '')
    subscribers[0].area('censored').Subscribe()
    c.barrier()
    t.bus.freeze()
    try:
        p.release('batch')              # 3,000 signals, and then the one
        wait_for(lambda: len(p.batches()) == 2)
        pings = len(p.of('ping'))
        wait_for(lambda: len(p.of('ping')) > pings + 1)
    finally:
        t.bus.thaw()
    wait_for(lambda: d.log().count('ends: the bus cannot deliver') == 1)
    for each in subscribers:
        wait_for(lambda: len(each.heard('ItemRejected')) == 1000)


@test
def queue_changed_tells_size_and_bytes_coalesced(t):
    p, _, c = t.connected()
    c.storage.Subscribe()
    for i in range(100):
        c.storage.SetItem('key-%02d' % i, 'v')
    c.storage.Flush(FOREVER)
    wait_for(lambda: c.heard('QueueChanged') and c.heard('QueueChanged')[-1] == (0, 0))
    assert len(c.heard('QueueChanged')) <= 200, 'not coalesced'


@test
def queue_changed_ends_with_the_true_size(t):
    _, c = t.offline()
    c.storage.Subscribe()
    pending = [c.storage.start('SetItem', 'key-%02d' % i, 'v') for i in range(50)]
    for call in pending:
        call.wait()
    wait_for(lambda: c.heard('QueueChanged') and c.heard('QueueChanged')[-1] == (50, 50 * 7))
    assert len(c.heard('QueueChanged')) < 50, 'one signal per write'


if __name__ == '__main__':
    main()
