/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The monitor as the daemon has it, with its defaults, over a driver whose line is simulated. A
 * dial asks, as TCP does, at once and after 1 s; the answer to it is the transport, one more round
 * trip the welcome. These two are a stream's and are not lost but to silence; pings and pongs are.
 */

#include "core/config.h"
#include "engine/monitor.h"
#include "line.h"

#define EPOCH	   "0123456789abcdef0123456789abcdef"
#define SYN_REPEAT (1 * SEC)

/* Never a ping's: those start at a random number of 32 bits. */
#define ID_DIAL	 INT64_C(-1)
#define ID_HELLO INT64_C(-2)

struct ours {
	struct parent parent;	/* first: the ops find us by it */
	struct line *line;
	struct config config;
	struct monitor *monitor;
	struct timer again;	/* a dial, or a hello */
	int64_t asking;
};

static void ours_ask(struct ours *ours, int64_t what);

static void ours_answer(void *data, int64_t id)
{
	static const struct parent_welcome welcome = { .epoch = EPOCH };
	struct ours *ours = data;

	if (id > 0) {
		ours->parent.link->pong(ours->parent.link_data, id);
		return;
	}
	if (id != ours->asking)
		return;		/* to what was asked twice */
	timer_disarm(&ours->again);
	if (id == ID_DIAL) {
		ours_ask(ours, ID_HELLO);
		ours->parent.link->up(ours->parent.link_data);
	} else {
		ours->asking = 0;
		ours->parent.link->welcome(ours->parent.link_data, &welcome);
	}
}

static void ours_ask(struct ours *ours, int64_t what)
{
	double loss = ours->line->nature.loss;

	ours->asking = what;
	ours->line->nature.loss = 0;
	line_ping(ours->line, ours_answer, ours, what);
	ours->line->nature.loss = loss;
	timer_arm_in(&ours->again, SYN_REPEAT);
}

static void ours_again(void *data)
{
	struct ours *ours = data;

	ours_ask(ours, ours->asking);
}

/* ---- the driver ---- */

static void ours_connect(struct parent *parent)
{
	ours_ask((struct ours *)parent, ID_DIAL);
}

static void ours_disconnect(struct parent *parent)
{
	struct ours *ours = (struct ours *)parent;

	timer_disarm(&ours->again);
	line_forget(ours->line, ours);
	ours->line->last_arrival = 0;
	ours->asking = 0;
}

static void ours_ping(struct parent *parent, int64_t id)
{
	struct ours *ours = (struct ours *)parent;

	ours->line->verdict.pings++;
	line_ping(ours->line, ours_answer, ours, id);
}

static bool ours_busy(struct parent *parent, uint64_t *ret_progress)
{
	(void)parent;
	*ret_progress = 0;
	return false;
}

static void ours_told(void *data, const struct monitor_event *event)
{
	line_say(((struct ours *)data)->line, event->state == MONITOR_CONNECTED);
}

static void *ours_start(struct line *line)
{
	static const struct parent_ops ops = {
		.connect = ours_connect,
		.disconnect = ours_disconnect,
		.ping = ours_ping,
		.busy = ours_busy,
	};
	struct ours *ours = g_new0(struct ours, 1);

	ours->parent.ops = &ops;
	ours->line = line;
	config_init(&ours->config);
	timer_init(&ours->again, line->clock, ours_again, ours);
	ours->monitor = monitor_new(line->clock, &ours->config, line->rand, NULL, NULL);
	monitor_add_watch(ours->monitor, ours_told, ours);
	monitor_set_parent(ours->monitor, &ours->parent);
	monitor_start(ours->monitor);
	return ours;
}

static void ours_stop(void *self)
{
	struct ours *ours = self;

	monitor_free(ours->monitor);
	timer_deinit(&ours->again);
	config_deinit(&ours->config);
	g_free(ours);
}

const struct detector detector_ours = {
	.name = "ours",
	.start = ours_start,
	.stop = ours_stop,
};
