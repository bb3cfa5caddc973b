/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a client may rely on; see engine-model.h. */

#include <string.h>

#include "core/outbox.h"
#include "engine-model.h"

static void write_free(void *data)
{
	g_free(((struct model_write *)data)->value);
	g_free(data);
}

static void key_free(void *data)
{
	struct model_key *key = data;

	g_ptr_array_unref(key->writes);
	g_free(key->name);
	g_free(key);
}

static void area_free(void *data)
{
	struct model_area *area = data;

	g_ptr_array_unref(area->queued);
	g_hash_table_unref(area->early);
	g_ptr_array_unref(area->keys);
	g_ptr_array_unref(area->writes);
	g_free(area->name);
	g_free(area);
}

struct model *model_new(void)
{
	struct model *model = g_new0(struct model, 1);

	model->areas = g_ptr_array_new_with_free_func(area_free);
	return model;
}

struct model *model_free(struct model *model)
{
	g_ptr_array_unref(model->areas);
	g_free(model);
	return NULL;
}

struct model_area *model_add_area(struct model *model, const char *name, unsigned int keys)
{
	struct model_area *area = g_new0(struct model_area, 1);

	area->name = g_strdup(name);
	area->keys = g_ptr_array_new_with_free_func(key_free);
	area->writes = g_ptr_array_new_with_free_func(write_free);
	area->queued = g_ptr_array_new();
	area->early = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	for (unsigned int i = 0; i < keys; i++) {
		struct model_key *key = g_new0(struct model_key, 1);

		key->area = area;
		key->name = g_strdup_printf("k%u", i);
		key->writes = g_ptr_array_new();
		g_ptr_array_add(area->keys, key);
	}
	g_ptr_array_add(model->areas, area);
	return area;
}

struct model_area *model_area(const struct model *model, const char *name)
{
	for (unsigned int i = 0; i < model->areas->len; i++) {
		struct model_area *area = model->areas->pdata[i];

		if (strcmp(area->name, name) == 0)
			return area;
	}
	return NULL;
}

struct model_key *model_key(const struct model_area *area, const char *name)
{
	for (unsigned int i = 0; i < area->keys->len; i++) {
		struct model_key *key = area->keys->pdata[i];

		if (strcmp(key->name, name) == 0)
			return key;
	}
	return NULL;
}

/* ---- writes ---- */

struct model_write *model_write(struct model *model, struct model_key *key, const char *value,
				bool group)
{
	struct model_write *write = g_new0(struct model_write, 1);

	write->key = key;
	write->value = g_strdup(value);
	write->group = group;
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
	write->fate = FATE_QUEUED;
	write->serial = write->first = write->maybe_first = serial;
	write->dropped = g_hash_table_contains(area->early, &serial);
	g_ptr_array_add(area->queued, write);
}

void model_dropped_early(struct model_area *area, uint64_t serial)
{
	g_assert_cmpuint(serial, >, area->last_serial);
	g_assert_true(g_hash_table_add(area->early, g_memdup2(&serial, sizeof(serial))));
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

	if (write->acked) {
		write->fate = FATE_ACKED;
	} else if (write->refused) {
		write->fate = FATE_REFUSED;
	} else if (write->dropped ||
		   (dropped && !heir_left && !stands_for(heir, write, outbox))) {
		write->fate = FATE_DROPPED;
	} else {
		write->doubt = dropped && heir_left;
		write->heir = heir;
		if (!heir || write->group)
			g_error("area %s: the write %" G_GUINT64_FORMAT " of %s is lost",
				write->key->area->name, write->serial, write->key->name);
		write->fate = FATE_REPLACED;
		heir->maybe_first = MIN(heir->maybe_first, write->maybe_first);
		if (!write->doubt)
			heir->first = MIN(heir->first, write->first);
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

static bool is_entry(const struct model_write *write, const struct outbox_entry *entry)
{
	return write->fate == FATE_ASKED && !write->group == !entry->group_index &&
	       strcmp(write->key->name, outbox_entry_key(entry)) == 0 &&
	       g_strcmp0(write->value, outbox_entry_value(entry)) == 0;
}

void model_adopt(struct model_area *area, const struct outbox *outbox)
{
	const struct outbox_entry *entry = outbox_first(outbox);
	unsigned int from = area->writes->len;

	while (from > 0 &&
	       ((struct model_write *)area->writes->pdata[from - 1])->arrival + 2000 >
		       ((struct model_write *)area->writes->pdata[area->writes->len - 1])->arrival)
		from--;
	for (unsigned int i = from; i < area->writes->len; i++) {
		struct model_write *write = area->writes->pdata[i];

		while (entry && entry->serial <= area->last_serial)
			entry = outbox_next(entry);
		if (entry && is_entry(write, entry)) {
			model_answered(write, entry->serial);
			/* It may stand for others that nobody was told of. */
			write->first = write->maybe_first = outbox_entry_first(entry);
			write->lost = true;
		} else if (write->fate == FATE_ASKED) {
			write->fate = FATE_FAILED;
		}
	}
}

/* ---- reads ---- */

void model_disturb(struct model *model, struct model_area *area, const char *name)
{
	for (unsigned int i = 0; i < area->keys->len; i++) {
		struct model_key *key = area->keys->pdata[i];

		if (name && strcmp(key->name, name) != 0)
			continue;
		key->disturbed = model->arrivals;
		key->watched = true;
	}
}

const struct model_write *model_last(const struct model_key *key)
{
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if (write->fate == FATE_ACKED)
			return write;
	}
	return NULL;
}

static bool came_to_nothing(const struct model_write *write)
{
	while (write->fate == FATE_REPLACED && !write->doubt)
		write = write->heir;
	return write->doubt || write->refused || write->dropped || write->fate == FATE_REFUSED ||
	       write->fate == FATE_DROPPED;
}

/* The last write the read must see, and whether it must see that or something newer. */
static const struct model_write *find_base(const struct model_key *key, uint64_t arrival,
					   bool *ret_strict)
{
	*ret_strict = true;
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if (write->fate == FATE_FAILED)
			continue;
		/* Received before it. (A retry of what is refused no more will fail.) */
		if (write->arrival < arrival && !write->retry)
			g_assert_cmpint(write->fate, !=, FATE_ASKED);
		if (write->fate != FATE_ASKED && came_to_nothing(write))
			*ret_strict = false;
		if (write->arrival < arrival && write->fate != FATE_ASKED)
			return write;
	}
	return NULL;
}

void model_check_read(const struct model_key *key, uint64_t arrival, const char *value,
		      bool unavailable)
{
	bool strict;
	const struct model_write *base = find_base(key, arrival, &strict);

	if (base && base->fate != FATE_QUEUED && base->arrival <= key->disturbed)
		strict = false;
	if (!base && !value && !key->watched)
		return;
	if (!strict || (!base && key->watched))
		return;
	if (unavailable)
		g_error("area %s: %s is not to be had, but was written", key->area->name, key->name);
	for (unsigned int i = key->writes->len; i-- > 0;) {
		const struct model_write *write = key->writes->pdata[i];

		if (write->fate != FATE_FAILED && write->fate != FATE_ASKED &&
		    g_strcmp0(write->value, value) == 0)
			return;
		if (write == base)
			break;
	}
	g_error("area %s: a read of %s got %s, not %s or newer", key->area->name, key->name,
		value ? value : "nothing", base ? base->value : "nothing");
}
