/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The file itself is always written at once, as a page cache shows it to everybody. Beside it lies,
 * per change, what it replaced. A loss of power goes back change by change, newest first, to what
 * the last sync left, and gathers on the way what each change had written; then it goes forward
 * again with those it keeps.
 */

#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim-memory.h"
#include "sim-undo.h"

#define SECTOR 512

struct change {
	uint64_t offset;	/* or the size to which it was cut */
	size_t len;		/* 0: it was cut */
	uint64_t old_size;	/* of the file, before */
	size_t old_len;
	uint8_t *old;		/* old_len bytes from offset on */
	size_t new_len;
	uint8_t *new;
};

struct undo {
	int fd;
	GArray *changes;	/* oldest first */
};

static void change_clear(void *data)
{
	struct change *change = data;

	g_free(change->old);
	g_free(change->new);
}

struct undo *undo_new(int fd)
{
	struct undo *undo = g_new0(struct undo, 1);

	undo->fd = fd;
	undo->changes = g_array_new(FALSE, TRUE, sizeof(struct change));
	g_array_set_clear_func(undo->changes, change_clear);
	return undo;
}

struct undo *undo_free(struct undo *undo)
{
	if (!undo)
		return NULL;

	g_array_unref(undo->changes);
	g_free(undo);
	return NULL;
}

uint64_t undo_memory(const struct undo *undo)
{
	uint64_t bytes = memory_of(undo->changes->data);

	for (unsigned int i = 0; i < undo->changes->len; i++) {
		const struct change *change = &g_array_index(undo->changes, struct change, i);

		bytes += memory_of(change->old) + memory_of(change->new);
	}
	return bytes;
}

/* At most @len bytes at @offset. */
static uint8_t *undo_read(struct undo *undo, uint64_t offset, size_t len, size_t *ret_len)
{
	uint8_t *bytes = g_malloc(len);
	ssize_t n = pread(undo->fd, bytes, len, (off_t)offset);

	g_assert_cmpint(n, >=, 0);
	*ret_len = (size_t)n;
	return bytes;
}

static void undo_write(struct undo *undo, const uint8_t *bytes, size_t len, uint64_t offset)
{
	if (len > 0)
		g_assert_cmpint(pwrite(undo->fd, bytes, len, (off_t)offset), ==, (ssize_t)len);
}

static void undo_note(struct undo *undo, uint64_t offset, size_t len, bool cut)
{
	struct change change = { .offset = offset, .len = cut ? 0 : len };
	struct stat st;

	g_assert_cmpint(fstat(undo->fd, &st), ==, 0);
	change.old_size = (uint64_t)st.st_size;
	if (offset < change.old_size)
		change.old = undo_read(undo, offset, MIN(len, change.old_size - offset),
				       &change.old_len);
	g_array_append_val(undo->changes, change);
}

void undo_note_write(struct undo *undo, uint64_t offset, size_t len)
{
	undo_note(undo, offset, len, false);
}

void undo_note_truncate(struct undo *undo, uint64_t size)
{
	undo_note(undo, size, SIZE_MAX, true);
}

void undo_settle(struct undo *undo)
{
	g_array_set_size(undo->changes, 0);
}

static void undo_take_back(struct undo *undo, struct change *change)
{
	if (change->len > 0)
		change->new = undo_read(undo, change->offset, change->len, &change->new_len);
	undo_write(undo, change->old, change->old_len, change->offset);
	g_assert_cmpint(ftruncate(undo->fd, (off_t)change->old_size), ==, 0);
}

/* Its first sectors, as a disk writes them in order, or any of them. */
static void undo_tear(struct undo *undo, const struct change *change, GRand *rand)
{
	bool in_order = g_rand_boolean(rand);
	size_t done = 0, n;

	while (done < change->new_len) {
		n = SECTOR - (size_t)((change->offset + done) % SECTOR);
		n = MIN(n, change->new_len - done);
		if (g_rand_boolean(rand))
			undo_write(undo, change->new + done, n, change->offset + done);
		else if (in_order)
			return;
		done += n;
	}
}

/* @percent: how many are kept whole; of the others a quarter is torn. */
static void undo_keep(struct undo *undo, const struct change *change, int percent, GRand *rand)
{
	if (g_rand_int_range(rand, 0, 100) >= percent) {
		if (change->len > 0 && g_rand_int_range(rand, 0, 4) == 0)
			undo_tear(undo, change, rand);
		return;
	}
	if (change->len > 0)
		undo_write(undo, change->new, change->new_len, change->offset);
	else
		g_assert_cmpint(ftruncate(undo->fd, (off_t)change->offset), ==, 0);
}

void undo_lose(struct undo *undo, GRand *rand)
{
	/* A disk that wrote next to nothing, one that was all but done, and those between. */
	static const int percents[] = { 0, 50, 90, 100 };
	int percent = percents[g_rand_int_range(rand, 0, G_N_ELEMENTS(percents))];
	/* In order up to somewhere, or in no order. */
	guint n = undo->changes->len, upto = n;

	if (n > 0 && g_rand_boolean(rand))
		upto = (guint)g_rand_int_range(rand, 0, (gint32)n + 1);
	for (guint i = n; i > 0; i--)
		undo_take_back(undo, &g_array_index(undo->changes, struct change, i - 1));
	for (guint i = 0; i < upto; i++)
		undo_keep(undo, &g_array_index(undo->changes, struct change, i),
			  upto < n ? 100 : percent, rand);
	undo_settle(undo);
}
