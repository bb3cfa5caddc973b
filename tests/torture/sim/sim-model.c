/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients may rely on; see sim-model.h. Reads are judged by sim-model-read.c. */

#include <string.h>

#include "core/outbox.h"
#include "sim-memory.h"
#include "sim-model.h"

static void write_free(void *data)
{
	g_free(((struct model_write *)data)->value);
	g_free(data);
}

struct model *model_new(void)
{
	struct model *model = g_new0(struct model, 1);

	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		struct model_area *area = &model->areas[a];

		area->model = model;
		area->index = a;
		area->writes = g_ptr_array_new_with_free_func(write_free);
		area->queued = g_ptr_array_new();
		area->early = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
		for (unsigned int k = 0; k < SIM_KEYS; k++) {
			area->keys[k].area = area;
			area->keys[k].index = k;
			g_snprintf(area->keys[k].name, sizeof(area->keys[k].name), "k%u", k);
			area->keys[k].writes = g_ptr_array_new();
		}
	}
	return model;
}

struct model *model_free(struct model *model)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		struct model_area *area = &model->areas[a];

		for (unsigned int k = 0; k < SIM_KEYS; k++)
			g_ptr_array_unref(area->keys[k].writes);
		g_ptr_array_unref(area->queued);
		g_hash_table_unref(area->early);
		g_ptr_array_unref(area->writes);
	}
	g_free(model);
	return NULL;
}

/* ---- writes ---- */

struct model_write *model_write(struct model *model, struct model_key *key, const char *value)
{
	struct model_write *write = g_new0(struct model_write, 1);

	write->key = key;
	write->value = g_strdup(value);
	write->arrival = model->arrivals;
	g_ptr_array_add(key->writes, write);
	g_ptr_array_add(key->area->writes, write);
	return write;
}

void model_answered(struct model_write *write, uint64_t serial)
{
	struct model_area *area = write->key->area;

	g_assert_cmpint(write->fate, ==, FATE_ASKED);
	if (!serial) {
		write->fate = FATE_FAILED;
		return;
	}
	g_assert_cmpuint(serial, >, area->last_serial);
	area->last_serial = serial;
	area->model->committed = MAX(area->model->committed, write->arrival);
	write->fate = FATE_QUEUED;
	write->serial = write->first = write->maybe_first = serial;
	write->dropped = g_hash_table_remove(area->early, &serial);
	g_ptr_array_add(area->queued, write);
}

struct model_write *model_find(const struct model_area *area, uint64_t serial)
{
	for (unsigned int i = 0; i < area->queued->len; i++) {
		struct model_write *write = area->queued->pdata[i];

		if (write->serial == serial)
			return write;
	}
	return NULL;
}

/* The refused ones are listed, up to a bound: then the oldest is dropped, and told. */
static struct model_write *find_refused(const struct model_area *area, uint64_t serial)
{
	for (unsigned int i = 0; i < area->writes->len; i++) {
		struct model_write *write = area->writes->pdata[i];

		if (write->serial == serial)
			return write->fate == FATE_REFUSED ? write : NULL;
	}
	return NULL;
}

void model_dropped(struct model_area *area, uint64_t serial, const char *key)
{
	struct model_write *write = model_find(area, serial);

	if (write && !write->refused) {
		g_assert_cmpstr(key, ==, write->key->name);
		g_assert_false(write->dropped);
		write->dropped = true;
	} else if (write || (write = find_refused(area, serial))) {
		write->retried = true;
	} else {
		/* By the very commit that queued it: its answer comes next. */
		g_assert_cmpuint(serial, >, area->last_serial);
		g_assert_true(g_hash_table_add(area->early, g_memdup2(&serial, sizeof(serial))));
	}
}

void model_rejected(struct model_area *area, uint64_t serial, const char *key)
{
	struct model_write *write = model_find(area, serial);

	g_assert_nonnull(write);
	g_assert_cmpstr(key, ==, write->key->name);
	g_assert_true(write->refused);
	write->announced = true;
}

/* ---- the queue ---- */

static const struct outbox_entry *find_entry(const struct outbox *outbox, uint64_t serial)
{
	const struct outbox_entry *entry;

	for (entry = outbox_first(outbox); entry && entry->serial <= serial;
	     entry = outbox_next(entry))
		if (entry->serial == serial)
			return entry;
	return NULL;
}

static bool stands_for(const struct model_write *heir, const struct model_write *write,
		       const struct outbox *outbox)
{
	const struct outbox_entry *entry = heir ? find_entry(outbox, heir->serial) : NULL;

	return entry && outbox_entry_first(entry) <= write->serial;
}

/*
 * Who took the place of @write: the next write of its key. But while it was in flight others may
 * have come and gone, so one whose entry says it stands for it comes first.
 */
static struct model_write *heir_of(const struct model_write *write, const struct outbox *outbox)
{
	const GPtrArray *writes = write->key->writes;
	struct model_write *heir = NULL;

	for (unsigned int i = writes->len; i-- > 0 && writes->pdata[i] != write;) {
		struct model_write *other = writes->pdata[i];

		if (other->fate != FATE_QUEUED)
			continue;
		heir = other;
		if (stands_for(heir, write, outbox))
			break;
	}
	return heir;
}

static void replaced_by(struct model_write *write, struct model_write *heir, bool doubt)
{
	if (!heir || write->group)
		g_error("area %u: the write %" G_GUINT64_FORMAT " of %s is lost",
			write->key->area->index, write->serial, write->key->name);
	write->doubt = doubt;
	write->heir = heir;
	write->fate = FATE_REPLACED;
	heir->maybe_first = MIN(heir->maybe_first, write->maybe_first);
	if (!doubt)
		heir->first = MIN(heir->first, write->first);
}

/*
 * It is not in the queue: there must be a reason. @dropped: the store remembers a drop of its serial;
 * but that may have been another key's, whose serials lie around it. Only where the heir is still in
 * the queue is it seen whether it stands for the write.
 */
static void explain(struct model_write *write, const struct outbox *outbox, bool dropped)
{
	struct model_write *heir = heir_of(write, outbox);
	/* Members of a group are never replaced. */
	bool heir_left = heir && !write->group && !find_entry(outbox, heir->serial);

	write->ended = write->key->area->model->arrivals;
	if (write->told) {
		write->fate = FATE_ACKED;
		write->key->floor = MAX(write->key->floor, write->version);
	} else if (write->refused) {
		write->fate = FATE_REFUSED;
	} else if (write->dropped ||
		   (dropped && !heir_left && !stands_for(heir, write, outbox))) {
		write->fate = FATE_DROPPED;
	} else {
		replaced_by(write, heir, dropped && heir_left);
	}
}

static void check_entry(const struct outbox_entry *entry, const struct model_write *write)
{
	g_assert_cmpuint(entry->serial, ==, write->serial);
	g_assert_cmpuint(outbox_entry_first(entry), ==, write->first);
	g_assert_cmpstr(outbox_entry_key(entry), ==, write->key->name);
	g_assert_cmpstr(outbox_entry_value(entry), ==, write->value);
	g_assert_true(!entry->group_index == !write->group);
}

void model_check_queue(struct model_area *area, const struct outbox *outbox,
		       bool (*was_dropped)(void *data, uint64_t serial), void *data)
{
	const struct outbox_entry *entry = outbox_first(outbox);
	unsigned int kept = 0;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < area->queued->len; i++) {
		struct model_write *write = area->queued->pdata[i];

		if (entry && entry->serial == write->serial) {
			area->queued->pdata[kept++] = write;
			entry = outbox_next(entry);
		} else {
			g_assert_null(find_entry(outbox, write->serial));
			/* Where it was not killed between the commit and the word. */
			if (write->refused && !was_dropped)
				g_assert_true(write->announced);
			explain(write, outbox,
				was_dropped && was_dropped(data, write->serial));
		}
	}
	g_assert_null(entry); /* what nobody wrote */
	g_ptr_array_set_size(area->queued, (int)kept);
	entry = outbox_first(outbox);
	for (unsigned int i = 0; i < kept; i++, entry = outbox_next(entry)) {
		check_entry(entry, area->queued->pdata[i]);
		bytes += outbox_entry_bytes(entry);
	}
	g_assert_cmpuint(outbox_count(outbox), ==, kept);
	g_assert_cmpuint(outbox_bytes(outbox), ==, bytes);
}

/* ---- after a crash ---- */

static bool is_entry(const struct model_write *write, const struct outbox_entry *entry)
{
	bool unsure = write->unsure && write->arrival > write->key->area->model->committed;

	return (write->fate == FATE_ASKED || unsure) && !write->group == !entry->group_index &&
	       strcmp(write->key->name, outbox_entry_key(entry)) == 0 &&
	       g_strcmp0(write->value, outbox_entry_value(entry)) == 0;
}

void model_adopt(struct model_area *area, const struct outbox *outbox)
{
	const struct outbox_entry *entry = outbox_first(outbox);

	g_hash_table_remove_all(area->early);
	for (unsigned int i = 0; i < area->writes->len; i++) {
		struct model_write *write = area->writes->pdata[i];

		while (entry && entry->serial <= area->last_serial)
			entry = outbox_next(entry);
		if (entry && is_entry(write, entry)) {
			write->fate = FATE_ASKED;
			model_answered(write, entry->serial);
			/* It may stand for others that nobody was told of. */
			write->first = write->maybe_first = outbox_entry_first(entry);
		} else if (write->fate == FATE_ASKED) {
			write->fate = FATE_FAILED;
		}
		write->unsure = false;
	}
}

void model_forget_acks(struct model_area *area)
{
	for (unsigned int i = 0; i < area->queued->len; i++) {
		struct model_write *write = area->queued->pdata[i];

		write->told = write->refused = false;
	}
}

void model_forget_copies(struct model_area *area)
{
	for (unsigned int k = 0; k < SIM_KEYS; k++) {
		area->keys[k].floor = 0;
		area->keys[k].unsure = true;
	}
}

/* Of one that went missing: allowed where no batch was made of it, for that takes a sync. */
static void rewind_missing(struct model_write *write)
{
	if (write->fate == FATE_DROPPED)
		write->dropped = false; /* the note of it may be gone, too */
	if (write->fate != FATE_QUEUED)
		return;
	if (write->told) {
		write->fate = FATE_ACKED;
	} else if (write->refused) {
		write->fate = FATE_REFUSED;
	} else {
		if (write->sent)
			g_error("the write %" G_GUINT64_FORMAT " of %s was in a batch, and is lost",
				write->serial, write->key->name);
		write->fate = FATE_DROPPED;
	}
}

void model_rewind(struct model_area *area, const struct outbox *outbox)
{
	g_ptr_array_set_size(area->queued, 0);
	for (unsigned int i = 0; i < area->writes->len; i++) {
		struct model_write *write = area->writes->pdata[i];
		const struct outbox_entry *entry =
			write->serial ? find_entry(outbox, write->serial) : NULL;

		if (!entry) {
			rewind_missing(write);
			continue;
		}
		write->fate = FATE_QUEUED;
		write->heir = NULL;
		write->dropped = write->doubt = false;
		write->first = write->maybe_first = outbox_entry_first(entry);
		g_ptr_array_add(area->queued, write);
	}
	model_forget_copies(area);
}

void model_note_seen(struct model_key *key, const char *value, const struct truth *truth)
{
	uint64_t from = MAX(key->floor, key->seen);
	uint64_t place = truth_place(truth, key->area->index, key->index, truth_id(value), from);

	key->seen = MAX(key->seen, place);
}

void model_forget_shown(struct model *model)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++)
		for (unsigned int k = 0; k < SIM_KEYS; k++)
			model->areas[a].keys[k].seen = 0;
}

void model_forget_seen(struct model_area *area)
{
	for (unsigned int k = 0; k < SIM_KEYS; k++)
		area->keys[k].floor = 0;
	for (unsigned int i = 0; i < area->writes->len; i++) {
		struct model_write *write = area->writes->pdata[i];

		if (write->fate == FATE_ACKED)
			write->key->floor = MAX(write->key->floor, write->version);
	}
}

static int by_serial(const void *a, const void *b)
{
	const struct model_write *const *x = a, *const *y = b;

	return (*x)->serial < (*y)->serial ? -1 : (*x)->serial > (*y)->serial;
}

/* It was trimmed by a commit that is lost: it waits again. */
static void back_again(struct model_write *write, const struct outbox_entry *entry)
{
	write->fate = FATE_QUEUED;
	write->retried = false;
	write->first = write->maybe_first = outbox_entry_first(entry);
	g_ptr_array_add(write->key->area->queued, write);
}

void model_untrim(struct model_area *area, const struct outbox *outbox)
{
	for (unsigned int i = 0; i < area->writes->len; i++) {
		struct model_write *write = area->writes->pdata[i];
		const struct outbox_entry *entry =
			write->serial ? find_entry(outbox, write->serial) : NULL;

		if (entry && (write->fate == FATE_ACKED || write->fate == FATE_REFUSED))
			back_again(write, entry);
	}
	g_ptr_array_sort(area->queued, by_serial);
}

/* ---- forgetting ---- */

#define KEPT 1200 /* writes of an area: more than the last batch had, whose trim may not be synced */

/* Before the newest acked one nothing of a key can be seen again; what is refused is listed. */
static bool is_old(const struct model_write *write)
{
	const GPtrArray *writes = write->key->writes;

	if (write->fate == FATE_REFUSED && !write->retried)
		return false;
	for (unsigned int i = writes->len; i-- > 0 && writes->pdata[i] != write;)
		if (((const struct model_write *)writes->pdata[i])->fate == FATE_ACKED)
			return true;
	return false;
}

void model_prune(struct model *model)
{
	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		struct model_area *area = &model->areas[a];
		g_autoptr(GPtrArray) old = g_ptr_array_new();

		for (unsigned int i = 0; i + KEPT < area->writes->len; i++)
			if (is_old(area->writes->pdata[i]))
				g_ptr_array_add(old, area->writes->pdata[i]);
		for (unsigned int i = 0; i < old->len; i++) {
			struct model_write *write = old->pdata[i];

			g_ptr_array_remove(write->key->writes, write);
			g_ptr_array_remove(area->writes, write);
		}
	}
}

uint64_t model_bytes(const struct model *model)
{
	uint64_t bytes = 0;

	for (unsigned int a = 0; a < SIM_AREAS; a++) {
		const struct model_area *area = &model->areas[a];

		bytes += memory_of_pointers(area->writes) + memory_of_pointers(area->queued);
		for (unsigned int i = 0; i < area->writes->len; i++) {
			struct model_write *write = area->writes->pdata[i];

			bytes += memory_of(write) + memory_of(write->value);
		}
		for (unsigned int k = 0; k < SIM_KEYS; k++)
			bytes += memory_of_pointers(area->keys[k].writes);
	}
	return bytes;
}
