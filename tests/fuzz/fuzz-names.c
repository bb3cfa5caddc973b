/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any text as a name: of an item, of an area, in an object's path, of a parent; and as what the
 * kernel's files say of a process, a part of which the process chooses: whatever they say, an app's
 * id is an area's name, and doubt is not "no sandbox".
 */

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "bus/identity.h"
#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"
#include "parent/parent.h"
#include "setup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key_text(const char *text)
{
	int r = key_check(text);

	g_assert_true(r == HF_OK || r == HF_INVALID_KEY);
	if (r != HF_OK)
		return;
	g_assert_cmpuint(strlen(text), >=, 1);
	g_assert_cmpuint(strlen(text), <=, LIMIT_KEY_BYTES);
	g_assert_true(g_utf8_validate(text, -1, NULL));
	for (const char *p = text; *p; p = g_utf8_next_char(p))
		g_assert_false(g_unichar_iscntrl(g_utf8_get_char(p)));
}

static void check_name(const char *text)
{
	g_assert_cmpuint(strlen(text), >=, 1);
	g_assert_cmpuint(strlen(text), <=, LIMIT_AREA_NAME_BYTES);
	g_assert_cmpuint(strspn(text, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "._-"), ==,
			 strlen(text));
	g_assert_true(text[0] != '.');
}

/* A full name goes through a path and back. */
static void check_path(const char *full)
{
	char *path = NULL, *back = NULL;

	g_assert_cmpint(sd_bus_path_encode("/org/holdfast1/area", full, &path), >=, 0);
	g_assert_true(sd_bus_object_path_is_valid(path));
	g_assert_cmpint(sd_bus_path_decode(path, "/org/holdfast1/area", &back), >, 0);
	g_assert_cmpstr(back, ==, full);
	free(path);
	free(back);
}

static void check_area(const char *text)
{
	if (area_name_valid(text)) {
		check_name(text);
		g_assert_true(area_full_name_valid(text));
	}
	if (!area_full_name_valid(text))
		return;
	check_name(area_full_name_own(text));
	g_assert_true((area_full_name_owner(text) >= 0) == (strchr(text, '/') != NULL));
	check_path(text);
}

/* Whatever the other lines say, one whose path names a sandbox is not to be outvoted. */
static void check_no_sandbox(const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (char **line = lines; *line; line++) {
		const char *path = strchr(*line, ':');

		path = path ? strchr(path + 1, ':') : NULL;
		g_assert_true(!path || !strstr(path, "/app-flatpak-"));
	}
}

static void check_identity(const char *text)
{
	char *app = NULL;
	enum identity_kind kind = identity_parse_cgroup(text, &app);

	g_assert_true((kind == IDENTITY_SANDBOXED) == !!app);
	if (app)
		check_name(app);
	if (kind == IDENTITY_PLAIN)
		check_no_sandbox(text);
	g_clear_pointer(&app, g_free);
	kind = identity_parse_flatpak_info(text, &app);
	g_assert_cmpint(kind, !=, IDENTITY_PLAIN);
	g_assert_true((kind == IDENTITY_SANDBOXED) == !!app);
	if (app)
		check_name(app);
	g_free(app);
	kind = identity_parse_status(text, 1000);
	g_assert_cmpint(kind, !=, IDENTITY_SANDBOXED);
}

static void check_value(const char *text)
{
	int r = value_check(text, 100);

	if (r == HF_OK)
		g_assert_true(strlen(text) <= 100 && g_utf8_validate(text, -1, NULL));
	else
		g_assert_true(r == HF_TOO_LARGE || r == HF_INVALID_VALUE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	int r;

	fuzz_setup();
	check_key_text(text);
	check_value(text);
	check_area(text);
	check_identity(text);
	r = parent_check_address(text);
	g_assert_true(r == 0 || r == -EINVAL || r == -EPROTONOSUPPORT);
	return 0;
}
