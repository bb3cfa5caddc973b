/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A crash at a chosen call, and the record of a disk that has not synced yet: preloaded into a
 * program under test.
 *
 * Every call that changes something outside the process (a write, but not to an eventfd; a send, a
 * sync, a name in a directory) is counted; the one whose number the plan names kills the process:
 * before it, after it, or when half of its bytes have gone (to a file: of its sectors). The count
 * goes on in the next process that is given the same plan.
 *
 * Of the files of one directory a journal is kept: the bytes before and after each write, names
 * made, changed and removed, and which of these a later sync has made durable. powerloss.py takes
 * back what none has. Files named *-shm are left out: they are shared memory, of which nothing
 * survives a power loss. crash-plan.h says how the plan and the journal are laid out.
 *
 * Calls are made by syscall(2): the C library's own are the ones replaced here.
 */

/* Else open() would be another name of open64(), and both are to be replaced. */
#undef _FILE_OFFSET_BITS

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crash-plan.h"

#define SECTOR 512

static struct plan *plan;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int saved;	/* names kept of files that lost theirs */

__attribute__((constructor)) static void map_plan(void)
{
	const char *path = getenv("HOLDFAST_TEST_CRASH");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct stat st;
	void *map;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > PLAN_HEADER) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map != MAP_FAILED)
			plan = map;
	}
	close(fd);
}

/* ---- the crash ---- */

_Noreturn static void die(void)
{
	syscall(SYS_kill, getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Count a call. Return: whether it is the one to die at; does not return where it is not made. */
static bool step(enum call call)
{
	if (!plan)
		return false;
	__atomic_fetch_add(&plan->calls[call], 1, __ATOMIC_SEQ_CST);
	if (__atomic_add_fetch(&plan->count, 1, __ATOMIC_SEQ_CST) != plan->kill_at)
		return false;
	/* No other thread is to be between a change and its record. */
	pthread_mutex_lock(&lock);
	plan->pid = (uint32_t)getpid();
	plan->fired = 1 + (uint32_t)call;
	if (plan->mode == MODE_BEFORE)
		die();
	pthread_mutex_unlock(&lock);
	return true;
}

static void finish(bool due)
{
	if (due)
		die();
}

static size_t length_of(bool due, size_t length)
{
	return due && plan->mode == MODE_HALF ? length / 2 : length;
}

/*
 * How much of a write to a file: a sector is written or it is not. (A kill does not tear less than
 * a page, a power loss not less than a sector; the header of SQLite's log lies within one.)
 */
static size_t length_at(bool due, size_t length, off_t offset)
{
	off_t end = (offset + (off_t)(length / 2)) & ~(off_t)(SECTOR - 1);

	if (!due || plan->mode != MODE_HALF)
		return length;
	return end > offset ? (size_t)(end - offset) : 0;
}

/* ---- the journal ---- */

static struct entry *journal_add(enum change change, uint32_t before, uint32_t after,
				 uint32_t name, uint32_t name2)
{
	size_t size = (sizeof(struct entry) + before + after + name + name2 + 7) & ~(size_t)7;
	struct entry *entry;

	if (plan->used == PLAN_OVERFLOW || plan->used + size > plan->size - PLAN_HEADER) {
		plan->used = PLAN_OVERFLOW;
		return NULL;
	}
	entry = (struct entry *)(void *)((char *)plan + PLAN_HEADER + plan->used);
	*entry = (struct entry){
		.size = (uint32_t)size,
		.change = change,
		.sync = change == CHANGE_DATA  ? SYNC_FILE :
			change == CHANGE_MKDIR ? SYNC_PARENT :
						 SYNC_DIRECTORY,
		.before = before,
		.after = after,
		.name = name,
		.name2 = name2,
	};
	plan->used += size;
	return entry;
}

/* The name within the directory that is recorded, or NULL. */
static const char *recorded_name(const char *path)
{
	size_t len = plan ? strlen(plan->directory) : 0, path_len = strlen(path);

	if (len == 0 || strncmp(path, plan->directory, len) != 0 || path[len] != '/')
		return NULL;
	return path_len > 4 && strcmp(path + path_len - 4, "-shm") == 0 ? NULL : path + len + 1;
}

/* Whether @fd is a file of the recorded directory; then what it is now. */
static bool recorded_file(int fd, struct stat *ret_st)
{
	char link[40], path[PATH_MAX];
	ssize_t n;

	if (!plan || !plan->directory[0] || fstat(fd, ret_st) < 0 || !S_ISREG(ret_st->st_mode))
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return recorded_name(path) != NULL;
}

static void read_old(int fd, void *to, size_t len, off_t offset)
{
	ssize_t n = syscall(SYS_pread64, fd, to, len, offset);
	char link[40];
	int again;

	if (n == (ssize_t)len)
		return;
	/* Open for writing only. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
	n = syscall(SYS_pread64, again, to, len, offset);
	close(again);
	if (n != (ssize_t)len)
		plan->used = PLAN_OVERFLOW;
}

/* Under the lock, before the change. @data: NULL for a truncation to @offset */
static void record_data(int fd, const void *data, size_t len, off_t offset)
{
	struct entry *entry;
	struct stat st;
	off_t end;
	size_t before;

	if (!recorded_file(fd, &st))
		return;
	end = data ? offset + (off_t)len : st.st_size;
	before = end > st.st_size ? (st.st_size > offset ? (size_t)(st.st_size - offset) : 0)
				  : (end > offset ? (size_t)(end - offset) : 0);
	entry = journal_add(CHANGE_DATA, (uint32_t)before, data ? (uint32_t)len : 0, 0, 0);
	if (!entry)
		return;
	entry->inode = st.st_ino;
	entry->offset = (uint64_t)offset;
	entry->size_before = (uint64_t)st.st_size;
	entry->size_after = (uint64_t)(data ? (end > st.st_size ? end : st.st_size) : offset);
	if (before > 0)
		read_old(fd, entry + 1, before, offset);
	if (data && len > 0)
		memcpy((char *)(entry + 1) + before, data, len);
}

static void record_names(enum change change, const char *name, const char *name2, uint64_t inode)
{
	struct entry *entry = journal_add(change, 0, 0, (uint32_t)strlen(name),
					  (uint32_t)strlen(name2));

	if (!entry)
		return;
	entry->inode = inode;
	memcpy(entry + 1, name, strlen(name));
	memcpy((char *)(entry + 1) + strlen(name), name2, strlen(name2));
}

/* Keep the file @path, about to lose its name, under another one in "<directory>.saved". */
static void record_loss(const char *path, char ret_name[static 32])
{
	char to[PATH_MAX];

	snprintf(ret_name, 32, "%u-%u", (unsigned int)getpid(), saved++);
	snprintf(to, sizeof(to), "%s.saved/%s", plan->directory, ret_name);
	if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, to, 0) < 0)
		ret_name[0] = '\0';
}

static void mark_durable(enum sync what, uint64_t inode, uint64_t upto)
{
	for (uint64_t at = 0; at < upto;) {
		struct entry *entry = (struct entry *)(void *)((char *)plan + PLAN_HEADER + at);

		if (entry->sync == what && (what != SYNC_FILE || entry->inode == inode))
			entry->durable = 1;
		at += entry->size;
	}
}

static bool is_directory(const struct stat *st, const char *path)
{
	struct stat own;

	return stat(path, &own) == 0 && own.st_ino == st->st_ino && own.st_dev == st->st_dev;
}

static enum sync what_is_synced(const struct stat *st)
{
	char above[sizeof(plan->directory) + 4];

	snprintf(above, sizeof(above), "%s/..", plan->directory);
	if (S_ISDIR(st->st_mode) && is_directory(st, plan->directory))
		return SYNC_DIRECTORY;
	return S_ISDIR(st->st_mode) && is_directory(st, above) ? SYNC_PARENT : SYNC_FILE;
}

/* ---- writes ---- */

static ssize_t write_at(enum call call, int fd, const void *data, size_t len, off_t offset)
{
	bool due = step(call);
	ssize_t r;

	len = length_at(due, len, offset);
	pthread_mutex_lock(&lock);
	record_data(fd, data, len, offset);
	r = syscall(SYS_pwrite64, fd, data, len, offset);
	pthread_mutex_unlock(&lock);
	finish(due);
	return r;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return write_at(CALL_PWRITE, fd, data, len, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
	return write_at(CALL_PWRITE, fd, data, len, offset);
}

/* Where the next write(2) goes; -1 where that is no place in a file. */
static off_t position(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	return flags & O_APPEND ? st.st_size : lseek(fd, 0, SEEK_CUR);
}

/* An eventfd: one thread wakes another, which nobody outside sees. */
static bool is_anonymous(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

ssize_t write(int fd, const void *data, size_t len)
{
	bool due;
	off_t offset;
	ssize_t r;

	if (is_anonymous(fd))
		return syscall(SYS_write, fd, data, len);
	due = step(CALL_WRITE);

	offset = plan ? position(fd) : -1;
	if (offset < 0) {
		r = syscall(SYS_write, fd, data, length_of(due, len));
	} else {
		len = length_at(due, len, offset);
		pthread_mutex_lock(&lock);
		record_data(fd, data, len, offset);
		r = syscall(SYS_write, fd, data, len);
		pthread_mutex_unlock(&lock);
	}
	finish(due);
	return r;
}

static size_t iov_length(const struct iovec *iov, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* The first half of @iov. Return: how many of @ret are filled. */
static size_t iov_halve(const struct iovec *iov, size_t n, struct iovec *ret)
{
	size_t left = iov_length(iov, n) / 2, i;

	for (i = 0; i < n && left > 0; i++) {
		ret[i] = iov[i];
		if (ret[i].iov_len > left)
			ret[i].iov_len = left;
		left -= ret[i].iov_len;
	}
	return i;
}

/* Nobody writes a recorded file this way: it would not be seen, so it must not happen. */
ssize_t writev(int fd, const struct iovec *iov, int n)
{
	struct iovec half[IOV_MAX];
	bool due = step(CALL_WRITEV);
	struct stat st;
	ssize_t r;

	if (recorded_file(fd, &st))
		plan->used = PLAN_OVERFLOW;
	if (due && plan->mode == MODE_HALF) {
		n = (int)iov_halve(iov, (size_t)n, half);
		iov = half;
	}
	r = syscall(SYS_writev, fd, iov, n);
	finish(due);
	return r;
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
	       socklen_t to_len)
{
	bool due = step(CALL_SEND);
	ssize_t r = syscall(SYS_sendto, fd, data, length_of(due, len), flags, to, to_len);

	finish(due);
	return r;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	return sendto(fd, data, len, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct iovec half[IOV_MAX];
	struct msghdr part = *message;
	bool due = step(CALL_SENDMSG);
	ssize_t r;

	if (due && plan->mode == MODE_HALF) {
		part.msg_iovlen = iov_halve(message->msg_iov, message->msg_iovlen, half);
		part.msg_iov = half;
	}
	r = syscall(SYS_sendmsg, fd, &part, flags);
	finish(due);
	return r;
}

static int truncate_to(int fd, off_t size)
{
	bool due = step(CALL_TRUNCATE);
	int r;

	pthread_mutex_lock(&lock);
	record_data(fd, NULL, 0, size);
	r = (int)syscall(SYS_ftruncate, fd, size);
	pthread_mutex_unlock(&lock);
	finish(due);
	return r;
}

int ftruncate(int fd, off_t size)
{
	return truncate_to(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	return truncate_to(fd, size);
}

/* ---- syncs ---- */

static int sync_file(enum call call, long number, int fd)
{
	bool due = step(call), lie;
	uint64_t upto;
	struct stat st;
	int r;

	/* Only what was written before it began is sure to be on the disk at its end. */
	pthread_mutex_lock(&lock);
	upto = plan && plan->used != PLAN_OVERFLOW ? plan->used : 0;
	pthread_mutex_unlock(&lock);
	r = (int)syscall(number, fd);
	lie = plan && plan->lie && plan->count >= plan->lie;
	if (r == 0 && upto > 0 && !lie && fstat(fd, &st) == 0) {
		pthread_mutex_lock(&lock);
		mark_durable(what_is_synced(&st), st.st_ino, upto);
		pthread_mutex_unlock(&lock);
	}
	finish(due);
	return r;
}

int fsync(int fd)
{
	return sync_file(CALL_FSYNC, SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_file(CALL_FDATASYNC, SYS_fdatasync, fd);
}

/* ---- names ---- */

/* The descriptor of a file that may have to be made. */
static int open_recorded(int at, const char *path, int flags, mode_t mode)
{
	const char *name = plan && (flags & O_CREAT) ? recorded_name(path) : NULL;
	bool made = name && access(path, F_OK) < 0;
	bool due = made && step(CALL_CREATE);
	struct stat st;
	int fd;

	if (!name)
		return (int)syscall(SYS_openat, at, path, flags, mode);
	pthread_mutex_lock(&lock);
	fd = (int)syscall(SYS_openat, at, path, flags & ~O_TRUNC, mode);
	if (fd >= 0 && made && fstat(fd, &st) == 0)
		record_names(CHANGE_CREATE, name, "", st.st_ino);
	if (fd >= 0 && (flags & O_TRUNC)) {
		record_data(fd, NULL, 0, 0);
		(void)!syscall(SYS_ftruncate, fd, 0);
	}
	pthread_mutex_unlock(&lock);
	finish(due);
	return fd;
}

#define OPEN_MODE(flags, mode)                                                                     \
	do {                                                                                       \
		va_list args;                                                                      \
		va_start(args, flags);                                                             \
		mode = (flags) & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;                 \
		va_end(args);                                                                      \
	} while (0)

int open(const char *path, int flags, ...)
{
	mode_t mode;

	OPEN_MODE(flags, mode);
	return open_recorded(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	mode_t mode;

	OPEN_MODE(flags, mode);
	return open_recorded(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
	mode_t mode;

	OPEN_MODE(flags, mode);
	return open_recorded(at, path, flags, mode);
}

int rename(const char *from, const char *to)
{
	const char *name = recorded_name(from), *name2 = recorded_name(to);
	bool due = step(CALL_RENAME);
	char kept[32] = "";
	int r;

	pthread_mutex_lock(&lock);
	if (name && name2 && access(from, F_OK) == 0) {
		/* What it replaces is unlinked, as far as a power loss may bring it back. */
		if (access(to, F_OK) == 0) {
			record_loss(to, kept);
			record_names(CHANGE_UNLINK, name2, kept, 0);
		}
		record_names(CHANGE_RENAME, name, name2, 0);
	}
	r = (int)syscall(SYS_rename, from, to);
	pthread_mutex_unlock(&lock);
	finish(due);
	return r;
}

int unlink(const char *path)
{
	const char *name = recorded_name(path);
	bool due = step(CALL_UNLINK);
	char kept[32];
	int r;

	pthread_mutex_lock(&lock);
	if (name && access(path, F_OK) == 0) {
		record_loss(path, kept);
		record_names(CHANGE_UNLINK, name, kept, 0);
	}
	r = (int)syscall(SYS_unlink, path);
	pthread_mutex_unlock(&lock);
	finish(due);
	return r;
}

int mkdir(const char *path, mode_t mode)
{
	bool due = step(CALL_MKDIR);
	int r;

	pthread_mutex_lock(&lock);
	r = (int)syscall(SYS_mkdir, path, mode);
	if (r == 0 && plan && plan->directory[0] && strcmp(path, plan->directory) == 0)
		record_names(CHANGE_MKDIR, "", "", 0);
	pthread_mutex_unlock(&lock);
	finish(due);
	return r;
}
