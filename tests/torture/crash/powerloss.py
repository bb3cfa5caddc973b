# SPDX-License-Identifier: LGPL-2.1-or-later
"""A power loss: what no sync has made durable is taken back, all of it or a part.

The model is strict where POSIX is: a write is durable after fsync or fdatasync of its file, a name
made, changed or removed after fsync of the directory. Of the writes that are not, each sector of
512 bytes may have reached the disk or not, whatever their order; bytes a write did not touch stay.
Of the names a first part may have, as a file system keeps their order. Files named *-shm are gone.
"""

import os
import shutil

import shim

SECTOR = 512


def paths_by_inode(directory):
    """Where each file is, under a name of its own or one that was kept for it."""
    found = {}
    for folder in (os.path.join(directory, 'saved'), directory):
        for entry in os.scandir(folder):
            if entry.is_file(follow_symlinks=False):
                found[entry.inode()] = entry.path
    return found


def undo_data(file, entries):
    for entry in reversed(entries):
        if entry.before:
            os.pwrite(file, entry.before, entry.offset)
        os.ftruncate(file, entry.size_before)


def redo_data(file, entries, rand):
    """Let a part of the writes reach the disk after all."""
    chance = rand.choice((0.1, 0.5, 0.9))
    for entry in entries:
        if not entry.after:
            if rand.random() < chance:
                os.ftruncate(file, entry.size_after)
            continue
        at = 0
        while at < len(entry.after):
            end = min(len(entry.after), at + SECTOR - (entry.offset + at) % SECTOR)
            if rand.random() < chance:
                os.pwrite(file, entry.after[at:end], entry.offset + at)
            at = end


def undo_name(directory, entry):
    name = os.path.join(directory, entry.name)
    if entry.change == shim.CREATE:
        if os.path.exists(name):
            os.unlink(name)
    elif entry.change == shim.RENAME:
        # It was recorded, but the crash may have come before it was done.
        if os.path.exists(os.path.join(directory, entry.name2)):
            os.rename(os.path.join(directory, entry.name2), name)
    elif not os.path.exists(name):
        os.link(os.path.join(directory, entry.name2), name)


def lose_power(plan, rand):
    """Make the recorded directory what a power loss leaves. Return: (writes, names) taken back."""
    directory = plan.directory
    torn = rand.random() < 0.6
    lost = [e for e in plan.entries() if not e.durable]
    paths = paths_by_inode(directory)
    data = {}
    for entry in lost:
        if entry.change == shim.DATA:
            data.setdefault(entry.inode, []).append(entry)
    for inode, entries in data.items():
        file = os.open(paths[inode], os.O_RDWR)
        undo_data(file, entries)
        if torn:
            redo_data(file, entries, rand)
        os.close(file)
    names = [e for e in lost if e.directory]
    if torn and names:
        names = names[rand.randrange(len(names) + 1):]
    for entry in reversed(names):
        undo_name(directory, entry)
    for name in os.listdir(directory):
        if name.endswith('-shm'):
            os.unlink(os.path.join(directory, name))
    shutil.rmtree(os.path.join(directory, 'saved'))
    return sum(map(len, data.values())), len(names)


