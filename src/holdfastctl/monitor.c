/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * monitor; see monitor.h. What happens comes from feed.c, the numbers from sampler.c; view.c lays
 * them out and screen.c shows them. Here they are brought together, and the terminal's ways to stop
 * a program are heard: the screen is left before this process stops and taken again after.
 *
 * The screen is drawn once a second, for the ages on it, and soon after each event: soon, and not
 * at once, so that a burst of events is one picture.
 */

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/util.h"
#include "holdfastctl/feed.h"
#include "holdfastctl/format.h"
#include "holdfastctl/loop.h"
#include "holdfastctl/monitor.h"
#include "holdfastctl/sampler.h"
#include "holdfastctl/terminal.h"
#include "holdfastctl/view.h"

#define DRAW_INTERVAL USEC_PER_SEC
#define DRAW_SOON     (30 * USEC_PER_MSEC)

#define KEY_REDRAW 0x0c /* Ctrl-L, as everywhere */

/* The numbers as they were last printed. */
struct printed {
	bool any;
	uint64_t pongs, bytes;
	uint32_t failed, size;
};

struct monitor {
	struct client *client;
	enum output_mode mode;
	bool utf8;
	struct loop *loop;
	struct feed *feed;
	struct sampler *sampler;
	struct view *view;
	struct screen *screen;		/* NULL: lines are printed */
	sd_event_source *draw_timer;	/* NULL without a screen */
	bool draw_soon;			/* the timer is set for a draw before the next second */
	struct printed printed;
};

/* ---- drawing ---- */

static void draw(struct monitor *monitor)
{
	g_autoptr(GPtrArray) lines = view_layout(monitor->view, screen_rows(monitor->screen),
						 screen_columns(monitor->screen), monitor->utf8,
						 (uint64_t)g_get_real_time());

	/* Nobody sees a terminal that is gone, nor an error about it. */
	if (screen_draw(monitor->screen, lines) < 0)
		loop_end(monitor->loop, 0);
}

static int on_draw(sd_event_source *source, uint64_t at, void *data)
{
	struct monitor *monitor = data;

	(void)at;
	monitor->draw_soon = false;
	draw(monitor);
	sd_event_source_set_time_relative(source, DRAW_INTERVAL);
	return sd_event_source_set_enabled(source, SD_EVENT_ON);
}

static void touch(struct monitor *monitor)
{
	if (!monitor->screen || monitor->draw_soon)
		return;
	monitor->draw_soon = true;
	sd_event_source_set_time_relative(monitor->draw_timer, DRAW_SOON);
}

/* ---- printing ---- */

static char *describe_latency(const struct sample *sample)
{
	g_autofree char *trip = format_span(sample->round_trip);
	g_autofree char *mean = format_span(sample->overview.latency);

	if (sample->overview.latency == 0)
		return g_strdup("not measured yet");
	return g_strdup_printf("%s%smean %s", sample->ponged ? trip : "",
			       sample->ponged ? ", " : "", mean);
}

static char *describe_numbers(const struct sample *sample, uint64_t now)
{
	const struct overview *o = &sample->overview;
	g_autofree char *latency = describe_latency(sample);
	g_autofree char *queue = format_queue(o->queue_size, o->queue_bytes);
	g_autofree char *age = format_span(usec_sub(now, sample->oldest));

	return g_strdup_printf("numbers   latency %s; %" PRIu32 " of %" PRIu32
			       " pings failed; queue %s%s%s",
			       latency, o->failed, o->max_failed, queue,
			       sample->oldest ? ", oldest " : "", sample->oldest ? age : "");
}

static void print_event(struct monitor *monitor, const struct event *event)
{
	int r;

	r = event_print(event, monitor->mode);
	if (r < 0)
		loop_end_output(monitor->loop, r);
}

static void print_numbers(struct monitor *monitor, const struct sample *sample)
{
	const struct overview *o = &sample->overview;
	const struct field fields[] = {
		{ "state", FIELD_TEXT, o->state },
		{ "roundTrip", sample->ponged ? FIELD_NUMBER : FIELD_TEXT,
		  .number = sample->round_trip },
		{ "averageLatency", o->latency > 0 ? FIELD_NUMBER : FIELD_TEXT,
		  .number = o->latency },
		{ "failedPings", FIELD_NUMBER, .number = o->failed },
		{ "queueSize", FIELD_NUMBER, .number = o->queue_size },
		{ "queueBytes", FIELD_NUMBER, .number = o->queue_bytes },
		{ "oldestQueued", sample->oldest ? FIELD_TIME : FIELD_TEXT,
		  .number = sample->oldest },
	};
	struct event event;

	event_init(&event, "Numbers", NULL);
	event.text = describe_numbers(sample, event.time);
	event.n_fields = G_N_ELEMENTS(fields);
	memcpy(event.fields, fields, sizeof(fields));
	print_event(monitor, &event);
	event_deinit(&event);
}

/* A line each second that says the same would hide those that do not. */
static void print_changed_numbers(struct monitor *monitor, const struct sample *sample)
{
	const struct overview *o = &sample->overview;
	struct printed *last = &monitor->printed;

	if (last->any && last->pongs == o->total_pongs && last->failed == o->failed &&
	    last->size == o->queue_size && last->bytes == o->queue_bytes)
		return;
	*last = (struct printed){ true, o->total_pongs, o->queue_bytes, o->failed, o->queue_size };
	print_numbers(monitor, sample);
}

/* ---- what the others tell ---- */

/* The feed tells the state without an old one when it has subscribed: then the area is there. */
static bool is_subscribed(const struct event *event)
{
	return strcmp(event->name, "ConnectionStateChanged") == 0 && !event->fields[1].text;
}

static void on_event(void *data, const struct event *event)
{
	struct monitor *monitor = data;

	if (strcmp(event->name, "DaemonGone") == 0) {
		view_set_daemon(monitor->view, VIEW_DAEMON_GONE);
		sampler_ask(monitor->sampler, NULL);
		monitor->printed.any = false;
	} else if (is_subscribed(event)) {
		sampler_ask(monitor->sampler, feed_owner(monitor->feed));
	} else {
		view_set_daemon(monitor->view, VIEW_DAEMON_HERE);
		if (strcmp(event->name, "ConnectionStateChanged") == 0)
			sampler_refresh(monitor->sampler);
	}
	if (monitor->screen)
		view_add_event(monitor->view, event->time, event->text);
	else
		print_event(monitor, event);
	touch(monitor);
}

static void on_failed(void *data, int r)
{
	struct monitor *monitor = data;

	loop_end(monitor->loop, r);
}

static void on_sample(void *data, struct sample *sample)
{
	struct monitor *monitor = data;

	if (!monitor->screen) {
		print_changed_numbers(monitor, sample);
		return;
	}
	view_set_daemon(monitor->view, VIEW_DAEMON_HERE);
	if (sample->lost)
		view_add_round_trip(monitor->view, VIEW_LOST);
	if (sample->ponged)
		view_add_round_trip(monitor->view, sample->round_trip);
	view_set_overview(monitor->view, &sample->overview, sample->oldest);
	touch(monitor);
}

static void on_no_answer(void *data)
{
	struct monitor *monitor = data;

	/* That its bus name is gone is the feed's to tell. */
	view_set_daemon(monitor->view, VIEW_DAEMON_SILENT);
	touch(monitor);
}

/* ---- the terminal ---- */

static void take_screen(struct monitor *monitor)
{
	if (screen_enter(monitor->screen) < 0)
		loop_end(monitor->loop, 0);
	else
		draw(monitor);
}

static bool is_continued(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGCONT);
}

/* In the background there is neither a screen to take nor a key to read: stop, as whoever writes to
 * a terminal from there. Where there is no shell that could ever continue it, nothing stops. */
static void leave_to_shell(struct monitor *monitor)
{
	raise(SIGTTOU); /* here it stops */
	if (!is_continued())
		loop_end(monitor->loop, 0);
}

static void claim_screen(struct monitor *monitor)
{
	if (screen_is_foreground(monitor->screen))
		take_screen(monitor);
	else
		leave_to_shell(monitor);
}

static int on_key(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct monitor *monitor = data;
	char keys[64];
	ssize_t n;

	(void)source;
	(void)events;
	/* To read from the background would stop us too, but within read(2), which then goes on: by
	 * the time we are continued the shell has taken the keys, and we would wait for others. */
	if (!screen_is_foreground(monitor->screen)) {
		leave_to_shell(monitor);
		return 0;
	}
	if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) == 0)
		return 0;
	n = read(fd, keys, sizeof(keys));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0 || memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n)) {
		loop_end(monitor->loop, 0);
	} else if (memchr(keys, KEY_REDRAW, (size_t)n)) {
		screen_resized(monitor->screen);
		draw(monitor);
	}
	return 0;
}

static int on_resize(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct monitor *monitor = data;

	(void)source;
	(void)info;
	screen_resized(monitor->screen);
	draw(monitor);
	return 0;
}

/*
 * Ctrl-Z. The signal's own effect is let happen: it stops this process, or does nothing where there
 * is no shell that could ever continue it. SIGCONT is heard like any signal, later.
 */
static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct monitor *monitor = data;
	sigset_t mask;

	(void)source;
	(void)info;
	screen_leave(monitor->screen);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);	/* here it stops */
	sigprocmask(SIG_BLOCK, &mask, NULL);
	if (!is_continued())
		claim_screen(monitor);
	return 0;
}

/* Also after a SIGSTOP that nobody can hear: the shell then has set the terminal its own way. */
static int on_continue(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	(void)source;
	(void)info;
	claim_screen(data);
	return 0;
}

static int listen_to_terminal(struct monitor *monitor)
{
	sd_event *event = loop_event(monitor->loop);
	int r;

	r = sd_event_add_time_relative(event, &monitor->draw_timer, CLOCK_MONOTONIC, DRAW_INTERVAL,
				       1, on_draw, monitor);
	if (r >= 0)
		r = loop_add_signal(monitor->loop, SIGWINCH, on_resize, monitor);
	if (r >= 0)
		r = loop_add_signal(monitor->loop, SIGTSTP, on_stop, monitor);
	if (r >= 0)
		r = loop_add_signal(monitor->loop, SIGCONT, on_continue, monitor);
	if (r >= 0 && isatty(STDIN_FILENO))
		r = sd_event_add_io(event, NULL, STDIN_FILENO, EPOLLIN, on_key, monitor);
	return r < 0 ? client_fail(monitor->client, "cannot listen to the terminal: %s",
				   g_strerror(-r)) :
		       0;
}

static int set_up_screen(struct monitor *monitor)
{
	monitor->utf8 = terminal_is_utf8();
	monitor->screen = screen_new(STDIN_FILENO, STDOUT_FILENO, terminal_has_style(STDOUT_FILENO));
	return listen_to_terminal(monitor);
}

static int set_up(struct monitor *monitor)
{
	static const struct sampler_ops sampler_ops = { on_sample, on_no_answer };
	static const struct feed_ops feed_ops = { on_event, on_failed };
	bool live = monitor->mode == OUTPUT_TEXT && terminal_can_draw(STDOUT_FILENO);
	int r;

	r = loop_new(&monitor->loop, monitor->client);
	if (r >= 0 && live)
		r = set_up_screen(monitor);
	if (r < 0)
		return r;
	r = sampler_new(&monitor->sampler, monitor->client, loop_event(monitor->loop), &sampler_ops,
			monitor);
	if (r < 0)
		return client_fail(monitor->client, "cannot set a timer: %s", g_strerror(-r));
	return feed_new(&monitor->feed, monitor->client, &feed_ops, monitor);
}

static void tear_down(struct monitor *monitor)
{
	screen_free(monitor->screen);
	feed_free(monitor->feed);
	sampler_free(monitor->sampler);
	sd_event_source_unref(monitor->draw_timer);
	loop_free(monitor->loop);
	view_free(monitor->view);
}

int monitor_run(struct client *client, const struct options *options)
{
	struct monitor monitor = { .client = client, .mode = options->mode };
	int r;

	monitor.view = view_new(options->system ? "holdfast on the system bus" :
						  "holdfast on the user bus");
	/* A call first: it starts a daemon that the bus can start, and fails where there is none. */
	r = client_call(client, CLIENT_STORAGE, "Subscribe", 0, NULL, "");
	if (r >= 0)
		r = set_up(&monitor);
	if (r >= 0) {
		if (monitor.screen)
			claim_screen(&monitor);
		r = loop_run(monitor.loop);
	}
	tear_down(&monitor);
	return r;
}
