/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one sender: takes what is due from the areas' outboxes in numbered batches, has each persisted
 * before it goes out, and settles what the parent answers. At most one batch is under way.
 *
 * Invariant (design §3): with something queued and the session ready, a batch is under way or a
 * timer is armed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "engine/batch.h"
#include "engine/engine.h"
#include "parent/parent.h"

struct sender;
struct store_state;

/* What the sender finds out and cannot settle itself. */
struct sender_ops {
	/** new_client - a new client id is in force, from the next hello on. The reconnect that
	 * brings it goes through the backoff: a parent that contradicts itself makes nobody spin */
	void (*new_client)(void *data, const char *client);
};

/**
 * sender_new() - a sender without areas.
 * @state: what the store holds: numbers
 */
struct sender *sender_new(struct engine *engine, const struct store_state *state,
			  const struct sender_ops *ops, void *data);
struct sender *sender_free(struct sender *sender);

/** sender_stop() - begin nothing any more; what is being committed is still settled. */
void sender_stop(struct sender *sender);

/** sender_add_area() - @area's outbox is served from now on; areas never go away. */
void sender_add_area(struct sender *sender, struct area *area);

/** sender_resume() - the batch that was under way when we stopped; taken over. */
void sender_resume(struct sender *sender, struct batch *batch);

/** sender_area_due() - what is due in @area changed. */
void sender_area_due(struct sender *sender, struct area *area);

/** sender_link_up(), sender_link_down() - the session is ready; is gone. */
void sender_link_up(struct sender *sender);
void sender_link_down(struct sender *sender);

/** sender_renew_client() - our store was rolled back or our client id is shared: take a new one and
 * dissolve the batch under way. */
void sender_renew_client(struct sender *sender);

/** sender_batch_sent(), sender_applied() - as struct parent_data_ops. */
void sender_batch_sent(struct sender *sender);
void sender_applied(struct sender *sender, const struct parent_error *error,
		    const struct message *ack);

/** sender_is_sound() - whether the invariant holds; for tests. */
bool sender_is_sound(struct sender *sender);
