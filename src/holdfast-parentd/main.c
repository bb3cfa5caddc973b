/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-parentd: the parent store that comes with holdfast.
 *
 * Start: options → database → tokens and certificate → listeners → READY=1. Stop, at SIGTERM or
 * SIGINT, in reverse: listeners, handshakes, connections, what is being committed, the database.
 * Two threads: this one for everything that speaks, a worker for everything that waits for the
 * disk; and those of GLib's that shake hands.
 */

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "committer.h"
#include "database.h"
#include "gate.h"
#include "ledger.h"
#include "listener.h"
#include "notify.h"
#include "options.h"
#include "reader.h"
#include "server.h"

/* What the system's policy disables stays disabled; besides, nothing older than TLS 1.3. */
#define TLS_PRIORITY "NORMAL:%COMPAT:-VERS-TLS1.0:-VERS-TLS1.1:-VERS-TLS1.2"

struct parentd {
	struct options options;
	GMainLoop *loop;
	struct clock *clock;
	struct worker *worker;
	struct database *database;
	struct ledger *ledger;
	struct reader *reader;
	struct committer *committer;
	struct server *server;
	struct gate *gate;	/* NULL: no TLS */
	struct notify *notify;	/* there while it runs */
	GPtrArray *listeners;
	struct listener_env listener_env;
	bool stopping;
	int read_error;	/* the last one told */
	int status;	/* of the process */
};

static const char *database_why(int error)
{
	switch (error) {
	case -EBUSY:
		return "another holdfast-parentd has it open.";
	case -ENOTSUP:
		return "it is of a newer version of holdfast-parentd; use that one.";
	case -EMEDIUMTYPE:
		return "it is a database of another program.";
	case -ENOEXEC:
		return "it is not a database, and is left alone; give another --database.";
	case -EUCLEAN:
		return "it is damaged.";
	default:
		return g_strerror(-error);
	}
}

static gboolean on_signal(gpointer data)
{
	struct parentd *parentd = data;

	parentd->stopping = true;
	g_main_loop_quit(parentd->loop);
	return G_SOURCE_CONTINUE;
}

static gboolean on_reload(gpointer data)
{
	struct parentd *parentd = data;

	if (parentd->gate)
		gate_reload(parentd->gate);
	return G_SOURCE_CONTINUE;
}

/* The next start sets it aside. */
static void end_if_damaged(struct parentd *parentd, int error)
{
	if (error != -EUCLEAN)
		return;
	parentd->status = EXIT_FAILURE;
	g_main_loop_quit(parentd->loop);
}

/* Told once when writing begins to fail and once when it works again, not at each refusal. */
static void on_writing_changed(void *data, int error)
{
	struct parentd *parentd = data;

	if (parentd->notify)
		notify_set_error(parentd->notify, error ? database_why(error) : NULL);
	if (error == 0) {
		log_notice("The database can be written again.");
		return;
	}
	log_error("Cannot write to %s: %s", parentd->options.database, database_why(error));
	end_if_damaged(parentd, error);
}

static void on_read_failed(void *data, int error)
{
	struct parentd *parentd = data;

	if (parentd->read_error == error)
		return;
	parentd->read_error = error;
	log_error("Cannot read %s: %s", parentd->options.database, database_why(error));
	end_if_damaged(parentd, error);
}

/* ---- start ---- */

/*
 * A file too large must be an error of write(), not the end of the process. GIO has no call to say
 * which versions of TLS there are to be; the environment has, before any thread is there.
 */
static void process_prepare(void)
{
	struct rlimit files;

	g_setenv("G_TLS_GNUTLS_PRIORITY", TLS_PRIORITY, FALSE);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = MIN(files.rlim_max, (SERVER_CONNECTIONS + HANDSHAKES +
						      SERVER_STRANGERS) * 2);
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int parentd_open(struct parentd *parentd)
{
	g_autofree char *set_aside = NULL;
	int r;

	r = database_open(parentd->options.database, clock_realtime(parentd->clock),
			  &parentd->database, &set_aside);
	if (set_aside)
		log_error("The database %s was damaged and is now %s; a new and empty one, with "
			  "epoch %s, takes its place.",
			  parentd->options.database, set_aside,
			  parentd->database ? database_epoch(parentd->database) : "unknown");
	if (r >= 0)
		r = ledger_new(parentd->database, &parentd->options.max, &parentd->ledger);
	if (r >= 0)
		r = reader_new(parentd->database, &parentd->reader);
	if (r < 0) {
		log_error("Cannot open %s: %s", parentd->options.database, database_why(r));
		return r;
	}
	parentd->worker = worker_new("parentd-disk", NULL);
	parentd->committer =
		committer_new(parentd->worker, parentd->ledger, parentd->database);
	committer_watch(parentd->committer, on_writing_changed, parentd);
	parentd->server = server_new(parentd->clock, parentd->committer, parentd->reader,
				     database_epoch(parentd->database));
	server_watch(parentd->server, on_read_failed, parentd);
	return 0;
}

static void on_guest(void *data, GIOStream *stream, const struct peer *peer)
{
	struct parentd *parentd = data;

	server_accepted_guest(parentd->server, stream, peer);
}

static void on_tokens(void *data)
{
	struct parentd *parentd = data;

	server_use_tokens(parentd->server, gate_tokens(parentd->gate));
}

static int parentd_open_gate(struct parentd *parentd)
{
	const struct gate_files files = {
		.certificate = parentd->options.tls_cert,
		.key = parentd->options.tls_key,
		.tokens = parentd->options.tokens,
	};
	g_autofree char *why = NULL;

	if (!files.tokens)
		return 0;
	parentd->gate = gate_new(&files, parentd->clock, on_guest, on_tokens, parentd, &why);
	if (!parentd->gate) {
		log_error("%s", why);
		return -EINVAL;
	}
	on_tokens(parentd);
	return 0;
}

static void on_accepted(void *data, GSocketConnection *connection, const char *principal)
{
	struct parentd *parentd = data;

	if (principal)
		server_accepted(parentd->server, G_IO_STREAM(connection), principal);
	else
		gate_accept(parentd->gate, connection);
}

static int parentd_listen_on(struct parentd *parentd, const char *address)
{
	const struct listener_env *env = &parentd->listener_env;
	g_autofree char *why = NULL;
	guint first = parentd->listeners->len;
	int r;

	r = listener_add(address, env, parentd->listeners, &why);
	if (r < 0) {
		log_error("%s", why);
		return r;
	}
	for (guint i = first; i < parentd->listeners->len; i++) {
		g_autofree char *name = listener_name(parentd->listeners->pdata[i]);

		log_info("Listening on %s.", name);
	}
	return 0;
}

static int parentd_listen_inherited(struct parentd *parentd)
{
	int n = sd_listen_fds(1);

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		g_autofree char *why = NULL;
		int r;

		r = listener_add_fd(fd, &parentd->listener_env, parentd->listeners, &why);
		if (r < 0) {
			log_error("%s", why);
			return r;
		}
	}
	if (n > 0)
		log_info("Listening on what was handed over; sockets: %d.", n);
	return n;
}

static int parentd_listen(struct parentd *parentd)
{
	g_autofree char *fallback = NULL;
	int r;

	parentd->listener_env = (struct listener_env){
		.clock = parentd->clock,
		.tls = parentd->gate,
		.accepted = on_accepted,
		.data = parentd,
	};
	r = parentd_listen_inherited(parentd);
	if (r < 0)
		return r;
	for (char **address = parentd->options.listen; address && *address; address++) {
		r = parentd_listen_on(parentd, *address);
		if (r < 0)
			return r;
	}
	if (parentd->listeners->len > 0)
		return 0;
	fallback = options_default_address();
	if (!fallback) {
		log_error("XDG_RUNTIME_DIR is not set: say where to listen with --listen.");
		return -ENOENT;
	}
	return parentd_listen_on(parentd, fallback);
}

/* ---- stop ---- */

static void listener_drop(gpointer listener)
{
	listener_free(listener);
}

static void parentd_close(struct parentd *parentd)
{
	g_ptr_array_unref(parentd->listeners);
	/* Signals are heard while it ends. */
	gate_free(g_steal_pointer(&parentd->gate));
	server_free(parentd->server);
	committer_free(parentd->committer);
	worker_free(parentd->worker);
	reader_free(parentd->reader);
	ledger_free(parentd->ledger);
	database_close(parentd->database);
	clock_free(parentd->clock);
	g_main_loop_unref(parentd->loop);
}

static void on_counted(void *data, unsigned int connections)
{
	struct parentd *parentd = data;

	notify_set_connections(parentd->notify, connections);
}

static void parentd_run(struct parentd *parentd)
{
	parentd->status = EXIT_SUCCESS;
	sd_notify(0, "READY=1");
	parentd->notify = notify_new(parentd->clock);
	server_watch_count(parentd->server, on_counted, parentd);
	if (!parentd->stopping)
		g_main_loop_run(parentd->loop);
	sd_notify(0, "STOPPING=1");
	server_watch_count(parentd->server, NULL, NULL);
	parentd->notify = notify_free(parentd->notify);
}

int main(int argc, char **argv)
{
	struct parentd parentd = { 0 };
	int status = options_parse(&parentd.options, argc, argv);

	if (status < 0) {
		process_prepare();
		parentd.status = EXIT_FAILURE;
		parentd.loop = g_main_loop_new(NULL, FALSE);
		parentd.clock = clock_new_glib(NULL);
		parentd.listeners = g_ptr_array_new_with_free_func(listener_drop);
		/* A signal that comes before the loop runs is heard when it does. */
		g_unix_signal_add(SIGTERM, on_signal, &parentd);
		g_unix_signal_add(SIGINT, on_signal, &parentd);
		g_unix_signal_add(SIGHUP, on_reload, &parentd);
		if (parentd_open(&parentd) >= 0 && parentd_open_gate(&parentd) >= 0 &&
		    parentd_listen(&parentd) >= 0)
			parentd_run(&parentd);
		parentd_close(&parentd);
		status = parentd.status;
	}
	options_deinit(&parentd.options);
	return status;
}
