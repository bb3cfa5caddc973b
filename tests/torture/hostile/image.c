/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * After https://www.sqlite.org/fileformat2.html. Pages of 4096 bytes with nothing reserved, UTF-8.
 * Everything read may be nonsense: each offset is checked.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "image.h"

#define VARINT_MAX 9

static uint32_t be32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint32_t le32(const uint8_t *b)
{
	return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static unsigned int be16(const uint8_t *b)
{
	return (unsigned int)b[0] << 8 | b[1];
}

/* ---- files ---- */

GByteArray *image_bytes(const void *bytes, gsize len)
{
	return g_byte_array_append(g_byte_array_sized_new((guint)len), bytes, (guint)len);
}

static GByteArray *copy_of(const GByteArray *bytes)
{
	return bytes ? image_bytes(bytes->data, bytes->len) : NULL;
}

void image_copy(struct image *to, const struct image *from)
{
	*to = (struct image){ copy_of(from->main), copy_of(from->wal), copy_of(from->lock) };
}

void image_deinit(struct image *image)
{
	g_clear_pointer(&image->main, g_byte_array_unref);
	g_clear_pointer(&image->wal, g_byte_array_unref);
	g_clear_pointer(&image->lock, g_byte_array_unref);
}

static GByteArray *read_file(const char *path, const char *suffix)
{
	g_autofree char *name = g_strconcat(path, suffix, NULL), *bytes = NULL;
	gsize len;

	return g_file_get_contents(name, &bytes, &len, NULL) ? image_bytes(bytes, len) : NULL;
}

void image_read(struct image *image, const char *path)
{
	*image = (struct image){ read_file(path, ""), read_file(path, "-wal"),
				 read_file(path, ".lock") };
}

static void write_file(const GByteArray *bytes, const char *path, const char *suffix)
{
	g_autofree char *name = g_strconcat(path, suffix, NULL);
	FILE *file;

	unlink(name);
	if (!bytes)
		return;
	file = fopen(name, "wb");
	g_assert_nonnull(file);
	g_assert_true(bytes->len == 0 ||
		      fwrite(bytes->data, 1, bytes->len, file) == bytes->len);
	g_assert_cmpint(fclose(file), ==, 0);
}

void image_write(const struct image *image, const char *path)
{
	write_file(image->main, path, "");
	write_file(image->wal, path, "-wal");
	write_file(image->lock, path, ".lock");
}

void image_empty_dir(const char *dir)
{
	GDir *files = g_dir_open(dir, 0, NULL);
	const char *name;

	while (files && (name = g_dir_read_name(files))) {
		g_autofree char *path = g_build_filename(dir, name, NULL);

		unlink(path);
	}
	g_clear_pointer(&files, g_dir_close);
}

/* ---- the pages that count ---- */

struct sum {
	uint32_t a, b;
	bool big;
};

static void sum_add(struct sum *sum, const uint8_t *bytes, gsize len)
{
	for (gsize i = 0; i < len; i += 8) {
		sum->a += (sum->big ? be32(bytes + i) : le32(bytes + i)) + sum->b;
		sum->b += (sum->big ? be32(bytes + i + 4) : le32(bytes + i + 4)) + sum->a;
	}
}

static bool sum_is(const struct sum *sum, const uint8_t *at)
{
	return be32(at) == sum->a && be32(at + 4) == sum->b;
}

static bool wal_begins(const uint8_t *b, gsize len, struct sum *ret_sum)
{
	*ret_sum = (struct sum){ .big = len > 3 && (b[3] & 1) };
	if (len < IMAGE_WAL_HEADER || (be32(b) & ~1u) != 0x377f0682 || be32(b + 4) != 3007000 ||
	    be32(b + 8) != IMAGE_PAGE)
		return false;
	sum_add(ret_sum, b, 24);
	return sum_is(ret_sum, b + 24);
}

static bool frame_holds(const uint8_t *header, const uint8_t *frame, struct sum *sum)
{
	if (be32(frame) == 0 || memcmp(frame + 8, header + 16, 8) != 0)
		return false;
	sum_add(sum, frame, 8);
	sum_add(sum, frame + 24, IMAGE_PAGE);
	return sum_is(sum, frame + 16);
}

/* The frames up to the last commit. Return: how many; *ret_pages: the size it gave the database. */
static gsize wal_frames(const GByteArray *wal, unsigned int *ret_pages)
{
	gsize n = 0, whole = 0;
	struct sum sum;

	if (!wal || !wal_begins(wal->data, wal->len, &sum))
		return 0;
	for (gsize at = IMAGE_WAL_HEADER; at + IMAGE_WAL_FRAME <= wal->len; at += IMAGE_WAL_FRAME) {
		if (!frame_holds(wal->data, wal->data + at, &sum))
			break;
		n++;
		if (be32(wal->data + at + 4) == 0)
			continue;
		whole = n;
		*ret_pages = be32(wal->data + at + 4);
	}
	return whole;
}

static void pages_add_main(struct pages *pages, const GByteArray *main)
{
	gsize at, rest;

	for (at = 0; main && at + IMAGE_PAGE <= main->len; at += IMAGE_PAGE)
		g_ptr_array_add(pages->at, main->data + at);
	rest = main ? main->len - at : 0;
	if (rest == 0)
		return;
	pages->rest = g_malloc0(IMAGE_PAGE);
	memcpy(pages->rest, main->data + at, rest);
	g_ptr_array_add(pages->at, pages->rest);
}

void pages_init(struct pages *pages, const struct image *image, bool with_wal)
{
	static uint8_t zero[IMAGE_PAGE];
	gsize frames;

	*pages = (struct pages){ .at = g_ptr_array_new() };
	pages_add_main(pages, image->main);
	pages->counted = pages->at->len;
	frames = with_wal ? wal_frames(image->wal, &pages->counted) : 0;
	for (gsize i = 0; i < frames; i++) {
		uint8_t *frame = image->wal->data + IMAGE_WAL_HEADER + i * IMAGE_WAL_FRAME;
		uint32_t number = be32(frame);

		while (pages->at->len < number && number < 100000)
			g_ptr_array_add(pages->at, zero);
		if (number <= pages->at->len)
			pages->at->pdata[number - 1] = frame + 24;
	}
	/* What is behind the length that a commit gave is out of reach. */
	if (frames > 0 && pages->counted < pages->at->len)
		g_ptr_array_set_size(pages->at, (gint)pages->counted);
}

void pages_deinit(struct pages *pages)
{
	g_ptr_array_unref(pages->at);
	g_free(pages->rest);
}

uint64_t pages_hash(const uint8_t *page)
{
	uint64_t hash = UINT64_C(14695981039346656037), word;

	for (unsigned int i = 0; i < IMAGE_PAGE; i += sizeof(word)) {
		memcpy(&word, page + i, sizeof(word));
		hash = (hash ^ word) * UINT64_C(1099511628211);
		hash ^= hash >> 29;
	}
	return hash;
}

/* ---- rows ---- */

/* What is left of some bytes. */
struct cursor {
	const uint8_t *at, *end;
};

static bool take_varint(struct cursor *cursor, uint64_t *ret)
{
	*ret = 0;
	for (int i = 0; i < VARINT_MAX && cursor->at < cursor->end; i++) {
		uint8_t byte = *cursor->at++;

		if (i == VARINT_MAX - 1) {
			*ret = *ret << 8 | byte;
			return true;
		}
		*ret = *ret << 7 | (byte & 0x7f);
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static int64_t take_integer(const uint8_t *at, unsigned int len)
{
	uint64_t value = at[0] & 0x80 ? UINT64_MAX : 0;

	for (unsigned int i = 0; i < len; i++)
		value = value << 8 | at[i];
	return (int64_t)value;
}

/* Bytes that a value of a serial type takes. */
static uint64_t type_size(uint64_t type)
{
	static const uint8_t sizes[] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0 };

	return type < G_N_ELEMENTS(sizes) ? sizes[type] : (type - 12) / 2;
}

static bool take_column(struct cursor *body, uint64_t type, struct row_column *column)
{
	uint64_t size = type_size(type);

	*column = (struct row_column){ COLUMN_NULL };
	if (size > (uint64_t)(body->end - body->at))
		return false;
	if (type == 8 || type == 9) {
		column->type = COLUMN_INTEGER;
		column->integer = type == 9;
	} else if (type == 7) {
		column->type = COLUMN_REAL;
	} else if (type > 0 && type < 7) {
		column->type = COLUMN_INTEGER;
		column->integer = take_integer(body->at, (unsigned int)size);
	} else if (type >= 12) {
		column->type = type & 1 ? COLUMN_TEXT : COLUMN_BLOB;
		column->text = (struct row_text){ (const char *)body->at, (gsize)size };
	}
	body->at += size;
	return true;
}

/* Return: columns found, 0 where it is no record. */
static unsigned int take_record(const uint8_t *payload, gsize len, struct row_column *columns)
{
	struct cursor head = { payload, payload + len }, body = head;
	unsigned int n = 0;
	uint64_t head_len, type;

	if (!take_varint(&head, &head_len) || head_len > len)
		return 0;
	body.at = head.end = payload + head_len;
	while (head.at < head.end) {
		if (n == ROW_COLUMNS || !take_varint(&head, &type) ||
		    !take_column(&body, type, &columns[n]))
			return 0;
		n++;
	}
	return n;
}

/* Of a payload, how much lies on the page itself. */
static gsize local_size(gsize payload, bool by_rowid)
{
	const gsize usable = IMAGE_PAGE;
	gsize max = by_rowid ? usable - 35 : (usable - 12) * 64 / 255 - 23;
	gsize min = (usable - 12) * 32 / 255 - 23;
	gsize split = min + (payload - min) % (usable - 4);

	return payload <= max ? payload : split <= max ? split : min;
}

/* Append what overflow pages hold until there are @len bytes. */
static bool take_overflow(const struct pages *pages, uint32_t number, GByteArray *payload,
			  gsize len)
{
	while (payload->len < len) {
		const uint8_t *page;

		if (number < 2 || number > pages->at->len)
			return false;
		page = pages->at->pdata[number - 1];
		g_byte_array_append(payload, page + 4,
				    (guint)MIN(IMAGE_PAGE - 4, len - payload->len));
		number = be32(page);
	}
	return true;
}

struct reading {
	const struct pages *pages;
	pages_row_t func;
	void *data;
	bool by_rowid;
	bool interior;
};

static void read_payload(struct reading *r, const uint8_t *payload, gsize len, int64_t rowid)
{
	struct row_column columns[ROW_COLUMNS];
	unsigned int n = take_record(payload, len, columns);
	struct row row;

	if (row_from_columns(&row, columns, n, r->by_rowid, rowid))
		r->func(r->data, &row);
}

static void read_cell(struct reading *r, struct cursor cell)
{
	g_autoptr(GByteArray) whole = NULL;
	uint64_t len, rowid = 0;
	gsize local;

	if (r->interior)
		cell.at += 4;
	if (cell.at >= cell.end || !take_varint(&cell, &len) ||
	    (r->by_rowid && !take_varint(&cell, &rowid)) ||
	    len > (uint64_t)r->pages->at->len * IMAGE_PAGE)
		return;
	local = local_size((gsize)len, r->by_rowid);
	if (local + (local < len ? 4 : 0) > (gsize)(cell.end - cell.at))
		return;
	if (local == len) {
		read_payload(r, cell.at, local, (int64_t)rowid);
		return;
	}
	whole = image_bytes(cell.at, local);
	if (take_overflow(r->pages, be32(cell.at + local), whole, (gsize)len))
		read_payload(r, whole->data, whole->len, (int64_t)rowid);
}

void pages_each_row(const struct pages *pages, const uint8_t *page, pages_row_t func, void *data)
{
	bool leaf = page[0] == 13 || page[0] == 10, interior = page[0] == 2;
	struct reading r = { pages, func, data, page[0] == 13, interior };
	unsigned int cells = be16(page + 3), pointer = interior ? 12 : 8;

	if (!leaf && !interior)
		return;
	for (unsigned int i = 0; i < cells && pointer + 2 <= IMAGE_PAGE; i++, pointer += 2) {
		/* As SQLite does, which drops the bits that are too many. */
		unsigned int offset = be16(page + pointer) % IMAGE_PAGE;

		read_cell(&r, (struct cursor){ page + offset, page + IMAGE_PAGE });
	}
}
