/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each error a caller can be told has a name of the API and a sentence that says what to do. */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "bus/bus-error.h"
#include "core/error.h"

static const struct {
	int error;
	const char *name;
} names[] = {
	{ HF_NO_SUCH_ITEM, "org.holdfast1.Error.NoSuchItem" },
	{ HF_UNAVAILABLE, "org.holdfast1.Error.Unavailable" },
	{ HF_INVALID_KEY, "org.holdfast1.Error.InvalidKey" },
	{ HF_INVALID_VALUE, "org.holdfast1.Error.InvalidValue" },
	{ HF_TOO_LARGE, "org.holdfast1.Error.TooLarge" },
	{ HF_QUOTA_EXCEEDED, "org.holdfast1.Error.QuotaExceeded" },
	{ HF_TIMEOUT, "org.holdfast1.Error.Timeout" },
	{ HF_REJECTED, "org.holdfast1.Error.Rejected" },
	{ HF_INVALID_ARGS, "org.freedesktop.DBus.Error.InvalidArgs" },
	{ HF_ACCESS_DENIED, "org.freedesktop.DBus.Error.AccessDenied" },
	{ HF_LIMITS_EXCEEDED, "org.freedesktop.DBus.Error.LimitsExceeded" },
};

static const int disk_errors[] = { -ENOSPC, -EDQUOT, -EIO, -EUCLEAN, -EROFS, -ENOMEM };

static void test_names(void)
{
	g_assert_cmpint(G_N_ELEMENTS(names), ==, _HF_ERROR_MAX - 1);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		g_assert_cmpstr(bus_error_name(names[i].error), ==, names[i].name);
	for (size_t i = 0; i < G_N_ELEMENTS(disk_errors); i++)
		g_assert_cmpstr(bus_error_name(disk_errors[i]), ==,
				"org.freedesktop.DBus.Error.IOError");
}

/* A sentence has a part that says what is wrong, one that says what to do, and a stop. */
static void check_sentence(const char *sentence)
{
	g_assert_nonnull(sentence);
	g_assert_true(g_str_has_suffix(sentence, "."));
	g_assert_nonnull(strchr(sentence, ';'));
	g_assert_true(g_ascii_isupper(sentence[0]));
}

static void test_sentences(void)
{
	for (int error = 1; error < _HF_ERROR_MAX; error++) {
		check_sentence(bus_error_sentence(error));
		for (int other = 1; other < error; other++)
			g_assert_cmpstr(bus_error_sentence(error), !=, bus_error_sentence(other));
	}
	for (size_t i = 0; i < G_N_ELEMENTS(disk_errors); i++)
		check_sentence(bus_error_sentence(disk_errors[i]));
	g_assert_cmpstr(bus_error_sentence(-ENOSPC), !=, bus_error_sentence(-EIO));
	g_assert_cmpstr(bus_error_sentence(-EUCLEAN), !=, bus_error_sentence(-EIO));
}

static void test_unknown(void)
{
	/* Numbers that were never given out must not read past the table. */
	g_assert_nonnull(bus_error_name(_HF_ERROR_MAX));
	g_assert_nonnull(bus_error_sentence(G_MAXINT));
	g_assert_nonnull(bus_error_name(G_MININT));
}

static void test_set(void)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	g_assert_cmpint(bus_error_set(&error, HF_TIMEOUT, NULL), <, 0);
	g_assert_cmpstr(error.name, ==, "org.holdfast1.Error.Timeout");
	g_assert_cmpstr(error.message, ==, bus_error_sentence(HF_TIMEOUT));
	sd_bus_error_free(&error);

	g_assert_cmpint(bus_error_set(&error, -ENOSPC, "A sentence of one's own."), <, 0);
	g_assert_cmpstr(error.name, ==, "org.freedesktop.DBus.Error.IOError");
	g_assert_cmpstr(error.message, ==, "A sentence of one's own.");
	sd_bus_error_free(&error);

	/* sd-bus would send neither of them. */
	g_assert_cmpint(bus_error_set(&error, -EIO, "File \xff or \xef\xbf\xbf."), <, 0);
	g_assert_cmpstr(error.message, ==, "File \ufffd or ???.");
	sd_bus_error_free(&error);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bus-error/names", test_names);
	g_test_add_func("/bus-error/sentences", test_sentences);
	g_test_add_func("/bus-error/unknown", test_unknown);
	g_test_add_func("/bus-error/set", test_set);
	return g_test_run();
}
