/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The face of a disk to SQLite: a VFS that hands on to the real one what the disk lets pass, and
 * notes it. Files of no disk pass untouched. The wal-index is shared memory, and no file to us.
 *
 * When is the directory synced? The real VFS does it at the first sync of a log or journal that it
 * opened to create, and after a delete that asks for it (syncDir); the store by fsync() of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim-disk-inner.h"

struct sim_file {
	sqlite3_file base;
	struct sim_node *node;	/* NULL: of no disk */
	bool sync_directory;	/* with its first sync */
	int error;		/* why the last write or sync was refused; 0: it was not */
	sqlite3_file *real;
};

static struct {
	sqlite3_vfs vfs, *real;
} sim;

/* Of the last call that we refused, as errno is to the real VFS; 0 after one that we did not. */
static __thread int last_error;

static struct sim_file *sim_file(sqlite3_file *file)
{
	return (struct sim_file *)(void *)file;
}

#define REAL(file) (sim_file(file)->real)

static bool sim_dead(sqlite3_file *file)
{
	struct sim_node *node = sim_file(file)->node;
	bool dead;

	if (!node)
		return false;
	sim_disk_lock();
	dead = sim_disk_is_dead(node->disk);
	sim_disk_unlock();
	if (dead)
		last_error = EIO;
	return dead;
}

static int sim_close(sqlite3_file *file)
{
	struct sim_node *node = sim_file(file)->node;
	int rc = REAL(file)->pMethods->xClose(REAL(file));

	sim_disk_lock();
	if (node)
		sim_disk_close_node(node);
	sim_disk_unlock();
	return rc;
}

static int sim_read(sqlite3_file *file, void *buffer, int n, sqlite3_int64 offset)
{
	if (sim_dead(file))
		return SQLITE_IOERR_READ;
	return REAL(file)->pMethods->xRead(REAL(file), buffer, n, offset);
}

static int sim_node_write(sqlite3_file *file, const void *buffer, int n, sqlite3_int64 offset)
{
	struct sim_node *node = sim_file(file)->node;
	int rc = SQLITE_OK;
	size_t part;

	last_error = sim_disk_begin_write(node->disk, (uint64_t)offset, (size_t)n, &part);
	sim_file(file)->error = last_error;
	if (part > 0) {
		undo_note_write(node->undo, (uint64_t)offset, part);
		rc = REAL(file)->pMethods->xWrite(REAL(file), buffer, (int)part, offset);
	}
	if (last_error == 0)
		return rc;
	return last_error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int sim_write(sqlite3_file *file, const void *buffer, int n, sqlite3_int64 offset)
{
	int rc;

	if (!sim_file(file)->node)
		return REAL(file)->pMethods->xWrite(REAL(file), buffer, n, offset);
	sim_disk_lock();
	rc = sim_node_write(file, buffer, n, offset);
	sim_disk_unlock();
	return rc;
}

static int sim_node_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct sim_node *node = sim_file(file)->node;

	last_error = sim_disk_begin(node->disk, SIM_OTHER);
	if (last_error)
		return SQLITE_IOERR_TRUNCATE;
	undo_note_truncate(node->undo, (uint64_t)size);
	return REAL(file)->pMethods->xTruncate(REAL(file), size);
}

static int sim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc;

	if (!sim_file(file)->node)
		return REAL(file)->pMethods->xTruncate(REAL(file), size);
	sim_disk_lock();
	rc = sim_node_truncate(file, size);
	sim_disk_unlock();
	return rc;
}

static int sim_node_sync(sqlite3_file *file, int flags)
{
	struct sim_node *node = sim_file(file)->node;
	int rc;

	last_error = sim_disk_begin(node->disk, SIM_SYNC);
	sim_file(file)->error = last_error;
	if (last_error)
		return SQLITE_IOERR_FSYNC;
	rc = REAL(file)->pMethods->xSync(REAL(file), flags);
	if (rc != SQLITE_OK)
		return rc;
	undo_settle(node->undo);
	if (sim_file(file)->sync_directory)
		sim_disk_settle(node->disk);
	sim_file(file)->sync_directory = false;
	return SQLITE_OK;
}

static int sim_sync(sqlite3_file *file, int flags)
{
	int rc;

	if (!sim_file(file)->node)
		return REAL(file)->pMethods->xSync(REAL(file), flags);
	sim_disk_lock();
	rc = sim_node_sync(file, flags);
	sim_disk_unlock();
	return rc;
}

static int sim_size(sqlite3_file *file, sqlite3_int64 *size)
{
	if (sim_dead(file))
		return SQLITE_IOERR_FSTAT;
	return REAL(file)->pMethods->xFileSize(REAL(file), size);
}

static int sim_lock(sqlite3_file *file, int lock)
{
	if (sim_dead(file))
		return SQLITE_IOERR_LOCK;
	return REAL(file)->pMethods->xLock(REAL(file), lock);
}

static int sim_unlock(sqlite3_file *file, int lock)
{
	return REAL(file)->pMethods->xUnlock(REAL(file), lock);
}

static int sim_reserved(sqlite3_file *file, int *result)
{
	if (sim_dead(file))
		return SQLITE_IOERR_CHECKRESERVEDLOCK;
	return REAL(file)->pMethods->xCheckReservedLock(REAL(file), result);
}

static int sim_control(sqlite3_file *file, int op, void *arg)
{
	if (op == SQLITE_FCNTL_LAST_ERRNO && sim_file(file)->error) {
		*(int *)arg = sim_file(file)->error;
		return SQLITE_OK;
	}
	return REAL(file)->pMethods->xFileControl(REAL(file), op, arg);
}

static int sim_sector(sqlite3_file *file)
{
	return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int sim_device(sqlite3_file *file)
{
	return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static int sim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **map)
{
	if (sim_dead(file))
		return SQLITE_IOERR_SHMMAP;
	return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, map);
}

static int sim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	if (!(flags & SQLITE_SHM_UNLOCK) && sim_dead(file))
		return SQLITE_IOERR_SHMLOCK;
	return REAL(file)->pMethods->xShmLock(REAL(file), offset, n, flags);
}

static void sim_shm_barrier(sqlite3_file *file)
{
	REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int sim_shm_unmap(sqlite3_file *file, int delete)
{
	return REAL(file)->pMethods->xShmUnmap(REAL(file), delete);
}

static const sqlite3_io_methods sim_methods = {
	2,		sim_close,	sim_read,	sim_write,	sim_truncate,
	sim_sync,	sim_size,	sim_lock,	sim_unlock,	sim_reserved,
	sim_control,	sim_sector,	sim_device,	sim_shm_map,	sim_shm_lock,
	sim_shm_barrier, sim_shm_unmap, NULL,		NULL,
};

static int sim_open_on(struct sim_disk *disk, const char *name, struct sim_file *file, int flags,
		       int *out)
{
	bool there = access(name, F_OK) == 0;
	int rc;

	last_error = sim_disk_is_dead(disk) ? EIO : 0;
	if (last_error)
		return SQLITE_CANTOPEN;
	rc = sim.real->xOpen(sim.real, name, file->real, flags, out);
	if (rc != SQLITE_OK)
		return rc;
	file->node = sim_disk_open_node(disk, name);
	file->sync_directory = (flags & SQLITE_OPEN_CREATE) &&
			       (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL |
					 SQLITE_OPEN_SUPER_JOURNAL));
	if (!there)
		sim_disk_note_made(disk, name);
	return SQLITE_OK;
}

static int sim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out)
{
	struct sim_file *file = sim_file(base);
	struct sim_disk *disk;
	int rc;

	(void)vfs;
	*file = (struct sim_file){ .real = (sqlite3_file *)(void *)(file + 1) };
	sim_disk_lock();
	disk = sim_disk_find(name);
	if (disk)
		rc = sim_open_on(disk, name, file, flags, out);
	else
		rc = sim.real->xOpen(sim.real, name, file->real, flags, out);
	sim_disk_unlock();
	base->pMethods = rc == SQLITE_OK ? &sim_methods : NULL;
	return rc;
}

static int sim_delete_on(struct sim_disk *disk, const char *name, int sync_directory)
{
	int rc;

	last_error = sim_disk_begin(disk, SIM_OTHER);
	if (last_error)
		return SQLITE_IOERR_DELETE;
	sim_disk_note_delete(disk, name);
	rc = sim.real->xDelete(sim.real, name, sync_directory);
	if (rc == SQLITE_OK && (sync_directory & 1))
		sim_disk_settle(disk);
	return rc;
}

static int sim_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
	struct sim_disk *disk;
	int rc;

	(void)vfs;
	sim_disk_lock();
	disk = sim_disk_find(name);
	rc = disk ? sim_delete_on(disk, name, sync_directory)
		  : sim.real->xDelete(sim.real, name, sync_directory);
	sim_disk_unlock();
	return rc;
}

static int sim_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
	struct sim_disk *disk;

	(void)vfs;
	sim_disk_lock();
	disk = sim_disk_find(name);
	last_error = disk && sim_disk_is_dead(disk) ? EIO : 0;
	sim_disk_unlock();
	return last_error ? SQLITE_IOERR_ACCESS : sim.real->xAccess(sim.real, name, flags, result);
}

static int sim_last_error(sqlite3_vfs *vfs, int n, char *text)
{
	(void)vfs;
	return last_error ? last_error : sim.real->xGetLastError(sim.real, n, text);
}

void sim_disk_register(void)
{
	sim.real = sqlite3_vfs_find(NULL);
	sim.vfs = *sim.real;
	sim.vfs.zName = "sim";
	sim.vfs.szOsFile = (int)sizeof(struct sim_file) + sim.real->szOsFile;
	sim.vfs.xOpen = sim_open;
	sim.vfs.xDelete = sim_delete;
	sim.vfs.xAccess = sim_access;
	sim.vfs.xGetLastError = sim_last_error;
	g_assert_cmpint(sqlite3_vfs_register(&sim.vfs, 1), ==, SQLITE_OK);
}

/* ---- what the store does without SQLite ---- */

int rename(const char *from, const char *to)
{
	struct sim_disk *disk;
	int error = 0;

	sim_disk_lock();
	disk = sim_disk_find(to);
	if (disk) {
		error = sim_disk_begin(disk, SIM_OTHER);
		if (error == 0)
			sim_disk_note_rename(disk, from, to);
	}
	sim_disk_unlock();
	errno = error;
	return error ? -1 : renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static int sim_fsync(int fd)
{
	struct sim_disk *disk = sim_disk_find_directory(fd);
	struct sim_node *node = disk ? NULL : sim_disk_find_node(fd);
	int error;

	if (!disk && !node)
		return 0;
	error = sim_disk_begin(disk ? disk : node->disk, SIM_SYNC);
	if (error == 0 && disk)
		sim_disk_settle(disk);
	else if (error == 0)
		undo_settle(node->undo);
	return error;
}

int fsync(int fd)
{
	int error;

	sim_disk_lock();
	error = sim_fsync(fd);
	sim_disk_unlock();
	errno = error;
	return error ? -1 : (int)syscall(SYS_fsync, fd);
}
