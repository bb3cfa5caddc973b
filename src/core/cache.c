/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A bounded map with the least recently used entry out first; see cache.h.
 *
 * An entry is one block: the node, its key, its value. The nodes stand in a GHashTable used as a
 * set, and in a list by last use; both only point at them, the cache owns them. A node begins with
 * a struct cache_id, and so does the probe that a lookup builds on the stack: looking up takes no
 * memory, and the hash of a held key is computed once.
 */

#include <glib.h>
#include <string.h>

#include "core/cache.h"

/*
 * Not a GQueue: its links would be blocks of their own, and taking an entry out of the middle must
 * not need a search.
 */
struct link {
	struct link *prev, *next;
};

struct cache_id {
	guint hash;
	int64_t area;
	const char *key;
};

struct node {
	struct cache_id id;	/* first: the table sees nodes and probes as this */
	struct cache_entry entry;
	struct link link;
	size_t cost;
	char text[];		/* the key and its NUL, the value and its NUL */
};

struct cache {
	GHashTable *nodes;
	struct link used;	/* head of the ring: next = used last, prev = used longest ago */
	size_t max_bytes;
	size_t bytes;
	uint64_t hits, misses;
};

/*
 * What an entry costs beside its texts: the node, the allocator's header, and the table's slot
 * (pointer and hash, at a load of one half). Without it a million "absent" answers would be free.
 */
#define CACHE_ENTRY_COST (sizeof(struct node) + 16 + 2 * (sizeof(void *) + sizeof(guint)))

static void link_init(struct link *link)
{
	link->prev = link->next = link;
}

static void link_add(struct link *head, struct link *link)
{
	link->prev = head;
	link->next = head->next;
	head->next->prev = link;
	head->next = link;
}

/* Left pointing at itself, so that removing twice is harmless. */
static void link_remove(struct link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link_init(link);
}

static struct node *link_node(struct link *link)
{
	return (struct node *)((char *)link - offsetof(struct node, link));
}

/* FNV-1a over the area's number and the key. */
static void id_init(struct cache_id *id, int64_t area, const char *key)
{
	guint hash = 2166136261u;

	for (unsigned int shift = 0; shift < 64; shift += 8)
		hash = (hash ^ (guint)((uint64_t)area >> shift & 0xff)) * 16777619u;
	for (const unsigned char *p = (const unsigned char *)key; *p; p++)
		hash = (hash ^ *p) * 16777619u;
	*id = (struct cache_id){ .hash = hash, .area = area, .key = key };
}

static guint id_hash(gconstpointer data)
{
	return ((const struct cache_id *)data)->hash;
}

static gboolean id_equal(gconstpointer a, gconstpointer b)
{
	const struct cache_id *x = a, *y = b;

	/* The hash first: of unequal ids, almost none gets as far as the strings. */
	return x->hash == y->hash && x->area == y->area && strcmp(x->key, y->key) == 0;
}

struct cache *cache_new(size_t max_bytes)
{
	struct cache *cache = g_new0(struct cache, 1);

	cache->nodes = g_hash_table_new(id_hash, id_equal);
	cache->max_bytes = max_bytes;
	link_init(&cache->used);
	return cache;
}

struct cache *cache_free(struct cache *cache)
{
	if (!cache)
		return NULL;
	cache_clear(cache);
	g_hash_table_unref(cache->nodes);
	g_free(cache);
	return NULL;
}

/* One block, so that an entry costs one allocation and dies with one free. */
static struct node *node_new(const struct cache_id *id, const char *value, size_t value_len)
{
	size_t key_size = strlen(id->key) + 1;
	size_t value_size = value ? value_len + 1 : 0;
	struct node *node = g_malloc(sizeof(*node) + key_size + value_size);

	memcpy(node->text, id->key, key_size);
	node->id = *id;
	node->id.key = node->text;
	node->entry = (struct cache_entry){ 0 };
	if (value) {
		memcpy(node->text + key_size, value, value_size);
		node->entry.value = node->text + key_size;
		node->entry.value_len = value_len;
	}
	link_init(&node->link);
	return node;
}

static struct node *node_find(struct cache *cache, int64_t area, const char *key)
{
	struct cache_id probe;

	id_init(&probe, area, key);
	return g_hash_table_lookup(cache->nodes, &probe);
}

static void node_drop(struct cache *cache, struct node *node)
{
	g_hash_table_remove(cache->nodes, &node->id);
	link_remove(&node->link);
	cache->bytes -= node->cost;
	g_free(node);
}

/* The oldest uses go first. Ends: without entries there are no bytes. */
static void cache_shrink(struct cache *cache)
{
	while (cache->bytes > cache->max_bytes)
		node_drop(cache, link_node(cache->used.prev));
}

void cache_set_max_bytes(struct cache *cache, size_t max_bytes)
{
	cache->max_bytes = max_bytes;
	cache_shrink(cache);
}

const struct cache_entry *cache_find(struct cache *cache, int64_t area, const char *key)
{
	struct node *node = node_find(cache, area, key);

	return node ? &node->entry : NULL;
}

/* An entry from the future has no age that could be trusted: it is not fresh, however long. */
static bool entry_fresh(const struct cache_entry *entry, uint64_t ttl, uint64_t now)
{
	return now >= entry->filled_at && now - entry->filled_at < ttl;
}

const struct cache_entry *cache_get(struct cache *cache, int64_t area, const char *key,
				    uint64_t ttl, uint64_t now)
{
	struct node *node = node_find(cache, area, key);

	if (!node || !entry_fresh(&node->entry, ttl, now)) {
		cache->misses++;
		return NULL;
	}
	/* Only here, where an answer is given: looking whether a fill is newer is no use of it. */
	cache->hits++;
	link_remove(&node->link);
	link_add(&cache->used, &node->link);
	return &node->entry;
}

void cache_put(struct cache *cache, int64_t area, const char *key, const char *value,
	       uint64_t revision, uint64_t now)
{
	size_t value_len = value ? strlen(value) : 0;
	size_t cost = CACHE_ENTRY_COST + strlen(key) + 1 + value_len + (value ? 1 : 0);
	struct node *node = NULL;
	struct cache_id id;

	id_init(&id, area, key);
	/* Copied before the old one goes: the value may be the one that is held. */
	if (cost <= cache->max_bytes)
		node = node_new(&id, value, value_len);
	cache_drop(cache, area, key);
	if (!node)
		return;

	node->entry.revision = revision;
	node->entry.filled_at = now;
	node->cost = cost;
	cache->bytes += cost;
	/* In front before the shrinking: what was just learnt is the last to go. */
	link_add(&cache->used, &node->link);
	g_hash_table_add(cache->nodes, &node->id);
	cache_shrink(cache);
}

bool cache_drop(struct cache *cache, int64_t area, const char *key)
{
	struct node *node = node_find(cache, area, key);

	if (!node)
		return false;
	node_drop(cache, node);
	return true;
}

void cache_clear(struct cache *cache)
{
	while (cache->used.next != &cache->used)
		node_drop(cache, link_node(cache->used.next));
}

size_t cache_bytes(const struct cache *cache)
{
	return cache->bytes;
}

size_t cache_count(const struct cache *cache)
{
	return g_hash_table_size(cache->nodes);
}

uint64_t cache_hits(const struct cache *cache)
{
	return cache->hits;
}

uint64_t cache_misses(const struct cache *cache)
{
	return cache->misses;
}
