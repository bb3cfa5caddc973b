/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See network.h. */

#include "network.h"

static void network_free(gpointer data)
{
	struct network *network = data;

	g_free(network->name);
	g_free(network);
}

GHashTable *networks_new(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, network_free);
}

struct network *networks_join(GHashTable *networks, const char *name)
{
	struct network *network = g_hash_table_lookup(networks, name);

	if (!network) {
		network = g_new0(struct network, 1);
		network->name = g_strdup(name);
		g_hash_table_insert(networks, network->name, network);
	}
	network->members++;
	return network;
}

void networks_leave(GHashTable *networks, struct network *network)
{
	network->members--;
	if (network->members == 0)
		g_hash_table_remove(networks, network->name);
}

unsigned int networks_members(GHashTable *networks, const char *name)
{
	const struct network *network = g_hash_table_lookup(networks, name);

	return network ? network->members : 0;
}
