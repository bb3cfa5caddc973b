/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk: its directory, the files in it, and what may still be taken back of both. At death each
 * file gets a second name beside the directory, so that whatever the dying process still does to
 * the first (it tidies up, and does not know that it is dead) changes nothing.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim-disk-inner.h"

#define PAGE 4096

/* Something done to the directory, and what it replaced. */
struct change {
	char *made;		/* a name that was not there, or not for this file */
	char *from;		/* the name it had before; NULL: it is new, or there is none now */
	char *lost;		/* the name of what was there before, and its second name; or NULL */
	char *kept;
};

/* A file at death: kept under a second name, or as a copy where SQLite does not write it. */
struct remains {
	char *path;
	char *kept;
	char *content;
	gsize len;
};

struct refusal {
	unsigned int after;	/* operations until it begins; 0: it has */
	int error;		/* 0: none */
};

struct sim_disk {
	char *dir;		/* without links in its path */
	char *beside;		/* where second names are */
	unsigned int names;
	uint64_t device, inode;	/* of the directory */
	GRand *rand;
	GPtrArray *nodes;	/* struct sim_node */
	GArray *changes;	/* struct change, oldest first */
	GArray *remains;	/* struct remains */
	struct refusal refusal, sync_refusal;
	bool failed;
	unsigned int die_after;	/* 0: not soon */
	bool dead;
	uint64_t operations, syncs;
};

static GRecMutex lock;
static GPtrArray *disks;

void sim_disk_lock(void)
{
	g_rec_mutex_lock(&lock);
}

void sim_disk_unlock(void)
{
	g_rec_mutex_unlock(&lock);
}

/* ---- which ---- */

struct sim_disk *sim_disk_find(const char *path)
{
	for (guint i = 0; path && disks && i < disks->len; i++) {
		struct sim_disk *disk = disks->pdata[i];
		size_t len = strlen(disk->dir);

		if (strncmp(path, disk->dir, len) == 0 && path[len] == '/' &&
		    !strchr(path + len + 1, '/'))
			return disk;
	}
	return NULL;
}

struct sim_disk *sim_disk_find_directory(int fd)
{
	struct stat st;

	for (guint i = 0; disks && fstat(fd, &st) == 0 && i < disks->len; i++) {
		struct sim_disk *disk = disks->pdata[i];

		if (disk->device == st.st_dev && disk->inode == st.st_ino)
			return disk;
	}
	return NULL;
}

static struct sim_node *disk_find_node(struct sim_disk *disk, const struct stat *st)
{
	for (guint i = 0; i < disk->nodes->len; i++) {
		struct sim_node *node = disk->nodes->pdata[i];

		if (node->device == st->st_dev && node->inode == st->st_ino)
			return node;
	}
	return NULL;
}

struct sim_node *sim_disk_find_node(int fd)
{
	struct sim_node *node = NULL;
	struct stat st;

	if (!disks || fstat(fd, &st) < 0)
		return NULL;
	for (guint i = 0; !node && i < disks->len; i++)
		node = disk_find_node(disks->pdata[i], &st);
	return node;
}

/* ---- files ---- */

static void node_free(void *data)
{
	struct sim_node *node = data;

	g_assert_cmpuint(node->handles, ==, 0);
	undo_free(node->undo);
	close(node->fd);
	g_free(node);
}

struct sim_node *sim_disk_open_node(struct sim_disk *disk, const char *path)
{
	struct sim_node *node;
	struct stat st;

	g_assert_cmpint(stat(path, &st), ==, 0);
	node = disk_find_node(disk, &st);
	if (!node) {
		node = g_new0(struct sim_node, 1);
		node->disk = disk;
		node->device = st.st_dev;
		node->inode = st.st_ino;
		node->fd = open(path, O_RDWR | O_CLOEXEC);
		g_assert_cmpint(node->fd, >=, 0);
		node->undo = undo_new(node->fd);
		g_ptr_array_add(disk->nodes, node);
	}
	node->handles++;
	return node;
}

static bool node_is_gone(const struct sim_node *node)
{
	struct stat st;

	return node->handles == 0 && fstat(node->fd, &st) == 0 && st.st_nlink == 0;
}

void sim_disk_close_node(struct sim_node *node)
{
	node->handles--;
	if (node_is_gone(node))
		g_ptr_array_remove_fast(node->disk->nodes, node);
}

/* ---- the directory ---- */

static char *disk_second_name(struct sim_disk *disk)
{
	return g_strdup_printf("%s/%u", disk->beside, disk->names++);
}

/* Return: the second name, or NULL where there is no such file. */
static char *disk_keep(struct sim_disk *disk, const char *path)
{
	g_autofree char *kept = disk_second_name(disk);

	if (link(path, kept) == 0)
		return g_steal_pointer(&kept);
	g_assert_cmpint(errno, ==, ENOENT);
	return NULL;
}

static void change_clear(void *data)
{
	struct change *change = data;

	if (change->kept)
		g_unlink(change->kept);
	g_free(change->made);
	g_free(change->from);
	g_free(change->lost);
	g_free(change->kept);
}

void sim_disk_note_made(struct sim_disk *disk, const char *path)
{
	struct change change = { .made = g_strdup(path) };

	g_array_append_val(disk->changes, change);
}

void sim_disk_note_delete(struct sim_disk *disk, const char *path)
{
	struct change change = { .kept = disk_keep(disk, path) };

	if (!change.kept)
		return;
	change.lost = g_strdup(path);
	g_array_append_val(disk->changes, change);
}

void sim_disk_note_rename(struct sim_disk *disk, const char *from, const char *to)
{
	struct change change = { .made = g_strdup(to), .from = g_strdup(from) };

	if (access(from, F_OK) < 0) {
		change_clear(&change);
		return;
	}
	change.kept = disk_keep(disk, to);
	change.lost = change.kept ? g_strdup(to) : NULL;
	g_array_append_val(disk->changes, change);
}

static void change_take_back(struct change *change)
{
	/* It may be gone in a way that was not told: unlink(2). */
	if (change->made && change->from)
		renameat(AT_FDCWD, change->made, AT_FDCWD, change->from);
	else if (change->made)
		unlink(change->made);
	if (change->lost)
		g_assert_cmpint(renameat(AT_FDCWD, change->kept, AT_FDCWD, change->lost), ==, 0);
	g_clear_pointer(&change->kept, g_free);
}

static void disk_drop_nodes(struct sim_disk *disk)
{
	for (guint i = disk->nodes->len; i > 0; i--)
		if (node_is_gone(disk->nodes->pdata[i - 1]))
			g_ptr_array_remove_index_fast(disk->nodes, i - 1);
}

void sim_disk_settle(struct sim_disk *disk)
{
	g_array_set_size(disk->changes, 0);
	disk_drop_nodes(disk);
}

/* ---- death ---- */

static void remains_clear(void *data)
{
	struct remains *remains = data;

	if (remains->kept)
		g_unlink(remains->kept);
	g_free(remains->path);
	g_free(remains->kept);
	g_free(remains->content);
}

static void disk_each_file(struct sim_disk *disk, void (*func)(struct sim_disk *, const char *))
{
	GDir *dir = g_dir_open(disk->dir, 0, NULL);
	const char *name;

	g_assert_nonnull(dir);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(disk->dir, name, NULL);

		if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
			func(disk, path);
	}
	g_dir_close(dir);
}

static void disk_bury(struct sim_disk *disk, const char *path)
{
	struct remains remains = { .path = g_strdup(path) };
	struct stat st;

	/* Shared memory is no file of the disk: the next process makes it anew. */
	if (g_str_has_suffix(path, "-shm") || stat(path, &st) < 0) {
		remains_clear(&remains);
		return;
	}
	if (disk_find_node(disk, &st))
		remains.kept = disk_keep(disk, path);
	else
		g_assert_true(g_file_get_contents(path, &remains.content, &remains.len, NULL));
	g_array_append_val(disk->remains, remains);
}

static void disk_kill(struct sim_disk *disk)
{
	disk->die_after = 0;
	disk->dead = true;
	disk_each_file(disk, disk_bury);
}

static void disk_remove(struct sim_disk *disk, const char *path)
{
	(void)disk;
	unlink(path);
}

static void disk_write_copy(const struct remains *remains)
{
	int fd = open(remains->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, remains->content, remains->len), ==, (ssize_t)remains->len);
	close(fd);
}

static void disk_exhume(struct sim_disk *disk)
{
	disk_each_file(disk, disk_remove);
	for (guint i = 0; i < disk->remains->len; i++) {
		struct remains *remains = &g_array_index(disk->remains, struct remains, i);

		if (remains->content)
			disk_write_copy(remains);
		else
			g_assert_cmpint(link(remains->kept, remains->path), ==, 0);
	}
	g_array_set_size(disk->remains, 0);
}

/* A file system's journal keeps the order of what happened to names; some of the end is missing. */
static void disk_lose(struct sim_disk *disk)
{
	guint left = (guint)g_rand_int_range(disk->rand, 0, (gint32)disk->changes->len + 1);

	for (guint i = 0; i < disk->nodes->len; i++)
		undo_lose(((struct sim_node *)disk->nodes->pdata[i])->undo, disk->rand);
	for (guint i = disk->changes->len; i > left; i--)
		change_take_back(&g_array_index(disk->changes, struct change, i - 1));
	g_array_set_size(disk->changes, 0);
}

void sim_disk_die(struct sim_disk *disk, unsigned int after)
{
	if (after == 0 && !disk->dead)
		disk_kill(disk);
	else
		disk->die_after = after;
}

bool sim_disk_is_dead(const struct sim_disk *disk)
{
	return disk->dead;
}

void sim_disk_revive(struct sim_disk *disk, int how)
{
	if (!disk->dead)
		disk_kill(disk);
	for (guint i = 0; i < disk->nodes->len; i++)
		g_assert_cmpuint(((struct sim_node *)disk->nodes->pdata[i])->handles, ==, 0);
	disk_exhume(disk);
	if (how == SIM_DISK_POWER_LOSS)
		disk_lose(disk);
	disk_drop_nodes(disk);
	disk->dead = false;
}

/* ---- operations ---- */

static int refuse(struct sim_disk *disk, struct refusal *refusal)
{
	if (refusal->error == 0)
		return 0;
	if (refusal->after > 0)
		refusal->after--;
	if (refusal->after > 0)
		return 0;
	disk->failed = true;
	return refusal->error;
}

int sim_disk_begin(struct sim_disk *disk, enum sim_operation operation)
{
	int error = 0;

	if (disk->dead)
		return EIO;
	disk->operations++;
	disk->syncs += operation == SIM_SYNC;
	if (operation == SIM_WRITE || (operation == SIM_SYNC && disk->refusal.after != 1))
		error = refuse(disk, &disk->refusal);
	if (operation == SIM_SYNC && error == 0)
		error = refuse(disk, &disk->sync_refusal);
	if (disk->die_after > 0 && --disk->die_after == 0) {
		disk_kill(disk);
		error = EIO;
	}
	return error;
}

int sim_disk_begin_write(struct sim_disk *disk, uint64_t offset, size_t len, size_t *ret_len)
{
	uint64_t first = offset / PAGE + 1, end = (offset + len) / PAGE + 1;
	bool was_dead = disk->dead;
	int error = sim_disk_begin(disk, SIM_WRITE);

	*ret_len = error ? 0 : len;
	/* Up to one of the page ends within it, half of the time. */
	if (error && !was_dead && end > first && g_rand_boolean(disk->rand))
		*ret_len = (size_t)(PAGE * (uint64_t)g_rand_int_range(disk->rand, (gint32)first,
								      (gint32)end) - offset);
	return error;
}

void sim_disk_fail(struct sim_disk *disk, unsigned int after, int error)
{
	disk->refusal = (struct refusal){ after, error };
	disk->failed = false;
}

void sim_disk_fail_syncs(struct sim_disk *disk, unsigned int after, int error)
{
	disk->sync_refusal = (struct refusal){ after, error };
	disk->failed = false;
}

bool sim_disk_has_failed(const struct sim_disk *disk)
{
	return disk->failed;
}

uint64_t sim_disk_operations(const struct sim_disk *disk)
{
	return disk->operations;
}

uint64_t sim_disk_syncs(const struct sim_disk *disk)
{
	return disk->syncs;
}

/* ---- */

struct sim_disk *sim_disk_new(const char *dir, uint32_t seed)
{
	struct sim_disk *disk = g_new0(struct sim_disk, 1);
	struct stat st;

	disk->dir = realpath(dir, NULL);
	g_assert_nonnull(disk->dir);
	g_assert_cmpint(stat(disk->dir, &st), ==, 0);
	disk->device = st.st_dev;
	disk->inode = st.st_ino;
	disk->beside = g_strconcat(disk->dir, ".lost-XXXXXX", NULL);
	g_assert_nonnull(g_mkdtemp(disk->beside));
	disk->rand = g_rand_new_with_seed(seed);
	disk->nodes = g_ptr_array_new_with_free_func(node_free);
	disk->changes = g_array_new(FALSE, TRUE, sizeof(struct change));
	g_array_set_clear_func(disk->changes, change_clear);
	disk->remains = g_array_new(FALSE, TRUE, sizeof(struct remains));
	g_array_set_clear_func(disk->remains, remains_clear);
	sim_disk_lock();
	if (!disks)
		disks = g_ptr_array_new();
	g_ptr_array_add(disks, disk);
	sim_disk_unlock();
	return disk;
}

struct sim_disk *sim_disk_free(struct sim_disk *disk)
{
	if (!disk)
		return NULL;

	sim_disk_lock();
	g_ptr_array_remove_fast(disks, disk);
	if (disks->len == 0)
		g_clear_pointer(&disks, g_ptr_array_unref);
	sim_disk_unlock();
	g_ptr_array_unref(disk->nodes);
	g_array_unref(disk->changes);
	g_array_unref(disk->remains);
	g_rmdir(disk->beside);
	g_rand_free(disk->rand);
	free(disk->dir);
	g_free(disk->beside);
	g_free(disk);
	return NULL;
}

uint64_t sim_disk_memory(const struct sim_disk *disk)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < disk->nodes->len; i++)
		bytes += undo_memory(((const struct sim_node *)disk->nodes->pdata[i])->undo);
	return bytes;
}
