/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * await and flush; see wait.h. The daemon keeps the time the user gave; the call itself is given
 * some seconds more, so that it is the daemon that says "timeout" and only a deaf daemon makes the
 * bus library say it.
 *
 * On a terminal flush shows what is left on one line of standard error. It redraws on QueueChanged,
 * which the daemon coalesces, so a large queue does not flood the terminal. Whoever interrupts it is
 * left with a whole line.
 */

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/util.h"
#include "holdfastctl/format.h"
#include "holdfastctl/terminal.h"
#include "holdfastctl/wait.h"

#define WAIT_MARGIN (25 * USEC_PER_SEC)

#define LINE_CLEAR "\r\033[K"

/* A flush under way. */
struct flush {
	struct client *client;
	sd_event *event;
	int result;		/* of the verb, once the loop ends */
};

int wait_await(struct client *client, const struct options *options)
{
	uint64_t serial;

	if (options_parse_serial(options->args[1], &serial) < 0)
		return client_fail(client, "'%s' is not a serial", options->args[1]);
	return client_call(client, CLIENT_STORAGE, "Await",
			   usec_add(options->timeout, WAIT_MARGIN), NULL, "tt", serial,
			   options->timeout);
}

static void show_progress(unsigned int entries, uint64_t bytes)
{
	g_autofree char *left = format_queue(entries, bytes);

	fprintf(stderr, LINE_CLEAR "%s left", left);
	fflush(stderr);
}

/* The handler is reset on entry, so that the signal then ends this process as if none had been:
 * a shell is to see that it was interrupted. */
static void on_interrupt(int sig)
{
	ssize_t n = write(STDERR_FILENO, "\n", 1);

	(void)n;
	raise(sig);
}

/* What is ignored, as in the background of a script, stays so. */
static void end_line_on_interrupt(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	const struct sigaction action = { .sa_handler = on_interrupt,
					  .sa_flags = (int)SA_RESETHAND };
	struct sigaction old;

	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

static int on_queue_changed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	uint32_t entries;
	uint64_t bytes;

	(void)data;
	(void)error;
	if (sd_bus_message_read(m, "ut", &entries, &bytes) > 0)
		show_progress(entries, bytes);
	return 0;
}

static int on_flushed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct flush *flush = data;

	(void)error;
	fputs(LINE_CLEAR, stderr);
	if (sd_bus_message_is_method_error(m, NULL))
		flush->result = client_fail_bus(flush->client, sd_bus_message_get_error(m));
	else
		flush->result = 0;
	return sd_event_exit(flush->event, 0);
}

static int start_flush(struct flush *flush, uint64_t timeout)
{
	sd_bus *bus = client_bus(flush->client);
	sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &call, CLIENT_NAME, client_path(flush->client),
					   CLIENT_STORAGE, "Flush");
	if (r >= 0)
		r = sd_bus_message_append(call, "t", timeout);
	if (r >= 0)
		r = sd_bus_call_async(bus, NULL, call, on_flushed, flush,
				      usec_add(timeout, WAIT_MARGIN));
	sd_bus_message_unref(call);
	return r;
}

/* What waits before the first change is told. */
static int show_first(struct client *client)
{
	g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
	uint32_t entries;
	uint64_t bytes;
	int r;

	r = sd_bus_get_property_trivial(client_bus(client), CLIENT_NAME, client_path(client),
					CLIENT_STORAGE, "QueueSize", &error, 'u', &entries);
	if (r >= 0)
		r = sd_bus_get_property_trivial(client_bus(client), CLIENT_NAME,
						client_path(client), CLIENT_STORAGE, "QueueBytes",
						&error, 't', &bytes);
	if (r < 0)
		return sd_bus_error_is_set(&error) ? client_fail_bus(client, &error) :
						     client_fail_reply(client, "QueueSize", r);
	end_line_on_interrupt();
	show_progress(entries, bytes);
	return 0;
}

static int flush_on_terminal(struct client *client, uint64_t timeout)
{
	struct flush flush = { .client = client };
	sd_bus *bus = client_bus(client);
	int r;

	r = client_call(client, CLIENT_STORAGE, "Subscribe", 0, NULL, "");
	if (r >= 0)
		r = show_first(client);
	if (r < 0)
		return r;

	flush.result = client_fail_absent(client, "the connection to the bus was lost");
	r = sd_event_new(&flush.event);
	if (r >= 0)
		r = sd_bus_attach_event(bus, flush.event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_set_exit_on_disconnect(bus, true);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, CLIENT_NAME, client_path(client),
					CLIENT_STORAGE, "QueueChanged", on_queue_changed, NULL);
	if (r >= 0)
		r = start_flush(&flush, timeout);
	if (r >= 0)
		r = sd_event_loop(flush.event);
	sd_bus_detach_event(bus);
	sd_event_unref(flush.event);
	return r < 0 ? client_fail(client, "cannot wait: %s", g_strerror(-r)) : flush.result;
}

int wait_flush(struct client *client, const struct options *options)
{
	if (terminal_can_draw(STDERR_FILENO))
		return flush_on_terminal(client, options->timeout);
	return client_call(client, CLIENT_STORAGE, "Flush",
			   usec_add(options->timeout, WAIT_MARGIN), NULL, "t", options->timeout);
}
