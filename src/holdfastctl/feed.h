/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The feed of events of the chosen area and of the line: what `watch` prints and `monitor` shows.
 *
 * A subscription ends with the daemon, so the owner of its name is watched too: when it goes that is
 * an event like any other, and when it comes back the area is opened and subscribed again. What
 * happened in between is not told. Nothing in here waits, once it is set up.
 */

#include "holdfastctl/client.h"
#include "holdfastctl/event.h"

struct feed_ops {
	/* Something happened. @event lives until this returns. */
	void (*event)(void *data, const struct event *event);
	/* There is nobody to subscribe to for this user: the client has the reason, @r is its errno. */
	void (*failed)(void *data, int r);
};

struct feed;

/**
 * feed_new() - subscribe, and tell how the line is.
 * @client: connected, attached to an event loop, and the daemon was there a moment ago; borrowed
 * @ops: borrowed; called from the loop only
 *
 * Return: 0, or a negative errno with the sentence in @client.
 */
int feed_new(struct feed **ret_feed, struct client *client, const struct feed_ops *ops, void *data);
struct feed *feed_free(struct feed *feed);

/** feed_owner() - the daemon's unique name on the bus. Borrowed; NULL while it is gone. */
const char *feed_owner(const struct feed *feed);
