/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See options.h; the manual page is holdfast-parentd(8). */

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/config.h"
#include "listener.h"
#include "options.h"

struct raw_options {
	char **listen;
	char *database;
	char *tls_cert;
	char *tls_key;
	char *tokens;
	char *max_keys;
	char *max_bytes;
	gboolean help;
	gboolean version;
};

/* GLib would print one too, with a character that the C locale turns into a question mark. */
static const char help[] =
	"holdfast-parentd [OPTION...]\n"
	"\n"
	"The parent store of holdfast: keep what daemons carry to it.\n"
	"\n"
	"  --listen ADDRESS     listen on unix:/PATH or tls:HOST:PORT, by default on\n"
	"                       unix:$XDG_RUNTIME_DIR/holdfast/parent.sock; can be repeated\n"
	"  --database FILE      keep everything in FILE, by default parent.db in\n"
	"                       $STATE_DIRECTORY, else in $XDG_STATE_HOME/holdfast\n"
	"  --tls-cert FILE      the certificate shown to TLS clients, with its chain (PEM)\n"
	"  --tls-key FILE       its key (PEM); may be the same file\n"
	"  --tokens FILE        whose token is which, without the tokens\n"
	"  --max-keys N         keys a user may keep (default: 1000000; 0: none)\n"
	"  --max-bytes SIZE     bytes of keys and values a user may keep (default: 1G)\n"
	"  -h, --help           print this and exit\n"
	"  --version            print the version and exit\n"
	"\n"
	"See holdfast-parentd(8).\n";

static void raw_options_deinit(struct raw_options *raw)
{
	g_strfreev(raw->listen);
	g_free(raw->database);
	g_free(raw->tls_cert);
	g_free(raw->tls_key);
	g_free(raw->tokens);
	g_free(raw->max_keys);
	g_free(raw->max_bytes);
}

static int usage(const char *format, const char *what)
{
	g_autofree char *text = g_strdup_printf("%s%s", format, what);

	fprintf(stderr, "holdfast-parentd: %s\nTry 'holdfast-parentd --help'.\n", text);
	return 2;
}

static int options_read(struct raw_options *raw, int argc, char **argv)
{
	const GOptionEntry entries[] = {
		{ "listen", 0, 0, G_OPTION_ARG_STRING_ARRAY, &raw->listen },
		{ "database", 0, 0, G_OPTION_ARG_FILENAME, &raw->database },
		{ "tls-cert", 0, 0, G_OPTION_ARG_FILENAME, &raw->tls_cert },
		{ "tls-key", 0, 0, G_OPTION_ARG_FILENAME, &raw->tls_key },
		{ "tokens", 0, 0, G_OPTION_ARG_FILENAME, &raw->tokens },
		{ "max-keys", 0, 0, G_OPTION_ARG_STRING, &raw->max_keys },
		{ "max-bytes", 0, 0, G_OPTION_ARG_STRING, &raw->max_bytes },
		{ "help", 'h', 0, G_OPTION_ARG_NONE, &raw->help },
		{ "version", 0, 0, G_OPTION_ARG_NONE, &raw->version },
		{ NULL },
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;

	g_option_context_set_help_enabled(context, FALSE);
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error))
		return usage("", error->message);
	if (argc > 1)
		return usage("too many arguments: ", argv[1]);
	return -1;
}

static int options_read_limits(struct options *options, const struct raw_options *raw)
{
	options->max.keys = OPTIONS_MAX_KEYS;
	options->max.bytes = OPTIONS_MAX_BYTES;
	if (raw->max_keys &&
	    !g_ascii_string_to_unsigned(raw->max_keys, 10, 0, INT64_MAX, &options->max.keys, NULL))
		return usage("--max-keys: not a number: ", raw->max_keys);
	if (raw->max_bytes && (config_parse_size(raw->max_bytes, &options->max.bytes) < 0 ||
			       options->max.bytes > INT64_MAX))
		return usage("--max-bytes: not a size: ", raw->max_bytes);
	return -1;
}

/* $STATE_DIRECTORY may name several, separated by colons: the first is for us. */
static char *default_database(void)
{
	const char *state = g_getenv("STATE_DIRECTORY");
	g_autofree char *directory = NULL;

	if (state && state[0] == '/')
		directory = g_strndup(state, strcspn(state, ":"));
	else
		directory = g_build_filename(g_get_user_state_dir(), "holdfast", NULL);
	if (g_mkdir_with_parents(directory, 0700) < 0) {
		fprintf(stderr, "holdfast-parentd: %s: %s\n", directory, g_strerror(errno));
		return NULL;
	}
	return g_build_filename(directory, "parent.db", NULL);
}

/* A relative name is one of the service's credentials, if it has one of that name. */
static char *credential_path(const char *name)
{
	const char *directory = g_getenv("CREDENTIALS_DIRECTORY");
	g_autofree char *path = NULL;

	if (g_path_is_absolute(name) || !directory)
		return g_strdup(name);
	path = g_build_filename(directory, name, NULL);
	return g_file_test(path, G_FILE_TEST_EXISTS) ? g_steal_pointer(&path) : g_strdup(name);
}

static int options_read_tls(struct options *options, const struct raw_options *raw)
{
	bool all = raw->tls_cert && raw->tls_key && raw->tokens;
	bool any = raw->tls_cert || raw->tls_key || raw->tokens;

	for (char **address = raw->listen; address && *address && !all; address++)
		if (listener_address_is_tls(*address))
			return usage("give --tls-cert, --tls-key and --tokens to listen on ",
				     *address);
	if (any && !all)
		return usage("", "--tls-cert, --tls-key and --tokens are given together or not "
				 "at all");
	if (all) {
		options->tls_cert = credential_path(raw->tls_cert);
		options->tls_key = credential_path(raw->tls_key);
		options->tokens = credential_path(raw->tokens);
	}
	return -1;
}

static int options_fill(struct options *options, struct raw_options *raw)
{
	int status = options_read_limits(options, raw);

	if (status >= 0)
		return status;
	for (char **address = raw->listen; address && *address; address++)
		if (!listener_address_check(*address))
			return usage("--listen: not an address of the form unix:/PATH or "
				     "tls:HOST:PORT: ", *address);
	status = options_read_tls(options, raw);
	if (status >= 0)
		return status;
	if (raw->database && !raw->database[0])
		return usage("--database: ", "no file is named");
	options->listen = g_steal_pointer(&raw->listen);
	options->database = raw->database ? g_steal_pointer(&raw->database) : default_database();
	return options->database ? -1 : 1;
}

int options_parse(struct options *options, int argc, char **argv)
{
	struct raw_options raw = { 0 };
	int status;

	memset(options, 0, sizeof(*options));
	status = options_read(&raw, argc, argv);
	if (status < 0 && raw.help) {
		fputs(help, stdout);
		status = 0;
	}
	if (status < 0 && raw.version) {
		printf("holdfast-parentd %s\n", PACKAGE_VERSION);
		status = 0;
	}
	if (status < 0)
		status = options_fill(options, &raw);
	raw_options_deinit(&raw);
	return status;
}

void options_deinit(struct options *options)
{
	g_strfreev(options->listen);
	g_free(options->database);
	g_free(options->tls_cert);
	g_free(options->tls_key);
	g_free(options->tokens);
	memset(options, 0, sizeof(*options));
}

char *options_default_address(void)
{
	const char *runtime = g_getenv("XDG_RUNTIME_DIR");
	g_autofree char *directory = NULL;

	if (!runtime || runtime[0] != '/')
		return NULL;
	directory = g_build_filename(runtime, "holdfast", NULL);
	g_mkdir_with_parents(directory, 0700);
	return g_strconcat("unix:", directory, "/parent.sock", NULL);
}
