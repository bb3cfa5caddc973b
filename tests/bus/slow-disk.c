/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk that takes its time: preloaded into the daemon, it makes each sync take as many
 * milliseconds longer as the file says that HOLDFAST_TEST_DISK names (an int64 in native order,
 * mapped, so that the test changes it by writing; negative: the sync fails with EIO). What a fast
 * disk hides by luck, this shows.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *delay;

__attribute__((constructor)) static void map_delay(void)
{
	const char *path = getenv("HOLDFAST_TEST_DISK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*delay), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		delay = map;
}

static int sync_slowly(int fd, const char *name)
{
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	int64_t ms = delay ? *delay : 0;
	struct timespec rest = { ms / 1000, ms % 1000 * 1000000 };

	if (ms < 0) {
		errno = EIO;
		return -1;
	}
	if (ms > 0)
		nanosleep(&rest, NULL);
	return next(fd);
}

int fsync(int fd)
{
	return sync_slowly(fd, "fsync");
}

int fdatasync(int fd)
{
	return sync_slowly(fd, "fdatasync");
}
