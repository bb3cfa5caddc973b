/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The engine's numbers as text, on a bench: what each event adds, to the digit, and the format. */

#include <errno.h>
#include <string.h>

#include "core/limits.h"
#include "engine-bench.h"
#include "engine/exposition.h"
#include "seed.h"

static struct bench *bench_online(const char *config)
{
	struct bench *bench = bench_new(config);

	bench_start(bench);
	g_assert_true(fake_is_linked(bench->world));
	return bench;
}

static char *render(struct bench *bench)
{
	GString *text = g_string_new(NULL);

	exposition_write(bench->storage, text);
	return g_string_free(text, FALSE);
}

/* What stands behind @sample in its line; the test ends where there is no such line. */
static char *look(struct bench *bench, const char *sample)
{
	g_autofree char *text = render(bench);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	size_t len = strlen(sample);

	for (unsigned int i = 0; lines[i]; i++)
		if (g_str_has_prefix(lines[i], sample) && lines[i][len] == ' ')
			return g_strdup(lines[i] + len + 1);
	g_error("no sample %s", sample);
}

static void is(struct bench *bench, const char *sample, const char *number)
{
	g_autofree char *found = look(bench, sample);

	if (strcmp(found, number) != 0)
		g_error("%s is %s, not %s", sample, found, number);
}

/* ---- the format ---- */

/* Names of families in order; checks what can be said of each line by itself. */
static GPtrArray *check_format(const char *text)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	unsigned int n = g_strv_length(lines);
	const char *name = "";

	g_assert_cmpstr(lines[n - 1], ==, "");
	g_assert_cmpstr(lines[n - 2], ==, "# EOF");
	for (unsigned int i = 0; i < n - 2; i++) {
		g_auto(GStrv) words = g_strsplit(lines[i], " ", 4);

		if (!g_str_has_prefix(lines[i], "# ")) {
			g_assert_true(g_str_has_prefix(lines[i], name));
			continue;
		}
		if (strcmp(words[1], "TYPE") == 0) {
			g_assert_true(g_str_has_prefix(words[2], "holdfast_"));
			g_assert_false(g_ptr_array_find_with_equal_func(names, words[2], g_str_equal,
									NULL));
			g_ptr_array_add(names, g_strdup(words[2]));
			name = names->pdata[names->len - 1];
			g_assert_false(g_str_has_suffix(name, "_total"));
		} else if (strcmp(words[1], "UNIT") == 0) {
			g_assert_true(g_str_has_suffix(words[2], words[3]));
		} else {
			g_assert_cmpstr(words[1], ==, "HELP");
			g_assert_true(g_str_has_suffix(words[3], "."));
		}
		g_assert_cmpstr(words[2], ==, name);
	}
	return names;
}

/* The same lines, whatever happened: only the numbers change. */
static char *without_numbers(const char *text)
{
	GString *result = g_string_new(NULL);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (unsigned int i = 0; lines[i]; i++) {
		char *space = strrchr(lines[i], ' ');

		if (lines[i][0] != '#' && space)
			*space = '\0';
		g_string_append_printf(result, "%s\n", lines[i]);
	}
	return g_string_free(result, FALSE);
}

static void test_format(void)
{
	struct bench *bench = bench_online("[Parent]\nAddress=unix:/address-canary\n");
	g_autofree char *before = render(bench), *after = NULL, *lines = NULL, *more = NULL;
	g_autoptr(GPtrArray) names = check_format(before);

	g_assert_cmpuint(names->len, >=, 35);
	bench_write_to(bench, bench_open_area(bench, "area-canary"), "key-canary\"} 1", "value-canary");
	bench_set(bench, "key-canary \\ # EOF", "bad");
	bench_drain(bench, 5 * SEC);
	bench_get(bench, "key-canary");
	bench_run(bench, SEC);
	after = render(bench);
	g_assert_null(strstr(after, "canary"));
	lines = without_numbers(before);
	more = without_numbers(after);
	g_assert_cmpstr(lines, ==, more);
	bench_free(bench);
}

static void test_all_zero_at_start(void)
{
	static const char *const counters[] = {
		"holdfast_writes_total", "holdfast_stale_reads_total",
		"holdfast_dropped_entries_total", "holdfast_rejections_total",
		"holdfast_batches_sent_total", "holdfast_sent_bytes_total", "holdfast_acks_total",
		"holdfast_fetches_total", "holdfast_client_id_renewals_total",
		"holdfast_cache_hits_total", "holdfast_pings_failed_total",
		"holdfast_disconnects_total", "holdfast_parent_lost_data_total",
		"holdfast_writes_refused_total{reason=\"quota\"}",
		"holdfast_reads_total{source=\"queue\"}",
		"holdfast_batch_retries_total{class=\"transient\"}",
		"holdfast_direct_requests_total{operation=\"remove\"}",
	};
	struct bench *bench = bench_online(NULL);

	bench_set(bench, "k", "v");
	bench_drain(bench, 5 * SEC);
	is(bench, "holdfast_writes_total", "1");
	bench_restart(bench);
	for (unsigned int i = 0; i < G_N_ELEMENTS(counters); i++)
		is(bench, counters[i], "0");
	is(bench, "holdfast_connects_total", "1");
	is(bench, "holdfast_pings_sent_total", "1");
	is(bench, "holdfast_ping_round_trip_seconds_count", "1");
	bench_free(bench);
}

/* ---- the line ---- */

static void test_state(void)
{
	struct bench *bench = bench_online(NULL);

#define STATE(word) "holdfast_connection_state{holdfast_connection_state=\"" word "\"}"
	is(bench, STATE("connected"), "1");
	is(bench, STATE("connecting"), "0");
	is(bench, STATE("disconnected"), "0");
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 10 * MSEC);
	is(bench, STATE("connected"), "0");
	is(bench, STATE("disconnected"), "1");
	is(bench, "holdfast_disconnects_total", "1");
	bench->world->away = false;
	bench_run(bench, 20 * SEC);
	is(bench, STATE("connected"), "1");
	is(bench, "holdfast_connects_total", "2");
	bench_free(bench);
}

static void test_pings(void)
{
	struct bench *bench = bench_new(NULL);

	bench->world->latency = 2 * MSEC;	/* so a round trip is 4 ms */
	bench_start(bench);
	is(bench, "holdfast_ping_round_trip_seconds_bucket{le=\"0.0025\"}", "0");
	is(bench, "holdfast_ping_round_trip_seconds_bucket{le=\"0.005\"}", "1");
	is(bench, "holdfast_ping_round_trip_seconds_bucket{le=\"+Inf\"}", "1");
	is(bench, "holdfast_ping_round_trip_seconds_sum", "0.004000");
	bench_run(bench, 10 * SEC);
	is(bench, "holdfast_pings_answered_total", "3");
	is(bench, "holdfast_ping_round_trip_seconds_count", "3");
	is(bench, "holdfast_ping_round_trip_seconds_sum", "0.012000");
	is(bench, "holdfast_pings_failed_total", "0");
	/* Three windows without an answer, and it is lost. */
	bench->world->frozen = true;
	bench->world->silent = true;
	bench_run(bench, 9 * SEC);
	is(bench, "holdfast_pings_failed_total", "3");
	is(bench, "holdfast_disconnects_total", "1");
	bench->world->frozen = false;
	bench->world->silent = false;
	bench_free(bench);
}

/* ---- writes ---- */

static void test_queue(void)
{
	struct bench *bench = bench_new("[Debounce]\nDelay=0\n");

	bench->world->away = true;
	bench_start(bench);
	is(bench, "holdfast_queue_oldest_age_seconds", "0.000000");
	bench_set(bench, "a", "12345");
	bench_disk(bench);
	bench_run(bench, 10 * SEC);
	bench_remove(bench, "bc");
	bench_write_to(bench, bench_open_area(bench, "other"), "k", "v");
	bench_disk(bench);
	bench_run(bench, 5 * SEC);
	is(bench, "holdfast_areas", "2");
	is(bench, "holdfast_queue_entries", "3");
	is(bench, "holdfast_queue_bytes", "10");
	is(bench, "holdfast_queue_oldest_age_seconds", "15.000000");
	is(bench, "holdfast_writes_total", "3");
	bench->world->away = false;
	bench_drain(bench, 30 * SEC);
	bench_run(bench, SEC);
	is(bench, "holdfast_queue_entries", "0");
	is(bench, "holdfast_queue_bytes", "0");
	is(bench, "holdfast_queue_oldest_age_seconds", "0.000000");
	is(bench, "holdfast_operations_acked_total", "3");
	is(bench, "holdfast_sent_bytes_total", "10");
	is(bench, "holdfast_items", "3");	/* one of them a tombstone */
	is(bench, "holdfast_items_bytes", "10");
	bench_free(bench);
}

/* What is written anew waits since then: the head is the oldest all the same. */
static void test_age_after_coalescing(void)
{
	struct bench *bench = bench_new(NULL);

	bench->world->away = true;
	bench_start(bench);
	bench_set(bench, "a", "1");
	bench_disk(bench);
	bench_run(bench, 10 * SEC);
	bench_set(bench, "b", "1");
	bench_disk(bench);
	bench_run(bench, 5 * SEC);
	bench_set(bench, "a", "2");
	bench_disk(bench);
	g_assert_cmpstr(bench_queue(bench), ==, "2:b=1 3:a=2");
	is(bench, "holdfast_queue_oldest_age_seconds", "5.000000");
	bench_run(bench, SEC);
	bench_set(bench, "b", "2");
	bench_disk(bench);
	is(bench, "holdfast_queue_oldest_age_seconds", "1.000000");
	bench_free(bench);
}

/* A suspend counts, somebody who sets the date does not; and it goes on over a start. */
static void test_age_clock(void)
{
	struct bench *bench = bench_new(NULL);
	g_autofree char *age = NULL;
	uint64_t queued_at;

	bench->world->away = true;
	bench_start(bench);
	queued_at = bench->now;
	bench_set(bench, "a", "1");
	bench_disk(bench);
	bench->suspended += 3600 * SEC;
	is(bench, "holdfast_queue_oldest_age_seconds", "3600.000000");
	bench->stepped += 1000 * SEC;
	is(bench, "holdfast_queue_oldest_age_seconds", "3600.000000");
	bench->stepped -= 5000 * SEC;
	is(bench, "holdfast_queue_oldest_age_seconds", "3600.000000");
	bench->stepped = 0;
	bench_crash(bench);
	bench->now += 400 * SEC;
	bench_start(bench);
	is(bench, "holdfast_queue_entries", "1");
	age = g_strdup_printf("%.6f", (double)(bench->now - queued_at) / 1e6 + 3600);
	is(bench, "holdfast_queue_oldest_age_seconds", age);
	bench_free(bench);
}

static void test_refusals(void)
{
	struct bench *bench = bench_new("[Queue]\nLimit=1\n");
	g_autofree char *large = g_strnfill(LIMIT_VALUE_BYTES + 1, 'x');

	bench->world->away = true;
	bench_start(bench);
	bench_set(bench, "k", "v");
	bench_disk(bench);
	bench_set(bench, "k2", "v");
	bench_set(bench, "", "v");
	bench_set(bench, "k", large);
	bench_disk(bench);
	bench->disk_error = -ENOSPC;
	bench_set(bench, "k", "v2");
	bench_disk(bench);
	bench->disk_error = 0;
	is(bench, "holdfast_writes_total", "1");
	is(bench, "holdfast_writes_refused_total{reason=\"quota\"}", "1");
	is(bench, "holdfast_writes_refused_total{reason=\"invalid\"}", "1");
	is(bench, "holdfast_writes_refused_total{reason=\"too-large\"}", "1");
	is(bench, "holdfast_writes_refused_total{reason=\"disk\"}", "1");
	is(bench, "holdfast_writes_refused_total{reason=\"stopping\"}", "0");
	is(bench, "holdfast_commits_failed_total", "1");
	bench_free(bench);
}

static void test_drops(void)
{
	struct bench *bench = bench_new("[Queue]\nLimit=2\nOverflow=drop-oldest\n");

	bench->world->away = true;
	bench_start(bench);
	for (const char *key = "abcde"; *key; key++) {
		char name[] = { *key, '\0' };

		bench_set(bench, name, "v");
		bench_disk(bench);
	}
	is(bench, "holdfast_dropped_entries_total", "3");
	is(bench, "holdfast_queue_entries", "2");
	is(bench, "holdfast_writes_total", "5");
	bench_free(bench);
}

static void test_rejections(void)
{
	struct bench *bench = bench_online("[Debounce]\nDelay=0\n");
	struct reply *set = bench_set(bench, "a", "bad");

	bench_set(bench, "b", "good");
	bench_set(bench, "c", "big");
	bench_disk(bench);
	bench_drain(bench, 5 * SEC);
	is(bench, "holdfast_rejections_total", "2");
	is(bench, "holdfast_rejected_entries", "2");
	is(bench, "holdfast_operations_acked_total", "1");
	bench_forget(bench, set->serial);
	bench_disk(bench);
	is(bench, "holdfast_rejected_entries", "1");
	is(bench, "holdfast_rejections_total", "2");
	is(bench, "holdfast_writes_total", "3");
	/* Refused as a whole: parted until the one is alone. */
	bench_set(bench, "d", "poison");
	bench_disk(bench);
	bench_drain(bench, 5 * SEC);
	is(bench, "holdfast_rejections_total", "3");
	is(bench, "holdfast_acks_total", "2");	/* "a" alone, then the others */
	is(bench, "holdfast_batches_sent_total", "3");
	bench_free(bench);
}

static void test_rejected_evicted(void)
{
	struct bench *bench = bench_online("[Debounce]\nDelay=0\n");
	char key[16];

	for (unsigned int i = 0; i < LIMIT_REJECTED_ROWS + 3; i++) {
		g_snprintf(key, sizeof(key), "k%u", i);
		bench_set(bench, key, "bad");
	}
	bench_drain(bench, 30 * SEC);
	bench_run(bench, SEC);
	is(bench, "holdfast_rejections_total", "1003");
	is(bench, "holdfast_rejected_evicted_total", "3");
	is(bench, "holdfast_rejected_entries", "1000");
	is(bench, "holdfast_dropped_entries_total", "0");
	bench_free(bench);
}

/* ---- batches ---- */

static void test_retries(void)
{
	struct bench *bench = bench_online("[Debounce]\nDelay=0\n[Parent]\nBatchTimeout=3s\n");

	bench->world->refuse_batches = 2;
	bench->world->refuse_class = WIRE_TRANSIENT;
	bench_set(bench, "k", "v1");
	bench_drain(bench, 5 * SEC);
	is(bench, "holdfast_batch_retries_total{class=\"transient\"}", "2");
	is(bench, "holdfast_batches_sent_total", "3");
	is(bench, "holdfast_sent_bytes_total", "9");
	bench->world->refuse_batches = 1;
	bench->world->refuse_class = WIRE_CAPACITY;
	bench_set(bench, "k", "v2");
	bench_drain(bench, 5 * SEC);
	is(bench, "holdfast_batch_retries_total{class=\"capacity\"}", "1");
	is(bench, "holdfast_duplicate_acks_total", "0");
	/* The ack is lost with the connection. */
	bench->world->lose_acks = 1;
	bench_set(bench, "k", "v3");
	bench_disk(bench);
	bench_run(bench, 10 * MSEC);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_drain(bench, 20 * SEC);
	is(bench, "holdfast_batch_retries_total{class=\"closed\"}", "1");
	is(bench, "holdfast_duplicate_acks_total", "1");
	/* It is not lost, but does not come. */
	bench->world->lose_acks = 1;
	bench_set(bench, "k", "v4");
	bench_drain(bench, 20 * SEC);
	is(bench, "holdfast_batch_retries_total{class=\"timeout\"}", "1");
	is(bench, "holdfast_batch_retries_total{class=\"closed\"}", "1");
	is(bench, "holdfast_duplicate_acks_total", "2");
	is(bench, "holdfast_acks_total", "4");
	is(bench, "holdfast_operations_acked_total", "4");
	is(bench, "holdfast_batches_sent_total", "9");
	is(bench, "holdfast_parent_lost_data_total", "0");
	bench_free(bench);
}

static void test_lost_data_and_client(void)
{
	struct bench *bench = bench_online("[Debounce]\nDelay=0\n");
	struct fake_store *old = fake_store_copy(bench->world->store);

	bench_set(bench, "k", "v");
	bench_drain(bench, 5 * SEC);
	fake_store_restore(bench->world, old);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 20 * SEC);
	is(bench, "holdfast_parent_lost_data_total", "1");
	is(bench, "holdfast_client_id_renewals_total", "0");
	/* It claims what we never sent. */
	fake_set_last_batch(bench->world, bench->world->last_client, 1000000);
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 20 * SEC);
	is(bench, "holdfast_client_id_renewals_total", "1");
	is(bench, "holdfast_parent_lost_data_total", "1");
	bench_free(bench);
}

/* ---- reads ---- */

#define READS(word) "holdfast_reads_total{source=\"" word "\"}"

static void test_reads(void)
{
	struct bench *bench = bench_online("[Debounce]\nDelay=10s\nMaxDelay=10s\n");

	fake_put(bench->world, "default", "k", "v");
	bench_wait(bench, bench_get(bench, "k"), SEC);
	bench_wait(bench, bench_get(bench, "k"), SEC);
	bench_wait(bench, bench_get(bench, "absent"), SEC);
	bench_wait(bench, bench_get(bench, "absent"), SEC);
	bench_set(bench, "own", "v");
	bench_wait(bench, bench_get(bench, "own"), SEC);
	is(bench, READS("parent"), "2");
	is(bench, READS("cache"), "2");
	is(bench, READS("queue"), "1");
	is(bench, "holdfast_cache_hits_total", "2");
	is(bench, "holdfast_cache_misses_total", "2");
	is(bench, "holdfast_cache_entries", "2");
	is(bench, "holdfast_fetches_total", "2");
	is(bench, "holdfast_stale_reads_total", "0");
	bench->world->away = true;
	fake_cut(bench->world, PARENT_REASON_CLOSED);
	bench_run(bench, 6 * SEC);	/* what is cached is not fresh any more */
	bench_is(bench_get(bench, "k"), "v", "local");
	g_assert_cmpint(bench_get(bench, "never")->error, ==, HF_UNAVAILABLE);
	is(bench, READS("local"), "1");
	is(bench, READS("none"), "1");
	is(bench, "holdfast_stale_reads_total", "1");
	bench_free(bench);
}

static void test_fetch_retries(void)
{
	struct bench *bench = bench_online(NULL);

	fake_put(bench->world, "default", "k", "v");
	bench->world->refuse_gets = 1;
	bench->world->refuse_class = WIRE_CAPACITY;
	bench_wait(bench, bench_get(bench, "k"), 5 * SEC);
	bench->world->swallow = 1;
	bench_wait(bench, bench_get(bench, "other"), 5 * SEC);
	is(bench, "holdfast_fetch_retries_total{class=\"capacity\"}", "1");
	is(bench, "holdfast_fetch_retries_total{class=\"timeout\"}", "1");
	is(bench, "holdfast_fetch_retries_total{class=\"transient\"}", "0");
	is(bench, "holdfast_fetches_total", "4");
	is(bench, READS("parent"), "2");
	bench_free(bench);
}

static void test_direct(void)
{
	struct bench *bench = bench_online(NULL);

	bench_wait(bench, bench_direct_set(bench, "k", "v"), SEC);
	bench_wait(bench, bench_direct_get(bench, "k"), SEC);
	bench_wait(bench, bench_direct_get(bench, "k"), SEC);
	bench_wait(bench, bench_direct_set(bench, "k", NULL), SEC);
	is(bench, "holdfast_direct_requests_total{operation=\"get\"}", "2");
	is(bench, "holdfast_direct_requests_total{operation=\"set\"}", "1");
	is(bench, "holdfast_direct_requests_total{operation=\"remove\"}", "1");
	is(bench, "holdfast_writes_total", "0");
	is(bench, READS("parent"), "0");
	bench_free(bench);
}

static void test_local(void)
{
	struct bench *bench = bench_new(NULL);

	bench->world->local = true;
	bench_start(bench);
	bench_set(bench, "k", "v");
	bench_disk(bench);
	bench_is(bench_get(bench, "k"), "v", "local");
	g_assert_cmpint(bench_get(bench, "absent")->error, ==, HF_NO_SUCH_ITEM);
	is(bench, READS("local"), "2");
	is(bench, READS("none"), "0");
	is(bench, "holdfast_stale_reads_total", "0");
	is(bench, "holdfast_queue_entries", "0");
	is(bench, "holdfast_batches_sent_total", "0");
	is(bench, "holdfast_items_bytes", "2");
	bench_free(bench);
}

/* ---- the disk ---- */

static void test_commits(void)
{
	struct bench *bench = bench_online("[Debounce]\nDelay=10s\nMaxDelay=10s\n");
	g_autofree char *before = look(bench, "holdfast_commits_total");
	uint64_t commits = g_ascii_strtoull(before, NULL, 10);
	g_autofree char *after = g_strdup_printf("%" G_GUINT64_FORMAT, commits + 2);

	bench->held = true;
	for (unsigned int i = 0; i < 10; i++)
		bench_set(bench, "k", "v");	/* one alone, nine in a group */
	bench_disk(bench);
	is(bench, "holdfast_commits_total", after);
	is(bench, "holdfast_commit_duration_seconds_count", after);
	is(bench, "holdfast_commit_duration_seconds_bucket{le=\"+Inf\"}", after);
	is(bench, "holdfast_commits_failed_total", "0");
	bench_free(bench);
}

/* ---- what survives ---- */

static void test_reload(void)
{
	struct bench *bench = bench_online("[Debounce]\nDelay=0\n");

	bench_set(bench, "k", "v");
	bench_drain(bench, 5 * SEC);
	bench_wait(bench, bench_get(bench, "k"), SEC);
	bench_set_config(bench, "[Parent]\nAddress=unix:/another\n[Cache]\nMaxBytes=1M\n");
	bench_run(bench, 5 * SEC);
	is(bench, "holdfast_writes_total", "1");
	is(bench, "holdfast_acks_total", "1");
	is(bench, "holdfast_cache_hits_total", "1");
	is(bench, "holdfast_connects_total", "2");
	is(bench, "holdfast_disconnects_total", "1");
	is(bench, "holdfast_ping_round_trip_seconds_count", "2");
	bench_free(bench);
}

int main(int argc, char *argv[])
{
	seed_init(&argc, &argv);
	g_test_add_func("/exposition/format", test_format);
	g_test_add_func("/exposition/start", test_all_zero_at_start);
	g_test_add_func("/exposition/state", test_state);
	g_test_add_func("/exposition/pings", test_pings);
	g_test_add_func("/exposition/queue", test_queue);
	g_test_add_func("/exposition/age/coalescing", test_age_after_coalescing);
	g_test_add_func("/exposition/age/clock", test_age_clock);
	g_test_add_func("/exposition/refusals", test_refusals);
	g_test_add_func("/exposition/drops", test_drops);
	g_test_add_func("/exposition/rejections", test_rejections);
	g_test_add_func("/exposition/evicted", test_rejected_evicted);
	g_test_add_func("/exposition/retries", test_retries);
	g_test_add_func("/exposition/lost-data", test_lost_data_and_client);
	g_test_add_func("/exposition/reads", test_reads);
	g_test_add_func("/exposition/fetch-retries", test_fetch_retries);
	g_test_add_func("/exposition/direct", test_direct);
	g_test_add_func("/exposition/local", test_local);
	g_test_add_func("/exposition/commits", test_commits);
	g_test_add_func("/exposition/reload", test_reload);
	return g_test_run();
}
