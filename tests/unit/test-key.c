/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may be a key, a value and an area's name: each bound from both sides. */

#include <glib.h>
#include <string.h>

#include "core/error.h"
#include "core/key.h"
#include "core/limits.h"

static void test_key_length(void)
{
	g_autofree char *longest = g_strnfill(LIMIT_KEY_BYTES, 'k');
	g_autofree char *longer = g_strnfill(LIMIT_KEY_BYTES + 1, 'k');
	g_autofree char *cut = g_strdup_printf("%.*sé", LIMIT_KEY_BYTES - 1, longest);

	g_assert_cmpint(key_check(NULL), ==, HF_INVALID_KEY);
	g_assert_cmpint(key_check(""), ==, HF_INVALID_KEY);
	g_assert_cmpint(key_check("k"), ==, HF_OK);
	g_assert_cmpint(key_check(longest), ==, HF_OK);
	g_assert_cmpint(key_check(longer), ==, HF_INVALID_KEY);
	g_assert_cmpint(key_check(cut), ==, HF_INVALID_KEY);
	g_assert_cmpint(key_check(cut + 1), ==, HF_OK);
}

/* Every code point up to U+0FFF, and a few beyond, against the rule as the design words it. */
static void test_key_characters(void)
{
	static const gunichar beyond[] = { 0x2028, 0xfffd, 0xffff, 0x1f600, 0x10ffff };
	char text[8];

	for (gunichar c = 1; c < 0x1000; c++) {
		bool control = c <= 0x1f || (c >= 0x7f && c <= 0x9f);

		text[g_unichar_to_utf8(c, text)] = '\0';
		g_assert_cmpint(key_check(text), ==, control ? HF_INVALID_KEY : HF_OK);
	}
	for (unsigned int i = 0; i < G_N_ELEMENTS(beyond); i++) {
		text[g_unichar_to_utf8(beyond[i], text)] = '\0';
		g_assert_cmpint(key_check(text), ==, HF_OK);
	}
	g_assert_cmpint(key_check("a/b c.\"{}"), ==, HF_OK);
	g_assert_cmpint(key_check("tail\n"), ==, HF_INVALID_KEY);
	g_assert_cmpint(key_check("mid\xc2\x85" "dle"), ==, HF_INVALID_KEY);
}

static void test_key_utf8(void)
{
	static const char *const bad[] = {
		"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xc2",
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_cmpint(key_check(bad[i]), ==, HF_INVALID_KEY);
		g_assert_cmpint(value_check(bad[i], 100), ==, HF_INVALID_VALUE);
	}
}

static void test_value(void)
{
	g_autofree char *largest = g_strnfill(LIMIT_VALUE_BYTES, 'v');
	g_autofree char *larger = g_strnfill(LIMIT_VALUE_BYTES + 1, 'v');

	g_assert_cmpint(value_check("", 0), ==, HF_OK);
	g_assert_cmpint(value_check("a", 0), ==, HF_TOO_LARGE);
	g_assert_cmpint(value_check("line\nline\t\x01\x7f", 100), ==, HF_OK);
	g_assert_cmpint(value_check("é", 2), ==, HF_OK);
	g_assert_cmpint(value_check("é", 1), ==, HF_TOO_LARGE);
	g_assert_cmpint(value_check(NULL, 100), ==, HF_INVALID_VALUE);
	g_assert_cmpint(value_check(largest, LIMIT_VALUE_BYTES), ==, HF_OK);
	g_assert_cmpint(value_check(larger, LIMIT_VALUE_BYTES), ==, HF_TOO_LARGE);
}

static void test_area_name(void)
{
	g_autofree char *longest = g_strnfill(LIMIT_AREA_NAME_BYTES, 'a');
	g_autofree char *longer = g_strnfill(LIMIT_AREA_NAME_BYTES + 1, 'a');
	char text[2] = "";

	for (int c = 1; c < 256; c++) {
		bool good = g_ascii_isalnum(c) || c == '_' || c == '-';

		text[0] = (char)c;
		g_assert_cmpint(area_name_valid(text), ==, good);
	}
	g_assert_true(area_name_valid("org.example.App-1_x."));
	g_assert_false(area_name_valid(".hidden"));
	g_assert_false(area_name_valid("a/b"));
	g_assert_false(area_name_valid("a b"));
	g_assert_false(area_name_valid(""));
	g_assert_false(area_name_valid(NULL));
	g_assert_true(area_name_valid(longest));
	g_assert_false(area_name_valid(longer));
}

static void test_area_full_name(void)
{
	g_assert_true(area_full_name_valid("default"));
	g_assert_cmpint(area_full_name_owner("default"), ==, -1);
	g_assert_cmpstr(area_full_name_own("default"), ==, "default");
	g_assert_true(area_full_name_valid("1000/org.example.App"));
	g_assert_cmpint(area_full_name_owner("1000/org.example.App"), ==, 1000);
	g_assert_cmpstr(area_full_name_own("1000/org.example.App"), ==, "org.example.App");
	g_assert_cmpint(area_full_name_owner("0/a"), ==, 0);
	g_assert_cmpint(area_full_name_owner("4294967295/a"), ==, UINT32_MAX);
	g_assert_true(area_full_name_valid("1000"));
	g_assert_cmpint(area_full_name_owner("1000"), ==, -1);

	/* One owner has one spelling, or two names would be the same user's. */
	g_assert_false(area_full_name_valid("01/a"));
	g_assert_false(area_full_name_valid("4294967296/a"));
	g_assert_false(area_full_name_valid("10000000000000000000000/a"));
	g_assert_false(area_full_name_valid("1000/"));
	g_assert_false(area_full_name_valid("1000/a/b"));
	g_assert_false(area_full_name_valid("1000/.a"));
	g_assert_false(area_full_name_valid("/a"));
	g_assert_false(area_full_name_valid("-1/a"));
	g_assert_false(area_full_name_valid(""));
	g_assert_false(area_full_name_valid(NULL));
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/key/length", test_key_length);
	g_test_add_func("/key/characters", test_key_characters);
	g_test_add_func("/key/utf8", test_key_utf8);
	g_test_add_func("/key/value", test_value);
	g_test_add_func("/key/area-name", test_area_name);
	g_test_add_func("/key/area-full-name", test_area_full_name);
	return g_test_run();
}
