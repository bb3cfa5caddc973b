/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy.h"

struct counts {
	uint64_t accepted, muted, nobody, cuts, resets, shuts, garbage, replays, replayed, anew;
};

struct proxy {
	struct endpoint at, parent;
	int listener;		/* -1: refusing */
	struct link_shared shared;
	GPtrArray *links;	/* oldest first */
	GQueue tapes;		/* of links that are over, newest last */
	bool mute;
	struct counts counts;
};

int proxy_new(const struct endpoint *listen, const struct endpoint *parent, uint32_t seed,
	      struct proxy **ret)
{
	struct proxy *proxy;
	int fd = endpoint_listen(listen);

	if (fd < 0)
		return fd;
	proxy = g_new0(struct proxy, 1);
	proxy->at = *listen;
	proxy->parent = *parent;
	proxy->listener = fd;
	proxy->shared.rand = g_rand_new_with_seed(seed);
	proxy->links = g_ptr_array_new();
	g_queue_init(&proxy->tapes);
	*ret = proxy;
	return 0;
}

static void proxy_keep_tape(struct proxy *proxy, struct link *link)
{
	if (!link_is_whole(link))
		return;
	g_queue_push_tail(&proxy->tapes, link_steal_tape(link));
	if (proxy->tapes.length > PROXY_TAPES)
		tape_free(g_queue_pop_head(&proxy->tapes));
}

static void proxy_end_link(struct proxy *proxy, unsigned int i)
{
	struct link *link = proxy->links->pdata[i];

	proxy_keep_tape(proxy, link);
	link_free(link);
	g_ptr_array_remove_index(proxy->links, i);
}

struct proxy *proxy_free(struct proxy *proxy)
{
	while (proxy->links->len > 0)
		proxy_end_link(proxy, 0);
	while (proxy->tapes.length > 0)
		tape_free(g_queue_pop_head(&proxy->tapes));
	if (proxy->listener >= 0)
		close(proxy->listener);
	g_ptr_array_unref(proxy->links);
	g_rand_free(proxy->shared.rand);
	g_free(proxy);
	return NULL;
}

static void proxy_add_link(struct proxy *proxy, struct link *link)
{
	if (proxy->links->len >= PROXY_LINKS)
		proxy_end_link(proxy, 0);
	g_ptr_array_add(proxy->links, link);
}

static void proxy_accept(struct proxy *proxy)
{
	int fd = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int parent = -1;

	if (fd < 0)
		return;
	proxy->counts.accepted++;
	if (proxy->mute) {
		proxy->counts.muted++;
	} else {
		parent = endpoint_connect(&proxy->parent);
		if (parent < 0) {
			proxy->counts.nobody++;
			close(fd);
			return;
		}
	}
	proxy_add_link(proxy, link_new(fd, parent, &proxy->shared));
}

/* ---- the loop ---- */

void proxy_prepare(struct proxy *proxy, uint64_t now, GArray *fds)
{
	struct pollfd pair[SIDES] = { { .fd = proxy->listener, .events = POLLIN } };

	g_array_append_val(fds, pair[0]);
	for (unsigned int i = 0; i < proxy->links->len; i++) {
		link_prepare(proxy->links->pdata[i], now, pair);
		g_array_append_vals(fds, pair, SIDES);
	}
}

uint64_t proxy_deadline(struct proxy *proxy, uint64_t now)
{
	uint64_t deadline = FLOW_NEVER;

	for (unsigned int i = 0; i < proxy->links->len; i++)
		deadline = MIN(deadline, link_deadline(proxy->links->pdata[i], now));
	return deadline;
}

void proxy_turn(struct proxy *proxy, uint64_t now, const struct pollfd *fds)
{
	for (unsigned int i = 0, n = 0; i < proxy->links->len; n++) {
		if (link_turn(proxy->links->pdata[i], now, fds + 1 + SIDES * n))
			i++;
		else
			proxy_end_link(proxy, i);
	}
	if (fds[0].revents)
		proxy_accept(proxy);
}

/* ---- what is done to it ---- */

struct flow_faults *proxy_faults(struct proxy *proxy, enum direction direction)
{
	return &proxy->shared.faults[direction];
}

unsigned int proxy_cut(struct proxy *proxy)
{
	unsigned int n = 0;

	for (unsigned int i = proxy->links->len; i-- > 0; n++)
		proxy_end_link(proxy, i);
	proxy->counts.cuts += n;
	return n;
}

typedef bool (*deed_t)(struct proxy *proxy, struct link *link, void *data);

static unsigned int proxy_each(struct proxy *proxy, deed_t deed, void *data)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < proxy->links->len; i++)
		if (link_is_whole(proxy->links->pdata[i]))
			n += deed(proxy, proxy->links->pdata[i], data);
	return n;
}

static bool reset_one(struct proxy *proxy, struct link *link, void *data)
{
	(void)proxy;
	(void)data;
	link_reset(link);
	return true;
}

unsigned int proxy_reset(struct proxy *proxy)
{
	unsigned int n = proxy_each(proxy, reset_one, NULL);

	proxy->counts.resets += n;
	return n;
}

static bool shut_one(struct proxy *proxy, struct link *link, void *data)
{
	(void)proxy;
	link_shut(link, *(enum direction *)data);
	return true;
}

unsigned int proxy_shut(struct proxy *proxy, enum direction direction)
{
	unsigned int n = proxy_each(proxy, shut_one, &direction);

	proxy->counts.shuts += n;
	return n;
}

struct addition {
	uint64_t now;
	enum direction direction;
	const char *data;
	uint64_t len;
	bool at_line, older;
};

static bool add_one(struct proxy *proxy, struct link *link, void *data)
{
	const struct addition *add = data;

	(void)proxy;
	if (add->data)
		return link_add(link, add->now, add->direction, add->data, add->len, add->at_line);
	link_add_filler(link, add->now, add->direction, add->len);
	return true;
}

static unsigned int proxy_garbage(struct proxy *proxy, struct addition *add)
{
	unsigned int n = proxy_each(proxy, add_one, add);

	proxy->counts.garbage += n;
	return n;
}

unsigned int proxy_add(struct proxy *proxy, uint64_t now, enum direction direction,
		       const char *data, size_t len, bool at_line)
{
	struct addition add = { now, direction, data, len, at_line, false };

	return proxy_garbage(proxy, &add);
}

unsigned int proxy_add_random(struct proxy *proxy, uint64_t now, enum direction direction,
			      size_t len)
{
	g_autofree char *data = g_malloc(len + 1);
	struct addition add = { now, direction, data, len, false, false };

	for (size_t i = 0; i < len; i++)
		data[i] = (char)g_rand_int_range(proxy->shared.rand, 0, 256);
	return proxy_garbage(proxy, &add);
}

unsigned int proxy_add_filler(struct proxy *proxy, uint64_t now, enum direction direction,
			      uint64_t len)
{
	struct addition add = { now, direction, NULL, len, false, false };

	return proxy_garbage(proxy, &add);
}

/* ---- replays ---- */

/* Return: NULL where none is over yet. */
static const struct tape *proxy_old_tape(struct proxy *proxy)
{
	if (proxy->tapes.length == 0)
		return NULL;
	return g_queue_peek_nth(&proxy->tapes,
				(guint)g_rand_int_range(proxy->shared.rand, 0,
							(gint32)proxy->tapes.length));
}

static bool replay_one(struct proxy *proxy, struct link *link, void *data)
{
	const struct addition *add = data;
	const struct tape *tape = add->older ? proxy_old_tape(proxy) : link_tape(link);
	const char *bytes;
	size_t len;

	if (!tape)
		return false;
	len = tape_excerpt(tape, add->direction, proxy->shared.rand, &bytes);
	if (len == 0 || !link_add(link, add->now, add->direction, bytes, len, true))
		return false;
	proxy->counts.replayed += len;
	return true;
}

unsigned int proxy_replay(struct proxy *proxy, uint64_t now, enum direction direction, bool older)
{
	struct addition add = { .now = now, .direction = direction, .older = older };
	unsigned int n = proxy_each(proxy, replay_one, &add);

	proxy->counts.replays += n;
	return n;
}

/* Return: the tape of the newest link; NULL: there is none. */
static const struct tape *proxy_live_tape(struct proxy *proxy)
{
	for (unsigned int i = proxy->links->len; i-- > 0;)
		if (link_is_whole(proxy->links->pdata[i]))
			return link_tape(proxy->links->pdata[i]);
	return NULL;
}

unsigned int proxy_replay_anew(struct proxy *proxy, uint64_t now, bool older)
{
	const struct tape *tape = older ? proxy_old_tape(proxy) : proxy_live_tape(proxy);
	struct link *link;
	const char *bytes;
	size_t len = tape ? tape_whole(tape, UP, &bytes) : 0;
	int fd;

	if (len == 0)
		return 0;
	fd = endpoint_connect(&proxy->parent);
	if (fd < 0)
		return 0;
	link = link_new(-1, fd, &proxy->shared);
	link_add(link, now, UP, bytes, len, false);
	proxy->counts.anew++;
	proxy->counts.replayed += len;
	proxy_add_link(proxy, link);
	return 1;
}

/* ---- who may come ---- */

int proxy_refuse(struct proxy *proxy, enum refusal refusal)
{
	int fd;

	if (refusal != REFUSE_NOBODY) {
		if (proxy->listener >= 0)
			close(proxy->listener);
		proxy->listener = -1;
		if (refusal == REFUSE_GONE)
			endpoint_unlink(&proxy->at);
		return 0;
	}
	if (proxy->listener >= 0)
		return 0;
	fd = endpoint_listen(&proxy->at);
	if (fd < 0)
		return fd;
	proxy->listener = fd;
	return 0;
}

void proxy_mute(struct proxy *proxy, bool mute)
{
	proxy->mute = mute;
}

int proxy_heal(struct proxy *proxy)
{
	for (int i = 0; i < DIRECTIONS; i++)
		proxy->shared.faults[i] = (struct flow_faults){ 0 };
	proxy->mute = false;
	return proxy_refuse(proxy, REFUSE_NOBODY);
}

void proxy_stats(const struct proxy *proxy, GString *text)
{
	static const char *const names[DIRECTIONS] = { "up", "down" };
	const struct link_shared *shared = &proxy->shared;
	const struct counts *counts = &proxy->counts;

	g_string_append_printf(text,
			       "links=%u tapes=%u accepted=%" PRIu64 " muted=%" PRIu64
			       " nobody=%" PRIu64 " cuts=%" PRIu64 " resets=%" PRIu64
			       " shuts=%" PRIu64 " garbage=%" PRIu64,
			       proxy->links->len, proxy->tapes.length, counts->accepted,
			       counts->muted, counts->nobody, counts->cuts, counts->resets,
			       counts->shuts, counts->garbage);
	g_string_append_printf(text,
			       " replays=%" PRIu64 " replayed=%" PRIu64 " anew=%" PRIu64
			       " answers=%" PRIu64 " duplicates=%" PRIu64 " hard=%" PRIu64,
			       counts->replays, counts->replayed, counts->anew,
			       shared->replay_answers, shared->duplicates, shared->unread_resets);
	for (int i = 0; i < DIRECTIONS; i++)
		g_string_append_printf(text,
				       " %s=%" PRIu64 " %s-swallowed=%" PRIu64 " %s-added=%" PRIu64
				       " %s-held=%" PRIu64,
				       names[i], shared->count[i].passed, names[i],
				       shared->count[i].swallowed, names[i], shared->count[i].added,
				       names[i], shared->count[i].held_most);
}
