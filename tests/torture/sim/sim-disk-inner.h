/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What sim-disk.c knows and sim-vfs.c, the face it has for SQLite, asks. The lock is held for each
 * of these; a store may have a thread.
 */

#include <stddef.h>

#include "sim-disk.h"
#include "sim-undo.h"

void sim_disk_lock(void);
void sim_disk_unlock(void);

/** sim_disk_find() - the disk whose directory @path is a file of, or NULL. */
struct sim_disk *sim_disk_find(const char *path);
/** sim_disk_find_directory() - the disk whose directory is open as @fd, or NULL. */
struct sim_disk *sim_disk_find_directory(int fd);

enum sim_operation {
	SIM_WRITE,
	SIM_SYNC,
	SIM_OTHER,	/* truncate, delete, rename: cannot be refused, only died in */
};
/** sim_disk_begin() - an operation but a write. Return: 0 to do it, or an errno. */
int sim_disk_begin(struct sim_disk *disk, enum sim_operation operation);
/**
 * sim_disk_begin_write() - of @len bytes at @offset.
 * @ret_len: so many of them are to be written, fewer or none where an errno is returned
 *
 * A write is parted where a page of the cache ends and nowhere else: neither a signal nor a full
 * disk ends it within one.
 */
int sim_disk_begin_write(struct sim_disk *disk, uint64_t offset, size_t len, size_t *ret_len);

/** sim_node - a file by whatever name, open or not. */
struct sim_node {
	struct sim_disk *disk;
	uint64_t device, inode;
	int fd;			/* for undo; closed last, as that drops SQLite's locks */
	unsigned int handles;
	struct undo *undo;
};
/** sim_disk_open_node() - after @path was opened; to be closed with sim_disk_close_node(). */
struct sim_node *sim_disk_open_node(struct sim_disk *disk, const char *path);
void sim_disk_close_node(struct sim_node *node);
/** sim_disk_find_node() - of what is open as @fd, or NULL. */
struct sim_node *sim_disk_find_node(int fd);

/* What happens to the directory; before a delete or a rename, after a file was made. */
void sim_disk_note_made(struct sim_disk *disk, const char *path);
void sim_disk_note_delete(struct sim_disk *disk, const char *path);
void sim_disk_note_rename(struct sim_disk *disk, const char *from, const char *to);
/** sim_disk_settle() - the directory was synced. */
void sim_disk_settle(struct sim_disk *disk);
