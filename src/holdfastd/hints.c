/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Where hints come from. A resume from suspend is seen by a timer that never expires but is
 * cancelled when the wall clock is set, as the kernel does on resume (timerfd_create(2)); whether
 * it was one, the time slept tells: CLOCK_BOOTTIME counts it and CLOCK_MONOTONIC does not. So
 * there is no polling, and no need for logind.
 */

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "core/config.h"
#include "engine/monitor.h"
#include "engine/storage.h"
#include "holdfastd/file-watch.h"
#include "holdfastd/hints.h"
#include "parent/credential.h"
#include "parent/token.h"

/* Less than this is the noise of reading two clocks one after the other. */
#define SLEPT_AT_LEAST (100 * USEC_PER_MSEC)

struct hints {
	struct storage *storage;
	struct clock *clock;
	const struct config *config;
	struct file_watch *socket; /* NULL: the parent has none */
	struct file_watch *token;  /* NULL: no TokenFile=, and no credentials */
	struct file_watch *ca;	   /* NULL: no TLSCAFile= */
	GNetworkMonitor *network;  /* GIO's own */
	gulong network_changed;
	GSource *clock_set; /* NULL: the kernel refused */
	int timer;	    /* -1: likewise */
	uint64_t slept;	    /* usec in suspend since boot, when last looked */
};

static void on_socket(void *data)
{
	struct hints *hints = data;

	monitor_socket_appeared(storage_monitor(hints->storage));
}

/* The parent may have refused the token before this one, or we its certificate. */
static void on_secret(void *data)
{
	struct hints *hints = data;

	monitor_hint(storage_monitor(hints->storage));
}

static void on_network(GNetworkMonitor *network, gboolean available, void *data)
{
	struct hints *hints = data;

	(void)network;
	if (available)
		monitor_hint(storage_monitor(hints->storage));
}

static uint64_t time_slept(struct clock *clock)
{
	uint64_t monotonic = clock_monotonic(clock);

	return usec_sub(clock_boottime(clock), monotonic);
}

static int arm_timer(int fd)
{
	/* As far off as a timer can be. */
	static const struct itimerspec never = { .it_value.tv_sec = INT64_MAX / 1000000000 };

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0
		       ? -errno
		       : 0;
}

static gboolean on_clock_set(int fd, GIOCondition condition, void *data)
{
	struct hints *hints = data;
	uint64_t expirations, slept = time_slept(hints->clock);

	(void)condition;
	/* Fails with ECANCELED; what matters is that it was read. */
	if (read(fd, &expirations, sizeof(expirations)) < 0 && errno == EAGAIN)
		return G_SOURCE_CONTINUE;
	if (slept >= hints->slept + SLEPT_AT_LEAST) {
		log_info("Resumed from suspend; looking after the parent");
		monitor_hint(storage_monitor(hints->storage));
	}
	hints->slept = slept;
	if (arm_timer(fd) >= 0)
		return G_SOURCE_CONTINUE;
	log_warning("A resume from suspend will not be noticed any more");
	return G_SOURCE_REMOVE;
}

static int watch_resume(struct hints *hints)
{
	int r;

	hints->slept = time_slept(hints->clock);
	hints->timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (hints->timer < 0)
		return -errno;
	r = arm_timer(hints->timer);
	if (r < 0)
		return r;
	hints->clock_set = g_unix_fd_source_new(hints->timer, G_IO_IN);
	g_source_set_callback(hints->clock_set, G_SOURCE_FUNC(on_clock_set), hints, NULL);
	g_source_attach(hints->clock_set, NULL);
	return 0;
}

/* Return: NULL where @path is, or where it cannot be watched. */
static struct file_watch *watch_file(struct hints *hints, const char *path,
				     void (*changed)(void *data))
{
	struct file_watch *watch = NULL;
	int r;

	if (!path)
		return NULL;
	r = file_watch_new(path, changed, hints, &watch);
	if (r < 0)
		log_warning("Cannot watch %s, so a change may be found late: %s", path,
			    g_strerror(-r));
	return watch;
}

static void watch_files(struct hints *hints)
{
	const char *ca_file = hints->config->parent_tls_ca_file;
	g_autofree char *token = token_path(hints->config->parent_token_file);
	g_autofree char *ca = ca_file ? credential_path(ca_file) : NULL;

	file_watch_free(hints->socket);
	hints->socket = watch_file(hints, storage_parent_path(hints->storage), on_socket);
	file_watch_free(hints->token);
	hints->token = watch_file(hints, token, on_secret);
	file_watch_free(hints->ca);
	hints->ca = watch_file(hints, ca, on_secret);
}

struct hints *hints_new(struct storage *storage, struct clock *clock, const struct config *config)
{
	struct hints *hints = g_new0(struct hints, 1);
	int r;

	hints->storage = storage;
	hints->clock = clock;
	hints->config = config;
	watch_files(hints);
	hints->network = g_network_monitor_get_default();
	hints->network_changed =
		g_signal_connect(hints->network, "network-changed", G_CALLBACK(on_network), hints);
	r = watch_resume(hints);
	if (r < 0)
		log_warning("A resume from suspend will not be noticed: %s", g_strerror(-r));
	return hints;
}

struct hints *hints_free(struct hints *hints)
{
	if (!hints)
		return NULL;

	if (hints->clock_set) {
		g_source_destroy(hints->clock_set);
		g_source_unref(hints->clock_set);
	}
	if (hints->timer >= 0)
		close(hints->timer);
	g_signal_handler_disconnect(hints->network, hints->network_changed);
	file_watch_free(hints->ca);
	file_watch_free(hints->token);
	file_watch_free(hints->socket);
	g_free(hints);
	return NULL;
}

void hints_reconfigured(struct hints *hints)
{
	watch_files(hints);
}
