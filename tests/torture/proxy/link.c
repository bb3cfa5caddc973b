/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Of a direction the reader is the side it goes to. A side is polled only for what can be done with
 * it: poll() reports a hang-up whether asked or not, and a hole must not hear it.
 */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"

#define READ_BYTES	(32 * 1024)
#define REPLAY_USEC	(2 * 1000 * 1000) /* how long the answers to a replay are listened to */
#define DUPLICATE	"\"duplicate\":true"

struct link {
	int fd[SIDES];
	struct flow *flow[DIRECTIONS];
	struct link_shared *shared;
	struct tape *tape;
	bool ended[DIRECTIONS];	/* its writer will say no more */
	bool shut[DIRECTIONS];	/* its reader was told so */
	bool resetting;
	uint64_t until;		/* of a replay; 0: not yet begun */
	GString *answer;	/* of a replay: the line that is arriving */
};

static enum side writer(enum direction direction)
{
	return direction == UP ? DAEMON : PARENT;
}

static enum side reader(enum direction direction)
{
	return direction == UP ? PARENT : DAEMON;
}

struct link *link_new(int daemon, int parent, struct link_shared *shared)
{
	struct link *link = g_new0(struct link, 1);

	link->fd[DAEMON] = daemon;
	link->fd[PARENT] = parent;
	link->shared = shared;
	link->tape = tape_new();
	link->answer = g_string_new(NULL);
	for (int i = 0; i < DIRECTIONS; i++)
		link->flow[i] = flow_new(&shared->faults[i], &shared->count[i], shared->rand);
	return link;
}

struct link *link_free(struct link *link)
{
	if (!link)
		return NULL;

	for (int i = 0; i < SIDES; i++)
		if (link->fd[i] >= 0)
			close(link->fd[i]);
	for (int i = 0; i < DIRECTIONS; i++)
		flow_free(link->flow[i]);
	tape_free(link->tape);
	g_string_free(link->answer, TRUE);
	g_free(link);
	return NULL;
}

bool link_is_whole(const struct link *link)
{
	return link->fd[DAEMON] >= 0 && link->fd[PARENT] >= 0;
}

const struct tape *link_tape(const struct link *link)
{
	return link->tape;
}

struct tape *link_steal_tape(struct link *link)
{
	return g_steal_pointer(&link->tape);
}

/* ---- waiting ---- */

static bool link_may_read(const struct link *link, enum direction direction)
{
	return link->resetting || (!link->ended[direction] && flow_room(link->flow[direction]));
}

void link_prepare(struct link *link, uint64_t now, struct pollfd *fds)
{
	const char *data;

	for (int i = 0; i < SIDES; i++)
		fds[i] = (struct pollfd){ .fd = link->fd[i] };
	for (enum direction i = UP; i < DIRECTIONS; i++) {
		if (link_may_read(link, i))
			fds[writer(i)].events |= POLLIN;
		if (!link->shut[i] && flow_ready(link->flow[i], now, &data))
			fds[reader(i)].events |= POLLOUT;
	}
	for (int i = 0; i < SIDES; i++)
		if (!fds[i].events)
			fds[i].fd = -1;
}

uint64_t link_deadline(struct link *link, uint64_t now)
{
	uint64_t deadline = link->until ? link->until : FLOW_NEVER;

	for (enum direction i = UP; i < DIRECTIONS; i++)
		deadline = MIN(deadline, flow_deadline(link->flow[i], now));
	return deadline;
}

/* ---- moving bytes ---- */

static void link_hear_answer(struct link *link, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n') {
			if (link->answer->len < READ_BYTES)
				g_string_append_c(link->answer, data[i]);
			continue;
		}
		link->shared->replay_answers++;
		if (strstr(link->answer->str, DUPLICATE))
			link->shared->duplicates++;
		g_string_truncate(link->answer, 0);
	}
}

static void link_received(struct link *link, uint64_t now, enum direction direction,
			  const char *data, size_t len)
{
	if (link->fd[reader(direction)] >= 0) {
		tape_record(link->tape, direction, data, len);
		flow_push(link->flow[direction], now, data, len);
	} else if (direction == DOWN) {
		link_hear_answer(link, data, len);
	} else {
		link->shared->count[direction].swallowed += len;
	}
}

/* Return: false where the connection broke. */
static bool link_read(struct link *link, uint64_t now, enum direction direction)
{
	char data[READ_BYTES];
	size_t room = MIN(flow_room(link->flow[direction]), sizeof(data));
	ssize_t n;

	if (link->ended[direction] || room == 0)
		return true;
	n = recv(link->fd[writer(direction)], data, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		link->ended[direction] = true;
	else
		link_received(link, now, direction, data, (size_t)n);
	return true;
}

static bool link_write(struct link *link, uint64_t now, enum direction direction)
{
	const char *data;
	size_t len = flow_ready(link->flow[direction], now, &data);
	ssize_t n;

	if (len == 0 || link->shut[direction] || link->fd[reader(direction)] < 0)
		return true;
	n = send(link->fd[reader(direction)], data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	flow_taken(link->flow[direction], now, (size_t)n);
	return true;
}

static void link_pass_on_end(struct link *link, enum direction direction)
{
	if (!link->ended[direction] || link->shut[direction] ||
	    !flow_is_empty(link->flow[direction]) ||
	    link->shared->faults[direction].hole != FLOW_OPEN)
		return;
	link->shut[direction] = true;
	if (link->fd[reader(direction)] >= 0)
		shutdown(link->fd[reader(direction)], SHUT_WR);
}

static bool link_is_over(const struct link *link, uint64_t now)
{
	if (link->fd[PARENT] < 0)
		return link->ended[UP];
	if (link->fd[DAEMON] < 0)
		return link->ended[DOWN] || now >= link->until;
	return link->shut[UP] && link->shut[DOWN];
}

/* ---- ends ---- */

/* A close that the peer reads as a reset. */
static void link_close_hard(struct link *link, enum side side)
{
	const struct linger linger = { .l_onoff = 1 };
	int unread = 0, domain = 0;
	socklen_t len = sizeof(domain);

	if (link->fd[side] < 0)
		return;
	getsockopt(link->fd[side], SOL_SOCKET, SO_DOMAIN, &domain, &len);
	if (domain == AF_INET)
		setsockopt(link->fd[side], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	else
		ioctl(link->fd[side], FIONREAD, &unread);
	link->shared->unread_resets += domain == AF_INET || unread > 0;
	close(link->fd[side]);
	link->fd[side] = -1;
}

void link_reset(struct link *link)
{
	link->resetting = true;
}

static bool link_turn_reset(struct link *link, const struct pollfd *fds)
{
	int domain = AF_INET;
	socklen_t len = sizeof(domain);

	getsockopt(link->fd[DAEMON], SOL_SOCKET, SO_DOMAIN, &domain, &len);
	if (domain == AF_UNIX && !fds[DAEMON].revents && !fds[PARENT].revents)
		return true;
	for (enum side i = DAEMON; i < SIDES; i++)
		link_close_hard(link, i);
	return false;
}

void link_shut(struct link *link, enum direction direction)
{
	if (link->shut[direction] || link->fd[reader(direction)] < 0)
		return;
	link->ended[direction] = link->shut[direction] = true;
	shutdown(link->fd[reader(direction)], SHUT_WR);
}

bool link_turn(struct link *link, uint64_t now, const struct pollfd *fds)
{
	if (link->resetting)
		return link_turn_reset(link, fds);
	if (link->fd[DAEMON] < 0 && !link->until)
		link->until = now + REPLAY_USEC;
	for (enum direction i = UP; i < DIRECTIONS; i++) {
		if (fds[writer(i)].revents && !link_read(link, now, i))
			return false;
		if (!link_write(link, now, i))
			return false;
		link_pass_on_end(link, i);
	}
	return !link_is_over(link, now);
}

/* ---- what the peer never said ---- */

bool link_add(struct link *link, uint64_t now, enum direction direction, const char *data,
	      size_t len, bool at_line)
{
	return flow_add(link->flow[direction], now, data, len, at_line);
}

void link_add_filler(struct link *link, uint64_t now, enum direction direction, uint64_t len)
{
	flow_add_filler(link->flow[direction], now, len);
}
