/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line, as values; see options.h. */

#include <errno.h>
#include <getopt.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "core/config.h"
#include "holdfastctl/options.h"
#include "holdfastctl/terminal.h"

enum {
	/* Above any character, so that getopt_long() can tell them from short options. */
	OPT_VERSION = 0x100,
	OPT_USER,
	OPT_SYSTEM,
	OPT_AREA,
	OPT_AUTO_START,
	OPT_JSON,
	OPT_RAW,
	OPT_TIMEOUT,
	OPT_TEXTFILE,
	OPT_REJECTED,
	OPT_SHOW,
	OPT_RETRY,
	OPT_DROP,
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "user", no_argument, NULL, OPT_USER },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "area", required_argument, NULL, OPT_AREA },
	{ "auto-start", required_argument, NULL, OPT_AUTO_START },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "textfile", required_argument, NULL, OPT_TEXTFILE },
	{ "rejected", no_argument, NULL, OPT_REJECTED },
	{ "show", required_argument, NULL, OPT_SHOW },
	{ "retry", required_argument, NULL, OPT_RETRY },
	{ "drop", required_argument, NULL, OPT_DROP },
	{}
};

/* --help, as systemd's tools have it. */
static const struct {
	const char *title;	/* NULL: none */
	const char *text;
} help[] = {
	{ NULL, "holdfastctl [OPTIONS...] COMMAND ...\n\n" },
	{ "Read and write state held by holdfastd, and see how its line to the parent is.", "\n" },
	{ "Item Commands:",
	  "  get KEY              Print the value of an item\n"
	  "  set KEY VALUE|-      Write an item (- reads the value from standard input)\n"
	  "  remove KEY           Remove an item\n"
	  "  list [PREFIX]        List the keys known here\n"
	  "  areas                List your areas\n"
	  "  watch                Show changes and the state of the line as they come\n\n" },
	{ "Queue Commands:",
	  "  queue                List the writes that wait for the parent\n"
	  "  flush                Send what waits, and return when the parent has it\n"
	  "  await SERIAL         Return when the parent has this write\n\n" },
	{ "Daemon Commands:",
	  "  status               Show the state of the line, the queue and the last error\n"
	  "  monitor              Show the line, the queue and what happens, live\n"
	  "  metrics              Print the daemon's metrics for Prometheus\n\n" },
	{ "Options:",
	  "  -h --help            Show this help\n"
	  "     --version         Show the version\n"
	  "     --user            Talk to the daemon on the user bus (the default)\n"
	  "     --system          Talk to the daemon on the system bus\n"
	  "     --area=NAME       Use this area instead of the default one\n"
	  "     --auto-start=BOOL Whether the bus may start the daemon (default: yes)\n"
	  "     --json=MODE       Print JSON: short or pretty\n"
	  "     --raw             get, queue --show: print the value without a newline\n"
	  "     --timeout=TIME    flush, await: give up after this time\n"
	  "     --textfile=PATH   metrics: write a file for node_exporter to read\n"
	  "     --rejected        queue: list what the parent refused\n"
	  "     --show=SERIAL     queue: print the value of a refused write\n"
	  "     --retry=SERIAL    queue: queue a refused write again\n"
	  "     --drop=SERIAL     queue: forget a refused write\n\n" },
	{ NULL, "See the holdfastctl(1) man page for details.\n" },
};

static void print_help(void)
{
	bool bold = terminal_has_style(STDOUT_FILENO);

	for (size_t i = 0; i < G_N_ELEMENTS(help); i++) {
		if (help[i].title)
			printf("%s%s%s\n", bold ? "\033[1m" : "", help[i].title,
			       bold ? "\033[0m" : "");
		fputs(help[i].text, stdout);
	}
}

int options_parse_serial(const char *text, uint64_t *ret_serial)
{
	guint64 serial;

	if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &serial, NULL))
		return -EINVAL;
	*ret_serial = serial;
	return 0;
}

static int parse_json(struct options *options, const char *text, char **ret_problem)
{
	if (strcmp(text, "short") == 0) {
		options->mode = OUTPUT_JSON_SHORT;
	} else if (strcmp(text, "pretty") == 0) {
		options->mode = OUTPUT_JSON_PRETTY;
	} else {
		*ret_problem = g_strdup_printf("--json= is short or pretty, not '%s'", text);
		return -EINVAL;
	}
	return 0;
}

static int parse_auto_start(struct options *options, const char *text, char **ret_problem)
{
	bool start;

	if (config_parse_bool(text, &start) < 0) {
		*ret_problem = g_strdup_printf("--auto-start= is yes or no, not '%s'", text);
		return -EINVAL;
	}
	options->no_start = !start;
	return 0;
}

static int parse_textfile(struct options *options, const char *text, char **ret_problem)
{
	/* An empty one is most likely a variable that was not set. */
	if (!*text) {
		*ret_problem = g_strdup("--textfile= names no file");
		return -EINVAL;
	}
	options->textfile = text;
	return 0;
}

static int parse_timeout(struct options *options, const char *text, char **ret_problem)
{
	if (config_parse_time(text, &options->timeout) < 0) {
		*ret_problem = g_strdup_printf(
			"--timeout= is a time such as 500ms, 10s or infinity, not '%s'", text);
		return -EINVAL;
	}
	options->timeout_given = true;
	return 0;
}

/* @text: the serial; NULL for an action without one */
static int parse_action(struct options *options, enum queue_action action, const char *text,
			char **ret_problem)
{
	if (options->queue_action != QUEUE_LIST) {
		*ret_problem = g_strdup("only one of --rejected, --show=, --retry= and --drop= "
					"can be given");
		return -EINVAL;
	}
	options->queue_action = action;
	if (text && options_parse_serial(text, &options->serial) < 0) {
		*ret_problem = g_strdup_printf("'%s' is not a serial", text);
		return -EINVAL;
	}
	return 0;
}

static int parse_option(struct options *options, int c, char **ret_problem)
{
	switch (c) {
	case 'h':
		print_help();
		return 1;
	case OPT_VERSION:
		puts("holdfastctl " PACKAGE_VERSION);
		return 1;
	case OPT_USER:
	case OPT_SYSTEM:
		options->system = c == OPT_SYSTEM;
		return 0;
	case OPT_AREA:
		options->area = optarg;
		return 0;
	case OPT_AUTO_START:
		return parse_auto_start(options, optarg, ret_problem);
	case OPT_TEXTFILE:
		return parse_textfile(options, optarg, ret_problem);
	case OPT_JSON:
		return parse_json(options, optarg, ret_problem);
	case OPT_RAW:
		options->raw = true;
		return 0;
	case OPT_TIMEOUT:
		return parse_timeout(options, optarg, ret_problem);
	case OPT_REJECTED:
		return parse_action(options, QUEUE_REJECTED, NULL, ret_problem);
	case OPT_SHOW:
		return parse_action(options, QUEUE_SHOW, optarg, ret_problem);
	case OPT_RETRY:
		return parse_action(options, QUEUE_RETRY, optarg, ret_problem);
	case OPT_DROP:
		return parse_action(options, QUEUE_DROP, optarg, ret_problem);
	default:
		return -EINVAL;
	}
}

/* A leading ':' in the short options makes getopt_long() tell a missing argument from an unknown
 * option, and leave the telling to us. */
static char *describe_bad_option(int c, char **argv)
{
	const char *word = argv[optind - 1];

	if (c == ':')
		return g_strdup_printf("option '%s' needs an argument", word);
	if (optopt > 0 && optopt < OPT_VERSION && optopt != 'h')
		return g_strdup_printf("unknown option '-%c'", optopt);
	if (strchr(word, '='))
		return g_strdup_printf("option '%s' is unknown or takes no argument", word);
	return g_strdup_printf("unknown option '%s'", word);
}

int options_parse(int argc, char **argv, struct options *ret_options, char **ret_problem)
{
	struct options options = { .timeout = USEC_INFINITY };
	int c, r;

	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) >= 0) {
		if (c == '?' || c == ':') {
			*ret_problem = describe_bad_option(c, argv);
			return -EINVAL;
		}
		r = parse_option(&options, c, ret_problem);
		if (r != 0)
			return r;
	}
	options.args = argv + optind;
	options.n_args = argc - optind;
	*ret_options = options;
	return 0;
}
