/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loop of a verb that goes on; see loop.h. */

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "holdfastctl/loop.h"

struct loop {
	struct client *client;
	sd_event *event;
	bool ended;	/* by loop_end(): */
	int result;	/* of the verb */
};

sd_event *loop_event(struct loop *loop)
{
	return loop->event;
}

void loop_end(struct loop *loop, int result)
{
	loop->ended = true;
	loop->result = result;
	sd_event_exit(loop->event, 0);
}

void loop_end_output(struct loop *loop, int r)
{
	loop_end(loop, r == -EPIPE ? 0 : client_fail_output(loop->client, r));
}

static int on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	(void)source;
	(void)info;
	loop_end(data, 0);
	return 0;
}

static int on_output_closed(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	loop_end(data, 0);
	return 0;
}

/* sd_event_add_signal(3) wants it blocked. */
static int add_signal(struct loop *loop, int sig, int64_t priority,
		      sd_event_signal_handler_t handler, void *data)
{
	sd_event_source *source;
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, sig);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	r = sd_event_add_signal(loop->event, &source, sig, handler, data);
	if (r < 0)
		return r;
	r = sd_event_source_set_priority(source, priority);
	if (r >= 0)
		r = sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
	return r;
}

int loop_add_signal(struct loop *loop, int sig, sd_event_signal_handler_t handler, void *data)
{
	return add_signal(loop, sig, SD_EVENT_PRIORITY_NORMAL - 1, handler, data);
}

/* No event is asked for: errors and hang-ups come anyway. A pipe whose reader went is noticed so
 * without a line to write to it. What epoll(7) does not take, a file, is never closed by others. */
static int watch_output(struct loop *loop)
{
	int r = sd_event_add_io(loop->event, NULL, STDOUT_FILENO, 0, on_output_closed, loop);

	return r == -EPERM || r == -EBADF || r == -EEXIST ? 0 : r;
}

static int set_up(struct loop *loop)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sd_bus *bus = client_bus(loop->client);
	int r;

	r = sd_event_new(&loop->event);
	for (size_t i = 0; r >= 0 && i < G_N_ELEMENTS(signals); i++)
		/* Before all others: to end a stopped job, a shell sends it SIGCONT too. */
		r = add_signal(loop, signals[i], SD_EVENT_PRIORITY_IMPORTANT, on_interrupt, loop);
	if (r >= 0)
		r = watch_output(loop);
	if (r >= 0)
		r = sd_bus_attach_event(bus, loop->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_set_exit_on_disconnect(bus, true);
	return r;
}

int loop_new(struct loop **ret_loop, struct client *client)
{
	struct loop *loop = g_new0(struct loop, 1);
	int r;

	loop->client = client;
	r = set_up(loop);
	if (r < 0) {
		loop_free(loop);
		return client_fail(client, "cannot wait for events: %s", g_strerror(-r));
	}
	*ret_loop = loop;
	return 0;
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	sd_bus_detach_event(client_bus(loop->client));
	sd_event_unref(loop->event);
	g_free(loop);
	return NULL;
}

int loop_run(struct loop *loop)
{
	int r;

	r = sd_event_loop(loop->event);
	if (r < 0)
		return client_fail(loop->client, "cannot wait: %s", g_strerror(-r));
	if (!loop->ended)
		return client_fail_absent(loop->client, "the connection to the bus was lost");
	return loop->result;
}
