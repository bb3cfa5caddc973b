/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A member of the crowd; see actor.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor.h"
#include "client.h"

void value_text(unsigned int actor, const char *key, uint32_t version, char ret[static VALUE_SIZE])
{
	int n = snprintf(ret, VALUE_SIZE, "%u/%s/%u/", actor, key, version);
	size_t padding = version * 37 % 200;

	memset(ret + n, 'x', padding);
	ret[(size_t)n + padding] = '\0';
}

bool value_parse(const char *value, const char *key, unsigned int *ret_actor,
		 uint32_t *ret_version)
{
	char wanted[VALUE_SIZE], found[16];
	unsigned int actor, version;

	if (sscanf(value, "%u/%15[^/]/%u/", &actor, found, &version) != 3 || strcmp(found, key) != 0)
		return false;
	value_text(actor, key, version, wanted);
	*ret_actor = actor;
	*ret_version = version;
	return strcmp(value, wanted) == 0;
}

static const char *key_name(const char *kind, unsigned int key)
{
	char name[16];

	g_snprintf(name, sizeof(name), "%s%02u", kind, key);
	return g_intern_string(name);
}

const char *own_key(unsigned int key)
{
	return key_name("own", key);
}

const char *shared_key(unsigned int key)
{
	return key_name("all", key);
}

void actor_init(struct actor *actor, struct crowd *crowd, unsigned int id, uint32_t seed,
		const char *prefix, unsigned int crowd_size)
{
	g_autofree char *shared = g_strdup_printf("%s-shared", prefix);

	*actor = (struct actor){ .crowd = crowd, .id = id };
	actor->rand = g_rand_new_with_seed(seed + id);
	actor->bus = client_open();
	actor->own_name = g_strdup_printf("%s-%u", prefix, id);
	actor->own_path = client_open_area(actor->bus, actor->own_name);
	actor->shared_path = client_open_area(actor->bus, shared);
	actor->changes = g_array_new(FALSE, FALSE, sizeof(struct change));
	actor->seen = g_new0(uint32_t, (gsize)crowd_size * SHARED_KEYS);
}

void actor_deinit(struct actor *actor)
{
	sd_bus_flush_close_unref(actor->bus);
	g_rand_free(actor->rand);
	g_free(actor->own_name);
	free(actor->own_path);
	free(actor->shared_path);
	g_free(actor->seen);
	g_array_unref(actor->changes);
}

void actor_change(struct actor *actor, unsigned int key, uint32_t version)
{
	struct change change = { key, version };

	actor->own[key] = version;
	g_array_append_val(actor->changes, change);
}
