# SPDX-License-Identifier: LGPL-2.1-or-later
"""A power loss: what no sync has made durable is taken back, all of it or a part.

The model is strict where POSIX is: a write is durable after fsync or fdatasync of its file, a name
made, changed or removed after fsync of the directory, that directory itself after fsync of the one
above it. Of the writes that are not, each sector of
512 bytes may have reached the disk or not, whatever their order; bytes a write did not touch stay.
Of the names a first part may have, as a file system keeps their order. Files named *-shm are gone.
"""

import os
import shutil

import shim

SECTOR = 512


def paths_by_inode(*folders):
    """Where each file is, under a name of its own or one that was kept for it."""
    found = {}
    for folder in folders:
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


def undo_name(plan, entry):
    directory = plan.directory
    name = os.path.join(directory, entry.name)
    if entry.change == shim.CREATE:
        if os.path.exists(name):
            os.unlink(name)
    elif entry.change == shim.RENAME:
        # It was recorded, but the crash may have come before it was done.
        if os.path.exists(os.path.join(directory, entry.name2)):
            os.rename(os.path.join(directory, entry.name2), name)
    elif not os.path.exists(name):
        os.link(os.path.join(plan.saved, entry.name2), name)


def lose_power(plan, rand):
    """Make the recorded directory what a power loss leaves."""
    if not os.path.isdir(plan.directory):
        return
    torn = rand.random() < 0.6
    lost = [e for e in plan.entries() if not e.durable]
    lose_data(plan, lost, torn and rand)
    lose_names(plan, [e for e in lost if e.sync == shim.OF_DIRECTORY], torn and rand)
    for name in os.listdir(plan.directory):
        if name.endswith('-shm'):
            os.unlink(os.path.join(plan.directory, name))
    if any(e.sync == shim.OF_PARENT for e in lost):
        shutil.rmtree(plan.directory)
    shutil.rmtree(plan.saved)


def lose_data(plan, lost, rand):
    """@rand: for what is kept; false: nothing is."""
    paths = paths_by_inode(plan.saved, plan.directory)
    data = {}
    for entry in lost:
        if entry.sync == shim.OF_FILE:
            data.setdefault(entry.inode, []).append(entry)
    for inode, entries in data.items():
        file = os.open(paths[inode], os.O_RDWR)
        undo_data(file, entries)
        if rand:
            redo_data(file, entries, rand)
        os.close(file)


def lose_names(plan, lost, rand):
    if rand and lost:
        lost = lost[rand.randrange(len(lost) + 1):]
    for entry in reversed(lost):
        undo_name(plan, entry)
