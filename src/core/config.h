/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration, as values. Pure: text in, values and complaints out; which files there are is
 * the caller's business (holdfastd/config-files.c). Syntax: holdfastd.conf(5).
 *
 * A struct config is filled with config_init() (the defaults) and then config_load_text() once per
 * file in order: later wins. The [Area NAME] sections are kept apart and laid over the rest by
 * config_area().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/config-value.h"

/* What an area may set for itself. */
struct config_area {
	uint64_t debounce_delay;	/* usec */
	uint64_t debounce_max_delay;	/* usec */
	uint64_t cache_ttl;		/* usec */
	uint64_t queue_max_bytes;	/* keys + values, in-flight included */
	unsigned int queue_limit;	/* entries, in-flight included; at least 1 */
	enum config_overflow queue_overflow;
	unsigned int retry_max_attempts; /* at least 1 */
};

struct config {
	char *parent_address;		/* NULL: the default, unix:<runtime dir>/holdfast/parent.sock */
	char *parent_user;		/* user name or uid; NULL: none */
	char *parent_token_file;
	char *parent_tls_ca_file;
	uint64_t parent_request_timeout; /* usec, as are all times here; at least 1 ms */
	uint64_t parent_batch_timeout;
	uint64_t parent_dial_timeout;
	uint64_t heartbeat_interval;	/* at least 10 ms, as is the timeout */
	uint64_t heartbeat_timeout;
	unsigned int heartbeat_max_failed; /* at least 1 */
	bool heartbeat_auto_recover;
	uint64_t retry_initial_delay;
	uint64_t retry_max_delay;
	double retry_multiplier;	/* at least 1 */
	uint64_t reconnect_initial_delay; /* at least 1 ms */
	uint64_t reconnect_max_delay;
	uint64_t cache_max_bytes;
	enum config_durability storage_durability;
	uint64_t storage_max_value_size; /* at most LIMIT_VALUE_BYTES */
	uint64_t storage_max_bytes;	/* of items, per area */
	unsigned int limits_areas_per_user;
	uint64_t limits_bytes_per_user;
	struct config_area area;	/* what an area gets that sets nothing itself */
	void *overrides;		/* GHashTable: area name → its [Area NAME] settings; private */
};

/**
 * config_warn_t - hears what is wrong with a file.
 * @file, @line: where (1 = first line)
 * @message: a sentence that says what is wrong and what is used instead
 */
typedef void (*config_warn_t)(void *data, const char *file, unsigned int line, const char *message);

/** config_init() - every default of the design's table. */
void config_init(struct config *config);

/** config_deinit() - release it; an all-zero config is fine. */
void config_deinit(struct config *config);

/**
 * config_load_text() - lay one file over @config.
 * @file: its name, for warnings only
 * @text, @len: its content
 * @warn: told each unknown section or key, bad value and bad line; may be NULL
 *
 * A bad value leaves what was there before; a bad line is skipped. Nothing here fails.
 */
void config_load_text(struct config *config, const char *file, const char *text, size_t len,
		      config_warn_t warn, void *data);

/** config_area() - the settings of area @name: [Area NAME] over the rest. */
void config_area(const struct config *config, const char *name, struct config_area *ret_area);
