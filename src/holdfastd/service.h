/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's life, from its configuration to its exit status. */

#include <stdbool.h>

struct service_options {
	bool system;	       /* --system; else the user bus */
	const char *config;    /* --config; NULL: the usual files */
	const char *state_dir; /* --state-dir; NULL: the usual place */
	const char *parent;    /* --parent, over the configuration; NULL: none */
};

/** service_run() - start, serve until told to stop, stop. Return: the exit status. */
int service_run(const struct service_options *options);

/** service_test_config() - print what is wrong with the configuration. Return: the exit status. */
int service_test_config(const struct service_options *options);
