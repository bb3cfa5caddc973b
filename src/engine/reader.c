/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * GetItem's policy; see reader.h.
 *
 * A read goes down a stair, and may rest on a step: while a write of its key is being committed,
 * while the first attempt to connect is under way, while the parent is asked. It answers from the
 * first step that knows. What is allocated for it is only allocated once it has to rest: a hit in
 * the queue or the cache is answered from the stack.
 */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "core/config.h"
#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/copies.h"
#include "engine/fetcher.h"
#include "engine/monitor.h"
#include "engine/reader.h"
#include "parent/parent.h"

/*
 * A read that has asked the parent for this long is impatient: as soon as the line is in doubt it
 * looks whether there is a copy, once. If so, more attempts are no use: on an ordered stream that
 * leaves pings unanswered they would not be answered either. So during a black hole a known item is
 * read within a second from its first moment on. Fetches make the monitor ping after the same time.
 * While somebody is impatient it is looked again and again whether the line is in doubt: once for
 * all of them, and that costs nothing but a turn of the loop.
 */
#define PATIENCE   (500 * USEC_PER_MSEC)
#define LOOK_AGAIN (50 * USEC_PER_MSEC)

/* For the same reason a read of a known item waits for the first attempt to connect no longer than
 * this, whatever RequestTimeout says. */
#define FIRST_PATIENCE (800 * USEC_PER_MSEC)

#define DETAIL_NOT_ASKED   "Nothing is known of this key here, and the parent was not asked."
#define DETAIL_ONLY_PARENT "The parent cannot be reached; source=any would look here as well."

struct read {
	struct area *area;
	const char *key;
	struct reader_options options;
	reader_got_t done;
	void *data;
	uint64_t give_up_at;	/* monotonic usec: then the fallback */
	uint64_t impatient_at;		/* monotonic usec, … */
	GList asking;			/* … while data is set: the parent, and has not looked */
	struct timer timer;
	struct fetch_waiter *fetch;	/* the parent is being asked */
	GList waiting;			/* for the first attempt; data set while it does, … */
	uint64_t wait_until;		/* … not after this, monotonic usec */
	bool resting;			/* on the heap; to be freed with its answer */
};

struct reader {
	struct engine *engine;
	GQueue waiting;		/* struct read: the first attempt is under way */
	GQueue asking;		/* struct read that asked the parent and has not looked for a copy;
				 * those impatient first are first */
	struct timer look;	/* while there are any */
};

static void reader_look(void *data);

struct reader *reader_new(struct engine *engine)
{
	struct reader *reader = g_new0(struct reader, 1);

	reader->engine = engine;
	g_queue_init(&reader->waiting);
	g_queue_init(&reader->asking);
	timer_init(&reader->look, engine->clock, reader_look, reader);
	return reader;
}

struct reader *reader_free(struct reader *reader)
{
	if (!reader)
		return NULL;

	timer_deinit(&reader->look);
	g_free(reader);
	return NULL;
}

/* ---- answers ---- */

static void read_stop_looking(struct read *read)
{
	if (!read->asking.data)
		return;
	g_queue_unlink(&area_engine(read->area)->reader->asking, &read->asking);
	read->asking.data = NULL;
}

static void read_answer(struct read *read, int error, const char *detail,
			const struct reader_item *item)
{
	read_stop_looking(read);
	if (read->resting)
		timer_deinit(&read->timer);
	read->done(read->data, error, detail, item);
	if (read->resting)
		g_free(read);
}

static const char *const source_words[_METRICS_SOURCE_MAX] = {
	[METRICS_SOURCE_QUEUE] = "queue",
	[METRICS_SOURCE_CACHE] = "cache",
	[METRICS_SOURCE_PARENT] = "parent",
	[METRICS_SOURCE_LOCAL] = "local",
};

/* "Absent" is as good an answer as a value. */
static void read_answer_value(struct read *read, enum metrics_source source,
			      struct reader_item *item)
{
	struct metrics *metrics = &area_engine(read->area)->metrics;

	metrics->reads[source]++;
	metrics->stale_reads += item->stale;
	item->source = source_words[source];
	item->pending = outbox_find(area_outbox(read->area), read->key);
	if (item->value)
		read_answer(read, HF_OK, NULL, item);
	else
		read_answer(read, HF_NO_SUCH_ITEM, NULL, NULL);
}

/* Nothing is known, or nothing that could be told. */
static void read_answer_error(struct read *read, int error, const char *detail)
{
	area_engine(read->area)->metrics.reads[METRICS_SOURCE_NONE]++;
	read_answer(read, error, detail, NULL);
}

static bool read_from_queue(struct read *read)
{
	const struct outbox_entry *entry = outbox_find(area_outbox(read->area), read->key);
	struct reader_item item = { 0 };

	if (!entry)
		return false;
	item.value = outbox_entry_value(entry);
	item.age = usec_sub(engine_queue_time(area_engine(read->area)), entry->queued_at);
	read_answer_value(read, METRICS_SOURCE_QUEUE, &item);
	return true;
}

static bool read_from_cache(struct read *read)
{
	struct engine *engine = area_engine(read->area);
	const struct cache_entry *entry =
		copies_fresh(engine->copies, area_id(read->area), read->key,
			     area_settings(read->area)->cache_ttl);
	struct reader_item item = { 0 };

	if (!entry)
		return false;
	item.value = entry->value;
	item.revision = entry->revision;
	item.age = usec_sub(clock_boottime(engine->clock), entry->filled_at);
	read_answer_value(read, METRICS_SOURCE_CACHE, &item);
	return true;
}

/* @r, @copy: what copies_local() found. */
static void read_answer_copy(struct read *read, int r, const struct store_item *copy)
{
	struct engine *engine = area_engine(read->area);
	bool local = engine->parent->local;
	struct reader_item item = { .stale = !local };

	if (r == 1) {
		item.value = copy->value;
		item.revision = copy->revision;
		item.age = usec_sub(clock_realtime(engine->clock), copy->stored_at);
		read_answer_value(read, METRICS_SOURCE_LOCAL, &item);
	} else if (r == -EBADMSG) {
		read_answer_error(read, HF_INVALID_VALUE,
				  "The copy of this item is not valid text; set it anew.");
	} else if (r < 0) {
		read_answer_error(read, r, NULL);
	} else if (local) {
		read_answer_value(read, METRICS_SOURCE_LOCAL, &item);
	} else {
		read_answer_error(read, HF_UNAVAILABLE,
				  read->options.source == READER_LOCAL ? DETAIL_NOT_ASKED : NULL);
	}
}

static int read_find_copy(const struct read *read, struct store_item *ret_copy)
{
	return copies_local(area_engine(read->area)->copies, area_id(read->area), read->key,
			    ret_copy);
}

/* The last step: what was last known, or the word that nothing is. */
static void read_from_copy(struct read *read)
{
	struct store_item copy = { 0 };
	int r = read_find_copy(read, &copy);

	read_answer_copy(read, r, &copy);
	g_free(copy.value);
}

static void read_fall_back(struct read *read, const char *why)
{
	if (read->options.source == READER_PARENT)
		read_answer_error(read, HF_UNAVAILABLE, why ? why : DETAIL_ONLY_PARENT);
	else if (!read_from_queue(read))
		read_from_copy(read);
}

/* ---- resting ---- */

static void read_timer(void *data);

/* From the stack to the heap: it must outlive the call that began it. */
static struct read *read_rest(struct read *read)
{
	struct read *resting;

	if (read->resting)
		return read;
	resting = g_memdup2(read, sizeof(*read));
	resting->resting = true;
	timer_init(&resting->timer, area_engine(read->area)->clock, read_timer, resting);
	return resting;
}

static void read_step(struct read *read);

static void read_step_later(void *data)
{
	read_step(data);
}

static void read_stop_waiting(struct read *read)
{
	if (!read->waiting.data)
		return;
	g_queue_unlink(&area_engine(read->area)->reader->waiting, &read->waiting);
	read->waiting.data = NULL;
}

static void read_stop_resting(struct read *read)
{
	read_stop_waiting(read);
	read_stop_looking(read);
	if (read->fetch)
		fetcher_cancel(read->fetch);
	read->fetch = NULL;
}

/* Answer where there is a copy. Return: whether there was. */
static bool read_from_known(struct read *read)
{
	struct store_item copy = { 0 };
	int r = read_find_copy(read, &copy);

	if (r == 1) {
		read_stop_resting(read);
		if (!read_from_queue(read))
			read_answer_copy(read, r, &copy);
	}
	g_free(copy.value);
	return r == 1;
}

/* The patience of those at the head is over: they look, if the line is in doubt. */
static void reader_look(void *data)
{
	struct reader *reader = data;
	uint64_t now = clock_monotonic(reader->engine->clock);
	uint64_t doubt_at = monitor_doubt_at(reader->engine->monitor);
	struct read *read;

	while ((read = g_queue_peek_head(&reader->asking)) && read->impatient_at <= now) {
		if (doubt_at > now) {
			timer_arm(&reader->look, MIN(doubt_at, now + LOOK_AGAIN));
			return;
		}
		read_stop_looking(read);
		read_from_known(read);
	}
	if (read)
		timer_arm(&reader->look, read->impatient_at);
}

/* It has rested for long enough. */
static void read_timer(void *data)
{
	struct read *read = data;
	uint64_t now = clock_monotonic(area_engine(read->area)->clock);

	if (read->waiting.data && now < read->wait_until) {
		if (read->options.source == READER_PARENT || !read_from_known(read))
			timer_arm(&read->timer, read->wait_until);
		return;
	}
	read_stop_resting(read);
	read_fall_back(read, "The parent did not answer in time.");
}

/* ---- the parent ---- */

static void read_fetched(void *data, const struct fetch_result *result)
{
	struct read *read = data;
	struct reader_item item = {
		.value = result->value,
		.revision = result->revision,
	};

	read->fetch = NULL;
	switch (result->end) {
	case FETCH_OVERTAKEN:
		/* The key changed here meanwhile: what is newer is in the queue or the cache. */
		if (read->options.source == READER_ANY &&
		    (read_from_queue(read) || read_from_cache(read)))
			return;
		read_answer_value(read, METRICS_SOURCE_PARENT, &item);
		return;
	case FETCH_OWN:
		if (read->options.source == READER_ANY)
			read_from_copy(read);
		else
			read_answer_value(read, METRICS_SOURCE_PARENT, &item);
		return;
	case FETCH_ANSWERED:
		read_answer_value(read, METRICS_SOURCE_PARENT, &item);
		return;
	case FETCH_UNCLEAN:
		read_answer_error(
			read, HF_INVALID_VALUE,
			"What the parent holds for this key is not valid text; set it anew.");
		return;
	case FETCH_FAILED:
		read_fall_back(read, result->message);
		return;
	}
}

static void read_start_looking(struct read *read)
{
	struct reader *reader = area_engine(read->area)->reader;

	read->impatient_at = usec_add(clock_monotonic(reader->engine->clock), PATIENCE);
	read->asking.data = read;
	g_queue_push_tail_link(&reader->asking, &read->asking);
	if (!timer_is_armed(&reader->look))
		timer_arm(&reader->look, read->impatient_at);
}

static void read_fetch(struct read *read)
{
	struct engine *engine = area_engine(read->area);

	read = read_rest(read);
	timer_arm(&read->timer, read->give_up_at);
	if (read->options.source == READER_ANY)
		read_start_looking(read);
	read->fetch = fetcher_get(engine->fetcher, area_id(read->area), area_name(read->area),
				  read->key, area_settings(read->area)->retry_max_attempts,
				  read_fetched, read);
}

static void read_wait(struct read *read)
{
	struct engine *engine = area_engine(read->area);
	uint64_t timeout = engine->config->parent_request_timeout;
	uint64_t now = clock_monotonic(engine->clock);

	read = read_rest(read);
	read->waiting.data = read;
	g_queue_push_tail_link(&engine->reader->waiting, &read->waiting);
	read->wait_until = MIN(read->give_up_at, usec_add(now, timeout));
	timer_arm(&read->timer, MIN(read->wait_until, now + FIRST_PATIENCE));
}

void reader_state_changed(struct reader *reader)
{
	GList *link;

	if (monitor_first_attempt(reader->engine->monitor) &&
	    !monitor_ready(reader->engine->monitor))
		return;
	while ((link = reader->waiting.head)) {
		struct read *read = link->data;

		read_stop_waiting(read);
		timer_disarm(&read->timer);
		read_step(read);
	}
}

/* ---- the stair ---- */

static void read_step(struct read *read)
{
	struct engine *engine = area_engine(read->area);
	enum reader_source source = read->options.source;

	if (source != READER_PARENT && read_from_queue(read))
		return;
	if (engine->parent->local) {
		read_from_copy(read);
		return;
	}
	if (source == READER_ANY && read_from_cache(read))
		return;
	if (source == READER_LOCAL)
		read_from_copy(read);
	else if (clock_monotonic(engine->clock) >= read->give_up_at)
		read_fall_back(read, "The parent was not asked: no time was left.");
	else if (monitor_ready(engine->monitor))
		read_fetch(read);
	else if (monitor_first_attempt(engine->monitor))
		read_wait(read);
	else
		read_fall_back(read, NULL);
}

void reader_get(struct area *area, const char *key, const struct reader_options *options,
		reader_got_t done, void *data)
{
	struct engine *engine = area_engine(area);
	struct read read = { .area = area, .key = key, .done = done, .data = data };
	uint64_t timeout = options ? MIN(options->timeout, LIMIT_GET_USEC) : LIMIT_GET_USEC;
	struct read *resting;
	int error = key_check(key);

	if (error) {
		done(data, error, NULL, NULL);
		return;
	}
	if (options)
		read.options = *options;
	read.give_up_at = usec_add(clock_monotonic(engine->clock), timeout);
	if (!area_key_is_settled(area, key)) {
		resting = read_rest(&read);
		area_when_key_settled(area, key, read_step_later, resting);
		return;
	}
	read_step(&read);
}

/* ---- many ---- */

struct bulk {
	char **wanted;
	GPtrArray *answers;		/* by the place in `wanted`; NULL: absent */
	size_t bytes;
	unsigned int unanswered;
	int error;
	unsigned int failed;		/* whose error it is: a place in `wanted` */
	char *detail;
	reader_got_many_t done;
	void *data;
};

struct bulk_read {
	struct bulk *bulk;
	unsigned int place;
};

static void bulk_end(struct bulk *bulk)
{
	g_autoptr(GPtrArray) keys = g_ptr_array_new();
	g_autoptr(GPtrArray) values = g_ptr_array_new();

	if (!bulk->error && bulk->bytes > LIMIT_BULK_REPLY_BYTES) {
		bulk->error = HF_TOO_LARGE;
		bulk->detail = g_strdup("The items are over 8 MiB together; ask for fewer keys.");
	}
	for (unsigned int i = 0; i < bulk->answers->len; i++) {
		if (!bulk->answers->pdata[i])
			continue;
		g_ptr_array_add(keys, bulk->wanted[i]);
		g_ptr_array_add(values, bulk->answers->pdata[i]);
	}
	bulk->done(bulk->data, bulk->error, bulk->detail, keys, values);
	g_strfreev(bulk->wanted);
	g_ptr_array_unref(bulk->answers);
	g_free(bulk->detail);
	g_free(bulk);
}

/* Of several that fail the one that was asked for first is told. */
static void bulk_fail(struct bulk *bulk, unsigned int place, int error, const char *detail)
{
	const char *key = bulk->wanted[place];

	if (bulk->error && place > bulk->failed)
		return;
	bulk->error = error;
	bulk->failed = place;
	g_free(bulk->detail);
	if (detail)
		bulk->detail = g_strdup_printf("\"%s\": %s", key, detail);
	else if (error == HF_UNAVAILABLE)
		bulk->detail = g_strdup_printf("The parent cannot be reached and nothing is known "
					       "of \"%s\" here; try again when the Monitor's "
					       "State is \"connected\".", key);
	else
		bulk->detail = NULL;
}

static void bulk_got(void *data, int error, const char *detail, const struct reader_item *item)
{
	struct bulk_read *read = data;
	struct bulk *bulk = read->bulk;

	if (!error) {
		bulk->bytes += strlen(bulk->wanted[read->place]) + strlen(item->value);
		/* Over the bound nothing more is kept: the answer will be an error. */
		if (bulk->bytes <= LIMIT_BULK_REPLY_BYTES)
			bulk->answers->pdata[read->place] = g_strdup(item->value);
	} else if (error != HF_NO_SUCH_ITEM) {
		bulk_fail(bulk, read->place, error, detail);
	}
	g_free(read);
	if (--bulk->unanswered == 0)
		bulk_end(bulk);
}

/* A dictionary names a key once. */
static char **unique_keys(const char *const *keys)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

	for (size_t i = 0; keys[i]; i++)
		if (g_hash_table_add(seen, (char *)keys[i]))
			g_strv_builder_add(builder, keys[i]);
	return g_strv_builder_end(builder);
}

void reader_get_many(struct area *area, const char *const *keys, reader_got_many_t done,
		     void *data)
{
	struct bulk *bulk;
	unsigned int n;

	if (g_strv_length((char **)keys) > LIMIT_BULK_KEYS) {
		done(data, HF_TOO_LARGE, "At most 1000 keys can be asked for at once.", NULL,
		     NULL);
		return;
	}
	bulk = g_new0(struct bulk, 1);
	bulk->wanted = unique_keys(keys);
	bulk->done = done;
	bulk->data = data;
	n = g_strv_length(bulk->wanted);
	bulk->answers = g_ptr_array_new_full(n, g_free);
	g_ptr_array_set_size(bulk->answers, (int)n);

	/* One more than there are, so that the end comes after the loop, however fast they are. */
	bulk->unanswered = n + 1;
	for (unsigned int i = 0; i < n; i++) {
		struct bulk_read *read = g_new0(struct bulk_read, 1);

		read->bulk = bulk;
		read->place = i;
		reader_get(area, bulk->wanted[i], NULL, bulk_got, read);
	}
	if (--bulk->unanswered == 0)
		bulk_end(bulk);
}
