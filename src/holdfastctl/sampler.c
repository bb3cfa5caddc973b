/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon's numbers; see sampler.h.
 *
 * A round is three questions sent at once, and a fourth, for the list of the queue, if something
 * waits in it: that list is the only place that says since when. A long list is asked for seldom.
 *
 * The daemon keeps the time of the last ping and of the last pong by the wall clock, so their
 * distance is a round trip unless the next ping is out already or the clock was set in between; then
 * the mean has to do.
 */

#include <glib.h>
#include <string.h>

#include "base/util.h"
#include "holdfastctl/sampler.h"

#define INTERVAL	  USEC_PER_SEC
#define ANSWER_TIMEOUT	  (3 * USEC_PER_SEC) /* then it is said that the daemon is silent */
#define LONG_QUEUE	  1000	/* entries; a longer list costs both sides too much each second */
#define LONG_QUEUE_ROUNDS 10	/* so often its list is asked for */
#define LONGEST_ROUND_TRIP (60 * USEC_PER_SEC)

enum question {
	QUESTION_MONITOR,
	QUESTION_STATS,
	QUESTION_STORAGE,
	QUESTION_QUEUE,
	N_QUESTIONS,
};

struct sampler {
	struct client *client;
	const struct sampler_ops *ops;
	void *data;
	sd_event_source *timer;
	char *owner;			/* NULL: nobody is asked */
	sd_bus_slot *calls[N_QUESTIONS];	/* those under way */
	struct sample sample;		/* what the answers of this round said so far */
	bool measured;			/* the next two are this owner's, of the last round */
	uint64_t pongs;
	uint32_t failed;
	uint64_t oldest;		/* of the last list */
	unsigned int rounds_to_list;	/* until a long queue is listed again */
};

static void cancel(struct sampler *sampler)
{
	for (size_t i = 0; i < N_QUESTIONS; i++)
		sampler->calls[i] = sd_bus_slot_unref(sampler->calls[i]);
	overview_deinit(&sampler->sample.overview);
	sampler->sample = (struct sample){ 0 };
}

static void fail(struct sampler *sampler)
{
	cancel(sampler);
	sampler->ops->no_answer(sampler->data);
}

/* ---- a round's end ---- */

static uint64_t round_trip(const struct overview *overview)
{
	uint64_t distance = usec_sub(overview->last_pong, overview->last_ping);

	if (overview->last_pong > overview->last_ping && distance < LONGEST_ROUND_TRIP)
		return distance;
	return overview->latency;
}

/* The first round finds the pings of before, and tells of the last pong only. */
static void compare(struct sampler *sampler)
{
	struct sample *sample = &sampler->sample;
	const struct overview *overview = &sample->overview;

	sample->ponged = overview->total_pongs > (sampler->measured ? sampler->pongs : 0);
	sample->round_trip = sample->ponged ? round_trip(overview) : 0;
	sample->lost = sampler->measured && overview->failed > sampler->failed;
	sampler->pongs = overview->total_pongs;
	sampler->failed = overview->failed;
	sampler->measured = true;
	if (overview->queue_size == 0)
		sampler->oldest = 0;
	sample->oldest = sampler->oldest;
}

static void finish(struct sampler *sampler)
{
	const struct overview *overview = &sampler->sample.overview;

	if (!overview->state || !overview->reason || !overview->parent || !overview->area) {
		client_fail_reply(sampler->client, "GetAll", 0);
		fail(sampler);
		return;
	}
	compare(sampler);
	sampler->ops->sample(sampler->data, &sampler->sample);
	cancel(sampler);
}

/* ---- questions ---- */

static void ask(struct sampler *sampler, enum question which, const char *interface,
		const char *member, sd_bus_message_handler_t handler)
{
	const struct client_question question = {
		.owner = sampler->owner,
		.interface = interface,
		.member = member,
		.timeout = ANSWER_TIMEOUT,
	};

	if (client_ask(sampler->client, &sampler->calls[which], &question, handler, sampler) < 0)
		fail(sampler);
}

/* The oldest need not stand first: a write that replaced an older one stands at the end. */
static int read_oldest(sd_bus_message *m, uint64_t *ret_oldest)
{
	uint64_t queued_at, oldest = USEC_INFINITY;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "(tssstu)");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'r', "tssstu")) > 0) {
		r = sd_bus_message_skip(m, "tsss");
		if (r >= 0)
			r = sd_bus_message_read(m, "t", &queued_at);
		if (r >= 0)
			r = sd_bus_message_skip(m, "u");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r >= 0)
			oldest = MIN(oldest, queued_at);
	}
	if (r >= 0)
		*ret_oldest = oldest == USEC_INFINITY ? 0 : oldest;
	return r;
}

/* A list that is too long for one answer leaves the age unknown. */
static int on_queue(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct sampler *sampler = data;

	(void)error;
	sampler->calls[QUESTION_QUEUE] = sd_bus_slot_unref(sampler->calls[QUESTION_QUEUE]);
	if (sd_bus_message_is_method_error(m, NULL) || read_oldest(m, &sampler->oldest) < 0)
		sampler->oldest = 0;
	finish(sampler);
	return 0;
}

static bool wants_list(struct sampler *sampler)
{
	uint32_t size = sampler->sample.overview.queue_size;

	if (size > LONG_QUEUE && sampler->rounds_to_list > 0) {
		sampler->rounds_to_list--;
		return false;
	}
	sampler->rounds_to_list = LONG_QUEUE_ROUNDS;
	return size > 0;
}

static int on_answer(struct sampler *sampler, enum question which, sd_bus_message *m)
{
	int r;

	sampler->calls[which] = sd_bus_slot_unref(sampler->calls[which]);
	if (sd_bus_message_is_method_error(m, NULL)) {
		client_fail_bus(sampler->client, sd_bus_message_get_error(m));
		fail(sampler);
		return 0;
	}
	r = overview_read(&sampler->sample.overview, m);
	if (r < 0) {
		client_fail_reply(sampler->client, "GetAll", r);
		fail(sampler);
		return 0;
	}
	for (size_t i = 0; i < N_QUESTIONS; i++)
		if (sampler->calls[i])
			return 0;
	if (wants_list(sampler))
		ask(sampler, QUESTION_QUEUE, CLIENT_STORAGE, "ListQueue", on_queue);
	else
		finish(sampler);
	return 0;
}

static int on_monitor(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)error;
	return on_answer(data, QUESTION_MONITOR, m);
}

static int on_stats(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)error;
	return on_answer(data, QUESTION_STATS, m);
}

static int on_storage(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)error;
	return on_answer(data, QUESTION_STORAGE, m);
}

static bool under_way(const struct sampler *sampler)
{
	for (size_t i = 0; i < N_QUESTIONS; i++)
		if (sampler->calls[i])
			return true;
	return false;
}

void sampler_refresh(struct sampler *sampler)
{
	if (!sampler->owner || under_way(sampler))
		return;
	ask(sampler, QUESTION_MONITOR, CLIENT_MONITOR, "GetAll", on_monitor);
	ask(sampler, QUESTION_STATS, CLIENT_MONITOR, "GetStats", on_stats);
	ask(sampler, QUESTION_STORAGE, CLIENT_STORAGE, "GetAll", on_storage);
}

static int on_timer(sd_event_source *source, uint64_t at, void *data)
{
	struct sampler *sampler = data;

	(void)at;
	sampler_refresh(sampler);
	sd_event_source_set_time_relative(source, INTERVAL);
	return sd_event_source_set_enabled(source, SD_EVENT_ON);
}

void sampler_ask(struct sampler *sampler, const char *owner)
{
	if (g_strcmp0(sampler->owner, owner) != 0) {
		cancel(sampler);
		g_free(sampler->owner);
		sampler->owner = g_strdup(owner);
		sampler->measured = false;
		sampler->oldest = 0;
		sampler->rounds_to_list = 0;
	}
	sampler_refresh(sampler);
}

int sampler_new(struct sampler **ret_sampler, struct client *client, sd_event *event,
		const struct sampler_ops *ops, void *data)
{
	struct sampler *sampler = g_new0(struct sampler, 1);
	int r;

	sampler->client = client;
	sampler->ops = ops;
	sampler->data = data;
	r = sd_event_add_time_relative(event, &sampler->timer, CLOCK_MONOTONIC, INTERVAL, 0,
				       on_timer, sampler);
	if (r < 0) {
		sampler_free(sampler);
		return r;
	}
	*ret_sampler = sampler;
	return 0;
}

struct sampler *sampler_free(struct sampler *sampler)
{
	if (!sampler)
		return NULL;
	cancel(sampler);
	sd_event_source_unref(sampler->timer);
	g_free(sampler->owner);
	g_free(sampler);
	return NULL;
}
