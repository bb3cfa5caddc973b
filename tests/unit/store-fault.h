/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A disk that fails: a VFS of SQLite between the store and the real one. It hands everything on,
 * counts writes and syncs, and refuses them from a given one on.
 */

#include <errno.h>
#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>

struct fault_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static struct {
	sqlite3_vfs vfs, *real;
	unsigned int writes, syncs;
	unsigned int fail_write;	/* fail from this write on; 0: none */
	unsigned int fail_sync;
	int error;			/* the errno of a failure */
	bool failed;
} fault;

#define REAL(file) (((struct fault_file *)(void *)(file))->real)

static int fault_close(sqlite3_file *file)
{
	return REAL(file)->pMethods->xClose(REAL(file));
}

static int fault_read(sqlite3_file *file, void *buffer, int n, sqlite3_int64 offset)
{
	return REAL(file)->pMethods->xRead(REAL(file), buffer, n, offset);
}

static int fault_write(sqlite3_file *file, const void *buffer, int n, sqlite3_int64 offset)
{
	if (++fault.writes >= fault.fail_write && fault.fail_write) {
		fault.failed = true;
		return fault.error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	}
	return REAL(file)->pMethods->xWrite(REAL(file), buffer, n, offset);
}

static int fault_sync(sqlite3_file *file, int flags)
{
	if (++fault.syncs >= fault.fail_sync && fault.fail_sync) {
		fault.failed = true;
		return SQLITE_IOERR_FSYNC;
	}
	return REAL(file)->pMethods->xSync(REAL(file), flags);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return REAL(file)->pMethods->xTruncate(REAL(file), size);
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return REAL(file)->pMethods->xFileSize(REAL(file), size);
}

static int fault_lock(sqlite3_file *file, int lock)
{
	return REAL(file)->pMethods->xLock(REAL(file), lock);
}

static int fault_unlock(sqlite3_file *file, int lock)
{
	return REAL(file)->pMethods->xUnlock(REAL(file), lock);
}

static int fault_reserved(sqlite3_file *file, int *result)
{
	return REAL(file)->pMethods->xCheckReservedLock(REAL(file), result);
}

static int fault_control(sqlite3_file *file, int op, void *arg)
{
	if (op == SQLITE_FCNTL_LAST_ERRNO && fault.failed) {
		*(int *)arg = fault.error;
		return SQLITE_OK;
	}
	return REAL(file)->pMethods->xFileControl(REAL(file), op, arg);
}

static int fault_sector(sqlite3_file *file)
{
	return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int fault_device(sqlite3_file *file)
{
	return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static int fault_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **map)
{
	return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, map);
}

static int fault_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return REAL(file)->pMethods->xShmLock(REAL(file), offset, n, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
	REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int fault_shm_unmap(sqlite3_file *file, int remove)
{
	return REAL(file)->pMethods->xShmUnmap(REAL(file), remove);
}

static const sqlite3_io_methods fault_methods = {
	2,		fault_close,	fault_read,	fault_write,	   fault_truncate,
	fault_sync,	fault_size,	fault_lock,	fault_unlock,	   fault_reserved,
	fault_control,	fault_sector,	fault_device,	fault_shm_map,	   fault_shm_lock,
	fault_shm_barrier, fault_shm_unmap, NULL,	NULL,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	int rc;

	(void)vfs;
	REAL(file) = (sqlite3_file *)(void *)((struct fault_file *)(void *)file + 1);
	rc = fault.real->xOpen(fault.real, name, REAL(file), flags, out);
	file->pMethods = REAL(file)->pMethods ? &fault_methods : NULL;
	return rc;
}

static int fault_last_error(sqlite3_vfs *vfs, int n, char *text)
{
	(void)vfs;
	return fault.failed ? fault.error : fault.real->xGetLastError(fault.real, n, text);
}

static void fault_register(void)
{
	fault.real = sqlite3_vfs_find(NULL);
	fault.vfs = *fault.real;
	fault.vfs.zName = "fault";
	fault.vfs.szOsFile = (int)sizeof(struct fault_file) + fault.real->szOsFile;
	fault.vfs.xOpen = fault_open;
	fault.vfs.xGetLastError = fault_last_error;
	g_assert_cmpint(sqlite3_vfs_register(&fault.vfs, 1), ==, SQLITE_OK);
}

static void fault_set(unsigned int fail_write, unsigned int fail_sync, int error)
{
	fault.writes = fault.syncs = 0;
	fault.fail_write = fail_write;
	fault.fail_sync = fail_sync;
	fault.error = error;
	fault.failed = false;
}
