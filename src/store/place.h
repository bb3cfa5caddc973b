/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files around a database: its lock, its log, what is set aside when it is damaged. Every
 * rename is made durable by a sync of the directory.
 *
 *	<path>			the database
 *	<path>-wal, -shm	SQLite's log and its index
 *	<path>.lock		locked while a process has the store; says if the last one met damage
 *	<path>.salvage		a copy being read; of no value afterwards
 *	<path>.new		a new database being made; of no value until it is whole
 *	<path>.recovered	a salvage's whole result, about to take the database's place
 *	<path>.corrupt-<time>	a damaged database, and its -wal
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the last process knew of the database, kept in the lock file. */
enum place_mark {
	PLACE_FINE,	/* or nothing: it was never there */
	PLACE_DAMAGED,	/* damage was met while running */
};

/**
 * place_lock() - take "<path>.lock".
 * @ret_fd: to be closed to unlock
 *
 * Return: 0, -EBUSY where another holder has it, or another negative errno.
 */
int place_lock(const char *path, int *ret_fd);

enum place_mark place_get_mark(int lock_fd);
void place_set_mark(int lock_fd, enum place_mark mark);

/**
 * place_read_head() - the first bytes of a file.
 * @ret_len: how many of @size there are
 *
 * Return: 1, 0 where there is no such file, -EISDIR or -EINVAL where it is no regular file, or
 * another negative errno.
 */
int place_read_head(const char *path, uint8_t *buffer, size_t size, size_t *ret_len);

/** place_copy() - copy a file, mode 0600, replacing @to. Return: 0 or a negative errno. */
int place_copy(const char *from, const char *to);

/** place_overwrite() - replace the first bytes of a file. */
int place_overwrite(const char *path, const uint8_t *buffer, size_t size);

/** place_make() - an empty file of mode 0600, which SQLite then takes over, in place of @path. */
int place_make(const char *path);

/** place_exists() - whether there is such a file. */
bool place_exists(const char *path);

/** place_has_bytes() - whether there is such a file and it is not empty, readable or not. */
bool place_has_bytes(const char *path);

/** place_remove() - unlink @path, its log and its log's index, as far as they are there. */
void place_remove(const char *path);

/**
 * place_sync_way() - make the way to @path durable: a directory that is new is a name in the one
 * above it. Return: 0, or what a sync of the directory of @path said.
 */
int place_sync_way(const char *path);

/**
 * place_sync_log() - make the log of @path durable, if there is one: a process that was killed may
 * have left what it had not synced yet.
 */
int place_sync_log(const char *path);

/** place_install() - rename @from, a closed database, to @path, for good. */
int place_install(const char *from, const char *path);

/**
 * place_set_aside() - rename @path and its log to "<path>.corrupt-<time>", for good.
 * @now: realtime usec
 * @ret_aside: the new path; NULL where there was neither file
 */
int place_set_aside(const char *path, uint64_t now, char **ret_aside);
