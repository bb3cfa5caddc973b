/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service manager is told, and when: on a clock that the test moves, over a real socket. */

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/monitor.h"
#include "holdfastd/notify.h"
#include "holdfastd/status.h"

#define SEC USEC_PER_SEC

struct manager {
	char *dir, *path;
	int fd;
	uint64_t now;
	struct clock *clock;
	struct notify *notify;
	const char *status;
	unsigned int asked;
};

static uint64_t fake_now(void *data, int clock_id)
{
	(void)clock_id;
	return ((struct manager *)data)->now;
}

static void fake_alarm(void *data, uint64_t deadline)
{
	(void)data;
	(void)deadline;
}

static char *fake_status(void *data)
{
	struct manager *m = data;

	m->asked++;
	return g_strdup(m->status);
}

static void manager_init(struct manager *m, uint64_t watchdog)
{
	static const struct clock_ops ops = { .now = fake_now, .set_alarm = fake_alarm };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct notify_params params = {
		.watchdog = watchdog, .status = fake_status, .data = m,
	};

	*m = (struct manager){ .now = 1000 * SEC, .status = "first" };
	m->dir = g_dir_make_tmp("holdfast-notify-XXXXXX", NULL);
	m->path = g_build_filename(m->dir, "socket", NULL);
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	g_strlcpy(address.sun_path, m->path, sizeof(address.sun_path));
	g_assert_cmpint(bind(m->fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	m->clock = clock_new(&ops, m);
	params.clock = m->clock;
	params.socket = m->path;
	m->notify = notify_new(&params);
}

static void manager_deinit(struct manager *m)
{
	notify_free(m->notify);
	g_assert_cmpuint(clock_next(m->clock), ==, USEC_INFINITY);
	clock_free(m->clock);
	close(m->fd);
	g_remove(m->path);
	g_rmdir(m->dir);
	g_free(m->path);
	g_free(m->dir);
}

/* What came, one datagram per "|". */
static void heard(struct manager *m, const char *wanted)
{
	g_autoptr(GString) text = g_string_new(NULL);
	char buffer[4096];
	ssize_t n;

	while ((n = recv(m->fd, buffer, sizeof(buffer), 0)) >= 0) {
		g_string_append_len(text, buffer, n);
		g_string_append_c(text, '|');
	}
	g_assert_cmpstr(text->str, ==, wanted);
}

/* Each deadline at its time. */
static void pass(struct manager *m, uint64_t usec)
{
	uint64_t end = m->now + usec;

	while (clock_next(m->clock) <= end) {
		m->now = MAX(m->now, clock_next(m->clock));
		clock_dispatch(m->clock);
	}
	m->now = end;
}

static void changed(struct manager *m, const char *status)
{
	m->status = status;
	notify_changed(m->notify);
}

static void test_order(void)
{
	struct manager m;

	manager_init(&m, 0);
	notify_changed(m.notify);
	pass(&m, 10 * SEC);
	heard(&m, ""); /* not before READY=1 */
	notify_ready(m.notify);
	heard(&m, "READY=1\nSTATUS=first|");
	m.status = "last";
	notify_stopping(m.notify);
	heard(&m, "STOPPING=1\nSTATUS=last|");
	manager_deinit(&m);
}

static void test_status_is_coalesced(void)
{
	struct manager m;

	manager_init(&m, 0);
	notify_ready(m.notify);
	heard(&m, "READY=1\nSTATUS=first|");

	changed(&m, "second");
	pass(&m, SEC - 1);
	heard(&m, "");
	changed(&m, "third");
	pass(&m, 1);
	heard(&m, "STATUS=third|");

	/* After a quiet time the first change is told at once; a burst ends with what is true. */
	pass(&m, 60 * SEC);
	changed(&m, "at once");
	pass(&m, 0);
	heard(&m, "STATUS=at once|");
	for (int i = 0; i < 1000; i++) {
		changed(&m, i == 999 ? "true" : "burst");
		pass(&m, SEC / 1000);
	}
	pass(&m, SEC);
	heard(&m, "STATUS=true|");
	manager_deinit(&m);
}

/* What changed and changed back is nothing new; and who has nothing to say does not wake up. */
static void test_idle(void)
{
	struct manager m;
	unsigned int asked;

	manager_init(&m, 0);
	notify_ready(m.notify);
	heard(&m, "READY=1\nSTATUS=first|");
	changed(&m, "second");
	changed(&m, "first");
	pass(&m, 2 * SEC);
	heard(&m, "");
	asked = m.asked;
	g_assert_cmpuint(clock_next(m.clock), ==, USEC_INFINITY);
	pass(&m, 3600 * SEC);
	g_assert_cmpuint(m.asked, ==, asked);
	manager_deinit(&m);
}

static void test_one_assignment(void)
{
	struct manager m;

	manager_init(&m, 0);
	m.status = "unix:/a\nREADY=1\nMAINPID=1";
	notify_ready(m.notify);
	heard(&m, "READY=1\nSTATUS=unix:/a READY=1 MAINPID=1|");
	manager_deinit(&m);
}

static void test_watchdog(void)
{
	struct manager m;

	manager_init(&m, 10 * SEC);
	heard(&m, "WATCHDOG=1|");
	pass(&m, 5 * SEC - 1);
	heard(&m, "");
	pass(&m, 1);
	heard(&m, "WATCHDOG=1|");
	for (int i = 0; i < 100; i++) {
		pass(&m, 5 * SEC);
		heard(&m, "WATCHDOG=1|");
	}
	manager_deinit(&m);
}

/* A manager that does not read. Every send here would stop the test for ever if it waited. */
static void fill(struct manager *m, unsigned int *ret_filled)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	g_strlcpy(address.sun_path, m->path, sizeof(address.sun_path));
	*ret_filled = 0;
	while (sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)) == 1)
		g_assert_cmpuint(++*ret_filled, <, 100000);
	close(fd);
}

static void take(struct manager *m, unsigned int n)
{
	char byte;

	while (n-- > 0)
		g_assert_cmpint((int)recv(m->fd, &byte, 1, 0), ==, 1);
}

static void test_deaf_manager(void)
{
	unsigned int filled;
	struct manager m;

	manager_init(&m, 0);
	fill(&m, &filled);
	notify_ready(m.notify);
	changed(&m, "second");
	pass(&m, 5 * SEC);
	take(&m, filled);
	heard(&m, "");
	pass(&m, SEC);
	heard(&m, "READY=1\nSTATUS=second|");

	fill(&m, &filled);
	changed(&m, "third");
	pass(&m, 5 * SEC);
	take(&m, filled);
	pass(&m, SEC);
	heard(&m, "STATUS=third|");
	manager_deinit(&m);
}

/* The next regular one would come when the manager's time is over. */
static void test_watchdog_of_deaf_manager(void)
{
	unsigned int filled;
	struct manager m;

	manager_init(&m, 10 * SEC);
	heard(&m, "WATCHDOG=1|");
	fill(&m, &filled);
	pass(&m, 6 * SEC);
	take(&m, filled);
	heard(&m, "");
	pass(&m, SEC);
	heard(&m, "WATCHDOG=1|");
	pass(&m, 5 * SEC);
	heard(&m, "WATCHDOG=1|");
	manager_deinit(&m);
}

/* One that is gone is not waited for either: nothing is tried again. */
static void test_gone_manager(void)
{
	struct manager m;

	manager_init(&m, 0);
	g_remove(m.path);
	notify_ready(m.notify);
	g_assert_cmpuint(clock_next(m.clock), ==, USEC_INFINITY);
	manager_deinit(&m);
}

static void test_nobody(void)
{
	static const struct clock_ops ops = { .now = fake_now, .set_alarm = fake_alarm };
	static const char *const sockets[] = { NULL, "", "relative/path" };
	struct manager m = { .now = SEC, .status = "first" };
	struct notify_params params = {
		.watchdog = 10 * SEC, .status = fake_status, .data = &m,
	};

	for (size_t i = 0; i < G_N_ELEMENTS(sockets); i++) {
		params.clock = clock_new(&ops, &m);
		params.socket = sockets[i];
		m.notify = notify_new(&params);
		g_assert_false(notify_wanted(m.notify));
		notify_ready(m.notify);
		notify_changed(m.notify);
		notify_stopping(m.notify);
		g_assert_cmpuint(clock_next(params.clock), ==, USEC_INFINITY);
		notify_free(m.notify);
		clock_free(params.clock);
	}
	g_assert_cmpuint(m.asked, ==, 0);
}

/* ---- the line ---- */

static void check_line(const char *wanted, struct status_facts facts)
{
	g_autofree char *line = NULL;

	facts.address = "unix:/p";
	line = status_format(&facts);
	g_assert_cmpstr(line, ==, wanted);
}

static void test_line(void)
{
	check_line("connecting to unix:/p; nothing queued",
		   (struct status_facts){ MONITOR_CONNECTING, .reason = "start" });
	check_line("connected to unix:/p; 3 entries queued, 512 bytes",
		   (struct status_facts){ MONITOR_CONNECTED, .reason = "ok", .entries = 3,
					  .bytes = 512 });
	check_line("connected to unix:/p (parent-lost-data); 1 entry queued, 1 byte",
		   (struct status_facts){ MONITOR_CONNECTED, .entries = 1, .bytes = 1,
					  .reason = "parent-lost-data: it lost acked data" });
	check_line("disconnected (refused): unix:/p; 2 entries queued, 18446744073709551615 bytes",
		   (struct status_facts){ MONITOR_DISCONNECTED, .entries = 2, .bytes = UINT64_MAX,
					  .reason = "refused: the parent's own: words" });
	check_line("stopping; disconnected (stopped): unix:/p; nothing queued",
		   (struct status_facts){ MONITOR_DISCONNECTED, .reason = "stopped",
					  .stopping = true });
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/notify/order", test_order);
	g_test_add_func("/notify/status-is-coalesced", test_status_is_coalesced);
	g_test_add_func("/notify/idle", test_idle);
	g_test_add_func("/notify/one-assignment", test_one_assignment);
	g_test_add_func("/notify/watchdog", test_watchdog);
	g_test_add_func("/notify/deaf-manager", test_deaf_manager);
	g_test_add_func("/notify/watchdog-of-deaf-manager", test_watchdog_of_deaf_manager);
	g_test_add_func("/notify/gone-manager", test_gone_manager);
	g_test_add_func("/notify/nobody", test_nobody);
	g_test_add_func("/notify/line", test_line);
	return g_test_run();
}
