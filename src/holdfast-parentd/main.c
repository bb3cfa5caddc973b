/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast-parentd: the parent store that comes with holdfast.
 *
 * Start: options → database → listeners → READY=1. Stop, at SIGTERM or SIGINT, in reverse:
 * listeners, connections, what is being committed, the database. Two threads: this one for
 * everything that speaks, a worker for everything that waits for the disk.
 */

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "committer.h"
#include "database.h"
#include "ledger.h"
#include "listener.h"
#include "options.h"
#include "reader.h"
#include "server.h"

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
	GPtrArray *listeners;
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

	g_main_loop_quit(parentd->loop);
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

/* A file too large must be an error of write(), not the end of the process. */
static void process_prepare(void)
{
	struct rlimit files;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = MIN(files.rlim_max, SERVER_CONNECTIONS * 2);
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

static int parentd_listen_on(struct parentd *parentd, const char *address)
{
	g_autofree char *why = NULL;
	struct listener *listener;
	int r;

	r = listener_new(address, parentd->clock, server_accepted, parentd->server, &listener,
			 &why);
	if (r < 0) {
		log_error("%s", why);
		return r;
	}
	g_ptr_array_add(parentd->listeners, listener);
	log_info("Listening on %s.", address);
	return 0;
}

static int parentd_listen_inherited(struct parentd *parentd)
{
	int n = sd_listen_fds(1);

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		g_autofree char *why = NULL;
		struct listener *listener;
		int r;

		r = listener_new_fd(fd, parentd->clock, server_accepted, parentd->server,
				    &listener, &why);
		if (r < 0) {
			log_error("%s", why);
			return r;
		}
		g_ptr_array_add(parentd->listeners, listener);
	}
	if (n > 0)
		log_info("Listening on what was handed over: %d socket(s).", n);
	return n;
}

static int parentd_listen(struct parentd *parentd)
{
	g_autofree char *fallback = NULL;
	int r = parentd_listen_inherited(parentd);

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
	server_free(parentd->server);
	committer_free(parentd->committer);
	worker_free(parentd->worker);
	reader_free(parentd->reader);
	ledger_free(parentd->ledger);
	database_close(parentd->database);
	clock_free(parentd->clock);
	g_main_loop_unref(parentd->loop);
}

static void parentd_run(struct parentd *parentd)
{
	parentd->status = EXIT_SUCCESS;
	sd_notify(0, "READY=1");
	g_main_loop_run(parentd->loop);
	sd_notify(0, "STOPPING=1");
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
		if (parentd_open(&parentd) >= 0 && parentd_listen(&parentd) >= 0)
			parentd_run(&parentd);
		parentd_close(&parentd);
		status = parentd.status;
	}
	options_deinit(&parentd.options);
	return status;
}
