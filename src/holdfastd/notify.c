/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The datagrams of sd_notify(3), sent without waiting; see notify.h. */

#include <errno.h>
#include <glib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/journal.h"
#include "base/log.h"
#include "base/util.h"
#include "holdfastd/notify.h"

#define STATUS_EVERY (1 * USEC_PER_SEC) /* at most so often; a refused one is tried as soon */
#define STATUS_BYTES 1024		/* an address can be as long as a path */

struct notify {
	struct clock *clock;
	char *(*status)(void *data);
	void *data;
	int fd; /* -1: nobody listens */
	struct sockaddr_un address;
	socklen_t address_len;
	const char *news;   /* READY=1 or STOPPING=1, not taken yet; NULL: none */
	char *told;	    /* the status last taken */
	uint64_t told_at;   /* monotonic usec; 0: never */
	uint64_t half_time; /* of the watchdog; 0: none */
	bool begun;	    /* READY=1 was wanted: before that there is no status */
	struct timer status_timer;
	struct timer watchdog_timer;
};

bool notify_wanted(const struct notify *notify)
{
	return notify->fd >= 0;
}

/* ---- the socket ---- */

/* Return: false where @path is neither a path nor an abstract name. */
static bool set_address(struct notify *notify, const char *path)
{
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(notify->address.sun_path))
		return false;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, path, len + 1);
	notify->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@')
		notify->address.sun_path[0] = '\0'; /* an abstract name ends where its length says */
	else
		notify->address_len++;
	return true;
}

static void open_socket(struct notify *notify, const char *path)
{
	notify->fd = -1;
	if (!path || !*path)
		return;
	if (!set_address(notify, path))
		log_warning("NOTIFY_SOCKET is not a socket's address; the service manager is told "
			    "nothing");
	else
		notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Return: false where the manager has yet to read what came before, so that it is worth another try;
 * with a socket that is gone none is. */
static bool notify_send(const struct notify *notify, const char *text)
{
	ssize_t n;

	do
		n = sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
			   (const struct sockaddr *)&notify->address, notify->address_len);
	while (n < 0 && errno == EINTR);
	return n >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

/* ---- what is told ---- */

static bool notify_tell_news(struct notify *notify, const char *status)
{
	g_autofree char *text = g_strdup_printf("%s\nSTATUS=%s", notify->news, status);

	if (!notify_send(notify, text))
		return false;
	notify->news = NULL;
	return true;
}

static bool notify_tell_status(struct notify *notify, const char *status)
{
	g_autofree char *text = g_strdup_printf("STATUS=%s", status);

	return notify_send(notify, text);
}

/* A line break would begin an assignment of somebody else's choice. */
static char *make_status(struct notify *notify)
{
	g_autofree char *status = notify->status(notify->data);

	return journal_clean(status, STATUS_BYTES);
}

static void notify_tell(struct notify *notify)
{
	g_autofree char *status = make_status(notify);
	bool taken;

	if (!notify->news && g_strcmp0(status, notify->told) == 0)
		return;
	taken = notify->news ? notify_tell_news(notify, status)
			     : notify_tell_status(notify, status);
	notify->told_at = clock_monotonic(notify->clock);
	if (taken) {
		g_free(notify->told);
		notify->told = g_steal_pointer(&status);
	} else {
		timer_arm_in(&notify->status_timer, STATUS_EVERY);
	}
}

static void on_status_timer(void *data)
{
	notify_tell(data);
}

void notify_changed(struct notify *notify)
{
	if (!notify_wanted(notify) || !notify->begun || timer_is_armed(&notify->status_timer))
		return;
	timer_arm(&notify->status_timer, notify->told_at + STATUS_EVERY);
}

static void notify_news(struct notify *notify, const char *news)
{
	if (!notify_wanted(notify))
		return;
	notify->begun = true;
	notify->news = news;
	timer_disarm(&notify->status_timer);
	notify_tell(notify);
}

void notify_ready(struct notify *notify)
{
	notify_news(notify, "READY=1");
}

void notify_stopping(struct notify *notify)
{
	notify_news(notify, "STOPPING=1");
}

/* ---- the watchdog ---- */

/* There are two in the time, but a second one would come as the time ends: one that is not taken is
 * tried again before. */
static void on_watchdog_timer(void *data)
{
	struct notify *notify = data;
	bool taken = notify_send(notify, "WATCHDOG=1");

	timer_arm_in(&notify->watchdog_timer,
		     taken ? notify->half_time : MIN(notify->half_time / 4, STATUS_EVERY));
}

/* ---- life ---- */

struct notify *notify_new(const struct notify_params *params)
{
	struct notify *notify = g_new0(struct notify, 1);

	notify->clock = params->clock;
	notify->status = params->status;
	notify->data = params->data;
	timer_init(&notify->status_timer, notify->clock, on_status_timer, notify);
	timer_init(&notify->watchdog_timer, notify->clock, on_watchdog_timer, notify);
	open_socket(notify, params->socket);
	notify->half_time = params->watchdog / 2;
	if (notify_wanted(notify) && notify->half_time > 0)
		on_watchdog_timer(notify);
	return notify;
}

struct notify *notify_free(struct notify *notify)
{
	if (!notify)
		return NULL;

	if (notify->news)
		notify_tell(notify);
	timer_deinit(&notify->status_timer);
	timer_deinit(&notify->watchdog_timer);
	if (notify->fd >= 0)
		close(notify->fd);
	g_free(notify->told);
	g_free(notify);
	return NULL;
}
