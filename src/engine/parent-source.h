/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a parent's driver is made from, as the config had it: a reload compares. */

#include <stdbool.h>
#include <stdint.h>

struct config;

struct parent_source {
	char *address, *user, *token_file, *ca_file;
};

/** parent_source_set() - copy it from @config; @source was empty. */
void parent_source_set(struct parent_source *source, const struct config *config,
		       const char *default_address);
void parent_source_clear(struct parent_source *source);
bool parent_source_equal(const struct parent_source *a, const struct parent_source *b);

/** parent_source_uid() - of ParentUser=, a name or a number; -1 where there is none. */
int64_t parent_source_uid(const struct parent_source *source);
