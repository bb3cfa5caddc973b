/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * status; see status.h. Everything is gathered first, in a handful of calls, and printed after, so
 * that an error leaves no half of an answer on the screen.
 */

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "holdfastctl/format.h"
#include "holdfastctl/overview.h"
#include "holdfastctl/status.h"
#include "holdfastctl/terminal.h"

struct status {
	struct client *client;
	struct overview line;
	unsigned int rejected;
	const char *why_unknown;	/* the rejected could not be counted; or NULL */
};

static int gather_properties(struct client *client, const char *interface, struct status *status)
{
	g_autoptr(sd_bus_message) reply = NULL;
	int r;

	r = client_get_all(client, interface, &reply);
	if (r < 0)
		return r;
	r = overview_read(&status->line, reply);
	return r < 0 ? client_fail_reply(client, interface, r) : 0;
}

static int gather_stats(struct client *client, struct status *status)
{
	g_autoptr(sd_bus_message) reply = NULL;
	int r;

	r = client_call(client, CLIENT_MONITOR, "GetStats", 0, &reply, "");
	if (r < 0)
		return r;
	r = overview_read(&status->line, reply);
	return r < 0 ? client_fail_reply(client, "GetStats", r) : 0;
}

static int count_rejected(struct client *client, struct status *status)
{
	g_autoptr(sd_bus_message) reply = NULL;
	int r;

	r = client_call(client, CLIENT_STORAGE, "ListRejected", 0, &reply, "");
	if (r < 0 && client_error_is(client, CLIENT_ERROR "TooLarge"))
		status->why_unknown = "more than can be listed";
	else if (r < 0 && client_error_is(client, SD_BUS_ERROR_IO_ERROR))
		status->why_unknown = "cannot be read"; /* GetStats says why: that is to be shown */
	if (status->why_unknown)
		return 0;
	if (r < 0)
		return r;
	r = sd_bus_message_enter_container(reply, 'a', "(tssst)");
	while (r > 0 && (r = sd_bus_message_at_end(reply, false)) == 0) {
		r = sd_bus_message_skip(reply, "(tssst)");
		status->rejected++;
	}
	return r < 0 ? client_fail_reply(client, "ListRejected", r) : 0;
}

/* A sandboxed caller may not look at the manager: the version is then not told, all else is. */
static int gather_version(struct client *client, struct status *status)
{
	int r = gather_properties(client, CLIENT_MANAGER, status);

	return r < 0 && client_error_is(client, SD_BUS_ERROR_ACCESS_DENIED) ? 0 : r;
}

static int gather(struct client *client, struct status *status)
{
	int r;

	r = gather_properties(client, CLIENT_MONITOR, status);
	if (r >= 0)
		r = gather_stats(client, status);
	if (r >= 0)
		r = gather_properties(client, CLIENT_STORAGE, status);
	if (r >= 0)
		r = gather_version(client, status);
	if (r >= 0)
		r = count_rejected(client, status);
	return r;
}

static void print_json(const struct status *status, enum output_mode mode)
{
	const struct overview *s = &status->line;
	const struct field rejected = { "rejected", status->why_unknown ? FIELD_TEXT : FIELD_NUMBER,
					.number = status->rejected };
	const struct field fields[] = {
		{ "state", FIELD_TEXT, s->state },
		{ "since", FIELD_TIME, .number = s->state_since },
		{ "reason", FIELD_TEXT, s->reason },
		{ "lastError", FIELD_TEXT, s->last_error },
		{ "storageError", FIELD_TEXT, s->storage_error },
		{ "parent", FIELD_TEXT, s->parent },
		{ "averageLatency", s->latency > 0 ? FIELD_NUMBER : FIELD_TEXT, .number = s->latency },
		{ "lastPingTime", FIELD_TIME, .number = s->last_ping },
		{ "lastPongTime", FIELD_TIME, .number = s->last_pong },
		{ "totalPings", FIELD_NUMBER, .number = s->total_pings },
		{ "failedPings", FIELD_NUMBER, .number = s->failed },
		{ "maxFailedPings", FIELD_NUMBER, .number = s->max_failed },
		{ "heartbeatInterval", FIELD_NUMBER, .number = s->interval },
		{ "area", FIELD_TEXT, s->area },
		{ "queueSize", FIELD_NUMBER, .number = s->queue_size },
		{ "queueBytes", FIELD_NUMBER, .number = s->queue_bytes },
		rejected,
		{ "version", FIELD_TEXT, s->version },
	};

	output_record(mode, fields, G_N_ELEMENTS(fields));
}

static void print_line(const char *title, const char *text)
{
	g_autofree char *clean = format_clean(text);

	printf("%11s: %s\n", title, clean);
}

static const char *state_colour(const char *state)
{
	if (!terminal_has_style(STDOUT_FILENO))
		return "";
	if (strcmp(state, "connected") == 0)
		return "\033[1;32m";
	return strcmp(state, "connecting") == 0 ? "\033[1;33m" : "\033[1;31m";
}

static void print_state(const struct overview *s)
{
	const char *colour = state_colour(s->state);
	g_autofree char *since = format_time(s->state_since);
	uint64_t now = (uint64_t)g_get_real_time();
	g_autofree char *ago = format_span(usec_sub(now, s->state_since));

	printf("%11s: %s%s%s", "State", colour, s->state, *colour ? "\033[0m" : "");
	if (s->state_since > 0)
		printf(" since %s (%s ago)", since, ago);
	putchar('\n');
}

static char *describe_latency(const struct overview *s)
{
	g_autofree char *latency = format_span(s->latency);
	g_autofree char *last_pong = format_time(s->last_pong);

	if (s->latency == 0)
		return g_strdup("not measured yet");
	return g_strdup_printf("%s on average, last answer %s", latency, last_pong);
}

static char *describe_heartbeat(const struct overview *s)
{
	g_autofree char *interval = format_span(s->interval);

	return g_strdup_printf("every %s, %" PRIu32 " of %" PRIu32 " failed, %" PRIu64 " sent in all",
			       interval, s->failed, s->max_failed, s->total_pings);
}

/*
 * The daemon keeps the last error for good and tells no time of it. While the line is down for just
 * this error, its time is that of the state; once the line is back, the error lies before that.
 */
static char *describe_last_error(const struct overview *s)
{
	g_autofree char *ago = format_span(usec_sub((uint64_t)g_get_real_time(), s->state_since));

	if (!s->last_error || !*s->last_error)
		return g_strdup("none");
	if (g_str_has_prefix(s->last_error, "capacity"))
		return g_strdup(s->last_error); /* no error of the line, and of now */
	if (strcmp(s->state, "connected") == 0)
		return g_strdup_printf("%s (before the line came back %s ago)", s->last_error, ago);
	if (strcmp(s->state, "disconnected") == 0 && strcmp(s->reason, s->last_error) == 0)
		return g_strdup_printf("%s (%s ago)", s->last_error, ago);
	return g_strdup(s->last_error);
}

static char *describe_rejected(const struct status *status)
{
	g_autofree char *command = client_command(status->client, "queue --rejected");

	if (status->why_unknown)
		return g_strdup(status->why_unknown);
	if (status->rejected == 0)
		return g_strdup("none");
	return g_strdup_printf("%u (%s)", status->rejected, command);
}

static void print_text(const struct status *status)
{
	const struct overview *s = &status->line;
	g_autofree char *latency = describe_latency(s);
	g_autofree char *heartbeat = describe_heartbeat(s);
	g_autofree char *queue = format_queue(s->queue_size, s->queue_bytes);
	g_autofree char *rejected = describe_rejected(status);
	g_autofree char *last_error = describe_last_error(s);

	print_state(s);
	print_line("Reason", s->reason);
	print_line("Parent", s->parent);
	print_line("Latency", latency);
	print_line("Heartbeat", heartbeat);
	print_line("Area", s->area);
	print_line("Queue", queue);
	print_line("Rejected", rejected);
	print_line("Last error", last_error);
	if (s->storage_error && *s->storage_error)
		print_line("Storage", s->storage_error);
	print_line("Version", s->version ?: "not told to this caller");
}

int status_run(struct client *client, const struct options *options)
{
	struct status status = { .client = client };
	int r;

	r = gather(client, &status);
	if (r >= 0 && (!status.line.state || !status.line.reason || !status.line.parent ||
		       !status.line.area))
		r = client_fail_reply(client, "GetAll", 0);
	if (r >= 0 && options->mode == OUTPUT_TEXT)
		print_text(&status);
	else if (r >= 0)
		print_json(&status, options->mode);
	overview_deinit(&status.line);
	return r;
}
