/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfastctl: holdfastd from the command line. This file finds the verb, joins the bus and ends
 * with the exit status; the verbs are in items.c, queue.c, wait.c, status.c, watch.c, monitor.c and
 * metrics.c. Errors are printed here and nowhere else.
 */

#include <errno.h>
#include <glib.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "core/key.h"
#include "holdfastctl/client.h"
#include "holdfastctl/items.h"
#include "holdfastctl/metrics.h"
#include "holdfastctl/monitor.h"
#include "holdfastctl/options.h"
#include "holdfastctl/queue.h"
#include "holdfastctl/status.h"
#include "holdfastctl/wait.h"
#include "holdfastctl/watch.h"

/* Options that not every verb takes. */
enum {
	TAKES_JSON = 1 << 0,
	TAKES_TIMEOUT = 1 << 1,
	TAKES_ACTION = 1 << 2,	/* --rejected, --show=, --retry=, --drop= */
	TAKES_TEXTFILE = 1 << 3,
};

static const struct verb {
	const char *name;
	const char *arguments;	/* as --help shows them */
	int min_args, max_args;	/* the verb itself not counted */
	unsigned int takes;
	enum client_area_use area;
	int (*run)(struct client *client, const struct options *options);
} verbs[] = {
	{ "get", "KEY", 1, 1, TAKES_JSON, CLIENT_AREA_MAKE, items_get },
	{ "set", "KEY VALUE", 2, 2, TAKES_JSON, CLIENT_AREA_MAKE, items_set },
	{ "remove", "KEY", 1, 1, TAKES_JSON, CLIENT_AREA_MAKE, items_remove },
	{ "list", "[PREFIX]", 0, 1, TAKES_JSON, CLIENT_AREA_LOOK, items_list },
	{ "areas", "", 0, 0, TAKES_JSON, CLIENT_AREA_UNUSED, items_areas },
	{ "watch", "", 0, 0, TAKES_JSON, CLIENT_AREA_MAKE, watch_run },
	{ "status", "", 0, 0, TAKES_JSON, CLIENT_AREA_LOOK, status_run },
	{ "monitor", "", 0, 0, TAKES_JSON, CLIENT_AREA_MAKE, monitor_run },
	{ "metrics", "", 0, 0, TAKES_TEXTFILE, CLIENT_AREA_UNUSED, metrics_run },
	{ "queue", "", 0, 0, TAKES_JSON | TAKES_ACTION, CLIENT_AREA_LOOK, queue_run },
	{ "flush", "", 0, 0, TAKES_JSON | TAKES_TIMEOUT, CLIENT_AREA_LOOK, wait_flush },
	{ "await", "SERIAL", 1, 1, TAKES_JSON | TAKES_TIMEOUT, CLIENT_AREA_MAKE, wait_await },
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* Return: what --raw cannot be combined with, to be freed, or NULL. */
static char *check_raw(const struct verb *verb, const struct options *options)
{
	bool shows = verb->run == items_get || options->queue_action == QUEUE_SHOW;

	if (options->raw && !shows)
		return g_strdup("--raw belongs to 'get' and 'queue --show='");
	if (options->raw && options->mode != OUTPUT_TEXT)
		return g_strdup("only one of --raw and --json= can be given");
	return NULL;
}

/* Return: what @verb does not take, to be freed, or NULL. */
static char *check_options(const struct verb *verb, const struct options *options)
{
	if (options->timeout_given && !(verb->takes & TAKES_TIMEOUT))
		return g_strdup_printf("'%s' takes no --timeout=", verb->name);
	if (options->queue_action != QUEUE_LIST && !(verb->takes & TAKES_ACTION))
		return g_strdup_printf("--rejected, --show=, --retry= and --drop= belong to "
				       "'queue', not '%s'", verb->name);
	if (options->textfile && !(verb->takes & TAKES_TEXTFILE))
		return g_strdup_printf("--textfile= belongs to 'metrics', not '%s'", verb->name);
	if (options->mode != OUTPUT_TEXT && !(verb->takes & TAKES_JSON))
		return g_strdup_printf("'%s' has a format of its own and takes no --json=",
				       verb->name);
	return check_raw(verb, options);
}

/* Return: a sentence to be freed, or NULL where @verb can do with @options. */
static char *check_usage(const struct verb *verb, const struct options *options)
{
	int n = options->n_args - 1;
	uint64_t serial;

	if (options->area && !area_name_valid(options->area))
		return g_strdup_printf("'%s' is not a name of an area", options->area);
	if (n < verb->min_args || n > verb->max_args)
		return *verb->arguments ?
			       g_strdup_printf("usage: holdfastctl %s %s", verb->name,
					       verb->arguments) :
			       g_strdup_printf("'%s' takes no arguments", verb->name);
	if (verb->run == wait_await && options_parse_serial(options->args[1], &serial) < 0)
		return g_strdup_printf("'%s' is not a serial", options->args[1]);
	return check_options(verb, options);
}

static int usage_error(const char *problem)
{
	fprintf(stderr, "holdfastctl: %s (see holdfastctl --help)\n", problem);
	return CLIENT_EXIT_USAGE;
}

static int run(const struct verb *verb, const struct options *options)
{
	struct client *client = client_new();
	int status = CLIENT_EXIT_OK;
	int r;

	r = client_connect(client, options->system, options->area, verb->area,
			   !options->no_start);
	if (r >= 0)
		r = verb->run(client, options);
	/* A reader who has read enough is no error. */
	if (r >= 0 && fflush(stdout) != 0 && errno != EPIPE)
		r = client_fail_output(client, -errno);
	if (r < 0) {
		fprintf(stderr, "holdfastctl: %s\n", client_error(client));
		status = (int)client_exit_status(client);
	}
	client_free(client);
	return status;
}

int main(int argc, char **argv)
{
	g_autofree char *problem = NULL;
	const struct verb *verb;
	struct options options;
	int r;

	setlocale(LC_CTYPE, "");
	r = options_parse(argc, argv, &options, &problem);
	if (r < 0)
		return usage_error(problem);
	if (r > 0)
		return CLIENT_EXIT_OK;
	if (options.n_args == 0)
		return usage_error("no command given");

	verb = find_verb(options.args[0]);
	if (!verb)
		problem = g_strdup_printf("unknown command '%s'", options.args[0]);
	else
		problem = check_usage(verb, &options);
	if (problem)
		return usage_error(problem);
	return run(verb, &options);
}
