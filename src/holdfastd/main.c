/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* holdfastd(8): the command line, and nothing else. */

#include <errno.h>
#include <getopt.h>
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "bus/bus.h"
#include "holdfastd/service.h"
#include "parent/parent.h"

#define EXIT_USAGE 2

enum action {
	ACTION_RUN,
	ACTION_INTROSPECT,
	ACTION_TEST_CONFIG,
	ACTION_HELP,
	ACTION_VERSION,
};

struct command_line {
	struct service_options options;
	enum action action;
};

enum {
	OPT_USER = 256,
	OPT_SYSTEM,
	OPT_CONFIG,
	OPT_STATE_DIR,
	OPT_PARENT,
	OPT_LOG_LEVEL,
	OPT_BUS_INTROSPECT,
	OPT_TEST_CONFIG,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "user", no_argument, NULL, OPT_USER },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "parent", required_argument, NULL, OPT_PARENT },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "bus-introspect", no_argument, NULL, OPT_BUS_INTROSPECT },
	{ "test-config", no_argument, NULL, OPT_TEST_CONFIG },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static void print_help(void)
{
	printf("holdfastd [OPTION...]\n"
	       "\n"
	       "Keep the state of applications safe while their parent store comes and goes.\n"
	       "\n"
	       "  --user               serve on the user bus (default)\n"
	       "  --system             serve on the system bus\n"
	       "  --config FILE        read this configuration file alone\n"
	       "  --state-dir DIR      keep the database here\n"
	       "  --parent ADDRESS     the parent: unix:/PATH, tls:HOST:PORT or local:\n"
	       "  --log-level LEVEL    emerg alert crit err warning notice info debug\n"
	       "  --bus-introspect     print the D-Bus interfaces and exit\n"
	       "  --test-config        check the configuration and exit\n"
	       "  -h, --help           print this and exit\n"
	       "  --version            print the version and exit\n"
	       "\n"
	       "See holdfastd(8) and holdfastd.conf(5).\n");
}

/* Return: whether @level was one. */
static bool set_log_level(const char *level)
{
	int r = log_level_from_string(level);

	if (r < 0) {
		fprintf(stderr, "holdfastd: \"%s\" is not a log level\n", level);
		return false;
	}
	log_set_max_level(r);
	return true;
}

static bool check_parent(const char *address)
{
	if (parent_check_address(address) >= 0)
		return true;
	fprintf(stderr, "holdfastd: \"%s\" is not an address of a parent\n", address);
	return false;
}

/* An empty one is most likely a variable that was not set. */
static bool take_path(const char **place, const char *option, const char *what)
{
	*place = optarg;
	if (optarg[0])
		return true;
	fprintf(stderr, "holdfastd: %s: no %s is named\n", option, what);
	return false;
}

/* Return: false where it makes no sense, which was said. */
static bool take_option(struct command_line *line, int option)
{
	switch (option) {
	case OPT_USER:
		line->options.system = false;
		return true;
	case OPT_SYSTEM:
		line->options.system = true;
		return true;
	case OPT_CONFIG:
		return take_path(&line->options.config, "--config", "file");
	case OPT_STATE_DIR:
		return take_path(&line->options.state_dir, "--state-dir", "directory");
	case OPT_PARENT:
		line->options.parent = optarg;
		return check_parent(optarg);
	case OPT_LOG_LEVEL:
		return set_log_level(optarg);
	case OPT_BUS_INTROSPECT:
		line->action = ACTION_INTROSPECT;
		return true;
	case OPT_TEST_CONFIG:
		line->action = ACTION_TEST_CONFIG;
		return true;
	case OPT_VERSION:
		line->action = ACTION_VERSION;
		return true;
	case 'h':
		line->action = ACTION_HELP;
		return true;
	default:
		return false; /* getopt_long(3) said what is wrong */
	}
}

static bool parse_command_line(int argc, char **argv, struct command_line *line)
{
	int option;

	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) >= 0)
		if (!take_option(line, option))
			return false;
	if (optind < argc) {
		fprintf(stderr, "holdfastd: too many arguments: \"%s\"\n", argv[optind]);
		return false;
	}
	return true;
}

static int introspect(void)
{
	g_autofree char *xml = NULL;
	int r;

	r = bus_introspect(&xml);
	if (r < 0) {
		fprintf(stderr, "holdfastd: cannot introspect: %s\n", g_strerror(-r));
		return EXIT_FAILURE;
	}
	fputs(xml, stdout);
	return EXIT_SUCCESS;
}

static int perform(const struct command_line *line)
{
	switch (line->action) {
	case ACTION_RUN:
		return service_run(&line->options);
	case ACTION_INTROSPECT:
		return introspect();
	case ACTION_TEST_CONFIG:
		return service_test_config(&line->options);
	case ACTION_HELP:
		print_help();
		return EXIT_SUCCESS;
	case ACTION_VERSION:
		printf("holdfastd %s\n", PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct command_line line = { 0 };

	umask(0077);
	if (argc > 0)
		argv[0] = program_invocation_short_name; /* what getopt_long(3) calls us */
	/* GIO would ask NetworkManager over the system bus, waiting for it; the kernel knows too.
	 */
	g_setenv("GIO_USE_NETWORK_MONITOR", "netlink", FALSE);
	if (!parse_command_line(argc, argv, &line)) {
		fprintf(stderr, "Try 'holdfastd --help'.\n");
		return EXIT_USAGE;
	}
	return perform(&line);
}
