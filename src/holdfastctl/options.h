/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line, as values: holdfastctl(1). */

#include <stdbool.h>
#include <stdint.h>

#include "holdfastctl/output.h"

/* What `queue` is to do; options that name a serial put it into .serial. */
enum queue_action {
	QUEUE_LIST,
	QUEUE_REJECTED,
	QUEUE_SHOW,
	QUEUE_RETRY,
	QUEUE_DROP,
};

struct options {
	bool system;
	const char *area;		/* NULL: the caller's default */
	enum output_mode mode;
	bool no_start;			/* the bus is not to start the daemon */
	const char *textfile;		/* metrics go into this file; NULL: are printed */
	bool raw;			/* a value is printed without a newline */
	uint64_t timeout;		/* usec; USEC_INFINITY where none was given */
	bool timeout_given;
	enum queue_action queue_action;	/* QUEUE_LIST where no such option was given */
	uint64_t serial;
	char **args;			/* the verb and what follows; borrowed from argv */
	int n_args;
};

/**
 * options_parse() - read the command line.
 * @ret_problem: with -EINVAL a sentence, to be freed
 *
 * Return: 0; 1 where --help or --version was answered and there is nothing more to do; -EINVAL.
 */
int options_parse(int argc, char **argv, struct options *ret_options, char **ret_problem);

/** options_parse_serial() - a serial, in decimal. Return: 0 or -EINVAL. */
int options_parse_serial(const char *text, uint64_t *ret_serial);
