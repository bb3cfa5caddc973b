/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A disk in the test's hand: a VFS of SQLite over the real one, which can refuse what it is asked,
 * stop at a chosen operation as the disk of a process that was killed then, and lose what was not
 * synced. The files are real and belong in /dev/shm; several disks, one directory each, stand
 * for several machines.
 *
 * The store renames and syncs some files without SQLite. This module therefore defines rename() and
 * fsync() for the program it is linked to; both do as always outside the disks' directories.
 */

#include <stdbool.h>
#include <stdint.h>

struct sim_disk;

/** sim_disk_register() - become SQLite's default VFS. Once, before a store is opened. */
void sim_disk_register(void);

/**
 * sim_disk_new() - all files in @dir belong to it, none of its subdirectories.
 * @dir: exists; a directory "<dir>.lost-XXXXXX" is made beside it
 * @seed: of everything that is left to chance
 */
struct sim_disk *sim_disk_new(const char *dir, uint32_t seed);
/** sim_disk_free() - after its last file was closed; the files stay. Return: NULL. */
struct sim_disk *sim_disk_free(struct sim_disk *disk);

/**
 * sim_disk_fail() - refuse writes and syncs; a refused write may be done up to the end of a page.
 * @after: the first one refused, 1 = the next; where that is a sync, the write after it
 * @error: an errno, as ENOSPC or EIO; 0: heal. A sync that follows a heal syncs everything.
 *
 * It never begins with a sync. A commit whose sync alone fails lies complete in the log; the store
 * then writes over it. Should even that be refused from then on, and the process end, the refused
 * commit comes to life at the next start: no store can prevent that on such a disk.
 */
void sim_disk_fail(struct sim_disk *disk, unsigned int after, int error);
/** sim_disk_fail_syncs() - likewise, of the syncs alone. */
void sim_disk_fail_syncs(struct sim_disk *disk, unsigned int after, int error);
/** sim_disk_has_failed() - whether something was refused since the last sim_disk_fail…(). */
bool sim_disk_has_failed(const struct sim_disk *disk);

/**
 * sim_disk_die() - the process is killed at one of its next operations. That one is not done, but a
 * write may be up to the end of a page; nothing after it reaches the disk, and every call fails.
 * @after: the operation (write, sync, truncate, delete, rename), 1 = the next; 0: now
 */
void sim_disk_die(struct sim_disk *disk, unsigned int after);
bool sim_disk_is_dead(const struct sim_disk *disk);

enum {
	SIM_DISK_CRASH,		/* the files are as they were when it died */
	SIM_DISK_POWER_LOSS,	/* of what was not synced, any part may be missing */
};
/**
 * sim_disk_revive() - let it be used again, after every handle was closed. Where it was not dead it
 * dies now. What refused before refuses on.
 * @how: SIM_DISK_*. After a power loss of each file there is all up to its last sync, and of the
 * writes since any, each whole or some of its sectors of 512 bytes; of the files made, deleted and
 * renamed since the directory was last synced, the first so many are.
 */
void sim_disk_revive(struct sim_disk *disk, int how);

/** sim_disk_operations() - how many it was asked for, as sim_disk_die() counts them. */
uint64_t sim_disk_operations(const struct sim_disk *disk);
/** sim_disk_syncs() - how many of them were syncs. */
uint64_t sim_disk_syncs(const struct sim_disk *disk);
/** sim_disk_memory() - bytes that what can still be lost takes. */
uint64_t sim_disk_memory(const struct sim_disk *disk);
