/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * OpenMetrics 1.0 text; see exposition.h. What is counted stands in struct metrics, in the monitor's
 * stats and in the cache; what is the state of things now is gathered into struct gauges first. From
 * then on it is tables: a row is a family, and says where in one of those structs its number lies.
 *
 * Counters are printed as the integers they are, and times from whole microseconds: nothing passes
 * through a double, so nothing is rounded.
 */

#include <stddef.h>

#include "core/cache.h"
#include "core/outbox.h"
#include "engine/area-inner.h"
#include "engine/area.h"
#include "engine/copies.h"
#include "engine/engine.h"
#include "engine/exposition.h"
#include "engine/monitor.h"
#include "engine/storage.h"
#include "store/store.h"

/* How things stand. Times in usec. */
struct gauges {
	uint64_t start_time;	/* realtime */
	uint64_t areas;
	uint64_t queue_entries;
	uint64_t queue_bytes;
	uint64_t oldest_age;
	uint64_t items;
	uint64_t item_bytes;
	uint64_t rejected;
	uint64_t cache_entries;
	uint64_t cache_bytes;
	uint64_t cache_hits;	/* counters, but the cache's own */
	uint64_t cache_misses;
};

/* ---- the format ---- */

/* @unit: NULL: it counts things. The name ends with it otherwise. */
static void write_family(GString *text, const char *name, const char *type, const char *unit,
			 const char *help)
{
	g_string_append_printf(text, "# TYPE holdfast_%s %s\n", name, type);
	if (unit)
		g_string_append_printf(text, "# UNIT holdfast_%s %s\n", name, unit);
	g_string_append_printf(text, "# HELP holdfast_%s %s\n", name, help);
}

static void write_seconds(GString *text, uint64_t usec)
{
	g_string_append_printf(text, "%" G_GUINT64_FORMAT ".%06u\n", usec / USEC_PER_SEC,
			       (unsigned int)(usec % USEC_PER_SEC));
}

struct row {
	const char *name;	/* without the prefix; of a counter without "_total" */
	const char *unit;	/* "seconds": the number is usec */
	size_t offset;		/* of a uint64_t */
	const char *help;
};

static uint64_t number_at(const void *base, size_t offset)
{
	return *(const uint64_t *)((const char *)base + offset);
}

static void write_rows(GString *text, const struct row *rows, size_t n, const void *base,
		       bool counter)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t number = number_at(base, rows[i].offset);

		write_family(text, rows[i].name, counter ? "counter" : "gauge", rows[i].unit,
			     rows[i].help);
		g_string_append_printf(text, "holdfast_%s%s ", rows[i].name,
				       counter ? "_total" : "");
		if (g_strcmp0(rows[i].unit, "seconds") == 0)
			write_seconds(text, number);
		else
			g_string_append_printf(text, "%" G_GUINT64_FORMAT "\n", number);
	}
}

/* A counter for each value of one label. */
struct split {
	const char *name;
	size_t offset;			/* of an array of uint64_t, one for each value */
	const char *label;
	const char *const *values;	/* up to NULL */
	const char *help;
};

static void write_split(GString *text, const struct split *split, const void *base)
{
	write_family(text, split->name, "counter", NULL, split->help);
	for (size_t i = 0; split->values[i]; i++)
		g_string_append_printf(text,
				       "holdfast_%s_total{%s=\"%s\"} %" G_GUINT64_FORMAT "\n",
				       split->name, split->label, split->values[i],
				       number_at(base, split->offset + i * sizeof(uint64_t)));
}

static void write_histogram(GString *text, const char *name, const struct histogram *histogram,
			    const char *help)
{
	struct histogram_snapshot snapshot;

	histogram_snapshot(histogram, &snapshot);
	write_family(text, name, "histogram", "seconds", help);
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		g_string_append_printf(text,
				       "holdfast_%s_bucket{le=\"%s\"} %" G_GUINT64_FORMAT "\n",
				       name, histogram_label(i), snapshot.cumulative[i]);
	g_string_append_printf(text, "holdfast_%s_count %" G_GUINT64_FORMAT "\nholdfast_%s_sum ",
			       name, snapshot.count, name);
	write_seconds(text, snapshot.sum);
}

/* ---- what there is ---- */

#define ROW(type, name, unit, member, help) { name, unit, offsetof(struct type, member), help }

static const struct row gauge_rows[] = {
	ROW(gauges, "start_time_seconds", "seconds", start_time,
	    "When the daemon started, in seconds since 1970."),
	ROW(gauges, "areas", NULL, areas, "Areas there are."),
	ROW(gauges, "queue_entries", NULL, queue_entries, "Writes that wait for the parent."),
	ROW(gauges, "queue_bytes", "bytes", queue_bytes,
	    "Keys and values of the writes that wait for the parent."),
	ROW(gauges, "queue_oldest_age_seconds", "seconds", oldest_age,
	    "Age of the oldest write that waits for the parent, suspends included; 0 if none."),
	ROW(gauges, "items", NULL, items,
	    "Items kept of what the parent is known to hold, removed ones that are remembered included."),
	ROW(gauges, "items_bytes", "bytes", item_bytes, "Keys and values of them."),
	ROW(gauges, "rejected_entries", NULL, rejected,
	    "Writes refused by the parent that are kept for RetryRejected."),
	ROW(gauges, "cache_entries", NULL, cache_entries, "Answers held in the cache."),
	ROW(gauges, "cache_bytes", "bytes", cache_bytes, "Memory that the cache counts as used."),
};

static const struct row cache_rows[] = {
	ROW(gauges, "cache_hits", NULL, cache_hits, "Look-ups that found a fresh answer."),
	ROW(gauges, "cache_misses", NULL, cache_misses, "Look-ups that found none."),
};

static const struct row monitor_rows[] = {
	ROW(monitor_stats, "connects", NULL, connects, "Times the state became connected."),
	ROW(monitor_stats, "disconnects", NULL, disconnects,
	    "Times the state became disconnected."),
	ROW(monitor_stats, "pings_sent", NULL, total_pings, "Pings sent, repeated ones included."),
	ROW(monitor_stats, "pings_answered", NULL, total_pongs, "Pongs that came."),
	ROW(monitor_stats, "pings_failed", NULL, total_failed,
	    "Ping windows that ended without any answer."),
	ROW(monitor_stats, "parent_lost_data", NULL, lost_data,
	    "Times the parent had lost data it had acked."),
};

static const struct row metrics_rows[] = {
	ROW(metrics, "writes", NULL, writes, "Calls that write, answered as safe."),
	ROW(metrics, "stale_reads", NULL, stale_reads,
	    "Reads answered by what was last known, for want of the parent."),
	ROW(metrics, "dropped_entries", NULL, drops,
	    "Writes dropped because the queue was full (Overflow=drop-oldest)."),
	ROW(metrics, "rejections", NULL, rejections, "Writes refused by the parent."),
	ROW(metrics, "rejected_evicted", NULL, evictions,
	    "Refused writes forgotten because newer ones took their room."),
	ROW(metrics, "batches_sent", NULL, batches, "Batches sent, again too."),
	ROW(metrics, "sent_bytes", "bytes", sent_bytes,
	    "Keys and values in the batches sent."),
	ROW(metrics, "acks", NULL, acks, "Batches acked by the parent."),
	ROW(metrics, "duplicate_acks", NULL, duplicate_acks,
	    "Acks of a batch that the parent had applied before."),
	ROW(metrics, "operations_acked", NULL, acked_operations,
	    "Operations that the parent applied, by its acks."),
	ROW(metrics, "fetches", NULL, fetches, "Gets sent to the parent, again too."),
	ROW(metrics, "client_id_renewals", NULL, client_renewals,
	    "New client ids taken because the store was rolled back or the id is shared."),
	ROW(metrics, "commits", NULL, commits, "Transactions that the disk was asked for."),
	ROW(metrics, "commits_failed", NULL, failed_commits, "Of those, the ones that it refused."),
};

static const char *const refusal_words[] = {
	[METRICS_REFUSAL_INVALID] = "invalid",
	[METRICS_REFUSAL_TOO_LARGE] = "too-large",
	[METRICS_REFUSAL_QUOTA] = "quota",
	[METRICS_REFUSAL_STOPPING] = "stopping",
	[METRICS_REFUSAL_DISK] = "disk",
	[_METRICS_REFUSAL_MAX] = NULL,
};

static const char *const source_words[] = {
	[METRICS_SOURCE_QUEUE] = "queue",
	[METRICS_SOURCE_CACHE] = "cache",
	[METRICS_SOURCE_PARENT] = "parent",
	[METRICS_SOURCE_LOCAL] = "local",
	[METRICS_SOURCE_NONE] = "none",
	[_METRICS_SOURCE_MAX] = NULL,
};

static const char *const retry_words[] = {
	[METRICS_RETRY_TRANSIENT] = "transient",
	[METRICS_RETRY_CAPACITY] = "capacity",
	[METRICS_RETRY_TIMEOUT] = "timeout",
	[METRICS_RETRY_CLOSED] = "closed",
	[_METRICS_RETRY_MAX] = NULL,
};

static const char *const operation_words[] = {
	[METRICS_OPERATION_GET] = "get",
	[METRICS_OPERATION_SET] = "set",
	[METRICS_OPERATION_REMOVE] = "remove",
	[_METRICS_OPERATION_MAX] = NULL,
};

static const struct split splits[] = {
	{ "writes_refused", offsetof(struct metrics, refusals), "reason", refusal_words,
	  "Calls that write, answered with an error." },
	{ "reads", offsetof(struct metrics, reads), "source", source_words,
	  "Keys read, by what answered." },
	{ "batch_retries", offsetof(struct metrics, batch_retries), "class", retry_words,
	  "Batches sent again, by what became of them before." },
	{ "fetch_retries", offsetof(struct metrics, fetch_retries), "class", retry_words,
	  "Gets sent again, by what became of them before." },
	{ "direct_requests", offsetof(struct metrics, direct), "operation", operation_words,
	  "Requests of the Direct interface sent to the parent." },
};

/* ---- gathering ---- */

/* The head was queued first: what is written anew goes to the tail, with a time of its own. */
static uint64_t area_oldest_age(struct area *area)
{
	const struct outbox_entry *head;

	if (area_queue_size(area) == 0)
		return 0;
	head = outbox_first(area_outbox(area));
	return head ? usec_sub(engine_queue_time(area_engine(area)), head->queued_at) : 0;
}

static void gather_area(void *data, struct area *area)
{
	struct gauges *gauges = data;
	struct store *store = area_engine(area)->store;
	uint64_t items, rejected;

	gauges->areas++;
	gauges->queue_entries += area_queue_size(area);
	gauges->queue_bytes += area_queue_bytes(area);
	gauges->oldest_age = MAX(gauges->oldest_age, area_oldest_age(area));
	gauges->item_bytes += store_item_bytes(store, area_id(area));
	store_count(store, area_id(area), &items, &rejected);
	gauges->items += items;
	gauges->rejected += rejected;
}

static void gather(struct storage *storage, struct gauges *gauges)
{
	const struct engine *engine = storage_engine(storage);
	struct copies_counts cache;

	copies_count(engine->copies, &cache);
	*gauges = (struct gauges){
		.start_time = engine->metrics.started_at,
		.cache_entries = cache.entries,
		.cache_bytes = cache.bytes,
		.cache_hits = cache.hits,
		.cache_misses = cache.misses,
	};
	storage_each_area(storage, gather_area, gauges);
}

/* ---- writing ---- */

static void write_state(GString *text, enum monitor_state now)
{
	static const enum monitor_state states[] = {
		MONITOR_CONNECTING,
		MONITOR_CONNECTED,
		MONITOR_DISCONNECTED,
	};

	write_family(text, "connection_state", "stateset", NULL,
		     "State of the connection to the parent.");
	for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
		g_string_append_printf(
			text, "holdfast_connection_state{holdfast_connection_state=\"%s\"} %d\n",
			monitor_state_to_string(states[i]), states[i] == now);
}

static void write_build(GString *text)
{
	write_family(text, "build", "info", NULL, "Version of the daemon.");
	g_string_append(text, "holdfast_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
}

void exposition_write(struct storage *storage, GString *text)
{
	const struct engine *engine = storage_engine(storage);
	struct monitor_stats stats;
	struct gauges gauges;

	monitor_get_stats(engine->monitor, &stats);
	gather(storage, &gauges);
	write_build(text);
	write_state(text, monitor_state(engine->monitor));
	write_rows(text, gauge_rows, G_N_ELEMENTS(gauge_rows), &gauges, false);
	write_rows(text, cache_rows, G_N_ELEMENTS(cache_rows), &gauges, true);
	write_rows(text, monitor_rows, G_N_ELEMENTS(monitor_rows), &stats, true);
	write_rows(text, metrics_rows, G_N_ELEMENTS(metrics_rows), &engine->metrics, true);
	for (size_t i = 0; i < G_N_ELEMENTS(splits); i++)
		write_split(text, &splits[i], &engine->metrics);
	write_histogram(text, "ping_round_trip_seconds", monitor_round_trips(engine->monitor),
			"Round trips of pings.");
	write_histogram(text, "commit_duration_seconds", &engine->metrics.commit_time,
			"How long the disk took for a transaction.");
	g_string_append(text, "# EOF\n");
}
