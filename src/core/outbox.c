/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The outbox of one area; see outbox.h for the life of an entry.
 *
 * All entries, staged and doomed ones too, stand in one list in serial order, and the entries of a
 * key in a second one through `older` and `newer`. A hash set finds the newest entry of a key: its
 * members are the entries' own key bytes, so it costs one pointer an entry. What is in flight is
 * always a prefix of the list, because sending is strictly from the head; `front` is the first
 * entry behind it.
 *
 * Due times need no scan. Sets are held for the same delay after their write and stand in the order
 * of their writes, so the head is due first. The one exception is an entry that keeps being
 * written: MaxDelay makes it, and all ahead of it, due before its delay has passed. `force_at` is
 * the earliest such moment; when it comes, a short scan from the tail turns it into `forced`, the
 * serial up to which everything is due.
 */

#include <assert.h>
#include <string.h>

#include "base/util.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/outbox.h"

struct outbox {
	struct outbox_params params;
	struct outbox_entry *head, *tail;
	struct outbox_entry *front;	/* the first entry not in flight */
	GHashTable *by_key;		/* set of entry->data: the newest entry of each key */
	GPtrArray *staged, *doomed, *taken; /* the plan under way */
	uint64_t next_serial;
	uint64_t reserved;	/* serials below it are reserved on disk */
	uint64_t forced;	/* entries up to this serial are due whatever they say */
	uint64_t force_at;	/* when `forced` is next to be raised */
	uint64_t bytes, planned_bytes, count, planned_count;
};

struct outbox *outbox_new(const struct outbox_params *params, uint64_t next_serial)
{
	struct outbox *outbox = g_new0(struct outbox, 1);

	outbox->params = *params;
	outbox->by_key = g_hash_table_new(g_str_hash, g_str_equal);
	outbox->staged = g_ptr_array_new();
	outbox->doomed = g_ptr_array_new();
	outbox->taken = g_ptr_array_new();
	outbox->next_serial = next_serial;
	outbox->reserved = next_serial;
	outbox->force_at = USEC_INFINITY;
	return outbox;
}

struct outbox *outbox_free(struct outbox *outbox)
{
	struct outbox_entry *entry;

	if (!outbox)
		return NULL;

	g_hash_table_unref(outbox->by_key);
	while ((entry = outbox->head)) {
		outbox->head = entry->next;
		g_free(entry);
	}
	g_ptr_array_unref(outbox->staged);
	g_ptr_array_unref(outbox->doomed);
	g_ptr_array_unref(outbox->taken);
	g_free(outbox);
	return NULL;
}

void outbox_set_params(struct outbox *outbox, const struct outbox_params *params)
{
	outbox->params = *params;
}

/* ---- entries ---- */

static struct outbox_entry *entry_new(const struct outbox_write *write)
{
	size_t key_len = strlen(write->key);
	size_t value_len = write->op == OUTBOX_SET ? strlen(write->value) : 0;
	struct outbox_entry *entry;

	entry = g_malloc(sizeof(*entry) + key_len + 1 + value_len + 1);
	memset(entry, 0, sizeof(*entry));
	entry->op = write->op;
	entry->key_len = (uint16_t)key_len;
	entry->value_len = (uint32_t)value_len;
	memcpy(entry->data, write->key, key_len + 1);
	if (write->op == OUTBOX_SET)
		memcpy(entry->data + key_len + 1, write->value, value_len + 1);
	return entry;
}

/* The newest entry of @key, staged and doomed ones included. */
static struct outbox_entry *newest_of_key(const struct outbox *outbox, const char *key)
{
	char *data = g_hash_table_lookup(outbox->by_key, key);

	return data ? (struct outbox_entry *)(data - offsetof(struct outbox_entry, data)) : NULL;
}

static void entry_link(struct outbox *outbox, struct outbox_entry *entry)
{
	entry->prev = outbox->tail;
	if (outbox->tail)
		outbox->tail->next = entry;
	else
		outbox->head = entry;
	outbox->tail = entry;
	if (!outbox->front && entry->state != OUTBOX_IN_FLIGHT)
		outbox->front = entry;

	entry->older = newest_of_key(outbox, entry->data);
	if (entry->older)
		entry->older->newer = entry;
	g_hash_table_add(outbox->by_key, entry->data);
}

static void entry_unlink(struct outbox *outbox, struct outbox_entry *entry)
{
	if (outbox->front == entry)
		outbox->front = entry->next;
	if (entry->prev)
		entry->prev->next = entry->next;
	else
		outbox->head = entry->next;
	if (entry->next)
		entry->next->prev = entry->prev;
	else
		outbox->tail = entry->prev;

	if (entry->newer)
		entry->newer->older = entry->older;
	else if (entry->older)
		g_hash_table_add(outbox->by_key, entry->older->data);
	else
		g_hash_table_remove(outbox->by_key, entry->data);
	if (entry->older)
		entry->older->newer = entry->newer;
	g_free(entry);
}

struct outbox_entry *outbox_load(struct outbox *outbox, uint64_t serial, uint64_t first,
				 uint32_t group_index, const struct outbox_write *write,
				 uint64_t queued_at, bool in_flight)
{
	struct outbox_entry *entry = entry_new(write);

	assert(!outbox->tail || outbox->tail->serial < serial);
	outbox->next_serial = MAX(outbox->next_serial, serial + 1);
	entry->serial = serial;
	entry->back = (uint32_t)MIN(serial - first, UINT32_MAX);
	entry->group_index = group_index;
	entry->queued_at = queued_at;
	entry->state = in_flight ? OUTBOX_IN_FLIGHT : OUTBOX_PENDING;
	entry_link(outbox, entry);

	outbox->count++;
	outbox->bytes += outbox_entry_bytes(entry);
	outbox->planned_count = outbox->count;
	outbox->planned_bytes = outbox->bytes;
	return entry;
}

/* ---- planning writes ---- */

/* What a plan may remove: it waits, and no plan has touched it yet. */
static bool entry_is_free(const struct outbox_entry *entry)
{
	return entry->state != OUTBOX_IN_FLIGHT && !entry->doomed && !entry->taken &&
	       !entry->spare;
}

/* The entry a write of @key replaces, or NULL. */
static struct outbox_entry *replaceable(const struct outbox *outbox, const char *key)
{
	struct outbox_entry *entry = newest_of_key(outbox, key);

	return entry && entry->group_index == 0 && entry_is_free(entry) ? entry : NULL;
}

static void plan_doom(struct outbox *outbox, struct outbox_entry *entry, bool dropped)
{
	entry->doomed = true;
	entry->dropped = dropped;
	g_ptr_array_add(outbox->doomed, entry);
	outbox->planned_count--;
	outbox->planned_bytes -= outbox_entry_bytes(entry);
}

/* The entry behind @entry's group, or behind @entry where it is single. */
static struct outbox_entry *behind_unit(const struct outbox_entry *entry)
{
	struct outbox_entry *next = entry->next;

	while (next && next->group_index > 1)
		next = next->next;
	return next;
}

/* Sum up a single entry, or the group it starts. */
static void measure_unit(const struct outbox_entry *entry, size_t *ret_count, size_t *ret_bytes)
{
	const struct outbox_entry *end = behind_unit(entry);

	*ret_count = 0;
	*ret_bytes = 0;
	for (; entry != end; entry = entry->next) {
		++*ret_count;
		*ret_bytes += outbox_entry_bytes(entry);
	}
}

struct need {
	uint64_t count;		/* entries and bytes that the outbox would hold */
	uint64_t bytes;
};

/* What does not grow fits too: a reload may have lowered the bounds below what is queued. */
static bool need_fits(const struct outbox *outbox, const struct need *need)
{
	return need->count <= MAX(outbox->params.limit, outbox->planned_count) &&
	       need->bytes <= MAX(outbox->params.max_bytes, outbox->planned_bytes);
}

/*
 * Find how far the oldest waiting units must go so that @need fits. Returns false where even all of
 * them would not do; then nothing is to change.
 */
static bool find_drop_end(struct outbox *outbox, struct need need, struct outbox_entry **ret_end)
{
	struct outbox_entry *entry = outbox->front;
	size_t count, bytes;

	while (!need_fits(outbox, &need)) {
		if (!entry)
			return false;
		if (entry_is_free(entry)) {
			measure_unit(entry, &count, &bytes);
			need.count -= count;
			need.bytes -= bytes;
		}
		entry = behind_unit(entry);
	}
	*ret_end = entry;
	return true;
}

static int plan_make_room(struct outbox *outbox, const struct need *need)
{
	struct outbox_entry *end;

	if (need_fits(outbox, need))
		return HF_OK;
	if (!outbox->params.drop_oldest || !find_drop_end(outbox, *need, &end))
		return HF_QUOTA_EXCEEDED;

	for (struct outbox_entry *entry = outbox->front; entry != end; entry = entry->next)
		if (entry_is_free(entry))
			plan_doom(outbox, entry, true);
	return HF_OK;
}

static void plan_add(struct outbox *outbox, const struct outbox_write *write,
		     const struct outbox_entry *replaced, uint32_t group_index, uint64_t now,
		     uint64_t queued_at)
{
	struct outbox_entry *entry = entry_new(write);

	entry->serial = outbox->next_serial++;
	entry->back = 0;
	entry->group_index = group_index;
	entry->queued_at = queued_at;
	entry->state = OUTBOX_STAGED;
	entry->max_due = usec_add(now, outbox->params.max_delay);
	if (replaced) {
		entry->back = (uint32_t)MIN(entry->serial - outbox_entry_first(replaced), UINT32_MAX);
		entry->max_due = replaced->max_due;
	}
	if (write->op == OUTBOX_SET && group_index == 0) {
		entry->due = usec_add(now, outbox->params.delay);
		if (entry->max_due < entry->due) {
			entry->due = entry->max_due;
			outbox->force_at = MIN(outbox->force_at, entry->max_due);
		}
	}
	entry_link(outbox, entry);
	g_ptr_array_add(outbox->staged, entry);
	outbox->planned_count++;
	outbox->planned_bytes += outbox_entry_bytes(entry);
}

/* Find what the writes replace, one for one; a key named twice replaces it once. */
static void find_replaced(struct outbox *outbox, const struct outbox_write *writes, size_t n,
			  struct outbox_entry **replaced, struct need *need)
{
	for (size_t i = 0; i < n; i++) {
		need->bytes += outbox_write_bytes(&writes[i]);
		replaced[i] = replaceable(outbox, writes[i].key);
		if (!replaced[i])
			continue;
		replaced[i]->spare = true;
		need->count--;
		need->bytes -= outbox_entry_bytes(replaced[i]);
	}
}

int outbox_stage(struct outbox *outbox, const struct outbox_write *writes, size_t n, bool group,
		 uint64_t now, uint64_t queued_at, uint64_t *ret_serial)
{
	struct need need = { .count = outbox->planned_count + n, .bytes = outbox->planned_bytes };
	struct outbox_entry *single, **replaced = group ? g_new(struct outbox_entry *, n) : &single;
	int error;

	assert(n > 0 && (group || n == 1));

	find_replaced(outbox, writes, n, replaced, &need);
	error = plan_make_room(outbox, &need);
	for (size_t i = 0; i < n; i++) {
		if (replaced[i])
			replaced[i]->spare = false;
		if (error)
			continue;
		plan_add(outbox, &writes[i], replaced[i], group ? (uint32_t)i + 1 : 0, now,
			 queued_at);
		if (replaced[i])
			plan_doom(outbox, replaced[i], false);
	}
	if (group)
		g_free(replaced);
	if (error)
		return error;
	*ret_serial = outbox->next_serial - 1;
	return HF_OK;
}

bool outbox_plan_reserve(const struct outbox *outbox, uint64_t *ret_upto)
{
	if (outbox->next_serial <= outbox->reserved)
		return false;

	*ret_upto = outbox->next_serial + LIMIT_NUMBER_BLOCK;
	return true;
}

const GPtrArray *outbox_plan_staged(const struct outbox *outbox)
{
	return outbox->staged;
}

const GPtrArray *outbox_plan_doomed(const struct outbox *outbox)
{
	return outbox->doomed;
}

/* ---- due times ---- */

/* Raise `forced` by the entries whose MaxDelay has come; find when the next one's will. */
static void outbox_advance(struct outbox *outbox, uint64_t now)
{
	const struct outbox_entry *entry;

	if (outbox->force_at > now)
		return;

	outbox->force_at = USEC_INFINITY;
	for (entry = outbox->tail; entry && entry->serial > outbox->forced; entry = entry->prev) {
		/* Only those that MaxDelay holds shorter than their delay. */
		if (entry->due == 0 || entry->due != entry->max_due)
			continue;
		if (entry->max_due <= now)
			outbox->forced = entry->serial;
		else
			outbox->force_at = MIN(outbox->force_at, entry->max_due);
	}
}

static bool entry_is_due(const struct outbox *outbox, const struct outbox_entry *entry,
			 uint64_t now)
{
	return entry->due <= now || entry->serial <= outbox->forced;
}

void outbox_force(struct outbox *outbox)
{
	outbox->forced = outbox->next_serial - 1;
	outbox->force_at = USEC_INFINITY;
}

const struct outbox_entry *outbox_first_waiting(const struct outbox *outbox)
{
	return outbox->front && outbox->front->state == OUTBOX_PENDING ? outbox->front : NULL;
}

uint64_t outbox_next_due(struct outbox *outbox, uint64_t now)
{
	const struct outbox_entry *entry = outbox_first_waiting(outbox);

	if (!entry)
		return USEC_INFINITY;
	outbox_advance(outbox, now);
	if (entry_is_due(outbox, entry, now))
		return now;
	return MIN(entry->due, outbox->force_at);
}

const struct outbox_entry *outbox_first_held(struct outbox *outbox, uint64_t now)
{
	const struct outbox_entry *entry;

	outbox_advance(outbox, now);
	for (entry = outbox_first_waiting(outbox); entry; entry = outbox_next(entry))
		if (!entry_is_due(outbox, entry, now))
			return entry;
	return NULL;
}

/* ---- planning a batch ---- */

static void room_use(struct outbox_room *room, size_t count, size_t bytes)
{
	room->empty = false;
	room->ops -= MIN(count, room->ops);
	room->bytes -= MIN(bytes, room->bytes);
}

static void plan_take_unit(struct outbox *outbox, struct outbox_entry *entry, GPtrArray *taken)
{
	const struct outbox_entry *end = behind_unit(entry);

	for (; entry != end; entry = entry->next) {
		entry->taken = true;
		g_ptr_array_add(outbox->taken, entry);
		g_ptr_array_add(taken, entry);
	}
}

bool outbox_take(struct outbox *outbox, uint64_t now, struct outbox_room *room, GPtrArray *taken)
{
	struct outbox_entry *entry, *next;
	size_t count, bytes;

	outbox_advance(outbox, now);
	for (entry = outbox->front; entry; entry = next) {
		next = behind_unit(entry);
		if (entry->doomed)
			continue;
		if (!entry_is_due(outbox, entry, now))
			return false;
		measure_unit(entry, &count, &bytes);
		if (!room->empty && (count > room->ops || bytes > room->bytes))
			return true;
		room_use(room, count, bytes);
		plan_take_unit(outbox, entry, taken);
	}
	return false;
}

/* ---- ending a plan ---- */

static void plan_clear(struct outbox *outbox)
{
	g_ptr_array_set_size(outbox->staged, 0);
	g_ptr_array_set_size(outbox->doomed, 0);
	g_ptr_array_set_size(outbox->taken, 0);
	outbox->planned_count = outbox->count;
	outbox->planned_bytes = outbox->bytes;
}

void outbox_commit(struct outbox *outbox)
{
	struct outbox_entry *entry;
	uint64_t upto;

	/* A plan that staged nothing reserved nothing, though one that failed may have used serials. */
	if (outbox->staged->len > 0 && outbox_plan_reserve(outbox, &upto))
		outbox->reserved = upto;
	for (unsigned int i = 0; i < outbox->staged->len; i++)
		((struct outbox_entry *)outbox->staged->pdata[i])->state = OUTBOX_PENDING;
	for (unsigned int i = 0; i < outbox->taken->len; i++) {
		entry = outbox->taken->pdata[i];
		entry->taken = false;
		entry->state = OUTBOX_IN_FLIGHT;
		outbox->front = entry->next;
	}
	for (unsigned int i = 0; i < outbox->doomed->len; i++)
		entry_unlink(outbox, outbox->doomed->pdata[i]);

	outbox->count = outbox->planned_count;
	outbox->bytes = outbox->planned_bytes;
	plan_clear(outbox);
}

void outbox_rollback(struct outbox *outbox)
{
	struct outbox_entry *entry;

	for (unsigned int i = 0; i < outbox->taken->len; i++)
		((struct outbox_entry *)outbox->taken->pdata[i])->taken = false;
	for (unsigned int i = 0; i < outbox->doomed->len; i++) {
		entry = outbox->doomed->pdata[i];
		entry->doomed = false;
		entry->dropped = false;
	}
	for (unsigned int i = outbox->staged->len; i > 0; i--)
		entry_unlink(outbox, outbox->staged->pdata[i - 1]);
	plan_clear(outbox);
}

/* ---- what became of a batch ---- */

void outbox_trim(struct outbox *outbox, struct outbox_entry *entry)
{
	assert(entry->state == OUTBOX_IN_FLIGHT);
	outbox->count--;
	outbox->bytes -= outbox_entry_bytes(entry);
	outbox->planned_count--;
	outbox->planned_bytes -= outbox_entry_bytes(entry);
	entry_unlink(outbox, entry);
}

void outbox_release(struct outbox *outbox, struct outbox_entry *entry)
{
	assert(entry->state == OUTBOX_IN_FLIGHT);
	entry->state = OUTBOX_PENDING;
	if (!outbox->front || entry->serial < outbox->front->serial)
		outbox->front = entry;
}

/* ---- reading ---- */

static const struct outbox_entry *skip_staged(const struct outbox_entry *entry)
{
	while (entry && entry->state == OUTBOX_STAGED)
		entry = entry->next;
	return entry;
}

const struct outbox_entry *outbox_first(const struct outbox *outbox)
{
	return skip_staged(outbox->head);
}

const struct outbox_entry *outbox_next(const struct outbox_entry *entry)
{
	return skip_staged(entry->next);
}

const struct outbox_entry *outbox_find(const struct outbox *outbox, const char *key)
{
	const struct outbox_entry *entry = newest_of_key(outbox, key);

	while (entry && entry->state == OUTBOX_STAGED)
		entry = entry->older;
	return entry;
}

bool outbox_covers(const struct outbox *outbox, uint64_t serial)
{
	const struct outbox_entry *entry;

	for (entry = outbox->tail; entry && entry->serial >= serial; entry = entry->prev)
		if (entry->state != OUTBOX_STAGED && outbox_entry_first(entry) <= serial)
			return true;
	return false;
}

bool outbox_holds_upto(const struct outbox *outbox, uint64_t limit)
{
	const struct outbox_entry *entry;

	for (entry = outbox_first(outbox); entry; entry = outbox_next(entry))
		if (outbox_entry_first(entry) <= limit)
			return true;
	return false;
}

unsigned int outbox_count(const struct outbox *outbox)
{
	return (unsigned int)outbox->count;
}

uint64_t outbox_bytes(const struct outbox *outbox)
{
	return outbox->bytes;
}

uint64_t outbox_planned_bytes(const struct outbox *outbox)
{
	return outbox->planned_bytes;
}

uint64_t outbox_last_serial(const struct outbox *outbox)
{
	return outbox->next_serial - 1;
}
