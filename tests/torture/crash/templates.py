# SPDX-License-Identifier: LGPL-2.1-or-later
"""The databases a point begins with.

EMPTY: the daemon has none, the parent's has triggers (history.py) and nothing else.
FULL_DAEMON, FULL_PARENT: killed in work, with a write-ahead log that is nearly long enough to be
moved into the database: the session that follows sees that happen.
"""

import os
import shutil

from harness import Iface, FOREVER, SLOW
from history import FILLER_AREA, install
from world import World

EMPTY, FULL_DAEMON, FULL_PARENT = 'empty', 'full-daemon', 'full-parent'
FRAME = 24 + 4096           # bytes of the log, per page
DAEMON_PAGES = 1000         # wal_autocheckpoint of holdfastd
PARENT_PAGES = 4000         # and of holdfast-parentd
ROOM = 60                   # pages that are left: the session has them full soon
FILLER = 400 * 1024         # bytes of the largest value that is written to get there


def pages(path):
    return os.path.getsize(path + '-wal') // FRAME


def keep(world, folder, *programs):
    os.mkdir(folder)
    for each in programs:
        shutil.copytree(each.directory, os.path.join(folder, os.path.basename(each.directory)),
                        ignore=shutil.ignore_patterns('*-shm'))


def make_empty(bus, client, folder):
    world = World(bus, client)
    try:
        world.p.begin()
        world.p.stop()
        install(world.p.dbpath)
        keep(world, os.path.join(folder, EMPTY), world.p)
    finally:
        world.end()


def fill(area, path, limit):
    """Write until the log of @path lacks ROOM pages of @limit."""
    number = 0
    while limit - pages(path) > ROOM:
        number += 1
        left = limit - pages(path) - ROOM
        # A value passes the daemon's log three times: queued, kept, and wiped from the queue.
        size = min(FILLER, left * 4096 // 8)
        put(area, ('%d ' % number) + 'f' * size)
    put(area, 'small')          # what stays counts towards the quota
    assert pages(path) < limit, 'the log was too long, and is another one by now'


def put(area, text):
    area.start('SetItem', 'filler', text).wait(15 * SLOW)
    area.start('Flush', FOREVER).wait(15 * SLOW)


def make_full(bus, client, folder, name):
    world = World(bus, client, template=os.path.join(folder, EMPTY),
                  max_bytes=4 * FILLER)
    try:
        world.p.begin()
        world.d.begin()
        path = client.manager.OpenArea(FILLER_AREA)
        area = Iface(client, path, 'org.holdfast1.Storage')
        if name == FULL_DAEMON:
            fill(area, os.path.join(world.d.directory, 'holdfast.db'), DAEMON_PAGES)
        else:
            fill(area, world.p.dbpath, PARENT_PAGES)
        # The one that dies has the long log; the other closed its own.
        dies, ends = (world.d, world.p) if name == FULL_DAEMON else (world.p, world.d)
        dies.kill9()
        ends.stop()
        keep(world, os.path.join(folder, name), world.d, world.p)
    finally:
        world.end()


def make(bus, client, folder):
    make_empty(bus, client, folder)
    for name in (FULL_DAEMON, FULL_PARENT):
        make_full(bus, client, folder, name)
