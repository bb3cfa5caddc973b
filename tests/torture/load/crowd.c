/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A crowd; see crowd.h. Each actor keeps a number of calls under way until it has made its share.
 * Then all queues are flushed, and what the parent must now hold is written to a file.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor.h"
#include "client.h"
#include "crowd.h"
#include "samples.h"
#include "shot.h"

#define POLL_TIMEOUT 1000 /* ms after which libsystemd may end calls that got no answer */

struct winner {
	uint64_t serial;
	unsigned int actor;
	uint32_t version;
};

struct crowd {
	struct actor *actors;
	unsigned int size;
	uint64_t window;   /* calls that an actor has under way */
	uint64_t patience; /* usec that an answer may take */
	uint64_t report;   /* a line on stdout each so many calls */
	unsigned int busy; /* actors that have not ended */
	uint64_t answered, errors;
	struct samples samples;
	struct winner winners[SHARED_KEYS];
	GHashTable *serials; /* of the shared area */
};

unsigned int crowd_size(const struct crowd *crowd)
{
	return crowd->size;
}

struct actor *crowd_actor(const struct crowd *crowd, unsigned int id)
{
	return &crowd->actors[id];
}

bool crowd_note_shared(struct crowd *crowd, uint64_t serial, unsigned int actor, unsigned int key,
		       uint32_t version)
{
	if (serial > crowd->winners[key].serial)
		crowd->winners[key] = (struct winner){ serial, actor, version };
	return g_hash_table_add(crowd->serials, GSIZE_TO_POINTER(serial));
}

/* ---- calls ---- */

static void actor_fill(struct actor *actor);

static void crowd_count(struct crowd *crowd, const struct shot *shot)
{
	uint64_t took = now_usec() - shot->sent_at;

	samples_add(&crowd->samples, took);
	if (took > crowd->patience && !shot->kind->large)
		shot_fail(shot, "took %" G_GUINT64_FORMAT " usec", took);
	crowd->answered++;
	if (crowd->report && crowd->answered % crowd->report == 0) {
		printf("answered %" G_GUINT64_FORMAT "\n", crowd->answered);
		fflush(stdout);
	}
}

static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct shot *shot = data;
	struct actor *actor = shot->actor;

	(void)error;
	actor->crowd->errors += sd_bus_message_is_method_error(reply, NULL) > 0;
	shot_judge(shot, reply);
	crowd_count(actor->crowd, shot);
	g_free(shot);
	actor->under_way--;
	actor_fill(actor);
	return 1; /* or on_other() would have it, too */
}

/* An answer to nothing, or a second one to something. */
static int on_other(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct actor *actor = data;

	(void)error;
	if (sd_bus_message_is_method_call(m, NULL, NULL) || sd_bus_message_is_signal(m, NULL, NULL))
		return 0;
	fatal("client %u got an answer that it had no call for", actor->id);
}

static void actor_shoot(struct actor *actor)
{
	struct shot *shot = g_new0(struct shot, 1);
	sd_bus_message *m;
	int r;

	actor->left--;
	actor->under_way++;
	shot->actor = actor;
	shot->number = ++actor->calls;
	shot->kind = shot_choose(actor);
	shot->key = (unsigned int)g_rand_int_range(actor->rand, 0, OWN_KEYS);
	memcpy(shot->own, actor->own, sizeof(shot->own));
	shot->changes = actor->changes->len;
	m = shot->kind->make(shot);
	shot->sent_at = now_usec();
	r = sd_bus_call_async(actor->bus, NULL, m, on_reply, shot, CALL_TIMEOUT);
	sd_bus_message_unref(m);
	if (r < 0)
		fatal("client %u cannot call: %s", actor->id, g_strerror(-r));
}

static void actor_fill(struct actor *actor)
{
	while (actor->left > 0 && actor->under_way < actor->crowd->window)
		actor_shoot(actor);
	if (actor->under_way == 0)
		actor->crowd->busy--;
}

/* ---- what comes of it ---- */

static void flush(struct actor *actor, const char *path)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = client_call(actor->bus, path, "Flush");

	sd_bus_message_append(m, "t", UINT64_MAX);
	if (sd_bus_call(actor->bus, m, CALL_TIMEOUT, &error, NULL) < 0)
		fatal("Flush of client %u: %s: %s", actor->id, error.name, error.message);
	sd_bus_message_unref(m);
}

static void expect(FILE *file, const char *area, const char *key, unsigned int actor,
		   uint32_t version)
{
	char value[VALUE_SIZE];

	if (version)
		value_text(actor, key, version, value);
	fprintf(file, "%s\t%s\t%s\n", area, key, version ? value : "");
}

/* Lines of area, key and value, tabs between; without a value: absent. */
static void crowd_write_expected(const struct crowd *crowd, const char *path, const char *prefix)
{
	g_autofree char *shared = g_strdup_printf("%s-shared", prefix);
	FILE *file = fopen(path, "w");

	if (!file)
		fatal("cannot write %s", path);
	for (unsigned int i = 0; i < crowd->size; i++)
		for (unsigned int k = 0; k < OWN_KEYS; k++)
			expect(file, crowd->actors[i].own_name, own_key(k), i,
			       crowd->actors[i].own[k]);
	for (unsigned int k = 0; k < SHARED_KEYS; k++)
		expect(file, shared, shared_key(k), crowd->winners[k].actor,
		       crowd->winners[k].version);
	if (fclose(file) != 0)
		fatal("cannot write %s", path);
}

/* Each client's turn: what has come for it. Return: whether anything had. */
static bool crowd_turn(struct crowd *crowd)
{
	bool any = false;
	int r;

	for (unsigned int i = 0; i < crowd->size; i++) {
		do {
			r = sd_bus_process(crowd->actors[i].bus, NULL);
			if (r < 0)
				fatal("client %u lost the bus: %s", i, g_strerror(-r));
			any = any || r > 0;
		} while (r > 0);
	}
	return any;
}

/* Not sd-event: with hundreds of connections it lets some of them wait for seconds. */
static void crowd_loop(struct crowd *crowd)
{
	g_autofree struct pollfd *fds = g_new0(struct pollfd, crowd->size);

	while (crowd->busy > 0) {
		if (crowd_turn(crowd))
			continue;
		for (unsigned int i = 0; i < crowd->size; i++)
			fds[i] = (struct pollfd){
				.fd = sd_bus_get_fd(crowd->actors[i].bus),
				.events = (short)sd_bus_get_events(crowd->actors[i].bus),
			};
		if (poll(fds, crowd->size, POLL_TIMEOUT) < 0 && errno != EINTR)
			fatal("poll: %s", g_strerror(errno));
	}
}

static void crowd_run(struct crowd *crowd)
{
	crowd->busy = crowd->size;
	for (unsigned int i = 0; i < crowd->size; i++)
		if (sd_bus_add_filter(crowd->actors[i].bus, NULL, on_other, &crowd->actors[i]) < 0)
			fatal("no memory");
	for (unsigned int i = 0; i < crowd->size; i++)
		actor_fill(&crowd->actors[i]);
	crowd_loop(crowd);
	for (unsigned int i = 0; i < crowd->size; i++)
		flush(&crowd->actors[i], crowd->actors[i].own_path);
	flush(&crowd->actors[0], crowd->actors[0].shared_path);
}

int crowd_main(char **args)
{
	const char *prefix = option_text(args, "--prefix", "crowd");
	const char *expected = option_text(args, "--expected", NULL);
	uint64_t calls = option_number(args, "--calls", 1000);
	struct crowd crowd = {
		.size = (unsigned int)option_number(args, "--clients", 1),
		.window = option_number(args, "--window", 8),
		.patience = option_number(args, "--patience", 5 * G_USEC_PER_SEC),
		.report = option_number(args, "--report", 0),
	};

	samples_init(&crowd.samples);
	crowd.serials = g_hash_table_new(NULL, NULL);
	crowd.actors = g_new0(struct actor, crowd.size);
	for (unsigned int i = 0; i < crowd.size; i++) {
		actor_init(&crowd.actors[i], &crowd, i, (uint32_t)option_number(args, "--seed", 1),
			   prefix, crowd.size);
		crowd.actors[i].left = calls / crowd.size;
	}
	crowd_run(&crowd);
	if (expected)
		crowd_write_expected(&crowd, expected, prefix);
	printf("calls %" G_GUINT64_FORMAT "\nerrors %" G_GUINT64_FORMAT "\np50 %" G_GUINT64_FORMAT
	       "\np99 %" G_GUINT64_FORMAT "\nmax %" G_GUINT64_FORMAT "\n",
	       crowd.answered, crowd.errors, samples_at(&crowd.samples, 500),
	       samples_at(&crowd.samples, 990), samples_at(&crowd.samples, 1000));
	for (unsigned int i = 0; i < crowd.size; i++)
		actor_deinit(&crowd.actors[i]);
	g_hash_table_unref(crowd.serials);
	g_free(crowd.actors);
	samples_deinit(&crowd.samples);
	return 0;
}
