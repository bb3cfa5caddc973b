/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* watch; see watch.h. The events are feed.c's; here they are printed. */

#include "holdfastctl/feed.h"
#include "holdfastctl/loop.h"
#include "holdfastctl/watch.h"

struct watch {
	struct loop *loop;
	enum output_mode mode;
};

static void on_event(void *data, const struct event *event)
{
	struct watch *watch = data;
	int r;

	r = event_print(event, watch->mode);
	if (r < 0)
		loop_end_output(watch->loop, r);
}

static void on_failed(void *data, int r)
{
	struct watch *watch = data;

	loop_end(watch->loop, r);
}

int watch_run(struct client *client, const struct options *options)
{
	static const struct feed_ops ops = { on_event, on_failed };
	struct watch watch = { .mode = options->mode };
	struct feed *feed = NULL;
	int r;

	/* A call first: it starts a daemon that the bus can start, and fails where there is none. */
	r = client_call(client, CLIENT_STORAGE, "Subscribe", 0, NULL, "");
	if (r >= 0)
		r = loop_new(&watch.loop, client);
	if (r >= 0)
		r = feed_new(&feed, client, &ops, &watch);
	if (r >= 0)
		r = loop_run(watch.loop);
	feed_free(feed);
	loop_free(watch.loop);
	return r;
}
