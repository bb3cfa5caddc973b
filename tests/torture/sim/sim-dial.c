/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Takes the place of src/parent/dial.c: a dial goes to the simulated network. Whose it is, its clock
 * says.
 */

#include "parent/dial.h"
#include "sim-daemon.h"
#include "sim-dial.h"
#include "sim-stream.h"

struct dial {
	struct sim_path *path;
	struct timer timer;
	dial_done_t done;
	void *data;
};

static struct sim_path *paths[SIM_DAEMONS];
static struct clock *clocks[SIM_DAEMONS];

void sim_dial_register(unsigned int index, struct clock *clock, struct sim_path *path)
{
	clocks[index] = clock;
	paths[index] = path;
}

static struct sim_path *find_path(const struct clock *clock)
{
	for (unsigned int i = 0; i < SIM_DAEMONS; i++)
		if (clocks[i] == clock)
			return paths[i];
	g_error("a dial from nowhere");
}

bool dial_uid_allowed(uid_t peer, uid_t own, int64_t extra)
{
	return peer == 0 || peer == own || (extra >= 0 && (int64_t)peer == extra);
}

static void dial_timer(void *data)
{
	struct dial *dial = data;
	struct sim_end *end = sim_path_connect(dial->path);
	g_autoptr(GIOStream) stream = NULL;

	if (!end) {
		dial->done(dial->data, NULL, PARENT_REASON_REFUSED, "nobody listens");
		return;
	}
	stream = sim_stream_new(end);
	dial->done(dial->data, stream, PARENT_REASON_OK, "");
}

/* As over a network it takes a round trip; where that is short enough, as a local socket does. */
struct dial *dial_new(const struct dial_params *params, dial_done_t done, void *data)
{
	struct dial *dial = g_new0(struct dial, 1);

	dial->path = find_path(params->clock);
	dial->done = done;
	dial->data = data;
	dial->path->dials++;
	timer_init(&dial->timer, params->clock, dial_timer, dial);
	if (!dial->path->mute)
		timer_arm_in(&dial->timer, dial->path->latency > MSEC ? 2 * dial->path->latency : 0);
	return dial;
}

struct dial *dial_free(struct dial *dial)
{
	if (!dial)
		return NULL;
	timer_deinit(&dial->timer);
	g_free(dial);
	return NULL;
}
