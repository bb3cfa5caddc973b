/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From a unique name to a user and an app; see identity.h.
 *
 * The user is certain: the bus has it from the kernel, as of when the caller connected. The app is
 * as certain as the number of the process is. /proc/<pid> is opened once and everything read below
 * that descriptor, which never comes to mean another process; but between the caller's connecting
 * and our opening it, the number can. Who connects from a sandbox, hands the connection to another
 * process there and exits may so be taken for whatever gets the number next, if that is a process
 * of the same user and is there by the first call (an exited process that nobody has waited for
 * does not pass). A pidfd would end this; but the buses of today tell none, and those to come tell it
 * only to whoever takes files from all callers. It buys an app the areas of its own user, never
 * another user's.
 *
 * Another user's root directory is not readable for a daemon without privileges, nor is a user's
 * own for one in a user namespace. Then the cgroup decides: the unit a sandboxed app runs in is
 * made by its launcher, and nothing in the sandbox can leave it.
 *
 * Reading below a foreign root, all of it is the caller's choice: no link is followed, nothing but
 * a regular file is read, and no more than LIMIT_PROC_BYTES of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "bus/identity.h"
#include "core/key.h"
#include "core/limits.h"

#define ASK_TIMEOUT    (1 * USEC_PER_SEC)
#define FLATPAK_PREFIX "app-flatpak-"
#define SNAP_PREFIX    "snap."
#define OVERFLOW_UID   65534 /* a user that our user namespace does not have is shown as this */

static enum identity_kind sandboxed(char *app, char **ret_app)
{
	if (!app || !area_name_valid(app)) {
		g_free(app);
		return IDENTITY_UNKNOWN;
	}
	*ret_app = app;
	return IDENTITY_SANDBOXED;
}

/* Add what another source says: one alone may find a sandbox, but two must find the same. Takes
 * @app. */
static void merge(enum identity_kind kind, char *app, enum identity_kind *into, char **into_app)
{
	if (kind == IDENTITY_UNKNOWN ||
	    (kind == IDENTITY_SANDBOXED && *into_app && g_strcmp0(app, *into_app) != 0))
		*into = IDENTITY_UNKNOWN;
	else if (kind == IDENTITY_SANDBOXED && *into == IDENTITY_PLAIN)
		*into = IDENTITY_SANDBOXED;
	if (*into == IDENTITY_SANDBOXED && !*into_app)
		*into_app = g_steal_pointer(&app);
	g_free(app);
}

/* ---- cgroups ---- */

/* Undo systemd's escaping of a unit's name, "\x2d" for "-". Return: NULL where it is none. */
static char *unescape(const char *text, size_t n)
{
	g_autofree char *plain = g_malloc(n + 1);
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		int high, low;

		if (text[i] != '\\') {
			plain[used++] = text[i];
			continue;
		}
		if (n - i < 4 || text[i + 1] != 'x')
			return NULL;
		high = g_ascii_xdigit_value(text[i + 2]);
		low = g_ascii_xdigit_value(text[i + 3]);
		/* A NUL would end the name before its end. */
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return NULL;
		plain[used++] = (char)(high << 4 | low);
		i += 3;
	}
	plain[used] = '\0';
	return g_steal_pointer(&plain);
}

/* app-flatpak-<id>-<number>.scope, where the id may have a "-" that is not escaped. */
static enum identity_kind parse_flatpak_unit(const char *unit, char **ret_app)
{
	const char *id = unit + strlen(FLATPAK_PREFIX);
	const char *number = strrchr(unit, '-') + 1; /* the prefix has one */
	size_t digits = strspn(number, "0123456789");

	if (number <= id || digits == 0 || strcmp(number + digits, ".scope") != 0)
		return IDENTITY_UNKNOWN;
	return sandboxed(unescape(id, (size_t)(number - 1 - id)), ret_app);
}

/* snap.<name>.….scope or .service. A snap's name has no dot. */
static enum identity_kind parse_snap_unit(const char *unit, char **ret_app)
{
	const char *end = strchr(unit + strlen(SNAP_PREFIX), '.');

	if (!end || end == unit + strlen(SNAP_PREFIX) ||
	    !(g_str_has_suffix(end, ".scope") || g_str_has_suffix(end, ".service")))
		return IDENTITY_UNKNOWN;
	return sandboxed(unescape(unit, (size_t)(end - unit)), ret_app);
}

static enum identity_kind parse_unit(const char *unit, char **ret_app)
{
	if (g_str_has_prefix(unit, FLATPAK_PREFIX))
		return parse_flatpak_unit(unit, ret_app);
	if (g_str_has_prefix(unit, SNAP_PREFIX))
		return parse_snap_unit(unit, ret_app);
	return IDENTITY_PLAIN;
}

/* "0::/user.slice/app.slice/x.scope": the path may have colons of its own. Return: NULL where the
 * line is none of a cgroup. */
static const char *cgroup_path(const char *line)
{
	size_t digits = strspn(line, "0123456789");
	const char *path = NULL;

	if (digits > 0 && line[digits] == ':')
		path = strchr(line + digits + 1, ':');
	return path && path[1] == '/' ? path + 1 : NULL;
}

/* Every component counts: an app may be in a cgroup below that of its unit. */
static void parse_cgroup_line(const char *line, enum identity_kind *kind, char **app)
{
	const char *path = cgroup_path(line);
	g_auto(GStrv) units = path ? g_strsplit(path, "/", -1) : NULL;

	if (!path)
		*kind = IDENTITY_UNKNOWN;
	for (char **unit = units; *kind != IDENTITY_UNKNOWN && *unit; unit++) {
		char *found = NULL;
		enum identity_kind is = parse_unit(*unit, &found);

		merge(is, found, kind, app);
	}
}

enum identity_kind identity_parse_cgroup(const char *text, char **ret_app)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	enum identity_kind kind = IDENTITY_PLAIN;
	g_autofree char *app = NULL;

	/* Without a line, or with half of one, nothing can be told. */
	if (!g_str_has_suffix(text, "\n"))
		return IDENTITY_UNKNOWN;
	for (char **line = lines; line[1] && kind != IDENTITY_UNKNOWN; line++)
		parse_cgroup_line(*line, &kind, &app);
	if (kind == IDENTITY_SANDBOXED)
		*ret_app = g_steal_pointer(&app);
	return kind;
}

/* ---- other files ---- */

enum identity_kind identity_parse_flatpak_info(const char *text, char **ret_app)
{
	/* An app, or a runtime that was started without one. */
	static const char *const groups[] = { "Application", "Runtime", "Instance" };
	g_autoptr(GKeyFile) file = g_key_file_new();
	char *app = NULL;

	if (!g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL))
		return IDENTITY_UNKNOWN;
	for (size_t i = 0; i < G_N_ELEMENTS(groups) && !app; i++)
		app = g_key_file_get_string(file, groups[i], "name", NULL);
	return sandboxed(app, ret_app);
}

/* What stands behind "\n@field:\t" in a status file; no field's text can hold a newline. */
static const char *status_field(const char *text, const char *field)
{
	g_autofree char *label = g_strdup_printf("\n%s:\t", field);
	const char *at = strstr(text, label);

	return at ? at + strlen(label) : NULL;
}

enum identity_kind identity_parse_status(const char *text, uid_t uid)
{
	const char *state = status_field(text, "State");
	const char *ids = status_field(text, "Uid");
	char *end;

	/* What has exited has left its root directory and perhaps its cgroups, too. */
	if (!state || !ids || strchr("ZXx", state[0]))
		return IDENTITY_UNKNOWN;
	/* Real, effective, saved: who gives privileges up for a while is still the same. */
	for (unsigned int i = 0; i < 3; i++, ids = end) {
		uint64_t id = g_ascii_strtoull(ids, &end, 10);

		if (end == ids)
			break;
		if (id == uid || id == OVERFLOW_UID)
			return IDENTITY_PLAIN;
	}
	return IDENTITY_UNKNOWN;
}

/* ---- /proc ---- */

/* Return: 0 or a negative errno; -EBADMSG where it is not a file of text within the limit. */
static int read_fd(int fd, char **ret_text)
{
	g_autofree char *text = g_malloc(LIMIT_PROC_BYTES + 1);
	size_t used = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	do {
		n = read(fd, text + used, LIMIT_PROC_BYTES + 1 - used);
		if (n > 0)
			used += (size_t)n;
	} while ((n > 0 && used <= LIMIT_PROC_BYTES) || (n < 0 && errno == EINTR));
	if (n < 0)
		return -errno;
	if (used > LIMIT_PROC_BYTES || memchr(text, '\0', used))
		return -EBADMSG;
	text[used] = '\0';
	*ret_text = g_steal_pointer(&text);
	return 0;
}

static int read_at(int dir, const char *name, char **ret_text)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	r = read_fd(fd, ret_text);
	close(fd);
	return r;
}

static enum identity_kind read_cgroup(int process, char **ret_app)
{
	g_autofree char *text = NULL;

	if (read_at(process, "cgroup", &text) < 0)
		return IDENTITY_UNKNOWN;
	return identity_parse_cgroup(text, ret_app);
}

static enum identity_kind read_status(int process, uid_t uid)
{
	g_autofree char *text = NULL;

	if (read_at(process, "status", &text) < 0)
		return IDENTITY_UNKNOWN;
	return identity_parse_status(text, uid);
}

/* Return: IDENTITY_PLAIN where there is no such file, or where we may not know. */
static enum identity_kind read_flatpak_info(int process, char **ret_app)
{
	int root = openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	g_autofree char *text = NULL;
	int r;

	/* The root is opened by itself: without one, the file would be missing, too. */
	if (root < 0)
		return errno == EACCES || errno == EPERM ? IDENTITY_PLAIN : IDENTITY_UNKNOWN;
	r = read_at(root, ".flatpak-info", &text);
	close(root);
	switch (r) {
	case 0:
		return identity_parse_flatpak_info(text, ret_app);
	case -ENOENT:
	case -EACCES:
	case -EPERM:
		return IDENTITY_PLAIN;
	default:
		return IDENTITY_UNKNOWN;
	}
}

static void identity_read(struct identity *identity, int process)
{
	enum identity_kind kind;
	char *app = NULL;

	identity->kind = read_cgroup(process, &identity->app);
	kind = read_flatpak_info(process, &app);
	merge(kind, app, &identity->kind, &identity->app);
	/* Last of all: what is alive now was so before. */
	kind = read_status(process, identity->uid);
	merge(kind, NULL, &identity->kind, &identity->app);
}

void identity_of_process(pid_t pid, uid_t uid, struct identity *ret)
{
	g_autofree char *path = g_strdup_printf("/proc/%d", (int)pid);
	struct identity identity = { .uid = uid };
	int process;

	*ret = (struct identity){ .kind = IDENTITY_UNKNOWN };
	process = pid > 0 ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (process < 0)
		return;
	identity_read(&identity, process);
	close(process);
	if (identity.kind == IDENTITY_UNKNOWN)
		identity_clear(&identity);
	*ret = identity;
}

void identity_clear(struct identity *identity)
{
	g_free(identity->app);
	*identity = (struct identity){ .kind = IDENTITY_UNKNOWN };
}

/* ---- the bus ---- */

static int ask_number(sd_bus *bus, const char *member, const char *name, uint64_t deadline,
		      uint32_t *ret)
{
	uint64_t now = (uint64_t)g_get_monotonic_time();
	sd_bus_message *call = NULL, *reply = NULL;
	int r;

	if (now >= deadline)
		return -ETIMEDOUT;
	r = sd_bus_message_new_method_call(bus, &call, "org.freedesktop.DBus",
					   "/org/freedesktop/DBus", "org.freedesktop.DBus", member);
	if (r >= 0)
		r = sd_bus_message_append(call, "s", name);
	if (r >= 0)
		r = sd_bus_call(bus, call, deadline - now, NULL, &reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "u", ret);
	sd_bus_message_unref(call);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 0;
}

/* Not GetConnectionCredentials: newer buses put a file into its answer, and dbus-broker ends the
 * connection of whoever asks and takes no files, as we do not. */
int identity_ask(sd_bus *bus, const char *name, struct identity *ret)
{
	uint64_t deadline = (uint64_t)g_get_monotonic_time() + ASK_TIMEOUT;
	uint32_t uid, pid;
	int r;

	r = ask_number(bus, "GetConnectionUnixUser", name, deadline, &uid);
	if (r == 0)
		r = ask_number(bus, "GetConnectionUnixProcessID", name, deadline, &pid);
	if (r < 0)
		return r;
	*ret = (struct identity){ .kind = IDENTITY_UNKNOWN };
	if (pid <= INT32_MAX)
		identity_of_process((pid_t)pid, uid, ret);
	return 0;
}
