/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes to the journal and to standard error: entries, their cleaning, and that neither waits.
 * Standard error is looked at from outside, in a process of its own. */

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/log-message.h"
#include "base/log.h"

struct listener {
	char *dir, *path;
	int fd;
	struct journal *journal;
};

static void listener_bind(struct listener *l)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	l->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	g_assert_cmpint(l->fd, >=, 0);
	g_strlcpy(address.sun_path, l->path, sizeof(address.sun_path));
	g_assert_cmpint(bind(l->fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
}

static void listener_init(struct listener *l)
{
	l->dir = g_dir_make_tmp("holdfast-log-XXXXXX", NULL);
	l->path = g_build_filename(l->dir, "socket", NULL);
	listener_bind(l);
	l->journal = journal_new(l->path);
}

static void listener_deinit(struct listener *l)
{
	journal_free(l->journal);
	close(l->fd);
	g_remove(l->path);
	g_rmdir(l->dir);
	g_free(l->path);
	g_free(l->dir);
}

static char *listener_take(struct listener *l)
{
	char buffer[65536];
	ssize_t n = recv(l->fd, buffer, sizeof(buffer), 0);

	return n < 0 ? NULL : g_strndup(buffer, (gsize)n);
}

/* ---- text ---- */

static void check_clean(const char *text, gsize max, const char *wanted)
{
	g_autofree char *clean = journal_clean(text, max);

	g_assert_cmpstr(clean, ==, wanted);
	g_assert_true(g_utf8_validate(clean, -1, NULL));
}

static void test_clean(void)
{
	check_clean("plain text, grün", 100, "plain text, grün");
	check_clean("a\nb\r\tc\x1b[31m\x7f", 100, "a b  c [31m ");
	check_clean("\xc2\x9b" "31m \xc2\xa0", 100, "  31m \xc2\xa0"); /* CSI in one character */
	check_clean("bad \xff\xfe bytes", 100, "bad \xef\xbf\xbd\xef\xbf\xbd bytes");
	check_clean("abcdef", 3, "abc");
	check_clean("ab\xc3\xbc", 3, "ab\xef\xbf\xbd"); /* cut within a character */
	check_clean("", 10, "");
}

/* Nobody can end a field and begin one of their own. */
static void test_entry(void)
{
	g_autoptr(GString) entry = g_string_new(NULL);

	journal_append(entry, "PRIORITY", "4", 100);
	journal_append(entry, "MESSAGE", "first\nMESSAGE_ID=of mine", 100);
	journal_append(entry, "HOLDFAST_AREA", "", 100);
	g_assert_cmpstr(entry->str, ==,
			"PRIORITY=4\nMESSAGE=first MESSAGE_ID=of mine\nHOLDFAST_AREA=\n");
}

/* ---- the socket ---- */

static void test_send(void)
{
	g_autoptr(GString) entry = g_string_new("MESSAGE=one\n");
	g_autofree char *first = NULL, *second = NULL;
	struct listener l;

	listener_init(&l);
	g_assert_cmpint(journal_send(l.journal, entry), ==, 0);
	first = listener_take(&l);
	g_assert_cmpstr(first, ==, entry->str);

	/* journald is started anew: the same path is another socket. */
	close(l.fd);
	g_remove(l.path);
	g_assert_cmpint(journal_send(l.journal, entry), ==, -ENOENT);
	listener_bind(&l);
	g_assert_cmpint(journal_send(l.journal, entry), ==, 0);
	second = listener_take(&l);
	g_assert_cmpstr(second, ==, entry->str);
	listener_deinit(&l);
}

/* A journald that does not read: told, not waited for; when it reads again it goes on. */
static void test_send_does_not_wait(void)
{
	g_autoptr(GString) entry = g_string_new("MESSAGE=one\n");
	g_autofree char *last = NULL;
	unsigned int sent = 0;
	struct listener l;
	int r;

	listener_init(&l);
	while ((r = journal_send(l.journal, entry)) == 0)
		g_assert_cmpuint(++sent, <, 100000);
	g_assert_cmpint(r, ==, -EAGAIN);
	g_assert_cmpint(journal_send(l.journal, entry), ==, -EAGAIN);
	while (sent-- > 0) {
		g_autofree char *text = listener_take(&l);

		g_assert_cmpstr(text, ==, entry->str);
	}
	g_assert_null(listener_take(&l));
	g_assert_cmpint(journal_send(l.journal, entry), ==, 0);
	last = listener_take(&l);
	g_assert_cmpstr(last, ==, entry->str);
	listener_deinit(&l);
}

static void test_stream(void)
{
	g_autofree char *right = NULL, *wrong = NULL, *more = NULL;
	struct stat st;
	int fds[2];

	g_assert_cmpint(pipe(fds), ==, 0);
	g_assert_cmpint(fstat(fds[1], &st), ==, 0);
	right = g_strdup_printf("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	wrong = g_strdup_printf("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	more = g_strconcat(right, "x", NULL);

	g_assert_true(journal_has_stream(right, fds[1]));
	g_assert_false(journal_has_stream(wrong, fds[1]));
	g_assert_false(journal_has_stream(more, fds[1]));
	g_assert_false(journal_has_stream(NULL, fds[1]));
	g_assert_false(journal_has_stream("", fds[1]));
	g_assert_false(journal_has_stream("7", fds[1]));
	g_assert_false(journal_has_stream(right, -1));
	close(fds[0]);
	close(fds[1]);
}

/* ---- names ---- */

static void test_names(void)
{
	static const char *const targets[] = { "auto", "console", "journal", "null" };

	for (size_t i = 0; i < G_N_ELEMENTS(targets); i++) {
		g_assert_cmpint(log_target_from_string(targets[i]), ==, (int)i);
		g_assert_cmpstr(log_target_to_string((enum log_target)i), ==, targets[i]);
	}
	g_assert_cmpint(log_target_from_string("kmsg"), ==, -EINVAL);
	g_assert_cmpint(log_target_from_string(""), ==, -EINVAL);
	g_assert_cmpstr(log_identifier(), ==, "test-log");
}

/* ---- standard error, in another process ---- */

static void say_console(void)
{
	log_set_max_level(LOG_INFO);
	log_event(LOG_WARNING, LOG_MESSAGE_QUOTA, LOG_FIELDS(log_text("HOLDFAST_AREA", "a")),
		  "area %s:\ntwo lines", "a");
	log_debug("not this");
	log_set_target(LOG_TARGET_NULL);
	log_error("nor this");
	log_set_target(LOG_TARGET_CONSOLE);
	log_info("the end");
}

static void test_console(void)
{
	if (g_test_subprocess()) {
		g_setenv("JOURNAL_STREAM", "1:1", TRUE);
		say_console();
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr("warning: area a: two lines\ninfo: the end\n");
}

/* The journal's stream, for text: with a level that journald takes off. */
static void test_console_of_the_journal(void)
{
	g_autofree char *stream = NULL;
	struct stat st;

	if (g_test_subprocess()) {
		g_assert_cmpint(fstat(STDERR_FILENO, &st), ==, 0);
		stream = g_strdup_printf("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
		g_setenv("JOURNAL_STREAM", stream, TRUE);
		log_set_target(LOG_TARGET_CONSOLE);
		say_console();
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr("<4>area a: two lines\n<6>the end\n");
}

/* No journald: nothing that was for it is lost. */
static void test_no_journald(void)
{
	if (g_test_subprocess()) {
		log_set_target(LOG_TARGET_JOURNAL);
		log_event(LOG_ERR, LOG_MESSAGE_DISK_FAILED, NULL, "said");
		return;
	}
	if (g_file_test(JOURNAL_SOCKET, G_FILE_TEST_EXISTS)) {
		g_test_skip("journald runs here");
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr("err: said\n");
}

#define THREADS 4
#define LINES	200

static void *log_much(void *data)
{
	for (int i = 0; i < LINES; i++)
		log_notice("thread %u says all of this in one line", GPOINTER_TO_UINT(data));
	return NULL;
}

static void test_threads(void)
{
	GThread *threads[THREADS];
	g_autoptr(GString) wanted = g_string_new(NULL);

	if (g_test_subprocess()) {
		log_set_target(LOG_TARGET_CONSOLE);
		for (unsigned int i = 0; i < THREADS; i++)
			threads[i] = g_thread_new("log", log_much, GUINT_TO_POINTER(i));
		for (unsigned int i = 0; i < THREADS; i++)
			g_thread_join(threads[i]);
		return;
	}
	for (int i = 0; i < THREADS * LINES; i++)
		g_string_append(wanted, "notice: thread ? says all of this in one line\n");
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr(wanted->str);
}

int main(int argc, char **argv)
{
	/* Set before anything logs: it is looked at once. */
	g_unsetenv("JOURNAL_STREAM");
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/log/clean", test_clean);
	g_test_add_func("/log/entry", test_entry);
	g_test_add_func("/log/send", test_send);
	g_test_add_func("/log/send-does-not-wait", test_send_does_not_wait);
	g_test_add_func("/log/stream", test_stream);
	g_test_add_func("/log/names", test_names);
	g_test_add_func("/log/console", test_console);
	g_test_add_func("/log/console-of-the-journal", test_console_of_the_journal);
	g_test_add_func("/log/no-journald", test_no_journald);
	g_test_add_func("/log/threads", test_threads);
	return g_test_run();
}
