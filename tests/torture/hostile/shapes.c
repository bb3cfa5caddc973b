/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything is filled by plain counting, so that a shape is the same in each run. */

#include "../../unit/store-bench.h"
#include "shapes.h"

#define BLOCK 1000	/* serials are reserved by as many */

/* How much of what a shape has. */
struct recipe {
	const char *name;
	unsigned int areas, entries, items, rejected;
	unsigned int large;	/* bytes of every 13th value */
	unsigned int rounds;	/* of writes and trims after that, a transaction each */
	bool own;		/* items are nobody's copies: the daemon is its own parent */
	bool batch;
	bool reopened;		/* closed and opened once in between: the log begins anew */
	bool killed;
};

static const struct recipe recipes[] = {
	{ .name = "empty" },
	{ .name = "empty killed", .areas = 1, .killed = true },
	{ .name = "queue", .areas = 2, .entries = 60, .batch = true },
	{ .name = "queue in the log", .areas = 2, .entries = 60, .batch = true, .killed = true },
	{ .name = "items", .areas = 2, .entries = 5, .items = 90 },
	{ .name = "own items", .areas = 1, .items = 80, .own = true },
	{ .name = "own items in the log", .areas = 2, .items = 40, .own = true, .rounds = 10,
	  .killed = true },
	{ .name = "rejected", .areas = 2, .entries = 4, .rejected = 40, .large = 3000 },
	{ .name = "large", .areas = 1, .entries = 40, .items = 40, .rejected = 20, .large = 9000,
	  .batch = true },
	{ .name = "huge", .areas = 1, .entries = 3, .items = 14, .large = 100000, .killed = true },
	{ .name = "worn", .areas = 3, .entries = 50, .items = 30, .rejected = 20, .large = 6000,
	  .rounds = 40, .batch = true },
	{ .name = "worn, with a log", .areas = 2, .entries = 40, .items = 40, .rejected = 20,
	  .large = 6000, .rounds = 30, .batch = true, .reopened = true, .killed = true },
};

/* The transaction being filled, and what it borrows. */
struct fill {
	struct bench *bench;
	struct store_tx *tx;
	GPtrArray *borrowed;
	const struct recipe *recipe;
	unsigned int counter;
};

static char *keep(struct fill *fill, char *text)
{
	g_ptr_array_add(fill->borrowed, text);
	return text;
}

static void fill_begin(struct fill *fill)
{
	fill->tx = store_tx_new();
	fill->borrowed = g_ptr_array_new_with_free_func(g_free);
}

static void fill_commit(struct fill *fill)
{
	g_assert_cmpint(bench_commit(fill->bench, fill->tx), ==, 0);
	g_ptr_array_unref(fill->borrowed);
}

static char *value_of(struct fill *fill, const char *what)
{
	unsigned int n = fill->counter++;
	unsigned int len = n % 13 == 5 && fill->recipe->large ? fill->recipe->large : 40 + n % 90;

	return keep(fill, g_strdup_printf("%s %u %0*u", what, n, (int)len, n));
}

/* Serials 11–15, 31–35 … are groups of five; every seventh removes. */
static void add_entry(struct fill *fill, int64_t area, unsigned int serial)
{
	uint32_t group = serial % 20 >= 11 && serial % 20 <= 15 ? serial % 20 - 10 : 0;
	g_autofree char *key = g_strdup_printf("key %u", serial);
	const char *value = value_of(fill, "entry");
	struct outbox_entry *entry = bench_entry(serial, serial, group, key,
						 serial % 7 ? value : NULL);

	keep(fill, (char *)entry);
	store_tx_put_entry(fill->tx, area, entry);
}

static void add_item(struct fill *fill, int64_t area, unsigned int i, uint64_t revision)
{
	const char *value = value_of(fill, "item");

	store_tx_put_item(fill->tx, area, keep(fill, g_strdup_printf("key %u", i)),
			  i % 9 ? value : NULL, revision,
			  fill->recipe->own ? STORE_GENERATION_OWN : 3, 1000 + i);
}

static void add_rejected(struct fill *fill, int64_t area, unsigned int serial)
{
	g_autofree char *key = g_strdup_printf("refused %u", serial);
	struct outbox_entry *entry = bench_entry(serial, serial, 0, key, value_of(fill, "refused"));

	keep(fill, (char *)entry);
	store_tx_put_rejected(fill->tx, area, entry, "rejected", "No, for a reason.", 7 + serial);
	store_tx_put_outcome(fill->tx, area, serial, serial, STORE_OUTCOME_REJECTED);
}

static void fill_area(struct fill *fill, int64_t area)
{
	const struct recipe *recipe = fill->recipe;

	store_tx_add_area(fill->tx, area, keep(fill, g_strdup_printf("org.example.App%d",
								     (int)area)));
	store_tx_reserve_serials(fill->tx, area, BLOCK + 1);
	for (unsigned int i = 1; i <= recipe->rejected; i++)
		add_rejected(fill, area, i);
	for (unsigned int i = 1; i <= recipe->entries; i++)
		add_entry(fill, area, recipe->rejected + i);
	for (unsigned int i = 1; i <= recipe->items; i++)
		add_item(fill, area, i, i);
}

static void fill_first(struct fill *fill)
{
	fill_begin(fill);
	store_tx_client(fill->tx, bench_client);
	store_tx_generation(fill->tx, 3);
	store_tx_reserve_batches(fill->tx, 2001);
	store_tx_epoch(fill->tx, bench_epochs[1], bench_client, 5, 6);
	for (unsigned int area = 1; area <= fill->recipe->areas; area++)
		fill_area(fill, area);
	fill_commit(fill);
}

static void fill_batch(struct fill *fill)
{
	fill_begin(fill);
	store_tx_begin_batch(fill->tx, 1500, bench_epochs[2]);
	for (unsigned int area = 1; area <= fill->recipe->areas; area++)
		store_tx_batch_part(fill->tx, area, fill->recipe->rejected + 30);
	fill_commit(fill);
}

/* New entries, old ones acked and become items, an item forgotten. */
static void fill_round(struct fill *fill, unsigned int round)
{
	const struct recipe *recipe = fill->recipe;
	int64_t area = round % recipe->areas + 1;
	unsigned int first = 208 + round * 20; /* six, of which four are a group */

	fill_begin(fill);
	for (unsigned int serial = first; serial < first + 6; serial++)
		add_entry(fill, area, serial);
	store_tx_trim(fill->tx, area, recipe->rejected + round / 16 * 20);
	for (unsigned int i = 0; i < 4; i++)
		add_item(fill, area, (round * 7 + i) % 60 + 1, 1000 + round);
	store_tx_delete_item(fill->tx, area, keep(fill, g_strdup_printf("key %u", round)));
	fill_commit(fill);
}

static void fill_store(struct fill *fill)
{
	const struct recipe *recipe = fill->recipe;

	if (recipe->areas > 0)
		fill_first(fill);
	for (unsigned int round = 0; round < recipe->rounds; round++) {
		if (recipe->reopened && round == recipe->rounds / 2)
			g_assert_false(bench_reopen(fill->bench));
		fill_round(fill, round);
	}
	if (recipe->batch)
		fill_batch(fill);
}

/* ---- what it holds ---- */

static void add_row(void *data, const struct row *row)
{
	rows_add(data, row);
}

static uint64_t place_hash(const uint8_t *page, unsigned int number)
{
	return pages_hash(page) + number * UINT64_C(0x9e3779b97f4a7c15);
}

static void note_page(struct shape *shape, const struct pages *pages, const uint8_t *page,
		      unsigned int number)
{
	uint64_t hash = pages_hash(page), place = place_hash(page, number);

	g_hash_table_add(shape->hashes, g_memdup2(&hash, sizeof(hash)));
	g_hash_table_add(shape->places, g_memdup2(&place, sizeof(place)));
	pages_each_row(pages, page, add_row, &shape->rows);
}

static void note_frame(struct shape *shape, const struct pages *pages, const uint8_t *frame)
{
	uint32_t number;

	memcpy(&number, frame, sizeof(number));
	note_page(shape, pages, frame + 24, GUINT32_FROM_BE(number));
}

/* Pages of the file itself, then all of the log in its order, as each commit saw them. */
static void note_pages(struct shape *shape)
{
	struct pages pages;

	pages_init(&pages, &shape->image, false);
	for (guint i = 1; i < pages.at->len; i++)
		note_page(shape, &pages, pages.at->pdata[i], i + 1);
	pages_deinit(&pages);
	pages_init(&pages, &shape->image, true);
	for (gsize at = IMAGE_WAL_HEADER; shape->image.wal &&
	     at + IMAGE_WAL_FRAME <= shape->image.wal->len; at += IMAGE_WAL_FRAME)
		note_frame(shape, &pages, shape->image.wal->data + at);
	for (guint i = 1; i < pages.at->len; i++)
		note_page(shape, &pages, pages.at->pdata[i], i + 1);
	shape->pages = pages.counted;
	pages_deinit(&pages);
}

static void shape_free(void *data)
{
	struct shape *shape = data;

	image_deinit(&shape->image);
	rows_deinit(&shape->rows);
	g_hash_table_unref(shape->hashes);
	g_hash_table_unref(shape->places);
	g_free(shape);
}

static struct shape *shape_make(const char *dir, const struct recipe *recipe)
{
	struct bench bench = { .dir = g_strdup(dir),
			       .path = g_build_filename(dir, "shape.db", NULL) };
	struct fill fill = { .bench = &bench, .recipe = recipe };
	struct shape *shape = g_new0(struct shape, 1);

	shape->name = recipe->name;
	rows_init(&shape->rows);
	shape->hashes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	shape->places = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	bench_open(&bench);
	fill_store(&fill);
	if (!recipe->killed)
		bench_close(&bench);
	image_read(&shape->image, bench.path);
	if (recipe->killed)
		bench_close(&bench);
	bench_remove_files(&bench);
	note_pages(shape);
	g_free(bench.dir);
	g_free(bench.path);
	return shape;
}

GPtrArray *shapes_make(const char *dir)
{
	GPtrArray *shapes = g_ptr_array_new_with_free_func(shape_free);

	for (size_t i = 0; i < G_N_ELEMENTS(recipes); i++)
		g_ptr_array_add(shapes, shape_make(dir, &recipes[i]));
	return shapes;
}

bool shape_has_page(const struct shape *shape, const uint8_t *page)
{
	uint64_t hash = pages_hash(page);

	return g_hash_table_contains(shape->hashes, &hash);
}

bool shape_has_page_at(const struct shape *shape, const uint8_t *page, unsigned int number)
{
	uint64_t hash = place_hash(page, number);

	return g_hash_table_contains(shape->places, &hash);
}
