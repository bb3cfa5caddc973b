/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who calls, told from what /proc says: names of units as launchers make them, and as somebody
 * makes them who wants to be taken for another; then real processes.
 */

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/identity.h"
#include "core/limits.h"

#define UNKNOWN ""  /* of a row: not determinable */
#define PLAIN	"-" /* in no sandbox */

struct row {
	const char *text;
	const char *want; /* UNKNOWN, PLAIN or an app's id */
};

static void check(enum identity_kind kind, char *app, const struct row *row)
{
	if (strcmp(row->want, UNKNOWN) == 0) {
		g_assert_cmpint(kind, ==, IDENTITY_UNKNOWN);
		g_assert_null(app);
	} else if (strcmp(row->want, PLAIN) == 0) {
		g_assert_cmpint(kind, ==, IDENTITY_PLAIN);
		g_assert_null(app);
	} else {
		g_assert_cmpint(kind, ==, IDENTITY_SANDBOXED);
		g_assert_cmpstr(app, ==, row->want);
	}
	g_free(app);
}

/* In the test's report, which is UTF-8 and lines. */
static void say(const char *text)
{
	g_autofree char *escaped = g_strescape(text, NULL);

	g_test_message("%s", escaped);
}

static void check_cgroup(const struct row *row)
{
	char *app = NULL;
	enum identity_kind kind = identity_parse_cgroup(row->text, &app);

	say(row->text);
	check(kind, app, row);
}

/* The names of units: each is tried as the last component, in the middle, and in a later line. */
static void check_unit(const char *unit, const char *want)
{
	static const char *const places[] = {
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/%s\n",
		"0::/%s\n",
		"0::/user.slice/%s/below/it\n",
		"0::/../../%s\n",
		"12:pids:/\n1:name=systemd:/user.slice/%s\n0::/\n",
		"12:cpu,cpuacct:/\n1:name=systemd:/\n0::/user.slice/%s\n",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
		g_auto(GStrv) parts = g_strsplit(places[i], "%s", 2);
		g_autofree char *text = g_strconcat(parts[0], unit, parts[1], NULL);

		check_cgroup(&(struct row){ text, want });
	}
}

static void test_units(void)
{
	static const struct row rows[] = {
		{ "app-flatpak-org.example.App-1.scope", "org.example.App" },
		{ "app-flatpak-org.example.App-4294967296123.scope", "org.example.App" },
		{ "app-flatpak-org.example.My\\x2dApp-1.scope", "org.example.My-App" },
		{ "app-flatpak-org.example.My-App-1.scope", "org.example.My-App" },
		{ "app-flatpak-org.example.App-1-2.scope", "org.example.App-1" },
		{ "app-flatpak-\\x6frg.example.App-1.scope", "org.example.App" },
		{ "app-flatpak-org.example.App\\x2D-1.scope", "org.example.App-" },
		{ "snap.firefox.firefox.0c1b-22.scope", "snap.firefox" },
		{ "snap.firefox.firefox-0c1b22.scope", "snap.firefox" },
		{ "snap.lxd.daemon.service", "snap.lxd" },
		{ "snap.my-snap_two.app.service", "snap.my-snap_two" },
		{ "snap.my\\x2dsnap.app.service", "snap.my-snap" },
		/* Other apps, and names that only look like a sandbox's. */
		{ "app-gnome-org.example.App-1.scope", PLAIN },
		{ "app-org.example.App@autostart.service", PLAIN },
		{ "app-flatpakish.scope", PLAIN },
		{ "my-app-flatpak-org.example.App-1.scope", PLAIN },
		{ "snapd.service", PLAIN },
		{ "run-snap.scope", PLAIN },
		{ "dbus-:1.2-org.example.Service@0.service", PLAIN },
		{ "session-2.scope", PLAIN },
		/* A sandbox, but not one we know the app of. */
		{ "app-flatpak-", UNKNOWN },
		{ "app-flatpak-.scope", UNKNOWN },
		{ "app-flatpak-1.scope", UNKNOWN },
		{ "app-flatpak--1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App.scope", UNKNOWN },
		{ "app-flatpak-org.example.App-.scope", UNKNOWN },
		{ "app-flatpak-org.example.App-x1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App-1x.scope", UNKNOWN },
		{ "app-flatpak-org.example.App-1.service", UNKNOWN },
		{ "app-flatpak-org.example.App-1.slice", UNKNOWN },
		{ "app-flatpak-org.example.App-1.scope (deleted)", UNKNOWN },
		{ "app-flatpak-org.example.App-1.scopeless", UNKNOWN },
		{ "app-flatpak-org.example.App-1", UNKNOWN },
		{ "app-flatpak-.hidden-1.scope", UNKNOWN },
		{ "app-flatpak-org example-1.scope", UNKNOWN },
		{ "app-flatpak-org.ex\xc3\xa4mple-1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App\\x2f0-1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App\\x00evil-1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App\\x-1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App\\x2-1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App\\xzz-1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App\\n-1.scope", UNKNOWN },
		{ "app-flatpak-org.example.App\\-1.scope", UNKNOWN },
		{ "app-flatpak-1000\\x2fdefault-1.scope", UNKNOWN },
		{ "snap.", UNKNOWN },
		{ "snap.scope", UNKNOWN },
		{ "snap..app.scope", UNKNOWN },
		{ "snap.group.slice", UNKNOWN },
		{ "snap.fire fox.app.scope", UNKNOWN },
		{ "snap.a\\x2fb.app.scope", UNKNOWN },
		{ "snap.firefox.app.scope.x", UNKNOWN },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		check_unit(rows[i].text, rows[i].want);
}

static void test_lines(void)
{
	static const struct row rows[] = {
		{ "0::/\n", PLAIN },
		{ "0::/user.slice/user-1000.slice/session-2.scope\n", PLAIN },
		{ "3:memory:/a:b:c\n0::/\n", PLAIN },
		/* The same app twice is one app; two are none. */
		{ "1:name=systemd:/app-flatpak-a.b.C-1.scope\n0::/app-flatpak-a.b.C-2.scope\n",
		  "a.b.C" },
		{ "0::/app-flatpak-a.b.C-1.scope/app-flatpak-a.b.C-1.scope\n", "a.b.C" },
		{ "1:name=systemd:/app-flatpak-a.b.C-1.scope\n0::/app-flatpak-a.b.D-1.scope\n",
		  UNKNOWN },
		{ "0::/app-flatpak-a.b.C-1.scope/app-flatpak-a.b.D-1.scope\n", UNKNOWN },
		{ "0::/app-flatpak-a.b.C-1.scope/snap.c.d.scope\n", UNKNOWN },
		/* What is not understood is not overruled by what is, in whichever order. */
		{ "0::/app-flatpak-a.b.C-1.scope/snap.\n", UNKNOWN },
		{ "0::/snap./app-flatpak-a.b.C-1.scope\n", UNKNOWN },
		{ "1:x:/snap.\n0::/app-flatpak-a.b.C-1.scope\n", UNKNOWN },
		{ "0::/app-flatpak-a.b.C-1.scope\n1:x:/snap.\n", UNKNOWN },
		/* No cgroup, half of one, or something else. */
		{ "", UNKNOWN },
		{ "\n", UNKNOWN },
		{ "0::/", UNKNOWN },
		{ "0::/\n1:x:/half", UNKNOWN },
		{ "0::/\n\n", UNKNOWN },
		{ "0::\n", UNKNOWN },
		{ "0:/\n", UNKNOWN },
		{ "::/\n", UNKNOWN },
		{ "0::relative\n", UNKNOWN },
		{ "x::/\n", UNKNOWN },
		{ "nonsense\n", UNKNOWN },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		check_cgroup(&rows[i]);
}

static void check_long_unit(size_t bytes, bool good)
{
	g_autofree char *id = g_strnfill(bytes, 'x');
	g_autofree char *unit = g_strdup_printf("app-flatpak-%s-1.scope", id);

	check_unit(unit, good ? id : UNKNOWN);
}

static void test_long_units(void)
{
	check_long_unit(LIMIT_AREA_NAME_BYTES, true);
	check_long_unit(LIMIT_AREA_NAME_BYTES + 1, false);
	check_long_unit(LIMIT_PROC_BYTES, false);
}

static void test_flatpak_info(void)
{
	static const struct row rows[] = {
		{ "[Application]\nname=org.example.App\nruntime=r\n\n[Instance]\ninstance-id=1\n",
		  "org.example.App" },
		{ "[Runtime]\nname=org.example.Platform\n", "org.example.Platform" },
		{ "[Runtime]\nname=a\n[Application]\nname=b\n", "b" },
		{ "", UNKNOWN },
		{ "[Application]\n", UNKNOWN },
		{ "[Application]\nname=\n", UNKNOWN },
		{ "[Application]\nname=a/b\n", UNKNOWN },
		{ "[Application]\nname=.a\n", UNKNOWN },
		{ "[Application]\nname=a b\n", UNKNOWN },
		{ "[Application]\nname=1000/default\n", UNKNOWN },
		{ "[Application]\nname=\xff\xfe\n", UNKNOWN },
		{ "[application]\nname=a\n", UNKNOWN },
		{ "name=a\n", UNKNOWN },
		{ "[Application\nname=a\n", UNKNOWN },
		{ "nonsense", UNKNOWN },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		char *app = NULL;
		enum identity_kind kind = identity_parse_flatpak_info(rows[i].text, &app);

		say(rows[i].text);
		check(kind, app, &rows[i]);
	}
}

static void test_status(void)
{
	static const struct row rows[] = {
		{ "Name:\tx\nState:\tS (sleeping)\nUid:\t1000\t1000\t1000\t1000\nGid:\t5\n", PLAIN },
		{ "Name:\tx\nState:\tR (running)\nUid:\t0\t1000\t0\t0\n", PLAIN },
		{ "Name:\tx\nState:\tR (running)\nUid:\t0\t0\t1000\t0\n", PLAIN },
		{ "Name:\tx\nState:\tS (sleeping)\nUid:\t65534\t65534\t65534\t65534\n", PLAIN },
		{ "Name:\tx\nState:\tS (sleeping)\nUid:\t0\t0\t0\t1000\n", UNKNOWN },
		{ "Name:\tx\nState:\tS (sleeping)\nUid:\t1001\t1001\t1001\t1001\n", UNKNOWN },
		{ "Name:\tx\nState:\tS (sleeping)\nUid:\t10001\t10001\t10001\t1\n", UNKNOWN },
		{ "Name:\tx\nState:\tZ (zombie)\nUid:\t1000\t1000\t1000\t1000\n", UNKNOWN },
		{ "Name:\tx\nState:\tX (dead)\nUid:\t1000\t1000\t1000\t1000\n", UNKNOWN },
		{ "Name:\tx\nState:\t", UNKNOWN },
		{ "Name:\tx\nState:\tS (sleeping)\nGid:\t1000\t1000\t1000\t1000\n", UNKNOWN },
		{ "Name:\tx\nState:\tS (sleeping)\nUid:\t", UNKNOWN },
		{ "Name:\tx\nUid:\t1000\t1000\t1000\t1000\n", UNKNOWN },
		/* A process may choose its name, but the kernel escapes newlines in it. */
		{ "Name:\t\\nUid:\\t1000\nState:\tS (sleeping)\nUid:\t1\t1\t1\t1\n", UNKNOWN },
		{ "", UNKNOWN },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		say(rows[i].text);
		check(identity_parse_status(rows[i].text, 1000), NULL, &rows[i]);
	}
}

/* ---- processes ---- */

static enum identity_kind kind_of(pid_t pid, uid_t uid)
{
	struct identity identity;
	enum identity_kind kind;

	identity_of_process(pid, uid, &identity);
	kind = identity.kind;
	if (kind != IDENTITY_UNKNOWN)
		g_assert_cmpint(identity.uid, ==, uid);
	g_assert_true((kind == IDENTITY_SANDBOXED) == (identity.app != NULL));
	identity_clear(&identity);
	return kind;
}

/* A child that lives until it is killed. */
static pid_t make_child(void)
{
	pid_t pid = fork();

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void test_processes(void)
{
	pid_t pid = make_child();
	siginfo_t info;

	g_assert_cmpint(kind_of(getpid(), geteuid()), !=, IDENTITY_UNKNOWN);
	g_assert_cmpint(kind_of(pid, geteuid()), !=, IDENTITY_UNKNOWN);
	/* The bus said another user: this number is another process's by now. */
	g_assert_cmpint(kind_of(pid, geteuid() + 1), ==, IDENTITY_UNKNOWN);
	/* Exited, and still there by number until it is waited for. */
	kill(pid, SIGKILL);
	g_assert_cmpint(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
	g_assert_cmpint(kind_of(pid, geteuid()), ==, IDENTITY_UNKNOWN);
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
	g_assert_cmpint(kind_of(pid, geteuid()), ==, IDENTITY_UNKNOWN);
}

static void test_no_process(void)
{
	g_assert_cmpint(kind_of(0, geteuid()), ==, IDENTITY_UNKNOWN);
	g_assert_cmpint(kind_of(-1, geteuid()), ==, IDENTITY_UNKNOWN);
	g_assert_cmpint(kind_of(INT32_MAX, geteuid()), ==, IDENTITY_UNKNOWN);
}

/* ---- the bus ---- */

/* What a bus may answer; -1 stands for the number of this process or its user. */
struct answer {
	const char *what;
	int64_t uid, pid; /* NONE: it does not say */
	bool wrong_type;
	const char *error;
	int want; /* what identity_ask() returns: 0 or less */
	bool known;
};

#define NONE INT64_MIN

static uint32_t own(int64_t value, uint32_t own_value)
{
	return value == -1 ? own_value : (uint32_t)value;
}

static int on_call(sd_bus_message *m, void *data, sd_bus_error *error)
{
	const struct answer *answer = data;
	bool user = strcmp(sd_bus_message_get_member(m), "GetConnectionUnixUser") == 0;
	int64_t told = user ? answer->uid : answer->pid;
	const char *name = "";

	if (answer->error)
		return sd_bus_error_set(error, answer->error, "the test says so");
	if (!user)
		g_assert_cmpstr(sd_bus_message_get_member(m), ==, "GetConnectionUnixProcessID");
	g_assert_cmpint(sd_bus_message_read(m, "s", &name), >, 0);
	g_assert_cmpstr(name, ==, ":1.7");
	if (told == NONE)
		return sd_bus_error_set(error, "org.freedesktop.DBus.Error.UnixProcessIdUnknown",
					"the test says so");
	if (answer->wrong_type)
		return sd_bus_reply_method_return(m, "s", "0");
	return sd_bus_reply_method_return(
		m, "u", own(told, user ? geteuid() : (uint32_t)getpid()));
}

struct fake_bus {
	int fd;
	const struct answer *answer;
};

/* Answers until the other end closes. */
static void *run_bus(void *data)
{
	struct fake_bus *fake = data;
	sd_id128_t id;
	sd_bus *bus;
	int r;

	sd_id128_randomize(&id);
	g_assert_cmpint(sd_bus_new(&bus), >=, 0);
	g_assert_cmpint(sd_bus_set_fd(bus, fake->fd, fake->fd), >=, 0);
	g_assert_cmpint(sd_bus_set_server(bus, 1, id), >=, 0);
	g_assert_cmpint(sd_bus_add_object(bus, NULL, "/org/freedesktop/DBus", on_call,
					  (void *)fake->answer),
			>=, 0);
	g_assert_cmpint(sd_bus_start(bus), >=, 0);
	do {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	} while (r >= 0);
	sd_bus_close_unref(bus);
	return NULL;
}

static int ask(const struct answer *answer, struct identity *ret)
{
	struct fake_bus fake = { .answer = answer };
	GThread *thread;
	int fds[2], r;
	sd_bus *bus;

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==,
			0);
	fake.fd = fds[1];
	thread = g_thread_new("bus", run_bus, &fake);
	g_assert_cmpint(sd_bus_new(&bus), >=, 0);
	g_assert_cmpint(sd_bus_set_fd(bus, fds[0], fds[0]), >=, 0);
	g_assert_cmpint(sd_bus_start(bus), >=, 0);
	r = identity_ask(bus, ":1.7", ret);
	sd_bus_close_unref(bus);
	g_thread_join(thread);
	return r;
}

static void test_answers(void)
{
	static const struct answer answers[] = {
		{ "this process", .uid = -1, .pid = -1, .known = true },
		{ "another user", .uid = 12345678, .pid = -1 },
		{ "no user", .uid = NONE, .pid = -1, .want = -1 },
		{ "no process", .uid = -1, .pid = NONE, .want = -1 },
		{ "process 0", .uid = -1, .pid = 0 },
		{ "a process that cannot be", .uid = -1, .pid = INT32_MAX },
		{ "a number that is no process's", .uid = -1, .pid = UINT32_MAX },
		{ "nothing", .uid = NONE, .pid = NONE, .want = -1 },
		{ "a wrong type", .wrong_type = true, .pid = -1, .want = -1 },
		{ "gone", .error = "org.freedesktop.DBus.Error.NameHasNoOwner", .want = -1 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
		struct identity identity = { 0 };
		int r = ask(&answers[i], &identity);

		g_test_message("%s: %d", answers[i].what, r);
		g_assert_true(answers[i].want == 0 ? r == 0 : r < 0);
		g_assert_true(answers[i].known == (identity.kind != IDENTITY_UNKNOWN));
		identity_clear(&identity);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/identity/units", test_units);
	g_test_add_func("/identity/lines", test_lines);
	g_test_add_func("/identity/long-units", test_long_units);
	g_test_add_func("/identity/flatpak-info", test_flatpak_info);
	g_test_add_func("/identity/status", test_status);
	g_test_add_func("/identity/processes", test_processes);
	g_test_add_func("/identity/no-process", test_no_process);
	g_test_add_func("/identity/answers", test_answers);
	return g_test_run();
}
