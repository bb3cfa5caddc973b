/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which parent the config names; see parent-source.h. */

#include <glib.h>
#include <pwd.h>

#include "base/log.h"
#include "core/config.h"
#include "engine/parent-source.h"

void parent_source_set(struct parent_source *source, const struct config *config,
		       const char *default_address)
{
	const char *address = config->parent_address;

	source->address = g_strdup(address ? address : default_address);
	source->user = g_strdup(config->parent_user);
	source->token_file = g_strdup(config->parent_token_file);
	source->ca_file = g_strdup(config->parent_tls_ca_file);
}

void parent_source_clear(struct parent_source *source)
{
	g_free(source->address);
	g_free(source->user);
	g_free(source->token_file);
	g_free(source->ca_file);
	*source = (struct parent_source){ 0 };
}

bool parent_source_equal(const struct parent_source *a, const struct parent_source *b)
{
	return g_strcmp0(a->address, b->address) == 0 && g_strcmp0(a->user, b->user) == 0 &&
	       g_strcmp0(a->token_file, b->token_file) == 0 &&
	       g_strcmp0(a->ca_file, b->ca_file) == 0;
}

int64_t parent_source_uid(const struct parent_source *source)
{
	const struct passwd *entry;
	uint64_t uid;

	if (!source->user)
		return -1;
	if (g_ascii_string_to_unsigned(source->user, 10, 0, UINT32_MAX - 1, &uid, NULL))
		return (int64_t)uid;
	entry = getpwnam(source->user);
	if (!entry)
		log_warning("ParentUser=%s: there is no such user; it is left out", source->user);
	return entry ? (int64_t)entry->pw_uid : -1;
}
