/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A daemon whose parent is the fuzzer: the engine with the real driver, channel, storage and store,
 * on a clock that the input moves. A step is a call of a client, something the parent says, well-
 * formed or not, or some fault of line, disk or daemon. Whatever the parent does, the model of the
 * simulation holds for the queue: a write that was answered is in it until a right answer takes it
 * off, every call is answered once and in time, own writes are read; a wrong answer ends the
 * connection; and once the parent means well again the queue drains.
 */

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "engine/area-inner.h"
#include "engine/monitor.h"
#include "parent-words.h"
#include "setup.h"

#define STEPS_MAX 400		/* an input has its say in these */
#define HEAL_USEC (7400 * SEC)	/* a parent may have asked for an hour's patience, twice */

#define WELL "[Heartbeat]\nAutoRecover=yes\nInterval=5s\nTimeout=2s\nMaxFailedPings=3\n"

#define AREAS "[Area a1]\nLimit=8\nOverflow=drop-oldest\n[Area a2]\nLimit=10\nMaxBytes=200\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
	struct input input;
	struct daemon_calls *calls;
	struct parent_end end;
	struct parent_words words;
	bool keeps;	/* its store outlives it */
};

/* ---- time and faults ---- */

static void play_pass(struct play *play, uint64_t usec)
{
	bench_run(play->calls->bench, usec);
	if (play->calls->bench->held)
		play->calls->stalled += usec;
}

static void step_time(struct play *play)
{
	uint64_t n = input_byte(&play->input);

	switch (n % 4) {
	case 0:
		play_pass(play, n * 50);
		break;
	case 1:
		play_pass(play, n * MSEC);
		break;
	case 2:
		play_pass(play, n * 10 * MSEC);
		break;
	case 3:
		play_pass(play, n * 50 * MSEC);
		break;
	}
}

static void step_disk(struct play *play)
{
	struct bench *bench = play->calls->bench;

	switch (input_pick(&play->input, 4)) {
	case 0:
		bench->held = !bench->held;
		break;
	case 1:
		bench->disk_error = bench->disk_error ? 0 : -ENOSPC;
		break;
	case 2:
		bench_step(bench, bench->disk_error);
		break;
	case 3:
		bench_step(bench, -EIO);
		break;
	}
}

/* What tells the monitor to look, and what changes its mind. */
static void step_monitor(struct play *play, unsigned int n)
{
	static const char *const reloads[] = {
		"[Heartbeat]\nAutoRecover=no\n",
		WELL,
		"[Heartbeat]\nInterval=10ms\nTimeout=10ms\nMaxFailedPings=1\n",
		"[Cache]\nTTL=0\n[Queue]\nLimit=2\nOverflow=reject\n[Debounce]\nDelay=5s\n",
	};
	struct monitor *monitor = storage_monitor(play->calls->bench->storage);

	switch (n % 4) {
	case 0:
		monitor_check(monitor);
		break;
	case 1:
		monitor_hint(monitor);
		break;
	case 2:
		monitor_socket_appeared(monitor);
		break;
	case 3:
		bench_set_config(play->calls->bench, reloads[n / 4 % G_N_ELEMENTS(reloads)]);
		break;
	}
}

static void step_line(struct play *play)
{
	struct parent_end *end = &play->end;
	unsigned int n = input_byte(&play->input);

	switch (n % 8) {
	case 0:
	case 1:
		parent_end_cut(end, n % 8);
		break;
	case 2:
		end->dials = n / 8 % _DIALS_MAX;
		break;
	case 3:
		if (end->stream)
			memory_stream_set_room(end->stream, 0);
		break;
	case 4:
		if (end->stream)
			memory_stream_set_room(end->stream, n);
		break;
	case 5:
		if (end->stream)
			memory_stream_set_room(end->stream, SIZE_MAX);
		break;
	case 6:
		parent_end_shut(end);
		break;
	case 7:
		step_monitor(play, n / 8);
		break;
	}
}

static void play_crash(struct play *play)
{
	struct daemon_calls *calls = play->calls;
	enum dials dials = play->end.dials;

	/* Without a line, which nobody serves any more, a ghost has nothing to wait for. */
	play->end.dials = DIALS_REFUSED;
	parent_end_cut(&play->end, true);
	parent_end_settle(&play->end);
	calls->ghost = true;
	if (input_pick(&play->input, 2))
		bench_step(calls->bench, 0);
	bench_crash(calls->bench);
	g_assert_cmpuint(calls->open->len, ==, 0);
	calls->crashes++;
	play->end.dials = dials;
	daemon_calls_open(calls);
}

static void play_stop(struct play *play)
{
	struct bench *bench = play->calls->bench;
	bool held = bench->held;

	bench->held = false;
	daemon_calls_stop(play->calls);
	bench->held = held;
	daemon_calls_open(play->calls);
}

static void step_daemon(struct play *play)
{
	if (!play->keeps)
		return;
	if (input_pick(&play->input, 4))
		play_crash(play);
	else
		play_stop(play);
}

/* ---- what the parent says ---- */

static void step_message(struct play *play)
{
	g_autoptr(GString) line = parent_words_message(&play->words);

	parent_end_tell(&play->end, line->str, line->len);
}

/* More than may be complained about while nothing is read. */
static void step_flood(struct play *play)
{
	static const char news[] = "{\"type\":\"news\"}\n";

	for (unsigned int i = 0; i < 80; i++)
		parent_end_say(&play->end, news, sizeof(news) - 1);
	parent_end_settle(&play->end);
}

/* Several messages in one read, the last perhaps cut. */
static void step_burst(struct play *play)
{
	unsigned int n = 2 + input_pick(&play->input, 8);
	bool cut = input_pick(&play->input, 2);

	for (unsigned int i = 0; i < n; i++) {
		g_autoptr(GString) line = i % 4 == 3 ? parent_words_ack(&play->words)
						     : parent_words_message(&play->words);

		parent_end_say(&play->end, line->str,
			       i == n - 1 && cut ? line->len / 2 : line->len);
	}
	parent_end_settle(&play->end);
}

/* A right or wrong message with one byte changed, or cut in two. */
static void step_damage(struct play *play)
{
	g_autoptr(GString) line = parent_words_message(&play->words);
	size_t at = input_pick(&play->input, (unsigned int)line->len - 1);
	uint8_t byte = input_byte(&play->input);

	if (byte == 0) {
		parent_end_tell(&play->end, line->str, at);
		play_pass(play, 500 * MSEC);
		parent_end_tell(&play->end, line->str + at, line->len - at);
		return;
	}
	line->str[at] = (char)(line->str[at] ^ byte);
	parent_end_tell(&play->end, line->str, line->len);
}

static void step_bytes(struct play *play)
{
	size_t len;
	const uint8_t *bytes = input_rest(&play->input, 1 + input_pick(&play->input, 128), &len);

	parent_end_tell(&play->end, (const char *)bytes, len);
	if (input_pick(&play->input, 2))
		parent_end_tell(&play->end, "\n", 1);
}

/* Around the sizes that something depends on; the largest but rarely, for it takes long. */
static void step_long(struct play *play)
{
	static const size_t sizes[] = {
		257, 513, 4096, 65536, 65537, 131072, 300000, LIMIT_LINE_BYTES + 1,
	};
	unsigned int which = input_byte(&play->input);
	g_autofree char *text = NULL;
	size_t size;

	if (which == 255)
		size = sizes[7];
	else
		size = sizes[which % 7];
	text = g_strnfill(size, (char)('0' + which % 10));
	parent_end_tell(&play->end, "{\"type\":\"", 9);
	parent_end_tell(&play->end, text, size);
	if (which & 8)
		parent_end_tell(&play->end, "\"}\n", 3);
}

static void step_ack(struct play *play)
{
	g_autoptr(GString) line = parent_words_ack(&play->words);

	parent_end_tell(&play->end, line->str, line->len);
}

static void step_oblige(struct play *play)
{
	play->words.oblige = input_byte(&play->input) & OBLIGE_ALL;
}

/* ---- the play ---- */

static void play_step(struct play *play)
{
	unsigned int what = input_pick(&play->input, 32);

	if (what < 9)
		daemon_calls_act(play->calls);
	else if (what < 15)
		step_time(play);
	else if (what < 22)
		step_message(play);
	else if (what < 23)
		step_ack(play);
	else if (what < 24)
		input_pick(&play->input, 16) ? step_burst(play) : step_flood(play);
	else if (what < 25)
		step_damage(play);
	else if (what < 26)
		step_bytes(play);
	else if (what < 27)
		step_long(play);
	else if (what < 28)
		step_line(play);
	else if (what < 29)
		step_disk(play);
	else if (what < 30)
		step_daemon(play);
	else
		step_oblige(play);
}

static bool all_is_well(const struct play *play)
{
	return daemon_calls_well(play->calls) &&
	       monitor_state(storage_monitor(play->calls->bench->storage)) == MONITOR_CONNECTED;
}

/* All is well again: everything must end well. */
static void play_heal(struct play *play)
{
	struct bench *bench = play->calls->bench;
	uint64_t until = bench->now + HEAL_USEC, step = 100 * MSEC;

	bench->held = false;
	bench->disk_error = 0;
	bench_set_config(bench, WELL);
	play->words.oblige = OBLIGE_ALL;
	play->end.dials = DIALS_ACCEPTED;
	if (play->end.stream)
		memory_stream_set_room(play->end.stream, SIZE_MAX);
	while (!all_is_well(play) && bench->now < until) {
			bench_run(bench, step);
		daemon_calls_check(play->calls);
		step = MIN(2 * step, 60 * SEC);
	}
	if (!all_is_well(play))
		g_error("not well: %u calls open; %s", play->calls->open->len,
			monitor_reason(storage_monitor(bench->storage)));
	daemon_calls_check_refused(play->calls);
}

static void play_all(struct play *play)
{
	daemon_calls_open(play->calls);
	for (unsigned int i = 0; i < STEPS_MAX && play->input.left > 0; i++) {
		play_step(play);
		daemon_calls_check(play->calls);
	}
	play_heal(play);
}

/* ---- a new store each time, copied: to make one takes longer than to play ---- */

static void store_files(const char *path, bool save)
{
	static const char *const suffixes[] = { "", ".lock" };
	static char *kept[2];
	static size_t lengths[2];

	for (unsigned int i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *name = g_strconcat(path, suffixes[i], NULL);

		if (save)
			g_assert_true(g_file_get_contents(name, &kept[i], &lengths[i], NULL));
		else
			g_assert_true(g_file_set_contents_full(name, kept[i], (gssize)lengths[i],
							       G_FILE_SET_CONTENTS_NONE, 0600,
							       NULL));
	}
}

/* The store of a daemon that has its areas and never met a parent. */
static void store_make(void)
{
	struct input none = { 0 };
	struct daemon_calls *calls = daemon_calls_new(NULL, &none);
	struct parent_end end;

	parent_end_init(&end, calls);
	end.dials = DIALS_REFUSED;
	daemon_calls_open(calls);
	daemon_calls_stop(calls);
	store_files(calls->bench->path, true);
	daemon_calls_free(calls);
	parent_end_deinit(&end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const configs[] = {
		AREAS "[Storage]\nDurability=normal\n[Debounce]\nDelay=0\n"
		"[Heartbeat]\nInterval=60s\nTimeout=30s\n",
		AREAS,
		AREAS "[Storage]\nDurability=memory\n",
		AREAS "[Queue]\nLimit=3\nOverflow=drop-oldest\n"
		"[Heartbeat]\nInterval=1s\nTimeout=200ms\n"
		"[Parent]\nBatchTimeout=2s\nDialTimeout=300ms\nRequestTimeout=200ms\n"
		"[Debounce]\nDelay=0\n[Cache]\nTTL=0\n",
	};
	struct play play = { .input = { data, size } };
	unsigned int which = input_byte(&play.input);
	static bool made;

	fuzz_setup();
	if (!made)
		store_make();
	made = true;
	play.keeps = which % 4 != 2;
	play.calls = daemon_calls_new(configs[which % 4], &play.input);
	parent_end_init(&play.end, play.calls);
	parent_words_init(&play.words, &play.end, &play.input);
	play.words.oblige = which / 4 & OBLIGE_ALL;
	store_files(play.calls->bench->path, false);
	play_all(&play);
	daemon_calls_free(play.calls);
	parent_end_deinit(&play.end);
	return 0;
}
