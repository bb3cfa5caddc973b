/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A table from requestId to request; see requests.h. Whoever takes a request out owns it: it can
 * be answered once, whatever the callback that is told of it does to the table.
 */

#include <glib.h>
#include <inttypes.h>

#include "core/limits.h"
#include "parent/requests.h"

/* What is unanswered, of one owner. */
struct share {
	int64_t owner;
	size_t requests, bytes;
};

struct requests {
	GHashTable *table;	/* id → struct request */
	GHashTable *shares;	/* &share->owner → struct share, of those with a request */
	size_t bytes;		/* of them all */
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
	requests->shares = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	return requests;
}

struct requests *requests_free(struct requests *requests)
{
	if (!requests)
		return NULL;

	g_hash_table_unref(requests->table);
	g_hash_table_unref(requests->shares);
	g_free(requests);
	return NULL;
}

/* ---- shares ---- */

static struct share *share_get(struct requests *requests, int64_t owner)
{
	struct share *share = g_hash_table_lookup(requests->shares, &owner);

	if (share)
		return share;
	share = g_new0(struct share, 1);
	share->owner = owner;
	g_hash_table_insert(requests->shares, &share->owner, share);
	return share;
}

static void share_give_back(struct requests *requests, const struct request *request)
{
	struct share *share = share_get(requests, request->owner);

	share->bytes -= request->bytes;
	requests->bytes -= request->bytes;
	if (--share->requests == 0)
		g_hash_table_remove(requests->shares, &share->owner);
}

static bool fits(size_t own, size_t total, size_t limit)
{
	return total < limit && own <= limit - total;
}

bool requests_has_share(const struct requests *requests, int64_t owner, size_t bytes)
{
	static const struct share none;
	const struct share *own = g_hash_table_lookup(requests->shares, &owner);

	if (!own)
		own = &none;
	return owner == -1 ||
	       (fits(own->requests + 1, requests_count(requests), LIMIT_PARENT_REQUESTS) &&
		fits(own->bytes + bytes, requests->bytes, LIMIT_PARENT_UNSENT_BYTES));
}

void requests_weigh(struct requests *requests, const char *id, size_t bytes)
{
	struct request *request = g_hash_table_lookup(requests->table, id);

	request->bytes = bytes;
	share_get(requests, request->owner)->bytes += bytes;
	requests->bytes += bytes;
}

/* ---- requests ---- */

const char *requests_add(struct requests *requests, struct request request)
{
	char *id = g_strdup_printf("r%" PRIu64, ++*requests->last);
	struct request *kept = g_new(struct request, 1);

	*kept = request;
	g_hash_table_insert(requests->table, id, kept);
	share_get(requests, request.owner)->requests++;
	return id;
}

struct request *requests_take(struct requests *requests, const char *id)
{
	g_autofree void *key = NULL;
	void *request = NULL;

	if (id && g_hash_table_steal_extended(requests->table, id, &key, &request))
		share_give_back(requests, request);
	return request;
}

size_t requests_count(const struct requests *requests)
{
	return g_hash_table_size(requests->table);
}
