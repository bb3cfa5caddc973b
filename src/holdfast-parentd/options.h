/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line and what the environment says where it is silent. */

#include <stdint.h>

#include "plan.h"

#define OPTIONS_MAX_KEYS  UINT64_C(1000000)	/* default quota of a principal */
#define OPTIONS_MAX_BYTES (UINT64_C(1) << 30)	/* default quota of a principal, keys + values */

struct options {
	char **listen;		/* addresses; NULL: none was asked for */
	char *database;		/* path, never NULL after options_parse() */
	char *tls_cert;		/* paths: all three, or all NULL where TLS is not served */
	char *tls_key;
	char *tokens;
	struct plan_usage max;
};

/**
 * options_parse() - read the command line.
 *
 * Return: -1 to go on; else the program is to exit with this status: 0 after --help or --version, 2
 * for wrong usage, which was told on standard error, 1 where the environment names no place for the
 * database.
 */
int options_parse(struct options *options, int argc, char **argv);
void options_deinit(struct options *options);

/** options_default_address() - where to listen if nothing else is said; the directory is made.
 * Return: to be freed; NULL where $XDG_RUNTIME_DIR is not set. */
char *options_default_address(void);
