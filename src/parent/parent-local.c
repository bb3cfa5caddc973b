/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A parent that is not there and never fails: it welcomes every connect and answers every ping, on
 * the next turn of the loop as the ops ask. The monitor needs no case of its own for it.
 */

#include <errno.h>
#include <string.h>

#include "parent/parent-local.h"
#include "parent/parent.h"

enum local_step {
	LOCAL_DIALLING,	/* up is owed */
	LOCAL_GREETING,	/* welcome is owed */
	LOCAL_THERE,
};

struct local_parent {
	struct parent parent;
	struct timer timer;	/* the next turn: what is owed */
	enum local_step step;
	int64_t ping;		/* to be echoed; 0: none. The newest stands for all before it */
};

static struct local_parent *to_local(struct parent *parent)
{
	return (struct local_parent *)parent;
}

/* One callback a turn and nothing touched after it: each may disconnect, or free the driver. */
static void local_turn(void *data)
{
	static const struct parent_welcome welcome = { .epoch = "", .last_batch = 0 };
	struct local_parent *local = data;
	const struct parent_link_ops *link = local->parent.link;
	void *link_data = local->parent.link_data;
	int64_t id = local->ping;

	switch (local->step) {
	case LOCAL_DIALLING:
		local->step = LOCAL_GREETING;
		timer_arm_in(&local->timer, 0);
		link->up(link_data);
		break;
	case LOCAL_GREETING:
		local->step = LOCAL_THERE;
		link->welcome(link_data, &welcome);
		break;
	case LOCAL_THERE:
		local->ping = 0;
		link->pong(link_data, id);
		break;
	}
}

static void local_disconnect(struct parent *parent)
{
	to_local(parent)->ping = 0;
	timer_disarm(&to_local(parent)->timer);
}

static void local_connect(struct parent *parent)
{
	local_disconnect(parent);
	to_local(parent)->step = LOCAL_DIALLING;
	timer_arm_in(&to_local(parent)->timer, 0);
}

static void local_ping(struct parent *parent, int64_t id)
{
	to_local(parent)->ping = id;
	timer_arm_in(&to_local(parent)->timer, 0);
}

static int local_get(struct parent *parent, uint64_t tag, const char *area, const char *key)
{
	(void)parent;
	(void)tag;
	(void)area;
	(void)key;
	return -ENOSYS;
}

static int local_write(struct parent *parent, uint64_t tag, const char *area, const char *key,
		       const char *value)
{
	(void)value;
	return local_get(parent, tag, area, key);
}

static void local_apply(struct parent *parent, const struct parent_batch *batch)
{
	(void)parent;
	(void)batch;
	g_assert_not_reached(); /* nothing queues, so there is no batch */
}

static bool local_busy(struct parent *parent, uint64_t *ret_progress)
{
	(void)parent;
	(void)ret_progress;
	return false;
}

static const char *local_path(struct parent *parent)
{
	(void)parent;
	return NULL;
}

static void local_free(struct parent *parent)
{
	timer_deinit(&to_local(parent)->timer);
	g_free(parent);
}

static const struct parent_ops local_ops = {
	.connect = local_connect,
	.disconnect = local_disconnect,
	.ping = local_ping,
	.get = local_get,
	.write = local_write,
	.apply = local_apply,
	.busy = local_busy,
	.path = local_path,
	.free = local_free,
};

int parent_local_check(const char *address)
{
	return strcmp(address, "local:") == 0 ? 0 : -EINVAL;
}

int parent_local_new(const struct parent_params *params, struct parent **ret_parent)
{
	struct local_parent *local = g_new0(struct local_parent, 1);

	local->parent.ops = &local_ops;
	local->parent.local = true;
	g_strlcpy(local->parent.client, params->client, sizeof(local->parent.client));
	timer_init(&local->timer, params->clock, local_turn, local);
	*ret_parent = &local->parent;
	return 0;
}
