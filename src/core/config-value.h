/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Single values of the configuration: their types, and text into times, sizes and booleans. */

#include <stdbool.h>
#include <stdint.h>

enum config_overflow {
	CONFIG_OVERFLOW_REJECT,
	CONFIG_OVERFLOW_DROP_OLDEST,
};

enum config_durability {
	CONFIG_DURABILITY_FULL,
	CONFIG_DURABILITY_NORMAL,
	CONFIG_DURABILITY_MEMORY,
};

/** config_parse_time() - systemd.time(7) spans: "300ms", "5s", "1min 30s"; a bare number is
 * seconds; "infinity" is USEC_INFINITY. Return: 0 or -EINVAL, -ERANGE. */
int config_parse_time(const char *text, uint64_t *ret_usec);

/** config_parse_size() - bytes with an optional K, M or G (powers of 1024). Return: 0 or -EINVAL,
 * -ERANGE. */
int config_parse_size(const char *text, uint64_t *ret_bytes);

/** config_parse_bool() - yes no true false on off 1 0. Return: 0 or -EINVAL. */
int config_parse_bool(const char *text, bool *ret);
