/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as a configuration file, laid over the defaults twice: no value leaves its bounds, what
 * is complained about is bounded, the second time changes nothing, and the parent's address is as
 * address.h says or refused.
 */

#include <errno.h>
#include <glib.h>
#include <math.h>
#include <string.h>
#include <sys/un.h>

#include "base/util.h"
#include "core/config.h"
#include "core/key.h"
#include "core/limits.h"
#include "parent/address.h"
#include "setup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void warned(void *data, const char *file, unsigned int line, const char *message)
{
	g_assert_cmpstr(file, ==, "file");
	g_assert_cmpuint(line, >, 0);
	g_assert_true(g_utf8_validate(message, -1, NULL));
	g_assert_cmpuint(strlen(message), <, 4096);
	++*(unsigned int *)data;
}

static void check_area(const struct config_area *area)
{
	g_assert_cmpuint(area->queue_limit, >=, 1);
	g_assert_cmpuint(area->retry_max_attempts, >=, 1);
	g_assert_true(area->queue_overflow == CONFIG_OVERFLOW_REJECT ||
		      area->queue_overflow == CONFIG_OVERFLOW_DROP_OLDEST);
}

static void check_text(const char *text)
{
	g_assert_true(!text || g_utf8_validate(text, -1, NULL));
}

static void check_config(const struct config *config)
{
	g_assert_cmpuint(config->parent_request_timeout, >=, USEC_PER_MSEC);
	g_assert_cmpuint(config->parent_batch_timeout, >=, USEC_PER_MSEC);
	g_assert_cmpuint(config->parent_dial_timeout, >=, USEC_PER_MSEC);
	g_assert_cmpuint(config->heartbeat_interval, >=, 10 * USEC_PER_MSEC);
	g_assert_cmpuint(config->heartbeat_timeout, >=, 10 * USEC_PER_MSEC);
	g_assert_cmpuint(config->heartbeat_max_failed, >=, 1);
	g_assert_true(config->retry_multiplier >= 1 && isfinite(config->retry_multiplier));
	g_assert_cmpuint(config->reconnect_initial_delay, >=, USEC_PER_MSEC);
	g_assert_cmpuint(config->storage_max_value_size, <=, LIMIT_VALUE_BYTES);
	g_assert_cmpint(config->storage_durability, <=, CONFIG_DURABILITY_MEMORY);
	check_text(config->parent_address);
	check_text(config->parent_user);
	check_text(config->parent_token_file);
	check_text(config->parent_tls_ca_file);
	check_area(&config->area);
}

static void check_address(const char *text)
{
	struct address address;
	int r = address_parse(text, &address);

	g_assert_true(r == 0 || r == -EINVAL || r == -EPROTONOSUPPORT);
	if (r < 0)
		return;
	switch (address.kind) {
	case ADDRESS_UNIX:
		g_assert_true(address.path[0] == '/');
		g_assert_cmpuint(strlen(address.path), <,
				 sizeof(((struct sockaddr_un *)NULL)->sun_path));
		break;
	case ADDRESS_TLS:
		g_assert_true(g_str_is_ascii(address.host) && address.host[0]);
		g_assert_null(strpbrk(address.host, " /[]@%"));
		g_assert_cmpuint(address.port, >, 0);
		break;
	}
	address_deinit(&address);
}

/* What is in force for an area; the first line may name it. */
static void look(const struct config *config, const char *name, struct config_area *ret)
{
	memset(ret, 0, sizeof(*ret));
	config_area(config, name, ret);
	check_area(ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_area once, twice;
	unsigned int warnings = 0, again = 0;
	struct config config;

	fuzz_setup();
	memset(&config, 0, sizeof(config));
	config_init(&config);
	config_load_text(&config, "file", (const char *)data, size, warned, &warnings);
	check_config(&config);
	g_assert_cmpuint(warnings, <=, LIMIT_CONFIG_WARNINGS + 1);
	look(&config, "a", &once);
	config_load_text(&config, "file", (const char *)data, size, warned, &again);
	check_config(&config);
	look(&config, "a", &twice);
	g_assert_cmpuint(warnings, ==, again);
	g_assert_cmpmem(&once, sizeof(once), &twice, sizeof(twice));
	if (config.parent_address)
		check_address(config.parent_address);
	config_deinit(&config);
	return 0;
}
