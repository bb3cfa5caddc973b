/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A draft is an area the disk does not know. It goes into every transaction until one succeeds; as
 * the opener is the committer's first member, no other transaction can bring what the area holds
 * before the area itself. A draft that was only opened is no area yet: should the disk refuse it,
 * nothing is left of it. One that was taken is an area, and stays one.
 */

#include <string.h>

#include "core/config.h"
#include "core/error.h"
#include "core/key.h"
#include "engine/area-inner.h"
#include "engine/area-set.h"
#include "engine/committer.h"
#include "engine/opener.h"
#include "store/store.h"

#define DETAIL_TOO_MANY "There are as many areas as [Limits] AreasPerUser allows."

struct opening {
	opener_done_t done;
	void *data;
	struct area *area; /* NULL until it is settled */
};

struct draft {
	char *name;
	int64_t id;
	struct area *area; /* NULL: nobody took it yet */
	bool planned;	   /* in the transaction under way */
	GArray *openings;  /* struct opening */
};

struct opener {
	struct engine *engine;
	const struct area_set *areas;
	int64_t next_id;
	void (*add)(void *data, struct area *area);
	void *data;
	GList *drafts; /* in the order of their making */
	struct commit_member member;
};

/* ---- drafts ---- */

static void draft_free(struct draft *draft)
{
	g_array_unref(draft->openings);
	g_free(draft->name);
	g_free(draft);
}

static void draft_make_area(struct opener *opener, struct draft *draft)
{
	if (draft->area)
		return;
	draft->area = area_new(opener->engine, draft->id, draft->name, 1);
	opener->add(opener->data, draft->area);
}

static struct draft *opener_find(const struct opener *opener, const char *name)
{
	for (const GList *link = opener->drafts; link; link = link->next) {
		struct draft *draft = link->data;

		if (strcmp(draft->name, name) == 0)
			return draft;
	}
	return NULL;
}

/* Those that are areas already are counted as such. */
static unsigned int opener_count(const struct opener *opener, int64_t owner)
{
	unsigned int count = area_set_count(opener->areas, owner);

	for (const GList *link = opener->drafts; link; link = link->next) {
		const struct draft *draft = link->data;

		count += !draft->area && area_full_name_owner(draft->name) == owner;
	}
	return count;
}

/* Return: NULL where its owner has as many as may be. */
static struct draft *opener_get(struct opener *opener, const char *name)
{
	struct draft *draft = opener_find(opener, name);

	if (draft)
		return draft;
	if (opener_count(opener, area_full_name_owner(name)) >=
	    opener->engine->config->limits_areas_per_user)
		return NULL;

	draft = g_new0(struct draft, 1);
	draft->name = g_strdup(name);
	draft->id = opener->next_id++;
	draft->openings = g_array_new(FALSE, FALSE, sizeof(struct opening));
	opener->drafts = g_list_append(opener->drafts, draft);
	return draft;
}

/* ---- the disk ---- */

static bool opener_plan(void *data, struct store_tx *tx)
{
	struct opener *opener = data;

	for (GList *link = opener->drafts; link; link = link->next) {
		struct draft *draft = link->data;

		store_tx_add_area(tx, draft->id, draft->name);
		store_tx_require_sync(tx);
		draft->planned = true;
	}
	return opener->drafts != NULL;
}

/* The disk has it, or will not have it now. Return: whether it still is in the making. */
static bool draft_settled(struct opener *opener, struct draft *draft, bool stored)
{
	draft->planned = false;
	if (stored) {
		draft_make_area(opener, draft);
		area_note_stored(draft->area);
	}
	return !stored && draft->area;
}

/* Who waited for @draft is to be told of its area. */
static void draft_take_openings(struct draft *draft, GArray *told)
{
	for (unsigned int i = 0; i < draft->openings->len; i++)
		g_array_index(draft->openings, struct opening, i).area = draft->area;
	g_array_append_vals(told, draft->openings->data, draft->openings->len);
	g_array_set_size(draft->openings, 0);
}

/* Answers come last: they may open and take, and must find all as it is then. */
static void opener_settled(void *data, int result)
{
	struct opener *opener = data;
	GList *drafts = g_steal_pointer(&opener->drafts);
	g_autoptr(GArray) told = g_array_new(FALSE, FALSE, sizeof(struct opening));

	for (GList *link = drafts; link; link = link->next) {
		struct draft *draft = link->data;
		bool planned = draft->planned;
		bool stays = !planned || draft_settled(opener, draft, result == 0);

		if (planned)
			draft_take_openings(draft, told);
		if (stays)
			opener->drafts = g_list_append(opener->drafts, draft);
		else
			draft_free(draft);
	}
	g_list_free(drafts);
	for (unsigned int i = 0; i < told->len; i++) {
		const struct opening *opening = &g_array_index(told, struct opening, i);

		opening->done(opening->data, result, NULL, result ? NULL : opening->area);
	}
}

/* ---- asking ---- */

int opener_take(struct opener *opener, const char *name, struct area **ret_area,
		const char **ret_detail)
{
	struct area *area = area_set_find(opener->areas, name);
	struct draft *draft;

	if (!area) {
		draft = opener_get(opener, name);
		if (!draft) {
			*ret_detail = DETAIL_TOO_MANY;
			return HF_QUOTA_EXCEEDED;
		}
		draft_make_area(opener, draft);
		area = draft->area;
		if (!draft->planned)
			committer_want(opener->engine->committer, &opener->member);
	}
	*ret_area = area;
	return HF_OK;
}

void opener_open(struct opener *opener, const char *name, opener_done_t done, void *data)
{
	const struct opening opening = { .done = done, .data = data };
	struct area *area = area_set_find(opener->areas, name);
	struct draft *draft;

	if (area && area_is_stored(area)) {
		done(data, HF_OK, NULL, area);
		return;
	}
	draft = opener_get(opener, name);
	if (!draft) {
		done(data, HF_QUOTA_EXCEEDED, DETAIL_TOO_MANY, NULL);
		return;
	}
	g_array_append_val(draft->openings, opening);
	if (!draft->planned)
		committer_want(opener->engine->committer, &opener->member);
}

/* ---- life ---- */

struct opener *opener_new(struct engine *engine, const struct area_set *areas, int64_t next_id,
			  void (*add)(void *data, struct area *area), void *data)
{
	struct opener *opener = g_new0(struct opener, 1);

	opener->engine = engine;
	opener->areas = areas;
	opener->next_id = next_id;
	opener->add = add;
	opener->data = data;
	commit_member_init(&opener->member, opener_plan, opener_settled, opener);
	committer_set_first(engine->committer, &opener->member);
	return opener;
}

struct opener *opener_free(struct opener *opener)
{
	if (!opener)
		return NULL;

	committer_forget(opener->engine->committer, &opener->member);
	for (GList *link = opener->drafts; link; link = link->next)
		draft_free(link->data);
	g_list_free(opener->drafts);
	g_free(opener);
	return NULL;
}
