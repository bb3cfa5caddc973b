/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A table from requestId to request; see requests.h. Whoever takes a request out owns it: it can
 * be answered once, whatever the callback that is told of it does to the table.
 */

#include <glib.h>
#include <inttypes.h>

#include "parent/requests.h"

struct requests {
	GHashTable *table;	/* id → struct request */
	uint64_t *last;		/* the number in the newest id; borrowed */
};

struct request *request_free(struct request *request)
{
	if (!request)
		return NULL;

	g_free(request->key);
	g_free(request);
	return NULL;
}

static void destroy_request(void *data)
{
	request_free(data);
}

struct requests *requests_new(uint64_t *last)
{
	struct requests *requests = g_new0(struct requests, 1);

	requests->last = last;
	requests->table =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, destroy_request);
	return requests;
}

struct requests *requests_free(struct requests *requests)
{
	if (!requests)
		return NULL;

	g_hash_table_unref(requests->table);
	g_free(requests);
	return NULL;
}

const char *requests_add(struct requests *requests, struct request request)
{
	char *id = g_strdup_printf("r%" PRIu64, ++*requests->last);
	struct request *kept = g_new(struct request, 1);

	*kept = request;
	g_hash_table_insert(requests->table, id, kept);
	return id;
}

struct request *requests_take(struct requests *requests, const char *id)
{
	g_autofree void *key = NULL;
	void *request = NULL;

	if (id)
		g_hash_table_steal_extended(requests->table, id, &key, &request);
	return request;
}

size_t requests_count(const struct requests *requests)
{
	return g_hash_table_size(requests->table);
}
