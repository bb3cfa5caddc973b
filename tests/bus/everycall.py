# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every way there is to touch an object, and what came of each, to be compared."""

from gi.repository import GLib

from busclient import NAME, BusError

FDO_PROPERTIES = 'org.freedesktop.DBus.Properties'

# (interface, member, body as a GVariant text or None)
CALLS = [
    ('Storage', 'GetItem', "('k',)"), ('Storage', 'GetItemFull', "('k', @a{sv} {})"),
    ('Storage', 'GetItems', "(['k'],)"), ('Storage', 'ListKeys', "('',)"),
    ('Storage', 'SetItem', "('k', 'other')"), ('Storage', 'SetItems', "({'k': 'other'},)"),
    ('Storage', 'RemoveItem', "('k',)"), ('Storage', 'Await', '(@t 1, @t 0)'),
    ('Storage', 'Flush', '(@t 0,)'), ('Storage', 'ListQueue', None),
    ('Storage', 'ListRejected', None), ('Storage', 'GetRejected', '(@t 1,)'),
    ('Storage', 'RetryRejected', '(@t 1,)'), ('Storage', 'DropRejected', '(@t 1,)'),
    ('Storage', 'Subscribe', None), ('Storage', 'Unsubscribe', None),
    ('Storage', 'NoSuchMethod', None), ('Storage', 'GetItem', "(@u 1,)"),
    ('Direct', 'GetItem', "('k',)"), ('Direct', 'SetItem', "('k', 'other')"),
    ('Direct', 'RemoveItem', "('k',)"),
    ('Monitor', 'GetStats', None), ('Manager', 'ListAreas', None),
    ('Nonsense', 'GetItem', "('k',)"),
    (FDO_PROPERTIES, 'Get', "('%s.Storage', 'Area')" % NAME),
    (FDO_PROPERTIES, 'Get', "('%s.Storage', 'QueueSize')" % NAME),
    (FDO_PROPERTIES, 'Get', "('%s.Storage', 'QueueBytes')" % NAME),
    (FDO_PROPERTIES, 'Get', "('%s.Storage', 'NoSuchProperty')" % NAME),
    (FDO_PROPERTIES, 'Get', "('%s.Monitor', 'State')" % NAME),
    (FDO_PROPERTIES, 'GetAll', "('%s.Storage',)" % NAME),
    (FDO_PROPERTIES, 'GetAll', "('%s.Direct',)" % NAME),
    (FDO_PROPERTIES, 'GetAll', "('%s.Nonsense',)" % NAME),
    (FDO_PROPERTIES, 'GetAll', "('',)"),
    (FDO_PROPERTIES, 'Set', "('%s.Storage', 'Area', <'x'>)" % NAME),
    ('org.freedesktop.DBus.Introspectable', 'Introspect', None),
    ('org.freedesktop.DBus.ObjectManager', 'GetManagedObjects', None),
]


def outcome(client, path, call):
    """What a caller can tell of a call, its path aside."""
    interface, member, body = call
    if '.' not in interface:
        interface = '%s.%s' % (NAME, interface)
    body = body and GLib.Variant.parse(None, body, None, None)
    try:
        value = client.call(path, interface, member, body)
    except BusError as error:
        return (error.name, error.message.replace(path, '@'))
    return ('answered', value)


def outcomes(client, path):
    return [(call[:2], outcome(client, path, call)) for call in CALLS]
