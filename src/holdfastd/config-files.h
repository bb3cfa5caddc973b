/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which files are the configuration, and in which order they are laid over each other. */

#include <stdbool.h>

#include "core/config.h"

struct config_files {
	const char *file; /* --config: this one alone; NULL: search */
	bool system;	  /* else the user's directory is searched too */
};

/**
 * config_files_load() - fill @config with the defaults and what the files say.
 * @config: to be released with config_deinit(); untouched on failure
 * @warn: told of everything that is wrong with them
 * @ret_bad_address: whether a parent's address was not one, and so was left out
 *
 * Return: 0, or a negative errno where @files->file cannot be read.
 */
int config_files_load(const struct config_files *files, struct config *config, config_warn_t warn,
		      void *data, bool *ret_bad_address);
