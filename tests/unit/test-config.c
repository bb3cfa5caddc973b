/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration: values, every key, and what files look like that people really write. */

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "core/config.h"
#include "core/limits.h"
#include "seed.h"

#define MSEC UINT64_C(1000)
#define SEC  (1000 * MSEC)

static void collect(void *data, const char *file, unsigned int line, const char *message)
{
	g_ptr_array_add(data, g_strdup_printf("%s:%u: %s", file, line, message));
}

static GPtrArray *load_len(struct config *config, const char *text, size_t len)
{
	GPtrArray *warnings = g_ptr_array_new_with_free_func(g_free);
	/* An exact copy: reading one byte past it is an error that a sanitizer sees. */
	g_autofree char *copy = g_memdup2(text, len);

	config_load_text(config, "f", copy, len, collect, warnings);
	return warnings;
}

static GPtrArray *load(struct config *config, const char *text)
{
	return load_len(config, text, strlen(text));
}

static void load_clean(struct config *config, const char *text)
{
	g_autoptr(GPtrArray) warnings = load(config, text);

	if (warnings->len)
		g_test_message("%s", (char *)warnings->pdata[0]);
	g_assert_cmpuint(warnings->len, ==, 0);
}

/* Exactly one warning, at @line, with @word in its sentence. */
static void load_warns(struct config *config, const char *text, unsigned int line, const char *word)
{
	g_autoptr(GPtrArray) warnings = load(config, text);
	g_autofree char *where = g_strdup_printf("f:%u: ", line);

	g_assert_cmpuint(warnings->len, ==, 1);
	g_test_message("%s", (char *)warnings->pdata[0]);
	g_assert_true(g_str_has_prefix(warnings->pdata[0], where));
	g_assert_nonnull(strstr(warnings->pdata[0], word));
}

static void test_time(void)
{
	static const struct {
		const char *text;
		int result;
		uint64_t usec;
	} cases[] = {
		{ "300ms", 0, 300 * MSEC },
		{ "5s", 0, 5 * SEC },
		{ "5", 0, 5 * SEC },
		{ "0", 0, 0 },
		{ " 5 s ", 0, 5 * SEC },
		{ "1min", 0, 60 * SEC },
		{ "1min 30s", 0, 90 * SEC },
		{ "1min30s", 0, 90 * SEC },
		{ "1h 2min 3s 4ms 5us", 0, 3723 * SEC + 4005 },
		{ "0.5s", 0, 500 * MSEC },
		{ "1.5min", 0, 90 * SEC },
		{ "2.25", 0, 2250 * MSEC },
		{ "0.0000001s", 0, 0 },
		{ "1d", 0, 86400 * SEC },
		{ "2 weeks", 0, 14 * 86400 * SEC },
		{ "1M", 0, 2629800 * SEC },
		{ "1m", 0, 60 * SEC },
		{ "1y", 0, 31557600 * SEC },
		{ "7usec", 0, 7 },
		{ "7µs", 0, 7 },
		{ "7μs", 0, 7 },
		{ "infinity", 0, UINT64_MAX },
		{ "18446744073709551614us", 0, UINT64_MAX - 1 },
		{ "18446744073709551615us", -ERANGE, 0 },
		{ "18446744073709551614us 1us", -ERANGE, 0 },
		{ "18446744073709.5s", 0, UINT64_C(18446744073709500000) },
		{ "18446744073710s", -ERANGE, 0 },
		{ "99999999999999999999999us", -ERANGE, 0 },
		{ "600000y", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "  ", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "+5s", -EINVAL, 0 },
		{ "5x", -EINVAL, 0 },
		{ "5S", -EINVAL, 0 },
		{ "5.s", -EINVAL, 0 },
		{ ".5s", -EINVAL, 0 },
		{ "1.2.3s", -EINVAL, 0 },
		{ "5s;", -EINVAL, 0 },
		{ "5s foo", -EINVAL, 0 },
		{ "infinity 5s", -EINVAL, 0 },
		{ "1e3s", -EINVAL, 0 },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t usec = 4711;

		g_test_message("\"%s\"", cases[i].text);
		g_assert_cmpint(config_parse_time(cases[i].text, &usec), ==, cases[i].result);
		g_assert_cmpuint(usec, ==, cases[i].result < 0 ? 4711 : cases[i].usec);
	}
}

static void test_size(void)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0, 0 },
		{ "123", 0, 123 },
		{ "8M", 0, 8 << 20 },
		{ "8 M", 0, 8 << 20 },
		{ " 512K ", 0, 512 << 10 },
		{ "3G", 0, UINT64_C(3) << 30 },
		{ "17179869183G", 0, UINT64_C(17179869183) << 30 },
		{ "17179869184G", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "8m", -EINVAL, 0 },
		{ "8MB", -EINVAL, 0 },
		{ "1.5M", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "8M 1", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "infinity", -EINVAL, 0 },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t bytes = 4711;

		g_test_message("\"%s\"", cases[i].text);
		g_assert_cmpint(config_parse_size(cases[i].text, &bytes), ==, cases[i].result);
		g_assert_cmpuint(bytes, ==, cases[i].result < 0 ? 4711 : cases[i].bytes);
	}
}

static void test_bool(void)
{
	static const char *const yes[] = { "yes", "true", "on", "1", "Yes", " TRUE " };
	static const char *const no[] = { "no", "false", "off", "0", "No", "OFF" };
	static const char *const bad[] = { "", "y", "2", "enable", "yes no", "-1" };
	bool truth;

	for (unsigned int i = 0; i < G_N_ELEMENTS(yes); i++) {
		truth = false;
		g_assert_cmpint(config_parse_bool(yes[i], &truth), ==, 0);
		g_assert_true(truth);
		g_assert_cmpint(config_parse_bool(no[i], &truth), ==, 0);
		g_assert_false(truth);
		g_assert_cmpint(config_parse_bool(bad[i], &truth), ==, -EINVAL);
		g_assert_false(truth);
	}
}

static void check_area_defaults(const struct config_area *area)
{
	g_assert_cmpuint(area->debounce_delay, ==, 300 * MSEC);
	g_assert_cmpuint(area->debounce_max_delay, ==, 2 * SEC);
	g_assert_cmpuint(area->cache_ttl, ==, 5 * SEC);
	g_assert_cmpuint(area->queue_max_bytes, ==, 16 << 20);
	g_assert_cmpuint(area->queue_limit, ==, 10000);
	g_assert_cmpint(area->queue_overflow, ==, CONFIG_OVERFLOW_REJECT);
	g_assert_cmpuint(area->retry_max_attempts, ==, 3);
}

static void check_defaults(const struct config *config)
{
	struct config_area area;

	g_assert_null(config->parent_address);
	g_assert_null(config->parent_user);
	g_assert_null(config->parent_token_file);
	g_assert_null(config->parent_tls_ca_file);
	g_assert_cmpuint(config->parent_request_timeout, ==, 1 * SEC);
	g_assert_cmpuint(config->parent_batch_timeout, ==, 10 * SEC);
	g_assert_cmpuint(config->parent_dial_timeout, ==, 2 * SEC);
	g_assert_cmpuint(config->heartbeat_interval, ==, 5 * SEC);
	g_assert_cmpuint(config->heartbeat_timeout, ==, 2 * SEC);
	g_assert_cmpuint(config->heartbeat_max_failed, ==, 3);
	g_assert_true(config->heartbeat_auto_recover);
	g_assert_cmpuint(config->retry_initial_delay, ==, 100 * MSEC);
	g_assert_cmpuint(config->retry_max_delay, ==, 2 * SEC);
	g_assert_cmpfloat(config->retry_multiplier, ==, 2);
	g_assert_cmpuint(config->reconnect_initial_delay, ==, 100 * MSEC);
	g_assert_cmpuint(config->reconnect_max_delay, ==, 5 * SEC);
	g_assert_cmpuint(config->cache_max_bytes, ==, 8 << 20);
	g_assert_cmpint(config->storage_durability, ==, CONFIG_DURABILITY_FULL);
	g_assert_cmpuint(config->storage_max_value_size, ==, 1 << 20);
	g_assert_cmpuint(config->storage_max_bytes, ==, 64 << 20);
	g_assert_cmpuint(config->limits_areas_per_user, ==, 256);
	g_assert_cmpuint(config->limits_bytes_per_user, ==, 256 << 20);
	check_area_defaults(&config->area);
	config_area(config, "default", &area);
	check_area_defaults(&area);
}

static void test_defaults(void)
{
	static const char table[] =
		"[Parent]\nAddress=\nParentUser=\nTokenFile=\nTLSCAFile=\nRequestTimeout=1s\n"
		"BatchTimeout=10s\nDialTimeout=2s\n"
		"[Heartbeat]\nInterval=5s\nTimeout=2s\nMaxFailedPings=3\nAutoRecover=yes\n"
		"[Retry]\nMaxAttempts=3\nInitialDelay=100ms\nMaxDelay=2s\nMultiplier=2\n"
		"[Reconnect]\nInitialDelay=100ms\nMaxDelay=5s\n"
		"[Cache]\nTTL=5s\nMaxBytes=8M\n"
		"[Debounce]\nDelay=300ms\nMaxDelay=2s\n"
		"[Queue]\nLimit=10000\nMaxBytes=16M\nOverflow=reject\n"
		"[Storage]\nDurability=full\nMaxValueSize=1M\nMaxBytes=64M\n"
		"[Limits]\nAreasPerUser=256\nBytesPerUser=256M\n";
	struct config config, zero = { 0 };

	config_init(&config);
	check_defaults(&config);
	load_clean(&config, "");
	check_defaults(&config);
	/* The design's own table, written out, changes nothing. */
	load_clean(&config, table);
	check_defaults(&config);
	config_deinit(&config);
	config_deinit(&config);
	config_deinit(&zero);
}

static void test_all_keys(void)
{
	struct config c;

	config_init(&c);
	load_clean(&c, "[Parent]\nAddress=unix:/a b\\s\\\\\nParentUser=hf\n"
		       "TokenFile=/t\nTLSCAFile=/c\n"
		       "RequestTimeout=11ms\nBatchTimeout=12ms\nDialTimeout=13ms\n"
		       "[Heartbeat]\nInterval=14ms\nTimeout=15ms\nMaxFailedPings=16\n"
		       "AutoRecover=off\n"
		       "[Retry]\nMaxAttempts=17\nInitialDelay=18us\nMaxDelay=19us\nMultiplier=1.5\n"
		       "[Reconnect]\nInitialDelay=20ms\nMaxDelay=infinity\n"
		       "[Cache]\nTTL=0\nMaxBytes=0\n"
		       "[Debounce]\nDelay=21us\nMaxDelay=22us\n"
		       "[Queue]\nLimit=23\nMaxBytes=24\nOverflow=drop-oldest\n"
		       "[Storage]\nDurability=memory\nMaxValueSize=25\nMaxBytes=26\n"
		       "[Limits]\nAreasPerUser=27\nBytesPerUser=28\n");
	g_assert_cmpstr(c.parent_address, ==, "unix:/a b \\");
	g_assert_cmpstr(c.parent_user, ==, "hf");
	g_assert_cmpstr(c.parent_token_file, ==, "/t");
	g_assert_cmpstr(c.parent_tls_ca_file, ==, "/c");
	g_assert_cmpuint(c.parent_request_timeout, ==, 11 * MSEC);
	g_assert_cmpuint(c.parent_batch_timeout, ==, 12 * MSEC);
	g_assert_cmpuint(c.parent_dial_timeout, ==, 13 * MSEC);
	g_assert_cmpuint(c.heartbeat_interval, ==, 14 * MSEC);
	g_assert_cmpuint(c.heartbeat_timeout, ==, 15 * MSEC);
	g_assert_cmpuint(c.heartbeat_max_failed, ==, 16);
	g_assert_false(c.heartbeat_auto_recover);
	g_assert_cmpuint(c.area.retry_max_attempts, ==, 17);
	g_assert_cmpuint(c.retry_initial_delay, ==, 18);
	g_assert_cmpuint(c.retry_max_delay, ==, 19);
	g_assert_cmpfloat(c.retry_multiplier, ==, 1.5);
	g_assert_cmpuint(c.reconnect_initial_delay, ==, 20 * MSEC);
	g_assert_cmpuint(c.reconnect_max_delay, ==, UINT64_MAX);
	g_assert_cmpuint(c.area.cache_ttl, ==, 0);
	g_assert_cmpuint(c.cache_max_bytes, ==, 0);
	g_assert_cmpuint(c.area.debounce_delay, ==, 21);
	g_assert_cmpuint(c.area.debounce_max_delay, ==, 22);
	g_assert_cmpuint(c.area.queue_limit, ==, 23);
	g_assert_cmpuint(c.area.queue_max_bytes, ==, 24);
	g_assert_cmpint(c.area.queue_overflow, ==, CONFIG_OVERFLOW_DROP_OLDEST);
	g_assert_cmpint(c.storage_durability, ==, CONFIG_DURABILITY_MEMORY);
	g_assert_cmpuint(c.storage_max_value_size, ==, 25);
	g_assert_cmpuint(c.storage_max_bytes, ==, 26);
	g_assert_cmpuint(c.limits_areas_per_user, ==, 27);
	g_assert_cmpuint(c.limits_bytes_per_user, ==, 28);
	config_deinit(&c);
}

/* Each leaves everything as it was and names its line; what is used is said. */
static void test_bad_values(void)
{
	static const struct {
		const char *section, *line, *word;
	} cases[] = {
		{ "Heartbeat", "Interval=soon", "using 5s" },
		{ "Heartbeat", "Interval=", "using 5s" },
		{ "Heartbeat", "Interval=5s # often", "using 5s" },
		{ "Heartbeat", "Interval=9ms", "at least 10ms" },
		{ "Heartbeat", "Timeout=99999999999999999999", "out of range" },
		{ "Heartbeat", "MaxFailedPings=0", "from 1 to" },
		{ "Heartbeat", "MaxFailedPings=-1", "using 3" },
		{ "Heartbeat", "MaxFailedPings=4294967296", "from 1 to 4294967295" },
		{ "Heartbeat", "MaxFailedPings=1K", "whole number" },
		{ "Heartbeat", "AutoRecover=maybe", "using yes" },
		{ "Retry", "Multiplier=0.5", "using 2" },
		{ "Retry", "Multiplier=nan", "using 2" },
		{ "Retry", "Multiplier=inf", "using 2" },
		{ "Retry", "Multiplier=1.2.3", "using 2" },
		{ "Retry", "Multiplier=-3", "using 2" },
		{ "Retry", "Multiplier=99999999999999999999", "out of range" },
		{ "Retry", "Multiplier=", "using 2" },
		{ "Retry", "MaxAttempts=0", "using 3" },
		{ "Parent", "RequestTimeout=0", "at least 1ms" },
		{ "Reconnect", "InitialDelay=0", "using 100ms" },
		{ "Queue", "Overflow=drop", "using reject" },
		{ "Queue", "Overflow=REJECT", "drop-oldest" },
		{ "Queue", "Limit=0", "using 10000" },
		{ "Storage", "Durability=none", "using full" },
		{ "Storage", "MaxValueSize=1048577", "from 1 to 1M" },
		{ "Storage", "MaxValueSize=2M", "using 1M" },
		{ "Storage", "MaxBytes=64MB", "using 64M" },
		{ "Parent", "Address=unix:\\x", "using what was set before" },
		{ "Parent", "Address=tail\\", "Address=" },
		{ "Parent", "Adress=unix:/x", "unknown key Adress" },
		{ "Parent", "MaxAttempts=3", "unknown key" },
		{ "Parent", "address=unix:/x", "unknown key" },
		{ "Parent", "Address", "ignored" },
		{ "Parent", "=unix:/x", "ignored" },
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = g_strdup_printf("# one\n\n[%s]\n; four\n%s",
							cases[i].section, cases[i].line);
		struct config config;

		config_init(&config);
		load_warns(&config, text, 5, cases[i].word);
		check_defaults(&config);
		config_deinit(&config);
	}
}

static void test_secret_not_shown(void)
{
	g_autoptr(GPtrArray) warnings = NULL;
	struct config config;

	config_init(&config);
	load_clean(&config, "[Parent]\nAddress=secret-one");
	warnings = load(&config, "[Parent]\nAddress=secret-two\\q");
	g_assert_cmpuint(warnings->len, ==, 1);
	g_assert_null(strstr(warnings->pdata[0], "secret"));
	g_assert_cmpstr(config.parent_address, ==, "secret-one");
	config_deinit(&config);
}

static void test_layers(void)
{
	struct config config;

	config_init(&config);
	load_clean(&config, "[Parent]\nAddress=unix:/one\nParentUser=a\n"
			    "[Queue]\nLimit=5\nLimit=6\n");
	load_clean(&config, "[Queue]\nMaxBytes=1K\n[Parent]\nAddress=unix:/two\n"
			    "[Queue]\nMaxBytes=2K");
	g_assert_cmpstr(config.parent_address, ==, "unix:/two");
	g_assert_cmpstr(config.parent_user, ==, "a");
	g_assert_cmpuint(config.area.queue_limit, ==, 6);
	g_assert_cmpuint(config.area.queue_max_bytes, ==, 2048);
	/* A bad later value leaves the earlier file's, and says so. */
	load_warns(&config, "[Queue]\nLimit=many", 2, "using 6");
	g_assert_cmpuint(config.area.queue_limit, ==, 6);
	load_clean(&config, "[Parent]\nAddress=\n");
	g_assert_null(config.parent_address);

	/* A reload is a fresh struct. */
	config_deinit(&config);
	config_init(&config);
	check_defaults(&config);
	config_deinit(&config);
}

static void test_areas(void)
{
	struct config config;
	struct config_area area;

	config_init(&config);
	load_clean(&config, "[Area org.example.A]\nDelay=1ms\nMaxDelay=2ms\nLimit=3\nMaxBytes=4K\n"
			    "Overflow=drop-oldest\nTTL=5ms\nMaxAttempts=6\n"
			    "[ Area\tb-1 ]\nLimit=7\n"
			    "[Queue]\nLimit=8\n");
	config_area(&config, "org.example.A", &area);
	g_assert_cmpuint(area.debounce_delay, ==, MSEC);
	g_assert_cmpuint(area.debounce_max_delay, ==, 2 * MSEC);
	g_assert_cmpuint(area.queue_limit, ==, 3);
	g_assert_cmpuint(area.queue_max_bytes, ==, 4096);
	g_assert_cmpint(area.queue_overflow, ==, CONFIG_OVERFLOW_DROP_OLDEST);
	g_assert_cmpuint(area.cache_ttl, ==, 5 * MSEC);
	g_assert_cmpuint(area.retry_max_attempts, ==, 6);
	/* MaxBytes was the queue's, MaxDelay the debounce's. */
	g_assert_cmpuint(config.cache_max_bytes, ==, 8 << 20);
	g_assert_cmpuint(config.storage_max_bytes, ==, 64 << 20);
	g_assert_cmpuint(config.retry_max_delay, ==, 2 * SEC);

	/* What an area does not set follows the rest, whichever file comes last. */
	load_clean(&config, "[Cache]\nTTL=9s\n[Area b-1]\nDelay=0\n[Queue]\nLimit=10\n");
	config_area(&config, "b-1", &area);
	g_assert_cmpuint(area.queue_limit, ==, 7);
	g_assert_cmpuint(area.cache_ttl, ==, 9 * SEC);
	g_assert_cmpuint(area.debounce_delay, ==, 0);
	g_assert_cmpuint(area.debounce_max_delay, ==, 2 * SEC);
	config_area(&config, "other", &area);
	g_assert_cmpuint(area.queue_limit, ==, 10);
	g_assert_cmpuint(area.debounce_delay, ==, 300 * MSEC);

	load_warns(&config, "[Area b-1]\nLimit=0", 2, "using 7");
	load_warns(&config, "[Area c]\nLimit=0", 2, "using that of [Queue]");
	load_warns(&config, "[Area c]\nDurability=full", 2, "unknown key Durability");
	config_area(&config, "c", &area);
	g_assert_cmpuint(area.queue_limit, ==, 10);
	config_deinit(&config);
}

static void test_area_names(void)
{
	static const char *const bad[] = {
		"[Area]", "[Area ]", "[Area .x]", "[Area a/b]", "[Area a b]", "[Area é]",
	};
	struct config config;

	config_init(&config);
	for (unsigned int i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *text = g_strdup_printf("\n%s\nLimit=1\n", bad[i]);

		load_warns(&config, text, 2, "[Area NAME]");
	}
	load_warns(&config, "[Areas]\nLimit=1", 1, "unknown section");
	check_defaults(&config);
	config_deinit(&config);
}

static void test_area_limit(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct config config;
	struct config_area area;

	for (int i = 0; i <= LIMIT_CONFIG_AREAS; i++)
		g_string_append_printf(text, "[Area a%d]\nLimit=7\n", i);
	g_string_append(text, "[Area a0]\nLimit=8\n");
	config_init(&config);
	load_warns(&config, text->str, 2 * LIMIT_CONFIG_AREAS + 1, "more than");
	config_area(&config, "a0", &area);
	g_assert_cmpuint(area.queue_limit, ==, 8);
	g_assert_cmpuint(g_hash_table_size(config.overrides), ==, LIMIT_CONFIG_AREAS);
	config_deinit(&config);
}

static void test_syntax(void)
{
	struct config config;
	g_autoptr(GPtrArray) warnings = NULL;
	static const char nul[] = "[Queue]\nLimit=5\0\nLimit=6\n# \0 \xff\n\0\nLimit=7";

	config_init(&config);
	load_clean(&config, "\xef\xbb\xbf[Queue]\r\n  Limit =  5  \r\n\r\n\t; c\r\n#c\r\n \t \n"
			    "MaxBytes\t=\t6");
	g_assert_cmpuint(config.area.queue_limit, ==, 5);
	g_assert_cmpuint(config.area.queue_max_bytes, ==, 6);
	load_clean(&config, "[Parent]\nAddress= unix:/x=y;#z \n");
	g_assert_cmpstr(config.parent_address, ==, "unix:/x=y;#z");
	load_clean(&config, "\xef\xbb\xbf");

	load_warns(&config, "Limit=7\n[Queue]\n", 1, "before the first");
	load_warns(&config, "[Queue\nLimit=7", 1, "must end with ]");
	load_warns(&config, "[", 1, "must end with ]");
	load_warns(&config, "[]\nLimit=7", 1, "unknown section []");
	load_warns(&config, "[queue]\nLimit=7\nFoo=1", 1, "unknown section [queue]");
	load_warns(&config, "[Queue]\nLimit=7\xff", 2, "UTF-8");
	g_assert_cmpuint(config.area.queue_limit, ==, 5);

	warnings = load_len(&config, nul, sizeof(nul) - 1);
	g_assert_cmpuint(warnings->len, ==, 2);
	g_assert_true(g_str_has_prefix(warnings->pdata[0], "f:2: not UTF-8"));
	g_assert_true(g_str_has_prefix(warnings->pdata[1], "f:5: not UTF-8"));
	g_assert_cmpuint(config.area.queue_limit, ==, 7);
	/* Nobody listens: fine, too. */
	config_load_text(&config, "f", "nonsense", 8, NULL, NULL);
	config_deinit(&config);
}

static void test_warnings_bounded(void)
{
	g_autoptr(GString) text = g_string_new("[Queue]\n");
	g_autofree char *wide = g_strnfill(5000, 'w');
	g_autoptr(GPtrArray) warnings = NULL;
	struct config config;

	for (int i = 0; i < 10000; i++)
		g_string_append_printf(text, "Limit=é%sé\n", wide);
	config_init(&config);
	warnings = load(&config, text->str);
	g_assert_cmpuint(warnings->len, ==, LIMIT_CONFIG_WARNINGS);
	g_assert_nonnull(strstr(warnings->pdata[LIMIT_CONFIG_WARNINGS - 1], "no more"));
	for (unsigned int i = 0; i < warnings->len; i++)
		g_assert_cmpuint(strlen(warnings->pdata[i]), <, 200);
	config_deinit(&config);

	/* The cut of a long value falls between characters. */
	for (int shift = 0; shift < 4; shift++) {
		g_autoptr(GPtrArray) one = NULL;

		g_string_assign(text, "[Queue]\nLimit=");
		g_string_append_printf(text, "%.*s", shift, "xyz");
		for (int i = 0; i < 100; i++)
			g_string_append(text, "\xf0\x9f\x98\x80");
		config_init(&config);
		one = load(&config, text->str);
		g_assert_cmpuint(one->len, ==, 1);
		g_assert_true(g_utf8_validate(one->pdata[0], -1, NULL));
		config_deinit(&config);
	}
}

/* Pieces of real files glued at random: nothing crashes, no bound is broken. */
static void test_random(void)
{
	static const char *const pieces[] = {
		"[", "]", "[Queue]", "[Area a]", "[Area ", "=", "\n", "\n", "\r\n", "\\", "\\s",
		"Limit=", "MaxBytes=", "Address=", "Multiplier=", "Overflow=", "TTL=", "5s", "1M",
		"99999999999999999999", ".", "-", " ", "#", ";", "\xff", "é", "drop-oldest", "0",
		"[Retry]\n", "[Parent]\n", "[Storage]\nMaxValueSize=",
	};
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());

	for (int round = 0; round < 20000; round++) {
		g_autoptr(GString) text = g_string_new(NULL);
		g_autoptr(GPtrArray) warnings = NULL;
		struct config config;
		struct config_area area;

		for (int n = g_rand_int_range(rand, 0, 30); n > 0; n--) {
			int piece = g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces));

			g_string_append(text, pieces[piece]);
			if (g_rand_int_range(rand, 0, 20) == 0)
				g_string_append_c(text, '\0');
		}
		config_init(&config);
		warnings = load_len(&config, text->str, text->len);
		config_area(&config, "a", &area);
		g_assert_cmpuint(area.queue_limit, >=, 1);
		g_assert_cmpuint(area.queue_max_bytes, >=, 1);
		g_assert_cmpint(area.queue_overflow, <=, CONFIG_OVERFLOW_DROP_OLDEST);
		g_assert_cmpfloat(config.retry_multiplier, >=, 1);
		g_assert_cmpuint(config.storage_max_value_size, <=, LIMIT_VALUE_BYTES);
		for (unsigned int i = 0; i < warnings->len; i++)
			g_assert_true(g_utf8_validate(warnings->pdata[i], -1, NULL));
		config_deinit(&config);
	}
}

int main(int argc, char *argv[])
{
	seed_init(&argc, &argv);
	g_test_add_func("/config/time", test_time);
	g_test_add_func("/config/size", test_size);
	g_test_add_func("/config/bool", test_bool);
	g_test_add_func("/config/defaults", test_defaults);
	g_test_add_func("/config/all-keys", test_all_keys);
	g_test_add_func("/config/bad-values", test_bad_values);
	g_test_add_func("/config/secret-not-shown", test_secret_not_shown);
	g_test_add_func("/config/layers", test_layers);
	g_test_add_func("/config/areas", test_areas);
	g_test_add_func("/config/area-names", test_area_names);
	g_test_add_func("/config/area-limit", test_area_limit);
	g_test_add_func("/config/syntax", test_syntax);
	g_test_add_func("/config/warnings-bounded", test_warnings_bounded);
	g_test_add_func("/config/random", test_random);
	return g_test_run();
}
