/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Nothing here may open the database while SQLite has it open: POSIX locks, which SQLite uses, go
 * with the first close of any descriptor of the file.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "store/place.h"

#define COPY_CHUNK (64 * 1024)

static const char *const marks[] = {
	[PLACE_FINE] = "",
	[PLACE_DAMAGED] = "damaged\n",
};

/* An open file description lock: held against this very process, too, and never lost by a close
 * elsewhere. */
int place_lock(const char *path, int *ret_fd)
{
	g_autofree char *name = g_strconcat(path, ".lock", NULL);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd, error;

	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		error = errno == EAGAIN || errno == EACCES ? EBUSY : errno;
		close(fd);
		return -error;
	}
	*ret_fd = fd;
	return 0;
}

enum place_mark place_get_mark(int lock_fd)
{
	char text[16] = "";
	ssize_t n = pread(lock_fd, text, sizeof(text) - 1, 0);

	return n > 0 && strcmp(text, marks[PLACE_DAMAGED]) == 0 ? PLACE_DAMAGED : PLACE_FINE;
}

/* A hint: what cannot be written is found by the check of the next start, or by the next use. */
void place_set_mark(int lock_fd, enum place_mark mark)
{
	size_t len = strlen(marks[mark]);

	if (ftruncate(lock_fd, 0) == 0 && pwrite(lock_fd, marks[mark], len, 0) != (ssize_t)len)
		(void)!ftruncate(lock_fd, 0);
	(void)!fdatasync(lock_fd);
}

/* As much of @size as there is. Return: bytes read or a negative errno. */
static ssize_t read_full(int fd, uint8_t *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int write_full(int fd, const uint8_t *buffer, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EDQUOT || errno == EFBIG ? -ENOSPC : -errno;
		done += (size_t)n;
	}
	return 0;
}

/* Return: a descriptor, or a negative errno. */
static int open_regular(const char *path)
{
	struct stat st = { 0 };
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	return fd;
}

int place_read_head(const char *path, uint8_t *buffer, size_t size, size_t *ret_len)
{
	ssize_t n;
	int fd;

	fd = open_regular(path);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	n = read_full(fd, buffer, size);
	close(fd);
	/* A first page the disk cannot read is as damaged as one that reads as nonsense. */
	*ret_len = n < 0 ? 0 : (size_t)n;
	return n < 0 && n != -EIO ? (int)n : 1;
}

/* An unreadable stretch is left out as zeros: that is what a copy for a salvage is for. */
static int copy_bytes(int from, int to)
{
	g_autofree uint8_t *buffer = g_malloc(COPY_CHUNK);
	off_t offset = 0;
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = pread(from, buffer, COPY_CHUNK, offset)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EIO)
			return -errno;
		if (n < 0) {
			n = 4096;
			memset(buffer, 0, (size_t)n);
		}
		r = write_full(to, buffer, (size_t)n);
		offset += n;
	}
	return r;
}

int place_copy(const char *from, const char *to)
{
	int in, out, r;

	in = open_regular(from);
	if (in < 0)
		return in;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = out < 0 ? -errno : copy_bytes(in, out);
	if (out >= 0)
		close(out);
	close(in);
	return r;
}

int place_overwrite(const char *path, const uint8_t *buffer, size_t size)
{
	int fd, r;

	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_full(fd, buffer, size);
	close(fd);
	return r;
}

bool place_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

bool place_has_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_size > 0;
}

void place_remove(const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };

	for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *name = g_strconcat(path, suffixes[i], NULL);

		unlink(name);
	}
}

int place_make(const char *path)
{
	int fd;

	place_remove(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int sync_path(const char *path, int flags)
{
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int sync_directory(const char *path)
{
	g_autofree char *directory = g_path_get_dirname(path);

	return sync_path(directory, O_DIRECTORY);
}

int place_sync_way(const char *path)
{
	g_autofree char *directory = g_path_get_dirname(path);
	int r = sync_path(directory, O_DIRECTORY);

	/* Those above may not be ours to open. */
	while (strcmp(directory, "/") != 0 && strcmp(directory, ".") != 0) {
		char *above = g_path_get_dirname(directory);

		g_free(directory);
		directory = above;
		sync_path(directory, O_DIRECTORY);
	}
	return r;
}

int place_sync_log(const char *path)
{
	g_autofree char *wal = g_strconcat(path, "-wal", NULL);
	int r = sync_path(wal, 0);

	if (r == 0)
		r = sync_directory(path);
	return r == -ENOENT ? 0 : r;
}

int place_install(const char *from, const char *path)
{
	int r;

	r = sync_path(from, 0);
	if (r == 0 && rename(from, path) < 0)
		r = -errno;
	return r < 0 ? r : sync_directory(path);
}

/* A name not taken: two in one second are told apart by a number. */
static char *aside_name(const char *path, uint64_t now)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc((gint64)(now / USEC_PER_SEC));
	g_autofree char *stamp = g_date_time_format(time, "%Y%m%dT%H%M%SZ");
	char *name = g_strconcat(path, ".corrupt-", stamp, NULL);

	for (int i = 1; place_exists(name); i++) {
		g_free(name);
		name = g_strdup_printf("%s.corrupt-%s.%d", path, stamp, i);
	}
	return name;
}

int place_set_aside(const char *path, uint64_t now, char **ret_aside)
{
	g_autofree char *aside = aside_name(path, now);
	g_autofree char *wal = g_strconcat(path, "-wal", NULL);
	g_autofree char *aside_wal = g_strconcat(aside, "-wal", NULL);
	bool found = place_exists(path) || place_exists(wal);

	/* The log first: without it the database is only old, but it must never meet another. */
	if (rename(wal, aside_wal) < 0 && errno != ENOENT)
		return -errno;
	if (rename(path, aside) < 0 && errno != ENOENT)
		return -errno;
	place_remove(path);
	*ret_aside = found ? g_steal_pointer(&aside) : NULL;
	return sync_directory(path);
}
