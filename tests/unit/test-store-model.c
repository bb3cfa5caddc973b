/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random transactions against a model that is plain arrays. The disk refuses some of them, the
 * process "dies" (a copy of its files is opened) or stops between others; after each the store and
 * the model must read alike.
 */

#include "seed.h"
#include "store-bench.h"

#define AREAS 3
#define STEPS 2000

struct model_entry {
	uint64_t serial, first;
	uint32_t group_index;
	char *key, *value;
	char *error, *message;	/* of a rejected one */
	uint64_t rejected_at;
};

struct model_item {
	bool there;
	char *value;
	uint64_t revision, generation, stored_at, seq;
};

struct model_outcome {
	uint64_t first, serial;
	int outcome;
};

struct model_area {
	bool there;
	uint64_t reserved, next;
	GPtrArray *entries, *rejected;	/* struct model_entry, in serial order */
	struct model_item items[BENCH_KEYS];
	GArray *outcomes;
};

struct model {
	struct store_state state;
	GArray *parts;	/* uint64_t pairs */
	struct model_area areas[AREAS];
	int last_epoch;
	uint64_t acked[3], revision[3], seq;
};

static void entry_free(void *data)
{
	struct model_entry *e = data;

	g_free(e->key);
	g_free(e->value);
	g_free(e->error);
	g_free(e->message);
	g_free(e);
}

static void *entry_copy(const void *src, void *data)
{
	struct model_entry *e = g_memdup2(src, sizeof(*e));

	(void)data;
	e->key = g_strdup(e->key);
	e->value = g_strdup(e->value);
	e->error = g_strdup(e->error);
	e->message = g_strdup(e->message);
	return e;
}

static struct model *model_new(void)
{
	struct model *m = g_new0(struct model, 1);

	m->state.batch_reserved = 1;
	m->state.generation = 1;
	m->last_epoch = -1;
	m->parts = g_array_new(FALSE, FALSE, 2 * sizeof(uint64_t));
	for (int a = 0; a < AREAS; a++) {
		m->areas[a].entries = g_ptr_array_new_with_free_func(entry_free);
		m->areas[a].rejected = g_ptr_array_new_with_free_func(entry_free);
		m->areas[a].outcomes = g_array_new(FALSE, FALSE, sizeof(struct model_outcome));
		m->areas[a].next = 1;
	}
	return m;
}

static void model_free(struct model *m)
{
	g_array_unref(m->parts);
	for (int a = 0; a < AREAS; a++) {
		g_ptr_array_unref(m->areas[a].entries);
		g_ptr_array_unref(m->areas[a].rejected);
		g_array_unref(m->areas[a].outcomes);
		for (int i = 0; i < BENCH_KEYS; i++)
			g_free(m->areas[a].items[i].value);
	}
	g_free(m);
}

static struct model *model_copy(const struct model *src)
{
	struct model *m = g_memdup2(src, sizeof(*m));

	m->parts = g_array_copy(src->parts);
	for (int a = 0; a < AREAS; a++) {
		m->areas[a].entries = g_ptr_array_copy(src->areas[a].entries, entry_copy, NULL);
		m->areas[a].rejected = g_ptr_array_copy(src->areas[a].rejected, entry_copy, NULL);
		g_ptr_array_set_free_func(m->areas[a].entries, entry_free);
		g_ptr_array_set_free_func(m->areas[a].rejected, entry_free);
		m->areas[a].outcomes = g_array_copy(src->areas[a].outcomes);
		for (int i = 0; i < BENCH_KEYS; i++)
			m->areas[a].items[i].value = g_strdup(src->areas[a].items[i].value);
	}
	return m;
}

/* ---- the model's own dump, line by line as bench_dump() has it ---- */

static uint64_t item_bytes(const struct model_item *item)
{
	return item->there ? 3 + (item->value ? strlen(item->value) : 0) : 0;
}

static uint64_t area_bytes(const struct model_area *area)
{
	uint64_t bytes = 0;

	for (int i = 0; i < BENCH_KEYS; i++)
		bytes += item_bytes(&area->items[i]);
	return bytes;
}

static unsigned int area_items(const struct model_area *area)
{
	unsigned int items = 0;

	for (int i = 0; i < BENCH_KEYS; i++)
		items += area->items[i].there;
	return items;
}

static void model_dump_entries(const struct model_area *area, GString *s)
{
	for (guint i = 0; i < area->entries->len; i++) {
		const struct model_entry *e = area->entries->pdata[i];

		g_string_append_printf(s, " entry %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
				       " group %u at %" G_GUINT64_FORMAT " %s=%s\n", e->serial,
				       e->first, e->group_index, 1000 + e->serial, e->key,
				       bench_show(e->value));
	}
}

static void model_dump_items(const struct model_area *area, GString *s)
{
	g_string_append_printf(s, " items %u bytes %" G_GUINT64_FORMAT "\n", area_items(area),
			       area_bytes(area));
	for (int i = 0; i < BENCH_KEYS; i++) {
		const struct model_item *item = &area->items[i];

		if (item->there)
			g_string_append_printf(s, " item k%02d=%s r%" G_GUINT64_FORMAT " g%"
					       G_GUINT64_FORMAT " at %" G_GUINT64_FORMAT "\n", i,
					       bench_show(item->value), item->revision,
					       item->generation, item->stored_at);
	}
	for (int i = 0; i < BENCH_KEYS; i++)
		if (area->items[i].there && area->items[i].value)
			g_string_append_printf(s, " key k%02d\n", i);
}

static void model_dump_refused(const struct model_area *area, GString *s)
{
	uint64_t bytes = 0;

	for (guint i = 0; i < area->rejected->len; i++) {
		const struct model_entry *e = area->rejected->pdata[i];

		bytes += 3 + (e->value ? strlen(e->value) : 0);
	}
	g_string_append_printf(s, " rejected %u, %" G_GUINT64_FORMAT "\n", area->rejected->len,
			       bytes);
	for (guint i = 0; i < area->rejected->len; i++) {
		const struct model_entry *e = area->rejected->pdata[i];

		g_string_append_printf(s, " rejected %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
				       " %s %s at %" G_GUINT64_FORMAT " %s=%s\n", e->serial,
				       e->first, e->error, e->message, e->rejected_at, e->key,
				       bench_show(e->value));
	}
	for (uint64_t serial = 1; serial <= BENCH_SERIALS; serial++) {
		for (guint i = area->outcomes->len; i > 0; i--) {
			const struct model_outcome *o =
				&g_array_index(area->outcomes, struct model_outcome, i - 1);

			if (o->first > serial || o->serial < serial)
				continue;
			g_string_append_printf(s, " outcome %" G_GUINT64_FORMAT " %d\n", serial,
					       o->outcome);
			break;
		}
	}
}

static char *model_dump(const struct model *m)
{
	GString *s = g_string_new(NULL);

	g_string_append_printf(s, "client %s reserved %" G_GUINT64_FORMAT " high %"
			       G_GUINT64_FORMAT " generation %" G_GUINT64_FORMAT " batch %"
			       G_GUINT64_FORMAT " %s\n", m->state.client, m->state.batch_reserved,
			       m->state.batch_high, m->state.generation, m->state.batch_number,
			       m->state.batch_id);
	for (guint i = 0; i < m->parts->len; i++) {
		const uint64_t *part = (const uint64_t *)(const void *)m->parts->data + 2 * i;

		g_string_append_printf(s, "part %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
				       part[0], part[1]);
	}
	for (int a = 0; a < AREAS; a++) {
		if (!m->areas[a].there)
			continue;
		g_string_append_printf(s, "area %d area%d %" G_GUINT64_FORMAT "\n", a, a,
				       m->areas[a].reserved);
		model_dump_entries(&m->areas[a], s);
		model_dump_items(&m->areas[a], s);
		model_dump_refused(&m->areas[a], s);
	}
	g_string_append_printf(s, "last epoch %s\n",
			       m->last_epoch < 0 ? "" : bench_epochs[m->last_epoch]);
	for (int i = 0; i < 3; i++)
		g_string_append_printf(s, "epoch %d %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
				       i, m->acked[i], m->revision[i]);
	return g_string_free(s, FALSE);
}

/* ---- random changes, to the model and into a transaction ---- */

struct change {
	struct model *m;
	struct store_tx *tx;
	GRand *rand;
	GPtrArray *borrowed;	/* what the transaction names */
};

static int roll(struct change *c, int n)
{
	return g_rand_int_range(c->rand, 0, n);
}

static char *keep(struct change *c, char *text)
{
	g_ptr_array_add(c->borrowed, text);
	return text;
}

static char *random_value(struct change *c)
{
	/* Some with overflow pages, some empty. */
	char *value = g_strnfill((gsize)(roll(c, 8) ? roll(c, 40) : roll(c, 12000)), 'x');

	if (*value)
		*value = (char)('a' + roll(c, 26));
	return keep(c, value);
}

static void change_put_entry(struct change *c, int a)
{
	struct model_area *area = &c->m->areas[a];
	struct model_entry *e = g_new0(struct model_entry, 1);
	struct outbox_entry *entry;

	e->serial = area->next += 1 + (uint64_t)roll(c, 2);
	e->first = e->serial - (uint64_t)roll(c, 2);
	e->group_index = roll(c, 4) ? 0 : 1;
	e->key = g_strdup_printf("k%02d", roll(c, BENCH_KEYS));
	e->value = roll(c, 4) ? g_strdup(random_value(c)) : NULL;
	entry = bench_entry(e->serial, e->first, e->group_index, e->key, e->value);
	g_ptr_array_add(c->borrowed, entry);
	store_tx_put_entry(c->tx, a, entry);
	g_ptr_array_add(area->entries, e);
}

static void change_remove_entry(struct change *c, int a)
{
	GPtrArray *entries = c->m->areas[a].entries;
	guint i;

	if (entries->len == 0)
		return;
	i = (guint)roll(c, (int)entries->len);
	if (roll(c, 2)) {
		store_tx_delete_entry(c->tx, a, ((struct model_entry *)entries->pdata[i])->serial);
		g_ptr_array_remove_index(entries, i);
	} else {
		store_tx_trim(c->tx, a, ((struct model_entry *)entries->pdata[i])->serial);
		g_ptr_array_remove_range(entries, 0, i + 1);
	}
}

static void change_put_item(struct change *c, int a)
{
	int i = roll(c, BENCH_KEYS);
	struct model_item *item = &c->m->areas[a].items[i];
	char *key = keep(c, g_strdup_printf("k%02d", i)), *value = NULL;
	uint64_t revision = (uint64_t)roll(c, 100), generation = (uint64_t)roll(c, 3);

	if (roll(c, 4))
		value = random_value(c);
	store_tx_put_item(c->tx, a, key, value, revision, generation, 7);
	if (item->there && (item->generation > generation ||
			    (item->generation == generation && item->revision > revision)))
		return;
	g_free(item->value);
	*item = (struct model_item){ true, g_strdup(value), revision, generation, 7, ++c->m->seq };
}

static void change_drop_items(struct change *c, int a)
{
	struct model_item *items = c->m->areas[a].items, *oldest;
	uint64_t max = (uint64_t)roll(c, 8000);
	int k = roll(c, BENCH_KEYS);

	if (roll(c, 4)) {
		store_tx_delete_item(c->tx, a, keep(c, g_strdup_printf("k%02d", k)));
		items[k].there = false;
		return;
	}
	store_tx_evict_items(c->tx, a, max);
	while (area_bytes(&c->m->areas[a]) > max) {
		oldest = NULL;
		for (int i = 0; i < BENCH_KEYS; i++)
			if (items[i].there && items[i].generation != STORE_GENERATION_OWN &&
			    (!oldest || items[i].seq < oldest->seq))
				oldest = &items[i];
		if (!oldest)
			break;
		oldest->there = false;
	}
}

static int by_serial(const void *a, const void *b)
{
	const struct model_entry *x = *(struct model_entry *const *)a;
	const struct model_entry *y = *(struct model_entry *const *)b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static void change_reject(struct change *c, int a)
{
	struct model_area *area = &c->m->areas[a];
	struct model_outcome outcome;
	struct outbox_entry *entry;
	struct model_entry *e;

	if (area->entries->len == 0)
		return;
	e = g_ptr_array_steal_index(area->entries, area->entries->len - 1);
	store_tx_delete_entry(c->tx, a, e->serial);
	entry = bench_entry(e->serial, e->first, e->group_index, e->key, e->value);
	g_ptr_array_add(c->borrowed, entry);
	e->error = g_strdup("quota");
	e->message = g_strdup_printf("no room for %s", e->key);
	e->rejected_at = 99;
	store_tx_put_rejected(c->tx, a, entry, e->error, e->message, e->rejected_at);
	g_ptr_array_add(area->rejected, e);
	g_ptr_array_sort(area->rejected, by_serial);
	outcome = (struct model_outcome){ e->first, e->serial, 1 + roll(c, 2) };
	store_tx_put_outcome(c->tx, a, outcome.first, outcome.serial,
			     (enum store_outcome)outcome.outcome);
	g_array_append_val(area->outcomes, outcome);
}

static void change_drop_rejected(struct change *c, int a)
{
	GPtrArray *rejected = c->m->areas[a].rejected;
	guint i;

	if (rejected->len == 0)
		return;
	i = (guint)roll(c, (int)rejected->len);
	store_tx_delete_rejected(c->tx, a, ((struct model_entry *)rejected->pdata[i])->serial);
	g_ptr_array_remove_index(rejected, i);
}

static void change_batch(struct change *c, int a)
{
	struct store_state *state = &c->m->state;
	uint64_t part[2] = { (uint64_t)a, 1 + (uint64_t)roll(c, 50) };

	g_array_set_size(c->m->parts, 0);
	memset(state->batch_id, 0, sizeof(state->batch_id));
	state->batch_number = 0;
	if (roll(c, 2)) {
		store_tx_end_batch(c->tx);
		return;
	}
	state->batch_number = 1 + (uint64_t)roll(c, 1000);
	state->batch_high = MAX(state->batch_high, state->batch_number);
	g_strlcpy(state->batch_id, bench_epochs[roll(c, 3)], UTIL_ID_SIZE);
	store_tx_begin_batch(c->tx, state->batch_number, state->batch_id);
	store_tx_batch_part(c->tx, a, part[1]);
	g_array_append_val(c->m->parts, part);
}

static void change_meta(struct change *c, int a)
{
	struct model *m = c->m;
	int e = roll(c, 3);

	switch (roll(c, 5)) {
	case 0:
		g_strlcpy(m->state.client, bench_epochs[e], UTIL_ID_SIZE);
		store_tx_client(c->tx, m->state.client);
		break;
	case 1:
		store_tx_generation(c->tx, ++m->state.generation);
		break;
	case 2:
		store_tx_reserve_batches(c->tx, m->state.batch_reserved += 1000);
		break;
	case 3:
		store_tx_reserve_serials(c->tx, a, m->areas[a].reserved += 1000);
		break;
	default:
		m->last_epoch = e;
		m->acked[e] = (uint64_t)roll(c, 1000);
		m->revision[e] = (uint64_t)roll(c, 1000);
		store_tx_epoch(c->tx, bench_epochs[e], bench_client, m->acked[e], m->revision[e]);
	}
}

static void change_any(struct change *c)
{
	static void (*const changes[])(struct change *, int) = {
		change_put_entry, change_put_entry, change_put_entry, change_remove_entry,
		change_put_item,  change_put_item,  change_put_item,  change_drop_items,
		change_reject,	  change_drop_rejected, change_batch, change_meta,
	};
	int a = roll(c, AREAS);

	if (!c->m->areas[a].there) {
		store_tx_add_area(c->tx, a, keep(c, g_strdup_printf("area%d", a)));
		c->m->areas[a].there = true;
		c->m->areas[a].reserved = 1;
	}
	changes[roll(c, G_N_ELEMENTS(changes))](c, a);
}

/* ---- */

static void copy_file(const char *from, const char *to)
{
	g_autofree char *text = NULL;
	gsize len;

	g_remove(to);
	if (g_file_get_contents(from, &text, &len, NULL))
		g_assert_true(g_file_set_contents(to, text, (gssize)len, NULL));
}

/* What a killed process leaves is what its files hold now. */
static void crash(struct bench *bench)
{
	g_autofree char *wal = g_strconcat(bench->path, "-wal", NULL);
	g_autofree char *db_copy = g_strconcat(bench->path, ".a", NULL);
	g_autofree char *wal_copy = g_strconcat(bench->path, ".b", NULL);

	copy_file(bench->path, db_copy);
	copy_file(wal, wal_copy);
	bench_close(bench);
	g_assert_cmpint(rename(db_copy, bench->path), ==, 0);
	g_assert_true(rename(wal_copy, wal) == 0 || errno == ENOENT);
	bench_open(bench);
	g_assert_false(bench->recovery.salvaged);
}

static void check(struct bench *bench, const struct model *m)
{
	g_autofree char *want = model_dump(m), *got = bench_dump(bench);

	bench_compare(got, want);
}

static struct model *step(struct bench *bench, struct model *m, GRand *rand)
{
	static const int errors[] = { -ENOSPC, -EIO, -EINVAL };
	struct change c = { model_copy(m), store_tx_new(), rand,
			    g_ptr_array_new_with_free_func(g_free) };
	int n = 1 + roll(&c, 6), fate = roll(&c, 40), inject = 0;

	for (int i = 0; i < n; i++)
		change_any(&c);
	if (roll(&c, 2))
		store_tx_require_sync(c.tx);
	if (fate < 2)
		inject = errors[fate];
	else if (fate == 2) /* applied whole up to its last change, which cannot be */
		store_tx_add_area(c.tx, 100, "area0"), store_tx_add_area(c.tx, 101, "area0");
	g_assert_cmpint(bench_commit_with(bench, c.tx, inject), ==, fate < 3 ? errors[fate] : 0);
	g_ptr_array_unref(c.borrowed);
	model_free(fate < 3 ? c.m : m);
	m = fate < 3 ? m : c.m;
	if (fate == 3)
		g_assert_false(bench_reopen(bench));
	if (fate == 4)
		crash(bench);
	return m;
}

static void test_model(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());
	struct model *m = model_new();
	struct bench bench;

	bench_init(&bench);
	bench_open(&bench);
	for (int i = 0; i < STEPS; i++) {
		m = step(&bench, m, rand);
		check(&bench, m);
	}
	g_assert_false(bench_reopen(&bench));
	check(&bench, m);
	model_free(m);
	bench_deinit(&bench);
}

int main(int argc, char **argv)
{
	seed_init(&argc, &argv);
	g_test_add_func("/store/model", test_model);
	return g_test_run();
}
