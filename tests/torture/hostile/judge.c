/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the salvage may do, by design: a group that is not known to be whole goes whole; rows of an
 * area whose name is nowhere go with it; of two rows of one key, or one serial, one stays. All else
 * that the oracle can read must be there.
 */

#include "../../unit/store-bench.h"
#include "judge.h"
#include "oracle.h"

struct trial {
	struct ruling *ruling;
	const struct shape *shape, *other;
	struct bench bench;
	struct oracle oracle;
	struct rows got;
	GPtrArray *areas;	/* struct area_left * */
};

struct area_left {
	int64_t area;
	uint64_t reserved;
	char *name;
};

G_GNUC_PRINTF(2, 3)
static void find(struct trial *t, const char *format, ...)
{
	va_list args;

	if (t->ruling->finding)
		return;
	va_start(args, format);
	t->ruling->finding = g_strdup_vprintf(format, args);
	va_end(args);
}

/* ---- what the store has ---- */

struct dumping {
	struct trial *t;
	struct area_left *left;
};

static struct row_text text_of(const char *s)
{
	return (struct row_text){ s, s ? strlen(s) : 0 };
}

static int got_entry(void *data, const struct store_entry *e)
{
	struct dumping *d = data;
	struct row row = { .table = ROW_OUTBOX, .area = d->left->area,
			   .serial = (int64_t)e->serial, .first = (int64_t)e->first,
			   .group = e->group_index, .op = e->remove, .at = (int64_t)e->queued_at,
			   .key = text_of(e->key), .value = text_of(e->value) };

	if (e->unclean)
		find(d->t, "the store shows an entry that is no text");
	if (e->serial >= d->left->reserved)
		find(d->t, "serial %" G_GUINT64_FORMAT " of area %" G_GINT64_FORMAT " can be given "
		     "again", e->serial, d->left->area);
	rows_add(&d->t->got, &row);
	return 0;
}

static int got_rejected_value(void *data, const struct store_rejected *r)
{
	struct dumping *d = data;
	struct row row = { .table = ROW_REJECTED, .area = d->left->area,
			   .serial = (int64_t)r->serial, .first = (int64_t)r->first,
			   .op = r->remove, .at = (int64_t)r->rejected_at, .key = text_of(r->key),
			   .value = text_of(r->value), .error = text_of(r->error),
			   .message = text_of(r->message) };

	rows_add(&d->t->got, &row);
	return 0;
}

static int got_rejected(void *data, const struct store_rejected *r)
{
	struct dumping *d = data;

	if (store_get_rejected(d->t->bench.store, d->left->area, r->serial, got_rejected_value,
			       d) != 1)
		find(d->t, "rejected %" G_GUINT64_FORMAT " is listed and not there", r->serial);
	return 0;
}

static void got_item(struct dumping *d, const char *key)
{
	struct store_item item;
	struct row row = { .table = ROW_ITEM, .area = d->left->area, .key = text_of(key) };
	int r = store_get_item(d->t->bench.store, d->left->area, key, &item);

	/* A copy that is no text is its reader's trouble: see store.h. */
	if (r == 0 || r == -EBADMSG)
		return;
	if (r < 0) {
		find(d->t, "reading item %s: %s", key, strerror(-r));
		return;
	}
	row.value = text_of(item.value);
	row.revision = (int64_t)item.revision;
	row.generation = (int64_t)item.generation;
	row.at = (int64_t)item.stored_at;
	row.live = item.value != NULL;
	rows_add(&d->t->got, &row);
	g_free(item.value);
}

static int gather_key(void *data, const char *key)
{
	g_ptr_array_add(data, g_strdup(key));
	return 0;
}

/* Those that are listed, and those that should be: tombstones are not listed. */
static void got_items(struct dumping *d)
{
	g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
	GHashTableIter iter;
	void *value;

	if (store_each_key(d->t->bench.store, d->left->area, "", gather_key, keys) < 0)
		find(d->t, "the keys cannot be listed");
	g_hash_table_iter_init(&iter, d->t->oracle.may.ids);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct row_note *note = value;

		if (note->table == ROW_ITEM && note->area == d->left->area)
			g_ptr_array_add(keys, g_strdup(strchr(note->id + 2, ' ') + 1));
	}
	for (guint i = 0; i < keys->len; i++)
		got_item(d, keys->pdata[i]);
}

static int got_area(void *data, int64_t area, const char *name, uint64_t reserved)
{
	struct trial *t = data;
	struct area_left *left = g_new(struct area_left, 1);
	struct row row = { .table = ROW_AREA, .area = area, .key = text_of(name) };

	*left = (struct area_left){ area, reserved, g_strdup(name) };
	g_ptr_array_add(t->areas, left);
	rows_add(&t->got, &row);
	return 0;
}

static void dump(struct trial *t)
{
	if (store_each_area(t->bench.store, got_area, t) < 0)
		find(t, "the areas cannot be read");
	for (guint i = 0; i < t->areas->len; i++) {
		struct dumping d = { t, t->areas->pdata[i] };

		if (store_each_entry(t->bench.store, d.left->area, got_entry, &d) < 0 ||
		    store_each_rejected(t->bench.store, d.left->area, got_rejected, &d) < 0)
			find(t, "the rows of area %s cannot be read", d.left->name);
		got_items(&d);
	}
}

/* ---- what it must have ---- */

/* Whether any entry of the area that was ever written is not readable any more. */
static bool entries_missing(struct trial *t, const struct shape *shape, int64_t area)
{
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, shape->rows.ids);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct row_note *note = value;

		if (note->table == ROW_OUTBOX && note->area == area &&
		    !rows_find(&t->oracle.must, note->id))
			return true;
	}
	return false;
}

static const struct row_note *entry_at(const struct rows *rows, int64_t area, int64_t serial)
{
	g_autofree char *id = g_strdup_printf("O %" G_GINT64_FORMAT " %" G_GINT64_FORMAT, area,
					      serial);

	return rows_find(rows, id);
}

/* Whether every member of the group that was written is readable, and the entry behind it; without
 * that nobody knows, where entries are missing, or were to the store, that there was no more. */
static bool group_known_whole(struct trial *t, const struct shape *shape,
			      const struct row_note *member)
{
	int64_t serial = member->serial - member->group + 1, group = 1;
	const struct row_note *note, *found;

	note = rows_find(&shape->rows, member->id);
	if (!note || note->group != member->group)
		return false;
	for (;; serial++, group++) {
		note = entry_at(&shape->rows, member->area, serial);
		if (!note || note->group != group)
			break;
		found = entry_at(&t->oracle.must, member->area, serial);
		if (!found || found->group != group ||
		    entry_at(&t->oracle.may, member->area, serial)->contested)
			return false;
	}
	return entry_at(&t->oracle.must, member->area, serial) ||
	       !(entries_missing(t, shape, member->area) ||
		 (t->ruling->told && strstr(t->ruling->told, "queued writes of area")));
}

/* Whether an area is there under another number: table and index may have disagreed. */
static bool name_is_there(struct trial *t, const struct row_note *note)
{
	g_autofree char *prefix = g_strconcat(note->id, ": ", NULL);
	GHashTableIter iter;
	void *text;

	g_hash_table_iter_init(&iter, t->oracle.must.texts);
	while (g_hash_table_iter_next(&iter, &text, NULL))
		for (guint i = 0; g_str_has_prefix(text, prefix) && i < t->areas->len; i++)
			if (!strcmp(((struct area_left *)t->areas->pdata[i])->name,
				    (char *)text + strlen(prefix)))
				return true;
	return false;
}

static bool goes_with_others(struct trial *t, const struct row_note *note)
{
	g_autofree char *area = NULL;

	for (guint i = 0; i < t->areas->len; i++)
		if (((struct area_left *)t->areas->pdata[i])->area == note->area)
			area = g_strdup("there");
	if (note->table == ROW_AREA)
		return name_is_there(t, note);
	if (!area)
		return true;
	/* Of two that claim a serial the one taken may have been no member of a whole group. */
	if (note->table == ROW_OUTBOX && rows_find(&t->oracle.may, note->id)->contested)
		return true;
	return note->table == ROW_OUTBOX && note->group > 0 &&
	       (!group_known_whole(t, t->shape, note) ||
		(t->other && !group_known_whole(t, t->other, note)));
}

static void check_kept(struct trial *t)
{
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, t->oracle.must.ids);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct row_note *note = value;

		t->ruling->readable++;
		if (rows_find(&t->got, note->id))
			t->ruling->kept++;
		else if (goes_with_others(t, note))
			t->ruling->with_others++;
		else
			find(t, "lost, and readable: %s", note->id);
	}
}

/* Nothing that could not be read; and every row nobody wrote is counted. */
static void check_nothing_new(struct trial *t)
{
	GHashTableIter iter;
	void *key;

	g_hash_table_iter_init(&iter, t->got.texts);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		if (!g_hash_table_contains(t->oracle.may.texts, key))
			find(t, "made up: %s", (char *)key);
		t->ruling->altered += !g_hash_table_contains(t->shape->rows.texts, key) &&
				      !(t->other && g_hash_table_contains(t->other->rows.texts, key));
	}
}

static void check_aside(struct trial *t, const char *suffix, const GByteArray *was)
{
	g_autofree char *path = g_strconcat(t->bench.recovery.set_aside, suffix, NULL);
	g_autofree char *bytes = NULL;
	gsize len = 0;

	/* SQLite makes an empty log where there was none. */
	g_file_get_contents(path, &bytes, &len, NULL);
	if (len != (was ? was->len : 0) || (len > 0 && memcmp(bytes, was->data, len) != 0))
		find(t, "what was set aside as %s is not what was there", path);
}

/* ---- whether it works ---- */

static void write_more(struct trial *t, GPtrArray *borrowed, struct store_tx *tx)
{
	for (guint i = 0; i < t->areas->len; i++) {
		struct area_left *left = t->areas->pdata[i];
		struct outbox_entry *entry = bench_entry(left->reserved, left->reserved, 0, "after",
							 "wards");

		g_ptr_array_add(borrowed, entry);
		store_tx_reserve_serials(tx, left->area, left->reserved + 1000);
		store_tx_put_entry(tx, left->area, entry);
		store_tx_put_item(tx, left->area, "afterwards", "value", 1, UINT32_MAX, 1);
	}
	store_tx_client(tx, bench_epochs[0]);
	store_tx_add_area(tx, 777, "afterwards");
	store_tx_require_sync(tx);
}

static void check_works(struct trial *t)
{
	g_autoptr(GPtrArray) borrowed = g_ptr_array_new_with_free_func(g_free);
	struct store_tx *tx = store_tx_new();
	g_autofree char *before = NULL, *after = NULL;
	struct store_state state;
	int r;

	write_more(t, borrowed, tx);
	r = bench_commit(&t->bench, tx);
	if (r < 0) {
		find(t, "no write is taken afterwards: %s", strerror(-r));
		return;
	}
	if (store_load_state(t->bench.store, &state) < 0) {
		find(t, "its state cannot be read");
		return;
	}
	if (MAX(state.batch_number, state.batch_high) >= state.batch_reserved)
		find(t, "batch %" G_GUINT64_FORMAT " can be given again", state.batch_high);
	before = bench_dump(&t->bench);
	bench_close(&t->bench);
	if (bench_try_open(&t->bench) < 0) {
		find(t, "the next start fails");
		return;
	}
	if (t->bench.recovery.salvaged)
		find(t, "salvaged once more: %s", t->bench.recovery.detail);
	after = bench_dump(&t->bench);
	if (strcmp(before, after) != 0)
		find(t, "another content at the next start");
}

/* ---- the trial ---- */

static uint32_t be32_at(const GByteArray *bytes, guint at)
{
	uint32_t value = 0;

	if (bytes && bytes->len >= at + 4)
		memcpy(&value, bytes->data + at, 4);
	return GUINT32_FROM_BE(value);
}

/* Only bytes that say "a later version of holdfast" may be refused, and of that one flipped bit is
 * no proof, unless the tables look as if they were others, too. */
static bool may_be_refused(const struct image *image, const struct shape *shape)
{
	uint32_t version = be32_at(image->main, 60), differs = version ^ 1;
	bool one_bit = (differs & (differs - 1)) == 0;

	return be32_at(image->main, 68) == 0x68666473 && version > 1 && version <= INT32_MAX &&
	       (!one_bit || (image->main->len >= IMAGE_PAGE &&
			     memcmp(image->main->data + 100, shape->image.main->data + 100,
				    IMAGE_PAGE - 100) != 0));
}

static void area_left_free(void *data)
{
	struct area_left *left = data;

	g_free(left->name);
	g_free(left);
}

static void trial_init(struct trial *t, struct ruling *ruling, const struct shape *shape,
		       const struct shape *other, const char *dir)
{
	*t = (struct trial){ .ruling = ruling, .shape = shape, .other = other };
	t->bench.dir = g_strdup(dir);
	t->bench.path = g_build_filename(dir, "store.db", NULL);
	t->areas = g_ptr_array_new_with_free_func(area_left_free);
	rows_init(&t->got);
}

static void trial_deinit(struct trial *t)
{
	if (t->bench.store)
		bench_close(&t->bench);
	bench_remove_files(&t->bench);
	oracle_deinit(&t->oracle);
	rows_deinit(&t->got);
	g_ptr_array_unref(t->areas);
	g_free(t->bench.dir);
	g_free(t->bench.path);
}

static void look_closer(struct trial *t, const struct image *image)
{
	t->ruling->salvaged = t->bench.recovery.salvaged;
	if (t->ruling->salvaged && !t->bench.recovery.detail)
		find(t, "salvaged without a word");
	t->ruling->told = g_strdup(t->bench.recovery.detail);
	if (t->bench.recovery.set_aside) {
		check_aside(t, "", image->main);
		check_aside(t, "-wal", image->wal);
	}
	dump(t);
	check_kept(t);
	check_nothing_new(t);
	if (!t->ruling->finding)
		check_works(t);
}

void judge(struct ruling *ruling, const struct image *image, const struct shape *shape,
	   const struct shape *other, const char *dir)
{
	struct trial t;
	gint64 began;
	int r;

	*ruling = (struct ruling){ 0 };
	trial_init(&t, ruling, shape, other, dir);
	oracle_init(&t.oracle, image, shape, other, t.bench.path);
	ruling->damaged = t.oracle.damaged > 0;
	image_write(image, t.bench.path);
	began = g_get_monotonic_time();
	r = bench_try_open(&t.bench);
	ruling->open_usec = (uint64_t)(g_get_monotonic_time() - began);
	ruling->refused = r == -ENOTSUP && may_be_refused(image, shape);
	if (r < 0 && !ruling->refused)
		find(&t, "refused: %s", strerror(-r));
	if (r == 0)
		look_closer(&t, image);
	trial_deinit(&t);
}

void judge_shape(const struct shape *shape, const char *dir)
{
	struct ruling ruling;

	judge(&ruling, &shape->image, shape, NULL, dir);
	g_free(ruling.told);
	if (ruling.finding)
		g_error("%s, which nobody spoiled: %s", shape->name, ruling.finding);
	g_assert_false(ruling.salvaged || ruling.refused || ruling.damaged);
	g_assert_cmpuint(ruling.altered, ==, 0);
	g_assert_cmpuint(ruling.readable, ==, ruling.kept);
}
