/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The one list of kinds of parent: an address begins with a word and a colon, and the word names
 * the driver. A new kind is a driver's file and a line here.
 */

#include <errno.h>
#include <string.h>

#include "parent/parent-json.h"
#include "parent/parent-local.h"
#include "parent/parent.h"

static const struct kind {
	const char *word;	/* with its colon */
	int (*check)(const char *address);
	int (*make)(const struct parent_params *params, struct parent **ret_parent);
} kinds[] = {
	{ "unix:", parent_json_check, parent_json_new },
	{ "tls:", parent_json_check, parent_json_new },
	{ "local:", parent_local_check, parent_local_new },
};

static const struct kind *kind_find(const char *address)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (g_str_has_prefix(address, kinds[i].word))
			return &kinds[i];
	return NULL;
}

int parent_check_address(const char *address)
{
	const struct kind *kind = kind_find(address);

	if (kind)
		return kind->check(address);
	return strchr(address, ':') ? -EPROTONOSUPPORT : -EINVAL;
}

int parent_new(const struct parent_params *params, struct parent **ret_parent)
{
	int r = parent_check_address(params->address);

	if (r < 0)
		return r;
	return kind_find(params->address)->make(params, ret_parent);
}
