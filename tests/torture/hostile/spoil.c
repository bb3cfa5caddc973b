/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each way takes what the image has: where a part is missing it does nothing, and says so. */

#include <string.h>

#include "spoil.h"

#define FLIPS_MAX 64
#define SECTOR 512
#define GARBAGE_MAX 20000

struct spoiler {
	struct image *image;
	const struct image *other;
	GRand *rand;
	GString *done;
};

/* Below @end, which is at least 1. */
static guint below(struct spoiler *s, gsize end)
{
	return (guint)g_rand_int_range(s->rand, 0, (gint32)end);
}

/* Few are as likely as many. */
static unsigned int some(struct spoiler *s, unsigned int max)
{
	unsigned int n = 1u << below(s, 7);

	return MIN(n, max);
}

static void garble(struct spoiler *s, uint8_t *at, gsize len)
{
	for (gsize i = 0; i < len; i++)
		at[i] = (uint8_t)g_rand_int(s->rand);
}

static void flip(struct spoiler *s, GByteArray *bytes, gsize from, gsize end, unsigned int n,
		 const char *where)
{
	end = bytes ? MIN(end, bytes->len) : 0;
	g_string_append_printf(s->done, "%u flips in %s", n, where);
	for (unsigned int i = 0; i < n && from < end; i++) {
		gsize at = from + below(s, end - from);

		bytes->data[at] ^= (uint8_t)(1u << below(s, 8));
		if (n <= 4)
			g_string_append_printf(s->done, " at %zu", (size_t)at);
	}
}

static void flip_anywhere(struct spoiler *s)
{
	flip(s, s->image->main, 0, G_MAXSIZE, some(s, FLIPS_MAX), "the file");
}

static void flip_header(struct spoiler *s)
{
	flip(s, s->image->main, 0, 100, some(s, 8), "the header");
}

/* The version and whose it is, of which a refusal hangs. */
static void flip_version(struct spoiler *s)
{
	flip(s, s->image->main, 60, 72, 1 + below(s, 2), "the version");
}

static void flip_schema(struct spoiler *s)
{
	flip(s, s->image->main, 100, IMAGE_PAGE, some(s, FLIPS_MAX), "the schema page");
}

static guint pages_of(const GByteArray *bytes)
{
	return bytes ? bytes->len / IMAGE_PAGE : 0;
}

static void flip_page(struct spoiler *s)
{
	guint pages = pages_of(s->image->main), page = pages ? below(s, pages) : 0;
	g_autofree char *where = g_strdup_printf("page %u", page + 1);

	flip(s, s->image->main, page * IMAGE_PAGE, (page + 1) * IMAGE_PAGE, some(s, FLIPS_MAX),
	     where);
}

/* Its first bytes say what is on it and where. */
static void flip_page_header(struct spoiler *s)
{
	guint pages = pages_of(s->image->main), page = pages ? below(s, pages) : 0;
	g_autofree char *where = g_strdup_printf("the header of page %u", page + 1);

	flip(s, s->image->main, page * IMAGE_PAGE, page * IMAGE_PAGE + 24, some(s, 4), where);
}

static void flip_wal(struct spoiler *s)
{
	flip(s, s->image->wal, 0, G_MAXSIZE, some(s, FLIPS_MAX), "the log");
}

static void flip_wal_header(struct spoiler *s)
{
	flip(s, s->image->wal, 0, IMAGE_WAL_HEADER, some(s, 4), "the log's header");
}

static void flip_wal_frame(struct spoiler *s)
{
	gsize frames = s->image->wal && s->image->wal->len > IMAGE_WAL_HEADER ?
		(s->image->wal->len - IMAGE_WAL_HEADER) / IMAGE_WAL_FRAME : 0;
	gsize at = IMAGE_WAL_HEADER + (frames ? below(s, frames) : 0) * IMAGE_WAL_FRAME;

	flip(s, s->image->wal, at, at + 24, some(s, 4), "a frame's header");
}

static void flip_lock(struct spoiler *s)
{
	flip(s, s->image->lock, 0, G_MAXSIZE, 1, "the lock file");
}

static void zero_pages(struct spoiler *s)
{
	guint pages = pages_of(s->image->main), n = 1 + below(s, 3);

	g_string_append(s->done, "zeroed pages");
	for (guint i = 0; pages > 0 && i < n; i++) {
		guint page = below(s, pages);

		memset(s->image->main->data + page * IMAGE_PAGE, 0, IMAGE_PAGE);
		g_string_append_printf(s->done, " %u", page + 1);
	}
}

static void garble_page(struct spoiler *s)
{
	guint pages = pages_of(s->image->main), page = pages ? below(s, pages) : 0;

	g_string_append_printf(s->done, "garbage in page %u", page + 1);
	if (pages > 0)
		garble(s, s->image->main->data + page * IMAGE_PAGE, IMAGE_PAGE);
}

/* A torn write: some sectors of a page are not what was written. */
static void garble_sector(struct spoiler *s)
{
	guint sectors = s->image->main ? s->image->main->len / SECTOR : 0;
	guint sector = sectors ? below(s, sectors) : 0;
	bool zero = below(s, 2);

	g_string_append_printf(s->done, "%s in sector %u", zero ? "zeros" : "garbage", sector);
	if (sectors == 0)
		return;
	if (zero)
		memset(s->image->main->data + sector * SECTOR, 0, SECTOR);
	else
		garble(s, s->image->main->data + sector * SECTOR, SECTOR);
}

static void cut(struct spoiler *s, GByteArray *bytes, const char *what)
{
	guint len = bytes && bytes->len ? below(s, bytes->len) : 0;

	if (len > IMAGE_PAGE && below(s, 3) == 0)
		len -= len % IMAGE_PAGE;
	g_string_append_printf(s->done, "%s cut at %u", what, len);
	if (bytes)
		g_byte_array_set_size(bytes, len);
}

static void cut_main(struct spoiler *s)
{
	cut(s, s->image->main, "the file");
}

static void cut_wal(struct spoiler *s)
{
	cut(s, s->image->wal, "the log");
}

static void move_pages(struct spoiler *s)
{
	guint pages = pages_of(s->image->main);
	guint a = pages ? below(s, pages) : 0, b = pages ? below(s, pages) : 0;
	bool swap = below(s, 2);
	uint8_t page[IMAGE_PAGE], *from, *to;

	g_string_append_printf(s->done, "page %u %s page %u", a + 1, swap ? "swapped with" :
			       "copied over", b + 1);
	if (pages == 0)
		return;
	from = s->image->main->data + a * IMAGE_PAGE;
	to = s->image->main->data + b * IMAGE_PAGE;
	memcpy(page, to, IMAGE_PAGE);
	memmove(to, from, IMAGE_PAGE);
	if (swap)
		memcpy(from, page, IMAGE_PAGE);
}

static void append(struct spoiler *s, GByteArray *bytes, const char *what)
{
	guint n = 1 + below(s, GARBAGE_MAX), len;

	g_string_append_printf(s->done, "%u bytes of garbage after %s", n, what);
	if (!bytes)
		return;
	len = bytes->len;
	g_byte_array_set_size(bytes, len + n);
	garble(s, bytes->data + len, n);
}

static void append_main(struct spoiler *s)
{
	append(s, s->image->main, "the file");
}

static void append_wal(struct spoiler *s)
{
	append(s, s->image->wal, "the log");
}

/* As a file system that lost a file, or its content, leaves it. */
static void lose(struct spoiler *s, GByteArray **bytes, const char *what)
{
	bool empty = below(s, 2);

	g_string_append_printf(s->done, "%s %s", what, empty ? "empty" : "missing");
	if (empty && *bytes)
		g_byte_array_set_size(*bytes, 0);
	else
		g_clear_pointer(bytes, g_byte_array_unref);
}

static void lose_wal(struct spoiler *s)
{
	lose(s, &s->image->wal, "the log");
}

static void lose_main(struct spoiler *s)
{
	lose(s, &s->image->main, "the file");
}

static void swap_wal(struct spoiler *s)
{
	g_string_append(s->done, "the log of another database");
	g_clear_pointer(&s->image->wal, g_byte_array_unref);
	if (s->other->wal)
		s->image->wal = image_bytes(s->other->wal->data, s->other->wal->len);
}

/* Named twice: more often. */
static void (*const ways[])(struct spoiler *s) = {
	flip_anywhere, flip_anywhere, flip_anywhere, flip_anywhere, flip_header, flip_version,
	flip_schema,
	flip_page, flip_page, flip_page_header, flip_page_header, flip_wal, flip_wal,
	flip_wal_header, flip_wal_frame, flip_lock, zero_pages, zero_pages, garble_page,
	garble_sector, cut_main, cut_main, cut_wal, cut_wal, move_pages, move_pages, append_main,
	append_wal, lose_wal, lose_main, swap_wal,
};

char *spoil(struct image *image, const struct image *other, GRand *rand)
{
	struct spoiler s = { image, other, rand, g_string_new(NULL) };

	ways[below(&s, G_N_ELEMENTS(ways))](&s);
	if (below(&s, 5) == 0) {
		g_string_append(s.done, ", ");
		ways[below(&s, G_N_ELEMENTS(ways))](&s);
	}
	return g_string_free(s.done, FALSE);
}
