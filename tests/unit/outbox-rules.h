/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rules of the outbox once more, as plainly as can be: arrays that are copied and searched.
 * For test-outbox-model.c, which holds the outbox against them.
 */

#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "core/outbox.h"

#define KEYS	    8
#define BATCH_OPS   6
#define BATCH_BYTES 60

struct row {
	uint64_t serial, first;
	uint64_t due, max_due;
	const char *key, *value;	/* the world's; value NULL: remove */
	uint32_t group;
	bool in_flight;
	bool taken;			/* by the plan under way */
	bool mine;			/* staged by the plan under way */
	bool spare;			/* replaced by the write being staged */
};

struct world {
	GRand *rand;
	struct outbox *outbox;
	struct outbox_params params;
	GStringChunk *strings;	/* keys and values */
	GArray *rows;		/* struct row: what must be in the outbox */
	GArray *before;		/* … and before the plan under way */
	uint64_t now;
	uint64_t next_serial;
	uint64_t forced;
	uint64_t late;		/* newest of the plan whose MaxDelay is past, even if it was dropped */
	unsigned int values;

	uint64_t reserved;	/* on disk */
	GArray *disk;		/* struct row, with in_flight: of the persisted batch */
	bool batch_applied;	/* the parent took it; the ack did not arrive yet */
	uint64_t applied;	/* the last serial the parent took */
	const char *parent[KEYS];	/* what it holds … */
	const char *last[KEYS];		/* … and must hold in the end */
	unsigned int rejected, dropped, crashes, batches;
};

static unsigned int pick(struct world *world, unsigned int n)
{
	return (unsigned int)g_rand_int_range(world->rand, 0, (gint32)n);
}

static struct row *row_at(const GArray *rows, unsigned int i)
{
	return &g_array_index(rows, struct row, i);
}

static void copy_rows(GArray *to, const GArray *from)
{
	g_array_set_size(to, 0);
	if (from->len > 0)
		g_array_append_vals(to, from->data, from->len);
}

static uint64_t row_bytes(const struct row *row)
{
	return strlen(row->key) + (row->value ? strlen(row->value) : 0);
}

static uint64_t all_bytes(const GArray *rows)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < rows->len; i++)
		bytes += row_bytes(row_at(rows, i));
	return bytes;
}

/* The row behind the unit that begins at @i. */
static unsigned int unit_end(const GArray *rows, unsigned int i)
{
	for (i++; i < rows->len && row_at(rows, i)->group > 1; i++)
		;
	return i;
}

/* ---- the rules, plainly ---- */

static int newest_of(const GArray *rows, const char *key)
{
	for (unsigned int i = rows->len; i-- > 0;)
		if (strcmp(row_at(rows, i)->key, key) == 0)
			return (int)i;
	return -1;
}

static bool is_free(const struct row *row)
{
	return !row->in_flight && !row->taken && !row->spare;
}

/* Drop the oldest waiting units until @count rows and @bytes more fit. */
static bool model_drop(struct world *world, GArray *rows, unsigned int count, uint64_t bytes)
{
	uint64_t max_count = MAX(world->params.limit, rows->len);
	uint64_t max_bytes = MAX(world->params.max_bytes, all_bytes(rows));
	unsigned int spared = 0, at = 0;

	for (unsigned int i = 0; i < rows->len; i++) {
		if (!row_at(rows, i)->spare)
			continue;
		spared++;
		bytes -= row_bytes(row_at(rows, i));
	}
	while (rows->len + count - spared > max_count || all_bytes(rows) + bytes > max_bytes) {
		while (at < rows->len && !is_free(row_at(rows, at)))
			at = unit_end(rows, at);
		if (!world->params.drop_oldest || at >= rows->len)
			return false;
		world->dropped++;
		g_array_remove_range(rows, at, unit_end(rows, at) - at);
	}
	return true;
}

/* Keys and values of the model: each once. */
static GStringChunk *strings;

static struct row new_row(struct world *world, const struct outbox_write *write, uint32_t group)
{
	struct row row = {
		.serial = world->next_serial,
		.first = world->next_serial,
		.max_due = world->now + world->params.max_delay,
		.key = g_string_chunk_insert_const(strings, write->key),
		.value = write->value ? g_string_chunk_insert_const(strings, write->value) : NULL,
		.group = group,
		.mine = true,
	};

	world->next_serial++;
	return row;
}

static void model_add(struct world *world, const struct outbox_write *write, uint32_t group,
		      const struct row *old)
{
	struct row row = new_row(world, write, group);

	if (old) {
		row.first = old->first;
		row.max_due = old->max_due;
	}
	if (write->op == OUTBOX_SET && !group)
		row.due = MIN(world->now + world->params.delay, row.max_due);
	if (row.due && row.due == row.max_due && row.due <= world->now)
		world->late = row.serial;
	g_array_append_val(world->rows, row);
}

static bool model_stage(struct world *world, const struct outbox_write *writes, unsigned int n,
			bool group)
{
	g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(struct row));
	struct row olds[4];
	bool replaces[4] = { false };
	uint64_t bytes = 0;

	copy_rows(rows, world->rows);
	for (unsigned int i = 0; i < n; i++) {
		int at = newest_of(rows, writes[i].key);

		bytes += outbox_write_bytes(&writes[i]);
		replaces[i] = at >= 0 && !row_at(rows, (unsigned int)at)->group &&
			      is_free(row_at(rows, (unsigned int)at));
		if (!replaces[i])
			continue;
		olds[i] = *row_at(rows, (unsigned int)at);
		row_at(rows, (unsigned int)at)->spare = true;
	}
	if (!model_drop(world, rows, n, bytes))
		return false;
	for (unsigned int i = rows->len; i-- > 0;)
		if (row_at(rows, i)->spare)
			g_array_remove_index(rows, i);
	copy_rows(world->rows, rows);
	for (unsigned int i = 0; i < n; i++)
		model_add(world, &writes[i], group ? i + 1 : 0, replaces[i] ? &olds[i] : NULL);
	return true;
}

/* MaxDelay has come for some: all before them is due. */
static void model_advance(struct world *world)
{
	for (unsigned int i = 0; i < world->rows->len; i++) {
		const struct row *row = row_at(world->rows, i);

		if (row->due && row->due == row->max_due && row->max_due <= world->now)
			world->forced = MAX(world->forced, row->serial);
	}
}

static bool model_due(const struct world *world, const struct row *row)
{
	return row->due <= world->now || row->serial <= world->forced;
}

/* Return: how many rows, from the first that is not in flight, go into a batch. */
static void model_take(struct world *world)
{
	uint64_t ops = 0, bytes = 0;
	unsigned int i = 0, end;

	world->forced = MAX(world->forced, world->late);
	model_advance(world);
	for (; i < world->rows->len && model_due(world, row_at(world->rows, i)); i = end) {
		uint64_t more = 0;

		end = unit_end(world->rows, i);
		for (unsigned int j = i; j < end; j++)
			more += row_bytes(row_at(world->rows, j));
		if (i > 0 && (ops + end - i > BATCH_OPS || bytes + more > BATCH_BYTES))
			break;
		ops += end - i;
		bytes += more;
		for (unsigned int j = i; j < end; j++)
			row_at(world->rows, j)->taken = true;
	}
}
