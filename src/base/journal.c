/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Entries for the journal; see journal.h. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/journal.h"

/* What the kernel keeps of ours for a journald that is busy; capped by net.core.wmem_max. */
#define SEND_BUFFER_BYTES (1024 * 1024)

struct journal {
	GMutex lock; /* of opening; sending one datagram needs none */
	int fd;	     /* -1: not opened */
	struct sockaddr_un address;
	socklen_t address_len;
};

struct journal *journal_new(const char *path)
{
	struct journal *journal = g_new0(struct journal, 1);

	g_mutex_init(&journal->lock);
	journal->fd = -1;
	journal->address.sun_family = AF_UNIX;
	g_strlcpy(journal->address.sun_path, path, sizeof(journal->address.sun_path));
	journal->address_len = sizeof(journal->address);
	return journal;
}

struct journal *journal_free(struct journal *journal)
{
	if (!journal)
		return NULL;

	if (journal->fd >= 0)
		close(journal->fd);
	g_mutex_clear(&journal->lock);
	g_free(journal);
	return NULL;
}

/* ---- text ---- */

/* U+0080–U+009F: terminals take some of them for the beginning of a command. */
static bool is_c1(const char *c)
{
	return (unsigned char)c[0] == 0xc2 && (unsigned char)c[1] >= 0x80 &&
	       (unsigned char)c[1] <= 0x9f;
}

char *journal_clean(const char *text, gsize max)
{
	char *clean = g_utf8_make_valid(text, (gssize)strnlen(text, max));

	for (char *c = clean; *c; c++) {
		if (g_ascii_iscntrl(*c))
			*c = ' ';
		else if (is_c1(c))
			c[0] = c[1] = ' ';
	}
	return clean;
}

void journal_append(GString *entry, const char *name, const char *value, gsize max)
{
	g_autofree char *clean = journal_clean(value, max);

	g_string_append_printf(entry, "%s=%s\n", name, clean);
}

/* ---- the socket ---- */

static int open_socket(void)
{
	const int bytes = SEND_BUFFER_BYTES;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)); /* else the default will do */
	return fd;
}

static int journal_fd(struct journal *journal)
{
	int fd;

	g_mutex_lock(&journal->lock);
	if (journal->fd < 0)
		journal->fd = open_socket();
	fd = journal->fd;
	g_mutex_unlock(&journal->lock);
	return fd;
}

/* The address goes with every entry: after a restart of journald it is another socket's. */
int journal_send(struct journal *journal, const GString *entry)
{
	int fd = journal_fd(journal);
	ssize_t n;

	if (fd < 0)
		return fd;
	do
		n = sendto(fd, entry->str, entry->len, MSG_NOSIGNAL,
			   (const struct sockaddr *)&journal->address, journal->address_len);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	/* ENOBUFS is the same as EAGAIN: too much of ours waits. */
	return errno == ENOBUFS ? -EAGAIN : -errno;
}

bool journal_has_stream(const char *stream, int fd)
{
	uintmax_t device, inode;
	struct stat st;
	int end = 0;

	if (!stream || sscanf(stream, "%ju:%ju%n", &device, &inode, &end) != 2 || stream[end])
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}
