/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Start: configuration, store, storage, objects, name, READY=1. Stop in reverse: STOPPING=1, the
 * name, what is queued (2 s at most), every call settled, the store. Nothing here decides anything
 * about data.
 *
 * The service owns everything below it. The configuration is changed in place by a reload: the
 * engine holds its address.
 */

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log-message.h"
#include "base/log.h"
#include "base/util.h"
#include "base/worker.h"
#include "core/config.h"
#include "core/error.h"
#include "engine/storage.h"
#include "holdfastd/bus-link.h"
#include "holdfastd/config-files.h"
#include "holdfastd/hints.h"
#include "holdfastd/service.h"
#include "holdfastd/status.h"
#include "parent/parent.h"
#include "store/store.h"

#define DATABASE_NAME "holdfast.db"
#define LOCK_TRIES    60		    /* a predecessor that still stops holds the lock: */
#define LOCK_WAIT     (50 * USEC_PER_MSEC)  /* look again after this, so often */

struct service {
	const struct service_options *options;
	struct config config;
	char *default_address;
	GMainLoop *loop;
	struct clock *clock;
	GRand *rand;
	struct worker *worker;
	struct store *store;
	bool salvaged;
	struct storage *storage;
	struct status *report; /* NULL: not begun */
	struct hints *hints; /* NULL: not up yet */
	struct bus_link *link;
	GSource *signals[3];
	bool stopping;
	int status;
};

/* ---- configuration ---- */

static void log_config_warning(void *data, const char *file, unsigned int line, const char *message)
{
	(void)data;
	log_event(LOG_WARNING, LOG_MESSAGE_CONFIG_PROBLEM,
		  LOG_FIELDS(log_text("HOLDFAST_CONFIG_FILE", file),
			     log_number("HOLDFAST_CONFIG_LINE", line),
			     log_text("HOLDFAST_REASON", message)),
		  "%s:%u: %s", file, line, message);
}

static int load_config(const struct service_options *options, struct config *config,
		       config_warn_t warn, void *data, bool *ret_bad_address)
{
	struct config_files files = { .file = options->config, .system = options->system };
	int r;

	r = config_files_load(&files, config, warn, data, ret_bad_address);
	if (r >= 0 && options->parent) {
		g_free(config->parent_address);
		config->parent_address = g_strdup(options->parent);
	}
	return r;
}

static void print_config_warning(void *data, const char *file, unsigned int line,
				 const char *message)
{
	fprintf(stderr, "%s:%u: %s\n", file, line, message);
	++*(unsigned int *)data;
}

int service_test_config(const struct service_options *options)
{
	struct config config = { 0 };
	unsigned int warnings = 0;
	bool bad_address;
	int r;

	r = load_config(options, &config, print_config_warning, &warnings, &bad_address);
	if (r < 0)
		fprintf(stderr, "%s: cannot be read: %s\n", options->config, g_strerror(-r));
	config_deinit(&config);
	return r < 0 || warnings > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Take @config over as the one in use; what was in use goes to @config. */
static void swap_config(struct service *service, struct config *config)
{
	struct config before = service->config;

	service->config = *config;
	*config = before;
}

/* All or nothing: a daemon half on its old parent's settings and half on its new one's would be hard
 * to understand. */
static int apply_reload(struct service *service, char **ret_detail)
{
	struct config config;
	bool bad_address;
	int r;

	r = load_config(service->options, &config, log_config_warning, NULL, &bad_address);
	if (r < 0) {
		*ret_detail = g_strdup_printf("%s cannot be read: %s; nothing was changed.",
					      service->options->config, g_strerror(-r));
		return r;
	}
	if (!bad_address) {
		swap_config(service, &config);
		r = storage_reconfigured(service->storage);
		if (r < 0)
			swap_config(service, &config); /* nothing of it was applied */
	}
	config_deinit(&config);
	if (bad_address || r < 0) {
		*ret_detail = g_strdup(r == -EOPNOTSUPP ?
			"Address= changes from or to local: at a restart only; nothing was changed." :
			"The parent's Address= cannot be used; nothing was changed. "
			"Correct it, then reload again.");
		return HF_INVALID_ARGS;
	}
	if (service->hints)
		hints_reconfigured(service->hints);
	bus_link_reconfigured(service->link);
	status_changed(service->report);
	log_event(LOG_INFO, LOG_MESSAGE_CONFIG_RELOADED,
		  LOG_FIELDS(log_text("HOLDFAST_PARENT", storage_parent_address(service->storage))),
		  "Configuration reloaded");
	return 0;
}

/* A struct bus_manager_ops reload. The log, too, is told of a refusal: who reads it later finds there
 * what the daemon runs with. */
static int service_reload(void *data, char **ret_detail)
{
	int r;

	r = apply_reload(data, ret_detail);
	if (r != 0)
		log_event(LOG_ERR, LOG_MESSAGE_CONFIG_REFUSED,
			  LOG_FIELDS(log_text("HOLDFAST_REASON", *ret_detail)), "Cannot reload: %s",
			  *ret_detail);
	return r;
}

static char *make_default_address(bool system)
{
	const char *runtime = system ? NULL : g_getenv("XDG_RUNTIME_DIR");

	if (system)
		return g_strdup("unix:/run/holdfast/parent.sock");
	if (runtime && runtime[0] == '/')
		return g_strdup_printf("unix:%s/holdfast/parent.sock", runtime);
	return g_strdup_printf("unix:/run/user/%u/holdfast/parent.sock", (unsigned int)getuid());
}

/* ---- the store ---- */

static char *find_state_dir(const struct service_options *options)
{
	const char *given = g_getenv("STATE_DIRECTORY");
	g_auto(GStrv) dirs = NULL;

	if (options->state_dir)
		return g_strdup(options->state_dir);
	if (given && given[0] != '\0') {
		/* systemd lists several with colons between; we asked for one. */
		dirs = g_strsplit(given, ":", 2);
		return g_strdup(dirs[0]);
	}
	if (options->system)
		return g_strdup("/var/lib/holdfast");
	return g_build_filename(g_get_user_state_dir(), "holdfast", NULL);
}

static void log_store_error(const char *path, int error)
{
	switch (error) {
	case -EBUSY:
		log_error("%s is in use by another process; is holdfastd running already?", path);
		break;
	case -ENOTSUP:
		log_error("%s was made by a newer version of holdfastd; upgrade, or choose another "
			  "directory with --state-dir",
			  path);
		break;
	default:
		log_error("Cannot open %s: %s", path, g_strerror(-error));
		break;
	}
}

static void log_recovery(const struct store_recovery *recovery)
{
	log_event(LOG_WARNING, LOG_MESSAGE_CORRUPTION,
		  LOG_FIELDS(log_text("HOLDFAST_PATH", recovery->set_aside),
			     log_number("HOLDFAST_ROWS_KEPT", recovery->rows_kept),
			     log_number("HOLDFAST_ROWS_LOST", recovery->rows_lost)),
		  "The database was damaged and is set aside as %s: %s", recovery->set_aside,
		  recovery->detail);
}

static void log_damage(void)
{
	log_error("The database was found damaged while in use; restart holdfastd, which sets it "
		  "aside and keeps what can be read");
}

/* A bus may start us while the daemon before us, its name given up, still flushes its queue. */
static int open_database(struct service *service, const char *path,
			 struct store_recovery *ret_recovery)
{
	int r = store_open(path, service->worker, &service->store, ret_recovery);

	for (unsigned int i = 0; r == -EBUSY && i < LOCK_TRIES; i++) {
		g_usleep(LOCK_WAIT);
		/* The loop does not run yet, and a stop is not to wait for it. */
		while (g_main_context_iteration(NULL, FALSE))
			;
		if (service->stopping)
			return -ECANCELED;
		r = store_open(path, service->worker, &service->store, ret_recovery);
	}
	return r;
}

static int open_store(struct service *service)
{
	g_autofree char *dir = find_state_dir(service->options);
	g_autofree char *path = g_build_filename(dir, DATABASE_NAME, NULL);
	struct store_recovery recovery = { 0 };
	int r;

	if (g_mkdir_with_parents(dir, 0700) < 0) {
		r = -errno;
		log_error("Cannot make %s: %s", dir, g_strerror(-r));
		return r;
	}
	r = open_database(service, path, &recovery);
	if (r < 0) {
		if (r != -ECANCELED)
			log_store_error(path, r);
		return r;
	}
	if (recovery.emptied)
		log_warning("%s is empty: everything that was kept in it, queued writes too, is gone; "
			    "starting anew",
			    path);
	if (recovery.salvaged)
		log_recovery(&recovery);
	service->salvaged = recovery.salvaged;
	store_watch_damage(service->store, log_damage);
	store_recovery_deinit(&recovery);
	log_debug("State is in %s", path);
	return 0;
}

static int open_storage(struct service *service)
{
	struct storage_params params = {
		.clock = service->clock,
		.config = &service->config,
		.store = service->store,
		.rand = service->rand,
		.salvaged = service->salvaged,
		.make_parent = parent_new,
		.default_address = service->default_address,
		.default_area = service->options->system ? NULL : "default",
	};
	int r;

	r = storage_new(&params, &service->storage);
	if (r < 0)
		log_error("Cannot load what is stored: %s", g_strerror(-r));
	return r;
}

/* ---- running ---- */

static void on_up(void *data)
{
	struct service *service = data;

	if (service->hints || service->stopping)
		return; /* on the bus again */
	storage_start(service->storage);
	service->hints = hints_new(service->storage, service->clock, &service->config);
	log_event(LOG_INFO, LOG_MESSAGE_READY,
		  LOG_FIELDS(log_text("HOLDFAST_PARENT", storage_parent_address(service->storage)),
			     log_text("HOLDFAST_BUS", service->options->system ? "system" : "user")),
		  "Ready; parent %s", storage_parent_address(service->storage));
	status_ready(service->report);
}

/* Storage is at rest. The loop may still have turns to end, and clients may know our unique name.
 */
static void on_stopped(void *data)
{
	struct service *service = data;

	bus_link_withdraw(service->link);
	g_main_loop_quit(service->loop);
}

static void stop_storage(struct service *service)
{
	service->stopping = true;
	if (service->hints)
		storage_stop(service->storage, on_stopped, service);
	else
		g_main_loop_quit(service->loop); /* it was never started */
}

static void on_failed(void *data)
{
	struct service *service = data;

	service->status = EXIT_FAILURE;
	stop_storage(service);
}

static void on_released(void *data)
{
	stop_storage(data);
}

static gboolean on_stop_signal(void *data)
{
	struct service *service = data;

	if (service->stopping)
		return G_SOURCE_CONTINUE;
	service->stopping = true;
	log_event(LOG_INFO, LOG_MESSAGE_STOPPING, NULL, "Stopping");
	if (service->report)
		status_stopping(service->report);
	if (service->link)
		bus_link_release(service->link, on_released, service);
	return G_SOURCE_CONTINUE;
}

static gboolean on_reload_signal(void *data)
{
	g_autofree char *detail = NULL;

	service_reload(data, &detail);
	return G_SOURCE_CONTINUE;
}

static GSource *make_signal(int signum, GSourceFunc func, struct service *service)
{
	GSource *source = g_unix_signal_source_new(signum);

	g_source_set_callback(source, func, service, NULL);
	return source;
}

static int service_start(struct service *service)
{
	static const struct bus_link_ops ops = {
		.up = on_up,
		.failed = on_failed,
		.manager = { .reload = service_reload },
	};
	struct bus_link_params link = { .ops = &ops, .data = service };
	const struct service_options *options = service->options;
	bool bad_address;
	int r;

	r = load_config(options, &service->config, log_config_warning, NULL, &bad_address);
	if (r < 0) {
		log_error("Cannot read %s: %s", options->config, g_strerror(-r));
		return r;
	}
	r = open_store(service);
	if (r >= 0)
		r = open_storage(service);
	if (r < 0)
		return r;
	service->report = status_new(service->clock, service->storage);
	link.system = options->system;
	link.clock = service->clock;
	link.rand = service->rand;
	link.storage = service->storage;
	link.config = &service->config;
	service->link = bus_link_new(&link);
	bus_link_open(service->link);
	/* From here on there is something to reload; what came before was caught and comes now. */
	g_source_attach(service->signals[2], NULL);
	return 0;
}

static void service_init(struct service *service, const struct service_options *options)
{
	*service = (struct service){ .options = options };
	service->default_address = make_default_address(options->system);
	service->loop = g_main_loop_new(NULL, FALSE);
	service->clock = clock_new_glib(NULL);
	service->rand = g_rand_new();
	service->worker = worker_new("store", NULL);
	service->signals[0] = make_signal(SIGTERM, on_stop_signal, service);
	service->signals[1] = make_signal(SIGINT, on_stop_signal, service);
	service->signals[2] = make_signal(SIGHUP, on_reload_signal, service);
	g_source_attach(service->signals[0], NULL);
	g_source_attach(service->signals[1], NULL);
}

static void service_deinit(struct service *service)
{
	for (size_t i = 0; i < G_N_ELEMENTS(service->signals); i++) {
		g_source_destroy(service->signals[i]);
		g_source_unref(service->signals[i]);
	}
	hints_free(service->hints);
	bus_link_free(service->link);
	status_free(service->report);
	storage_free(service->storage);
	store_close(service->store);
	worker_free(service->worker);
	g_rand_free(service->rand);
	clock_free(service->clock);
	g_main_loop_unref(service->loop);
	g_free(service->default_address);
	config_deinit(&service->config);
}

int service_run(const struct service_options *options)
{
	struct service service;

	log_info("holdfastd " PACKAGE_VERSION " starts on the %s bus",
		 options->system ? "system" : "user");
	service_init(&service, options);
	if (service_start(&service) < 0 && !service.stopping)
		service.status = EXIT_FAILURE;
	/* Opening the bus may have failed already, and quitting a loop that does not run is lost.
	 */
	if (service.status == EXIT_SUCCESS && !service.stopping)
		g_main_loop_run(service.loop);
	service_deinit(&service);
	if (service.status == EXIT_SUCCESS)
		log_info("Stopped");
	return service.status;
}
